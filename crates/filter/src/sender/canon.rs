//! Canonical forms of header fields and bodies (RFC 6376 section 3.4), and the hash of a body as it comes.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use mailkit::headers::Field;

/// How much a header field or body may change on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Canon {
    /// Not at all.
    Simple,
    /// In its white space.
    Relaxed,
}

impl Canon {
    /// `c=header/body`; without it both are `unsaid`, and the body alone is simple.
    pub fn pair(text: Option<&str>, unsaid: Self) -> Option<(Self, Self)> {
        let one = |text: &str| match text.trim() {
            text if text.eq_ignore_ascii_case("simple") => Some(Self::Simple),
            text if text.eq_ignore_ascii_case("relaxed") => Some(Self::Relaxed),
            _ => None,
        };
        let Some(text) = text else { return Some((unsaid, unsaid)) };
        match text.split_once('/') {
            Some((header, body)) => Some((one(header)?, one(body)?)),
            None => Some((one(text)?, Self::Simple)),
        }
    }

    /// Adds a header field. `ends` is whether its line end is part of what is signed.
    pub fn field(self, out: &mut Vec<u8>, field: &Field<'_>, value: &[u8], ends: bool) {
        match self {
            Self::Simple => {
                let colon = field.raw.iter().position(|b| *b == b':').map_or(field.raw.len(), |at| at + 1);
                out.extend_from_slice(&field.raw[..colon]);
                out.extend_from_slice(value);
            }
            Self::Relaxed => {
                out.extend(field.name.iter().map(u8::to_ascii_lowercase));
                out.push(b':');
                let begin = out.len();
                for &byte in value {
                    match byte {
                        b'\r' | b'\n' => {}
                        b' ' | b'\t' => {
                            if out.len() > begin && out.last() != Some(&b' ') {
                                out.push(b' ');
                            }
                        }
                        _ => out.push(byte),
                    }
                }
                if out.len() > begin && out.last() == Some(&b' ') {
                    out.pop();
                }
            }
        }
        if ends {
            out.extend_from_slice(b"\r\n");
        }
    }
}

/// A hash function of bodies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Digest {
    /// SHA-1: only told from others; nothing that is signed with it counts (RFC 8301).
    Sha1,
    /// SHA-256.
    Sha256,
}

/// How a body is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BodyForm {
    /// Its canonical form.
    pub canon: Canon,
    /// The hash function.
    pub digest: Digest,
    /// `l=`: only so many bytes of the canonical form.
    pub length: Option<u64>,
}

/// What came of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyHash {
    /// The hash.
    pub hash: Vec<u8>,
    /// Bytes of the canonical form, all of them.
    pub bytes: u64,
}

/// Hashes a body as it comes, in constant memory and linear time.
pub struct BodyHasher {
    form: BodyForm,
    context: Context,
    /// Bytes of the canonical form so far.
    bytes: u64,
    /// Line ends that count only if something follows.
    line_ends: u64,
    /// White space that counts only if something follows on the line.
    blank: bool,
    /// A CR whose LF has not come yet.
    cr: bool,
    out: Vec<u8>,
}

impl BodyHasher {
    /// One for that form.
    pub fn new(form: BodyForm) -> Self {
        let algorithm = match form.digest {
            Digest::Sha1 => &SHA1_FOR_LEGACY_USE_ONLY,
            Digest::Sha256 => &SHA256,
        };
        Self {
            form,
            context: Context::new(algorithm),
            bytes: 0,
            line_ends: 0,
            blank: false,
            cr: false,
            out: Vec::new(),
        }
    }

    /// The form.
    pub const fn form(&self) -> BodyForm {
        self.form
    }

    /// Bytes of the body.
    pub fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            match byte {
                b'\n' if self.cr => {
                    self.cr = false;
                    self.blank = false;
                    self.line_ends += 1;
                }
                b'\r' => {
                    self.lone_cr();
                    self.cr = true;
                }
                b' ' | b'\t' if self.form.canon == Canon::Relaxed => {
                    self.lone_cr();
                    self.blank = true;
                }
                _ => {
                    self.lone_cr();
                    self.text(byte);
                }
            }
        }
        self.hash_out();
    }

    /// A CR without LF is a byte like any other.
    fn lone_cr(&mut self) {
        if std::mem::take(&mut self.cr) {
            self.text(b'\r');
        }
    }

    fn text(&mut self, byte: u8) {
        /// Gathered before they are hashed.
        const GATHERED: usize = 8 << 10;
        while self.line_ends > 0 {
            self.out.extend_from_slice(b"\r\n");
            self.line_ends -= 1;
            if self.out.len() >= GATHERED {
                self.hash_out();
            }
        }
        if std::mem::take(&mut self.blank) {
            self.out.push(b' ');
        }
        self.out.push(byte);
        if self.out.len() >= GATHERED {
            self.hash_out();
        }
    }

    fn hash_out(&mut self) {
        let left = self.form.length.map_or(u64::MAX, |length| length.saturating_sub(self.bytes));
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(self.out.len());
        self.context.update(&self.out[..count]);
        self.bytes += self.out.len() as u64;
        self.out.clear();
    }

    /// The end of the body.
    pub fn finish(mut self) -> BodyHash {
        self.lone_cr();
        // An empty simple body is one line end, an empty relaxed one is nothing; others end in one line end. A relaxed
        // body whose last line is only blanks has nothing there.
        let has_text = self.bytes > 0 || !self.out.is_empty();
        if has_text || self.form.canon == Canon::Simple {
            self.out.extend_from_slice(b"\r\n");
        }
        self.hash_out();
        BodyHash { hash: self.context.finish().as_ref().to_vec(), bytes: self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(canon: Canon, body: &[u8]) -> Vec<u8> {
        // The canonical form in one go, to compare with.
        let text = String::from_utf8(body.to_vec()).unwrap();
        let mut lines: Vec<String> = text.split("\r\n").map(ToOwned::to_owned).collect();
        if canon == Canon::Relaxed {
            for line in &mut lines {
                let mut out = String::new();
                for c in line.trim_end_matches([' ', '\t']).chars() {
                    if !matches!(c, ' ' | '\t') {
                        out.push(c);
                    } else if !out.ends_with(' ') {
                        out.push(' ');
                    }
                }
                *line = out;
            }
        }
        while lines.last().is_some_and(String::is_empty) {
            lines.pop();
        }
        let out: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        if out.is_empty() && canon == Canon::Simple { b"\r\n".to_vec() } else { out.into_bytes() }
    }

    #[test]
    fn a_body_has_one_hash_however_it_is_cut() {
        let bodies: [&[u8]; 12] = [
            b"",
            b"\r\n",
            b"\r\n\r\n",
            b" ",
            b" \r\n\t\r\n",
            b"a",
            b"a\r\n",
            b" C \r\nD \t E\r\n\r\n\r\n",
            b"a \r\n \r\n",
            b"a\rb\r\n",
            b"\r\n\r\nx  y",
            b"Hello!\r\n  \r\n\r\n",
        ];
        for body in bodies {
            for canon in [Canon::Simple, Canon::Relaxed] {
                let expected = canonical(canon, body);
                for length in [None, Some(0), Some(3), Some(999)] {
                    let count = length.map_or(expected.len(), |l: u64| expected.len().min(l as usize));
                    let hash = aws_lc_rs::digest::digest(&SHA256, &expected[..count]);
                    for cut in 1..4 {
                        let mut hasher = BodyHasher::new(BodyForm { canon, digest: Digest::Sha256, length });
                        body.chunks(cut).for_each(|piece| hasher.push(piece));
                        let got = hasher.finish();
                        assert_eq!(got.bytes, expected.len() as u64, "{canon:?} {}", body.escape_ascii());
                        assert_eq!(got.hash, hash.as_ref(), "{canon:?} {}", body.escape_ascii());
                    }
                }
            }
        }
    }

    #[test]
    fn fields_have_the_canonical_forms_of_the_standard() {
        let raw = b"A: X\r\nB : Y\t\r\n\tZ  \r\n\r\n";
        let (mut relaxed, mut simple) = (Vec::new(), Vec::new());
        for field in mailkit::headers::fields(raw) {
            Canon::Relaxed.field(&mut relaxed, &field, field.value, true);
            Canon::Simple.field(&mut simple, &field, field.value, true);
        }
        assert_eq!(relaxed, b"a:X\r\nb:Y Z\r\n");
        assert_eq!(simple, b"A: X\r\nB : Y\t\r\n\tZ  \r\n");
        assert_eq!(Canon::pair(Some("relaxed"), Canon::Simple), Some((Canon::Relaxed, Canon::Simple)));
        assert_eq!(Canon::pair(Some("Simple/Relaxed"), Canon::Simple), Some((Canon::Simple, Canon::Relaxed)));
        assert_eq!(
            (Canon::pair(None, Canon::Simple), Canon::pair(Some("x"), Canon::Simple)),
            (Some((Canon::Simple, Canon::Simple)), None)
        );
    }
}
