//! Contents packed within a part: `winmail.dat`, opaquely signed messages, messages and files in another encoding.
//!
//! All of it is untrusted: containers are read up to [`MAX_CONTAINER_BYTES`], nested up to [`MAX_NESTING`], and with at
//! most [`MAX_FILES`] files each.

mod cms;
mod found;
mod tnef;
pub(crate) mod uuencode;

pub(crate) use found::{InnerFile, Opened};

use crate::charset;
use crate::parsed::Part;
use crate::text::body;

/// Largest container that is opened, in bytes as sent; a larger one is a file like another.
pub const MAX_CONTAINER_BYTES: u64 = 32 * 1024 * 1024;

/// Containers within each other that are opened.
pub(crate) const MAX_NESTING: usize = 3;

/// Whether [`open`] may find something in a part.
pub(crate) fn is_container(part: &Part) -> bool {
    part.octets() <= MAX_CONTAINER_BYTES && (is_tnef(part) || is_cms(part))
}

/// Whether a part is a message that is itself encoded, which RFC 2046 section 5.2.1 forbids: its structure is not known.
pub(crate) fn is_encoded_message(part: &Part) -> bool {
    part.is_message()
        && part.octets() <= MAX_CONTAINER_BYTES
        && !matches!(part.encoding.as_str(), "7bit" | "8bit" | "binary")
}

/// Opens a container. `None` if it is none, or damaged, or `raw` ends within it.
pub(crate) fn open(raw: &[u8], part: &Part) -> Option<Opened> {
    if !is_container(part) {
        return None;
    }
    let bytes = charset::decode_transfer(&part.encoding, body(raw, part)?)?;
    if is_tnef(part) { tnef::read(&bytes) } else { cms::read(&bytes) }
}

/// The message that [`is_encoded_message`].
pub(crate) fn encoded_message(raw: &[u8], part: &Part) -> Option<Vec<u8>> {
    let decoded = charset::decode_transfer(&part.encoding, body(raw, part)?)?;
    is_encoded_message(part).then(|| decoded.into_owned())
}

fn is_tnef(part: &Part) -> bool {
    part.media_type == "application"
        && (matches!(part.subtype.as_str(), "ms-tnef" | "vnd.ms-tnef" | "x-ms-tnef")
            || part.file_name().is_some_and(|name| name.eq_ignore_ascii_case("winmail.dat")))
}

fn is_cms(part: &Part) -> bool {
    if part.media_type != "application" {
        return false;
    }
    let certificates = part.param("smime-type").is_some_and(|kind| kind.eq_ignore_ascii_case(b"certs-only"));
    let named = || part.file_name().is_some_and(|name| name.to_ascii_lowercase().ends_with(".p7m"));
    match part.subtype.as_str() {
        "pkcs7-mime" | "x-pkcs7-mime" => !certificates,
        "octet-stream" => named(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_taken_without_panic(bytes: Vec<u8>, head in 0usize..3) {
            let heads: [&[u8]; 3] = [b"", b"\x78\x9f\x3e\x22\x01\x00\x02\x05\x90\x06\x00", b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80"];
            let bytes = [heads[head], &bytes].concat();
            tnef::read(&bytes);
            cms::read(&bytes);
            uuencode::blocks(&String::from_utf8_lossy(&bytes));
        }
    }
}
