//! Hooks that other crates install to check each commit or to be notified of it.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use parking_lot::RwLock;

use crate::{Commit, Read, RealmId, Result, StoreError, Tx, error::panic_text, index::realm_of};

/// Returns why a realm is closed, if it is. Sees the transaction's writes. Must be quick and never wait: it runs on the
/// writer thread.
pub type Closed = Arc<dyn Fn(&dyn Read, RealmId) -> Option<String> + Send + Sync>;

/// Adds records that follow from what a transaction writes (see [`Tx::writes`]), in the same commit. Must be quick and never
/// wait: it runs on the writer thread, after the transaction and before it is committed.
pub type Derive = Arc<dyn Fn(&mut Tx<'_>) -> Result<()> + Send + Sync>;

/// Told of each commit once it is durable and readable. Quick, and never waits: it runs on the thread that wrote it.
pub type OnCommit = Arc<dyn Fn(&Commit) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Hooks {
    closed: RwLock<Option<Closed>>,
    told: RwLock<Vec<OnCommit>>,
    derive: Option<Derive>,
}

impl Hooks {
    pub(crate) fn new(derive: Option<Derive>) -> Self {
        Self { derive, ..Self::default() }
    }

    /// Refuses a transaction that may not be; adds to one that may what follows from it.
    pub(crate) fn complete(&self, tx: &mut Tx<'_>) -> Result<()> {
        self.check(tx)?;
        match &self.derive {
            Some(derive) => {
                let derived = catch_unwind(AssertUnwindSafe(|| derive(tx)));
                derived.unwrap_or_else(|panic| Err(StoreError::Panicked(panic_text(&*panic))))?;
                tx.wrong.take().map_or(Ok(()), Err)
            }
            None => Ok(()),
        }
    }

    pub(crate) fn close_realms(&self, closed: Closed) {
        *self.closed.write() = Some(closed);
    }

    pub(crate) fn tell(&self, told: OnCommit) {
        self.told.write().push(told);
    }

    /// Refuses a transaction that adds to a closed realm. Taking away from one is always possible.
    fn check(&self, tx: &Tx<'_>) -> Result<()> {
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
