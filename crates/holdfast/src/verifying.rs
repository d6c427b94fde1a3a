//! The check of all data while the service runs. One runs at a time, slowly and to its end, also when the command that started it
//! has gone. Its progress and its result are kept, the result over a restart.

use std::{
    cell::Cell,
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use directory::{KeyId, SecretsReport, SecretsRules};
use serde::{Deserialize, Serialize};
use store::{Invariants, Reading, Report, Store, StoreError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Config, Secrets},
    failure::Code,
    found::Found,
    machine,
    parts::{invariants, unknown_keys},
    secrets,
    told::{ago, counted, counted_are, moment},
};

/// Where the result is kept, in the data folder.
const FILE: &str = "verified.json";
/// Damage that is kept one by one; more is counted.
const MAX_KEPT: usize = 100;
/// What is rested for each moment of work: the disk has three quarters of its time for people.
const REST: u32 = 3;
/// The longest rest.
const LONGEST_REST: Duration = Duration::from_millis(500);
/// Work that is not worth a rest.
const SHORTEST_WORK: Duration = Duration::from_millis(2);
/// How often those who look are told how far it is.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// What reading everything has found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// When it ended; none when it was stopped before its end.
    pub ended_ms: Option<i64>,
    /// Whether the service was running during the check.
    pub while_running: bool,
    /// What was read.
    pub commits: u64,
    /// See `commits`.
    pub checkpoints: u64,
    /// See `commits`.
    pub records: u64,
    /// See `commits`.
    pub realms: u64,
    /// See `commits`.
    pub bodies: u64,
    /// How many things are damaged.
    pub damage_count: usize,
    /// The first of them.
    pub damage: Vec<String>,
    /// The same as fields.
    #[serde(default)]
    pub found: Vec<Found>,
    /// The keys that are missing to open sealed secrets, each with how many it is missing for. That is no damage.
    #[serde(default)]
    pub missing_keys: Vec<String>,
    /// Why it could not go on.
    pub failed: Option<String>,
}

impl Verified {
    /// That begins now.
    pub fn begun(now_ms: i64, while_running: bool) -> Self {
        Self { started_ms: now_ms, while_running, ..Self::default() }
    }

    /// The same with what was found.
    #[must_use]
    pub fn with(self, report: &Report, now_ms: i64) -> Self {
        Self {
            ended_ms: Some(now_ms),
            commits: report.commits,
            checkpoints: report.checkpoints,
            records: report.records,
            realms: report.realms,
            bodies: report.bodies,
            damage_count: report.damage.len(),
            damage: report.damage.iter().take(MAX_KEPT).map(ToString::to_string).collect(),
            found: report.damage.iter().take(MAX_KEPT).map(Found::from).collect(),
            ..self
        }
    }

    /// The same with the secrets that can't be opened.
    #[must_use]
    pub fn with_secrets(self, found: &SecretsReport) -> Self {
        let missing =
            |(key, count): (&KeyId, &u64)| format!("key {key}: {} can't be opened", counted(*count, "secret"));
        Self { missing_keys: found.missing.iter().map(missing).collect(), ..self }
    }

    /// What was read, in words.
    pub fn read(&self) -> String {
        let Self { commits, checkpoints, records, realms, bodies, .. } = self;
        format!("{commits} commits, {checkpoints} checkpoints, {records} records in {realms} realms, {bodies} bodies")
    }

    /// What came of it, in a line.
    pub fn described(&self) -> String {
        let at = moment(self.started_ms);
        if let Some(why) = &self.failed {
            return format!("started {at}: FAILED: {why}");
        }
        let Some(ended_ms) = self.ended_ms else {
            return format!("started {at}, not completed: run `holdfast verify` again");
        };
        let took = ago(Duration::from_millis(ended_ms.saturating_sub(self.started_ms).max(0).unsigned_abs()));
        let found = match self.damage_count {
            0 => "no damage found".to_owned(),
            count => counted(count as u64, "damaged item"),
        };
        let missing = match self.missing_keys.len() {
            0 => String::new(),
            count => format!("; {} missing for sealed secrets", counted_are(count as u64, "key")),
        };
        format!("{at}, in {took}: {}: {found}{missing}", self.read())
    }

    /// Keeps it in a data folder.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn keep(&self, data_dir: &Path) -> std::io::Result<()> {
        let path = data_dir.join(FILE);
        let scratch = path.with_extension("new");
        let mut file = std::fs::File::create(&scratch)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        file.sync_all()?;
        std::fs::rename(scratch, path)
    }

    /// What is kept in a data folder, if anything.
    pub fn kept(data_dir: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(data_dir.join(FILE)).ok()?).ok()
    }
}

/// An error if there is damage, or secrets can't be opened, so that scripts notice.
///
/// # Errors
/// There is damage, or a key is missing.
pub fn outcome(found: &Verified) -> anyhow::Result<()> {
    if found.damage_count > 0 {
        return Err(Code::Damaged.error(counted(found.damage_count as u64, "damaged item")));
    }
    let missing = found.missing_keys.len() as u64;
    anyhow::ensure!(
        missing == 0,
        "{} missing for sealed secrets: see `holdfast secrets status`",
        counted_are(missing, "key")
    );
    Ok(())
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// When it began, in milliseconds since 1970.
    pub started_ms: i64,
    /// Of everything.
    pub percent: u64,
    /// What is being read.
    pub reading: &'static str,
}

/// One that runs, and the last one before it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    pub running: Option<Progress>,
    pub last: Option<Verified>,
}

/// Reads everything when it is asked to.
pub struct Verifying {
    data_dir: PathBuf,
    secrets: Secrets,
    state: watch::Sender<State>,
    stop: CancellationToken,
}

impl Verifying {
    /// With what is kept in a data folder.
    pub fn open(config: &Config) -> Arc<Self> {
        let data_dir = &config.data_dir;
        let state = State { running: None, last: Verified::kept(data_dir) };
        measure(state.last.as_ref());
        let (state, _) = watch::channel(state);
        let secrets = config.secrets.clone();
        Arc::new(Self { data_dir: data_dir.to_owned(), secrets, state, stop: CancellationToken::new() })
    }

    /// How it is now.
    pub fn now(&self) -> State {
        self.state.borrow().clone()
    }

    /// Told of each change.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Ends it where it is, and lets nothing begin any more: the service stops.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Whether nothing begins any more.
    pub fn is_stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Ends it, and waits until it has: who works on the store next wants it alone.
    pub async fn end(&self) {
        self.stop();
        // It is the sender that would be gone.
        let _ = self.watch().wait_for(|state| state.running.is_none()).await;
    }

    /// Begins; `false` when one runs already.
    pub fn begin(self: &Arc<Self>, store: Store) -> bool {
        let started_ms = store.clock().now_ms();
        let begins = self.state.send_if_modified(|state| {
            let begins = state.running.is_none() && !self.stop.is_cancelled();
            if begins {
                state.running = Some(Progress { started_ms, percent: 0, reading: Reading::ALL[0].name() });
            }
            begins
        });
        if begins {
            let this = self.clone();
            tokio::task::spawn_blocking(move || this.run(store, started_ms));
        }
        begins
    }

    fn run(&self, store: Store, started_ms: i64) {
        let begun = Verified::begun(started_ms, true);
        self.keep(&begun);
        let pace = Pace::new(&self.data_dir);
        let rules = SecretsRules::new(Arc::new(secrets::keys(&self.secrets)));
        let all: Vec<&dyn Invariants> = invariants().into_iter().chain([&rules as &dyn Invariants]).collect();
        let read = store.verify_running(&all, &|reading, done, total| {
            if let Some(percent) = pace.go_on(reading, done, total) {
                self.state.send_modify(|state| {
                    if let Some(running) = &mut state.running {
                        (running.percent, running.reading) = (percent, reading.name());
                    }
                });
            }
            !self.stop.is_cancelled()
        });
        let ended = match read {
            Ok(mut report) => {
                match unknown_keys(&store) {
                    Ok(found) => report.damage.extend(found),
                    Err(error) => tracing::warn!(%error, "could not look for keys that nobody knows"),
                }
                for found in &report.damage {
                    tracing::error!(%found, part = found.part.code(), cause = found.cause.code(), "damage");
                }
                begun.with(&report, store.clock().now_ms()).with_secrets(&rules.found())
            }
            Err(StoreError::Stopped { .. }) if self.stop.is_cancelled() => begun,
            Err(error) => {
                let ended_ms = Some(store.clock().now_ms());
                Verified { failed: Some(error.to_string()), ended_ms, ..begun }
            }
        };
        tracing::info!("verify: {}", ended.described());
        // Who waits for the end may want the folder.
        drop(store);
        self.keep(&ended);
        measure(Some(&ended));
        self.state.send_modify(|state| *state = State { running: None, last: Some(ended) });
    }

    fn keep(&self, verified: &Verified) {
        if let Err(error) = verified.keep(&self.data_dir) {
            tracing::warn!(%error, "the result of verify will be lost at the next start");
        }
    }
}

fn measure(last: Option<&Verified>) {
    let Some((last, ended_ms)) = last.and_then(|last| Some((last, last.ended_ms?))) else { return };
    metrics::gauge!("holdfast_verify_last_timestamp_seconds").set((ended_ms / 1000) as f64);
    metrics::gauge!("holdfast_verify_last_damage").set(last.damage_count as f64);
}

/// Works some of the time, and knows how much of everything is done.
struct Pace {
    /// Bytes of what is read, in the order of [`Reading::ALL`].
    bytes: [u64; 4],
    working: Cell<Instant>,
    told: Cell<Option<Instant>>,
}

impl Pace {
    fn new(data_dir: &Path) -> Self {
        // Something is always there to be read.
        let bytes = ["log", "checkpoints", "index", "packs"].map(|name| machine::size_of(&data_dir.join(name)).max(1));
        Self { bytes, working: Cell::new(Instant::now()), told: Cell::new(None) }
    }

    /// Rests for what was worked; gives how much is done, in percent, when that is to be told.
    fn go_on(&self, reading: Reading, done: u64, total: u64) -> Option<u64> {
        let worked = self.working.get().elapsed();
        if worked >= SHORTEST_WORK {
            std::thread::sleep((worked * REST).min(LONGEST_REST));
            self.working.set(Instant::now());
        }
        if self.told.get().is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return None;
        }
        self.told.set(Some(Instant::now()));
        Some(self.percent(reading, done, total))
    }

    fn percent(&self, reading: Reading, done: u64, total: u64) -> u64 {
        let at = Reading::ALL.iter().position(|one| *one == reading).unwrap_or_default();
        let before: u64 = self.bytes[..at].iter().sum();
        let part = u128::from(self.bytes[at]) * u128::from(done.min(total)) / u128::from(total.max(1));
        let all: u64 = self.bytes.iter().sum();
        let percent = (u128::from(before) + part) * 100 / u128::from(all);
        u64::try_from(percent).unwrap_or(100).min(99)
    }
}

#[cfg(test)]
mod tests {
    use store::{Cause, Damaged, Part};

    use super::*;

    #[test]
    fn how_much_is_done_goes_by_bytes_and_never_back() {
        let pace = Pace { bytes: [100, 1, 199, 700], working: Cell::new(Instant::now()), told: Cell::new(None) };
        let mut last = 0;
        for (reading, total) in Reading::ALL.into_iter().zip([1_000, 2, 50, 3]) {
            for done in 0..=total {
                let percent = pace.percent(reading, done, total);
                assert!(percent >= last && percent < 100, "{reading:?} {done}: {percent} after {last}");
                last = percent;
            }
        }
        assert_eq!(pace.percent(Reading::Records, 25, 50), 20);
        assert_eq!(pace.percent(Reading::Bodies, 0, 0), 30);
    }

    #[test]
    fn a_result_is_kept_and_said() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(Verified::kept(dir.path()), None);
        let damaged = |at| Damaged::new(Part::Segment, Cause::Checksum).file("log/1.log").at(at);
        let begun = Verified::begun(1_000, true);
        begun.keep(dir.path()).unwrap();
        assert!(Verified::kept(dir.path()).unwrap().described().contains("not completed"));
        let report = Report { commits: 3, damage: (0..300).map(damaged).collect(), ..Report::default() };
        let found = begun.with(&report, 9_000);
        found.keep(dir.path()).unwrap();
        let kept = Verified::kept(dir.path()).unwrap();
        assert_eq!((kept.damage_count, kept.damage.len(), kept.commits), (300, MAX_KEPT, 3));
        assert_eq!(kept, found);
        let first = &kept.found[1];
        assert_eq!((first.part.as_str(), first.cause.as_str(), first.offset), ("segment", "checksum", Some(1)));
    }
}
