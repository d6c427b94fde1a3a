//! The configured archives: shipping, nightly snapshots, and alarms if they fail.

mod reach;
mod try_out;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use continuity::archive::{
    Event, Say,
    catalog::Catalog,
    codec::{Identities, Recipients},
    line::Line,
    prune,
    restorable::Restorable,
    ship::{ShipStatus, Shipper},
    snapshot::{Snapshotter, Taken},
    target::{Deletable, Target},
};
pub use reach::{described, restorable_of};
use try_out::TRY_OUT_SAID;
pub use try_out::{begin_try_out, is_try_out, keep};

use continuity::estimate::Estimate;
use jiff::{Timestamp, tz::TimeZone};
use parking_lot::Mutex;
use store::Store;
use tokio::{sync::Notify, task::JoinSet};
use tokio_util::sync::CancellationToken;

use crate::{
    alarms::Alarm,
    config::{self, Config},
    drill::{self, Deletes},
    redundant::OnItsWay,
    services::Services,
};

/// The delay after failures that a quick retry can't fix.
const TRY_AGAIN: Duration = Duration::from_secs(600);
/// After a snapshot that failed.
const SNAPSHOT_AGAIN: Duration = Duration::from_secs(900);
/// While a look is waited for.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Between two looks at how old the newest snapshot is.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// An archive that is further behind is an alarm.
const LAG_ALARM: Duration = Duration::from_secs(3600);
/// A snapshot that is so much younger than now is from a clock that was wrong.
const CLOCK_PATIENCE_MS: i64 = 300_000;
/// The time allowed for a nightly drill, which runs after the snapshot.
const DRILL_TAKES: Duration = Duration::from_secs(12 * 3600);
/// How long a stopping service continues shipping.
const LAST_SHIPPING: Duration = Duration::from_secs(5);

/// How one archive is.
#[derive(Default)]
struct State {
    /// The archive was asked for its newest good snapshot.
    looked: bool,
    ship: Option<Shipping>,
    failing: Option<String>,
    snapshot_failing: Option<String>,
    /// The snapshot that is being taken.
    taking: Option<Taking>,
    last_good_ms: Option<i64>,
    deletable: Option<Deletable>,
}

/// Progress of a snapshot.
#[derive(Clone, Copy)]
struct Taking {
    what: &'static str,
    done: u64,
    total: u64,
    since: Instant,
}

/// A handle to the shipper.
#[derive(Clone)]
struct Shipping {
    status: Arc<Mutex<ShipStatus>>,
    /// Makes the shipper list the archive.
    ask: Arc<Notify>,
}

/// One configured archive.
pub struct Place {
    pub config: config::Archive,
    state: Mutex<State>,
    /// One snapshot at a time.
    alone: tokio::sync::Mutex<()>,
    /// A snapshot is wanted before it is due.
    wanted: Notify,
}

/// All configured archives.
#[derive(Clone)]
pub struct Archives {
    places: Vec<Arc<Place>>,
}

impl Archives {
    /// Opens nothing yet: an unreachable archive does not prevent the start.
    pub fn new(config: &Config) -> Self {
        let place = |config: &config::Archive| {
            Arc::new(Place {
                config: config.clone(),
                state: Mutex::default(),
                alone: tokio::sync::Mutex::default(),
                wanted: Notify::new(),
            })
        };
        Self { places: config.archive.iter().map(place).collect() }
    }

    /// The current alarms.
    pub fn alarm(&self, now_ms: i64, data_dir: &Path) -> Vec<Alarm> {
        let mut all = Vec::new();
        if is_try_out(data_dir) && !self.places.is_empty() {
            all.push(Alarm {
                key: "archive/try-out".to_owned(),
                line: format!("Archive: {TRY_OUT_SAID}"),
                more: String::new(),
                subject: "Holdfast alarm: a restore is being tried out".to_owned(),
                look: "Run `holdfast help continuity Restore`.",
            });
            return all;
        }
        for place in &self.places {
            for (what, alarm) in place.alarms(now_ms, data_dir) {
                all.push(Alarm {
                    key: format!("archive/{}/{what}", place.name()),
                    line: alarm.replacen("archive", "Archive", 1),
                    more: place.failing().join("\n"),
                    subject: format!("Holdfast alarm: archive ({what})"),
                    look: "Run `holdfast archive status`. For what to do: `holdfast help continuity 3 a.m. page`.",
                });
            }
        }
        all
    }

    /// All, or the one of that name or URL.
    pub fn places(&self, name: Option<&str>) -> anyhow::Result<Vec<Arc<Place>>> {
        if self.places.is_empty() {
            bail!("no archive is configured: add an [[archive]] table, see `holdfast help continuity Archive`");
        }
        let Some(name) = name else { return Ok(self.places.clone()) };
        let found: Vec<_> = self.places.iter().filter(|place| place.config.is_named(name)).cloned().collect();
        if found.is_empty() {
            let known: Vec<&str> = self.places.iter().map(|place| place.name()).collect();
            bail!("there is no archive named {name}; configured archives: {}", known.join(", "));
        }
        Ok(found)
    }
}

impl Place {
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

    /// An alarm if the last check, or later shipping, shows that the archive is incomplete.
    fn not_restorable(&self) -> Option<String> {
        let found = self.ship_status()?.restorable?;
        (!found.is_whole()).then(|| format!("archive {}: {}", self.name(), described(&found)))
    }

    /// A warning about this machine's rights to the archive, as far as they were tested: by a snapshot since the start, else
    /// by the last drill.
    pub fn warning(&self, data_dir: &Path) -> Option<String> {
        let tried = self.state.lock().deletable.map(Deletes::from);
        let drilled = || drill::latest(data_dir, self.name(), 1).pop().and_then(|drilled| drilled.deletes);
        match tried.or_else(drilled)? {
            Deletes::Refused | Deletes::Folder => None,
            Deletes::KeepsVersions => Some(format!(
                "archive {}: this machine's keys are allowed to delete. Deleted objects are kept as versions: make sure that object \
                 lock protects those",
                self.name()
            )),
            Deletes::Deleted => Some(format!(
                "archive {}: this machine's keys are allowed to delete it. Give them only the rights to create, read and list, \
                 see `holdfast help continuity Who could forge`",
                self.name()
            )),
        }
    }

    /// A note about a folder, which can't refuse anything to a process that may write there.
    pub fn note(&self) -> Option<&'static str> {
        is_folder(&self.config).then_some(
            "it is a folder: every process that can write there can delete, also on this machine. Keep another archive where this machine can't delete",
        )
    }

    fn note_taking(&self, what: &'static str, done: u64, total: u64) {
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

    /// Why the newest good snapshot is an alarm, if it is.
    pub fn alarm(&self, last_good_ms: Option<i64>, now_ms: i64) -> Option<String> {
        let after = self.config.alarm_after;
        match last_good_ms {
            None => Some(format!("archive {}: there is no good snapshot", self.name())),
            // Its age would stay unknown until then.
            Some(last) if last > now_ms + CLOCK_PATIENCE_MS => Some(format!(
                "archive {}: the newest good snapshot has a time in the future, {}: check this machine's clock, then take a new \
                 snapshot with `holdfast archive snapshot`",
                self.name(),
                moment(last)
            )),
            Some(last) => {
                let age = Duration::from_millis(u64::try_from(now_ms - last).unwrap_or(0));
                (age > after.0).then(|| {
                    format!("archive {}: the newest good snapshot is {} old, more than {after}", self.name(), ago(age))
                })
            }
        }
    }

    /// The archive's current alarms, each with a keyword.
    fn alarms(&self, now_ms: i64, data_dir: &Path) -> Vec<(&'static str, String)> {
        let mut alarms = Vec::new();
        let (looked, last_good_ms, snapshot_failing) = {
            let state = self.state.lock();
            (state.looked, state.last_good_ms, state.snapshot_failing.is_some())
        };
        // There are no alarms before the first attempt.
        if (looked && last_good_ms.is_some()) || snapshot_failing {
            alarms.extend(self.alarm(last_good_ms, now_ms).map(|alarm| ("snapshot", alarm)));
        }
        alarms.extend(self.not_restorable().map(|alarm| ("restorable", alarm)));
        let lag = self.ship_status().map_or(0.0, |ship| ship.lag_seconds(now_ms));
        if lag > LAG_ALARM.as_secs_f64() {
            let lag = ago(Duration::from_secs_f64(lag));
            alarms.push(("shipping", format!("archive {}: {lag} behind", self.name())));
        }
        if self.config.drill_dir.is_some()
            && let Some(drilled) = drill::latest(data_dir, self.name(), 1).pop()
        {
            let age = Duration::from_millis(u64::try_from(now_ms - drilled.at_ms).unwrap_or(0));
            if !drilled.problems.is_empty() {
                alarms.push(("drill", format!("archive {}: {}", self.name(), drill::described(&drilled))));
            } else if age > self.config.alarm_after.0 + DRILL_TAKES {
                let age = ago(age);
                alarms.push(("drill", format!("archive {}: the last drill was {age} ago", self.name())));
            }
        }
        alarms
    }

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

    async fn ship(&self, store: &Store, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let target = self.target().await?;
        let line = Line::of(store, &target).await?;
        let recipients = Recipients::parse(&self.config.recipients)?;
        let shipper = Shipper::new(store.clone(), target, recipients, line, self.config.ship_every.0);
        {
            let mut state = self.state.lock();
            state.ship = Some(Shipping { status: shipper.status(), ask: shipper.ask() });
            state.failing = None;
        }
        let status = shipper.status();
        let want = async {
            let mut looks = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let status = status.lock();
                if status.looks > looks {
                    looks = status.looks;
                    if status.restorable.as_ref().is_some_and(|found| found.needs_snapshot) {
                        self.wanted.notify_one();
                    }
                }
            }
        };
        tokio::select! {
            outcome = shipper.run(shutdown.clone()) => outcome?,
            () = want => unreachable!("it watches for ever"),
        }
        match tokio::time::timeout(LAST_SHIPPING, shipper.catch_up()).await {
            Ok(Ok(seq)) => tracing::info!(target = self.name(), %seq, "shipped to the archive"),
            Ok(Err(error)) => {
                tracing::warn!(target = self.name(), %error, "the last commits were not shipped to the archive yet");
            }
            Err(_) => tracing::warn!(target = self.name(), "the last commits were not shipped to the archive yet"),
        }
        Ok(())
    }

    async fn keep_shipping(&self, store: Store, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.ship(&store, &shutdown).await {
                tracing::error!(
                    target = self.name(),
                    error = format!("{error:#}"),
                    "shipping to the archive has ended"
                );
                self.state.lock().failing = Some(format!("{error:#}"));
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(TRY_AGAIN) => {}
                }
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

    async fn keep_taking_snapshots(&self, services: Arc<Services>, shutdown: CancellationToken) {
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

/// Whether an archive is a folder: every process that can write there can delete.
pub fn is_folder(config: &config::Archive) -> bool {
    config.url.starts_with("file:")
}

/// Ships and takes snapshots until shut down. Failures are reported and retried; they never end the service.
pub async fn serve(services: Arc<Services>, shutdown: CancellationToken) -> anyhow::Result<()> {
    while is_try_out(&services.config.data_dir) {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    let mut tasks = JoinSet::new();
    for place in &services.archives.places {
        let (shipping, taking) = (place.clone(), place.clone());
        let (store, stop) = (services.store.clone(), shutdown.clone());
        tasks.spawn(async move { shipping.keep_shipping(store, stop).await });
        let (services, stop) = (services.clone(), shutdown.clone());
        tasks.spawn(async move { taking.keep_taking_snapshots(services, stop).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("an archive's task")?;
    }
    shutdown.cancelled().await;
    Ok(())
}

/// A span of time for people: its largest unit.
pub fn ago(span: Duration) -> String {
    let seconds = span.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// A time for people, in local time, with UTC if that differs.
pub fn moment(ms: i64) -> String {
    moment_in(ms, &TimeZone::system())
}

fn moment_in(ms: i64, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_millisecond(ms) else { return "an invalid time".to_owned() };
    let local = at.to_zoned_datetime(zone.clone());
    let text = local.strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
    if local.offset().seconds() == 0 { text } else { format!("{text} ({} UTC)", at.strftime("%H:%M:%S")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_local_time_and_in_utc_and_never_in_milliseconds() {
        let zone = |name: &str| TimeZone::get(name).unwrap_or(TimeZone::UTC);
        assert_eq!(moment_in(1_577_836_800_000, &TimeZone::UTC), "2020-01-01 00:00:00 +00:00");
        let fixed = TimeZone::fixed(jiff::tz::offset(2));
        assert_eq!(moment_in(1_577_836_800_000, &fixed), "2020-01-01 02:00:00 +02:00 (00:00:00 UTC)");
        for ms in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert!(!moment_in(ms, &zone("UTC")).contains("577836800000"));
            assert!(!moment_in(ms, &zone("UTC")).contains(&i64::MAX.to_string()));
        }
    }
}
