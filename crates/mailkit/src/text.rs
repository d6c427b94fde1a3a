//! The text of text parts.

use crate::charset;
use crate::parsed::Part;

/// Longest text of one part that is shown or searched, in bytes; the rest is cut.
pub const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;

/// Bytes at the start of HTML in which its character set is looked for, still encoded.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// The bytes of a part, still encoded.
pub(crate) fn body<'a>(raw: &'a [u8], part: &Part) -> Option<&'a [u8]> {
    // The record may belong to another message if the caller mixed them up: then there is no such part.
    raw.get(part.body_start as usize..part.body_end as usize)
}

/// The text of a text part; at most `max` encoded bytes are read. `raw` may end within it. `None` for any other part.
pub fn decoded_text(raw: &[u8], part: &Part, max: usize) -> Option<String> {
    if part.media_type != "text" {
        return None;
    }
    let body = raw.get(part.body_start as usize..raw.len().min(part.body_end as usize))?;
    let body = &body[..body.len().min(max)];
    let bytes = charset::decode_transfer(&part.encoding, body).unwrap_or(body.into());
    let own = if part.is_text("html") { charset::html_charset(&bytes) } else { None };
    let text = charset::decode_charset_or(part.charset(), own.as_deref(), &bytes);
    Some(text.replace("\r\n", "\n"))
}

/// The character set of the text of a part, where it says one that is not ASCII or UTF-8.
pub(crate) fn said_charset(raw: &[u8], part: &Part) -> Option<String> {
    let named = |label: &str| charset::names_charset(label) && !charset::names_utf8(label);
    match part.charset().filter(|label| charset::names_charset(label)) {
        Some(label) => named(label).then(|| label.to_owned()),
        None if part.is_text("html") => {
            let body = raw.get(part.body_start as usize..raw.len().min(part.body_end as usize))?;
            let bytes = charset::decode_transfer(&part.encoding, &body[..body.len().min(MAX_HEAD_BYTES)])?;
            charset::html_charset(&bytes).filter(|label| named(label))
        }
        None => None,
    }
}
