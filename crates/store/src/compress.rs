//! Zstandard with reusable working memory: creating it for each call costs more than compressing a typical message.

use std::io;

use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};

/// Speed goes before size: mail is mostly attachments that do not get smaller.
const LEVEL: i32 = 1;
/// How many of each kind are kept for the next caller; some 100 KB each.
const KEPT: usize = 8;

static COMPRESSORS: Mutex<Vec<Compressor<'static>>> = Mutex::new(Vec::new());
static DECOMPRESSORS: Mutex<Vec<Decompressor<'static>>> = Mutex::new(Vec::new());

/// Compresses `plain`.
pub(crate) fn compress(plain: &[u8]) -> io::Result<Vec<u8>> {
    let kept = COMPRESSORS.lock().pop();
    let mut compressor = kept.map_or_else(|| Compressor::new(LEVEL), Ok)?;
    let packed = compressor.compress(plain)?;
    keep(&COMPRESSORS, compressor);
    Ok(packed)
}

/// Decompresses to at most `capacity` bytes.
pub(crate) fn decompress(packed: &[u8], capacity: usize) -> io::Result<Vec<u8>> {
    let kept = DECOMPRESSORS.lock().pop();
    let mut decompressor = kept.map_or_else(Decompressor::new, Ok)?;
    let plain = decompressor.decompress(packed, capacity)?;
    keep(&DECOMPRESSORS, decompressor);
    Ok(plain)
}

fn keep<T>(pool: &Mutex<Vec<T>>, one: T) {
    let mut pool = pool.lock();
    if pool.len() < KEPT {
        pool.push(one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_leaves_nothing_behind_for_the_next() {
        let plain = vec![7; 10_000];
        let packed = compress(&plain).unwrap();
        assert!(decompress(&packed[..packed.len() - 3], 10_000).is_err());
        assert!(decompress(&packed, 9_999).is_err());
        assert_eq!(decompress(&packed, 10_000).unwrap(), plain);
    }
}
