//! From part bytes to text: transfer encodings, character sets, and IMAP's mailbox names.

use std::borrow::Cow;

/// Undoes a Content-Transfer-Encoding (lower-case name). `None` if the encoding is unknown; broken input is decoded as
/// far as it makes sense.
pub fn decode_transfer<'a>(_encoding: &str, _body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    todo!()
}

/// Bytes in a named character set to text; unknown or missing names: UTF-8 if valid, else Windows-1252.
pub fn decode_charset(_charset: Option<&str>, _bytes: &[u8]) -> String {
    todo!()
}

/// A mailbox name to the modified UTF-7 of RFC 3501 section 5.1.3.
pub fn encode_mutf7(_name: &str) -> String {
    todo!()
}

/// Modified UTF-7 to a mailbox name; `None` if it is not well-formed.
pub fn decode_mutf7(_name: &str) -> Option<String> {
    todo!()
}
