//! A message for a server that takes less: without 8BITMIME only bytes below 128 (RFC 6152 section 3), and everywhere no line above
//! 998 octets (RFC 5321 section 4.5.3.1.6). Parts that don't fit are encoded as quoted-printable or base64; they decode to what
//! they were. What is signed or encrypted as it stands is never touched.

use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::headers;
use crate::parsed::Part;
use crate::scan;
use crate::transfer::{Decoder, Encoding};

/// Longest line without its end.
pub const MAX_LINE_BYTES: usize = 998;
/// Longest line of an encoded part.
const ENCODED_LINE_BYTES: usize = 76;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Why a message can't be made to fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unconvertible {
    /// A signature or encryption would break.
    #[error("a part of the message is signed or encrypted and must not be changed")]
    Signed,
    /// A part that no encoding is allowed for (RFC 2046 section 5.2).
    #[error("a part of the message is of a type that can't be encoded")]
    Type,
    /// A part says that it is encoded in a way that is not known.
    #[error("a part of the message is encoded in an unknown way")]
    Encoding,
}

/// Whether some line is longer than [`MAX_LINE_BYTES`].
pub fn has_long_lines(bytes: &[u8]) -> bool {
    bytes.len() > MAX_LINE_BYTES
        && bytes
            .split(|&byte| byte == b'\n')
            .any(|line| line.strip_suffix(b"\r").unwrap_or(line).len() > MAX_LINE_BYTES)
}

/// The message with all bodies of parts below 128 (if `seven_bit`) and without long lines in them; `None` if it is so already.
/// Header fields stay as they are.
///
/// # Errors
/// Why that is impossible.
pub fn converted(raw: &[u8], seven_bit: bool) -> Result<Option<Vec<u8>>, Unconvertible> {
    let root = scan::scan(raw).root;
    let mut edits = Edits { raw, seven_bit, all: Vec::new() };
    edits.part(&root, true)?;
    if edits.all.is_empty() {
        return Ok(None);
    }
    edits.all.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = Vec::with_capacity(raw.len() + raw.len() / 3);
    let mut at = 0;
    for (range, new) in edits.all {
        out.extend_from_slice(&raw[at..range.start]);
        out.extend_from_slice(&new);
        at = range.end;
    }
    out.extend_from_slice(&raw[at..]);
    Ok(Some(out))
}

struct Edits<'a> {
    raw: &'a [u8],
    seven_bit: bool,
    all: Vec<(Range<usize>, Vec<u8>)>,
}

impl Edits<'_> {
    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.raw.get(range.clone()).unwrap_or_default()
    }

    fn is_unfit(&self, bytes: &[u8]) -> bool {
        (self.seven_bit && !bytes.is_ascii()) || has_long_lines(bytes)
    }

    fn part(&mut self, part: &Part, is_root: bool) -> Result<(), Unconvertible> {
        let body = part.body_start as usize..part.body_end as usize;
        if !self.is_unfit(self.bytes(&body)) {
            return Ok(());
        }
        if part.media_type == "multipart" && matches!(part.subtype.as_str(), "signed" | "encrypted") {
            return Err(Unconvertible::Signed);
        }
        if part.parts.is_empty() {
            return self.leaf(part, &body, is_root);
        }
        let is_message = part.media_type == "message";
        let mut gap = body.start;
        for inner in &part.parts {
            let inner_start = inner.header_start as usize;
            if !is_message {
                self.gap(gap..inner_start);
            }
            self.part(inner, is_message)?;
            gap = inner.body_end as usize;
        }
        if !is_message {
            self.gap(gap..body.end);
        }
        if self.seven_bit && matches!(part.encoding.as_str(), "8bit" | "binary") {
            self.encoding(part, "7bit", is_root);
        }
        Ok(())
    }

    /// What stands between parts is shown to nobody.
    fn gap(&mut self, range: Range<usize>) {
        if range.start >= range.end || !self.is_unfit(self.bytes(&range)) {
            return;
        }
        let mut new = Vec::with_capacity(range.len());
        for line in self.bytes(&range).split_inclusive(|&byte| byte == b'\n') {
            let cut = if has_long_lines(line) { &line[..ENCODED_LINE_BYTES] } else { line };
            new.extend(cut.iter().map(|&byte| if byte.is_ascii() { byte } else { b'?' }));
            if cut.len() < line.len() {
                new.extend_from_slice(b"\r\n");
            }
        }
        self.all.push((range, new));
    }

    fn leaf(&mut self, part: &Part, body: &Range<usize>, is_root: bool) -> Result<(), Unconvertible> {
        if matches!(part.media_type.as_str(), "message" | "multipart") {
            return Err(Unconvertible::Type);
        }
        let bytes = self.bytes(body);
        let content = match Encoding::named(&part.encoding) {
            Some(Encoding::Identity) => bytes.to_vec(),
            // Broken as it is: what readers make of it is kept.
            Some(encoding @ (Encoding::Base64 | Encoding::QuotedPrintable)) => {
                let (mut decoder, mut content) = (Decoder::new(encoding), Vec::new());
                decoder.feed(bytes, &mut content);
                decoder.finish(&mut content);
                content
            }
            Some(Encoding::Uuencode) | None => return Err(Unconvertible::Encoding),
        };
        let escaped = content.iter().filter(|&&byte| !is_plain(byte)).count();
        let is_text = part.media_type == "text" && part.encoding != "base64";
        let (name, new) = if is_text && escaped < content.len() / 5 {
            ("quoted-printable", quoted_printable(&content))
        } else if is_text && part.encoding != "binary" {
            ("base64", base64_lines(&with_line_ends(&content)))
        } else {
            ("base64", base64_lines(&content))
        };
        self.all.push((body.clone(), new));
        self.encoding(part, name, is_root);
        Ok(())
    }

    /// Says in the part's header how it is encoded now.
    fn encoding(&mut self, part: &Part, name: &str, is_root: bool) {
        let header = part.header_start as usize..part.body_start as usize;
        let field = format!("Content-Transfer-Encoding: {name}\r\n").into_bytes();
        let (mut found, mut has_version, mut has_type) = (Vec::new(), false, false);
        let bytes = self.bytes(&header);
        for known in headers::fields(bytes) {
            has_version |= known.is("MIME-Version");
            has_type |= known.is("Content-Type");
            if known.is("Content-Transfer-Encoding") {
                let start = header.start + (known.raw.as_ptr() as usize - bytes.as_ptr() as usize);
                found.push(start..start + known.raw.len());
            }
        }
        let is_closed = bytes.ends_with(b"\n") || bytes.is_empty();
        let empty_line = if bytes.ends_with(b"\r\n") { 2 } else { usize::from(bytes.ends_with(b"\n")) };
        let end = header.end - empty_line;
        let mut new = field;
        if is_root && !has_version {
            new.extend_from_slice(b"MIME-Version: 1.0\r\n");
            if !has_type {
                // RFC 1428: nobody knows.
                new.extend_from_slice(b"Content-Type: text/plain; charset=unknown-8bit\r\n");
            }
        }
        debug_assert!(is_closed, "a header with a body ends with an empty line");
        let mut found = found.into_iter();
        match found.next() {
            Some(range) => self.all.push((range, new)),
            None => self.all.push((end..end, new)),
        }
        self.all.extend(found.map(|range| (range, Vec::new())));
    }
}

fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n') && byte != b'='
}

/// Text with CRLF at the end of each line (RFC 2049 section 4).
fn with_line_ends(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut before = 0;
    for &byte in text {
        if byte == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(byte);
        before = byte;
    }
    out
}

fn base64_lines(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len() * 4 / 3 + content.len() / 38 + 4);
    for (number, piece) in content.chunks(ENCODED_LINE_BYTES / 4 * 3).enumerate() {
        if number > 0 {
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(STANDARD.encode(piece).as_bytes());
    }
    // The last line's end belongs to a boundary, if one follows.
    if content.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

fn quoted_printable(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 8);
    for line in text.split_inclusive(|&byte| byte == b'\n') {
        let (line, ended) = match line.strip_suffix(b"\n") {
            Some(line) => (line.strip_suffix(b"\r").unwrap_or(line), true),
            None => (line, false),
        };
        let mut column = 0;
        for (at, &byte) in line.iter().enumerate() {
            let is_last = at + 1 == line.len();
            let literal = is_plain(byte) && byte != b'\r' && !(is_last && matches!(byte, b' ' | b'\t'));
            // Mbox files and SMTP make something of these at the start of a line.
            let literal = literal && !(column == 0 && (byte == b'.' || line[at..].starts_with(b"From ")));
            let width = if literal { 1 } else { 3 };
            if column + width > ENCODED_LINE_BYTES - usize::from(!is_last) {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if literal {
                out.push(byte);
            } else {
                out.extend([b'=', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
            column += width;
        }
        if ended {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn narrow(text: &str) -> String {
        let out = converted(text.as_bytes(), true).unwrap().expect("something to convert");
        assert!(out[headers::header_range(&out).end..].is_ascii() && !has_long_lines(&out));
        String::from_utf8(out).unwrap()
    }

    /// What readers see of each leaf, in order.
    fn contents(raw: &[u8]) -> Vec<(String, Vec<u8>)> {
        fn walk(raw: &[u8], part: &Part, out: &mut Vec<(String, Vec<u8>)>) {
            if part.parts.is_empty() {
                let (mut decoder, mut content) = (Decoder::new(Encoding::named(&part.encoding).unwrap()), Vec::new());
                decoder.feed(&raw[part.body_start as usize..part.body_end as usize], &mut content);
                decoder.finish(&mut content);
                out.push((format!("{}/{}", part.media_type, part.subtype), content));
            }
            part.parts.iter().for_each(|inner| walk(raw, inner, out));
        }
        let mut out = Vec::new();
        walk(raw, &scan::scan(raw).root, &mut out);
        out
    }

    #[test]
    fn text_becomes_quoted_printable_and_says_so() {
        let raw = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\nGr\u{fc}\u{df}e aus der Ferne, und weiter nichts = nichts\r\n.dot\r\nFrom here\r\nend \r\n";
        let out = narrow(raw);
        assert!(out.contains("Content-Transfer-Encoding: quoted-printable\r\n") && !out.contains("8bit"), "{out}");
        assert!(out.contains("\r\n=2Edot\r\n=46rom here\r\nend=20\r\n"), "{out}");
        assert_eq!(contents(out.as_bytes()), contents(raw.as_bytes()));
        assert_eq!(converted(out.as_bytes(), true), Ok(None));
        assert_eq!(converted(raw.as_bytes(), false), Ok(None), "a server with 8BITMIME takes it as it is");
    }

    #[test]
    fn other_scripts_and_files_become_base64() {
        let russian = "MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\u{41f}\u{440}\u{438}\u{432}\u{435}\u{442}\r\n";
        let out = narrow(russian);
        assert!(out.contains("Content-Transfer-Encoding: base64\r\n"), "{out}");
        assert_eq!(contents(out.as_bytes()), contents(russian.as_bytes()));
        let file = "MIME-Version: 1.0\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: binary\r\n\r\na mostly \u{e9} plain file, as it happens";
        let out = narrow(file);
        assert!(out.contains("base64") && !out.contains("binary"));
        assert_eq!(contents(out.as_bytes()), contents(file.as_bytes()));
    }

    #[test]
    fn long_lines_are_split_by_encoding_and_no_byte_is_lost() {
        let html = format!("MIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n{}\r\n", "<p>word</p>".repeat(500));
        assert!(has_long_lines(html.as_bytes()));
        let out = converted(html.as_bytes(), false).unwrap().unwrap();
        assert!(!has_long_lines(&out));
        assert_eq!(contents(&out), contents(html.as_bytes()));
        assert!(!has_long_lines(&[b'a'; MAX_LINE_BYTES]) && has_long_lines(&[b'a'; MAX_LINE_BYTES + 1]));
        assert!(!has_long_lines(format!("{}\r\n", "a".repeat(MAX_LINE_BYTES)).as_bytes()));
    }

    #[test]
    fn parts_of_parts_and_messages_in_messages_are_converted_where_they_need_it() {
        let raw = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=a\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                   pre\u{e4}mble\r\n--a\r\n\r\nplain\r\n--a\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\
                   Subject: inner\r\n\r\nd\u{e9}j\u{e0} vu, all of it, once more\r\n--a\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n\
                   --b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\none \u{e9} among many others\r\n--b--\r\n--a--\r\n";
        let out = narrow(raw);
        assert_eq!(contents(out.as_bytes()), contents(raw.as_bytes()));
        assert_eq!(out.matches("Content-Transfer-Encoding: 7bit\r\n").count(), 2, "{out}");
        assert_eq!(out.matches("quoted-printable").count(), 2, "{out}");
        assert!(out.contains("\r\n\r\nplain\r\n--a\r\n") && !out.contains("Encoding: 8bit"), "{out}");
        assert!(
            out.contains("MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\r\nd=C3=A9j"),
            "{out}"
        );
    }

    #[test]
    fn what_is_signed_or_can_not_be_encoded_is_not_touched() {
        let signed = |inner: &str| {
            format!(
                "Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n{inner}\r\n--b\r\nContent-Type: application/pgp-signature\r\n\r\nx\r\n--b--\r\n--a\r\n\r\n\u{e9}\r\n--a--\r\n"
            )
        };
        assert_eq!(converted(signed("caf\u{e9}").as_bytes(), true), Err(Unconvertible::Signed));
        assert!(narrow(&signed("coffee")).contains("\r\n\r\ncoffee\r\n"), "what is beside it is converted");
        let of = |kind: &str| format!("Content-Type: {kind}\r\n\r\ncaf\u{e9}\r\n");
        assert_eq!(converted(of("multipart/encrypted; boundary=x").as_bytes(), true), Err(Unconvertible::Signed));
        assert_eq!(converted(of("message/partial").as_bytes(), true), Err(Unconvertible::Type));
        let odd = "Content-Type: text/plain\r\nContent-Transfer-Encoding: x-own\r\n\r\ncaf\u{e9}\r\n";
        assert_eq!(converted(odd.as_bytes(), true), Err(Unconvertible::Encoding));
    }

    proptest! {
        #[test]
        fn every_part_decodes_to_what_it_was(
            texts in prop::collection::vec(prop::collection::vec(prop_oneof!["[ -~]{0,30}", "[\u{e0}-\u{ff} .=]{0,12}", "x{995,1010}"], 0..6), 1..4),
            seven_bit in any::<bool>(),
        ) {
            let mut raw = String::from("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=0sep\r\n\r\n");
            for lines in &texts {
                raw.push_str("--0sep\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n");
                raw.push_str(&lines.join("\r\n"));
                raw.push_str("\r\n");
            }
            raw.push_str("--0sep--\r\n");
            if let Some(out) = converted(raw.as_bytes(), seven_bit).unwrap() {
                prop_assert_eq!(contents(&out), contents(raw.as_bytes()));
                prop_assert!(!has_long_lines(&out));
                prop_assert!(!seven_bit || out.is_ascii());
                prop_assert_eq!(converted(&out, seven_bit), Ok(None));
            } else {
                prop_assert!(!has_long_lines(raw.as_bytes()) && (!seven_bit || raw.is_ascii()));
            }
        }

        #[test]
        fn any_bytes_are_converted_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let raw = [b"Content-Type: multipart/mixed; boundary=a\r\n\r\n--a\r\n".as_slice(), &bytes].concat();
            for raw in [&bytes, &raw] {
                let _ = converted(raw, true);
            }
        }
    }
}
