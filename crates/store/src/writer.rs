//! The writer: one thread that runs transactions and makes them durable in groups.
//!
//! A group is what waited while the group before was synced. Its closures run one after another over the index and what
//! the group has written so far; then bodies and log are synced once, the index gets the group as one batch, and only
//! then does anyone hear of it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, btree_map::Entry},
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    thread::JoinHandle,
    time::Instant,
};

use bytes::Bytes;
use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{
    Clock, Commit, Op, Order, RealmCommit, RealmId, RealmSeq, Result, Rows, Seq, StoreError, Tx,
    body::Packs,
    digest::Seal,
    follow::Tail,
    index::{Batch, IndexEngine, IndexView, Space},
    log::{Chain, Log, frame},
    partial::Partial,
    read::{end_of_prefix, full_range, unseal},
    store::{Quarantine, RealmState, Watchers, meta, sealed},
    tx::{Writes, reference_key},
};

/// Transactions that may wait for the writer before [`crate::Store::transact`] blocks its caller.
pub const MAX_WAITING: usize = 8192;
/// Transactions in one group.
const MAX_GROUP: usize = 1024;
/// Log bytes of one group, after which it is closed.
const MAX_GROUP_BYTES: usize = 8 << 20;

/// A commit on its way: resolves when it is durable and readable. Dropping it does not cancel anything.
#[must_use = "a commit is only acknowledged once its ticket has resolved"]
pub struct Ticket<T, E>(oneshot::Receiver<Result<T, E>>);

impl<T, E: From<StoreError>> Ticket<T, E> {
    /// Blocks until the commit is durable. Not for async code: await the ticket there.
    pub fn wait(self) -> Result<T, E> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(gone().into()))
    }
}

impl<T, E: From<StoreError>> Future for Ticket<T, E> {
    type Output = Result<T, E>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context).map(|received| received.unwrap_or_else(|_| Err(gone().into())))
    }
}

fn gone() -> StoreError {
    StoreError::Stopped { reason: "it was closed".to_owned() }
}

/// A submitted transaction: runs its closure, and gives what tells the submitter of the outcome.
type Job = Box<dyn FnOnce(&mut Tx<'_>) -> Ran + Send>;
/// Called once, with the group's outcome.
type Tell = Box<dyn FnOnce(Result<()>) + Send>;

enum Ran {
    Commit(Tell),
    /// The closure said no: tell it once everything it may have read is durable.
    Nothing(Tell),
}

/// Something that is done between two groups, on the writer thread.
type Task = Box<dyn FnOnce(&mut Thread) + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    tasks: VecDeque<Task>,
    /// The folder, while the store follows another one.
    replica: Option<PathBuf>,
    closing: bool,
    stopped: Option<String>,
}

/// A group's submitters, each with its own outcome.
type Told = Vec<(Tell, Result<()>)>;

/// Groups that are durable here and wait until they are durable elsewhere too.
#[derive(Default)]
struct Acks {
    gated: bool,
    /// Durable elsewhere up to here.
    acked: Seq,
    held: VecDeque<(Seq, Told)>,
}

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    acks: Mutex<Acks>,
    work: Condvar,
    room: Condvar,
}

/// The handle on the writer thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    #[allow(clippy::too_many_arguments, reason = "the parts of the one store it writes")]
    pub(crate) fn start(
        log: Log,
        index: Arc<dyn IndexEngine>,
        packs: Arc<Packs>,
        quarantine: Arc<Quarantine>,
        partial: Arc<Partial>,
        watchers: Arc<Watchers>,
        tail: Arc<Tail>,
        clock: Arc<dyn Clock>,
        epoch: u64,
        replica: Option<PathBuf>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.queue.lock().replica = replica;
        let realms = meta::realm_states(&*index.view())?.into_iter().collect();
        let durable = Seq(log.next().0 - 1);
        // The clock may have been put back since.
        let last_ms = log.time_ms();
        let mut thread = Thread {
            shared: shared.clone(),
            log,
            index,
            packs,
            quarantine,
            partial,
            watchers,
            tail,
            clock,
            epoch,
            realms,
            durable,
            last_ms,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run())
            .map_err(StoreError::io("the writer thread"))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    pub(crate) fn submit<T, E, F>(&self, work: F) -> Ticket<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let outcome = catch_unwind(AssertUnwindSafe(|| work(tx)));
            let outcome = match outcome {
                Ok(Ok(value)) => match tx.wrong.take() {
                    None => Ok(value),
                    Some(error) => Err(error.into()),
                },
                Ok(Err(error)) => Err(error),
                Err(panic) => Err(StoreError::Panicked(panic_text(&*panic)).into()),
            };
            let commits = outcome.is_ok() && !tx.writes.is_empty();
            let tell: Tell = Box::new(move |group: Result<()>| {
                // An error of the closure's own does not depend on how the group fares.
                let _ = sender.send(outcome.and_then(|value| group.map(|()| value).map_err(E::from)));
            });
            if commits { Ran::Commit(tell) } else { Ran::Nothing(tell) }
        });
        let mut queue = self.shared.queue.lock();
        while queue.jobs.len() >= MAX_WAITING && queue.stopped.is_none() && !queue.closing {
            self.shared.room.wait(&mut queue);
        }
        if queue.stopped.is_none() && !queue.closing && queue.replica.is_none() {
            queue.jobs.push_back(job);
            self.shared.work.notify_one();
            return Ticket(receiver);
        }
        let error = match (&queue.replica, &queue.stopped) {
            (Some(dir), None) => StoreError::Replica { dir: dir.clone() },
            (_, reason) => StoreError::Stopped { reason: reason.clone().unwrap_or_else(|| "it was closed".to_owned()) },
        };
        drop(queue);
        let (sender, receiver) = oneshot::channel();
        let _ = sender.send(Err(error.into()));
        Ticket(receiver)
    }

    /// Runs something on the writer thread between two groups, and waits for it.
    fn run<T: Send + 'static>(&self, work: impl FnOnce(&mut Thread) -> Result<T> + Send + 'static) -> Result<T> {
        let (sender, receiver) = oneshot::channel();
        let task: Task = Box::new(move |thread| {
            let _ = sender.send(work(thread));
        });
        let mut queue = self.shared.queue.lock();
        if let Some(reason) = &queue.stopped {
            return Err(StoreError::Stopped { reason: reason.clone() });
        }
        if queue.closing {
            return Err(gone());
        }
        queue.tasks.push_back(task);
        self.shared.work.notify_one();
        drop(queue);
        receiver.blocking_recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Appends commits of the store that is followed, as they stand in its log: see [`crate::Store::receive`].
    pub(crate) fn receive(&self, commits: Vec<Commit>, after: Chain) -> Result<()> {
        self.run(move |thread| thread.receive(commits, after))
    }

    /// Lets a store that followed another one write by itself: see [`crate::Store::promote`].
    pub(crate) fn promote(&self, unmark: impl FnOnce() -> Result<()> + Send + 'static) -> Result<u64> {
        self.run(move |thread| thread.promote(unmark))
    }

    /// Learns where a realm is that was given its records beside the log.
    pub(crate) fn look_again(&self, realm: RealmId) -> Result<()> {
        self.run(move |thread| {
            let state = meta::realm_state(&*thread.index.view(), realm)?;
            thread.realms.insert(realm, state);
            Ok(())
        })
    }

    /// Makes the bodies that were kept so far durable.
    pub(crate) fn sync_bodies(&self) -> Result<()> {
        self.run(|thread| {
            let packed = thread.packs.sync()?;
            thread.index.apply(packed)
        })
    }

    /// Whether the store follows another one.
    pub(crate) fn is_replica(&self) -> bool {
        self.shared.queue.lock().replica.is_some()
    }

    /// Stops acknowledging, with a reason.
    pub(crate) fn halt(&self, reason: &str) {
        let mut queue = self.shared.queue.lock();
        queue.stopped.get_or_insert_with(|| reason.to_owned());
        queue.jobs.clear();
        queue.tasks.clear();
        drop(queue);
        self.shared.room.notify_all();
        self.shared.acks.lock().held.clear();
    }

    /// Whether submitters are told only of what is durable elsewhere too. Switched off, all that wait are told.
    pub(crate) fn gate(&self, on: bool) {
        let mut acks = self.shared.acks.lock();
        acks.gated = on;
        let told = if on { VecDeque::new() } else { std::mem::take(&mut acks.held) };
        drop(acks);
        for (_, told) in told {
            tell_all(told);
        }
    }

    /// Tells those whose commits are durable elsewhere up to `seq`.
    pub(crate) fn acked(&self, seq: Seq) {
        let mut acks = self.shared.acks.lock();
        acks.acked = acks.acked.max(seq);
        let count = acks.held.partition_point(|(held, _)| *held <= seq);
        let told: Vec<_> = acks.held.drain(..count).collect();
        drop(acks);
        for (_, told) in told {
            tell_all(told);
        }
    }

    /// The first commit whose submitters wait for another machine.
    pub(crate) fn waits_for(&self) -> Option<Seq> {
        self.shared.acks.lock().held.front().map(|(seq, _)| *seq)
    }

    /// Lets what was submitted finish, then ends the thread.
    pub(crate) fn stop(&self) {
        self.shared.queue.lock().closing = true;
        self.shared.work.notify_all();
        self.shared.room.notify_all();
        let thread = self.thread.lock().take();
        // The last handle may be dropped by the writer thread itself, inside a closure.
        if let Some(thread) = thread.filter(|thread| thread.thread().id() != std::thread::current().id()) {
            let _ = thread.join();
        }
        // Nobody will say any more that these are durable elsewhere: their submitters hear that the store has stopped.
        self.shared.acks.lock().held.clear();
    }

    pub(crate) fn stopped(&self) -> Option<String> {
        self.shared.queue.lock().stopped.clone()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn tell_all(told: Told) {
    for (tell, outcome) in told {
        tell(outcome);
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned())
}

/// The state that a group's transactions read: the index as it was when the group began, and what the group wrote.
pub(crate) struct Group {
    view: Box<dyn IndexView>,
    quarantine: Arc<Quarantine>,
    partial: Arc<Partial>,
    writes: Writes,
    realms: HashMap<RealmId, RealmState>,
}

impl Group {
    pub(crate) fn get(&self, realm: RealmId, key: &[u8], full: &[u8]) -> Result<Option<Bytes>> {
        if let Some(value) = self.writes.get(full) {
            return Ok(value.clone());
        }
        self.partial.check(&*self.view, realm)?;
        match self.view.get(Space::Records, full)? {
            Some(stored) => self.note(realm, unseal(realm, key, &stored).map(|(_, value)| Some(value))),
            None => Ok(None),
        }
    }

    pub(crate) fn writes_in(&self, full: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Writes {
        self.writes.range(full.clone()).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn stored(&self, realm: RealmId, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Rows<'_> {
        if let Err(error) = self.partial.check(&*self.view, realm) {
            return Rows::new(std::iter::once(Err(error)));
        }
        let rows = self.view.range(Space::Records, full_range(realm, range), order);
        Rows::new(rows.map(move |row| {
            let (key, stored) = row?;
            let key = key.slice(8..);
            let (_, value) = self.note(realm, unseal(realm, &key, &stored))?;
            Ok((key, value))
        }))
    }

    pub(crate) fn realm_seq(&self, realm: RealmId) -> RealmSeq {
        self.realms.get(&realm).map_or(RealmSeq(0), |state| state.seq)
    }

    /// Whether one of the realms written to refers to a body already.
    fn refers_to(&self, writes: &Writes, body: &crate::BodyId) -> Result<bool> {
        let realms: std::collections::BTreeSet<&[u8]> = writes.keys().map(|full| &full[..8]).collect();
        for realm in realms {
            let start = [realm, &reference_key(body, &[])].concat();
            let end = end_of_prefix(&start);
            if let Some(row) = self.view.range(Space::Records, (Bound::Included(start), end), Order::Ascending).next() {
                row?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn note<T>(&self, realm: RealmId, result: Result<T>) -> Result<T> {
        if let Err(StoreError::Damaged { what }) = &result {
            self.quarantine.put(realm, what);
        }
        result
    }
}

struct Thread {
    shared: Arc<Shared>,
    log: Log,
    index: Arc<dyn IndexEngine>,
    packs: Arc<Packs>,
    quarantine: Arc<Quarantine>,
    partial: Arc<Partial>,
    watchers: Arc<Watchers>,
    tail: Arc<Tail>,
    clock: Arc<dyn Clock>,
    epoch: u64,
    realms: HashMap<RealmId, RealmState>,
    durable: Seq,
    last_ms: i64,
}

impl Thread {
    fn run(&mut self) {
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
        let mut before: HashMap<RealmId, Option<RealmState>> = HashMap::new();
        let (mut frames, mut commits, mut chain) = (Vec::new(), Vec::new(), self.log.chain());
        let mut tells = Vec::new();
        let mut jobs = jobs.into_iter();
        for job in jobs.by_ref() {
            self.last_ms = self.last_ms.max(self.clock.now_ms());
            let mut tx = Tx::new(&group, self.last_ms);
            match job(&mut tx) {
                Ran::Nothing(tell) => tells.push((tell, Ok(()))),
                Ran::Commit(tell) => {
                    let (writes, bodies) = (std::mem::take(&mut tx.writes), std::mem::take(&mut tx.bodies));
                    let seq = Seq(self.log.next().0 + commits.len() as u64);
                    match self.commit_of(&group, writes, &bodies, seq) {
                        Ok((commit, writes, states)) => {
                            chain = frame(&commit, chain, &mut frames);
                            group.writes.extend(writes);
                            for (realm, state) in states {
                                let old = group.realms.insert(realm, state);
                                before.entry(realm).or_insert(old);
                            }
                            commits.push(Arc::new(commit));
                            tells.push((tell, Ok(())));
                        }
                        Err(error) => tells.push((tell, Err(error))),
                    }
                }
            }
            if frames.len() > MAX_GROUP_BYTES {
                break;
            }
        }
        let rest: Vec<Job> = jobs.collect();
        let outcome = self.make_durable(&group, &frames, &commits, chain);
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
            self.watchers.publish(
                commits.iter().flat_map(|commit| commit.realms.iter()).map(|part| (part.realm(), part.realm_seq())),
            );
            self.tail.publish(commits);
        }
        let mut queue = self.shared.queue.lock();
        for job in rest.into_iter().rev() {
            queue.jobs.push_front(job);
        }
        if let Err(StoreError::Stopped { reason }) = &outcome {
            tracing::error!(reason, "the store has stopped: nothing is acknowledged any more");
            queue.stopped = Some(reason.clone());
            // Dropping a job drops its sender: its submitter is told that the store has stopped.
            queue.jobs.clear();
            self.shared.room.notify_all();
        }
        drop(queue);
        let told: Told = tells.into_iter().map(|(tell, own)| (tell, own.and_then(|()| outcome.clone()))).collect();
        let mut acks = self.shared.acks.lock();
        // What a transaction has only read may not be durable elsewhere yet either.
        if acks.gated && self.durable > acks.acked && outcome.is_ok() {
            acks.held.push_back((self.durable, told));
            return;
        }
        drop(acks);
        tell_all(told);
    }

    fn receive(&mut self, commits: Vec<Commit>, after: Chain) -> Result<()> {
        let (mut frames, mut chain) = (Vec::new(), self.log.chain());
        for (at, commit) in commits.iter().enumerate() {
            let due = Seq(self.log.next().0 + at as u64);
            if commit.seq() != due {
                return Err(StoreError::damaged(format!("commit {} was received where {due} belongs", commit.seq())));
            }
            chain = frame(commit, chain, &mut frames);
        }
        let Some(last) = commits.last() else { return Ok(()) };
        if chain != after {
            return Err(StoreError::damaged(format!(
                "the commits up to {} that were received do not follow from this log",
                last.seq()
            )));
        }
        let packed = self.packs.sync()?;
        self.index.apply(packed)?;
        self.log.append(&frames, commits.len() as u64, chain, last.time_ms)?;
        self.log.sync()?;
        self.durable = last.seq();
        self.last_ms = self.last_ms.max(last.time_ms);
        self.tail.publish(commits.into_iter().map(Arc::new).collect());
        self.log.roll()
    }

    fn promote(&mut self, unmark: impl FnOnce() -> Result<()>) -> Result<u64> {
        let view = self.index.view();
        let (applied, _) = meta::applied(&*view)?;
        if applied != self.durable {
            return Err(StoreError::damaged(format!(
                "commits {} to {} were received and not applied",
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
        self.shared.queue.lock().replica = None;
        Ok(epoch)
    }

    /// The commit that a transaction's writes make, the writes, and the states of the realms after it.
    #[allow(clippy::type_complexity, reason = "used once, right here")]
    fn commit_of(
        &self,
        group: &Group,
        writes: Writes,
        bodies: &[crate::BodyId],
        seq: Seq,
    ) -> Result<(Commit, Writes, Vec<(RealmId, RealmState)>)> {
        for body in bodies {
            match self.packs.check_known(body) {
                // What the realm refers to already comes later.
                Err(StoreError::BodyMissing { .. }) if self.partial.is_on() && group.refers_to(&writes, body)? => {}
                other => other?,
            }
        }
        let mut parts: BTreeMap<RealmId, (RealmState, Vec<Op>)> = BTreeMap::new();
        for (full, value) in &writes {
            let realm =
                RealmId::from_raw(u64::from_be_bytes(full[..8].try_into().expect("full keys begin with 8 bytes")));
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
        let commit =
            Commit { seq_raw: seq.0, epoch: self.epoch, time_ms: self.last_ms, durable_raw: self.durable.0, realms };
        Ok((commit, writes, states))
    }

    fn make_durable(&mut self, group: &Group, frames: &[u8], commits: &[Arc<Commit>], chain: [u8; 32]) -> Result<()> {
        let Some(last) = commits.last() else { return Ok(()) };
        let packed = self.packs.sync()?;
        self.log.append(frames, commits.len() as u64, chain, last.time_ms)?;
        self.log.sync()?;
        // Durable from here on: an error now can only mean that this process must not go on.
        let stop =
            |error: StoreError| StoreError::Stopped { reason: format!("the index did not take a commit: {error}") };
        let mut batch: Batch = packed;
        for (full, value) in &group.writes {
            let realm =
                RealmId::from_raw(u64::from_be_bytes(full[..8].try_into().expect("full keys begin with 8 bytes")));
            let value = value.as_ref().map(|value| sealed(Seal::of(realm, &full[8..], value), value));
            batch.push((Space::Records, full.clone(), value));
        }
        let touched: std::collections::BTreeSet<RealmId> =
            commits.iter().flat_map(|commit| &commit.realms).map(RealmCommit::realm).collect();
        batch.extend(touched.into_iter().map(|realm| meta::set_realm_state(realm, group.realms[&realm])));
        batch.push(meta::set_applied(last.seq(), &chain));
        self.index.apply(batch).map_err(stop)?;
        match self.log.roll() {
            Err(error @ StoreError::Stopped { .. }) => Err(error),
            Err(error) => {
                tracing::warn!(%error, "no new log segment yet; the old one goes on");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}
