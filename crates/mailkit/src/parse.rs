//! From raw bytes to [`Parsed`].

use crate::Parsed;

/// Characters kept as preview.
pub const MAX_PREVIEW_CHARS: usize = 256;

/// Reads a message. Never fails and never panics, whatever the bytes; linear in their number.
pub fn parse(_raw: &[u8]) -> Parsed {
    todo!()
}
