//! Shipping: one follower of the log per target. Each works independently; failures are retried at growing intervals;
//! writers never wait for it. At most one pack, one run and the largest message are in memory.

mod look;

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use store::{
    BodyId, Commit, Seq, Store, StoreError,
    log::{Chain, RunWriter},
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::{
    ArchiveError, Result, blocking,
    bodies::{BodyShipper, NotedPack, Packs, Shipped, noted_pack},
    catalog::Catalog,
    codec::Recipients,
    format::{ARCHIVE, Archive, FORMAT, LineRecord, PutRight, RunName},
    line::{Line, Noted},
    restorable::Restorable,
    target::Target,
};
use crate::estimate::Estimate;

/// A run is closed when it is larger.
const RUN_BYTES: usize = 4 << 20;
/// A run has at most so many commits.
const RUN_COMMITS: u64 = 50_000;
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How often the archive is listed and compared with the shipping state.
const LIST_EVERY: Duration = Duration::from_secs(3600);

/// How a target's shipping is.
#[derive(Debug, Clone, Default)]
pub struct ShipStatus {
    /// The last commit that is in the archive.
    pub shipped: Seq,
    /// The time of the oldest commit not shipped yet, in milliseconds since 1970; none if all are shipped.
    pub waiting_since_ms: Option<i64>,
    /// The last failure, while it is being retried.
    pub failing: Option<String>,
    /// Commits and bytes (runs and packs) shipped since the start.
    pub commits: u64,
    /// See `commits`.
    pub bytes: u64,
    /// Bodies that commits referred to and that were gone already.
    pub missing_bodies: u64,
    /// How far the archive can be restored, from the last check and later shipping; none before the first check.
    pub restorable: Option<Restorable>,
    /// The number of checks so far, whatever their results.
    pub looks: u64,
    /// Objects that were missing in the archive and stored again, newest last: the last few.
    pub mended: Vec<String>,
    /// Since when it makes up for what it does not have: a first shipment, or what came while the target was away.
    catching_up: Option<CatchingUp>,
}

#[derive(Debug, Clone, Copy)]
struct CatchingUp {
    since: Instant,
    /// What was there then.
    shipped: Seq,
    bytes: u64,
}

impl ShipStatus {
    /// While it makes up for what the archive does not have: how far that is, `end` being the last commit.
    pub fn estimate(&self, end: Seq) -> Option<Estimate> {
        let begun = self.catching_up?;
        let (done, total) = (self.shipped.0.checked_sub(begun.shipped.0)?, end.0.checked_sub(begun.shipped.0)?);
        Estimate::of(done, total, self.bytes - begun.bytes, begun.since.elapsed())
    }

    /// How far the archive is behind, in seconds.
    pub fn lag_seconds(&self, now_ms: i64) -> f64 {
        self.waiting_since_ms.map_or(0.0, |since| (now_ms - since).max(0) as f64 / 1000.0)
    }
}

/// The shipper of one target.
pub struct Shipper {
    store: Store,
    target: Target,
    recipients: Recipients,
    line: Line,
    /// How long commits are gathered.
    every: Duration,
    status: Arc<Mutex<ShipStatus>>,
    asked: Arc<Notify>,
}

impl Shipper {
    /// Ships `store`'s commits to `target`, gathering them for at most `every`.
    pub fn new(store: Store, target: Target, recipients: Recipients, line: Line, every: Duration) -> Self {
        Self { store, target, recipients, line, every, status: Arc::default(), asked: Arc::default() }
    }

    /// Triggers a check of the archive, which ships missing objects again.
    pub fn ask(&self) -> Arc<Notify> {
        self.asked.clone()
    }

    /// How it is, now and later.
    pub fn status(&self) -> Arc<Mutex<ShipStatus>> {
        self.status.clone()
    }

    /// Ships until cancelled, or until the store and the archive turn out to have different histories.
    ///
    /// # Errors
    /// [`ArchiveError::Forked`], [`ArchiveError::Store`] if the log is damaged. Everything else is retried.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<()> {
        let lag = metrics::gauge!("holdfast_archive_lag_seconds", "target" => self.target.name().to_owned());
        let shipping = async {
            let mut pause = FIRST_PAUSE;
            loop {
                let before = self.status.lock().commits;
                match self.ship().await {
                    Ok(never) => return Ok(never),
                    Err(error @ (ArchiveError::Target { .. } | ArchiveError::Damaged { .. })) => {
                        if self.status.lock().commits > before {
                            // It came on in between.
                            pause = FIRST_PAUSE;
                        }
                        self.failed(&error);
                        tokio::time::sleep(pause.mul_f64(0.75 + 0.5 * rand::random::<f64>())).await;
                        pause = (pause * 2).min(LONGEST_PAUSE);
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let measure = async {
            let mut every = tokio::time::interval(Duration::from_secs(1));
            loop {
                every.tick().await;
                let (now_ms, seq) = (self.store.clock().now_ms(), self.store.seq());
                let mut status = self.status.lock();
                if seq > status.shipped {
                    // Not yet looked at: the target has not answered since.
                    status.waiting_since_ms.get_or_insert(now_ms);
                }
                lag.set(status.lag_seconds(now_ms));
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            outcome = shipping => {
                if let Err(error) = &outcome {
                    self.failed(error);
                }
                outcome
            }
            () = measure => unreachable!("it measures for ever"),
        }
    }

    fn failed(&self, error: &ArchiveError) {
        tracing::warn!(target = self.target.name(), %error, "shipping to the archive failed");
        metrics::counter!("holdfast_archive_errors_total", "target" => self.target.name().to_owned()).increment(1);
        self.status.lock().failing = Some(error.to_string());
    }

    /// Ships everything up to now, once.
    ///
    /// # Errors
    /// Any: nothing is tried again.
    pub async fn catch_up(&self) -> Result<Seq> {
        let upto = self.store.seq();
        let (next, chain) = self.resume().await?;
        if next > upto {
            return Ok(upto);
        }
        let mut work = self.begin(next, chain).await?;
        while work.run.next() <= upto {
            let commit = work.follower.next().await?;
            self.take(&mut work, &commit).await?;
            if work.is_full() {
                self.store_run(&mut work).await?;
            }
        }
        self.store_run(&mut work).await?;
        Ok(upto)
    }

    async fn ship(&self) -> Result<()> {
        let (next, chain) = self.resume().await?;
        {
            let mut status = self.status.lock();
            status.shipped = Seq(next.0 - 1);
            status.failing = None;
            if next > self.store.seq() {
                status.waiting_since_ms = None;
                status.catching_up = None;
            } else {
                let (shipped, bytes) = (status.shipped, status.bytes);
                status.catching_up.get_or_insert_with(|| CatchingUp { since: Instant::now(), shipped, bytes });
            }
        }
        let mut work = self.begin(next, chain).await?;
        self.look_and_mend(&mut work).await?;
        loop {
            let commit = tokio::select! {
                commit = work.follower.next() => commit?,
                () = self.asked.notified() => {
                    self.look_and_mend(&mut work).await?;
                    continue;
                }
                () = tokio::time::sleep_until((work.listed + LIST_EVERY).into()) => {
                    self.look_and_mend(&mut work).await?;
                    continue;
                }
            };
            self.status.lock().waiting_since_ms.get_or_insert(commit.time_ms);
            let until = tokio::time::Instant::now() + self.every;
            self.take(&mut work, &commit).await?;
            while !work.is_full() {
                match tokio::time::timeout_at(until, work.follower.next()).await {
                    Ok(commit) => {
                        let commit = commit?;
                        self.take(&mut work, &commit).await?;
                    }
                    Err(_) => break,
                }
            }
            self.store_run(&mut work).await?;
            if work.listed.elapsed() > LIST_EVERY {
                self.look_and_mend(&mut work).await?;
            }
        }
    }

    async fn begin(&self, next: Seq, chain: Chain) -> Result<Work> {
        let packs = self.packs().await?;
        let bodies = BodyShipper::new(self.store.clone(), self.target.clone(), self.recipients.clone(), packs, 0);
        let follower = self.store.follow(next)?;
        Ok(Work {
            follower,
            run: RunWriter::new(next, chain),
            bodies,
            first: next,
            behind: false,
            put_right: Vec::new(),
            last_ms: None,
            listed: Instant::now(),
            counted: 0,
            pending: Vec::new(),
            since: Since::default(),
        })
    }

    async fn packs(&self) -> Result<Packs> {
        let catalog = Catalog::read(&self.target).await?;
        let newest = catalog.newest_of(&self.target, &self.line.record).await?;
        Packs::list(&self.target, newest.as_ref()).await
    }

    /// Makes sure that the archive is one and knows this line; gives the commit to go on with and the chain before it.
    async fn resume(&self) -> Result<(Seq, Chain)> {
        prepare(&self.target, &self.line, self.store.clock().now_ms()).await?;
        let names = self.target.list(&format!("log/{}", self.line.name())).await?;
        let last = names.iter().filter_map(|object| object.name.parse::<RunName>().ok()).max_by_key(|run| run.last);
        let (seq, chain) = match &last {
            Some(run) => (run.last, run.chain),
            None => self.begin_after().await?,
        };
        let line = self.line.name();
        if seq > self.store.seq() {
            return Err(ArchiveError::Forked(format!(
                "archive {} has commits of line {line} up to {seq}, but this store ends at {}: this data folder is \
                 older than its archive; restore from there, or remove the folder `archive` in the data folder to \
                 start a new line",
                self.target.name(),
                self.store.seq()
            )));
        }
        let store = self.store.clone();
        match blocking(move || store.log_point(seq)).await {
            Ok((found, _)) if found == chain => Ok((Seq(seq.0 + 1), chain)),
            Ok(_) => Err(ArchiveError::Forked(format!(
                "archive {} has a different commit {seq} of line {line} than this store: two data folders ship to the same line; \
                 remove the folder `archive` in the copy's data folder to start a new line",
                self.target.name(),
            ))),
            // The commits in between are no longer in the log: the next snapshot closes the gap.
            Err(StoreError::NotRetained { first, .. }) => {
                let before = Seq(first.0 - 1);
                tracing::warn!(target = self.target.name(), %seq, %first, "the commits in between are no longer in the log");
                let store = self.store.clone();
                let (chain, _) = blocking(move || store.log_point(before)).await?;
                Ok((first, chain))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The commit after which a line begins in a target that has nothing of it yet. That may have less of the line that it
    /// goes on from than another target, after which the line was begun: what is missing there is shipped too, as far as it
    /// is still here.
    async fn begin_after(&self) -> Result<(Seq, Chain)> {
        let (start, chain) = self.line.start()?;
        let Some(parent) = &self.line.record.parent else { return Ok((start, chain)) };
        let there = self.target.list(&format!("log/{}", parent.line)).await?;
        let runs: Vec<RunName> = there.iter().filter_map(|object| object.name.parse().ok()).collect();
        let reaches_it = runs.iter().any(|run| run.last >= start);
        let Some(last) = runs.into_iter().max_by_key(|run| run.last).filter(|_| !reaches_it) else {
            return Ok((start, chain));
        };
        let (store, seq) = (self.store.clone(), last.last);
        match blocking(move || store.log_point(seq)).await {
            Ok((found, _)) if found == last.chain => Ok((last.last, last.chain)),
            _ => Ok((start, chain)),
        }
    }

    async fn take(&self, work: &mut Work, commit: &Commit) -> Result<()> {
        for id in commit.bodies() {
            match work.bodies.ensure(id).await? {
                Shipped::Missing => {
                    // A later commit let go of it, longer ago than bodies are kept.
                    tracing::warn!(target = self.target.name(), body = %id, commit = %commit.seq(), "a body was missing before it was shipped");
                    self.status.lock().missing_bodies += 1;
                }
                Shipped::In(_) | Shipped::Pending => work.pending.push((commit.seq(), id)),
            }
        }
        if commit.clock_ms != 0 && !work.behind {
            work.put_right.push(PutRight {
                line: self.line.name().to_owned(),
                seq: commit.seq(),
                stated_ms: commit.time_ms,
                clock_ms: commit.clock_ms,
            });
        }
        work.behind = commit.clock_ms != 0;
        work.last_ms = Some(commit.true_ms());
        work.run.push(commit)?;
        Ok(())
    }

    /// Stores the collected data: the bodies first, then the commits that refer to them.
    async fn store_run(&self, work: &mut Work) -> Result<()> {
        if work.run.is_empty() {
            return Ok(());
        }
        work.bodies.flush().await?;
        let snapshot = self.store.snapshot();
        for (seq, id) in std::mem::take(&mut work.pending) {
            if let Some(pack) = noted_pack(&snapshot, &self.target, &id)? {
                work.since.packs.entry(pack).or_insert(seq);
            }
        }
        while let Some(place) = work.put_right.last() {
            let name = place.to_string();
            self.target.create(&name, bytes::Bytes::from(name.clone())).await?;
            work.put_right.pop();
        }
        let (next, chain) = (work.run.next(), work.run.chain());
        let run = std::mem::replace(&mut work.run, RunWriter::new(next, chain));
        let (first, last) = (work.first, Seq(next.0 - 1));
        let (name, stored_bytes) = self.upload(run, (first, last), chain).await?;
        work.since.runs.insert(name, stored_bytes);
        let (store, cursor) = (self.store.clone(), format!("archive/{}", self.target.name()));
        blocking(move || store.set_cursor(&cursor, last)).await?;
        self.note(last, work.last_ms);
        let mut status = self.status.lock();
        status.commits += next.0 - first.0;
        status.bytes += stored_bytes + (work.bodies.shipped.1 - work.counted);
        status.shipped = last;
        if last >= self.store.seq() {
            status.catching_up = None;
        }
        status.waiting_since_ms = None;
        status.failing = None;
        if let Some(restorable) = &mut status.restorable {
            if restorable.is_whole() && restorable.seq.0 + 1 == first.0 {
                (restorable.seq, restorable.time_ms) = (last, work.last_ms);
            }
            restorable.due = last.max(restorable.due);
            self.measure(restorable);
        }
        work.counted = work.bodies.shipped.1;
        work.first = next;
        Ok(())
    }

    /// Stores a run of commits; gives its name and its bytes.
    async fn upload(&self, run: RunWriter, (first, last): (Seq, Seq), chain: Chain) -> Result<(String, u64)> {
        let recipients = self.recipients.clone();
        let sealed = blocking(move || recipients.seal(&run.finish())).await?;
        let sign = |bytes: &[u8]| self.line.sign(bytes);
        let (name, stored) = RunName::to_stored(self.line.name(), (first, last), chain, &sealed, sign);
        let (name, stored_bytes) = (name.to_string(), stored.len() as u64);
        self.target.create(&name, stored).await?;
        Ok((name, stored_bytes))
    }

    /// Notes beside the line what was shipped, for commands that compare the archive with it while this process doesn't run.
    fn note(&self, seq: Seq, time_ms: Option<i64>) {
        let noted = Noted { line: self.line.name().to_owned(), seq: seq.0, time_ms };
        if let Err(error) = noted.write(self.store.dir(), self.target.name()) {
            tracing::warn!(%error, "could not record the shipping state");
        }
    }
}

/// What is being shipped.
struct Work {
    follower: store::Follower,
    run: RunWriter,
    bodies: BodyShipper,
    first: Seq,
    /// The last commit states a later time than it had.
    behind: bool,
    put_right: Vec<PutRight>,
    /// When the last commit of the run was made, in milliseconds since 1970.
    last_ms: Option<i64>,
    listed: Instant,
    counted: u64,
    /// Bodies that the run refers to, with the commits.
    pending: Vec<(Seq, BodyId)>,
    since: Since,
}

/// What must be in the archive for the commits after the snapshot that a restore begins with.
#[derive(Default)]
struct Since {
    /// That snapshot's last commit; none before the first look.
    base: Option<Seq>,
    /// The packs that the commits refer to, each with the first such commit.
    packs: BTreeMap<NotedPack, Seq>,
    /// The runs that were seen or stored, with their bytes.
    runs: BTreeMap<String, u64>,
}

impl Work {
    fn is_full(&self) -> bool {
        self.run.len() > RUN_BYTES || self.run.next().0 - self.first.0 >= RUN_COMMITS
    }
}

/// Makes sure that a target holds an archive that this version can write to, and knows the line. What can't be read of
/// that is written again.
pub(super) async fn prepare(target: &Target, line: &Line, now_ms: i64) -> Result<()> {
    let mine = Archive { format: FORMAT, created_ms: now_ms };
    let text = bytes::Bytes::from(serde_json::to_vec_pretty(&mine).expect("it is plain data"));
    let found = target.create_or_get(ARCHIVE, text.clone()).await?;
    match serde_json::from_slice::<Archive>(&found) {
        Ok(found) => found.check_format(target.name())?,
        Err(error) => {
            tracing::error!(target = target.name(), %error, "{ARCHIVE} can't be read: writing it again");
            target.replace(ARCHIVE, text).await?;
        }
    }
    let object = LineRecord::object(line.name());
    let text = bytes::Bytes::from(serde_json::to_vec_pretty(&line.record).expect("it is plain data"));
    let found = target.create_or_get(&object, text.clone()).await?;
    match serde_json::from_slice::<LineRecord>(&found) {
        Ok(found) if found == line.record => Ok(()),
        Ok(_) => Err(ArchiveError::Forked(format!("archive {} has another line named {}", target.name(), line.name()))),
        Err(error) => {
            tracing::error!(target = target.name(), object, %error, "an object can't be read: writing it again");
            target.replace(&object, text).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_archive_does_not_have_yet_is_measured_from_where_it_began() {
        let begun = |shipped, bytes| Some(CatchingUp { since: Instant::now(), shipped: Seq(shipped), bytes });
        let status = |shipped, bytes, catching_up| ShipStatus {
            shipped: Seq(shipped),
            bytes,
            catching_up,
            ..ShipStatus::default()
        };
        let percent = |status: ShipStatus, end| status.estimate(Seq(end)).map(|one| (one.percent, one.bytes_total));
        assert_eq!(percent(status(10, 500, None), 100), None, "it follows");
        assert_eq!(percent(status(0, 0, begun(0, 0)), 100), None, "nothing is shipped yet");
        assert_eq!(percent(status(25, 500, begun(0, 0)), 100), Some((25, 2000)));
        // What was there, and was shipped before, does not count.
        assert_eq!(percent(status(60, 700, begun(50, 600)), 100), Some((20, 500)));
        assert_eq!(percent(status(100, 700, begun(50, 600)), 100), Some((100, 100)));
    }
}
