//! Fetches damaged bodies from other places that have them: a standby from its primary, a primary from its standbys and
//! its archives. The mechanism is the same in all directions. Damaged or missing commits of a primary's log come from the
//! same places: see [`log`].
//!
//! Damage is found by readers, who wait for the replacement for a moment, and by the scrub. A replacement is compared
//! with its hash before it is stored, so no donor can supply other data.

pub mod log;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::future::BoxFuture;
use log::History;
use store::{BodyId, Store, StoreError, WantedBody};
use tokio_util::sync::CancellationToken;

/// How often is looked whether something is damaged.
const EVERY: Duration = Duration::from_secs(1);
/// When a donor is asked again for what could not be had.
const AGAIN: Duration = Duration::from_secs(600);
/// When it is tried again after no donor answered.
const NOBODY: Duration = Duration::from_secs(10);
/// Bodies that are asked for together.
const AT_ONCE: usize = 256;
/// How long one donor may take for a body that a reader waits for.
const PATIENCE: Duration = Duration::from_secs(4);
/// The same where somebody has typed a command for it.
const PATIENT: Duration = Duration::from_secs(60);

/// Bodies, each under its name.
pub type Bodies = Vec<(BodyId, Vec<u8>)>;

/// A possible source of replacements for damaged bodies.
pub trait Donor: Send + Sync {
    /// Its name.
    fn name(&self) -> String;

    /// Returns those of the bodies that it has. The caller verifies them.
    fn bodies<'a>(&'a self, ids: &'a [BodyId]) -> BoxFuture<'a, Result<Bodies, String>>;

    /// The logs that it has: one, none, or several histories, the likeliest first.
    fn histories(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn History>>, String>> {
        Box::pin(async { Ok(Vec::new()) })
    }
}

/// Fetches replacements for damaged bodies of a store.
pub struct Mending {
    store: Store,
    donors: Vec<Arc<dyn Donor>>,
    mended: Box<dyn Fn(u64) + Send + Sync>,
    patience: Duration,
}

impl Mending {
    /// `mended` receives the number of repaired bodies.
    pub fn new(store: Store, donors: Vec<Arc<dyn Donor>>, mended: impl Fn(u64) + Send + Sync + 'static) -> Self {
        Self { store, donors, mended: Box::new(mended), patience: PATIENCE }
    }

    /// Waits longer for donors: nobody waits for a message.
    #[must_use]
    pub fn patient(self) -> Self {
        Self { patience: PATIENT, ..self }
    }

    /// Repairs damaged bodies until shut down: requested ones at once.
    pub async fn serve(self, shutdown: CancellationToken) {
        let mut wanted = self.store.wanted_bodies();
        let mut tried: HashMap<BodyId, Instant> = HashMap::new();
        let mut not_before = Instant::now();
        let mut log_tried: Option<Instant> = None;
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                Some(body) = wanted.recv() => {
                    self.give(body).await;
                    continue;
                }
                () = tokio::time::sleep(EVERY) => {}
            }
            if self.store.log_is_damaged() && log_tried.is_none_or(|at| at.elapsed() >= AGAIN) {
                log_tried = Some(Instant::now());
                tokio::select! {
                    () = shutdown.cancelled() => return,
                    filled = self.fill_log(|_, _, _| ()) => log::tell(filled),
                }
            }
            let damaged: Vec<BodyId> = self.store.damaged_bodies().into_iter().map(|(id, _)| id).collect();
            tried.retain(|id, at| at.elapsed() < AGAIN && damaged.contains(id));
            let due: Vec<BodyId> = damaged.into_iter().filter(|id| !tried.contains_key(id)).take(AT_ONCE).collect();
            if due.is_empty() || Instant::now() < not_before {
                continue;
            }
            let fetching = self.fetch(due.clone());
            tokio::select! {
                () = shutdown.cancelled() => return,
                (_, answered) = fetching => if answered {
                    tried.extend(due.into_iter().map(|id| (id, Instant::now())));
                } else {
                    not_before = Instant::now() + NOBODY;
                },
            }
        }
    }

    /// Fetches all that is damaged now, batch by batch; gives how many were mended and how many are left.
    pub async fn all(&self, progress: &(dyn Fn(u64, u64) + Send + Sync)) -> (u64, u64) {
        let damaged: Vec<BodyId> = self.store.damaged_bodies().into_iter().map(|(id, _)| id).collect();
        let (total, mut done, mut mended) = (damaged.len() as u64, 0, 0);
        for ids in damaged.chunks(AT_ONCE) {
            mended += self.fetch(ids.to_vec()).await.0;
            done += ids.len() as u64;
            progress(done, total);
        }
        (mended, total - mended)
    }

    /// Fetches a body that somebody waits for.
    async fn give(&self, body: WantedBody) {
        let (mended, _) = self.fetch(vec![body.id]).await;
        // The caller may have gone.
        let _ = body.told.send(mended > 0);
    }

    /// Fetches bodies; gives how many are well now, and whether every donor has answered.
    pub(crate) async fn fetch(&self, mut ids: Vec<BodyId>) -> (u64, bool) {
        let all = ids.len();
        let store = self.store.clone();
        // What could not be read once may be read the next time.
        let looked = tokio::task::spawn_blocking(move || {
            ids.retain(|id| match store.is_well(id) {
                Ok(()) => {
                    store.forget_damaged_body(id);
                    false
                }
                Err(_) => true,
            });
            ids
        });
        let Ok(mut ids) = looked.await else { return (0, false) };
        let mut answered = !self.donors.is_empty();
        for donor in &self.donors {
            if ids.is_empty() {
                break;
            }
            let asked = donor.bodies(&ids);
            let patience = self.patience.mul_f64(1.0 + ids.len() as f64 / 4.0);
            let came = match tokio::time::timeout(patience, asked).await {
                Ok(Ok(came)) => came,
                Ok(Err(error)) => {
                    tracing::warn!(donor = donor.name(), error, "could not request replacements for damaged data");
                    answered = false;
                    continue;
                }
                Err(_) => {
                    tracing::warn!(donor = donor.name(), "replacements for damaged data did not arrive in time");
                    answered = false;
                    continue;
                }
            };
            for (id, bytes) in came {
                match self.keep(id, bytes).await {
                    Ok(()) => {
                        ids.retain(|wanted| *wanted != id);
                        tracing::error!(%id, from = donor.name(), "repaired a message body that was damaged here: check this machine's disk");
                        metrics::counter!("holdfast_store_mended_bodies_total").increment(1);
                        (self.mended)(1);
                    }
                    Err(error) => tracing::warn!(%id, from = donor.name(), %error, "could not store a replacement"),
                }
            }
        }
        ((all - ids.len()) as u64, answered)
    }

    async fn keep(&self, id: BodyId, bytes: Vec<u8>) -> Result<(), StoreError> {
        let store = self.store.clone();
        let kept = tokio::task::spawn_blocking(move || store.mend_body(&id, &bytes)).await;
        kept.unwrap_or_else(|error| Err(StoreError::Panicked(error.to_string())))
    }
}
