//! Checkpoints: all records at one commit in one file, so that the log need not reach back to the first commit.
//!
//! ```text
//! checkpoint = magic(8) block*                   file name: its seq, 20 digits, ".ckpt"
//! block      = stored_len(u32) plain_len(u32) crc32c(u32) zstd(Block)       integers little-endian
//! ```
//! The first block has the commit and the log's chain there, the last one the expected counts and the BLAKE3 of all
//! blocks before it. Between them are the realms, each with the digest of its records. A checkpoint gets its name only
//! after it was synced, read back and verified.

use std::{
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use prost::Message;

use crate::{
    Cause, Damaged, Digest, Order, Part as DamagedPart, RealmId, RealmSeq, Result, Seq, StoreError, compress,
    digest::Seal,
    disk::{Disk, File, number_in_name},
    index::{Batch, IndexEngine, IndexView, Quarantine, RealmState, Space, full_key, full_range, meta, sealed, unseal},
    log::Chain,
};

const MAGIC: &[u8; 8] = b"HFCKPT\0\x01";
const BLOCK_HEADER_BYTES: usize = 12;
/// A block is closed when its records are more.
const BLOCK_BYTES: usize = 1 << 20;
/// The largest plain block: one of the largest records after an almost full block.
const MAX_BLOCK_BYTES: usize = 4 << 20;
/// The newest checkpoints, all of which are kept; the log reaches back to the oldest of them and further.
pub(crate) const KEPT: usize = 2;

#[derive(Clone, PartialEq, Message)]
struct Block {
    /// In the first block.
    #[prost(message, optional, tag = "1")]
    start: Option<Start>,
    /// Where a realm's records begin.
    #[prost(message, optional, tag = "2")]
    realm: Option<RealmPart>,
    /// Records of the realm that began last.
    #[prost(message, repeated, tag = "3")]
    records: Vec<Record>,
    /// In the last block.
    #[prost(message, optional, tag = "4")]
    end: Option<End>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Start {
    #[prost(uint64, tag = "1")]
    seq: u64,
    #[prost(bytes = "vec", tag = "2")]
    chain: Vec<u8>,
    #[prost(int64, tag = "3")]
    time_ms: i64,
    /// 0 is 1: the first primary's.
    #[prost(uint64, tag = "4")]
    epoch: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct RealmPart {
    #[prost(uint64, tag = "1")]
    realm: u64,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(bytes = "vec", tag = "3")]
    digest: Vec<u8>,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct Record {
    #[prost(bytes = "bytes", tag = "1")]
    key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct End {
    #[prost(uint64, tag = "1")]
    realms: u64,
    #[prost(uint64, tag = "2")]
    records: u64,
    #[prost(bytes = "vec", tag = "3")]
    hash: Vec<u8>,
}

/// The identity of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    /// The last commit that it holds.
    pub seq: Seq,
    /// The log's chain there.
    pub(crate) chain: Chain,
    /// When it was made, in milliseconds since 1970.
    pub time_ms: i64,
    /// Which primary's commits it holds.
    pub epoch: u64,
    /// Realms in it.
    pub realms: u64,
    /// Records in it.
    pub records: u64,
}

fn path_of(dir: &Path, seq: Seq) -> PathBuf {
    dir.join(format!("{:020}.ckpt", seq.0))
}

/// As [`list`], for those who build on them: the process that gave one its name may have been killed before that was durable.
pub(crate) fn open(disk: &dyn Disk, dir: &Path) -> Result<Vec<Seq>> {
    let all = list(disk, dir)?;
    if !all.is_empty() {
        disk.sync_dir(dir).map_err(StoreError::io(dir.display().to_string()))?;
    }
    Ok(all)
}

/// The seqs of the checkpoints there are, ascending.
pub(crate) fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<Seq>> {
    let names = disk.list(dir).map_err(StoreError::io(dir.display().to_string()))?;
    Ok(names.iter().filter_map(|name| number_in_name(name, 20, ".ckpt")).map(Seq).collect())
}

pub(crate) fn remove(disk: &dyn Disk, dir: &Path, seq: Seq) -> Result<()> {
    let path = path_of(dir, seq);
    disk.remove(&path).and_then(|()| disk.sync_dir(dir)).map_err(StoreError::io(path.display().to_string()))
}

struct BlockWriter {
    file: Arc<dyn File>,
    name: String,
    offset: u64,
    hasher: blake3::Hasher,
}

impl BlockWriter {
    fn write(&mut self, block: &Block) -> Result<()> {
        let plain = block.encode_to_vec();
        let packed = compress::compress(&plain).map_err(StoreError::io(self.name.clone()))?;
        let mut framed = Vec::with_capacity(BLOCK_HEADER_BYTES + packed.len());
        framed.extend_from_slice(&(packed.len() as u32).to_le_bytes());
        framed.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        framed.extend_from_slice(&crc32c::crc32c(&packed).to_le_bytes());
        framed.extend_from_slice(&packed);
        self.file.write_at(&framed, self.offset).map_err(StoreError::io(self.name.clone()))?;
        self.offset += framed.len() as u64;
        self.hasher.update(&plain);
        Ok(())
    }
}

/// Writes a checkpoint of a view, verifies it, and gives it its name. A crash at any point leaves the existing checkpoints
/// intact. `go_on` is called between blocks.
///
/// # Errors
/// [`StoreError::Damaged`] if a realm's records do not match its digest (then it is quarantined), or if reading back gives
/// different data; [`StoreError::Stopped`] if `go_on` returned false.
pub(crate) fn write(
    disk: &dyn Disk,
    dir: &Path,
    view: &dyn IndexView,
    quarantine: Option<&Quarantine>,
    time_ms: i64,
    go_on: &dyn Fn() -> bool,
) -> Result<Checkpoint> {
    disk.create_dir(dir).map_err(StoreError::io(dir.display().to_string()))?;
    let (seq, chain) = meta::applied(view)?;
    let scratch = dir.join("new");
    let name = scratch.display().to_string();
    // What a crash left behind.
    let _ = disk.remove(&scratch);
    let start = Start { seq: seq.0, chain: chain.to_vec(), time_ms, epoch: meta::epoch(view)? };
    let written = write_file(disk, &scratch, view, quarantine, start, go_on)
        .and_then(|()| read_file(disk, &scratch, &mut |_| Ok(())));
    let checkpoint = match written {
        Ok(checkpoint) => checkpoint,
        Err(error) => {
            let _ = disk.remove(&scratch);
            return Err(error);
        }
    };
    disk.rename(&scratch, &path_of(dir, seq)).and_then(|()| disk.sync_dir(dir)).map_err(StoreError::io(name))?;
    Ok(checkpoint)
}

fn write_file(
    disk: &dyn Disk,
    path: &Path,
    view: &dyn IndexView,
    quarantine: Option<&Quarantine>,
    start: Start,
    go_on: &dyn Fn() -> bool,
) -> Result<()> {
    let name = path.display().to_string();
    let file = disk.create(path).map_err(StoreError::io(name.clone()))?;
    file.write_at(MAGIC, 0).map_err(StoreError::io(name.clone()))?;
    let mut out = BlockWriter { file, name: name.clone(), offset: MAGIC.len() as u64, hasher: blake3::Hasher::new() };
    out.write(&Block { start: Some(start), ..Block::default() })?;
    let mut end = End::default();
    for (realm, state) in meta::realm_states(view)? {
        let damaged = |error: StoreError| {
            if let (Some(quarantine), StoreError::Damaged(what)) = (quarantine, &error) {
                quarantine.put(realm, what);
            }
            error
        };
        end.realms += 1;
        let part = RealmPart { realm: realm.raw(), seq: state.seq.0, digest: state.digest.to_bytes().to_vec() };
        let mut block = Block { realm: Some(part), ..Block::default() };
        let mut bytes = 0;
        let range = full_range(realm, (Bound::Unbounded, Bound::Unbounded));
        let mut digest = Digest::default();
        for row in view.range(Space::Records, range, Order::Ascending) {
            let (full, stored) = row?;
            let key = full.slice(8..);
            let (seal, value) = unseal(realm, &key, &stored).map_err(damaged)?;
            digest.add(seal);
            bytes += key.len() + value.len();
            block.records.push(Record { key, value });
            end.records += 1;
            if bytes > BLOCK_BYTES {
                out.write(&block)?;
                (block, bytes) = (Block::default(), 0);
                if !go_on() {
                    return Err(StoreError::Stopped { reason: "the checkpoint was cancelled".to_owned() });
                }
            }
        }
        if digest != state.digest {
            return Err(damaged(Damaged::wrong_digest(realm, digest, state.digest).into()));
        }
        out.write(&block)?;
    }
    end.hash = out.hasher.finalize().as_bytes().to_vec();
    out.write(&Block { end: Some(end), ..Block::default() })?;
    out.file.sync().map_err(StoreError::io(name))
}

/// The parts of a checkpoint, in order.
pub(crate) enum Part<'a> {
    Realm(RealmId, RealmState),
    Record(RealmId, &'a [u8], &'a [u8]),
}

/// Reads and checks a whole checkpoint, passing its parts to `each`: they are valid only once this has returned.
///
/// # Errors
/// [`StoreError::Damaged`]; those of `each`.
pub(crate) fn read(
    disk: &dyn Disk,
    dir: &Path,
    seq: Seq,
    each: &mut dyn FnMut(Part<'_>) -> Result<()>,
) -> Result<Checkpoint> {
    let path = path_of(dir, seq);
    let checkpoint = read_file(disk, &path, each)?;
    if checkpoint.seq != seq {
        let what = Damaged::new(DamagedPart::Checkpoint, Cause::Order).file(path.display()).commit(seq);
        return Err(what.because(format_args!("it is of commit {}", checkpoint.seq)).into());
    }
    Ok(checkpoint)
}

/// Reads one block at a time.
struct BlockReader {
    file: Arc<dyn File>,
    name: String,
    offset: u64,
    hasher: blake3::Hasher,
}

impl BlockReader {
    fn damaged(&self, cause: Cause, what: &str) -> StoreError {
        Damaged::new(DamagedPart::Checkpoint, cause).file(&self.name).at(self.offset).because(what).into()
    }

    fn exactly(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        let read = self.file.read_full(buffer, offset).map_err(StoreError::io(self.name.clone()))?;
        if read < buffer.len() { Err(self.damaged(Cause::CutOff, "a block")) } else { Ok(()) }
    }

    fn block(&mut self) -> Result<Block> {
        let mut header = [0; BLOCK_HEADER_BYTES];
        self.exactly(&mut header, self.offset)?;
        let number = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes"));
        let (stored_len, plain_len) = (number(0) as usize, number(4) as usize);
        if stored_len > MAX_BLOCK_BYTES || plain_len > MAX_BLOCK_BYTES {
            return Err(self.damaged(Cause::Length, "a block"));
        }
        let mut stored = vec![0; stored_len];
        self.exactly(&mut stored, self.offset + BLOCK_HEADER_BYTES as u64)?;
        if crc32c::crc32c(&stored) != number(8) {
            return Err(self.damaged(Cause::Checksum, "a block"));
        }
        let plain = compress::decompress(&stored, plain_len).map_err(|_| self.damaged(Cause::Decoding, "a block"))?;
        if plain.len() != plain_len {
            return Err(self.damaged(Cause::Length, "a block"));
        }
        let block = Block::decode(Bytes::from(plain.clone())).map_err(|_| self.damaged(Cause::Decoding, "a block"))?;
        if block.end.is_none() {
            self.hasher.update(&plain);
        }
        self.offset += (BLOCK_HEADER_BYTES + stored_len) as u64;
        Ok(block)
    }
}

/// When a checkpoint was made, in milliseconds since 1970, as its beginning says.
pub(crate) fn made_ms(disk: &dyn Disk, dir: &Path, seq: Seq) -> Result<i64> {
    Ok(begin(disk, &path_of(dir, seq))?.1.time_ms)
}

fn begin(disk: &dyn Disk, path: &Path) -> Result<(BlockReader, Start)> {
    let name = path.display().to_string();
    let file = disk.open(path).map_err(StoreError::io(name.clone()))?;
    let mut reader = BlockReader { file, name, offset: 0, hasher: blake3::Hasher::new() };
    let mut magic = [0; MAGIC.len()];
    reader.exactly(&mut magic, 0)?;
    if &magic != MAGIC {
        return Err(reader.damaged(Cause::Decoding, "its start"));
    }
    reader.offset = MAGIC.len() as u64;
    let start = reader.block()?.start.ok_or_else(|| reader.damaged(Cause::Decoding, "its start"))?;
    Ok((reader, start))
}

fn read_file(disk: &dyn Disk, path: &Path, each: &mut dyn FnMut(Part<'_>) -> Result<()>) -> Result<Checkpoint> {
    let (mut reader, start) = begin(disk, path)?;
    let chain = Chain::try_from(start.chain.as_slice()).map_err(|_| reader.damaged(Cause::Decoding, "its chain"))?;
    let (mut realms, mut records) = (0, 0);
    let mut current: Option<(RealmId, Digest, Digest)> = None;
    loop {
        let block = reader.block()?;
        let closes = block.realm.is_some() || block.end.is_some();
        if closes
            && let Some((realm, stated, digest)) = current.take()
            && stated != digest
        {
            return Err(reader.damaged(Cause::Digest, &format!("{realm}: {digest}, not {stated}")));
        }
        if let Some(end) = block.end {
            let whole = (end.realms, end.records) == (realms, records)
                && end.hash == reader.hasher.finalize().as_bytes()
                && reader.file.len().map_err(StoreError::io(reader.name.clone()))? == reader.offset;
            if !whole {
                return Err(reader.damaged(Cause::Checksum, "its footer"));
            }
            return Ok(Checkpoint {
                seq: Seq(start.seq),
                chain,
                time_ms: start.time_ms,
                epoch: start.epoch.max(1),
                realms,
                records,
            });
        }
        if let Some(part) = block.realm {
            let realm = RealmId::from_raw(part.realm);
            let digest = Digest::from_bytes(&part.digest).ok_or_else(|| reader.damaged(Cause::Decoding, "a digest"))?;
            each(Part::Realm(realm, RealmState { seq: RealmSeq(part.seq), digest }))?;
            realms += 1;
            current = Some((realm, digest, Digest::default()));
        }
        let Some((realm, _, digest)) = &mut current else {
            return Err(reader.damaged(Cause::Order, "records without a realm"));
        };
        for record in &block.records {
            digest.add(Seal::of(*realm, &record.key, &record.value));
            each(Part::Record(*realm, &record.key, &record.value))?;
            records += 1;
        }
    }
}

/// The readable parts of a damaged checkpoint.
#[derive(Debug, Default)]
pub(crate) struct Scavenged {
    /// The commit it is of, where its beginning says it.
    pub seq: Option<Seq>,
    /// The unreadable parts.
    pub problems: Vec<String>,
}

/// Gives what can be read of a checkpoint, block by block, past those that are damaged. Whose records a block holds is
/// known from the block that a realm begins with: those behind a damaged one are passed over until the next begins. What
/// a realm's records add up to is for the caller to compare.
pub(crate) fn scavenge(
    disk: &dyn Disk,
    dir: &Path,
    seq: Seq,
    each: &mut dyn FnMut(Part<'_>) -> Result<()>,
) -> Result<Scavenged> {
    let path = path_of(dir, seq);
    let name = path.display().to_string();
    let file = disk.open(&path).map_err(StoreError::io(name.clone()))?;
    let len = file.len().map_err(StoreError::io(name.clone()))?;
    let mut reader = BlockReader { file, name, offset: MAGIC.len() as u64, hasher: blake3::Hasher::new() };
    let mut found = Scavenged::default();
    let mut current = None;
    let mut is_complete = false;
    while reader.offset < len {
        let block = match reader.block() {
            Ok(block) => block,
            Err(StoreError::Damaged(what)) => {
                found.problems.push(what.to_string());
                current = None;
                match reader.next_whole(len)? {
                    Some(block) => block,
                    None => break,
                }
            }
            Err(error) => return Err(error),
        };
        if let Some(start) = block.start {
            found.seq = Some(Seq(start.seq));
        }
        if let Some(part) = &block.realm
            && let Some(digest) = Digest::from_bytes(&part.digest)
        {
            let realm = RealmId::from_raw(part.realm);
            each(Part::Realm(realm, RealmState { seq: RealmSeq(part.seq), digest }))?;
            current = Some(realm);
        }
        if let Some(realm) = current {
            for record in &block.records {
                each(Part::Record(realm, &record.key, &record.value))?;
            }
        }
        is_complete |= block.end.is_some();
    }
    if !is_complete && found.problems.is_empty() {
        found.problems.push(format!("checkpoint {}: it is cut off", reader.name));
    }
    Ok(found)
}

impl BlockReader {
    /// The first whole block behind this place.
    fn next_whole(&mut self, len: u64) -> Result<Option<Block>> {
        /// Bytes looked through at once.
        const SEARCH_BYTES: usize = 1 << 20;
        let mut window = Vec::new();
        let mut start = self.offset + 1;
        while start + (BLOCK_HEADER_BYTES as u64) < len {
            window.resize(SEARCH_BYTES.min((len - start) as usize), 0);
            let read = self.file.read_full(&mut window, start).map_err(StoreError::io(self.name.clone()))?;
            window.truncate(read);
            for (at, header) in window.windows(BLOCK_HEADER_BYTES).enumerate() {
                let size = |at: usize| u32::from_le_bytes(header[at..at + 4].try_into().expect("4 bytes")) as usize;
                let (stored, plain) = (size(0), size(4));
                let here = start + at as u64;
                if stored > MAX_BLOCK_BYTES || plain > MAX_BLOCK_BYTES || stored == 0 || here + stored as u64 > len {
                    continue;
                }
                self.offset = here;
                match self.block() {
                    Ok(block) => return Ok(Some(block)),
                    Err(StoreError::Damaged { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            let Some(step) = window.len().checked_sub(BLOCK_HEADER_BYTES - 1).filter(|step| *step > 0) else { break };
            start += step as u64;
        }
        Ok(None)
    }
}

/// Fills an empty index from a checkpoint. Sets the applied commit only at the very end.
pub(crate) fn load(disk: &dyn Disk, dir: &Path, seq: Seq, index: &dyn IndexEngine) -> Result<Checkpoint> {
    /// Bytes of one batch.
    const BATCH_BYTES: usize = 4 << 20;
    let mut batch = Batch::new();
    let mut bytes = 0;
    let checkpoint = read(disk, dir, seq, &mut |part| {
        match part {
            Part::Realm(realm, state) => batch.push(meta::set_realm_state(realm, state)),
            Part::Record(realm, key, value) => {
                bytes += key.len() + value.len();
                batch.push((Space::Records, full_key(realm, key), Some(sealed(Seal::of(realm, key, value), value))));
            }
        }
        if bytes > BATCH_BYTES {
            bytes = 0;
            index.apply(std::mem::take(&mut batch))?;
        }
        Ok(())
    })?;
    batch.push(meta::set_epoch(checkpoint.epoch));
    batch.push(meta::set_applied(checkpoint.seq, &checkpoint.chain));
    index.apply(batch)?;
    Ok(checkpoint)
}
