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
//! footer: any other that does not end with one has been cut off.
//!
//! A segment's last records may be torn after a crash: nobody was told of them. Each record says up to which commit
//! everything was synced when it was written, and the caller knows what other witnesses have seen; a gap at or below
//! either is damage, and is named, and nothing is cut off.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message as _;

use crate::{
    Commit, Result, Seq, StoreError,
    disk::{Disk, File},
};

const MAGIC: &[u8; 8] = b"HFLOG\0\0\x01";
const HEADER_BYTES: usize = 8 + 8 + 32 + 4;
const FRAME_BYTES: usize = 4 + 4 + 32;
/// Stands in place of a record's length where the footer is.
const FOOTER_MARK: u32 = u32::MAX;
const FOOTER_BYTES: usize = FRAME_BYTES + 8 + 8;
/// The largest record: a commit's writes and their framing.
pub const MAX_RECORD_BYTES: usize = 64 << 20;
/// A segment is closed when it is larger.
pub const SEGMENT_BYTES: u64 = 64 << 20;

/// What the log's records up to one of them amount to.
pub type Chain = [u8; 32];

/// The end of a closed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub chain: Chain,
    pub last: Seq,
    /// The last commit's time.
    pub time_ms: i64,
}

impl Footer {
    fn to_bytes(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FOOTER_BYTES);
        bytes.extend_from_slice(&FOOTER_MARK.to_le_bytes());
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&self.chain);
        bytes.extend_from_slice(&self.last.0.to_le_bytes());
        bytes.extend_from_slice(&self.time_ms.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The footer that `bytes` begin with, if there is one.
    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..FOOTER_BYTES)?;
        if bytes[..4] != FOOTER_MARK.to_le_bytes() || crc32c::crc32c(&bytes[8..]).to_le_bytes() != bytes[4..8] {
            return None;
        }
        Some(Self {
            chain: bytes[8..40].try_into().ok()?,
            last: Seq(u64::from_le_bytes(bytes[40..48].try_into().ok()?)),
            time_ms: i64::from_le_bytes(bytes[48..56].try_into().ok()?),
        })
    }
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
    /// The file has its footer: what comes next begins a new segment.
    sealed: bool,
    segment_bytes: u64,
}

/// Frames a commit; gives the chain after it.
pub(crate) fn frame(commit: &Commit, chain: Chain, out: &mut Vec<u8>) -> Chain {
    let start = out.len();
    out.extend_from_slice(&[0; FRAME_BYTES]);
    commit.encode(out).expect("a Vec has room");
    let payload_start = start + FRAME_BYTES;
    let chain = chained(&chain, &out[payload_start..]);
    let len = (out.len() - payload_start) as u32;
    out[start..start + 4].copy_from_slice(&len.to_le_bytes());
    out[start + 8..start + 40].copy_from_slice(&chain);
    let crc = crc32c::crc32c(&out[start + 8..]);
    out[start + 4..start + 8].copy_from_slice(&crc.to_le_bytes());
    chain
}

/// A run of commits in a segment's own form, header and footer included, made in memory: what leaves this machine is
/// what a log would hold.
pub struct RunWriter {
    bytes: Vec<u8>,
    chain: Chain,
    next: Seq,
    time_ms: i64,
}

impl RunWriter {
    /// Begins a run with commit `first`; `chain` is the log's before it.
    pub fn new(first: Seq, chain: Chain) -> Self {
        Self { bytes: header_bytes(first, &chain), chain, next: first, time_ms: 0 }
    }

    /// Adds the next commit.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when it is not the next one; nothing is added then.
    pub fn push(&mut self, commit: &Commit) -> Result<()> {
        if commit.seq() != self.next {
            return Err(StoreError::damaged(format!("commit {} follows where {} belongs", commit.seq(), self.next)));
        }
        self.chain = frame(commit, self.chain, &mut self.bytes);
        self.next.0 += 1;
        self.time_ms = commit.time_ms;
        Ok(())
    }

    /// Bytes so far.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no commit in it yet.
    pub const fn is_empty(&self) -> bool {
        self.bytes.len() <= HEADER_BYTES
    }

    /// The commit that would come next.
    pub const fn next(&self) -> Seq {
        self.next
    }

    /// The log's chain after the last commit.
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// The run, closed.
    pub fn finish(mut self) -> Vec<u8> {
        let footer = Footer { chain: self.chain, last: Seq(self.next.0 - 1), time_ms: self.time_ms };
        self.bytes.extend_from_slice(&footer.to_bytes());
        self.bytes
    }
}

/// A run's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first commit.
    pub first: Seq,
    /// The last commit.
    pub last: Seq,
    /// The log's chain before the first.
    pub before: Chain,
    /// The log's chain after the last.
    pub after: Chain,
}

/// Reads a run that [`RunWriter`] made, checking all of it: checksums, chain, order, footer. `each` gets every commit
/// and the chain after it; what it was given counts only once this has returned.
///
/// # Errors
/// [`StoreError::Damaged`]; those of `each`.
pub fn read_run(bytes: Vec<u8>, mut each: impl FnMut(Commit, &Chain) -> Result<()>) -> Result<Run> {
    let first = bytes.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let first = Seq(first.ok_or_else(|| StoreError::damaged("a run of commits is cut off"))?);
    let mut reader = SegmentReader::of(Arc::new(InMemory(bytes)), PathBuf::from("a run of commits"), first)?;
    let before = reader.chain;
    loop {
        match reader.read()? {
            Met::Record(commit) => each(*commit, &reader.chain)?,
            Met::Sealed => {
                return Ok(Run { first, last: Seq(reader.next.0 - 1), before, after: reader.chain });
            }
            Met::End => return Err(cut_off(first, reader.next)),
            Met::Invalid(what) => return Err(StoreError::damaged(what)),
        }
    }
}

/// Bytes that are read as if they were a file.
pub(crate) struct InMemory(pub Vec<u8>);

impl File for InMemory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, _: &[u8], _: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn truncate(&self, _: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }
}

/// The log's chain after commit `seq`, and that commit's time where the commit is still there.
pub(crate) fn point(disk: &dyn Disk, dir: &Path, seq: Seq) -> Result<(Chain, Option<i64>)> {
    let firsts = segments(disk, dir)?;
    let begin = firsts.first().copied().unwrap_or(Seq(1));
    let not_retained = || StoreError::NotRetained { asked: seq, first: begin };
    let Some(first) = firsts.iter().rev().find(|first| first.0 <= seq.0 + 1) else { return Err(not_retained()) };
    let mut reader = SegmentReader::open(disk, dir, *first)?;
    if first.0 == seq.0 + 1 {
        let before = firsts.iter().rev().find(|before| **before <= seq);
        let time_ms = before.map(|before| footer(disk, dir, *before)).transpose()?.flatten().map(|end| end.time_ms);
        return Ok((reader.chain, time_ms));
    }
    while reader.next <= seq {
        match reader.read()? {
            Met::Record(_) => {}
            Met::Invalid(what) => return Err(StoreError::damaged(what)),
            Met::End | Met::Sealed => {
                return Err(StoreError::damaged(format!("the log ends before commit {seq}")));
            }
        }
    }
    Ok((reader.chain, Some(reader.time_ms)))
}

/// The last commit up to `last` that is not later than a moment; the one before the log's first when all are.
pub(crate) fn seq_at(disk: &dyn Disk, dir: &Path, moment_ms: i64, last: Seq) -> Result<Seq> {
    let firsts = segments(disk, dir)?;
    let mut reached = Seq(firsts.first().copied().unwrap_or(Seq(1)).0 - 1);
    for (number, first) in firsts.iter().enumerate().filter(|(_, first)| **first <= last) {
        if number + 1 < firsts.len()
            && let Some(footer) = footer(disk, dir, *first)?
            && footer.time_ms <= moment_ms
        {
            reached = footer.last;
            continue;
        }
        let mut reader = SegmentReader::open(disk, dir, *first)?;
        while reader.next <= last {
            match reader.read()? {
                Met::Record(commit) if commit.time_ms <= moment_ms => reached = commit.seq(),
                Met::Record(_) => return Ok(reached),
                Met::Sealed => break,
                Met::End => return Err(cut_off(*first, reader.next)),
                Met::Invalid(what) => return Err(StoreError::damaged(what)),
            }
        }
    }
    Ok(reached.min(last))
}

fn chained(previous: &Chain, payload: &[u8]) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(payload);
    *hasher.finalize().as_bytes()
}

pub(crate) fn segment_path(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("{:020}.log", first.0))
}

/// The first seqs of the segments there are, ascending.
pub(crate) fn segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<Seq>> {
    let names = disk.list(dir).map_err(StoreError::io(dir.display().to_string()))?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".log")?.parse().ok()).map(Seq).collect())
}

/// Reads one segment's records in order.
pub(crate) struct SegmentReader {
    file: Arc<dyn File>,
    path: PathBuf,
    offset: u64,
    chain: Chain,
    next: Seq,
    time_ms: i64,
}

/// What a reader met where it expected a record.
pub(crate) enum Met {
    Record(Box<Commit>),
    /// The end of the file, exactly at a record's end.
    End,
    /// The footer, and the end of the file right behind it.
    Sealed,
    /// Bytes that are not the next record: torn or damaged, which is for the caller to tell.
    Invalid(String),
}

impl SegmentReader {
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, first: Seq) -> Result<Self> {
        let path = segment_path(dir, first);
        let file = disk.open(&path).map_err(StoreError::io(path.display().to_string()))?;
        Self::of(file, path, first)
    }

    /// Reads a segment from a file that is open, or from memory; `path` is what messages call it.
    fn of(file: Arc<dyn File>, path: PathBuf, first: Seq) -> Result<Self> {
        let name = || path.display().to_string();
        let mut header = [0; HEADER_BYTES];
        let read = file.read_full(&mut header, 0).map_err(StoreError::io(name()))?;
        let crc = u32::from_le_bytes(header[48..].try_into().expect("4 bytes"));
        if read < HEADER_BYTES
            || &header[..8] != MAGIC
            || crc != crc32c::crc32c(&header[..48])
            || header[8..16] != first.0.to_le_bytes()
        {
            return Err(StoreError::damaged(format!("{}: the segment's header", name())));
        }
        let chain = header[16..48].try_into().expect("32 bytes");
        Ok(Self { file, path, offset: HEADER_BYTES as u64, chain, next: first, time_ms: 0 })
    }

    pub(crate) const fn next_seq(&self) -> Seq {
        self.next
    }

    pub(crate) const fn chain(&self) -> &Chain {
        &self.chain
    }

    /// The next record, verified against checksum, chain and place.
    pub(crate) fn read(&mut self) -> Result<Met> {
        let name = || self.path.display().to_string();
        let mut frame = [0; FRAME_BYTES];
        let read = self.file.read_full(&mut frame, self.offset).map_err(StoreError::io(name()))?;
        if read == 0 {
            return Ok(Met::End);
        }
        let invalid = |what: &str| Ok(Met::Invalid(format!("{} at byte {}: {what}", name(), self.offset)));
        if read < FRAME_BYTES {
            return invalid("a record's frame is cut off");
        }
        let len = u32::from_le_bytes(frame[..4].try_into().expect("4 bytes"));
        if len == FOOTER_MARK {
            return self.read_footer();
        }
        let len = len as usize;
        if len == 0 || len > MAX_RECORD_BYTES {
            return invalid("a record's length is impossible");
        }
        let mut payload = vec![0; len];
        let read =
            self.file.read_full(&mut payload, self.offset + FRAME_BYTES as u64).map_err(StoreError::io(name()))?;
        if read < len {
            return invalid("a record is cut off");
        }
        let crc = u32::from_le_bytes(frame[4..8].try_into().expect("4 bytes"));
        if crc != crc32c::crc32c_append(crc32c::crc32c(&frame[8..]), &payload) {
            return invalid("a record's checksum does not match");
        }
        let chain = chained(&self.chain, &payload);
        if chain != frame[8..] {
            return invalid("a record does not follow from the one before it");
        }
        let Ok(commit) = Commit::decode(payload.as_slice()) else {
            return invalid("a record can't be decoded");
        };
        if commit.seq() != self.next {
            return invalid(&format!("commit {} stands where {} belongs", commit.seq(), self.next));
        }
        self.offset += (FRAME_BYTES + len) as u64;
        self.chain = chain;
        self.next = Seq(self.next.0 + 1);
        self.time_ms = commit.time_ms;
        Ok(Met::Record(Box::new(commit)))
    }

    fn read_footer(&self) -> Result<Met> {
        let name = || self.path.display().to_string();
        // One byte more than a footer has, to see that nothing follows.
        let mut bytes = [0; FOOTER_BYTES + 1];
        let read = self.file.read_full(&mut bytes, self.offset).map_err(StoreError::io(name()))?;
        let footer = Footer { chain: self.chain, last: Seq(self.next.0 - 1), time_ms: self.time_ms };
        let problem = match Footer::from_bytes(&bytes[..read]) {
            None => "the segment's footer",
            Some(_) if read > FOOTER_BYTES => "something follows the segment's footer",
            Some(found) if found != footer => "the segment's footer is that of other records",
            Some(_) => return Ok(Met::Sealed),
        };
        Ok(Met::Invalid(format!("{} at byte {}: {problem}", name(), self.offset)))
    }

    /// Whether anything after this place shows that what should be here had been synced: a later record that says so.
    pub(crate) fn later_witness(&self) -> Result<Option<Seq>> {
        let name = || self.path.display().to_string();
        let len = self.file.len().map_err(StoreError::io(name()))?;
        let mut rest = vec![0; len.saturating_sub(self.offset) as usize];
        let read = self.file.read_full(&mut rest, self.offset).map_err(StoreError::io(name()))?;
        rest.truncate(read);
        let mut witness = None;
        let mut at = 1;
        while at + FRAME_BYTES < rest.len() {
            if let Some(footer) = Footer::from_bytes(&rest[at..]) {
                // A segment is closed after everything in it was synced.
                witness = witness.max(Some(footer.last));
            }
            let length = u32::from_le_bytes(rest[at..at + 4].try_into().expect("4 bytes")) as usize;
            let end = at + FRAME_BYTES + length;
            if length > 0
                && length <= MAX_RECORD_BYTES
                && end <= rest.len()
                && crc32c::crc32c(&rest[at + 8..end]).to_le_bytes() == rest[at + 4..at + 8]
                && let Ok(commit) = Commit::decode(&rest[at + FRAME_BYTES..end])
            {
                witness = witness.max(Some(Seq(commit.durable_raw)));
                at = end;
            } else {
                at += 1;
            }
        }
        Ok(witness)
    }
}

/// Where a damaged segment can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hole {
    /// The first byte.
    pub at: u64,
    /// How many.
    pub bytes: u64,
    /// Whether something stands behind it.
    pub is_inside: bool,
}

/// Gives whatever whole records a segment has, in order, passing over what is no record: neither chain nor places are
/// checked, and what is missing between two records is for the caller to see by their seqs.
pub(crate) fn scavenge(
    file: &dyn File,
    name: &str,
    first: Seq,
    each: &mut dyn FnMut(Commit) -> Result<()>,
) -> Result<Vec<Hole>> {
    let len = file.len().map_err(StoreError::io(name))?;
    let mut bytes = vec![0; len as usize];
    let read = file.read_full(&mut bytes, 0).map_err(StoreError::io(name))?;
    bytes.truncate(read);
    let mut holes = Vec::new();
    let (mut at, mut next) = (HEADER_BYTES, first.0);
    let header_is_whole = bytes
        .get(..HEADER_BYTES)
        .is_some_and(|header| &header[..8] == MAGIC && header[48..] == crc32c::crc32c(&header[..48]).to_le_bytes());
    if !header_is_whole {
        let is_inside = bytes.len() > HEADER_BYTES;
        holes.push(Hole { at: 0, bytes: HEADER_BYTES.min(bytes.len()) as u64, is_inside });
    }
    let mut hole_from = at;
    let mut hole = |from: usize, to: usize, is_inside| {
        if from < to {
            holes.push(Hole { at: from as u64, bytes: (to - from) as u64, is_inside });
        }
    };
    while at < bytes.len() {
        if Footer::from_bytes(&bytes[at..]).is_some() {
            hole(hole_from, at, true);
            at += FOOTER_BYTES;
            hole_from = at;
        } else if let Some((commit, end)) = record_at(&bytes, at, next) {
            hole(hole_from, at, true);
            next = commit.seq_raw + 1;
            each(commit)?;
            at = end;
            hole_from = at;
        } else {
            at += 1;
        }
    }
    hole(hole_from, bytes.len(), false);
    Ok(holes)
}

/// The whole record at a place, of commit `next` or a later one, and where it ends.
fn record_at(bytes: &[u8], at: usize, next: u64) -> Option<(Commit, usize)> {
    let len = u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?) as usize;
    let end = at + FRAME_BYTES + len;
    let payload = bytes.get(at + FRAME_BYTES..end)?;
    // Every commit begins with its seq: a cheap look before the checksum, since this is asked at each byte of a hole.
    if len == 0 || len > MAX_RECORD_BYTES || payload[0] != 0x08 {
        return None;
    }
    let mut rest = &payload[1..];
    if prost::encoding::decode_varint(&mut rest).ok()? < next
        || crc32c::crc32c(&bytes[at + 8..end]).to_le_bytes() != bytes[at + 4..at + 8]
    {
        return None;
    }
    Some((Commit::decode(payload).ok()?, end))
}

/// How far a replay came.
pub(crate) struct Replayed {
    /// The last commit.
    pub reached: Seq,
    /// What stands behind it in the newest segment, if that is no record: torn or damaged, which is for the caller to
    /// tell.
    pub problem: Option<String>,
}

/// Gives each commit of the segments `firsts` (with the number of its segment and the chain after it) in order, having checked that every
/// segment follows from the one before it: a segment in the middle that is gone must not go unnoticed.
pub(crate) fn replay(
    disk: &dyn Disk,
    dir: &Path,
    firsts: &[Seq],
    mut each: impl FnMut(usize, &Commit, &Chain) -> Result<()>,
) -> Result<Replayed> {
    let mut before: Option<(Chain, Seq)> = None;
    for (number, first) in firsts.iter().enumerate() {
        let newest = number + 1 == firsts.len();
        let mut reader = match SegmentReader::open(disk, dir, *first) {
            Err(StoreError::Damaged { what }) if newest && number > 0 && is_torn_header(disk, dir, *first)? => {
                let reached = Seq(before.map_or(0, |(_, next)| next.0 - 1));
                return Ok(Replayed { reached, problem: Some(what) });
            }
            other => other?,
        };
        if let Some((chain, next)) = before
            && (chain != reader.chain || next != *first)
        {
            return Err(StoreError::damaged(format!(
                "the log: segment {first} does not follow from the one before it, which ends before commit {next}"
            )));
        }
        loop {
            match reader.read()? {
                Met::Record(commit) => each(number, &commit, &reader.chain)?,
                Met::Sealed => break,
                Met::End if newest => break,
                Met::End => return Err(cut_off(*first, reader.next)),
                Met::Invalid(what) if newest => {
                    return Ok(Replayed { reached: Seq(reader.next.0 - 1), problem: Some(what) });
                }
                Met::Invalid(what) => return Err(StoreError::damaged(what)),
            }
        }
        before = Some((reader.chain, reader.next));
    }
    Ok(Replayed { reached: Seq(before.map_or(0, |(_, next)| next.0 - 1)), problem: None })
}

/// A segment that should end with a footer and does not.
pub(crate) fn cut_off(first: Seq, next: Seq) -> StoreError {
    StoreError::damaged(format!("the log: segment {first} is cut off before commit {next}: it has no footer"))
}

/// The footer of a closed segment; `None` when the segment has none.
pub(crate) fn footer(disk: &dyn Disk, dir: &Path, first: Seq) -> Result<Option<Footer>> {
    let path = segment_path(dir, first);
    let name = path.display().to_string();
    let file = disk.open(&path).map_err(StoreError::io(name.clone()))?;
    let len = file.len().map_err(StoreError::io(name.clone()))?;
    let Some(start) = len.checked_sub(FOOTER_BYTES as u64) else { return Ok(None) };
    let mut bytes = [0; FOOTER_BYTES];
    let read = file.read_full(&mut bytes, start).map_err(StoreError::io(name))?;
    Ok(Footer::from_bytes(&bytes[..read]))
}

/// Takes a segment away for good.
pub(crate) fn remove_segment(disk: &dyn Disk, dir: &Path, first: Seq) -> Result<()> {
    let path = segment_path(dir, first);
    // One by one, so that after a crash the segments that are left still follow from each other.
    disk.remove(&path).and_then(|()| disk.sync_dir(dir)).map_err(StoreError::io(path.display().to_string()))
}

impl Log {
    /// Opens the log for appending, after the last commit that is whole. `witness` is the last commit that anyone else
    /// has seen: the log must reach it.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path, witness: Seq, segment_bytes: u64) -> Result<Self> {
        disk.create_dir(dir).map_err(StoreError::io(dir.display().to_string()))?;
        let mut firsts = segments(&*disk, dir)?;
        // A segment file without a whole header can only be the newest one, torn at its making.
        while let Some(&last) = firsts.last() {
            match SegmentReader::open(&*disk, dir, last) {
                Err(StoreError::Damaged { .. }) if last.0 > witness.0 && is_torn_header(&*disk, dir, last)? => {
                    let path = segment_path(dir, last);
                    // Durable before the older segment goes on: the name must not come back beside newer commits.
                    disk.remove(&path)
                        .and_then(|()| disk.sync_dir(dir))
                        .map_err(StoreError::io(path.display().to_string()))?;
                    firsts.pop();
                }
                Err(error) => return Err(error),
                Ok(_) => break,
            }
        }
        let Some(&last) = firsts.last() else {
            if witness > Seq(0) {
                return Err(StoreError::damaged(format!(
                    "the log is empty, and commit {witness} has been seen: commits 1 to {witness} are missing"
                )));
            }
            return Self::begin(disk, dir, Seq(1), [0; 32], segment_bytes);
        };
        let mut reader = SegmentReader::open(&*disk, dir, last)?;
        let mut sealed = false;
        let problem = loop {
            match reader.read()? {
                Met::Record(_) => {}
                Met::End => break None,
                Met::Sealed => {
                    sealed = true;
                    break None;
                }
                Met::Invalid(what) => break Some(what),
            }
        };
        let reached = Seq(reader.next.0 - 1);
        if reached < witness {
            let what = problem.map(|what| format!(" ({what})")).unwrap_or_default();
            return Err(StoreError::damaged(format!(
                "the log ends at commit {reached}, and commit {witness} has been seen: {} commits are missing{what}",
                witness.0 - reached.0
            )));
        }
        if let Some(what) = problem {
            if let Some(durable) = reader.later_witness()?.filter(|durable| *durable > reached) {
                return Err(StoreError::damaged(format!(
                    "{what}; a later record shows that commit {durable} had been synced"
                )));
            }
            let len = reader.file.len().map_err(StoreError::io(reader.path.display().to_string()))?;
            tracing::warn!(%what, bytes = len - reader.offset, "cutting off a torn tail that was never acknowledged");
            let name = reader.path.display().to_string();
            reader.file.truncate(reader.offset).map_err(StoreError::io(name.clone()))?;
            reader.file.sync().map_err(StoreError::io(name))?;
        }
        let time_ms = match firsts.len().checked_sub(2).map(|place| firsts[place]) {
            // Nothing is in the newest segment yet.
            Some(before) if reader.next == last => footer(&*disk, dir, before)?.map_or(0, |footer| footer.time_ms),
            _ => reader.time_ms,
        };
        let log = Self {
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
        };
        Ok(log)
    }

    /// Begins a log, or goes on with one whose segments up to `next` are elsewhere, or nowhere.
    pub(crate) fn begin(disk: Arc<dyn Disk>, dir: &Path, next: Seq, chain: Chain, segment_bytes: u64) -> Result<Self> {
        let (file, path) = create_segment(&*disk, dir, next, &chain)?;
        let len = HEADER_BYTES as u64;
        let dir = dir.to_owned();
        Ok(Self { disk, dir, file, path, len, chain, next, time_ms: 0, sealed: false, segment_bytes })
    }

    /// The seq that the next commit gets.
    pub(crate) const fn next(&self) -> Seq {
        self.next
    }

    pub(crate) const fn chain(&self) -> Chain {
        self.chain
    }

    /// The last commit's time; 0 when there is none.
    pub(crate) const fn time_ms(&self) -> i64 {
        self.time_ms
    }

    /// Appends framed records, `count` of them, the last of which has `chain` and `time_ms`. Not durable before
    /// [`Log::sync`]. On error the log is as before, or the store must stop: [`StoreError::Stopped`].
    pub(crate) fn append(&mut self, frames: &[u8], count: u64, chain: Chain, time_ms: i64) -> Result<()> {
        if self.sealed {
            self.begin_segment()?;
        }
        self.write(frames)?;
        self.next = Seq(self.next.0 + count);
        self.chain = chain;
        self.time_ms = time_ms;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        if let Err(error) = self.file.write_at(bytes, self.len) {
            // Synced, so that what was refused does not come back when the power goes.
            self.file.truncate(self.len).and_then(|()| self.file.sync()).map_err(|second| StoreError::Stopped {
                reason: format!(
                    "{}: writing failed ({error}), and taking it back failed too ({second})",
                    self.path.display()
                ),
            })?;
            return Err(StoreError::io(self.path.display().to_string())(error));
        }
        self.len += bytes.len() as u64;
        Ok(())
    }

    /// Makes everything appended durable. A failure is final: the system may have dropped what was not written.
    pub(crate) fn sync(&mut self) -> Result<()> {
        self.file.sync().map_err(|error| StoreError::Stopped {
            reason: format!("{}: a write could not be made durable: {error}", self.path.display()),
        })
    }

    /// Closes this segment with a footer when it is full, and begins a new one. Only right after [`Log::sync`]. An
    /// error other than [`StoreError::Stopped`] leaves the log as good as it was: it is tried again later.
    pub(crate) fn roll(&mut self) -> Result<()> {
        if self.len < self.segment_bytes || self.sealed {
            return Ok(());
        }
        let footer = Footer { chain: self.chain, last: Seq(self.next.0 - 1), time_ms: self.time_ms };
        self.write(&footer.to_bytes())?;
        self.sync()?;
        self.sealed = true;
        self.begin_segment()
    }

    fn begin_segment(&mut self) -> Result<()> {
        let (file, path) = create_segment(&*self.disk, &self.dir, self.next, &self.chain)?;
        (self.file, self.path, self.len, self.sealed) = (file, path, HEADER_BYTES as u64, false);
        Ok(())
    }
}

fn is_torn_header(disk: &dyn Disk, dir: &Path, first: Seq) -> Result<bool> {
    let path = segment_path(dir, first);
    let name = path.display().to_string();
    let file = disk.open(&path).map_err(StoreError::io(name.clone()))?;
    Ok(file.len().map_err(StoreError::io(name))? <= HEADER_BYTES as u64)
}

fn header_bytes(first: Seq, chain: &Chain) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&first.0.to_le_bytes());
    header.extend_from_slice(chain);
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}

fn create_segment(disk: &dyn Disk, dir: &Path, first: Seq, chain: &Chain) -> Result<(Arc<dyn File>, PathBuf)> {
    let path = segment_path(dir, first);
    let name = path.display().to_string();
    let header = header_bytes(first, chain);
    let file = disk.create(&path).map_err(StoreError::io(name.clone()))?;
    let made = file.write_at(&header, 0).and_then(|()| file.sync()).and_then(|()| disk.sync_dir(dir));
    if let Err(error) = made {
        // A segment left behind would claim commits that go on being written to the one before it.
        disk.remove(&path).and_then(|()| disk.sync_dir(dir)).map_err(|second| StoreError::Stopped {
            reason: format!("{name}: making it failed ({error}), and taking it away failed too ({second})"),
        })?;
        return Err(StoreError::io(name)(error));
    }
    Ok((file, path))
}
