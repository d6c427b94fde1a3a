//! The queue of the writer thread.

use std::{collections::VecDeque, path::PathBuf, sync::atomic::AtomicI64};

use parking_lot::{Condvar, Mutex};

use super::{
    acks::{Acks, Tell},
    thread::Thread,
};
use crate::{StoreError, Tx};

/// A submitted transaction: runs its closure, and gives what tells the submitter of the outcome.
pub(super) type Job = Box<dyn FnOnce(&mut Tx<'_>) -> Ran + Send>;
pub(super) struct Ran {
    /// Otherwise the closure said no, or wrote nothing: it is told once everything it may have read is durable.
    pub commits: bool,
    /// Told once it is durable here, whether other machines have it or not.
    pub here: bool,
    pub tell: Tell,
}

/// Something that is done between two groups, on the writer thread.
pub(super) type Task = Box<dyn FnOnce(&mut Thread) + Send>;

#[derive(Default)]
pub(super) struct Queue {
    pub jobs: VecDeque<Job>,
    pub tasks: VecDeque<Task>,
    /// The folder, while the store follows another one.
    pub replica: Option<PathBuf>,
    pub closing: bool,
    pub stopped: Option<String>,
}

#[derive(Default)]
pub(super) struct Shared {
    pub queue: Mutex<Queue>,
    pub acks: Mutex<Acks>,
    pub work: Condvar,
    pub room: Condvar,
    /// The time that the last commit states.
    pub last_ms: AtomicI64,
}

impl Shared {
    /// Stops acknowledging; gives why, which may be what it stopped for before. Dropping a job or a task drops its
    /// sender: who waits for it is told that the store has stopped.
    pub(super) fn stop(&self, reason: &str) -> String {
        let mut queue = self.queue.lock();
        let reason = queue.stopped.get_or_insert_with(|| reason.to_owned()).clone();
        let (jobs, tasks) = (std::mem::take(&mut queue.jobs), std::mem::take(&mut queue.tasks));
        drop(queue);
        self.room.notify_all();
        drop((jobs, tasks));
        reason
    }

    /// Those whose commits are durable here, and perhaps nowhere else, are told neither yes nor no.
    pub(super) fn forsake(&self, reason: &str) {
        let told = self.acks.lock().give_up();
        for (tell, outcome) in told {
            tell(outcome.and_then(|()| Err(StoreError::Unknown { reason: reason.to_owned() })));
        }
    }
}
