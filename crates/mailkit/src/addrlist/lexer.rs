//! The tokens of an address list, whatever was written: every byte of the value is in a token or is white space between
//! two, and nothing is undone yet.

use std::borrow::Cow;
use std::ops::Range;

use crate::address::{TYPED_COMMAS, TYPED_SEMICOLONS};

/// Most tokens read of one value: many more than the most addresses that are kept take.
const MAX_TOKENS: usize = 64 * 1024;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A run of bytes without meaning of their own.
    Atom,
    /// `"…"`.
    Quoted,
    /// `=?…?…?…?=`: one token whatever is in it (RFC 2047 section 5).
    Encoded,
    /// `(…)`.
    Comment,
    /// `<…>`, or as some write it, `[mailto:…]`. Not closed: it ends where the next entry begins.
    Angle {
        /// Where its content is.
        inner: (usize, usize),
        /// Its closing bracket is there.
        closed: bool,
    },
    /// `[…]`.
    Literal,
    At,
    Colon,
    Comma,
    Semicolon,
    /// A line end in a text that was typed.
    Break,
    /// A quote, parenthesis or bracket that lacks its other half.
    Stray,
}

/// A token, where it is, and whether white space was before it.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) at: Range<usize>,
    pub(crate) spaced: bool,
}

impl Token {
    /// The token as written.
    pub(crate) fn raw<'a>(&self, value: &'a [u8]) -> &'a [u8] {
        &value[self.at.clone()]
    }

    /// What it says: quotes and escapes undone, encoded-words as they are.
    pub(crate) fn text<'a>(&self, value: &'a [u8]) -> Cow<'a, [u8]> {
        let raw = self.raw(value);
        match self.kind {
            Kind::Quoted => unescape(&raw[1..raw.len() - 1]),
            Kind::Comment => match unescape(&raw[1..raw.len() - 1]) {
                Cow::Borrowed(text) => Cow::Borrowed(text.trim_ascii()),
                Cow::Owned(text) => Cow::Owned(text.trim_ascii().to_vec()),
            },
            _ => Cow::Borrowed(raw),
        }
    }
}

fn unescape(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.contains(&b'\\') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter();
    while let Some(&byte) = bytes.next() {
        match byte {
            b'\\' => out.extend(bytes.next()),
            _ => out.push(byte),
        }
    }
    Cow::Owned(out)
}

/// From where a value comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// An unfolded header field.
    Field,
    /// A form or a command line: line ends and the commas of other scripts separate too.
    Typed,
}

/// The tokens of a value, and whether that is all of them. Takes time in proportion to the value's length.
pub(crate) fn tokens(value: &[u8], origin: Origin) -> (Vec<Token>, bool) {
    let double_bytes = std::str::from_utf8(value).is_err();
    let mut lexer = Lexer { value, at: 0, origin, double_bytes, lacking: [false; 3] };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.next() {
        if tokens.len() >= MAX_TOKENS {
            return (tokens, false);
        }
        tokens.push(token);
    }
    (tokens, true)
}

/// Marks that come in pairs, and have been looked for in vain: what closes one was not there, so it is nowhere behind.
#[derive(Clone, Copy)]
enum Pair {
    Quote,
    Parenthesis,
    Bracket,
}

struct Lexer<'a> {
    value: &'a [u8],
    at: usize,
    origin: Origin,
    /// The value is not UTF-8: it may be in a character set in which the second byte of a character can be any mark.
    double_bytes: bool,
    lacking: [bool; 3],
}

impl Lexer<'_> {
    fn next(&mut self) -> Option<Token> {
        let before = self.at;
        while let Some(length) = self.white_space() {
            self.at += length;
        }
        let spaced = self.at != before;
        let start = self.at;
        let kind = match *self.value.get(start)? {
            b'@' => self.one(Kind::At),
            b':' => self.one(Kind::Colon),
            b',' => self.one(Kind::Comma),
            b';' => self.one(Kind::Semicolon),
            b'\n' => self.one(Kind::Break),
            b')' | b'>' => self.one(Kind::Stray),
            b'"' => self.pair(Pair::Quote, Kind::Quoted, closing_quote),
            b'(' => self.pair(Pair::Parenthesis, Kind::Comment, closing_parenthesis),
            b'[' => self.literal(),
            b'<' => self.angle(),
            _ => match self.separator() {
                Some((kind, length)) => {
                    self.at += length;
                    kind
                }
                None => self.word(),
            },
        };
        Some(Token { kind, at: start..self.at, spaced })
    }

    fn rest(&self) -> &[u8] {
        &self.value[self.at..]
    }

    fn one(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    /// Length of white space here, if there is any.
    fn white_space(&self) -> Option<usize> {
        let rest = self.rest();
        match rest.first()? {
            b'\n' if self.origin == Origin::Typed => None,
            byte if byte.is_ascii_whitespace() => Some(1),
            _ if self.double_bytes => None,
            // No-break and ideographic spaces, and what has no width at all: they come with what is pasted.
            0xC2 if rest.starts_with("\u{a0}".as_bytes()) => Some(2),
            0xE2 | 0xE3 | 0xEF => ["\u{3000}", "\u{200b}", "\u{200e}", "\u{200f}", "\u{2060}", "\u{feff}", "\u{202f}"]
                .into_iter()
                .find(|space| rest.starts_with(space.as_bytes()))
                .map(str::len),
            _ => None,
        }
    }

    /// The commas and semicolons of Chinese and Japanese keyboards.
    fn separator(&self) -> Option<(Kind, usize)> {
        if self.origin == Origin::Field {
            return None;
        }
        let commas = TYPED_COMMAS.into_iter().map(|mark| (mark, Kind::Comma));
        let semicolons = TYPED_SEMICOLONS.into_iter().map(|mark| (mark, Kind::Semicolon));
        commas.chain(semicolons).find_map(|(mark, kind)| {
            let mut utf8 = [0; 4];
            self.rest().starts_with(mark.encode_utf8(&mut utf8).as_bytes()).then_some((kind, mark.len_utf8()))
        })
    }

    fn pair(&mut self, pair: Pair, kind: Kind, close: fn(&[u8]) -> Option<usize>) -> Kind {
        let found = if self.lacking[pair as usize] { None } else { close(self.rest()) };
        match found {
            Some(length) => {
                self.at += length;
                kind
            }
            None => {
                self.lacking[pair as usize] = true;
                self.one(Kind::Stray)
            }
        }
    }

    fn literal(&mut self) -> Kind {
        let start = self.at;
        let kind = self.pair(Pair::Bracket, Kind::Literal, |rest| {
            memchr::memchr2(b']', b'\n', rest).filter(|&end| rest[end] == b']').map(|end| end + 1)
        });
        if kind == Kind::Literal && scheme(&self.value[start + 1..]).is_some() {
            return Kind::Angle { inner: (start + 1, self.at - 1), closed: true };
        }
        kind
    }

    fn angle(&mut self) -> Kind {
        let doubled = self.rest().iter().take_while(|byte| **byte == b'<').count();
        let start = self.at + doubled;
        let mut end = start;
        let mut closed = false;
        // The first separator or white space behind an address: where an entry ends that is not closed.
        let (mut cut, mut blank) = (None, None);
        let (mut has_at, is_route) = (false, self.value[start..].trim_ascii_start().starts_with(b"@"));
        while let Some(&byte) = self.value.get(end) {
            match byte {
                b'>' => {
                    closed = true;
                    break;
                }
                b'<' => break,
                b'\n' if self.origin == Origin::Typed => break,
                // A quoted local part: elsewhere a quote is a slip, and its other half is in another entry.
                b'"' if !self.lacking[Pair::Quote as usize] && b"<:. ".contains(&self.value[end - 1]) => {
                    match closing_quote(&self.value[end..]) {
                        Some(length) => {
                            end += length;
                            continue;
                        }
                        None => self.lacking[Pair::Quote as usize] = true,
                    }
                }
                b'@' => has_at = true,
                b' ' | b'\t' if has_at && blank.is_none() && !self.value[..end].trim_ascii_end().ends_with(b"@") => {
                    blank = Some(end);
                }
                b',' | b';' if has_at && cut.is_none() => cut = Some(end),
                _ => {}
            }
            end += 1;
        }
        let cut = cut.filter(|_| !(closed && is_route)).or(blank.filter(|_| !closed));
        match cut {
            Some(cut) => {
                self.at = cut;
                Kind::Angle { inner: (start, cut), closed: false }
            }
            None => {
                self.at = end;
                if closed {
                    self.at += self.rest().iter().take(doubled).take_while(|byte| **byte == b'>').count();
                }
                Kind::Angle { inner: (start, end), closed }
            }
        }
    }

    /// An atom or an encoded-word.
    fn word(&mut self) -> Kind {
        if let Some(length) = encoded_word(self.rest()).or_else(|| shifted(self.rest())) {
            self.at += length;
            return Kind::Encoded;
        }
        let start = self.at;
        while let Some(&byte) = self.value.get(self.at) {
            let is_mark =
                matches!(byte, b'<' | b'>' | b'@' | b',' | b';' | b':' | b'[' | b'"' | b'(' | b')' | b'\n' | b'\x1b');
            let begins_word = byte == b'=' && encoded_word(self.rest()).is_some();
            let ends = is_mark || begins_word || self.white_space().is_some() || self.separator().is_some();
            if ends && self.at > start {
                break;
            }
            let is_pair = self.double_bytes && byte >= 0x81 && self.value.get(self.at + 1).is_some_and(|b| *b >= 0x40);
            self.at += if is_pair { 2 } else { 1 };
        }
        Kind::Atom
    }
}

/// Length of a quoted string, its quotes included.
fn closing_quote(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', rest.get(at..)?)?;
        if rest[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Length of a comment with the comments in it.
fn closing_parenthesis(rest: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_usize);
    loop {
        at += memchr::memchr3(b'(', b')', b'\\', rest.get(at..)?)?;
        match rest[at] {
            b'(' => depth += 1,
            b')' => {
                depth -= 1;
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => at += 1,
        }
        at += 1;
    }
}

/// Length of an encoded-word at the start (RFC 2047 section 2), as loosely as they are written: with white space and
/// marks in its text.
fn encoded_word(rest: &[u8]) -> Option<usize> {
    let inner = rest.strip_prefix(b"=?")?;
    let charset = inner.iter().take(64).position(|byte| *byte == b'?').filter(|length| *length > 0)?;
    if !inner[..charset].iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_*.:+()".contains(byte)) {
        return None;
    }
    let [b'B' | b'b' | b'Q' | b'q', b'?', text @ ..] = &inner[charset + 1..] else { return None };
    // One that is not closed does not reach into the next.
    let mut end = 0;
    loop {
        end += memchr::memchr(b'?', &text[end..])?;
        if text.get(end + 1) == Some(&b'=') {
            return Some(rest.len() - text.len() + end + 2);
        }
        if end > 0 && text[end - 1] == b'=' {
            return None;
        }
        end += 1;
    }
}

/// Length of a run in ISO-2022-JP or its kin: between its escape sequences every byte is half of a character.
fn shifted(rest: &[u8]) -> Option<usize> {
    if !rest.starts_with(b"\x1b$") {
        return None;
    }
    let back = memchr::memmem::find(rest, b"\x1b(").map_or(rest.len(), |at| at + 3);
    Some(back.min(rest.len()))
}

/// What follows a scheme that is written before addresses: `mailto:`, or `SMTP:` as Exchange has it.
pub(crate) fn scheme(text: &[u8]) -> Option<&[u8]> {
    ["mailto:", "smtp:"].into_iter().find_map(|scheme| {
        let head = text.get(..scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then(|| &text[scheme.len()..])
    })
}
