//! Which character set bytes are in, and their text.

use std::borrow::Cow;

use encoding_rs::{Encoding, GB18030, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::labels::{Set, set_named};
use super::seven::{Seven, by_escapes, decode_hz, decode_iso_2022};

/// Bytes at the start of HTML in which it may name its character set; browsers look at 1024.
const MAX_PRESCAN_BYTES: usize = 4 * 1024;

/// Longest piece of text that is looked at to find out what it is in.
const MAX_DETECTED_BYTES: usize = 64 * 1024;

/// Bytes in a named character set to text. What is there counts for more than what is said:
///
/// * Valid UTF-8 with characters of several bytes is UTF-8, unless a set of several bytes is named and explains it as
///   well.
/// * Without a name, with a name that nobody knows or that is ASCII: UTF-8 if valid, else the set that `hint` names, else
///   the set that the bytes look most like.
///
/// ISO-8859-1 is read as its superset Windows-1252 and GB 2312 as GB 18030, as all readers do. Bytes that mean nothing
/// become U+FFFD.
pub fn decode_charset_or(charset: Option<&str>, hint: Option<&str>, bytes: &[u8]) -> String {
    match charset.and_then(set_named) {
        Some(set) => decode_set(set, hint, bytes),
        None => guess(hint, bytes),
    }
}

/// [`decode_charset_or`] without a hint.
pub fn decode_charset(charset: Option<&str>, bytes: &[u8]) -> String {
    decode_charset_or(charset, None, bytes)
}

/// Whether a label names a character set other than ASCII.
pub fn names_charset(label: &str) -> bool {
    set_named(label).is_some()
}

/// Whether a label names UTF-8.
pub fn names_utf8(label: &str) -> bool {
    matches!(set_named(label), Some(Set::Known(set)) if set == UTF_8)
}

fn decode_set(set: Set, hint: Option<&str>, bytes: &[u8]) -> String {
    match set {
        Set::Utf7 => crate::utf7::decode_utf7(bytes),
        Set::Hz if bytes.is_ascii() => decode_hz(bytes),
        Set::Hz => decode_known(GB18030, hint, bytes),
        Set::Iso2022Kr if bytes.is_ascii() => decode_iso_2022(bytes, true),
        Set::Iso2022Kr => decode_known(encoding_rs::EUC_KR, hint, bytes),
        Set::Iso2022Cn if bytes.is_ascii() => decode_iso_2022(bytes, false),
        Set::Iso2022Cn => decode_known(GB18030, hint, bytes),
        Set::Utf16 => decode_known(utf_16_order(bytes), hint, bytes),
        Set::Utf32 => decode_utf32(bytes),
        Set::Page(characters) => {
            if let Some(text) = utf8(bytes).filter(|text| is_likely(text)) {
                return text.into_owned();
            }
            let table: Vec<char> = characters.chars().collect();
            let character = |byte: &u8| match byte {
                0..=127 => char::from(*byte),
                _ => table.get(usize::from(byte - 128)).copied().unwrap_or('\u{fffd}'),
            };
            bytes.iter().map(character).collect()
        }
        Set::Known(set) => decode_known(set, hint, bytes),
    }
}

fn decode_known(set: &'static Encoding, hint: Option<&str>, bytes: &[u8]) -> String {
    if set == UTF_8 {
        return guess(hint, bytes);
    }
    let is_utf_16 = set == UTF_16LE || set == UTF_16BE;
    if is_utf_16 && !bytes.contains(&0) && !bytes.starts_with(&[0xFF, 0xFE]) && !bytes.starts_with(&[0xFE, 0xFF]) {
        // Programs that hold text in UTF-16 say so of text that they have written in something else.
        if let Some(text) = utf8(bytes).filter(|text| text.is_ascii() || is_likely(text)) {
            return text.into_owned();
        }
    }
    if !is_utf_16 && !bytes.is_ascii() {
        let likely = if set.is_single_byte() { is_likely } else { is_likely_wide };
        if let Some(text) = utf8(bytes).filter(|text| likely(text)) {
            return text.into_owned();
        }
        if set == ISO_2022_JP {
            return guess(hint, bytes);
        }
    }
    set.decode(bytes).0.into_owned()
}

/// The text if it is UTF-8, be it with a character cut at the end.
fn utf8(bytes: &[u8]) -> Option<Cow<'_, str>> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(Cow::Borrowed(text.strip_prefix('\u{feff}').unwrap_or(text))),
        Err(error) if is_cut(&error, bytes) => Some(String::from_utf8_lossy(&bytes[..error.valid_up_to()])),
        Err(_) => None,
    }
}

/// Whether the only fault is a character cut at the end (of text that has other multi-byte characters).
fn is_cut(error: &std::str::Utf8Error, bytes: &[u8]) -> bool {
    error.error_len().is_none() && !bytes[..error.valid_up_to()].is_ascii()
}

/// Whether valid UTF-8 is so by intent, although a single-byte set is named. A few pairs of that set can be valid by
/// accident (`RÓŻA` in ISO-8859-2, `แบบ` in TIS-620), but then they give characters that hardly any text has.
fn is_likely(text: &str) -> bool {
    let (mut wide, mut odd) = (0usize, 0usize);
    let mut before = ' ';
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if !c.is_ascii() {
            wide += 1;
            // ĂŞ between capitals, in a set of Eastern Europe.
            let small = c.is_lowercase() && c < '\u{100}' && before.is_ascii_uppercase();
            let small = small && rest.clone().next().is_some_and(|c| c.is_ascii_uppercase());
            odd += usize::from(!is_common(c) || small);
        }
        before = c;
    }
    wide > 0 && (odd == 0 || (wide >= 16 && odd * 10 < wide))
}

fn is_common(c: char) -> bool {
    matches!(c,
        '\u{a0}'..='\u{17f}' | '\u{218}'..='\u{21b}' | '\u{386}'..='\u{3ce}' | '\u{401}'..='\u{45f}'
        | '\u{490}' | '\u{491}' | '\u{5d0}'..='\u{5ea}' | '\u{60c}'..='\u{6ff}' | '\u{900}'..='\u{e7f}'
        | '\u{1ea0}'..='\u{1eb9}' | '\u{1ebb}'..='\u{1ef9}' | '\u{2010}'..='\u{2044}' | '\u{20a0}'..='\u{20bf}'
        | '\u{2100}'..='\u{27bf}' | '\u{3000}'..='\u{fffc}' | '\u{1f000}'..='\u{1faff}')
}

/// The same where a set of several bytes is named, whose pairs are more often valid by accident: triples are not.
fn is_likely_wide(text: &str) -> bool {
    text.chars().any(|c| c >= '\u{800}')
        && text.chars().filter(|c| !c.is_ascii()).all(|c| is_common(c) && c != '\u{fffd}')
}

/// The text of bytes of which nobody has said what they are.
fn guess(hint: Option<&str>, bytes: &[u8]) -> String {
    if bytes.starts_with(&[0xFF, 0xFE]) || bytes.starts_with(&[0xFE, 0xFF]) {
        return UTF_8.decode(bytes).0.into_owned();
    }
    if bytes.is_ascii() {
        match by_escapes(bytes) {
            Some(Seven::Japanese) => return ISO_2022_JP.decode(bytes).0.into_owned(),
            Some(Seven::Korean) => return decode_iso_2022(bytes, true),
            Some(Seven::Chinese) => return decode_iso_2022(bytes, false),
            None => {}
        }
    }
    if let Some(text) = utf8(bytes) {
        return text.into_owned();
    }
    let hinted = hint.and_then(set_named).filter(|set| !matches!(set, Set::Known(set) if *set == UTF_8));
    match hinted {
        Some(set) => decode_set(set, None, bytes),
        None if is_mostly_utf8(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        None => detect(bytes).decode(bytes).0.into_owned(),
    }
}

/// UTF-8 with a few broken bytes in it, as programs leave it that cut text or put two together.
fn is_mostly_utf8(bytes: &[u8]) -> bool {
    let (mut good, mut bad) = (0usize, 0usize);
    for chunk in bytes[..bytes.len().min(MAX_DETECTED_BYTES)].utf8_chunks() {
        good += chunk.valid().chars().filter(|c| !c.is_ascii()).count();
        bad += usize::from(!chunk.invalid().is_empty());
    }
    good >= 4 * bad
}

/// What bytes that are not UTF-8 look most like.
pub(super) fn detect(bytes: &[u8]) -> &'static Encoding {
    let looked_at = &bytes[..bytes.len().min(MAX_DETECTED_BYTES)];
    if looked_at.iter().filter(|byte| **byte >= 0x80).count() < 2 {
        // One letter could be any: that of the West is the most frequent.
        return WINDOWS_1252;
    }
    let mut detector = chardetng::EncodingDetector::new(chardetng::Iso2022JpDetection::Deny);
    detector.feed(looked_at, true);
    detector.guess(None, chardetng::Utf8Detection::Deny)
}

/// The name of the set that bytes which are not UTF-8 look most like.
pub fn detect_charset(bytes: &[u8]) -> &'static str {
    detect(bytes).name()
}

/// Which order UTF-16 without a mark is in. Text has many characters below 256; RFC 2781 section 4.3 for all other.
fn utf_16_order(bytes: &[u8]) -> &'static Encoding {
    let zeros = |odd: usize| bytes.iter().skip(odd).step_by(2).take(4096).filter(|byte| **byte == 0).count();
    if zeros(1) > zeros(0) { UTF_16LE } else { UTF_16BE }
}

fn decode_utf32(bytes: &[u8]) -> String {
    if !bytes.contains(&0) {
        return guess(None, bytes);
    }
    let little = matches!(bytes, [0xFF, 0xFE, ..] | [_, _, _, 0, ..]) && !matches!(bytes, [0, ..]);
    let character = |four: &[u8]| {
        let four: [u8; 4] = four.try_into().unwrap_or_default();
        let number = if little { u32::from_le_bytes(four) } else { u32::from_be_bytes(four) };
        char::from_u32(number).unwrap_or('\u{fffd}')
    };
    bytes.chunks_exact(4).map(character).filter(|c| *c != '\u{feff}').collect()
}

/// The character set that HTML names itself: `<meta charset>`, `<meta http-equiv>`, or the declaration of XML (RFC 6657
/// section 3, and the HTML standard's prescan).
pub fn html_charset(html: &[u8]) -> Option<String> {
    let head = html[..html.len().min(MAX_PRESCAN_BYTES)].to_ascii_lowercase();
    let label = |after: &[u8]| {
        let after = after.trim_ascii_start().strip_prefix(b"=")?.trim_ascii_start();
        let after = after.strip_prefix(b"\"").or_else(|| after.strip_prefix(b"'")).unwrap_or(after).trim_ascii_start();
        let end = after.iter().position(|b| !(b.is_ascii_alphanumeric() || b"-_:.".contains(b))).unwrap_or(after.len());
        let label = String::from_utf8_lossy(&after[..end]).into_owned();
        (!label.is_empty()).then_some(label)
    };
    let mut rest = &head[..];
    while let Some(at) = memchr::memchr(b'<', rest) {
        rest = &rest[at..];
        if let Some(comment) = rest.strip_prefix(b"<!--") {
            let end = memchr::memmem::find(comment, b"-->")?;
            rest = &comment[end..];
            continue;
        }
        let tag = &rest[..memchr::memchr(b'>', rest).unwrap_or(rest.len())];
        let word = match () {
            () if tag.starts_with(b"<meta") => &b"charset"[..],
            () if tag.starts_with(b"<?xml") => b"encoding",
            () if tag.starts_with(b"<body") => return None,
            () => b"",
        };
        let mut inner = tag;
        while !word.is_empty()
            && let Some(at) = memchr::memmem::find(inner, word)
        {
            inner = &inner[at + word.len()..];
            if let Some(label) = label(inner) {
                // What could not have been read as ASCII so far is not what it is in.
                let ascii = !matches!(set_named(&label), Some(Set::Utf16 | Set::Utf32 | Set::Utf7));
                return Some(if ascii && !label.starts_with("utf-16") { label } else { "utf-8".to_owned() });
            }
        }
        rest = &rest[1..];
    }
    None
}
