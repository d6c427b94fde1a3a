//! The writer: one thread that runs transactions and makes them durable in groups.
//!
//! A group is what waited while the group before was synced. Its closures run one after another over the index and what
//! the group has written so far; then bodies and log are synced once, the index gets the group as one batch, and only
//! then does anyone hear of it.

mod acks;
mod group;
mod thread;

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll},
    thread::JoinHandle,
    time::Instant,
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::oneshot;

use crate::{
    Clock, Commit, RealmId, Result, Seq, StoreError, Tx,
    body::Packs,
    damage::Findings,
    error::panic_text,
    follow::Tail,
    index::IndexEngine,
    lock::Lock,
    log::{Chain, Log},
    partial::Partial,
    room::Room,
    store::{Quarantine, Watchers, meta},
};

pub(crate) use acks::Acks;
use acks::Told;
pub(crate) use group::Group;
use thread::Thread;

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

struct Ran {
    /// Otherwise the closure said no, or wrote nothing: it is told once everything it may have read is durable.
    commits: bool,
    /// Told once it is durable here, whether other machines have it or not.
    here: bool,
    tell: Tell,
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

#[derive(Default)]
struct Shared {
    queue: Mutex<Queue>,
    acks: Mutex<Acks>,
    work: Condvar,
    room: Condvar,
    /// The time that the last commit states.
    last_ms: AtomicI64,
}

impl Shared {
    /// Stops acknowledging; gives why, which may be what it stopped for before. Dropping a job or a task drops its
    /// sender: who waits for it is told that the store has stopped.
    fn stop(&self, reason: &str) -> String {
        let mut queue = self.queue.lock();
        let reason = queue.stopped.get_or_insert_with(|| reason.to_owned()).clone();
        let (jobs, tasks) = (std::mem::take(&mut queue.jobs), std::mem::take(&mut queue.tasks));
        drop(queue);
        self.room.notify_all();
        drop((jobs, tasks));
        reason
    }

    /// Those whose commits are durable here, and perhaps nowhere else, are told neither yes nor no.
    fn forsake(&self, reason: &str) {
        let told = self.acks.lock().give_up();
        for (tell, outcome) in told {
            tell(outcome.and_then(|()| Err(StoreError::Unknown { reason: reason.to_owned() })));
        }
    }
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
        findings: Arc<Findings>,
        partial: Arc<Partial>,
        watchers: Arc<Watchers>,
        tail: Arc<Tail>,
        clock: Arc<dyn Clock>,
        epoch: u64,
        replica: Option<PathBuf>,
        lock: Option<Arc<Lock>>,
        room: Arc<Room>,
    ) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.queue.lock().replica = replica;
        let realms = meta::realm_states(&*index.view())?.into_iter().collect();
        let durable = Seq(log.next().0 - 1);
        shared.acks.lock().found(durable);
        // The clock may have been put back since.
        let last_ms = log.time_ms();
        shared.last_ms.store(last_ms, Ordering::Relaxed);
        let mut thread = Thread {
            shared: shared.clone(),
            log,
            index,
            packs,
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
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || thread.run())
            .map_err(StoreError::io("the writer thread"))?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// The time that the last commit states, in milliseconds since 1970; 0: there is none.
    pub(crate) fn last_ms(&self) -> i64 {
        self.shared.last_ms.load(Ordering::Relaxed)
    }

    /// `here`: told once it is durable on this machine, also where others are waited for.
    pub(crate) fn submit<T, E, F>(&self, here: bool, work: F) -> Ticket<T, E>
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
            Ran { commits, here, tell }
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
            let outcome = work(thread);
            if let Err(StoreError::Stopped { reason } | StoreError::Unknown { reason }) = &outcome {
                thread.stop(reason);
            }
            let _ = sender.send(outcome);
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
        self.run(|thread| thread.packs.sync())
    }

    /// Sees to it that the log's newest segment is where it was.
    pub(crate) fn keep_in_place(&self) -> Result<()> {
        self.run(Thread::keep_in_place)
    }

    /// Waits for the group that is being made, if there is one: what it refers to can be seen then.
    pub(crate) fn barrier(&self) -> Result<()> {
        self.run(|_| Ok(()))
    }

    /// Whether something waits for the group that is being made.
    #[cfg(test)]
    pub(crate) fn has_task_waiting(&self) -> bool {
        !self.shared.queue.lock().tasks.is_empty()
    }

    /// Whether the store follows another one.
    pub(crate) fn is_replica(&self) -> bool {
        self.shared.queue.lock().replica.is_some()
    }

    /// Stops acknowledging, with a reason. A group that is being made may become durable, and nobody is told.
    pub(crate) fn halt(&self, reason: &str) {
        let reason = self.shared.stop(reason);
        self.shared.forsake(&reason);
    }

    /// Whether submitters are told only of what is durable elsewhere too. Switched off, all that wait are told.
    pub(crate) fn gate(&self, on: bool) {
        let told = self.shared.acks.lock().gate(on);
        tell_all(told);
    }

    /// Tells those whose commits are durable elsewhere up to `seq`.
    pub(crate) fn acked(&self, seq: Seq) {
        let told = self.shared.acks.lock().acked(seq);
        tell_all(told);
    }

    /// The first commit whose submitters wait for another machine, and since when they do.
    pub(crate) fn waits_for(&self) -> Option<(Seq, Instant)> {
        self.shared.acks.lock().waits_for()
    }

    /// How many wait for another machine.
    pub(crate) fn waiting(&self) -> usize {
        self.shared.acks.lock().waiting()
    }

    /// Resolves once what `which` names is acknowledged: at once where nothing waits for another machine.
    pub(crate) fn acknowledged(&self, which: impl FnOnce(&Acks) -> Seq) -> Ticket<(), StoreError> {
        let (sender, receiver) = oneshot::channel();
        let tell: Tell = Box::new(move |outcome| {
            let _ = sender.send(outcome);
        });
        let mut acks = self.shared.acks.lock();
        let seq = which(&acks);
        if acks.is_acknowledged(seq) {
            drop(acks);
            tell(Ok(()));
            return Ticket(receiver);
        }
        let queue = self.shared.queue.lock();
        let outcome = match &queue.stopped {
            Some(reason) => Err(StoreError::Stopped { reason: reason.clone() }),
            None if queue.closing => Err(gone()),
            None => Ok(()),
        };
        drop(queue);
        match outcome {
            Ok(()) => acks.hold(seq, vec![(tell, Ok(()))]),
            error => {
                drop(acks);
                tell(error);
            }
        }
        Ticket(receiver)
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
        // Nobody will say any more that these are durable elsewhere.
        self.shared.forsake("it was closed");
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
