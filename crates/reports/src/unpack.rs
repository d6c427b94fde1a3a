//! From an attachment to the text of a report: gzip, zip or neither, within bounds.

use std::io::Read;

use flate2::read::{DeflateDecoder, MultiGzDecoder};
use mailkit::charset::decode_charset;

/// Largest attachment that is opened.
pub const MAX_PACKED_BYTES: usize = 8 << 20;
/// Largest text that comes out of one.
pub const MAX_EXPANDED_BYTES: usize = 24 << 20;
/// The most that something may grow when it is unpacked, above a megabyte: reports grow thirtyfold.
pub const MAX_RATIO: usize = 300;
/// Below this nobody asks how much it grew.
const FREE_BYTES: usize = 1 << 20;
/// Files of a zip archive that are looked at.
const MAX_ENTRIES: usize = 16;
/// A zip archive ends with this many bytes at most: its last record and a comment.
const MAX_ZIP_END: usize = 22 + 65_535;
/// Packed within packed: a zip archive that has a gzip file.
const MAX_NESTING: usize = 2;

/// Why a report can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReadable {
    /// It is larger than a limit.
    #[error("{what} is above the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// It is broken, or of a form that is not read.
    #[error("{0}")]
    Broken(&'static str),
    /// It is no report at all.
    #[error("this is no report")]
    NoReport,
}

const fn too_large(what: &'static str, limit: usize) -> NotReadable {
    NotReadable::TooLarge { what, limit }
}

/// The text of what an attachment holds, whatever its name and type say.
///
/// # Errors
/// It is broken, encrypted, or above a limit.
pub fn unpack(packed: &[u8]) -> Result<String, NotReadable> {
    if packed.len() > MAX_PACKED_BYTES {
        return Err(too_large("the packed size", MAX_PACKED_BYTES));
    }
    text(expand(packed, 0)?)
}

fn expand(packed: &[u8], depth: usize) -> Result<Vec<u8>, NotReadable> {
    let inner = if packed.starts_with(&[0x1F, 0x8B]) {
        bounded(MultiGzDecoder::new(packed), packed.len())?
    } else if packed.starts_with(b"PK\x03\x04") {
        zip(packed)?
    } else {
        return Ok(packed.to_vec());
    };
    if depth + 1 >= MAX_NESTING && (inner.starts_with(&[0x1F, 0x8B]) || inner.starts_with(b"PK\x03\x04")) {
        return Err(NotReadable::Broken("it is packed too often"));
    }
    expand(&inner, depth + 1)
}

/// What comes out of `from`, of which `packed` bytes went in.
fn bounded(from: impl Read, packed: usize) -> Result<Vec<u8>, NotReadable> {
    let by_ratio = packed.saturating_mul(MAX_RATIO).max(FREE_BYTES);
    let limit = by_ratio.min(MAX_EXPANDED_BYTES);
    let mut out = Vec::new();
    from.take(limit as u64 + 1).read_to_end(&mut out).map_err(|_| NotReadable::Broken("it can't be unpacked"))?;
    match () {
        () if out.len() <= limit => Ok(out),
        () if limit == MAX_EXPANDED_BYTES => Err(too_large("the unpacked size", MAX_EXPANDED_BYTES)),
        () => Err(too_large("how much it grows when it is unpacked", MAX_RATIO)),
    }
}

fn number(bytes: &[u8], at: usize, len: usize) -> Option<usize> {
    let mut value = 0;
    for byte in bytes.get(at..at.checked_add(len)?)?.iter().rev() {
        value = value << 8 | usize::from(*byte);
    }
    Some(value)
}

/// The first file of a zip archive that may be a report.
fn zip(archive: &[u8]) -> Result<Vec<u8>, NotReadable> {
    read_zip(archive).unwrap_or(Err(NotReadable::Broken("the zip archive is damaged")))
}

fn read_zip(archive: &[u8]) -> Option<Result<Vec<u8>, NotReadable>> {
    let from = archive.len().saturating_sub(MAX_ZIP_END);
    let end = from + archive[from..].windows(4).rposition(|four| four == b"PK\x05\x06")?;
    let mut at = number(archive, end + 16, 4)?;
    for _ in 0..number(archive, end + 10, 2)?.min(MAX_ENTRIES) {
        if archive.get(at..at + 4)? != b"PK\x01\x02" {
            return None;
        }
        let (flags, method) = (number(archive, at + 8, 2)?, number(archive, at + 10, 2)?);
        let packed_len = number(archive, at + 20, 4)?;
        let name_len = number(archive, at + 28, 2)?;
        let name = archive.get(at + 46..at + 46 + name_len)?;
        let local = number(archive, at + 42, 4)?;
        at += 46 + name_len + number(archive, at + 30, 2)? + number(archive, at + 32, 2)?;
        if !may_be_report(name) {
            continue;
        }
        if flags & 1 != 0 {
            return Some(Err(NotReadable::Broken("the zip archive is encrypted")));
        }
        let start = local.checked_add(30)? + number(archive, local + 26, 2)? + number(archive, local + 28, 2)?;
        let packed = archive.get(start..start.checked_add(packed_len)?)?;
        return Some(match method {
            0 => Ok(packed.to_vec()),
            8 => bounded(DeflateDecoder::new(packed), packed.len()),
            _ => Err(NotReadable::Broken("the zip archive is packed in an unknown way")),
        });
    }
    Some(Err(NotReadable::NoReport))
}

/// Not a folder, and not what some programs put beside it.
fn may_be_report(name: &[u8]) -> bool {
    let lower = name.to_ascii_lowercase();
    !lower.starts_with(b"__macosx/") && [&b".xml"[..], b".gz", b".json"].iter().any(|end| lower.ends_with(end))
}

/// Bytes as text: by what they show before what they say of themselves, since many say UTF-16 of what is UTF-8.
fn text(bytes: Vec<u8>) -> Result<String, NotReadable> {
    let decoded = match bytes.as_slice() {
        [0xFE, 0xFF, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xFF, 0xFE, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0, b'<' | b'{', ..] => wide(&bytes, u16::from_be_bytes),
        [b'<' | b'{', 0, ..] => wide(&bytes, u16::from_le_bytes),
        _ => match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let bytes = error.into_bytes();
                let label = declared(&bytes).unwrap_or("windows-1252");
                decode_charset(Some(label), &bytes)
            }
        },
    };
    if decoded.len() > MAX_EXPANDED_BYTES {
        return Err(too_large("the unpacked size", MAX_EXPANDED_BYTES));
    }
    Ok(decoded)
}

/// UTF-16.
fn wide(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

/// The character set that an XML declaration names.
fn declared(bytes: &[u8]) -> Option<&str> {
    let head = bytes.get(..bytes.len().min(200))?;
    let end = head.iter().position(|byte| *byte == b'>')?;
    let head = std::str::from_utf8(&head[..end]).ok()?;
    let (_, rest) = head.split_once("encoding")?;
    let rest = rest.trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let label = rest[1..].split(quote).next()?;
    (!label.to_ascii_lowercase().starts_with("utf")).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_by_what_they_show_before_what_they_say() {
        let of = |bytes: &[u8]| unpack(bytes).unwrap();
        let wide: Vec<u8> = "<é>".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(of(&[&[0xFF, 0xFE], wide.as_slice()].concat()), "<é>");
        assert_eq!(of(&wide), "<é>");
        let wide: Vec<u8> = "<é>".encode_utf16().flat_map(u16::to_be_bytes).collect();
        assert_eq!(of(&wide), "<é>");
        assert_eq!(of(b"<?xml version='1.0' encoding='UTF-16'?><a/>"), "<?xml version='1.0' encoding='UTF-16'?><a/>");
        assert!(of(b"<?xml version='1.0' encoding='ISO-8859-2'?>\xB1").ends_with('ą'));
        assert!(of(b"<?xml version='1.0' encoding='UTF-8'?>\xE9").ends_with('é'));
    }
}
