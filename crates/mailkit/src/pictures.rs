//! Which parts are pictures that a page can show, and which of them the HTML of a message asks for.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::charset;
use crate::layout::Layout;
use crate::parsed::Part;

/// Encoded bytes at the start of a part that tell what picture it is.
const HEAD_BYTES: u64 = 64;

/// The pictures of a message that its HTML may ask for, and those that it has.
pub(crate) struct Pictures<'a> {
    /// Content id to part number.
    paths: HashMap<String, String>,
    url: &'a (dyn Fn(&str) -> String + Sync),
    used: Mutex<HashSet<String>>,
}

impl<'a> Pictures<'a> {
    /// Of a message; `url` gives the address of a part.
    pub(crate) fn of(raw: &[u8], layout: &Layout<'_>, url: &'a (dyn Fn(&str) -> String + Sync)) -> Self {
        let mut paths = HashMap::new();
        for leaf in &layout.attachments {
            if let Some(id) = leaf.part.bare_content_id()
                && picture_kind(raw, leaf.part).is_some()
            {
                paths.entry(id.to_owned()).or_insert_with(|| leaf.path.clone());
            }
        }
        Self { paths, url, used: Mutex::default() }
    }

    /// Whether there is none with an id.
    pub(crate) fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The address of the picture with that id, which is shown from now on.
    pub(crate) fn by_content_id(&self, id: &str) -> Option<String> {
        let path = self.paths.get(id)?;
        self.used.lock().unwrap_or_else(PoisonError::into_inner).insert(path.clone());
        Some((self.url)(path))
    }

    /// The part numbers of those that were asked for.
    pub(crate) fn used(&self) -> HashSet<String> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// The media type of a picture that every browser shows and that can not script; `None` for all else, SVG too.
///
/// Senders that know no better say `application/octet-stream`: then the name tells, or the first bytes.
pub(crate) fn picture_kind(raw: &[u8], part: &Part) -> Option<&'static str> {
    let head = head_range(part);
    picture_kind_of(part, raw.get(head.start as usize..raw.len().min(head.end as usize)).unwrap_or_default())
}

/// [`picture_kind`], given what is at [`head_range`].
pub(crate) fn picture_kind_of(part: &Part, head: &[u8]) -> Option<&'static str> {
    if part.media_type == "image"
        && let Some(kind) = kind_named(&part.subtype)
    {
        return Some(kind);
    }
    if !says_nothing(part) {
        return None;
    }
    match extension(part) {
        Some(extension) => kind_named(&extension),
        None => kind_of_bytes(&charset::decode_transfer(&part.encoding, head)?),
    }
}

/// Where the first bytes of a part are.
pub(crate) fn head_range(part: &Part) -> Range<u64> {
    part.body_start..part.body_end.min(part.body_start + HEAD_BYTES)
}

/// Whether only its first bytes can tell that a part is a picture.
pub(crate) fn may_be_sniffed(part: &Part) -> bool {
    says_nothing(part) && extension(part).is_none()
}

/// A media type that stands for "some bytes".
fn says_nothing(part: &Part) -> bool {
    match part.media_type.as_str() {
        "application" => {
            matches!(
                part.subtype.as_str(),
                "octet-stream" | "octetstream" | "binary" | "x-binary" | "unknown" | "x-unknown"
            )
        }
        "image" => matches!(part.subtype.as_str(), "*" | "unknown" | "x-unknown" | "image" | "octet-stream"),
        _ => false,
    }
}

fn extension(part: &Part) -> Option<String> {
    let name = part.file_name()?;
    let (_, extension) = name.rsplit_once('.')?;
    Some(extension.trim().to_ascii_lowercase())
}

fn kind_named(name: &str) -> Option<&'static str> {
    Some(match name {
        "png" | "x-png" => "image/png",
        "gif" => "image/gif",
        "jpeg" | "jpg" | "pjpeg" | "jpe" | "jfif" => "image/jpeg",
        "webp" => "image/webp",
        "avif" => "image/avif",
        "bmp" | "x-bmp" | "x-ms-bmp" => "image/bmp",
        _ => return None,
    })
}

fn kind_of_bytes(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0x89, b'P', b'N', b'G', ..] => "image/png",
        [b'G', b'I', b'F', b'8', ..] => "image/gif",
        [0xFF, 0xD8, 0xFF, ..] => "image/jpeg",
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
        _ => return None,
    })
}
