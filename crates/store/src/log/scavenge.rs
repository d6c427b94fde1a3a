//! Whatever whole records a damaged segment has.

use prost::Message as _;

use super::segment::{FOOTER_BYTES, FRAME_BYTES, Footer, HEADER_BYTES, MAGIC, MAX_RECORD_BYTES};
use crate::{Commit, Result, Seq, StoreError, disk::File};

/// An unreadable place in a damaged segment.
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
pub(super) fn record_at(bytes: &[u8], at: usize, next: u64) -> Option<(Commit, usize)> {
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
