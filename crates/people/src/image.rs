//! Which files can be the picture of a contact, and how large they may be.

use std::collections::BTreeMap;

use bytes::Bytes;

/// Largest picture, in bytes.
pub const MAX_PICTURE_BYTES: usize = 256 * 1024;
/// Largest width and height of a picture, in pixels.
pub const MAX_PICTURE_SIDE: u32 = 4096;
/// Most pictures of a contact.
pub const MAX_PICTURES: usize = 5;
/// Most bytes of all pictures of an account.
pub const MAX_ALL_PICTURES_BYTES: u64 = 24 << 20;
/// Bytes of the hash under which a picture is stored.
pub const HASH_BYTES: usize = 16;

/// The bytes of pictures, by hash.
pub type Pictures = BTreeMap<Vec<u8>, Bytes>;

/// Why a file can't be the picture of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// It is none of the formats that browsers show.
    #[error("the picture is not a JPEG, PNG, GIF or WebP file")]
    Unknown,
    /// It is too large.
    #[error("the picture is too large: the limit is {} KiB", MAX_PICTURE_BYTES / 1024)]
    TooLarge,
    /// It has too many pixels, or none.
    #[error("the picture may have {MAX_PICTURE_SIDE} by {MAX_PICTURE_SIDE} pixels at most")]
    TooManyPixels,
    /// The pictures of the account are as large as they may be.
    #[error("the pictures of this address book have reached their limit of {} MiB", MAX_ALL_PICTURES_BYTES >> 20)]
    Full,
}

/// The media type of a picture, by what its bytes say.
///
/// # Errors
/// If it may not be kept.
pub fn kind_of(bytes: &[u8]) -> Result<&'static str, PictureError> {
    if bytes.len() > MAX_PICTURE_BYTES {
        return Err(PictureError::TooLarge);
    }
    let (kind, (width, height)) = measured(bytes).ok_or(PictureError::Unknown)?;
    let fits = |side: u32| (1..=MAX_PICTURE_SIDE).contains(&side);
    if fits(width) && fits(height) { Ok(kind) } else { Err(PictureError::TooManyPixels) }
}

/// Media type, width and height.
fn measured(bytes: &[u8]) -> Option<(&'static str, (u32, u32))> {
    let at = |from: usize, to: usize| bytes.get(from..to);
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") && at(12, 16)? == b"IHDR" {
        let number = |from| Some(u32::from_be_bytes(at(from, from + 4)?.try_into().ok()?));
        return Some(("image/png", (number(16)?, number(20)?)));
    }
    let little = |from| Some(u32::from(u16::from_le_bytes(at(from, from + 2)?.try_into().ok()?)));
    if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        return Some(("image/gif", (little(6)?, little(8)?)));
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Some(("image/jpeg", of_jpeg(bytes)?));
    }
    if bytes.starts_with(b"RIFF") && at(8, 12)? == b"WEBP" {
        let three = |from: usize| {
            Some(u32::from_le_bytes([*bytes.get(from)?, *bytes.get(from + 1)?, *bytes.get(from + 2)?, 0]))
        };
        let size = match at(12, 16)? {
            b"VP8X" => (three(24)? + 1, three(27)? + 1),
            b"VP8 " if at(23, 26)? == b"\x9d\x01\x2a" => (little(26)? & 0x3FFF, little(28)? & 0x3FFF),
            b"VP8L" if *bytes.get(20)? == 0x2F => {
                let bits = u32::from_le_bytes(at(21, 25)?.try_into().ok()?);
                ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
            }
            _ => return None,
        };
        return Some(("image/webp", size));
    }
    None
}

/// Width and height in the frame header of a JPEG file.
fn of_jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        while bytes.get(at)? == &0xFF && bytes.get(at + 1)? == &0xFF {
            at += 1;
        }
        if bytes.get(at)? != &0xFF {
            return None;
        }
        let two = |from: usize| Some(u16::from_be_bytes([*bytes.get(from)?, *bytes.get(from + 1)?]));
        match *bytes.get(at + 1)? {
            0x01 | 0xD0..=0xD8 => at += 2,
            // The picture begins, or ends, without a frame header.
            0xD9 | 0xDA => return None,
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Some((u32::from(two(at + 7)?), u32::from(two(at + 5)?)));
            }
            _ => at += 2 + usize::from(two(at + 2)?.max(2)),
        }
    }
}

/// The hash under which a picture is stored.
pub(crate) fn hash(bytes: &[u8]) -> Vec<u8> {
    blake3::hash(bytes).as_bytes()[..HASH_BYTES].to_vec()
}

/// Why a picture from a file was left out.
pub(crate) fn left_out(error: PictureError) -> String {
    format!("the picture was left out: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_picture_is_known_by_its_bytes_and_bounded() {
        let gif = b"GIF89a\x10\0\x20\0".to_vec();
        let jpeg = b"\xff\xd8\xff\xe0\0\x04aa\xff\xff\xc2\0\x11\x08\0\x20\0\x10".to_vec();
        let vp8x = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x1f\0\0".to_vec();
        let vp8 = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0aaa\x9d\x01\x2a\x10\0\x20\0".to_vec();
        let vp8l = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x0f\xc0\x07\0".to_vec();
        for (bytes, kind) in [
            (png(16, 32), "image/png"),
            (gif, "image/gif"),
            (jpeg, "image/jpeg"),
            (vp8x, "image/webp"),
            (vp8, "image/webp"),
            (vp8l, "image/webp"),
        ] {
            assert_eq!(measured(&bytes), Some((kind, (16, 32))), "{kind}");
            assert_eq!(kind_of(&bytes), Ok(kind));
            // Cut anywhere, it is none, or the same; nothing panics.
            for end in 0..bytes.len() {
                assert!(measured(&bytes[..end]).is_none_or(|(known, _)| known == kind));
            }
        }
        assert_eq!(kind_of(&png(0, 5)), Err(PictureError::TooManyPixels));
        assert_eq!(kind_of(&png(5, MAX_PICTURE_SIDE + 1)), Err(PictureError::TooManyPixels));
        assert_eq!(kind_of(&png(u32::MAX, u32::MAX)), Err(PictureError::TooManyPixels));
        let large = [png(5, 5), vec![0; MAX_PICTURE_BYTES]].concat();
        assert_eq!(kind_of(&large), Err(PictureError::TooLarge));
        for other in [
            &b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..],
            b"<script>",
            b"",
            b"RIFF",
            b"%PDF-1.4",
            b"\xff\xd8\xff\xd9",
        ] {
            assert_eq!(kind_of(other), Err(PictureError::Unknown));
        }
    }
}
