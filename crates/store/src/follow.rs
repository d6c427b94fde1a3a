//! Following the log: from any retained commit on, then live.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    Cause, Commit, Damaged, Part, Result, Seq, StoreError,
    disk::Disk,
    log::{self, Met, SegmentReader},
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
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    next: Seq,
    tail: Arc<Tail>,
    durable: watch::Receiver<Seq>,
    reader: Option<SegmentReader>,
}

impl Follower {
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path, from: Seq, tail: Arc<Tail>) -> Result<Self> {
        let from = from.max(Seq(1));
        let first = log::segments(&*disk, dir)?.first().copied().unwrap_or(Seq(1));
        if from < first {
            return Err(StoreError::NotRetained { asked: from, first });
        }
        let durable = tail.durable.subscribe();
        Ok(Self { disk, dir: dir.to_owned(), next: from, tail, durable, reader: None })
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
                self.reader = None;
                commit
            }
            None => self.read_from_log()?,
        };
        self.next.0 += 1;
        Ok(commit)
    }

    fn read_from_log(&mut self) -> Result<Arc<Commit>> {
        loop {
            if self.reader.is_none() {
                let firsts = log::segments(&*self.disk, &self.dir)?;
                let Some(first) = firsts.iter().rev().find(|first| **first <= self.next) else {
                    let first = firsts.first().copied().unwrap_or_default();
                    return Err(StoreError::NotRetained { asked: self.next, first });
                };
                self.reader = self.segment(*first)?;
            }
            let Some(reader) = self.reader.as_mut() else { continue };
            match reader.read()? {
                Met::Record(commit) if commit.seq() == self.next => return Ok(Arc::from(commit)),
                Met::Record(_) => {}
                Met::Sealed if reader.next_seq() <= self.next => {
                    // The commit is durable, so it stands in a later segment.
                    let reached = reader.next_seq();
                    self.reader = None;
                    let firsts = log::segments(&*self.disk, &self.dir)?;
                    match firsts.first() {
                        _ if firsts.contains(&reached) => self.reader = self.segment(reached)?,
                        // If a follower is too slow, log that it needs is dropped.
                        Some(first) if *first > reached => {
                            return Err(StoreError::NotRetained { asked: self.next, first: *first });
                        }
                        _ => return Err(log::ends_before(reached)),
                    }
                }
                Met::Sealed => {
                    return Err(Damaged::new(Part::Log, Cause::Order).because("two segments overlap").into());
                }
                Met::End => {
                    return Err(log::ends_before(reader.next_seq()));
                }
                Met::Invalid(what) => {
                    // Those behind it are not damaged; what is in it is given to nobody.
                    if !reader.pass_over(None)? || reader.next_seq() > self.next {
                        self.reader = None;
                        return Err(StoreError::Damaged(what));
                    }
                }
            }
        }
    }

    /// A reader of a segment; `None` when that was dropped just now.
    fn segment(&self, first: Seq) -> Result<Option<SegmentReader>> {
        match SegmentReader::open_around(&*self.disk, &self.dir, first) {
            Err(StoreError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => other.map(|(reader, _)| Some(reader)),
        }
    }
}
