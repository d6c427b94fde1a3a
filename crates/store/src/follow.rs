//! Following the log: from any retained commit on, then live.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Commit, Result, Seq, StoreError,
    log::{Commits, Cursor},
};

/// Commits kept in memory for followers that are up to date.
const RECENT: usize = 1024;

/// The log's live end.
pub(crate) struct Tail {
    durable: watch::Sender<Seq>,
    recent: Mutex<VecDeque<Arc<Commit>>>,
}

impl Tail {
    pub(crate) fn new(durable: Seq) -> Self {
        Self { durable: watch::channel(durable).0, recent: Mutex::default() }
    }

    pub(crate) fn durable(&self) -> Seq {
        *self.durable.borrow()
    }

    pub(crate) fn publish(&self, commits: Vec<Arc<Commit>>) {
        let Some(last) = commits.last().map(|commit| commit.seq()) else { return };
        let mut recent = self.recent.lock();
        recent.extend(commits);
        let excess = recent.len().saturating_sub(RECENT);
        recent.drain(..excess);
        drop(recent);
        self.durable.send_replace(last);
    }

    fn recent(&self, seq: Seq) -> Option<Arc<Commit>> {
        let recent = self.recent.lock();
        let first = recent.front()?.seq();
        recent.get(usize::try_from(seq.0.checked_sub(first.0)?).ok()?).cloned()
    }
}

/// Reads commits in order, each once, and waits for new ones.
pub struct Follower {
    commits: Arc<dyn Commits>,
    next: Seq,
    tail: Arc<Tail>,
    durable: watch::Receiver<Seq>,
    /// While it is behind what the tail has.
    cursor: Option<Box<dyn Cursor>>,
}

impl Follower {
    pub(crate) fn open(commits: Arc<dyn Commits>, from: Seq, tail: Arc<Tail>) -> Result<Self> {
        let from = from.max(Seq(1));
        let first = commits.first()?;
        if from < first {
            return Err(StoreError::NotRetained { asked: from, first });
        }
        let durable = tail.durable.subscribe();
        Ok(Self { commits, next: from, tail, durable, cursor: None })
    }

    /// The commit that [`Follower::next`] gives next: the cursor to keep.
    pub const fn cursor(&self) -> Seq {
        self.next
    }

    /// The next commit, as soon as it is durable. Safe to cancel. Reads files: short blocking reads when far behind.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the log is; [`StoreError::Stopped`] when the store was closed and all is read.
    pub async fn next(&mut self) -> Result<Arc<Commit>> {
        let next = self.next;
        self.durable
            .wait_for(|durable| *durable >= next)
            .await
            .map_err(|_| StoreError::Stopped { reason: "it was closed".to_owned() })?;
        let commit = match self.tail.recent(next) {
            Some(commit) => {
                self.cursor = None;
                commit
            }
            None => self.read_from_log()?,
        };
        self.next.0 += 1;
        Ok(commit)
    }

    fn read_from_log(&mut self) -> Result<Arc<Commit>> {
        let cursor = match &mut self.cursor {
            Some(cursor) => cursor,
            None => self.cursor.insert(self.commits.from(self.next)?),
        };
        let read = cursor.next();
        if read.is_err() {
            self.cursor = None;
        }
        read
    }
}
