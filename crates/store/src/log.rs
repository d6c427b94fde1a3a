//! The commit log: segment files of framed, checksummed, chained records.
//!
//! ```text
//! segment  = header record* footer?            file name: first seq, 20 digits, ".log"
//! header   = magic(8) first_seq(u64) chain(32) crc32c(u32)
//! record   = len(u32) crc32c(u32) chain(32) payload(len)       integers little-endian
//! footer   = 0xFFFFFFFF(u32) crc32c(u32) chain(32) last_seq(u64) last_time_ms(i64)
//! ```
//! `chain` is BLAKE3(previous chain, payload); the checksum is over what follows it. The header's chain is that of the
//! last record of the segment before, the footer's that of the last record. Only the newest segment may be without a
//! footer: any other one without a footer was truncated.
//!
//! A segment's last records may be torn after a crash: they were never acknowledged. Each record states up to which commit
//! everything was synced when it was written, and the caller knows what other witnesses have seen; a gap at or below
//! either is damage: it is reported, and nothing is truncated.

mod around;
mod commits;
#[cfg(test)]
mod memory;
mod reader;
mod run;
mod scavenge;
pub(crate) mod segment;
mod walk;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Cause, Damaged, Part, Result, Seq, StoreError,
    disk::{Disk, File, put_back},
};

pub(crate) use commits::{CommitLog, Commits, Cursor, InSegments, Mark};
#[cfg(test)]
pub(crate) use memory::Memory;
pub(crate) use reader::{Met, SegmentReader};
pub use run::{Run, RunWriter, read_run};
pub(crate) use scavenge::scavenge;
use segment::HEADER_BYTES;
use segment::create_segment;
pub use segment::{Chain, MAX_RECORD_BYTES};
pub(crate) use segment::{
    Footer, cut_off, ends_before, footer, frame, header_bytes, is_torn_header, missing_commits, not_following,
    remove_segment, segment_name, segment_path, segments,
};
pub(crate) use walk::{Needs, point, replay, seq_made_at, seq_stated_at};

/// A segment is closed when it is larger.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// Something damaged in the log that was gone around.
#[derive(Debug, Clone)]
pub(crate) struct Around {
    /// The segment's file.
    pub name: String,
    pub what: Box<Damaged>,
}

/// The log, open for appending.
pub(crate) struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    file: Arc<dyn File>,
    path: PathBuf,
    len: u64,
    chain: Chain,
    next: Seq,
    /// The last commit's time.
    time_ms: i64,
    /// The file has its footer: the next commit starts a new segment.
    sealed: bool,
    segment_bytes: u64,
}

impl Log {
    /// Opens the log for appending, after the last commit that is whole. `witness` is the last commit that anyone else
    /// has seen: the log must reach it. `anchor` is what the index holds, and the log's chain there: what is damaged is
    /// left where it is, and gone around, when everything in it is in the index, and the index has all that anyone has
    /// seen. A log that is shorter than it was is not.
    pub(crate) fn open(
        disk: Arc<dyn Disk>,
        dir: &Path,
        witness: Seq,
        anchor: (Seq, Chain),
        segment_bytes: u64,
    ) -> Result<(Self, Option<Around>)> {
        let firsts = whole_segments(&*disk, dir, witness)?;
        let Some(&last) = firsts.last() else {
            return Ok((Self::begin_first(disk, dir, witness, segment_bytes)?, None));
        };
        let name = format!("{:020}.log", last.0);
        let mut around = None;
        let mut reader = match SegmentReader::open(&*disk, dir, last) {
            Err(StoreError::Damaged(what)) if !is_torn_header(&*disk, dir, last)? => {
                let mut reader = SegmentReader::open_without_header(&*disk, dir, last)?;
                let durable = reader.later_witness()?.unwrap_or_default();
                let may_begin = anchor.0 >= witness && anchor.0 >= durable && !reader.is_cut_off()?;
                if !reader.pass_over(Some(anchor))? || reader.next.0 > anchor.0.0 + 1 {
                    if !may_begin {
                        return Err(StoreError::Damaged(what));
                    }
                    let log = Self::begin_behind(disk, dir, last, anchor, segment_bytes)?;
                    return Ok((log, Some(Around { name, what })));
                }
                around = Some(Around { name: name.clone(), what });
                reader
            }
            other => other?,
        };
        let (sealed, problem) = loop {
            match reader.read()? {
                Met::Record(_) => {}
                Met::End => break (false, None),
                Met::Sealed => break (true, None),
                Met::Invalid(what) => {
                    let (reached, durable) = (Seq(reader.next.0 - 1), reader.later_witness()?.unwrap_or_default());
                    // Otherwise it is only torn.
                    let is_damage = reached < witness || durable > reached;
                    let before = (reader.offset, reader.next);
                    if is_damage && reader.pass_over(Some(anchor))? {
                        if reader.next.0 <= anchor.0.0 + 1 {
                            let missing = unreadable(*what, before.1, Seq(reader.next.0 - 1));
                            around.get_or_insert(Around { name: name.clone(), what: missing.into() });
                            continue;
                        }
                        (reader.offset, reader.next, reader.follows) = (before.0, before.1, None);
                    }
                    if is_damage && anchor.0 >= witness && anchor.0 >= durable && !reader.is_cut_off()? {
                        let what = unreadable(*what, reader.next, anchor.0).into();
                        let log = Self::begin_behind(disk, dir, last, anchor, segment_bytes)?;
                        return Ok((log, Some(Around { name, what })));
                    }
                    break (false, Some((what, durable)));
                }
            }
        };
        settle(&*disk, dir, &reader, witness, problem)?;
        let time_ms = last_time(&*disk, dir, &firsts, &reader)?;
        Ok((Self::behind(disk, dir, reader, time_ms, sealed, segment_bytes), around))
    }

    /// The log that goes on where a reader has come to.
    fn behind(
        disk: Arc<dyn Disk>,
        dir: &Path,
        reader: SegmentReader,
        time_ms: i64,
        sealed: bool,
        segment_bytes: u64,
    ) -> Self {
        Self {
            disk,
            dir: dir.to_owned(),
            file: reader.file,
            path: reader.path,
            len: reader.offset,
            chain: reader.chain,
            next: reader.next,
            time_ms,
            sealed,
            segment_bytes,
        }
    }

    /// Begins a log that nobody has seen a commit of.
    fn begin_first(disk: Arc<dyn Disk>, dir: &Path, witness: Seq, segment_bytes: u64) -> Result<Self> {
        if witness > Seq(0) {
            return Err(missing_commits(Seq(1), witness)
                .because(format_args!("the log is empty, but commit {witness} was seen before"))
                .into());
        }
        Self::begin(disk, dir, Seq(1), [0; 32], segment_bytes)
    }

    /// Begins a segment behind one whose end is damaged, from what the index holds. One of which nothing can be read may
    /// have its name: that one is put aside.
    fn begin_behind(
        disk: Arc<dyn Disk>,
        dir: &Path,
        last: Seq,
        (seq, chain): (Seq, Chain),
        segment_bytes: u64,
    ) -> Result<Self> {
        let next = Seq(seq.0 + 1);
        if last == next {
            let path = segment_path(dir, last);
            disk.rename(&path, &path.with_extension("damaged"))
                .and_then(|()| disk.sync_dir(dir))
                .map_err(StoreError::io(path.display().to_string()))?;
        }
        Self::begin(disk, dir, next, chain, segment_bytes)
    }

    /// Begins a log, or goes on with one whose segments up to `next` are elsewhere, or nowhere.
    pub(crate) fn begin(disk: Arc<dyn Disk>, dir: &Path, next: Seq, chain: Chain, segment_bytes: u64) -> Result<Self> {
        let (file, path) = create_segment(&*disk, dir, next, &chain)?;
        let len = HEADER_BYTES as u64;
        let dir = dir.to_owned();
        Ok(Self { disk, dir, file, path, len, chain, next, time_ms: 0, sealed: false, segment_bytes })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.file.write_at(bytes, self.len) {
            // Synced, so that what was refused does not come back when the power goes.
            self.file.truncate(self.len).and_then(|()| self.file.sync()).map_err(|second| StoreError::Unknown {
                reason: format!(
                    "{}: writing failed ({error}), and undoing the write failed too ({second})",
                    self.path.display()
                ),
            })?;
            return Err(StoreError::io(self.path.display().to_string())(error));
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn begin_segment(&mut self) -> Result<()> {
        let (file, path) = create_segment(&*self.disk, &self.dir, self.next, &self.chain)?;
        (self.file, self.path, self.len, self.sealed) = (file, path, HEADER_BYTES as u64, false);
        Ok(())
    }
}

impl CommitLog for Log {
    fn next(&self) -> Seq {
        self.next
    }

    fn chain(&self) -> Chain {
        self.chain
    }

    fn time_ms(&self) -> i64 {
        self.time_ms
    }

    fn append(&mut self, frames: &[u8], count: u64, chain: Chain, time_ms: i64) -> Result<()> {
        assert!(count > 0 && !frames.is_empty(), "the log takes no empty group");
        if self.sealed {
            self.begin_segment()?;
        }
        // The pair of what a reader checks: the writer of the frames went by the chain as it is here.
        debug_assert!(
            frames_lead(frames, self.chain, chain),
            "the frames do not lead from the log's chain to the stated one"
        );
        self.write(frames)?;
        self.next = Seq(self.next.0 + count);
        self.chain = chain;
        self.time_ms = time_ms;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync().map_err(|error| StoreError::Unknown {
            reason: format!("{}: a write could not be made durable: {error}", self.path.display()),
        })
    }

    fn keep_in_place(&mut self) -> Result<Option<Damaged>> {
        match self.file.is_at(&self.path) {
            Ok(true) => return Ok(None),
            Ok(false) => {}
            // Writing to it says more.
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error, "could not check a log segment");
                return Ok(None);
            }
        }
        self.file = put_back(&*self.disk, &self.path, &*self.file, self.len).map_err(|error| StoreError::Stopped {
            reason: format!(
                "{} was removed or replaced while the service was running, and could not be restored: {error}",
                self.path.display()
            ),
        })?;
        let damage = Damaged::new(Part::Segment, Cause::Replaced).file(name_below(&self.path));
        Ok(Some(damage.because("it was restored")))
    }

    fn mark(&self) -> Mark {
        Mark { segment: self.path.clone(), len: self.len }
    }

    fn take_back(&mut self, mark: Mark) -> bool {
        // A segment that append began holds nothing else.
        let len = if self.path == mark.segment { mark.len } else { HEADER_BYTES as u64 };
        self.file.truncate(len).and_then(|()| self.file.sync()).is_ok() && self.file.len().is_ok_and(|now| now == len)
    }

    /// Closes this segment with a footer when it is full, and begins a new one. Only right after [`Log::sync`]. An
    /// error other than [`StoreError::Stopped`] leaves the log as good as it was: it is tried again later.
    fn roll(&mut self) -> Result<()> {
        if self.len < self.segment_bytes || self.sealed {
            return Ok(());
        }
        let footer = Footer { chain: self.chain, last: Seq(self.next.0 - 1), time_ms: self.time_ms };
        let mark = self.mark();
        // What can't be taken back either may be there after a restart or not: nothing must come behind it.
        let stopped = |reason: String| StoreError::Stopped { reason };
        self.write(&footer.to_bytes()).map_err(|error| match error {
            StoreError::Unknown { reason } => stopped(reason),
            other => other,
        })?;
        if let Err(error) = self.file.sync() {
            let path = self.path.display().to_string();
            if !self.take_back(mark.clone()) {
                return Err(stopped(format!("{path}: a footer could not be made durable ({error}), nor taken back")));
            }
            self.len = mark.len;
            return Err(StoreError::io(path)(error));
        }
        self.sealed = true;
        self.begin_segment()
    }
}

/// A segment's name below the data folder.
fn name_below(path: &Path) -> String {
    format!("log/{}", path.file_name().unwrap_or_default().to_string_lossy())
}

/// Whether framed records follow from each other, from one chain to another.
fn frames_lead(mut frames: &[u8], mut from: Chain, to: Chain) -> bool {
    while let Some((len, _)) = frames.split_first_chunk::<4>() {
        let end = segment::FRAME_BYTES + u32::from_le_bytes(*len) as usize;
        let Some(payload) = frames.get(segment::FRAME_BYTES..end) else { return false };
        from = segment::chained(&from, payload);
        if frames[8..segment::FRAME_BYTES] != from {
            return false;
        }
        frames = &frames[end..];
    }
    from == to
}

/// The segments' first commits, but for newest ones that were torn at their making: these are removed.
fn whole_segments(disk: &dyn Disk, dir: &Path, witness: Seq) -> Result<Vec<Seq>> {
    disk.create_dir(dir).map_err(StoreError::io(dir.display().to_string()))?;
    let mut firsts = segments(disk, dir)?;
    // A segment file without a whole header can only be the newest one, torn at its making.
    while let Some(&last) = firsts.last()
        && last.0 > witness.0
        && is_torn_header(disk, dir, last)?
        && matches!(SegmentReader::open(disk, dir, last), Err(StoreError::Damaged { .. }))
    {
        let path = segment_path(dir, last);
        // Durable before the older segment goes on: the name must not come back beside newer commits.
        disk.remove(&path).and_then(|()| disk.sync_dir(dir)).map_err(StoreError::io(path.display().to_string()))?;
        firsts.pop();
    }
    Ok(firsts)
}

/// Of a damaged place: which commits are in it.
pub(crate) fn unreadable(what: Damaged, from: Seq, to: Seq) -> Damaged {
    what.because(format_args!("commits {from} to {to} can't be read there"))
}

/// A log that ends at `reached`, although it was seen to reach `witness`; `problem` is what stands where it ends.
pub(crate) fn too_short(reached: Seq, witness: Seq, problem: Option<Box<Damaged>>) -> Damaged {
    let short = Damaged::new(Part::Log, Cause::CutOff).commit(Seq(reached.0 + 1)).because(format_args!(
        "it ends at commit {reached}, but commit {witness} was seen before: {} commits are missing",
        witness.0 - reached.0
    ));
    match problem {
        Some(problem) => short.because(problem),
        None => short,
    }
}

/// Cuts off a torn tail and makes what was read durable. `problem` is where reading ended before the segment's end, and up to
/// which commit a later record shows that everything had been synced.
///
/// # Errors
/// [`StoreError::Damaged`] when the log must be longer.
fn settle(
    disk: &dyn Disk,
    dir: &Path,
    reader: &SegmentReader,
    witness: Seq,
    problem: Option<(Box<Damaged>, Seq)>,
) -> Result<()> {
    let reached = Seq(reader.next.0 - 1);
    if reached < witness {
        return Err(too_short(reached, witness, problem.map(|(what, _)| what)).into());
    }
    if let Some((what, durable)) = problem {
        if durable > reached {
            let what = what.because(format_args!("a later record shows that commit {durable} was synced"));
            return Err(what.into());
        }
        let len = reader.file.len().map_err(StoreError::io(reader.path.display().to_string()))?;
        tracing::warn!(%what, bytes = len - reader.offset, "cutting off a torn tail that was never acknowledged");
        reader.file.truncate(reader.offset).map_err(StoreError::io(reader.path.display().to_string()))?;
    }
    // The last writer may have been killed before the sync: what was read must not go with the power once
    // something was built on it.
    reader.file.sync().and_then(|()| disk.sync_dir(dir)).map_err(StoreError::io(reader.path.display().to_string()))?;
    Ok(())
}

/// The last commit's time.
fn last_time(disk: &dyn Disk, dir: &Path, firsts: &[Seq], reader: &SegmentReader) -> Result<i64> {
    Ok(match firsts.len().checked_sub(2).map(|place| firsts[place]) {
        // Nothing is in the newest segment yet.
        Some(before) if firsts.last() == Some(&reader.next) => {
            footer(disk, dir, before)?.map_or(0, |footer| footer.time_ms)
        }
        _ => reader.time_ms,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Commit, Op, RealmCommit, disk::RealDisk};

    fn commit(seq: u64, value: Vec<u8>) -> Commit {
        let op = Op { key: vec![1], value: Some(value) };
        let part = RealmCommit { realm_raw: 1, realm_seq_raw: seq, digest_bytes: vec![0; 16], ops: vec![op] };
        Commit { seq_raw: seq, epoch: 1, time_ms: 0, durable_raw: seq - 1, realms: vec![part], ..Commit::default() }
    }

    /// A log of one commit, then `tail` as a crash may have left it.
    fn reopened(tail: &[u8]) -> Result<Seq> {
        let dir = tempfile::tempdir().unwrap();
        let open =
            || Log::open(Arc::new(RealDisk), dir.path(), Seq(0), (Seq(0), [0; 32]), SEGMENT_BYTES).map(|(log, _)| log);
        let mut log = open()?;
        let mut frames = Vec::new();
        let chain = frame(&commit(1, vec![7; 100]), log.chain(), &mut frames);
        log.append(&frames, 1, chain, 0)?;
        log.file.write_at(tail, log.len).unwrap();
        drop(log);
        Ok(Seq(open()?.next().0 - 1))
    }

    #[test]
    fn a_torn_record_in_which_somebody_put_what_looks_like_a_later_one_is_still_torn() {
        for (seq, durable) in [(1_000, 999), (3, 900), (u64::MAX, 5), (2, 1)] {
            let mut forged = Vec::new();
            frame(&Commit { durable_raw: durable, ..commit(seq, vec![9; 10]) }, [0; 32], &mut forged);
            forged.extend_from_slice(&Footer { chain: [0; 32], last: Seq(5_000), time_ms: 0 }.to_bytes());
            let mut torn = Vec::new();
            frame(&commit(2, forged), [0; 32], &mut torn);
            torn[..20].fill(0);
            assert_eq!(reopened(&torn).unwrap(), Seq(1), "seq {seq}, durable {durable}");
        }
    }

    #[test]
    fn a_damaged_record_before_one_that_shows_that_it_was_synced_is_no_torn_one() {
        let mut tail = Vec::new();
        frame(&commit(2, vec![8; 100]), [0; 32], &mut tail);
        tail[60] ^= 1;
        frame(&commit(3, vec![9; 100]), [0; 32], &mut tail);
        let outcome = reopened(&tail);
        assert!(
            matches!(&outcome, Err(StoreError::Damaged(what)) if (what.cause, what.commit) == (Cause::Checksum, Some(Seq(2)))),
            "{outcome:?}"
        );
    }
}
