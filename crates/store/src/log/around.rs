//! Reads around damage in a segment.
//!
//! A damaged record hides neither the records before it nor those after it. Records after damage are trusted only if
//! they lead, one by one, to the segment's end or to a commit with a known chain: a sender of mail can easily forge
//! bytes that look like a record, but not a chain.

use super::{
    Chain, SegmentReader,
    scavenge::record_at,
    segment::{FOOTER_BYTES, FRAME_BYTES, Footer, HEADER_BYTES, chained, segment_path},
};
use crate::{Commit, Damaged, Part, Result, Seq, StoreError, disk::Disk};

/// A run of records behind a damaged place.
struct Found {
    /// Where it begins, and its first record's commit and chain.
    at: usize,
    first: Seq,
    chain: Chain,
}

/// How a run of records that follow from each other ends.
struct Ends {
    /// The last one's commit, and where it ends.
    last: Seq,
    end: usize,
    /// A footer that is theirs stands there, and nothing behind it.
    sealed: bool,
    /// One of them has the chain that is known.
    anchored: bool,
}

impl SegmentReader {
    /// Opens a segment whose header is damaged: the records behind it are for [`SegmentReader::pass_over`] to find.
    pub(crate) fn open_without_header(disk: &dyn Disk, dir: &std::path::Path, first: Seq) -> Result<Self> {
        let path = segment_path(dir, first);
        let file = disk.open(&path).map_err(StoreError::io(path.display().to_string()))?;
        Ok(Self {
            file,
            path,
            part: Part::Segment,
            offset: 0,
            chain: Chain::default(),
            next: first,
            time_ms: 0,
            follows: None,
        })
    }

    /// Opens a segment and what is readable of it, its header or not; says what is wrong with the header.
    pub(crate) fn open_around(
        disk: &dyn Disk,
        dir: &std::path::Path,
        first: Seq,
    ) -> Result<(Self, Option<Box<Damaged>>)> {
        match Self::open(disk, dir, first) {
            Err(StoreError::Damaged(what)) => {
                let mut reader = Self::open_without_header(disk, dir, first)?;
                if reader.pass_over(None)? { Ok((reader, Some(what))) } else { Err(StoreError::Damaged(what)) }
            }
            other => other.map(|reader| (reader, None)),
        }
    }

    /// Goes on behind what is damaged here, if something readable stands there that can be believed: it leads to the
    /// segment's end, or has the known chain of a commit. `false` when there is nothing; the reader is as it was then.
    /// The commits up to the next one read are missing.
    pub(crate) fn pass_over(&mut self, anchor: Option<(Seq, Chain)>) -> Result<bool> {
        let name = || self.path.display().to_string();
        let len = self.file.len().map_err(StoreError::io(name()))?;
        let mut rest = vec![0; len.saturating_sub(self.offset) as usize];
        let read = self.file.read_full(&mut rest, self.offset).map_err(StoreError::io(name()))?;
        rest.truncate(read);
        let Some(found) = self.find(&rest, anchor) else { return Ok(false) };
        self.offset += found.at as u64;
        self.next = found.first;
        self.follows = Some(found.chain);
        Ok(true)
    }

    fn find(&self, rest: &[u8], anchor: Option<(Seq, Chain)>) -> Option<Found> {
        let fits =
            |seq: u64, at: usize| seq.checked_sub(self.next.0).is_some_and(|more| more <= (at / FRAME_BYTES) as u64);
        let mut at = 1;
        while at + FRAME_BYTES < rest.len() {
            let Some((commit, _)) = record_at(rest, at, self.next.0).filter(|(commit, _)| fits(commit.seq_raw, at))
            else {
                at += 1;
                continue;
            };
            let ends = run(rest, at, &commit, anchor);
            let knows = anchor.is_some_and(|(seq, _)| commit.seq_raw <= seq.0 + 1 && seq <= ends.last);
            let believed = match (ends.anchored, ends.sealed || ends.end == rest.len()) {
                (true, _) => true,
                // Nothing there says otherwise.
                (false, true) => !knows && (ends.sealed || anchor.is_none()),
                (false, false) => false,
            };
            if believed {
                return Some(Found { at, first: commit.seq(), chain: chain_at(rest, at) });
            }
            // Whatever begins inside of it ends where it does.
            at = ends.end.max(at + 1);
        }
        None
    }

    /// Whether the bytes from here on are fewer than were written: a file that was cut off, and not one in which bytes
    /// changed. A last record whose length alone is wrong still has all of its bytes.
    pub(crate) fn is_cut_off(&self) -> Result<bool> {
        let name = || self.path.display().to_string();
        let len = self.file.len().map_err(StoreError::io(name()))?;
        let mut rest = vec![0; len.saturating_sub(self.offset.max(HEADER_BYTES as u64)) as usize];
        let read =
            self.file.read_full(&mut rest, self.offset.max(HEADER_BYTES as u64)).map_err(StoreError::io(name()))?;
        rest.truncate(read);
        if rest.len() <= FRAME_BYTES {
            return Ok(true);
        }
        let stated = u32::from_le_bytes(rest[..4].try_into().expect("4 bytes")) as usize;
        if stated <= rest.len() - FRAME_BYTES {
            return Ok(false);
        }
        let is_whole =
            |end: usize| rest.get(8..end).is_some_and(|bytes| crc32c::crc32c(bytes).to_le_bytes() == rest[4..8]);
        // Behind it there may be the segment's footer, or nothing.
        Ok(!is_whole(rest.len()) && !rest.len().checked_sub(FOOTER_BYTES).is_some_and(is_whole))
    }
}

fn chain_at(rest: &[u8], at: usize) -> Chain {
    rest[at + 8..at + FRAME_BYTES].try_into().expect("32 bytes")
}

/// Follows the records from the one at `at` on.
fn run(rest: &[u8], at: usize, first: &Commit, anchor: Option<(Seq, Chain)>) -> Ends {
    let mut chain = chain_at(rest, at);
    let end_of =
        |at: usize| at + FRAME_BYTES + u32::from_le_bytes(rest[at..at + 4].try_into().expect("4 bytes")) as usize;
    let mut ends = Ends { last: first.seq(), end: end_of(at), sealed: false, anchored: false };
    if let Some((seq, known)) = anchor {
        let payload = &rest[at + FRAME_BYTES..ends.end];
        ends.anchored =
            (first.seq() == seq && chain == known) || (first.seq_raw == seq.0 + 1 && chained(&known, payload) == chain);
    }
    loop {
        if let Some(footer) = Footer::from_bytes(&rest[ends.end..]) {
            ends.sealed = ends.end + FOOTER_BYTES == rest.len() && footer.last == ends.last && footer.chain == chain;
            return ends;
        }
        let Some((commit, end)) = record_at(rest, ends.end, ends.last.0 + 1) else { return ends };
        let next = chain_at(rest, ends.end);
        if commit.seq_raw != ends.last.0 + 1 || chained(&chain, &rest[ends.end + FRAME_BYTES..end]) != next {
            return ends;
        }
        chain = next;
        (ends.last, ends.end) = (commit.seq(), end);
        ends.anchored |= anchor == Some((ends.last, chain));
    }
}
