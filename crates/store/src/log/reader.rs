//! Reading one segment, each record verified.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message as _;

use super::{
    Chain,
    scavenge::record_at,
    segment::{
        FOOTER_BYTES, FOOTER_MARK, FRAME_BYTES, Footer, HEADER_BYTES, MAGIC, MAX_RECORD_BYTES, chained, segment_path,
    },
};
use crate::{
    Cause, Commit, Damaged, Part, Result, Seq, StoreError,
    disk::{Disk, File},
};

/// Reads one segment's records in order.
pub(crate) struct SegmentReader {
    pub(super) file: Arc<dyn File>,
    pub(super) path: PathBuf,
    /// What it is for those who are told that it is damaged.
    pub(super) part: Part,
    pub(super) offset: u64,
    pub(super) chain: Chain,
    pub(super) next: Seq,
    pub(super) time_ms: i64,
    /// The next record stands behind a damaged place: its chain, which was found to lead to what is known.
    pub(super) follows: Option<Chain>,
}

/// What a reader found in place of a record.
pub(crate) enum Met {
    Record(Box<Commit>),
    /// The end of the file, exactly at a record's end.
    End,
    /// The footer, and the end of the file right behind it.
    Sealed,
    /// Bytes that are not the next record: torn or damaged, which is for the caller to tell.
    Invalid(Box<Damaged>),
}

fn damaged(part: Part, cause: Cause, path: &Path, offset: u64) -> Damaged {
    let damage = Damaged::new(part, cause).at(offset);
    if path.as_os_str().is_empty() { damage } else { damage.file(path.display()) }
}

impl SegmentReader {
    pub(crate) fn open(disk: &dyn Disk, dir: &Path, first: Seq) -> Result<Self> {
        let path = segment_path(dir, first);
        let file = disk.open(&path).map_err(StoreError::io(path.display().to_string()))?;
        Self::of(file, path, Part::Segment, first)
    }

    /// Reads a segment from a file that is open, or a run of commits from memory, which has no path.
    pub(super) fn of(file: Arc<dyn File>, path: PathBuf, part: Part, first: Seq) -> Result<Self> {
        let name = || path.display().to_string();
        let mut header = [0; HEADER_BYTES];
        let read = file.read_full(&mut header, 0).map_err(StoreError::io(name()))?;
        let crc = u32::from_le_bytes(header[48..].try_into().expect("4 bytes"));
        if read < HEADER_BYTES
            || &header[..8] != MAGIC
            || crc != crc32c::crc32c(&header[..48])
            || header[8..16] != first.0.to_le_bytes()
        {
            return Err(damaged(part, Cause::Checksum, &path, 0).because("its header").into());
        }
        if first == Seq(0) {
            let what = damaged(part, Cause::Order, &path, 0);
            return Err(what.because("no commit has the number 0").into());
        }
        let chain = header[16..48].try_into().expect("32 bytes");
        Ok(Self { file, path, part, offset: HEADER_BYTES as u64, chain, next: first, time_ms: 0, follows: None })
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
        let invalid = |cause, what: &str| Ok(self.invalid(cause, what));
        if read < FRAME_BYTES {
            return invalid(Cause::CutOff, "a record's frame");
        }
        let len = u32::from_le_bytes(frame[..4].try_into().expect("4 bytes"));
        if len == FOOTER_MARK {
            return self.read_footer();
        }
        let len = len as usize;
        if len == 0 || len > MAX_RECORD_BYTES {
            return invalid(Cause::Length, "a record");
        }
        let mut payload = vec![0; len];
        let read =
            self.file.read_full(&mut payload, self.offset + FRAME_BYTES as u64).map_err(StoreError::io(name()))?;
        if read < len {
            return invalid(Cause::CutOff, "a record");
        }
        let crc = u32::from_le_bytes(frame[4..8].try_into().expect("4 bytes"));
        if crc != crc32c::crc32c_append(crc32c::crc32c(&frame[8..]), &payload) {
            return invalid(Cause::Checksum, "a record");
        }
        let chain = self.follows.unwrap_or_else(|| chained(&self.chain, &payload));
        if chain != frame[8..] {
            return invalid(Cause::Chain, "a record");
        }
        let Ok(commit) = Commit::decode(payload.as_slice()) else {
            return invalid(Cause::Decoding, "a record");
        };
        // There is a number after each.
        if commit.seq() != self.next || self.next == Seq(u64::MAX) {
            return invalid(Cause::Order, &format!("commit {} found instead of {}", commit.seq(), self.next));
        }
        self.offset += (FRAME_BYTES + len) as u64;
        self.chain = chain;
        self.follows = None;
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
        let (cause, problem) = match Footer::from_bytes(&bytes[..read]) {
            None => (Cause::Checksum, "its footer"),
            Some(_) if read > FOOTER_BYTES => (Cause::Length, "unexpected bytes after its footer"),
            Some(found) if found != footer => (Cause::Chain, "its footer does not match its records"),
            Some(_) => return Ok(Met::Sealed),
        };
        Ok(self.invalid(cause, problem))
    }

    /// The bytes here are not the next record.
    fn invalid(&self, cause: Cause, what: &str) -> Met {
        let damage = damaged(self.part, cause, &self.path, self.offset).commit(self.next);
        Met::Invalid(Box::new(damage.because(what)))
    }

    /// Whether anything after this place shows that what should be here had been synced: a later record that says so.
    /// Only what can be that record counts, since values that look like one are easily made: its seq leaves room for the
    /// records before it, and it claims nothing that is not before itself.
    pub(crate) fn later_witness(&self) -> Result<Option<Seq>> {
        let name = || self.path.display().to_string();
        let len = self.file.len().map_err(StoreError::io(name()))?;
        let mut rest = vec![0; len.saturating_sub(self.offset) as usize];
        let read = self.file.read_full(&mut rest, self.offset).map_err(StoreError::io(name()))?;
        rest.truncate(read);
        let mut witness = None;
        let mut at = 1;
        while at + FRAME_BYTES < rest.len() {
            let fits = |seq: u64| seq.checked_sub(self.next.0).is_some_and(|more| more <= (at / FRAME_BYTES) as u64);
            // A segment is closed after everything in it was synced.
            if at + FOOTER_BYTES == rest.len()
                && let Some(footer) = Footer::from_bytes(&rest[at..])
                && fits(footer.last.0)
            {
                witness = witness.max(Some(footer.last));
            }
            match record_at(&rest, at, self.next.0) {
                Some((commit, end)) if fits(commit.seq_raw) && commit.durable_raw < commit.seq_raw => {
                    witness = witness.max(Some(Seq(commit.durable_raw)));
                    at = end;
                }
                _ => at += 1,
            }
        }
        Ok(witness)
    }
}
