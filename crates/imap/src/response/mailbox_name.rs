//! Mailbox names on the wire: modified UTF-7 (RFC 3501 section 5.1.3), or UTF-8 once the client has enabled it.

use mailkit::charset::{decode_mutf7, encode_mutf7};

use super::text;

/// Writes a mailbox name as `astring`.
pub(crate) fn write(out: &mut Vec<u8>, name: &str, utf8: bool) {
    if utf8 || (name.is_ascii() && !name.contains('&')) {
        text::string(out, name.as_bytes(), utf8);
    } else {
        text::string(out, encode_mutf7(name).as_bytes(), false);
    }
}

/// Modified UTF-7 to UTF-8. Names that are UTF-8 already are taken as they are (several clients send them so).
/// `None` if a shift sequence is broken.
pub(crate) fn decode(name: &str) -> Option<String> {
    if name.is_ascii() { decode_mutf7(name) } else { Some(name.to_owned()) }
}
