//! Header fields of a raw header block: finding, unfolding, choosing.

use std::ops::Range;

/// One header field, borrowed from the raw header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The whole field with its folds and final line break.
    pub raw: &'a [u8],
    /// Name without the colon, as written.
    pub name: &'a [u8],
    /// Value as written: folds in it, no final line break.
    pub value: &'a [u8],
}

/// The fields of a header block, in order; ends at the empty line. Lines that are no field are skipped.
pub fn fields(_header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    #[allow(clippy::todo)]
    std::iter::once_with(|| todo!())
}

/// The first field of that name (ASCII case ignored), unfolded and trimmed.
pub fn value(_header: &[u8], _name: &str) -> Option<Vec<u8>> {
    todo!()
}

/// Where the header of a raw message lies (with the empty line): the rest is its body.
pub fn header_range(_raw: &[u8]) -> Range<usize> {
    todo!()
}

/// IMAP `HEADER.FIELDS` (or, with `not`, `HEADER.FIELDS.NOT`): the chosen fields raw, then an empty line.
pub fn select(_header: &[u8], _names: &[impl AsRef<[u8]>], _not: bool) -> Vec<u8> {
    todo!()
}

/// Takes the folds out of a value: line breaks go, the white space after them stays; trimmed at both ends.
pub fn unfold(_value: &[u8]) -> Vec<u8> {
    todo!()
}

/// Decodes RFC 2047 encoded-words (and raw 8-bit text) of an unfolded value for people.
pub fn decode_text(_value: &[u8]) -> String {
    todo!()
}
