//! The writer thread: runs groups and makes them durable.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque, btree_map::Entry},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, atomic::Ordering},
    time::Instant,
};

use prost::Message as _;

use super::{
    acks::{Tell, Told, tell_all},
    queue::{Job, Ran, Shared, Task},
};
use crate::{
    BodyId, CLOCK_SLACK_MS, Clock, Commit, Op, PeerFault, RealmCommit, RealmId, Result, Seq, StoreError, Tx,
    body::Bodies,
    damage::Findings,
    digest::Seal,
    error::panic_text,
    follow::Tail,
    index::{Batch, IndexEngine, Quarantine, RealmState, Space, meta, realm_of, sealed},
    lock::Lock,
    log::{Chain, CommitLog, MAX_RECORD_BYTES, frame},
    partial::Partial,
    room::Room,
    tx::{Group, Writes},
    watchers::Watchers,
};

/// Transactions in one group.
const MAX_GROUP: usize = 1024;
/// Log bytes of one group, after which it is closed.
const MAX_GROUP_BYTES: usize = 8 << 20;

/// The parts of the one store that the thread writes.
pub(crate) struct Parts {
    pub log: Box<dyn CommitLog>,
    pub index: Arc<dyn IndexEngine>,
    pub bodies: Arc<dyn Bodies>,
    pub quarantine: Arc<Quarantine>,
    pub findings: Arc<Findings>,
    pub partial: Arc<Partial>,
    pub watchers: Arc<Watchers>,
    pub tail: Arc<Tail>,
    pub clock: Arc<dyn Clock>,
    /// The folder stays this process's until the last group is written.
    pub lock: Option<Arc<Lock>>,
    pub room: Arc<Room>,
}

pub(super) struct Thread {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Box<dyn CommitLog>,
    pub(super) index: Arc<dyn IndexEngine>,
    pub(super) bodies: Arc<dyn Bodies>,
    pub(super) quarantine: Arc<Quarantine>,
    pub(super) findings: Arc<Findings>,
    pub(super) partial: Arc<Partial>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) tail: Arc<Tail>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) epoch: u64,
    pub(super) realms: HashMap<RealmId, RealmState>,
    pub(super) durable: Seq,
    pub(super) last_ms: i64,
    /// The folder stays this process's until the last group is written.
    pub(super) _lock: Option<Arc<Lock>>,
    pub(super) room: Arc<Room>,
}

/// What a group's closures wrote, and who is to be told.
struct Gathered {
    /// The log's bytes.
    frames: Vec<u8>,
    commits: Vec<Arc<Commit>>,
    chain: Chain,
    /// Whether it is told once the group is durable here, whom, and its own outcome.
    tells: Vec<(bool, Tell, Result<()>)>,
    /// The states of the realms before the group.
    before: HashMap<RealmId, Option<RealmState>>,
    /// What did not fit in.
    rest: Vec<Job>,
}

impl Thread {
    pub(super) fn new(parts: Parts, shared: Arc<Shared>, epoch: u64) -> Result<Self> {
        let Parts { log, index, bodies, quarantine, findings, partial, watchers, tail, clock, lock, room } = parts;
        let realms = meta::realm_states(&*index.view())?.into_iter().collect();
        let durable = Seq(log.next().0 - 1);
        shared.acks.lock().found(durable);
        // The clock may have been put back since.
        let last_ms = log.time_ms();
        shared.last_ms.store(last_ms, Ordering::Relaxed);
        Ok(Self {
            shared,
            log,
            index,
            bodies,
            quarantine,
            findings,
            partial,
            watchers,
            tail,
            clock,
            epoch,
            realms,
            durable,
            last_ms,
            _lock: lock,
            room,
        })
    }

    /// Runs until the store closes. Any failure here (also a panic) ends in a stopped store that reports it, never in one
    /// that keeps its callers waiting.
    pub(super) fn run(&mut self) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work())) {
            let reason = format!("the writer failed: {}", panic_text(&*panic));
            self.stop(&reason);
            self.shared.forsake(&reason);
        }
    }

    pub(super) fn stop(&self, reason: &str) {
        let reason = self.shared.stop(reason);
        tracing::error!(reason, "the store has stopped: writes are no longer acknowledged");
    }

    fn work(&mut self) {
        while let Some((tasks, jobs)) = self.next_jobs() {
            for task in tasks {
                task(self);
            }
            if !jobs.is_empty() {
                self.group(jobs);
            }
        }
    }

    /// What waits, once there is something; `None` when the store closes.
    fn next_jobs(&self) -> Option<(VecDeque<Task>, VecDeque<Job>)> {
        let mut queue = self.shared.queue.lock();
        while queue.jobs.is_empty() && queue.tasks.is_empty() {
            if queue.closing {
                return None;
            }
            self.shared.work.wait(&mut queue);
        }
        let tasks = std::mem::take(&mut queue.tasks);
        let count = queue.jobs.len().min(MAX_GROUP);
        let jobs = queue.jobs.drain(..count).collect();
        self.shared.room.notify_all();
        Some((tasks, jobs))
    }

    fn group(&mut self, jobs: VecDeque<Job>) {
        let start = Instant::now();
        let mut group = Group {
            view: self.index.view(),
            quarantine: self.quarantine.clone(),
            partial: self.partial.clone(),
            writes: Writes::new(),
            realms: std::mem::take(&mut self.realms),
        };
        let Gathered { frames, commits, chain, tells, before, rest } = self.gather(&mut group, jobs);
        // Submitters of a group in which something panics are not told that it was not done: it may be.
        let tells = Tells(tells);
        let (outcome, stop) = self.make_durable(&group, &frames, &commits, chain);
        let tells = tells.take();
        self.realms = group.realms;
        if outcome.is_err() {
            for (realm, state) in before {
                match state {
                    Some(state) => self.realms.insert(realm, state),
                    None => self.realms.remove(&realm),
                };
            }
        } else if let Some(last) = commits.last() {
            metrics::histogram!("holdfast_store_group_commits").record(commits.len() as f64);
            metrics::histogram!("holdfast_store_group_seconds").record(start.elapsed().as_secs_f64());
            self.durable = last.seq();
            self.shared.last_ms.store(last.time_ms, Ordering::Relaxed);
            if stop.is_none() {
                self.publish_realms(&commits);
            }
            for commit in &commits {
                self.watchers.hooks.committed(commit);
            }
            self.tail.publish(commits);
        }
        self.acknowledge(tells, outcome, stop.as_deref(), rest);
    }

    /// Runs the closures of a group one after another, as many as it may have.
    fn gather(&mut self, group: &mut Group, jobs: VecDeque<Job>) -> Gathered {
        let mut before: HashMap<RealmId, Option<RealmState>> = HashMap::new();
        let (mut frames, mut commits, mut chain) = (Vec::new(), Vec::new(), self.log.chain());
        let mut tells = Vec::new();
        let mut jobs = jobs.into_iter();
        for job in jobs.by_ref() {
            let clock_ms = self.clock.now_ms();
            self.last_ms = self.last_ms.max(clock_ms);
            let mut tx = Tx::new(group, self.last_ms);
            match job(&mut tx) {
                Ran { commits: false, here, tell } => tells.push((here, tell, Ok(()))),
                Ran { here, tell, .. } => {
                    let open = self.watchers.hooks.complete(&mut tx);
                    let (writes, bodies) = (std::mem::take(&mut tx.writes), std::mem::take(&mut tx.bodies));
                    let upkeep = tx.upkeep;
                    let seq = Seq(self.log.next().0 + commits.len() as u64);
                    match open.and_then(|()| self.commit_of(group, writes, &bodies, seq)) {
                        Ok((mut commit, writes, states)) => {
                            commit.upkeep = upkeep;
                            if self.last_ms - clock_ms > CLOCK_SLACK_MS {
                                commit.clock_ms = clock_ms;
                            }
                            chain = frame(&commit, chain, &mut frames);
                            group.writes.extend(writes);
                            for (realm, state) in states {
                                let old = group.realms.insert(realm, state);
                                before.entry(realm).or_insert(old);
                            }
                            commits.push(Arc::new(commit));
                            tells.push((here, tell, Ok(())));
                        }
                        Err(error) => tells.push((here, tell, Err(error))),
                    }
                }
            }
            if frames.len() > MAX_GROUP_BYTES {
                break;
            }
        }
        Gathered { frames, commits, chain, tells, before, rest: jobs.collect() }
    }

    /// Tells those who submitted a group what became of it, or has them wait for another machine. `rest` is what was not
    /// run.
    fn acknowledge(
        &self,
        tells: Vec<(bool, Tell, Result<()>)>,
        mut outcome: Result<()>,
        stop: Option<&str>,
        rest: Vec<Job>,
    ) {
        let mut acks = self.shared.acks.lock();
        let mut queue = self.shared.queue.lock();
        match &queue.stopped {
            // By somebody else meanwhile: nothing is acknowledged after that, whatever became of it.
            Some(reason) if outcome.is_ok() => outcome = Err(StoreError::Unknown { reason: reason.clone() }),
            Some(_) => {}
            None if stop.is_none() => rest.into_iter().rev().for_each(|job| queue.jobs.push_front(job)),
            None => {}
        }
        drop(queue);
        if let Some(reason) = stop {
            // Before anyone is told, so that nothing is submitted to a store that takes nothing more.
            self.stop(reason);
        }
        let (mut told, mut held) = (Told::new(), Told::new());
        for (here, tell, own) in tells {
            let outcome = own.and_then(|()| outcome.clone());
            if here { &mut told } else { &mut held }.push((tell, outcome));
        }
        // What a transaction has only read may not be durable elsewhere yet either.
        if outcome.is_ok() && !acks.is_acknowledged(self.durable) {
            acks.hold(self.durable, held);
        } else {
            told.append(&mut held);
        }
        drop(acks);
        tell_all(told);
    }

    fn publish_realms(&self, commits: &[Arc<Commit>]) {
        let parts = commits.iter().flat_map(|commit| commit.realms.iter());
        self.watchers.publish(parts.map(|part| (part.realm(), part.realm_seq())));
    }

    pub(super) fn receive(&mut self, commits: Vec<Commit>, after: Chain) -> Result<()> {
        let (mut frames, mut chain) = (Vec::new(), self.log.chain());
        for (at, commit) in commits.iter().enumerate() {
            let due = Seq(self.log.next().0 + at as u64);
            if commit.seq() != due {
                return Err(StoreError::Peer(PeerFault::WrongCommit { found: commit.seq(), expected: due }));
            }
            chain = frame(commit, chain, &mut frames);
        }
        let Some(last) = commits.last() else { return Ok(()) };
        self.room.check()?;
        if chain != after {
            return Err(StoreError::Peer(PeerFault::OtherLog { last: last.seq() }));
        }
        self.keep_in_place()?;
        self.bodies.sync()?;
        self.log.append(&frames, commits.len() as u64, chain, last.time_ms)?;
        self.log.sync()?;
        self.durable = last.seq();
        self.last_ms = self.last_ms.max(last.time_ms);
        self.shared.last_ms.store(self.last_ms, Ordering::Relaxed);
        self.tail.publish(commits.into_iter().map(Arc::new).collect());
        self.roll()
    }

    /// Sees to it that what was acknowledged is still where it was written.
    pub(super) fn keep_in_place(&mut self) -> Result<()> {
        if let Some(what) = self.log.keep_in_place()? {
            self.findings.note(what.file.as_deref().unwrap_or("log"), &what);
        }
        Ok(())
    }

    /// Begins a new log segment where the old one is full; where that can't be done yet the old one goes on.
    fn roll(&mut self) -> Result<()> {
        match self.log.roll() {
            Err(error @ StoreError::Stopped { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "could not start a new log segment; continuing with the old one");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    pub(super) fn promote(&mut self, unmark: impl FnOnce() -> Result<()>) -> Result<u64> {
        let view = self.index.view();
        let (applied, _) = meta::applied(&*view)?;
        if applied != self.durable {
            return Err(StoreError::refused(format!(
                "commits {} to {} were received but not applied",
                applied.0 + 1,
                self.durable
            )));
        }
        let epoch = meta::epoch(&*view)? + 1;
        self.index.apply(vec![meta::set_epoch(epoch)])?;
        self.index.persist()?;
        unmark()?;
        self.realms = meta::realm_states(&*self.index.view())?.into_iter().collect();
        self.epoch = epoch;
        self.shared.acks.lock().found(self.durable);
        self.shared.queue.lock().replica = None;
        Ok(epoch)
    }

    /// The commit that a transaction's writes make, the writes, and the states of the realms after it.
    #[allow(clippy::type_complexity, reason = "used once, right here")]
    fn commit_of(
        &self,
        group: &Group,
        writes: Writes,
        bodies: &[BodyId],
        seq: Seq,
    ) -> Result<(Commit, Writes, Vec<(RealmId, RealmState)>)> {
        for body in bodies {
            match self.bodies.check_known(body) {
                // What the realm refers to already comes later.
                Err(StoreError::BodyMissing { .. }) if self.partial.is_on() && group.refers_to(&writes, body)? => {}
                other => other?,
            }
        }
        let mut parts: BTreeMap<RealmId, (RealmState, Vec<Op>)> = BTreeMap::new();
        for (full, value) in &writes {
            let realm = realm_of(full);
            let key = &full[8..];
            let (state, ops) = match parts.entry(realm) {
                Entry::Occupied(part) => part.into_mut(),
                Entry::Vacant(place) => {
                    self.quarantine.check(realm)?;
                    self.partial.check(&*group.view, realm)?;
                    place.insert((group.realms.get(&realm).copied().unwrap_or_default(), Vec::new()))
                }
            };
            if let Some(old) = group.get(realm, key, full)? {
                state.digest.subtract(Seal::of(realm, key, &old));
            }
            if let Some(new) = value {
                state.digest.add(Seal::of(realm, key, new));
            }
            ops.push(Op { key: key.to_vec(), value: value.as_ref().map(|value| value.to_vec()) });
        }
        let mut states = Vec::with_capacity(parts.len());
        let mut realms = Vec::with_capacity(parts.len());
        for (realm, (mut state, ops)) in parts {
            state.seq.0 += 1;
            states.push((realm, state));
            realms.push(RealmCommit {
                realm_raw: realm.raw(),
                realm_seq_raw: state.seq.0,
                digest_bytes: state.digest.to_bytes().to_vec(),
                ops,
            });
        }
        let commit = Commit {
            seq_raw: seq.0,
            epoch: self.epoch,
            time_ms: self.last_ms,
            durable_raw: self.durable.0,
            realms,
            ..Commit::default()
        };
        // Nobody could read it again.
        let bytes = commit.encoded_len();
        if bytes > MAX_RECORD_BYTES {
            return Err(StoreError::TooLarge { what: "a commit", found: bytes, limit: MAX_RECORD_BYTES });
        }
        Ok((commit, writes, states))
    }

    /// Makes a group durable; gives what its submitters are told, and why the store must stop after that, if so. Once the
    /// log has a commit it is done, whatever becomes of the index: that one is caught up at the next start.
    fn make_durable(
        &mut self,
        group: &Group,
        frames: &[u8],
        commits: &[Arc<Commit>],
        chain: [u8; 32],
    ) -> (Result<()>, Option<String>) {
        let Some(last) = commits.last() else { return (Ok(()), None) };
        if let Err(what) = self.check_follows(commits) {
            let reason = format!("internal error: {what}; nothing of it was written: restart the service");
            return (Err(StoreError::Stopped { reason: reason.clone() }), Some(reason));
        }
        if let Err(error) = self.log_group(frames, commits.len() as u64, chain, last.time_ms) {
            let stop = match &error {
                StoreError::Stopped { reason } | StoreError::Unknown { reason } => Some(reason.clone()),
                _ => None,
            };
            return (Err(error), stop);
        }
        let mut batch = Batch::new();
        for (full, value) in &group.writes {
            let realm = realm_of(full);
            let value = value.as_ref().map(|value| sealed(Seal::of(realm, &full[8..], value), value));
            batch.push((Space::Records, full.clone(), value));
        }
        let touched: BTreeSet<RealmId> =
            commits.iter().flat_map(|commit| &commit.realms).map(RealmCommit::realm).collect();
        batch.extend(touched.iter().map(|realm| meta::set_realm_state(*realm, group.realms[realm])));
        batch.push(meta::set_applied(last.seq(), &chain));
        // Before anyone can read it: who answers from what is read must know what it waits for.
        self.shared
            .acks
            .lock()
            .touch(last.seq(), commits.iter().flat_map(|commit| &commit.realms).map(RealmCommit::realm));
        let begun = Instant::now();
        let indexed = catch_unwind(AssertUnwindSafe(|| self.index.apply(batch)));
        metrics::histogram!("holdfast_store_index_seconds").record(begun.elapsed().as_secs_f64());
        let indexed =
            indexed.map_err(|panic| panic_text(&*panic)).and_then(|outcome| outcome.map_err(|e| e.to_string()));
        let stop = match indexed {
            Err(error) => Some(format!(
                "the index did not store commit {}, which is safe in the log: {error}; restart the service",
                last.seq()
            )),
            Ok(()) => {
                if cfg!(debug_assertions) {
                    self.assert_indexed(group, &touched);
                }
                self.roll().err().map(|error| match error {
                    StoreError::Stopped { reason } | StoreError::Unknown { reason } => reason,
                    other => other.to_string(),
                })
            }
        };
        (Ok(()), stop)
    }

    /// Whether a group's commits follow the log without a gap, in numbers, in time and in each realm: what every reader of
    /// the log checks again. One that does not is a bug here, and must not become truth.
    fn check_follows(&self, commits: &[Arc<Commit>]) -> Result<(), String> {
        let (mut due, mut time_ms) = (self.log.next(), self.log.time_ms());
        for commit in commits {
            if commit.seq() != due {
                return Err(format!("commit {} was made where commit {due} is due", commit.seq()));
            }
            if commit.time_ms < time_ms {
                return Err(format!("commit {due} is of {}, and the one before it of {time_ms}", commit.time_ms));
            }
            if commit.durable_raw >= due.0 {
                return Err(format!("commit {due} states that commit {} is durable", commit.durable_raw));
            }
            if let Some(part) = commit.realms.iter().find(|part| part.ops.is_empty() || part.digest().is_none()) {
                return Err(format!("commit {due} has an empty part of {}", part.realm()));
            }
            (due, time_ms) = (Seq(due.0 + 1), commit.time_ms);
        }
        Ok(())
    }

    /// That the index has what the group made of its realms: their commits and digests.
    fn assert_indexed(&self, group: &Group, touched: &BTreeSet<RealmId>) {
        let view = self.index.view();
        for realm in touched {
            if let Ok(state) = meta::realm_state(&*view, *realm) {
                assert_eq!(state, group.realms[realm], "{realm}: the index holds another state than was written");
            }
        }
    }

    /// Has the log hold a group, durably.
    fn log_group(&mut self, frames: &[u8], count: u64, chain: Chain, time_ms: i64) -> Result<()> {
        self.room.check_commits(frames.len())?;
        self.keep_in_place()?;
        let begun = Instant::now();
        self.bodies.sync()?;
        let before = self.log.mark();
        self.log.append(frames, count, chain, time_ms)?;
        let synced = self.log.sync();
        metrics::histogram!("holdfast_store_sync_seconds").record(begun.elapsed().as_secs_f64());
        let Err(error) = synced else { return Ok(()) };
        match error {
            StoreError::Unknown { reason } if self.log.take_back(before) => Err(StoreError::Stopped { reason }),
            other => Err(other),
        }
    }
}

/// The submitters of a group. If dropped early, they are told that the outcome is unknown.
struct Tells(Vec<(bool, Tell, Result<()>)>);

impl Tells {
    fn take(mut self) -> Vec<(bool, Tell, Result<()>)> {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Tells {
    fn drop(&mut self) {
        for (_, tell, own) in self.0.drain(..) {
            tell(own.and_then(|()| Err(StoreError::Unknown { reason: "the writer failed".to_owned() })));
        }
    }
}
