//! RFC 2047: encoded-words in header text.

use crate::charset;

/// [`decode_text_or`] without a hint.
pub fn decode_text(value: &[u8]) -> String {
    decode_text_or(value, None)
}

/// Decodes RFC 2047 encoded-words (and raw 8-bit text) of an unfolded value for people. `hint`: the character set of raw
/// text that is not UTF-8, if one is known ([`crate::Parsed::header_charset`]).
///
/// Lenient as the world demands: words inside quotes or glued to text are decoded too, adjacent words of one character
/// set are joined before decoding (characters, and units of base64, get cut by bad senders), and control characters
/// become spaces.
pub fn decode_text_or(value: &[u8], hint: Option<&str>) -> String {
    let whole;
    let mut rest = value;
    if memchr::memmem::find(value, b"\x1b$").is_some() {
        // Raw text that shifts between alphabets: what looks like a word in it may be characters of it.
        whole = charset::decode_charset_or(None, hint, value).into_bytes();
        rest = &whole;
    }
    let mut out = String::with_capacity(value.len());
    // Adjacent encoded-words in the same character set, not decoded yet.
    let mut pending: Option<Pending> = None;
    while !rest.is_empty() {
        if let Some((word, used)) = encoded_word(rest) {
            match &mut pending {
                Some(run) if run.charset.eq_ignore_ascii_case(word.charset) => run.add(&word),
                _ => {
                    flush(&mut pending, &mut out);
                    pending = Some(Pending::new(&word));
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
            out.push_str(&charset::decode_charset_or(None, hint, text));
        }
    }
    flush(&mut pending, &mut out);
    if out.contains(|c: char| c.is_control()) {
        out = out.replace(|c: char| c.is_control(), " ");
    }
    out
}

fn flush(pending: &mut Option<Pending>, out: &mut String) {
    if let Some(run) = pending.take() {
        out.push_str(&run.decoded());
    }
}

/// A run of adjacent words in one character set.
struct Pending {
    charset: String,
    /// What they encode, but for what `carry` begins.
    bytes: Vec<u8>,
    encoding: Encoding,
    /// The beginning of a unit of the encoding that may go on in the next word: at most three bytes.
    carry: Vec<u8>,
}

impl Pending {
    fn new(word: &Word<'_>) -> Self {
        let mut run =
            Self { charset: word.charset.to_owned(), bytes: Vec::new(), encoding: word.encoding, carry: Vec::new() };
        run.add(word);
        run
    }

    fn add(&mut self, word: &Word<'_>) {
        let text: Vec<u8> = match word.encoding {
            Encoding::Base64 => word.text.iter().copied().filter(|b| !b.is_ascii_whitespace()).collect(),
            Encoding::Quoted => word.text.to_vec(),
        };
        let joined = [&self.carry[..], &text].concat();
        let joins = self.encoding == word.encoding
            && match self.encoding.is_cut(&self.carry) {
                Some(cut) => cut,
                // Base64 without padding, or cut where nothing tells: what gives fewer broken characters.
                None => self.broken(&joined) < self.broken(&text),
            };
        let text = if joins {
            joined
        } else {
            self.bytes.append(&mut self.encoding.decode(&self.carry));
            text
        };
        self.encoding = word.encoding;
        let whole = text.len() - self.encoding.unfinished(&text);
        self.bytes.append(&mut self.encoding.decode(&text[..whole]));
        self.carry = text[whole..].to_vec();
    }

    /// Characters that mean nothing, if the text is all there is.
    fn broken(&self, text: &[u8]) -> usize {
        let bytes = self.encoding.decode(text);
        let decoded = charset::decode_charset(Some(&self.charset), &bytes);
        decoded.chars().filter(|c| c.is_control() || *c == '\u{fffd}').count()
            + usize::from(charset::names_utf8(&self.charset) && std::str::from_utf8(&bytes).is_err())
    }

    fn decoded(mut self) -> String {
        self.bytes.append(&mut self.encoding.decode(&self.carry));
        charset::decode_charset(Some(&self.charset), &self.bytes)
    }
}

/// How a word is encoded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Base64,
    Quoted,
}

impl Encoding {
    fn decode(self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Base64 => charset::decode_base64(text),
            Self::Quoted => decode_q(text),
        }
    }

    /// How many bytes at the end of a text are the beginning of a unit.
    fn unfinished(self, text: &[u8]) -> usize {
        match self {
            // Padding ends a unit, whatever its length.
            Self::Base64 if text.ends_with(b"=") => 0,
            Self::Base64 => text.len() % 4,
            Self::Quoted if text.ends_with(b"=") => 1,
            Self::Quoted if text.iter().rev().nth(1) == Some(&b'=') => 2,
            Self::Quoted => 0,
        }
    }

    /// Whether the rest of a unit is still to come; `None` if it may be whole. Base64 that merely lacks its padding
    /// leaves only zero bits over.
    fn is_cut(self, carry: &[u8]) -> Option<bool> {
        match (self, carry) {
            (_, []) => Some(false),
            (Self::Quoted, _) | (Self::Base64, [_]) => Some(true),
            (Self::Base64, [_, last]) => (!b"AQgw".contains(last)).then_some(true),
            (Self::Base64, [.., last]) => (!b"AEIMQUYcgkosw048".contains(last)).then_some(true),
        }
    }
}

struct Word<'a> {
    charset: &'a str,
    encoding: Encoding,
    text: &'a [u8],
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
    let encoding = match encoding {
        b'Q' | b'q' => Encoding::Quoted,
        b'B' | b'b' => Encoding::Base64,
        _ => return None,
    };
    let charset = std::str::from_utf8(&inner[..first]).ok()?;
    // RFC 2231 section 5: the language may follow the character set.
    let charset = charset.split('*').next().unwrap_or(charset);
    Some((Word { charset, encoding, text }, 2 + text_start + text_len + 2))
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
