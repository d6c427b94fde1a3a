//! The form of a body in a pack, and how it is found and verified there.

use std::io;

use prost::Message;

use crate::{Cause, Result, StoreError, compress, disk::File};

pub(super) const FRAME_MAGIC: &[u8; 4] = b"HFBD";
pub(super) const FRAME_BYTES: usize = 12;
/// Bytes of a body that are compressed, hashed and read together.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// The largest frame header: a body of 64 GiB.
pub(super) const MAX_HEADER_BYTES: usize = 16 << 20;

/// The header of a frame.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Header {
    #[prost(bytes = "vec", tag = "1")]
    pub id: Vec<u8>,
    #[prost(uint64, tag = "2")]
    pub len: u64,
    #[prost(message, repeated, tag = "3")]
    pub chunks: Vec<Chunk>,
}

/// One chunk: [`CHUNK_BYTES`] of the body, the last one less.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Chunk {
    #[prost(uint32, tag = "1")]
    pub stored_bytes: u32,
    #[prost(bool, tag = "2")]
    pub compressed: bool,
    /// The first 16 bytes of BLAKE3 of the plain bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub hash: Vec<u8>,
}

/// Compresses a chunk where that makes it smaller.
pub(crate) fn pack_chunk(plain: &[u8], out: &mut Vec<u8>) -> Chunk {
    let hash = blake3::hash(plain).as_bytes()[..16].to_vec();
    let (bytes, compressed) = match compress::compress(plain) {
        Ok(smaller) if smaller.len() < plain.len() => (std::borrow::Cow::Owned(smaller), true),
        _ => (std::borrow::Cow::Borrowed(plain), false),
    };
    out.extend_from_slice(&bytes);
    Chunk { stored_bytes: bytes.len() as u32, compressed, hash }
}

/// The header at `offset`, if a whole one is there, and where its chunks begin.
pub(super) fn read_header(read_at: &ReadAt<'_>, offset: u64) -> Result<Option<(Header, u64)>> {
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
        let plain = match read_chunk(&read_at, at, chunk, left) {
            Ok(plain) => plain,
            Err(Unreadable::Damaged(..)) => return Ok(None),
            // A read error may be temporary: the data is not known to be damaged.
            Err(Unreadable::Io(error)) => return Err(StoreError::io("body pack")(error)),
        };
        hasher.update(&plain);
        left -= plain.len() as u64;
        at += u64::from(chunk.stored_bytes);
    }
    let whole = left == 0 && header.id == hasher.finalize().as_bytes();
    Ok(whole.then_some((header, at)))
}

/// Bytes looked through at once for the next frame.
pub(super) const SEARCH_BYTES: usize = 1 << 20;

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

/// Why a chunk was not given.
pub(super) enum Unreadable {
    /// The system could not read it.
    Io(io::Error),
    /// The data is damaged.
    Damaged(Cause, String),
}

/// A chunk's plain bytes, verified. `left` is what remains of the body from here on.
pub(super) fn read_chunk(read_at: &ReadAt<'_>, at: u64, chunk: &Chunk, left: u64) -> Result<Vec<u8>, Unreadable> {
    let damaged = |cause, what: &str| Err(Unreadable::Damaged(cause, what.to_owned()));
    let expected = (left as usize).min(CHUNK_BYTES);
    if chunk.stored_bytes as usize > CHUNK_BYTES {
        return damaged(Cause::Length, "a chunk");
    }
    let mut stored = vec![0; chunk.stored_bytes as usize];
    let read = read_at(&mut stored, at).map_err(Unreadable::Io)?;
    if read < stored.len() {
        return damaged(Cause::CutOff, "a chunk");
    }
    let plain = if chunk.compressed {
        match compress::decompress(&stored, expected) {
            Ok(plain) => plain,
            Err(error) => return damaged(Cause::Decoding, &format!("a chunk: {error}")),
        }
    } else {
        stored
    };
    if plain.len() != expected || blake3::hash(&plain).as_bytes()[..16] != chunk.hash {
        return damaged(Cause::Checksum, "a chunk");
    }
    Ok(plain)
}

/// Fills a buffer from an offset, short only at the end; gives how much.
pub(super) type ReadAt<'a> = dyn Fn(&mut [u8], u64) -> io::Result<usize> + 'a;
