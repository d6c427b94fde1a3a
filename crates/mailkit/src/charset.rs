//! From part bytes to text: transfer encodings, character sets, and IMAP's mailbox names.

mod decode;
mod labels;
mod pages;
mod seven;

use std::borrow::Cow;

pub use decode::{decode_charset, decode_charset_or, detect_charset, html_charset, names_charset, names_utf8};

pub use crate::utf7::{decode_mutf7, encode_mutf7};

/// Undoes a Content-Transfer-Encoding (lower-case name). `None` if the encoding is unknown; broken input is decoded as
/// far as it makes sense.
pub fn decode_transfer<'a>(encoding: &str, body: &'a [u8]) -> Option<Cow<'a, [u8]>> {
    match encoding {
        "" | "7bit" | "8bit" | "binary" => Some(Cow::Borrowed(body)),
        "base64" => Some(Cow::Owned(decode_base64(body))),
        "quoted-printable" => Some(Cow::Owned(decode_quoted_printable(body))),
        "x-uuencode" | "x-uue" | "uuencode" | "uue" => Some(Cow::Owned(crate::opened::uuencode::decode(body))),
        _ => None,
    }
}

/// Base64, whatever else stands between its characters; padding may be missing or doubled.
pub(crate) fn decode_base64(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() / 4 * 3 + 3);
    let mut bits = 0u32;
    let mut have = 0u32;
    for &byte in body {
        let value = BASE64[usize::from(byte)];
        if value == NOT_BASE64 {
            if byte == b'=' {
                // Padding ends a quantum; another encoded run may follow.
                bits = 0;
                have = 0;
            }
            continue;
        }
        bits = (bits << 6) | u32::from(value);
        have += 6;
        if have >= 8 {
            have -= 8;
            out.push((bits >> have) as u8);
            bits &= (1 << have) - 1;
        }
    }
    out
}

const NOT_BASE64: u8 = 0xFF;

/// Value of each base64 character.
const BASE64: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [NOT_BASE64; 256];
    let mut at = 0;
    while at < 64 {
        table[alphabet[at] as usize] = at as u8;
        at += 1;
    }
    table
};

/// Quoted-printable (RFC 2045 section 6.7); malformed escapes stay as they are.
pub(crate) fn decode_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut at = 0;
    // Where trailing white space begins, if the last bytes put out are literal white space.
    let mut blanks_from = None;
    while at < body.len() {
        let byte = body[at];
        at += 1;
        match byte {
            b'=' => {
                blanks_from = None;
                let rest = &body[at..];
                if let Some(decoded) = hex_pair(rest) {
                    out.push(decoded);
                    at += 2;
                } else if let Some(skip) = soft_break(rest) {
                    at += skip;
                } else {
                    out.push(b'=');
                }
            }
            b' ' | b'\t' => {
                blanks_from.get_or_insert(out.len());
                out.push(byte);
            }
            b'\n' | b'\r' => {
                // White space at the end of a line was added on the way (rule 3).
                if let Some(from) = blanks_from.take() {
                    out.truncate(from);
                }
                out.push(byte);
            }
            _ => {
                blanks_from = None;
                out.push(byte);
            }
        }
    }
    out
}

/// Length of what follows the `=` of a soft line break, if this is one. White space looked at is bounded, so that
/// runs of `=` and blanks stay linear.
fn soft_break(rest: &[u8]) -> Option<usize> {
    const MAX_BLANKS: usize = 80;
    let blanks = rest.iter().take(MAX_BLANKS).take_while(|b| matches!(b, b' ' | b'\t')).count();
    match &rest[blanks..] {
        [] => Some(blanks),
        [b'\n', ..] => Some(blanks + 1),
        [b'\r', b'\n', ..] => Some(blanks + 2),
        _ => None,
    }
}

/// Two hexadecimal digits at the start.
pub(crate) fn hex_pair(bytes: &[u8]) -> Option<u8> {
    let digit = |b: u8| (b as char).to_digit(16).map(|d| d as u8);
    match bytes {
        [high, low, ..] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

/// Bytes that were written as a mark and two hexadecimal digits (`%2B`), undone; what is not of that form stays.
pub(crate) fn unescape(text: &[u8], mark: u8) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        match hex_pair(&text[at + 1..]) {
            Some(byte) if text[at] == mark => {
                out.push(byte);
                at += 3;
            }
            _ => {
                out.push(text[at]);
                at += 1;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_once_and_all_else_stays() {
        for (text, mark, plain) in [
            ("a%2Bb%2b", b'%', "a+b+"),
            ("a+2Bb%2B", b'+', "a+b%2B"),
            ("%C3%A4ä", b'%', "ää"),
            ("%2525", b'%', "%25"),
            ("%%41", b'%', "%A"),
            ("%4", b'%', "%4"),
            ("%", b'%', "%"),
            ("%4g%g4% 41", b'%', "%4g%g4% 41"),
            ("", b'%', ""),
        ] {
            assert_eq!(unescape(text.as_bytes(), mark), plain.as_bytes(), "{text}");
        }
    }

    #[test]
    fn base64_survives_line_breaks_junk_and_missing_padding() {
        for body in ["aGVsbG8=", "aGVs\r\nbG8", "a G*V-s!bG8====", "aGU=bGxv"] {
            assert_eq!(decode_base64(body.as_bytes()), b"hello", "{body}");
        }
        assert_eq!(decode_base64(b"a"), b"");
    }

    #[test]
    fn quoted_printable_follows_rfc_2045() {
        for (body, decoded) in [
            ("a=3Db", "a=b"),
            ("a=\r\nb", "ab"),
            ("a= \t\r\nb", "ab"),
            ("a=\nb", "ab"),
            ("a  \r\nb", "a\r\nb"),
            ("a=20 \r\nb", "a \r\nb"),
            ("a=ZZ", "a=ZZ"),
            ("a=", "a"),
            ("=c3=A4", "ä"),
        ] {
            assert_eq!(decode_quoted_printable(body.as_bytes()), decoded.as_bytes(), "{body:?}");
        }
    }

    #[test]
    fn character_sets_of_real_mail_are_read() {
        for (charset, bytes, text) in [
            ("iso-8859-1", &b"\xe4\x80"[..], "ä€"),
            ("UTF-8", "ä".as_bytes(), "ä"),
            ("us-ascii", "ä".as_bytes(), "ä"),
            ("us-ascii", b"\xe4", "ä"),
            ("koi8-r", b"\xf0\xf2", "ПР"),
            ("iso-2022-jp", b"\x1b$B$\"\x1b(B", "あ"),
            ("cp936", b"\xc4\xe3", "你"),
            ("utf-7", b"Hi +AOQ-!", "Hi ä!"),
            ("no-such-set", b"\xe4", "ä"),
        ] {
            assert_eq!(decode_charset(Some(charset), bytes), text, "{charset}");
        }
    }

    #[test]
    fn unknown_transfer_encodings_are_named_as_unknown() {
        assert_eq!(decode_transfer("x-rot13", b"a"), None);
        assert_eq!(decode_transfer("binary", b"a\0").unwrap(), &b"a\0"[..]);
    }
}
