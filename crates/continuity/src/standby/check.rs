//! What must hold between the records of a realm, looked at again on the standby soon after the realm has changed: a
//! mistake of the program on the primary has right digests all the same.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use store::{Invariants, RealmId, Seq, Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::replica::{Standby, blocking};

/// How often realms that have changed are looked at.
const EVERY: Duration = Duration::from_secs(2);
/// A realm is looked at no more often: it is read from end to end.
const SAME_REALM: Duration = Duration::from_secs(60);

/// What must hold.
#[derive(Clone, Default)]
pub struct Rules(pub Vec<&'static dyn Invariants>);

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rules", self.0.len())
    }
}

/// Realms that have changed, and when they were looked at.
#[derive(Default)]
pub(super) struct Changed(Mutex<HashMap<RealmId, Look>>);

#[derive(Default)]
struct Look {
    /// The last commit that was not looked at.
    changed: Option<Seq>,
    at: Option<Instant>,
}

impl Changed {
    pub(super) fn note(&self, realm: RealmId, seq: Seq) {
        self.0.lock().entry(realm).or_default().changed = Some(seq);
    }

    fn take_due(&self) -> Vec<(RealmId, Seq)> {
        let mut due = Vec::new();
        for (realm, look) in self.0.lock().iter_mut() {
            if look.at.is_none_or(|at| at.elapsed() >= SAME_REALM)
                && let Some(seq) = look.changed.take()
            {
                look.at = Some(Instant::now());
                due.push((*realm, seq));
            }
        }
        due.sort_unstable();
        due
    }
}

impl Standby {
    /// Looks at what has changed until shut down. A realm in which something does not hold is not applied any more.
    pub(super) async fn check(self: Arc<Self>, shutdown: CancellationToken) {
        let rules = Arc::new(self.options.rules.0.clone());
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let Some(store) = self.store() else { continue };
            for (realm, seq) in self.changed.take_due() {
                if self.cut.is_cancelled() {
                    return;
                }
                let (store, rules) = (store.clone(), rules.clone());
                match blocking(move || look(&store, realm, &rules)).await {
                    Ok(None) => {}
                    Ok(Some(broken)) => {
                        tracing::error!(%realm, %seq, broken, "this realm is not applied any more; the others go on");
                    }
                    Err(error) => tracing::warn!(%realm, %error, "it could not be checked"),
                }
            }
            self.refresh();
        }
    }
}

/// What does not hold in a realm; it is quarantined then.
fn look(store: &Store, realm: RealmId, rules: &[&'static dyn Invariants]) -> Result<Option<String>, StoreError> {
    // Rules between realms say nothing while one of them stands still.
    if !store.quarantined().is_empty() && realm.account_number().is_none() {
        return Ok(None);
    }
    let rules: Vec<&dyn Invariants> = rules.iter().map(|rule| *rule as &dyn Invariants).collect();
    let report = store.scrub_realm(realm, &rules, false, &|| true)?;
    Ok(report.damage.into_iter().next())
}
