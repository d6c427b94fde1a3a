//! Reading a body, in whole or in part.

use std::{
    io,
    sync::{Arc, Weak},
};

use bytes::Bytes;

use super::{
    Packs, Place,
    frame::{CHUNK_BYTES, Header, Unreadable, read_chunk, read_header},
    pack_name,
};
use crate::{BodyId, Cause, Damaged, Part, Result, StoreError, disk::File};

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

fn damaged(id: BodyId, place: Place, cause: Cause, what: &str) -> StoreError {
    let damage = Damaged::new(Part::Body, cause).file(pack_name(place.pack)).at(place.offset);
    StoreError::body_damaged(id, damage.because(what))
}

/// A body, read completely or in part; all returned data is verified.
pub struct BodyReader {
    id: BodyId,
    place: Place,
    pack: Ahead,
    header: Header,
    /// The offset of each chunk.
    offsets: Vec<u64>,
    position: u64,
    current: Option<(usize, Bytes)>,
    /// Records damage while the store is open; a reader must not prevent the store from being closed.
    packs: Weak<Packs>,
    /// Damaged data is requested from donors.
    rescues: bool,
}

impl BodyReader {
    pub(crate) fn open(id: BodyId, file: Arc<dyn File>, place: Place, packs: Weak<Packs>) -> Result<Self> {
        let damaged = |cause, what: &str| damaged(id, place, cause, what);
        let pack = Ahead::new(file, place.offset).map_err(StoreError::io("body pack"))?;
        let read_at = |buffer: &mut [u8], offset| pack.read_at(buffer, offset);
        let (header, mut at) =
            read_header(&read_at, place.offset)?.ok_or_else(|| damaged(Cause::Decoding, "its header"))?;
        if header.id != id.as_bytes() || header.chunks.len() as u64 != header.len.div_ceil(CHUNK_BYTES as u64) {
            return Err(damaged(Cause::Order, "its header is of another body"));
        }
        let mut offsets = Vec::with_capacity(header.chunks.len());
        for chunk in &header.chunks {
            offsets.push(at);
            at += u64::from(chunk.stored_bytes);
        }
        Ok(Self { id, place, pack, header, offsets, position: 0, current: None, packs, rescues: false })
    }

    /// Damage is recorded.
    fn noted<T>(&self, result: Result<T>) -> Result<T> {
        if let Err(error) = &result
            && let Some(packs) = self.packs.upgrade()
        {
            packs.broken.note(&self.id, error);
        }
        result
    }

    /// The same, and damaged data is requested from donors.
    pub(super) const fn rescued(mut self) -> Self {
        self.rescues = true;
        self
    }

    /// Continues with the repaired body, if a donor supplies it.
    fn rescue(&mut self) -> bool {
        if !std::mem::take(&mut self.rescues) {
            return false;
        }
        let Some(packs) = self.packs.upgrade() else { return false };
        let Some(anew) = packs.rescue(&self.id).then(|| packs.open_body(&self.id)).and_then(Result::ok) else {
            return false;
        };
        let position = self.position;
        *self = Self { position, ..anew };
        true
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
        let plain =
            read_chunk(&read_at, self.offsets[number], &self.header.chunks[number], left).map_err(|why| match why {
                Unreadable::Damaged(cause, what) => damaged(self.id, self.place, cause, &what),
                Unreadable::Io(error) => StoreError::io("body pack")(error),
            });
        let bytes = match self.noted(plain) {
            Ok(plain) => Bytes::from(plain),
            Err(_) if self.rescue() => return self.chunk(number),
            Err(error) => return Err(error),
        };
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
        if BodyId::of(&all) == self.id { Ok(all) } else { self.noted(Err(self.another())) }
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
        if hasher.finalize().as_bytes() == self.id.as_bytes() { Ok(()) } else { self.noted(Err(self.another())) }
    }

    fn another(&self) -> StoreError {
        damaged(self.id, self.place, Cause::Checksum, "all of it")
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
