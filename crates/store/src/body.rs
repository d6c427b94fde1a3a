//! Bodies: content-addressed, compressed, in append-only packs.
//!
//! ```text
//! pack    = magic(8) frame*                              file name: number, 10 digits, ".pack"
//! frame   = "HFBD" header_len(u32) crc32c(u32) header chunk*
//! ```
//! The header names the body and lists its chunks; each chunk has a hash of its own, so that a part can be read and
//! verified without the rest. The index stores the locations of bodies; they can be found again by scanning the packs.

mod bodies;
mod broken;
mod frame;
mod in_place;
#[cfg(test)]
mod memory;
mod opening;
mod reader;
mod reclaim;
mod rescue;
mod wanted;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;

use crate::{
    BodyId, Cause, Damaged, Order, Part, Result, StoreError,
    disk::{Disk, File, number_in_name},
    index::{Batch, IndexEngine, Space, meta},
    read::end_of_prefix,
    room::Room,
};

pub(crate) use bodies::Bodies;
use broken::Broken;
pub(crate) use broken::NOTES as DAMAGED_NOTES;
pub(crate) use frame::{CHUNK_BYTES, Header, next_frame, pack_chunk};
use frame::{FRAME_BYTES, FRAME_MAGIC};
#[cfg(test)]
pub(crate) use memory::MemoryBodies;
pub use reader::BodyReader;
pub(crate) use reclaim::short;
pub use reclaim::{Reclaim, Reclaimed};
use wanted::Rescue;
pub use wanted::{RESCUE_WAIT, WantedBody};

pub(crate) const PACK_MAGIC: &[u8; 8] = b"HFPACK\0\x01";

/// The location of a body's frame.
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
    room: Arc<Room>,
    dir: PathBuf,
    index: Arc<dyn IndexEngine>,
    pack_bytes: u64,
    state: Mutex<State>,
    /// Those that were found to be damaged.
    pub(crate) broken: Arc<Broken>,
    /// The donors of damaged bodies.
    rescue: Rescue,
}

struct State {
    active: Pack,
    /// The number that the next pack gets.
    next_number: u32,
    /// Positions where bodies are being written right now: the index must not claim to know anything beyond them.
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
    /// Closed packs and their sizes, which the index does not know yet.
    closed: Vec<(u32, u64)>,
}

impl State {
    fn touch(&mut self, id: &BodyId) {
        if let Some(touched) = &mut self.touched {
            touched.insert(*id);
        }
    }

    /// Keeps a body from being reclaimed until it is unpinned.
    fn pin(&mut self, id: BodyId) {
        self.touch(&id);
        *self.pins.entry(id).or_default() += 1;
    }

    /// Up to where everything in the packs is whole.
    fn mark(&self) -> Place {
        let end = (self.active.number, self.active.written);
        let (pack, offset) = self.writing.first().copied().map_or(end, |first| first.min(end));
        Place { pack, offset }
    }
}

struct Pack {
    number: u32,
    file: Arc<dyn File>,
    /// The position of the next body.
    len: u64,
    /// The end of the last written body. After a failed write there may be a gap behind it.
    written: u64,
}

/// A pack's name below the data folder.
pub(crate) fn pack_name(number: u32) -> String {
    format!("packs/{number:010}.pack")
}

pub(crate) fn pack_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.pack"))
}

/// The numbers of the packs there are, ascending.
pub(crate) fn pack_numbers(disk: &dyn Disk, dir: &Path) -> Result<Vec<u32>> {
    let names = disk.list(dir).map_err(StoreError::io(dir.display().to_string()))?;
    Ok(names.iter().filter_map(|name| number_in_name(name, 10, ".pack")?.try_into().ok()).collect())
}

impl Packs {
    /// Appends a body unless it exists; pins it either way. `stored_bytes` is the number of bytes that `write_chunks` writes.
    /// Others can write at the same time: the lock is held only to reserve the place and to mark it as filled.
    pub(crate) fn add(
        &self,
        id: BodyId,
        header: &Header,
        stored_bytes: u64,
        write_chunks: impl FnOnce(&dyn File, u64) -> io::Result<()>,
    ) -> Result<()> {
        let mut state = self.state.lock();
        state.pin(id);
        let known = self.is_kept(&state, &id);
        drop(state);
        known
            .and_then(|known| if known { Ok(()) } else { self.append(id, header, stored_bytes, write_chunks) })
            .inspect_err(|_| self.unpin(&id))
    }

    /// Appends a body although it is here: where it is, it is damaged. Pins it.
    pub(crate) fn add_anew(
        &self,
        id: BodyId,
        header: &Header,
        stored_bytes: u64,
        write_chunks: impl FnOnce(&dyn File, u64) -> io::Result<()>,
    ) -> Result<()> {
        self.state.lock().pin(id);
        self.append(id, header, stored_bytes, write_chunks).inspect_err(|_| self.unpin(&id))
    }

    /// Appends a body to the active pack, whether or not it is in another already.
    fn append(
        &self,
        id: BodyId,
        header: &Header,
        stored_bytes: u64,
        write_chunks: impl FnOnce(&dyn File, u64) -> io::Result<()>,
    ) -> Result<()> {
        self.room.check()?;
        // The pair of what a reader checks: it would call such a frame damaged.
        let stored = header.chunks.iter().map(|chunk| u64::from(chunk.stored_bytes)).sum::<u64>();
        assert!(
            header.id == id.as_bytes()
                && header.chunks.len() as u64 == header.len.div_ceil(CHUNK_BYTES as u64)
                && stored == stored_bytes,
            "body {id}: its header states {} bytes in {} chunks, {stored} stored, and {stored_bytes} are written",
            header.len,
            header.chunks.len(),
        );
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
            let full = std::mem::replace(&mut state.active, next);
            state.closed.push((full.number, full.len));
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
        let end = place.offset + frame.len() as u64 + stored_bytes;
        let is_active = state.active.number == place.pack;
        if let Err(error) = written {
            // Nothing refers to what a failed write leaves. Where nobody has gone on behind it, the next body takes its
            // place; else it is passed over when the packs are scanned.
            if is_active && state.active.len == end {
                state.active.len = place.offset;
            }
            return Err(StoreError::io("body pack")(error));
        }
        if is_active {
            state.active.written = state.active.written.max(end);
        }
        state.unsynced.insert(place.pack, file);
        state.fresh.insert(id, place);
        Ok(())
    }

    /// The folder of the packs.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Keeps a body from being reclaimed until it is unpinned.
    pub(crate) fn pin(&self, id: BodyId) {
        self.state.lock().pin(id);
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

    /// A body's location according to the index; the pack may be missing.
    fn indexed_place(&self, id: &BodyId) -> Result<Option<Place>> {
        let stored = meta::read(&*self.index.view(), &place_key(id))?;
        Ok(stored.and_then(|value| Place::from_bytes(&value)))
    }

    /// All that the index says about where bodies are.
    pub(crate) fn indexed_places(&self) -> Vec<Result<(BodyId, Place)>> {
        let view = self.index.view();
        let all = (Bound::Included(vec![meta::BODY]), end_of_prefix(&[meta::BODY]));
        let rows = view.range(Space::Meta, all, Order::Ascending);
        let read = |(key, stored): (Bytes, Bytes)| {
            let value = meta::checked(&key, &stored)?;
            let id = key[1..].try_into().ok().map(BodyId::from_bytes);
            id.zip(Place::from_bytes(&value)).ok_or_else(|| {
                Damaged::new(Part::IndexEntry, Cause::Decoding).key(&key).because("a body's location").into()
            })
        };
        rows.map(|row| row.and_then(read)).collect()
    }

    /// A body's location and its open pack, consistently.
    fn locate(&self, id: &BodyId) -> Result<(Place, Arc<dyn File>)> {
        let state = self.state.lock();
        let place = self.place(&state, id)?.ok_or(StoreError::BodyMissing { id: *id })?;
        let file = state.files.get(&place.pack).cloned().ok_or_else(|| {
            let damage = Damaged::new(Part::Body, Cause::Missing).file(pack_name(place.pack));
            StoreError::body_damaged(*id, damage.because("its pack"))
        })?;
        Ok((place, file))
    }

    /// Whether a body is here: one whose pack is gone is not.
    fn is_known(&self, state: &State, id: &BodyId) -> Result<bool> {
        Ok(self.place(state, id)?.is_some_and(|place| state.files.contains_key(&place.pack)))
    }

    /// Whether a body need not be stored again: a stored message must be readable, so a body known to be damaged does not
    /// count, unless it was stored again just now.
    fn is_kept(&self, state: &State, id: &BodyId) -> Result<bool> {
        Ok(self.is_known(state, id)? && (state.fresh.contains_key(id) || !self.broken.contains(id)))
    }

    /// # Errors
    /// [`StoreError::BodyMissing`].
    pub(crate) fn check_known(&self, id: &BodyId) -> Result<()> {
        let mut state = self.state.lock();
        state.touch(id);
        if self.is_known(&state, id)? { Ok(()) } else { Err(StoreError::BodyMissing { id: *id }) }
    }

    /// Makes all bodies so far durable, and records their locations in the index.
    ///
    /// # Errors
    /// [`StoreError::Stopped`]: the system may have dropped unwritten data, and the index accepts nothing more.
    pub(crate) fn sync(&self) -> Result<()> {
        let stop =
            |error: io::Error| StoreError::Stopped { reason: format!("a body could not be made durable: {error}") };
        if let Some(reason) = self.unlinked_active() {
            return Err(StoreError::Stopped { reason });
        }
        let mut state = self.state.lock();
        if state.unsynced.is_empty() {
            return Ok(());
        }
        let files = std::mem::take(&mut state.unsynced);
        let mark = packed_mark(state.mark());
        let closed = std::mem::take(&mut state.closed);
        let fresh: Vec<(BodyId, Place)> = state.fresh.iter().map(|(id, place)| (*id, *place)).collect();
        // Others may stage bodies while this syncs; those are for the next group.
        drop(state);
        // One that was damaged where it was has been kept again.
        let mended: Vec<BodyId> = fresh.iter().map(|(id, _)| *id).filter(|id| self.broken.contains(id)).collect();
        for file in files.values() {
            file.sync().map_err(stop)?;
        }
        let mut batch: Batch = fresh.iter().map(|(id, place)| meta::write(place_key(id), place.to_bytes())).collect();
        batch.push(mark);
        batch.extend(closed.into_iter().map(|(number, len)| meta::set_pack_bytes(number, len)));
        self.index.apply(batch).map_err(|error| StoreError::Stopped {
            reason: format!("the index did not store a body's location: {error}"),
        })?;
        let mut state = self.state.lock();
        for (id, place) in fresh {
            if state.fresh.get(&id) == Some(&place) {
                state.fresh.remove(&id);
            }
        }
        drop(state);
        for id in mended {
            self.broken.forget(&id);
        }
        Ok(())
    }

    /// Opens a body for reading. Damage found now or during reading is recorded.
    pub(crate) fn open_body(self: &Arc<Self>, id: &BodyId) -> Result<BodyReader> {
        self.find_body(id).inspect_err(|error| {
            if !matches!(error, StoreError::BodyMissing { .. }) {
                self.broken.note(id, error);
            }
        })
    }

    fn find_body(self: &Arc<Self>, id: &BodyId) -> Result<BodyReader> {
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
        BodyReader::open(*id, file, place, Arc::downgrade(self))
    }
}

fn packed_mark(mark: Place) -> meta::Write {
    meta::write(meta::PACKED.to_vec(), mark.to_bytes())
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
    let len = PACK_MAGIC.len() as u64;
    Ok(Pack { number, file, len, written: len })
}
