//! Bodies: content-addressed, compressed, in append-only packs.
//!
//! ```text
//! pack    = magic(8) frame*                              file name: number, 10 digits, ".pack"
//! frame   = "HFBD" header_len(u32) crc32c(u32) header chunk*
//! ```
//! The header names the body and lists its chunks; each chunk has a hash of its own, so that a part can be read and
//! verified without the rest. Where bodies are is kept in the index, and found again by scanning the packs.

mod reclaim;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;

use crate::{
    BodyId, Result, StoreError, compress,
    disk::{Disk, File},
    index::{Batch, IndexEngine},
    store::meta,
};

pub use reclaim::{Reclaim, Reclaimed};

pub(crate) const PACK_MAGIC: &[u8; 8] = b"HFPACK\0\x01";
const FRAME_MAGIC: &[u8; 4] = b"HFBD";
const FRAME_BYTES: usize = 12;
/// Bytes of a body that are compressed, hashed and read together.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// The largest frame header: a body of 64 GiB.
const MAX_HEADER_BYTES: usize = 16 << 20;

/// What a frame says about its body.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Header {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub len: u64,
    #[prost(message, repeated, tag = "3")]
    pub chunks: Vec<ChunkInfo>,
}

/// One chunk: [`CHUNK_BYTES`] of the body, the last one less.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct ChunkInfo {
    #[prost(uint32, tag = "1")]
    pub stored_bytes: u32,
    #[prost(bool, tag = "2")]
    pub compressed: bool,
    /// The first 16 bytes of BLAKE3 of the plain bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub hash: Vec<u8>,
}

/// Compresses a chunk where that makes it smaller.
pub(crate) fn pack_chunk(plain: &[u8], out: &mut Vec<u8>) -> ChunkInfo {
    let hash = blake3::hash(plain).as_bytes()[..16].to_vec();
    let (bytes, compressed) = match compress::compress(plain) {
        Ok(smaller) if smaller.len() < plain.len() => (std::borrow::Cow::Owned(smaller), true),
        _ => (std::borrow::Cow::Borrowed(plain), false),
    };
    out.extend_from_slice(&bytes);
    ChunkInfo { stored_bytes: bytes.len() as u32, compressed, hash }
}

/// Where a body's frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub pack: u32,
    pub offset: u64,
}

impl Place {
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [&self.pack.to_le_bytes()[..], &self.offset.to_le_bytes()].concat()
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (pack, offset) = bytes.split_at_checked(4)?;
        Some(Self {
            pack: u32::from_le_bytes(pack.try_into().ok()?),
            offset: u64::from_le_bytes(offset.try_into().ok()?),
        })
    }
}

pub(crate) fn place_key(id: &BodyId) -> Vec<u8> {
    let mut key = vec![meta::BODY];
    key.extend_from_slice(id.as_bytes());
    key
}

/// All packs of a store.
pub(crate) struct Packs {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    index: Arc<dyn IndexEngine>,
    pack_bytes: u64,
    state: Mutex<State>,
}

struct State {
    active: Pack,
    /// The number that the next pack gets.
    next_number: u32,
    /// Where bodies are being written right now: the index must not say that it knows what lies from there on.
    writing: BTreeSet<(u32, u64)>,
    /// Written but not yet synced and in the index.
    fresh: HashMap<BodyId, Place>,
    /// Packs that were written to since the last sync.
    unsynced: BTreeMap<u32, Arc<dyn File>>,
    /// How many hold each body.
    pins: HashMap<BodyId, usize>,
    /// While unused bodies are being looked for: those that someone has asked for since.
    touched: Option<HashSet<BodyId>>,
    files: HashMap<u32, Arc<dyn File>>,
}

impl State {
    fn touch(&mut self, id: &BodyId) {
        if let Some(touched) = &mut self.touched {
            touched.insert(*id);
        }
    }

    /// Up to where everything in the packs is whole.
    fn mark(&self) -> Place {
        let end = (self.active.number, self.active.len);
        let (pack, offset) = self.writing.first().copied().map_or(end, |first| first.min(end));
        Place { pack, offset }
    }
}

struct Pack {
    number: u32,
    file: Arc<dyn File>,
    len: u64,
}

pub(crate) fn pack_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.pack"))
}

/// The numbers of the packs there are, ascending.
pub(crate) fn pack_numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u32>> {
    let names = disk.list(dir).map_err(StoreError::io(dir.display().to_string()))?;
    Ok(names.iter().filter_map(|name| name.strip_suffix(".pack")?.parse().ok()).collect())
}

impl Packs {
    /// Opens the packs and takes into the index what was written after it last looked.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path, index: Arc<dyn IndexEngine>, pack_bytes: u64) -> Result<Self> {
        disk.create_dir(dir).map_err(StoreError::io(dir.display().to_string()))?;
        let packed = meta::read(&*index.view(), meta::PACKED)?.and_then(|value| Place::from_bytes(&value));
        let mut numbers = pack_numbers(&*disk, dir)?;
        let mut files = HashMap::new();
        let mut found = Batch::new();
        let mut active = None;
        if let Some(packed) = packed
            && numbers.last().is_none_or(|last| *last < packed.pack)
        {
            return Err(StoreError::damaged(format!("{} is missing", pack_path(dir, packed.pack).display())));
        }
        // Made at the moment of a crash: nothing can be in it.
        while let Some(&last) = numbers.last()
            && packed.is_none_or(|packed| packed.pack < last)
            && is_headless(&*disk, dir, last)?
        {
            disk.remove(&pack_path(dir, last)).and_then(|()| disk.sync_dir(dir)).map_err(StoreError::io("pack"))?;
            numbers.pop();
        }
        for &number in &numbers {
            let path = pack_path(dir, number);
            let file = disk.open(&path).map_err(StoreError::io(path.display().to_string()))?;
            files.insert(number, file.clone());
            let known = match packed {
                Some(packed) if packed.pack > number => continue,
                Some(packed) if packed.pack == number => packed.offset,
                _ => PACK_MAGIC.len() as u64,
            };
            let len = file.len().map_err(StoreError::io(path.display().to_string()))?;
            if len < known {
                return Err(StoreError::damaged(format!(
                    "{} is {len} bytes, and {known} bytes of it had been synced",
                    path.display()
                )));
            }
            let mut end = known;
            while let Some((header, start, next)) = next_frame(&*file, end, len)? {
                if start > end {
                    tracing::warn!(
                        pack = number,
                        offset = end,
                        bytes = start - end,
                        "passing over a body that is not whole"
                    );
                }
                if let Ok(id) = header.id.as_slice().try_into().map(BodyId::from_bytes) {
                    let place = Place { pack: number, offset: start };
                    found.push(meta::write(place_key(&id), place.to_bytes()));
                }
                end = next;
            }
            // What is not whole stays where it is: it may have been torn by a crash, or it may be a damaged body that
            // someone can still make sense of. New bodies go behind it.
            if end < len {
                tracing::warn!(
                    pack = number,
                    offset = end,
                    bytes = len - end,
                    "a pack ends with a body that is not whole"
                );
                end = len;
            }
            file.sync().map_err(StoreError::io(path.display().to_string()))?;
            active = Some(Pack { number, file, len: end });
        }
        let active = match active {
            Some(active) => active,
            None => create_pack(&*disk, dir, numbers.last().map_or(1, |last| last + 1))?,
        };
        files.insert(active.number, active.file.clone());
        let state = State {
            next_number: active.number + 1,
            active,
            writing: BTreeSet::new(),
            fresh: HashMap::new(),
            unsynced: BTreeMap::new(),
            pins: HashMap::new(),
            touched: None,
            files,
        };
        found.push(packed_mark(state.mark()));
        index.apply(found)?;
        Ok(Self { disk, dir: dir.to_owned(), index, pack_bytes, state: Mutex::new(state) })
    }

    /// Appends a body, unless it is there already; pins it either way. `stored_bytes` is what `write_chunks` writes.
    /// Others go on meanwhile: the lock is held only to set the place apart and to say that it is filled.
    pub(crate) fn add(
        &self,
        id: BodyId,
        header: &Header,
        stored_bytes: u64,
        write_chunks: impl FnOnce(&dyn File, u64) -> io::Result<()>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        state.touch(&id);
        *state.pins.entry(id).or_default() += 1;
        let known = self.is_known(&state, &id);
        drop(state);
        let added =
            known.and_then(|known| if known { Ok(()) } else { self.append(id, header, stored_bytes, write_chunks) });
        if added.is_err() {
            self.unpin(&id);
        }
        added
    }

    /// Appends a body to the active pack, whether or not it is in another already.
    fn append(
        &self,
        id: BodyId,
        header: &Header,
        stored_bytes: u64,
        write_chunks: impl FnOnce(&dyn File, u64) -> io::Result<()>,
    ) -> Result<()> {
        let encoded = header.encode_to_vec();
        let mut frame = Vec::with_capacity(FRAME_BYTES + encoded.len());
        frame.extend_from_slice(FRAME_MAGIC);
        frame.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        frame.extend_from_slice(&crc32c::crc32c(&encoded).to_le_bytes());
        frame.extend_from_slice(&encoded);
        let mut state = self.state.lock();
        if state.active.len > self.pack_bytes {
            let next = create_pack(&*self.disk, &self.dir, state.next_number)?;
            state.next_number += 1;
            state.files.insert(next.number, next.file.clone());
            state.active = next;
        }
        let place = Place { pack: state.active.number, offset: state.active.len };
        let file = state.active.file.clone();
        state.active.len += frame.len() as u64 + stored_bytes;
        state.writing.insert((place.pack, place.offset));
        drop(state);
        let written =
            file.write_at(&frame, place.offset).and_then(|()| write_chunks(&*file, place.offset + frame.len() as u64));
        let mut state = self.state.lock();
        state.writing.remove(&(place.pack, place.offset));
        // What a failed write leaves is passed over when the packs are scanned; nothing refers to it.
        written.map_err(StoreError::io("body pack"))?;
        state.unsynced.insert(place.pack, file);
        state.fresh.insert(id, place);
        Ok(())
    }

    /// Where the packs are.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn unpin(&self, id: &BodyId) {
        let mut state = self.state.lock();
        if let Some(count) = state.pins.get_mut(id) {
            *count -= 1;
            if *count == 0 {
                state.pins.remove(id);
            }
        }
    }

    fn place(&self, state: &State, id: &BodyId) -> Result<Option<Place>> {
        if let Some(place) = state.fresh.get(id) {
            return Ok(Some(*place));
        }
        self.indexed_place(id)
    }

    /// Where the index says that a body is; the pack may be gone.
    fn indexed_place(&self, id: &BodyId) -> Result<Option<Place>> {
        let stored = meta::read(&*self.index.view(), &place_key(id))?;
        Ok(stored.and_then(|value| Place::from_bytes(&value)))
    }

    /// Where a body is, and the pack, of one moment.
    fn locate(&self, id: &BodyId) -> Result<(Place, Arc<dyn File>)> {
        let state = self.state.lock();
        let place = self.place(&state, id)?.ok_or(StoreError::BodyMissing { id: *id })?;
        let file = state.files.get(&place.pack).cloned().ok_or_else(|| StoreError::BodyDamaged {
            id: *id,
            what: format!("{} is missing", pack_path(&self.dir, place.pack).display()),
        })?;
        Ok((place, file))
    }

    /// Whether a body need not be kept again: one whose pack is gone must.
    fn is_known(&self, state: &State, id: &BodyId) -> Result<bool> {
        Ok(self.place(state, id)?.is_some_and(|place| state.files.contains_key(&place.pack)))
    }

    /// # Errors
    /// [`StoreError::BodyMissing`].
    pub(crate) fn check_known(&self, id: &BodyId) -> Result<()> {
        let mut state = self.state.lock();
        state.touch(id);
        if self.is_known(&state, id)? { Ok(()) } else { Err(StoreError::BodyMissing { id: *id }) }
    }

    /// Makes all bodies so far durable; gives the index writes that say where they are.
    pub(crate) fn sync(&self) -> Result<Batch> {
        let stop =
            |error: io::Error| StoreError::Stopped { reason: format!("a body could not be made durable: {error}") };
        let mut state = self.state.lock();
        if state.unsynced.is_empty() {
            return Ok(Batch::new());
        }
        let files = std::mem::take(&mut state.unsynced);
        let mark = packed_mark(state.mark());
        let fresh: Vec<(BodyId, Place)> = state.fresh.iter().map(|(id, place)| (*id, *place)).collect();
        // Others may stage bodies while this syncs; those are for the next group.
        drop(state);
        for file in files.values() {
            file.sync().map_err(stop)?;
        }
        let mut batch: Batch = fresh.iter().map(|(id, place)| meta::write(place_key(id), place.to_bytes())).collect();
        batch.push(mark);
        self.index.apply(batch)?;
        let mut state = self.state.lock();
        for (id, place) in fresh {
            if state.fresh.get(&id) == Some(&place) {
                state.fresh.remove(&id);
            }
        }
        Ok(Batch::new())
    }

    /// Opens a body for reading.
    pub(crate) fn open_body(self: &Arc<Self>, id: &BodyId) -> Result<BodyReader> {
        // The index is asked without the lock, so that readers do not wait for each other: a body leaves `fresh` only
        // after the index knows it.
        let fresh = self.state.lock().fresh.get(id).copied();
        let place = match fresh {
            Some(place) => place,
            None => self.indexed_place(id)?.ok_or(StoreError::BodyMissing { id: *id })?,
        };
        let file = self.state.lock().files.get(&place.pack).cloned();
        let (place, file) = match file {
            Some(file) => (place, file),
            // It may have moved to another pack since.
            None => self.locate(id)?,
        };
        BodyReader::open(*id, file, place)
    }
}

fn packed_mark(mark: Place) -> meta::Write {
    meta::write(meta::PACKED.to_vec(), mark.to_bytes())
}

fn is_headless(disk: &dyn Disk, dir: &Path, number: u32) -> Result<bool> {
    let path = pack_path(dir, number);
    let name = path.display().to_string();
    let file = disk.open(&path).map_err(StoreError::io(name.clone()))?;
    let mut magic = [0; PACK_MAGIC.len()];
    let read = file.read_full(&mut magic, 0).map_err(StoreError::io(name))?;
    Ok(read < magic.len() || &magic != PACK_MAGIC)
}

fn create_pack(disk: &dyn Disk, dir: &Path, number: u32) -> Result<Pack> {
    let path = pack_path(dir, number);
    let name = path.display().to_string();
    let file = disk.create(&path).map_err(StoreError::io(name.clone()))?;
    let made = file.write_at(PACK_MAGIC, 0).and_then(|()| file.sync()).and_then(|()| disk.sync_dir(dir));
    if let Err(error) = made {
        let _ = disk.remove(&path);
        return Err(StoreError::io(name)(error));
    }
    Ok(Pack { number, file, len: PACK_MAGIC.len() as u64 })
}

/// The header at `offset`, if a whole one is there, and where its chunks begin.
fn read_header(read_at: &ReadAt<'_>, offset: u64) -> Result<Option<(Header, u64)>> {
    let mut frame = [0; FRAME_BYTES];
    let read = read_at(&mut frame, offset).map_err(StoreError::io("body pack"))?;
    let len = u32::from_le_bytes(frame[4..8].try_into().expect("4 bytes")) as usize;
    if read < FRAME_BYTES || &frame[..4] != FRAME_MAGIC || len > MAX_HEADER_BYTES {
        return Ok(None);
    }
    let mut encoded = vec![0; len];
    let read = read_at(&mut encoded, offset + FRAME_BYTES as u64).map_err(StoreError::io("body pack"))?;
    if read < len || crc32c::crc32c(&encoded).to_le_bytes() != frame[8..] {
        return Ok(None);
    }
    Ok(Header::decode(encoded.as_slice()).ok().map(|header| (header, offset + (FRAME_BYTES + len) as u64)))
}

/// The frame at `offset`, if it is whole and its bytes are those of the body it names; gives where the next one begins.
pub(crate) fn scan_frame(file: &dyn File, offset: u64) -> Result<Option<(Header, u64)>> {
    let read_at = |buffer: &mut [u8], offset| file.read_full(buffer, offset);
    let Some((header, mut at)) = read_header(&read_at, offset)? else { return Ok(None) };
    let mut left = header.len;
    let mut hasher = blake3::Hasher::new();
    for chunk in &header.chunks {
        let Ok(plain) = read_chunk(&read_at, at, chunk, left) else { return Ok(None) };
        hasher.update(&plain);
        left -= plain.len() as u64;
        at += u64::from(chunk.stored_bytes);
    }
    let whole = left == 0 && header.id == hasher.finalize().as_bytes();
    Ok(whole.then_some((header, at)))
}

/// Bytes looked through at once for the next frame.
const SEARCH_BYTES: usize = 1 << 20;

/// The first whole frame at `offset` or later, where it begins and where it ends. One damaged body must not hide those
/// behind it.
pub(crate) fn next_frame(file: &dyn File, offset: u64, len: u64) -> Result<Option<(Header, u64, u64)>> {
    if let Some((header, next)) = scan_frame(file, offset)? {
        return Ok(Some((header, offset, next)));
    }
    let mut start = offset + 1;
    let mut window = Vec::new();
    while start + (FRAME_BYTES as u64) < len {
        window.resize(SEARCH_BYTES.min((len - start) as usize), 0);
        let read = file.read_full(&mut window, start).map_err(StoreError::io("body pack"))?;
        window.truncate(read);
        for (at, bytes) in window.windows(FRAME_MAGIC.len()).enumerate() {
            if bytes == FRAME_MAGIC
                && let Some((header, next)) = scan_frame(file, start + at as u64)?
            {
                return Ok(Some((header, start + at as u64, next)));
            }
        }
        // The windows overlap, so that a frame's first bytes are never cut in two.
        let Some(step) = window.len().checked_sub(FRAME_MAGIC.len() - 1).filter(|step| *step > 0) else { break };
        start += step as u64;
    }
    Ok(None)
}

/// A chunk's plain bytes, verified. `left` is what remains of the body from here on.
fn read_chunk(read_at: &ReadAt<'_>, at: u64, chunk: &ChunkInfo, left: u64) -> Result<Vec<u8>, String> {
    let expected = (left as usize).min(CHUNK_BYTES);
    if chunk.stored_bytes as usize > CHUNK_BYTES {
        return Err("a chunk's size is impossible".to_owned());
    }
    let mut stored = vec![0; chunk.stored_bytes as usize];
    let read = read_at(&mut stored, at).map_err(|error| error.to_string())?;
    if read < stored.len() {
        return Err("a chunk is cut off".to_owned());
    }
    let plain = if chunk.compressed {
        compress::decompress(&stored, expected).map_err(|error| format!("a chunk can't be decompressed: {error}"))?
    } else {
        stored
    };
    if plain.len() != expected || blake3::hash(&plain).as_bytes()[..16] != chunk.hash {
        return Err("a chunk does not match its hash".to_owned());
    }
    Ok(plain)
}

/// Fills a buffer from an offset, short only at the end; gives how much.
type ReadAt<'a> = dyn Fn(&mut [u8], u64) -> io::Result<usize> + 'a;

/// Bytes read at once when a body is opened: enough for the whole frame of a usual message.
const AHEAD_BYTES: usize = 4 << 10;

/// A pack of which some bytes are at hand.
struct Ahead {
    file: Arc<dyn File>,
    start: u64,
    bytes: Vec<u8>,
}

impl Ahead {
    fn new(file: Arc<dyn File>, start: u64) -> io::Result<Self> {
        let mut bytes = vec![0; AHEAD_BYTES];
        let read = file.read_full(&mut bytes, start)?;
        bytes.truncate(read);
        Ok(Self { file, start, bytes })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let skipped = offset.checked_sub(self.start).and_then(|skipped| usize::try_from(skipped).ok());
        match skipped.and_then(|skipped| self.bytes.get(skipped..skipped.checked_add(buffer.len())?)) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(bytes.len())
            }
            None => self.file.read_full(buffer, offset),
        }
    }
}

/// A body, read in whole or in part; what it gives is verified.
pub struct BodyReader {
    id: BodyId,
    pack: Ahead,
    header: Header,
    /// Where each chunk begins.
    offsets: Vec<u64>,
    position: u64,
    current: Option<(usize, Bytes)>,
}

impl BodyReader {
    pub(crate) fn open(id: BodyId, file: Arc<dyn File>, place: Place) -> Result<Self> {
        let damaged = |what: &str| StoreError::BodyDamaged {
            id,
            what: format!("pack {} at byte {}: {what}", place.pack, place.offset),
        };
        let pack = Ahead::new(file, place.offset).map_err(StoreError::io("body pack"))?;
        let read_at = |buffer: &mut [u8], offset| pack.read_at(buffer, offset);
        let (header, mut at) = read_header(&read_at, place.offset)?.ok_or_else(|| damaged("its header"))?;
        if header.id != id.as_bytes() || header.chunks.len() as u64 != header.len.div_ceil(CHUNK_BYTES as u64) {
            return Err(damaged("its header is another body's"));
        }
        let mut offsets = Vec::with_capacity(header.chunks.len());
        for chunk in &header.chunks {
            offsets.push(at);
            at += u64::from(chunk.stored_bytes);
        }
        Ok(Self { id, pack, header, offsets, position: 0, current: None })
    }

    /// The body's name.
    pub const fn id(&self) -> BodyId {
        self.id
    }

    /// The body's size in bytes.
    pub const fn len(&self) -> u64 {
        self.header.len
    }

    /// Whether the body has no bytes.
    pub const fn is_empty(&self) -> bool {
        self.header.len == 0
    }

    fn chunk(&mut self, number: usize) -> Result<Bytes> {
        if let Some((current, bytes)) = &self.current
            && *current == number
        {
            return Ok(bytes.clone());
        }
        let left = self.header.len - (number * CHUNK_BYTES) as u64;
        let read_at = |buffer: &mut [u8], offset| self.pack.read_at(buffer, offset);
        let plain = read_chunk(&read_at, self.offsets[number], &self.header.chunks[number], left)
            .map_err(|what| StoreError::BodyDamaged { id: self.id, what })?;
        let bytes = Bytes::from(plain);
        self.current = Some((number, bytes.clone()));
        Ok(bytes)
    }

    /// At most `len` bytes from `offset`; less only at the body's end. Each chunk is verified by its own hash.
    ///
    /// # Errors
    /// [`StoreError::BodyDamaged`].
    pub fn read_range(&mut self, offset: u64, len: usize) -> Result<Bytes> {
        let end = offset.saturating_add(len as u64).min(self.header.len);
        if offset >= end {
            return Ok(Bytes::new());
        }
        let (first, last) = (offset as usize / CHUNK_BYTES, (end - 1) as usize / CHUNK_BYTES);
        let begin = offset as usize - first * CHUNK_BYTES;
        if first == last {
            return Ok(self.chunk(first)?.slice(begin..begin + (end - offset) as usize));
        }
        let mut all = Vec::with_capacity((end - offset) as usize);
        for number in first..=last {
            let chunk = self.chunk(number)?;
            let from = if number == first { begin } else { 0 };
            let to = (end as usize - number * CHUNK_BYTES).min(chunk.len());
            all.extend_from_slice(&chunk[from..to]);
        }
        Ok(all.into())
    }

    /// All bytes, verified against the body's name.
    ///
    /// # Errors
    /// [`StoreError::BodyDamaged`].
    pub fn read_all(&mut self) -> Result<Bytes> {
        let all = self.read_range(0, self.header.len as usize)?;
        if BodyId::of(&all) == self.id {
            Ok(all)
        } else {
            Err(StoreError::BodyDamaged { id: self.id, what: "its bytes do not match its name".to_owned() })
        }
    }
}

impl BodyReader {
    /// Reads all of it in constant memory and compares it with the body's name.
    ///
    /// # Errors
    /// [`StoreError::BodyDamaged`].
    pub fn verify(&mut self) -> Result<()> {
        let mut hasher = blake3::Hasher::new();
        for number in 0..self.header.chunks.len() {
            hasher.update(&self.chunk(number)?);
        }
        if hasher.finalize().as_bytes() == self.id.as_bytes() {
            Ok(())
        } else {
            Err(StoreError::BodyDamaged { id: self.id, what: "its bytes do not match its name".to_owned() })
        }
    }
}

impl io::Read for BodyReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(CHUNK_BYTES - (self.position as usize % CHUNK_BYTES));
        let bytes = self.read_range(self.position, wanted).map_err(io::Error::other)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.position += bytes.len() as u64;
        Ok(bytes.len())
    }
}

impl io::Seek for BodyReader {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        let target = match to {
            io::SeekFrom::Start(offset) => Some(offset),
            io::SeekFrom::End(offset) => self.header.len.checked_add_signed(offset),
            io::SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = target.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
