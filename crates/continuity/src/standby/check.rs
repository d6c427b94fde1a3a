//! Checks a realm's consistency rules on the standby soon after the realm has changed: a bug of the program on the
//! primary still produces correct digests.

use std::{sync::Arc, time::Duration};

use store::{Invariants, RealmId, Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::{error::blocking, replica::Standby};

/// How often realms that have changed are looked at.
const EVERY: Duration = Duration::from_secs(2);

impl Standby {
    /// Checks changed realms until shut down. Changes to an inconsistent realm are no longer applied.
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
                        tracing::error!(%realm, %seq, broken, "changes to this realm are no longer applied; other realms continue");
                    }
                    Err(error) => tracing::warn!(%realm, %error, "could not check a realm"),
                }
            }
            self.refresh();
        }
    }
}

/// A violated rule in a realm, which is then quarantined.
fn look(store: &Store, realm: RealmId, rules: &[&'static dyn Invariants]) -> Result<Option<String>, StoreError> {
    // Rules between realms say nothing while one of them stands still.
    if !store.quarantined().is_empty() && realm.account_number().is_none() {
        return Ok(None);
    }
    let rules: Vec<&dyn Invariants> = rules.iter().map(|rule| *rule as &dyn Invariants).collect();
    let report = store.scrub_realm(realm, &rules, false, &|| true)?;
    Ok(report.damage.first().map(ToString::to_string))
}
