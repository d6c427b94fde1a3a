//! One configured archive: where it is, and how it is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use continuity::{
    archive::{
        codec::{Identities, Recipients},
        line::Line,
        restorable::Restorable,
        ship::{ShipStatus, Shipper},
        target::{Deletable, Target},
    },
    estimate::Estimate,
};
use parking_lot::Mutex;
use store::Store;
use tokio::sync::Notify;

use crate::{config, redundant::OnItsWay};

/// While a look is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// How one archive is.
#[derive(Default)]
pub(super) struct State {
    /// The archive was asked for its newest good snapshot.
    pub(super) looked: bool,
    pub(super) ship: Option<Shipping>,
    pub(super) failing: Option<String>,
    pub(super) snapshot_failing: Option<String>,
    /// The snapshot that is being taken.
    pub(super) taking: Option<Taking>,
    pub(super) last_good_ms: Option<i64>,
    pub(super) deletable: Option<Deletable>,
}

/// Progress of a snapshot.
#[derive(Clone, Copy)]
pub(super) struct Taking {
    pub(super) what: &'static str,
    pub(super) done: u64,
    pub(super) total: u64,
    pub(super) since: Instant,
}

/// A handle to the shipper.
#[derive(Clone)]
pub(super) struct Shipping {
    pub(super) status: Arc<Mutex<ShipStatus>>,
    /// Makes the shipper list the archive.
    pub(super) ask: Arc<Notify>,
}

/// One configured archive.
pub struct Place {
    pub config: config::Archive,
    pub(super) state: Mutex<State>,
    /// One snapshot at a time.
    pub(super) alone: tokio::sync::Mutex<()>,
    /// A snapshot is wanted before it is due.
    pub(super) wanted: Notify,
}

impl Place {
    /// Opens nothing yet: an unreachable archive does not prevent the start.
    pub fn new(config: &config::Archive) -> Self {
        Self {
            config: config.clone(),
            state: Mutex::default(),
            alone: tokio::sync::Mutex::default(),
            wanted: Notify::new(),
        }
    }

    pub fn name(&self) -> &str {
        self.config.name()
    }

    /// Opens the target. Makes the folder of a `file:` URL: off the async threads.
    pub async fn target(&self) -> anyhow::Result<Target> {
        let options = self.config.target_options()?;
        Ok(tokio::task::spawn_blocking(move || Target::open(&options)).await??)
    }

    /// The identities for reading, if configured.
    pub fn identities(&self) -> anyhow::Result<Option<Identities>> {
        Ok(self.config.identity_file.as_deref().map(Identities::read).transpose()?)
    }

    /// How shipping is: none before it has begun.
    pub fn ship_status(&self) -> Option<ShipStatus> {
        self.state.lock().ship.as_ref().map(|ship| ship.status.lock().clone())
    }

    /// Checks how far the archive can be restored: by the shipper, which stores missing objects again, or else by this
    /// process.
    pub async fn look(&self, store: &Store) -> anyhow::Result<Restorable> {
        let ship = self.state.lock().ship.clone();
        if let Some(ship) = ship {
            let before = ship.status.lock().looks;
            ship.ask.notify_one();
            // The caller sets the time limit.
            loop {
                {
                    let status = ship.status.lock();
                    if let (true, Some(found)) = (status.looks > before, &status.restorable) {
                        return Ok(found.clone());
                    }
                    if let Some(failing) = &status.failing {
                        bail!("{failing}");
                    }
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        let target = self.target().await?;
        let line = Line::of(store, &target).await?;
        let recipients = Recipients::parse(&self.config.recipients)?;
        Ok(Shipper::new(store.clone(), target, recipients, line, self.config.ship_every.0).restorable().await?)
    }

    pub(super) fn note_taking(&self, what: &'static str, done: u64, total: u64) {
        let mut state = self.state.lock();
        let since = state.taking.filter(|taking| taking.what == what).map_or_else(Instant::now, |taking| taking.since);
        state.taking = Some(Taking { what, done, total, since });
    }

    /// What is still to be shipped; `end` is the last commit.
    pub fn on_its_way(&self, end: store::Seq) -> Vec<OnItsWay> {
        let shipping = self.ship_status().and_then(|ship| ship.estimate(end));
        let ratio = shipping.map_or(1.0, |estimate| f64::from(estimate.percent) / 100.0);
        metrics::gauge!("holdfast_archive_shipped_ratio", "target" => self.name().to_owned()).set(ratio);
        let state = self.state.lock();
        let first = state.last_good_ms.is_none();
        let taking = state.taking.filter(|taking| taking.total > 0).map(|taking| {
            let Taking { what, done, total, since } = taking;
            OnItsWay::snapshot(Estimate::of(done, total, 0, since.elapsed()), (what, done, total), first)
        });
        shipping.map(|estimate| OnItsWay::shipment(estimate, first)).into_iter().chain(taking).collect()
    }

    /// The time of the newest known good snapshot, in milliseconds since 1970.
    pub fn last_good_ms(&self) -> Option<i64> {
        self.state.lock().last_good_ms
    }

    /// The current failures.
    pub fn failing(&self) -> Vec<String> {
        let state = self.state.lock();
        let shipping = state.ship.as_ref().and_then(|ship| ship.status.lock().failing.clone());
        // Report the same failure only once.
        match (state.failing.clone().or(shipping), state.snapshot_failing.clone()) {
            (Some(shipping), Some(snapshot)) if shipping == snapshot => {
                vec![format!("shipping and snapshots: {shipping}")]
            }
            (shipping, snapshot) => {
                let shipping = shipping.map(|what| format!("shipping: {what}"));
                shipping.into_iter().chain(snapshot.map(|what| format!("snapshot: {what}"))).collect()
            }
        }
    }
}

/// Whether an archive is a folder: every process that can write there can delete.
pub fn is_folder(config: &config::Archive) -> bool {
    config.url.starts_with("file:")
}
