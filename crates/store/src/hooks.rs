//! Hooks that other crates install to check each commit or to be notified of it.

use std::sync::Arc;

use parking_lot::RwLock;

use crate::{Commit, Read, RealmId, Result, StoreError, Tx, index::realm_of};

/// Returns why a realm is closed, if it is. Sees the transaction's writes. Must be quick and never wait: it runs on the
/// writer thread.
pub type Closed = Arc<dyn Fn(&dyn Read, RealmId) -> Option<String> + Send + Sync>;

/// Told of each commit once it is durable and readable. Quick, and never waits: it runs on the thread that wrote it.
pub type OnCommit = Arc<dyn Fn(&Commit) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Hooks {
    closed: RwLock<Option<Closed>>,
    told: RwLock<Vec<OnCommit>>,
}

impl Hooks {
    pub(crate) fn close_realms(&self, closed: Closed) {
        *self.closed.write() = Some(closed);
    }

    pub(crate) fn tell(&self, told: OnCommit) {
        self.told.write().push(told);
    }

    /// Refuses a transaction that adds to a closed realm. Taking away from one is always possible.
    pub(crate) fn check(&self, tx: &Tx<'_>) -> Result<()> {
        let Some(closed) = self.closed.read().clone() else { return Ok(()) };
        let mut last = None;
        for (full, value) in &tx.writes {
            let realm = realm_of(full);
            if value.is_none() || last == Some(realm) || tx.clearing.contains(&realm) {
                continue;
            }
            last = Some(realm);
            if let Some(reason) = closed(tx, realm) {
                return Err(StoreError::RealmClosed { realm, reason });
            }
        }
        Ok(())
    }

    pub(crate) fn committed(&self, commit: &Commit) {
        for told in &*self.told.read() {
            told(commit);
        }
    }
}
