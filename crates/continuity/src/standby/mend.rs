//! Re-fetches damaged bodies from the primary, so a promoted standby has none. Damage is found by the daily scrub and
//! by readers.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use store::{BodyId, Store};
use tokio_util::sync::CancellationToken;

use super::{
    connect::say,
    copy::{BODIES_AT_ONCE, read_body},
    error::{Error, blocking},
    replica::Standby,
    wire::{self, Kind},
};
use crate::mending::{Bodies, Donor, Mending};

/// How often is looked whether something is damaged.
const EVERY: Duration = Duration::from_secs(1);
/// The interval for asking the primary again for missing bodies.
const AGAIN: Duration = Duration::from_secs(600);

impl Standby {
    /// Repairs damaged bodies until shut down.
    pub(super) async fn mend(self: Arc<Self>, shutdown: CancellationToken) {
        let mut tried: HashMap<BodyId, Instant> = HashMap::new();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = self.cut.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            let Some(store) = self.store() else { continue };
            let damaged: BTreeMap<BodyId, store::Damaged> = store.damaged_bodies().into_iter().collect();
            self.refresh();
            tried.retain(|id, _| damaged.contains_key(id));
            let is_due = |id: &BodyId| tried.get(id).is_none_or(|at| at.elapsed() >= AGAIN);
            let due: Vec<BodyId> = damaged.into_keys().filter(is_due).take(BODIES_AT_ONCE).collect();
            if due.is_empty() || !self.status.borrow().connected {
                continue;
            }
            let status = self.status.clone();
            let count = move |mended| {
                metrics::counter!("holdfast_standby_mended_bodies_total").increment(mended);
                status.send_modify(|status| status.mended += mended);
            };
            let mending = Mending::new(store, vec![Arc::new(PrimaryDonor(self.clone()))], count);
            if mending.fetch(due.clone()).await.1 {
                tried.extend(due.into_iter().map(|id| (id, Instant::now())));
            }
            self.refresh();
        }
    }

    /// Keeps a body again that is damaged where it is.
    pub(super) async fn keep_anew(&self, store: &Store, id: BodyId, bytes: Vec<u8>) -> Result<(), Error> {
        let store = store.clone();
        blocking(move || store.mend_body(&id, &bytes)).await?;
        tracing::error!(%id, "repaired a message body that was damaged here: check this machine's disk");
        metrics::counter!("holdfast_standby_mended_bodies_total").increment(1);
        self.status.send_modify(|status| status.mended += 1);
        self.refresh();
        Ok(())
    }
}

/// The primary as a donor of damaged bodies.
struct PrimaryDonor(Arc<Standby>);

impl PrimaryDonor {
    async fn ask(&self, ids: &[BodyId]) -> Result<Bodies, Error> {
        let mut stream = self.0.reach().await?;
        let wanted = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
        say(&mut stream, Kind::WantBodies(wire::WantBodies { ids: wanted, more: 0 })).await?;
        let mut came = Vec::new();
        for id in ids {
            if let Some(bytes) = read_body(&mut stream, id).await? {
                came.push((*id, bytes));
            }
        }
        Ok(came)
    }
}

impl Donor for PrimaryDonor {
    fn name(&self) -> String {
        "the primary".to_owned()
    }

    fn bodies<'a>(&'a self, ids: &'a [BodyId]) -> BoxFuture<'a, Result<Bodies, String>> {
        Box::pin(async move { self.ask(ids).await.map_err(|error| error.to_string()) })
    }
}
