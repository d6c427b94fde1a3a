//! Takes snapshots each night, and tries them out.

use std::{sync::Arc, time::Duration};

use continuity::archive::{
    Event, Say,
    catalog::Catalog,
    codec::Recipients,
    line::Line,
    prune,
    snapshot::{Snapshotter, Taken},
};
use jiff::{Timestamp, tz::TimeZone};
use store::Store;
use tokio_util::sync::CancellationToken;

use super::{
    alarms::CLOCK_PATIENCE_MS,
    place::Place,
    try_out::{TRY_OUT_SAID, is_try_out},
};
use crate::{drill, services::Services};

/// After a snapshot that failed.
const SNAPSHOT_AGAIN: Duration = Duration::from_secs(900);
/// Between two looks at how old the newest snapshot is.
const LOOK_EVERY: Duration = Duration::from_secs(60);

impl Place {
    /// Takes a snapshot now; first waits for one in progress.
    pub async fn snapshot(&self, store: &Store, say: Say<'_>, stop: &CancellationToken) -> anyhow::Result<Taken> {
        let _alone = self.alone.lock().await;
        anyhow::ensure!(!is_try_out(store.dir()), "{TRY_OUT_SAID}");
        anyhow::ensure!(
            !store.is_partial(),
            "the restore is not finished: see `holdfast stage show`, and try again when it is"
        );
        let target = self.target().await?;
        let snapshotter = Snapshotter {
            store: store.clone(),
            line: Line::of(store, &target).await?,
            target,
            recipients: Recipients::parse(&self.config.recipients)?,
            identities: self.identities()?,
        };
        let noting = |event: Event| {
            if let Event::Progress { what, done, total } = event {
                self.note_taking(what, done, total);
            }
            say(event);
        };
        let taken = snapshotter.take(&noting, stop).await;
        self.state.lock().taking = None;
        // With `prune`, deleting is intended.
        let deletable = if taken.is_ok() && snapshotter.target.is_remote() && !self.config.prune {
            snapshotter
                .target
                .try_delete()
                .await
                .inspect_err(|error| tracing::warn!(%error, "could not test whether the archive can be deleted"))
                .ok()
        } else {
            None
        };
        let mut state = self.state.lock();
        match taken {
            Ok(taken) => {
                if deletable.is_some() {
                    state.deletable = deletable;
                }
                state.last_good_ms = Some(taken.name.made_ms);
                state.snapshot_failing = None;
                Ok(taken)
            }
            Err(error) => {
                if !stop.is_cancelled() {
                    state.snapshot_failing = Some(error.to_string());
                }
                Err(error.into())
            }
        }
    }

    /// The time of the newest good snapshot that this store can be restored from.
    async fn last_good(&self, store: &Store) -> anyhow::Result<Option<i64>> {
        let target = self.target().await?;
        let catalog = match Catalog::read(&target).await {
            Err(continuity::archive::ArchiveError::Nothing(_)) => return Ok(None),
            other => other?,
        };
        let line = Line::of(store, &target).await?;
        Ok(catalog.good_of(&line.record)?.pop().map(|listed| listed.name.made_ms))
    }

    /// Takes them until shut down.
    pub(super) async fn keep_taking_snapshots(&self, services: Arc<Services>, shutdown: CancellationToken) {
        let store = services.store.clone();
        let last_good = metrics::gauge!("holdfast_archive_last_good_seconds", "target" => self.name().to_owned());
        let mut known = false;
        let mut due = Timestamp::now();
        loop {
            if !known {
                match self.last_good(&store).await {
                    Ok(last) => {
                        known = true;
                        let mut state = self.state.lock();
                        (state.last_good_ms, state.looked, state.snapshot_failing) = (last, true, None);
                        drop(state);
                        let now_ms = store.clock().now_ms();
                        let stale =
                            last.is_none_or(|last| now_ms - last > 86_400_000 || last > now_ms + CLOCK_PATIENCE_MS);
                        due = if stale { Timestamp::now() } else { self.next_due() };
                    }
                    Err(error) => self.state.lock().snapshot_failing = Some(format!("{error:#}")),
                }
            }
            if known && Timestamp::now() >= due && !store.is_partial() {
                match self.snapshot(&store, &|_| {}, &shutdown).await {
                    Ok(taken) => {
                        for warning in &taken.warnings {
                            tracing::error!(target = self.name(), warning, "snapshot");
                        }
                        due = self.next_due();
                        if let Some(ship) = &self.state.lock().ship {
                            ship.ask.notify_one();
                        }
                        if self.config.prune {
                            self.prune().await;
                        }
                        if let Some(dir) = &self.config.drill_dir {
                            let line = Line::name_in(store.dir());
                            let drilled = drill::run(&services.config, self, dir, line, true, &|_| {}).await;
                            let well = drilled.problems.is_empty();
                            if well {
                                tracing::info!("{}", drill::described(&drilled));
                            } else {
                                tracing::error!("{}", drill::described(&drilled));
                            }
                        }
                    }
                    Err(_) if shutdown.is_cancelled() => return,
                    Err(error) => {
                        tracing::error!(target = self.name(), error = format!("{error:#}"), "taking a snapshot failed");
                        due = Timestamp::now().checked_add(SNAPSHOT_AGAIN).unwrap_or(Timestamp::MAX);
                    }
                }
            }
            let newest = self.state.lock().last_good_ms;
            last_good.set(newest.map_or(0.0, |ms| ms as f64 / 1000.0));
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK_EVERY) => {}
                // Not sooner after one that failed.
                () = self.wanted.notified(), if known && self.state.lock().snapshot_failing.is_none() => {
                    tracing::error!(target = self.name(), "a snapshot has become incomplete: taking a new one");
                    due = Timestamp::now();
                }
            }
        }
    }

    fn next_due(&self) -> Timestamp {
        let (zone, now) = (TimeZone::system(), Timestamp::now());
        let time = self.config.snapshot_time().unwrap_or_default();
        let today = zone.to_datetime(now).date();
        let at = |date: jiff::civil::Date| zone.to_timestamp(date.to_datetime(time)).ok().filter(|due| *due > now);
        let tomorrow = || now.checked_add(Duration::from_secs(86_400)).unwrap_or(Timestamp::MAX);
        at(today).or_else(|| at(today.tomorrow().ok()?)).unwrap_or_else(tomorrow)
    }

    async fn prune(&self) {
        let pruned = async {
            Ok::<_, anyhow::Error>(prune::prune(&self.target().await?, self.config.keep(), false, &|_| {}).await?)
        };
        match pruned.await {
            Ok(done) => tracing::info!(target = self.name(), objects = done.objects, bytes = done.bytes, "pruned"),
            Err(error) => tracing::error!(target = self.name(), error = format!("{error:#}"), "pruning"),
        }
    }
}
