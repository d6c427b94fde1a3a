//! The writer: one thread that runs transactions and makes them durable in groups.
//!
//! A group is what waited while the group before was synced. Its closures run one after another over the index and what
//! the group has written so far; then bodies and log are synced once, the index gets the group as one batch, and only
//! then does anyone hear of it.

mod acks;
mod queue;
mod thread;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    thread::JoinHandle,
    time::Instant,
};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::{Commit, RealmId, Result, Seq, StoreError, Tx, error::panic_text, index::meta, log::Chain};

pub(crate) use acks::Acks;
use acks::{Tell, tell_all};
use queue::{Job, Ran, Shared, Task};
pub(crate) use thread::Parts;
use thread::Thread;

/// Transactions that may wait for the writer before [`crate::Store::transact`] blocks its caller.
pub const MAX_WAITING: usize = 8192;
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
    StoreError::Stopped { reason: CLOSED.to_owned() }
}

/// Why a store that was closed does nothing.
const CLOSED: &str = "it was closed";

/// The handle on the writer thread.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread. `replica` is the folder, while the store follows another one.
    pub(crate) fn start(parts: Parts, epoch: u64, replica: Option<PathBuf>) -> Result<Self> {
        let shared = Arc::new(Shared::default());
        shared.queue.lock().replica = replica;
        let mut thread = Thread::new(parts, shared.clone(), epoch)?;
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
            (_, reason) => StoreError::Stopped { reason: reason.clone().unwrap_or_else(|| CLOSED.to_owned()) },
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

    /// Makes the bodies stored so far durable.
    pub(crate) fn sync_bodies(&self) -> Result<()> {
        self.run(|thread| thread.bodies.sync())
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

    /// Stops acknowledging, with a reason. A group in progress may become durable without being acknowledged.
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
        let ended = queue.stopped.clone().or_else(|| queue.closing.then(|| CLOSED.to_owned()));
        drop(queue);
        match ended {
            None => acks.hold(seq, vec![(tell, Ok(()))]),
            // It is durable here, and may be elsewhere: nobody will say any more whether it is.
            Some(reason) => {
                drop(acks);
                tell(Err(StoreError::Unknown { reason }));
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
        self.shared.forsake(CLOSED);
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

#[cfg(test)]
mod tests {
    use crate::{RealmId, Seq, Store, StoreError, StoreOptions};

    #[test]
    fn a_commit_that_would_not_follow_stops_the_store_and_is_never_in_the_log() {
        type Harm = (&'static str, fn(&Store));
        let harms: [Harm; 2] = [
            ("a commit that is durable before it was made", |store| {
                store
                    .inner
                    .writer
                    .run(|thread| {
                        thread.durable = Seq(1_000);
                        Ok(())
                    })
                    .unwrap();
            }),
            ("a log that has another time", |store| {
                store
                    .inner
                    .writer
                    .run(|thread| {
                        thread.last_ms = i64::MIN;
                        Ok(())
                    })
                    .unwrap();
            }),
        ];
        for (what, harm) in harms {
            let dir = tempfile::tempdir().unwrap();
            let clock = std::sync::Arc::new(Backwards::default());
            let options = StoreOptions { clock, ..StoreOptions::default() };
            let put = |store: &Store, key: &[u8]| {
                let key = key.to_vec();
                let put = store.transact(move |tx| {
                    tx.put(RealmId::DIRECTORY, key.clone(), vec![1]);
                    Ok::<_, StoreError>(())
                });
                put.wait()
            };
            let store = Store::open(dir.path(), options.clone()).unwrap();
            put(&store, b"a").unwrap();
            harm(&store);
            let outcome = put(&store, b"b");
            assert!(matches!(outcome, Err(StoreError::Stopped { .. })), "{what}: {outcome:?}");
            assert!(store.stopped().is_some_and(|why| why.contains("commit 2")), "{what}: {:?}", store.stopped());
            assert!(matches!(put(&store, b"c"), Err(StoreError::Stopped { .. })), "{what}");
            store.close();
            drop(store);
            let store = Store::open(dir.path(), options).unwrap();
            assert_eq!((store.seq(), store.damage().is_none()), (Seq(1), true), "{what}");
            put(&store, b"d").unwrap();
        }
    }

    /// A clock that gives an earlier time each time.
    #[derive(Default)]
    struct Backwards(std::sync::atomic::AtomicI64);

    impl crate::Clock for Backwards {
        fn now_ms(&self) -> i64 {
            1_000_000 - self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
        }
    }
}
