//! RFC 2047: encoded-words in header text.

use crate::charset;

/// Decodes RFC 2047 encoded-words (and raw 8-bit text) of an unfolded value for people.
///
/// Lenient as the world demands: words inside quotes or glued to text are decoded too, adjacent words of one character
/// set are joined before decoding (multi-byte characters get cut by bad senders), and control characters become spaces.
pub fn decode_text(value: &[u8]) -> String {
    let mut out = String::with_capacity(value.len());
    let mut rest = value;
    // Bytes of adjacent encoded-words in the same character set, not decoded yet.
    let mut pending: Option<(String, Vec<u8>)> = None;
    while !rest.is_empty() {
        if let Some((word, used)) = encoded_word(rest) {
            match &mut pending {
                Some((charset, bytes)) if charset.eq_ignore_ascii_case(word.charset) => {
                    bytes.extend_from_slice(&word.bytes);
                }
                _ => {
                    flush(&mut pending, &mut out);
                    pending = Some((word.charset.to_owned(), word.bytes));
                }
            }
            rest = &rest[used..];
            continue;
        }
        let next = memchr::memmem::find(&rest[1..], b"=?").map_or(rest.len(), |at| at + 1);
        let text = &rest[..next];
        rest = &rest[text.len()..];
        // White space between two encoded-words is not shown.
        let joins = pending.is_some() && text.iter().all(u8::is_ascii_whitespace) && encoded_word(rest).is_some();
        if !joins {
            flush(&mut pending, &mut out);
            out.push_str(&charset::decode_charset(None, text));
        }
    }
    flush(&mut pending, &mut out);
    if out.contains(|c: char| c.is_control()) {
        out = out.replace(|c: char| c.is_control(), " ");
    }
    out
}

fn flush(pending: &mut Option<(String, Vec<u8>)>, out: &mut String) {
    if let Some((charset, bytes)) = pending.take() {
        out.push_str(&charset::decode_charset(Some(&charset), &bytes));
    }
}

struct Word<'a> {
    charset: &'a str,
    bytes: Vec<u8>,
}

/// Longest encoded-word looked at. RFC 2047 says 75; senders exceed it.
const MAX_WORD_BYTES: usize = 4096;

/// An encoded-word at the start of `bytes`, and its length.
fn encoded_word(bytes: &[u8]) -> Option<(Word<'_>, usize)> {
    let inner = bytes.strip_prefix(b"=?")?;
    let inner = &inner[..inner.len().min(MAX_WORD_BYTES)];
    let first = inner.iter().position(|b| !is_token(*b))?;
    if inner[first] != b'?' || first == 0 {
        return None;
    }
    let encoding = *inner.get(first + 1)?;
    if inner.get(first + 2) != Some(&b'?') {
        return None;
    }
    let text_start = first + 3;
    let text = &inner[text_start..];
    // White space does not end the search: unencoded spaces in Q words are common.
    let text_len = memchr::memmem::find(text, b"?=")?;
    let text = &text[..text_len];
    let decoded = match encoding {
        b'Q' | b'q' => decode_q(text),
        b'B' | b'b' => charset::decode_base64(text),
        _ => return None,
    };
    let charset = std::str::from_utf8(&inner[..first]).ok()?;
    // RFC 2231 section 5: the language may follow the character set.
    let charset = charset.split('*').next().unwrap_or(charset);
    Some((Word { charset, bytes: decoded }, 2 + text_start + text_len + 2))
}

fn is_token(b: u8) -> bool {
    b.is_ascii_graphic() && !b"()<>@,;:\"/[]?.=".contains(&b)
}

/// The "Q" encoding (RFC 2047 section 4.2); malformed escapes stay as they are.
fn decode_q(text: &[u8]) -> Vec<u8> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'_' { b' ' } else { *byte }).collect();
    charset::unescape(&spaced, b'=')
}

#[cfg(test)]
mod tests {
    use super::decode_text;

    #[test]
    fn rfc_2047_section_8_examples() {
        for (raw, decoded) in [
            ("=?ISO-8859-1?Q?a?=", "a"),
            ("=?ISO-8859-1?Q?a?= b", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a?=  \t =?ISO-8859-1?Q?b?=", "ab"),
            ("=?ISO-8859-1?Q?a_b?=", "a b"),
            ("=?ISO-8859-1?Q?a?= =?ISO-8859-2?Q?_b?=", "a b"),
            ("=?US-ASCII*EN?Q?Keith_Moore?= x", "Keith Moore x"),
        ] {
            assert_eq!(decode_text(raw.as_bytes()), decoded, "{raw}");
        }
    }

    #[test]
    fn characters_cut_between_two_words_are_joined() {
        assert_eq!(decode_text(b"=?utf-8?B?w6TD?= =?UTF-8?B?tg==?="), "äö");
    }

    #[test]
    fn raw_eight_bit_text_is_read_as_utf8_else_windows_1252() {
        assert_eq!(decode_text("grün".as_bytes()), "grün");
        assert_eq!(decode_text(b"gr\xfcn"), "grün");
    }

    #[test]
    fn broken_words_stay_as_they_are() {
        for raw in ["=?", "=?utf-8", "=?utf-8?Q?", "=?utf-8?X?a?=", "=??Q?a?="] {
            assert_eq!(decode_text(raw.as_bytes()), raw);
        }
    }

    #[test]
    fn decoded_line_breaks_can_not_make_new_lines() {
        assert_eq!(decode_text(b"=?utf-8?Q?a=0D=0ABcc:_x?="), "a  Bcc: x");
    }
}
