//! The log as those see it who need no files: who appends commits, and who reads them one after another.
//!
//! There are two engines: [`super::Log`] with [`InSegments`], files on a disk, which is what a service has; and one in
//! memory, for tests and simulations alone, which no configuration leads to. Both pass the same tests. What cares for the
//! files themselves (verify, repair, fill, salvage, reclaim) knows segments, and stands beside this.

use std::{path::PathBuf, sync::Arc};

use super::{
    Chain,
    reader::{Met, SegmentReader},
    segment::{ends_before, remove_segment, segments},
    walk::point,
};
use crate::{Cause, Commit, Damaged, Part, Result, Seq, StoreError, disk::Disk};

/// The log, open for appending: one owner.
///
/// * What [`CommitLog::sync`] has returned for is there after any crash, unless it is found to be damaged.
/// * What was appended and not synced is there after a crash, or not, from some commit on.
/// * After an error the log is as before, unless it says [`StoreError::Unknown`] or [`StoreError::Stopped`].
pub(crate) trait CommitLog: Send {
    /// The seq that the next commit gets.
    fn next(&self) -> Seq;

    /// What the commits so far amount to.
    fn chain(&self) -> Chain;

    /// The last commit's time; 0 when there is none.
    fn time_ms(&self) -> i64;

    /// Appends framed commits (see [`super::frame`]), `count` of them, the last of which has `chain` and `time_ms`.
    fn append(&mut self, frames: &[u8], count: u64, chain: Chain, time_ms: i64) -> Result<()>;

    /// Makes everything appended durable. A failure is final: [`StoreError::Unknown`].
    fn sync(&mut self) -> Result<()>;

    /// Where the log ends now, for [`CommitLog::take_back`].
    fn mark(&self) -> Mark;

    /// After a failed sync: takes away what was appended behind a mark, durably, so that it does not come back; whether
    /// that was possible. The log takes nothing more after that.
    fn take_back(&mut self, mark: Mark) -> bool;

    /// Sees to it that what was made durable is still there, and puts it back; says what was wrong.
    ///
    /// # Errors
    /// [`StoreError::Stopped`]: nothing may be acknowledged any more.
    fn keep_in_place(&mut self) -> Result<Option<Damaged>>;

    /// Only right after [`CommitLog::sync`]: a moment to tidy up. Of no weight if it fails, but for
    /// [`StoreError::Stopped`].
    fn roll(&mut self) -> Result<()>;
}

/// An end of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(super) segment: PathBuf,
    pub(super) len: u64,
}

/// The log's commits, for readers: as many as there are, beside who appends.
pub(crate) trait Commits: Send + Sync {
    /// The first commit that is kept; 1 when there is none yet.
    fn first(&self) -> Result<Seq>;

    /// Reads from a commit on.
    ///
    /// # Errors
    /// [`StoreError::NotRetained`] when it is no longer kept.
    fn from(&self, seq: Seq) -> Result<Box<dyn Cursor>>;

    /// What the commits up to one amount to, and its time where it is still kept.
    ///
    /// # Errors
    /// [`StoreError::NotRetained`], [`StoreError::Damaged`].
    fn point(&self, seq: Seq) -> Result<(Chain, Option<i64>)>;

    /// Drops commits before `seq`, the oldest first, as far as they can be dropped without one from there on; gives the
    /// first that is kept then. A crash at any point leaves a log without gaps.
    #[cfg_attr(not(test), expect(dead_code, reason = "what a service drops goes segment by segment, each noted first"))]
    fn drop_before(&self, seq: Seq) -> Result<Seq>;
}

/// Reads commits in order, each once.
pub(crate) trait Cursor: Send + Sync {
    /// The next commit, which must be durable: how far the log goes is for the caller to know.
    ///
    /// # Errors
    /// [`StoreError::NotRetained`] when it was dropped meanwhile; [`StoreError::Damaged`].
    fn next(&mut self) -> Result<Arc<Commit>>;
}

/// The commits in the segments of a folder.
pub(crate) struct InSegments {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) dir: PathBuf,
}

impl Commits for InSegments {
    fn first(&self) -> Result<Seq> {
        Ok(segments(&*self.disk, &self.dir)?.first().copied().unwrap_or(Seq(1)))
    }

    fn from(&self, seq: Seq) -> Result<Box<dyn Cursor>> {
        let first = self.first()?;
        if seq < first {
            return Err(StoreError::NotRetained { asked: seq, first });
        }
        Ok(Box::new(SegmentCursor { disk: self.disk.clone(), dir: self.dir.clone(), next: seq, reader: None }))
    }

    fn point(&self, seq: Seq) -> Result<(Chain, Option<i64>)> {
        point(&*self.disk, &self.dir, seq)
    }

    fn drop_before(&self, seq: Seq) -> Result<Seq> {
        let firsts = segments(&*self.disk, &self.dir)?;
        for pair in firsts.windows(2).take_while(|pair| pair[1] <= seq) {
            remove_segment(&*self.disk, &self.dir, pair[0])?;
        }
        self.first()
    }
}

struct SegmentCursor {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    next: Seq,
    reader: Option<SegmentReader>,
}

impl Cursor for SegmentCursor {
    fn next(&mut self) -> Result<Arc<Commit>> {
        loop {
            if self.reader.is_none() {
                let firsts = segments(&*self.disk, &self.dir)?;
                let Some(first) = firsts.iter().rev().find(|first| **first <= self.next) else {
                    let first = firsts.first().copied().unwrap_or_default();
                    return Err(StoreError::NotRetained { asked: self.next, first });
                };
                self.reader = self.segment(*first)?;
            }
            let Some(reader) = self.reader.as_mut() else { continue };
            match reader.read()? {
                Met::Record(commit) if commit.seq() == self.next => {
                    self.next.0 += 1;
                    return Ok(Arc::from(commit));
                }
                Met::Record(_) => {}
                Met::Sealed if reader.next_seq() <= self.next => {
                    // The commit is durable, so it stands in a later segment.
                    let reached = reader.next_seq();
                    self.reader = None;
                    let firsts = segments(&*self.disk, &self.dir)?;
                    match firsts.first() {
                        _ if firsts.contains(&reached) => self.reader = self.segment(reached)?,
                        // Who reads too slowly finds that what it needs was dropped.
                        Some(first) if *first > reached => {
                            return Err(StoreError::NotRetained { asked: self.next, first: *first });
                        }
                        _ => return Err(ends_before(reached)),
                    }
                }
                Met::Sealed => {
                    return Err(Damaged::new(Part::Log, Cause::Order).because("two segments overlap").into());
                }
                Met::End => return Err(ends_before(reader.next_seq())),
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
}

impl SegmentCursor {
    /// A reader of a segment; `None` when that was dropped just now.
    fn segment(&self, first: Seq) -> Result<Option<SegmentReader>> {
        match SegmentReader::open_around(&*self.disk, &self.dir, first) {
            Err(StoreError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            other => other.map(|(reader, _)| Some(reader)),
        }
    }
}
