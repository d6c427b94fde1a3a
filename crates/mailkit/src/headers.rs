//! Header fields of a raw header block: finding, unfolding, choosing.
//!
//! A header block ends at the first empty line (`CRLF` or a bare `LF`); there are no other requirements. Lines that are
//! not fields, such as an mbox `From ` line or binary junk, are skipped.

use std::ops::Range;

use memchr::memchr;

pub use crate::words::{decode_text, decode_text_or};

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

impl Field<'_> {
    /// Whether it bears this name (ASCII case ignored).
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }
}

/// The fields of a header block, in order (see [`fields`]).
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

/// The fields of a header block, in order; ends at the empty line. Lines that are no field are skipped.
pub fn fields(header: &[u8]) -> Fields<'_> {
    Fields { rest: header }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Field<'a>;

    fn next(&mut self) -> Option<Field<'a>> {
        loop {
            if self.rest.is_empty() || is_empty_line(self.rest) {
                return None;
            }
            let mut end = line_end(self.rest);
            while end < self.rest.len() && matches!(self.rest[end], b' ' | b'\t') {
                end += line_end(&self.rest[end..]);
            }
            let (raw, rest) = self.rest.split_at(end);
            self.rest = rest;
            if let Some(field) = split(raw) {
                return Some(field);
            }
        }
    }
}

/// Splits a logical line into name and value, if it is a field.
fn split(raw: &[u8]) -> Option<Field<'_>> {
    // A name never goes past its own line.
    let first_line = &raw[..line_end(raw)];
    let colon = memchr(b':', first_line)?;
    let name = raw[..colon].trim_ascii_end();
    if name.is_empty() || !name.iter().all(u8::is_ascii_graphic) {
        return None;
    }
    let value = &raw[colon + 1..];
    let value = value.strip_suffix(b"\n").unwrap_or(value);
    let value = value.strip_suffix(b"\r").unwrap_or(value);
    Some(Field { raw, name, value })
}

/// Length of the first line, its line break included.
pub(crate) fn line_end(bytes: &[u8]) -> usize {
    memchr(b'\n', bytes).map_or(bytes.len(), |at| at + 1)
}

/// Whether the bytes begin with an empty line.
pub(crate) fn is_empty_line(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\n") || bytes.starts_with(b"\r\n")
}

/// The first field of that name (ASCII case ignored), unfolded and trimmed.
pub fn value(header: &[u8], name: &str) -> Option<Vec<u8>> {
    fields(header).find(|field| field.is(name)).map(|field| unfold(field.value))
}

/// Where the header of a raw message lies (with the empty line): the rest is its body.
pub fn header_range(raw: &[u8]) -> Range<usize> {
    let mut at = 0;
    while at < raw.len() {
        let rest = &raw[at..];
        let line = line_end(rest);
        at += line;
        if is_empty_line(rest) {
            break;
        }
    }
    0..at
}

/// IMAP `HEADER.FIELDS` (or, with `not`, `HEADER.FIELDS.NOT`): the chosen fields raw, then an empty line.
pub fn select(header: &[u8], names: &[impl AsRef<[u8]>], not: bool) -> Vec<u8> {
    let mut out = Vec::new();
    for field in fields(header) {
        let named = names.iter().any(|name| field.name.eq_ignore_ascii_case(name.as_ref()));
        if named != not {
            out.extend_from_slice(field.raw);
            if !field.raw.ends_with(b"\n") {
                out.extend_from_slice(b"\r\n");
            }
        }
    }
    out.extend_from_slice(b"\r\n");
    out
}

/// Takes the folds out of a value: line breaks go, the white space after them stays; trimmed at both ends.
pub fn unfold(value: &[u8]) -> Vec<u8> {
    let value = value.trim_ascii();
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(at) = memchr(b'\n', rest) {
        let line = &rest[..at];
        out.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(line));
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &[u8] = b"From x Mon\r\nSubject: one\r\n two\r\nTo : a@b\n\tc\nbad line\nX:\r\n\r\nBody: no\r\n";

    #[test]
    fn fields_end_at_the_empty_line_and_skip_junk() {
        let names: Vec<_> = fields(HEADER).map(|f| f.name.to_vec()).collect();
        assert_eq!(names, [b"Subject".to_vec(), b"To".to_vec(), b"X".to_vec()]);
    }

    #[test]
    fn unfolding_keeps_the_white_space_of_the_fold() {
        assert_eq!(value(HEADER, "subject").unwrap(), b"one two");
        assert_eq!(value(HEADER, "TO").unwrap(), b"a@b\tc");
        assert_eq!(value(HEADER, "x").unwrap(), b"");
        assert_eq!(value(HEADER, "Body"), None);
    }

    #[test]
    fn header_range_includes_the_empty_line() {
        assert_eq!(header_range(b"A: b\r\n\r\nx"), 0..8);
        assert_eq!(header_range(b"A: b\n\nx"), 0..6);
        assert_eq!(header_range(b"\r\nx"), 0..2);
        assert_eq!(header_range(b"A: b"), 0..4);
        assert_eq!(header_range(b""), 0..0);
    }

    #[test]
    fn select_returns_raw_fields_and_an_empty_line() {
        assert_eq!(select(HEADER, &["SUBJECT"], false), b"Subject: one\r\n two\r\n\r\n");
        assert_eq!(select(HEADER, &["subject", "x"], true), b"To : a@b\n\tc\n\r\n");
        assert_eq!(select(b"A: b", &["a"], false), b"A: b\r\n\r\n");
    }
}
