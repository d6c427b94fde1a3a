//! The form of a segment file: its header, its records, its footer.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use prost::Message as _;

use crate::{
    Cause, Commit, Damaged, Part, Result, Seq, StoreError,
    disk::{Disk, File, number_in_name},
};

/// What the log's records up to one of them amount to.
pub type Chain = [u8; 32];

pub(super) const MAGIC: &[u8; 8] = b"HFLOG\0\0\x01";
pub(crate) const HEADER_BYTES: usize = 8 + 8 + 32 + 4;
pub(crate) const FRAME_BYTES: usize = 4 + 4 + 32;
/// Stands in place of a record's length where the footer is.
pub(super) const FOOTER_MARK: u32 = u32::MAX;
pub(super) const FOOTER_BYTES: usize = FRAME_BYTES + 8 + 8;
/// The largest record: a commit's writes and their framing.
pub const MAX_RECORD_BYTES: usize = 64 << 20;

/// The end of a closed segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Footer {
    pub chain: Chain,
    pub last: Seq,
    /// The last commit's time.
    pub time_ms: i64,
}

impl Footer {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
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
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
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

pub(crate) fn chained(previous: &Chain, payload: &[u8]) -> Chain {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(payload);
    *hasher.finalize().as_bytes()
}

pub(crate) fn segment_path(dir: &Path, first: Seq) -> PathBuf {
    dir.join(format!("{:020}.log", first.0))
}

/// A segment's name below the data folder.
pub(crate) fn segment_name(first: Seq) -> String {
    format!("log/{:020}.log", first.0)
}

/// Commits that no segment has.
pub(crate) fn missing_commits(from: Seq, to: Seq) -> Damaged {
    Damaged::new(Part::Log, Cause::Missing).commit(from).because(format_args!("commits {from} to {to}"))
}

/// The log, that ends before a commit that was in it.
pub(crate) fn ends_before(seq: Seq) -> StoreError {
    Damaged::new(Part::Log, Cause::CutOff).commit(seq).because(format_args!("it ends before commit {seq}")).into()
}

/// A segment that does not begin where the one before it ends.
pub(crate) fn not_following(first: Seq) -> Damaged {
    Damaged::new(Part::Segment, Cause::Chain).file(segment_name(first)).commit(first)
}

/// The first seqs of the segments there are, ascending.
pub(crate) fn segments(disk: &dyn Disk, dir: &Path) -> Result<Vec<Seq>> {
    let names = disk.list(dir).map_err(StoreError::io(dir.display().to_string()))?;
    Ok(names.iter().filter_map(|name| number_in_name(name, 20, ".log")).map(Seq).collect())
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

/// A segment that should end with a footer and does not.
pub(crate) fn cut_off(first: Seq, next: Seq) -> Damaged {
    Damaged::new(Part::Segment, Cause::CutOff).file(segment_name(first)).commit(next).because("it has no footer")
}

pub(crate) fn is_torn_header(disk: &dyn Disk, dir: &Path, first: Seq) -> Result<bool> {
    let path = segment_path(dir, first);
    let name = path.display().to_string();
    let file = disk.open(&path).map_err(StoreError::io(name.clone()))?;
    Ok(file.len().map_err(StoreError::io(name))? <= HEADER_BYTES as u64)
}

pub(crate) fn header_bytes(first: Seq, chain: &Chain) -> Vec<u8> {
    let mut header = Vec::with_capacity(HEADER_BYTES);
    header.extend_from_slice(MAGIC);
    header.extend_from_slice(&first.0.to_le_bytes());
    header.extend_from_slice(chain);
    header.extend_from_slice(&crc32c::crc32c(&header).to_le_bytes());
    header
}

pub(super) fn create_segment(
    disk: &dyn Disk,
    dir: &Path,
    first: Seq,
    chain: &Chain,
) -> Result<(Arc<dyn File>, PathBuf)> {
    let path = segment_path(dir, first);
    let name = path.display().to_string();
    let header = header_bytes(first, chain);
    let file = disk.create(&path).map_err(StoreError::io(name.clone()))?;
    let made = file.write_at(&header, 0).and_then(|()| file.sync()).and_then(|()| disk.sync_dir(dir));
    if let Err(error) = made {
        // A segment left behind would claim commits that go on being written to the one before it.
        disk.remove(&path).and_then(|()| disk.sync_dir(dir)).map_err(|second| StoreError::Stopped {
            reason: format!("{name}: creating it failed ({error}), and removing it failed too ({second})"),
        })?;
        return Err(StoreError::io(name)(error));
    }
    Ok((file, path))
}
