//! Reading tokens from the bytes of a complete command.

use std::fmt;

/// What was wrong with a command: where, and what should have stood there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyntaxError {
    /// Byte offset from the start of the command; 0 is the first byte of the tag.
    pub position: usize,
    /// What the grammar wants at that place.
    pub expected: &'static str,
    /// The byte found there; `None` at the end.
    pub found: Option<u8>,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "expected {} at position {}, found ", self.expected, self.position + 1)?;
        match self.found {
            None | Some(b'\r' | b'\n') => f.write_str("the end of the line"),
            Some(b' ') => f.write_str("a space"),
            Some(b) if b.is_ascii_graphic() => write!(f, "{}", b as char),
            Some(b) => write!(f, "byte 0x{b:02X}"),
        }
    }
}

impl std::error::Error for SyntaxError {}

type Result<T> = std::result::Result<T, SyntaxError>;

/// `ATOM-CHAR`: any CHAR but the specials. UTF-8 is let through for mailbox names typed raw.
pub(super) fn is_atom_char(b: u8) -> bool {
    b > b' ' && b != 0x7F && !matches!(b, b'(' | b')' | b'{' | b'%' | b'*' | b'"' | b'\\' | b']')
}

/// `ASTRING-CHAR`: an atom character or `]`.
pub(crate) fn is_astring_char(b: u8) -> bool {
    is_atom_char(b) || b == b']'
}

/// A character of a tag: any `ASTRING-CHAR` but `+`, and ASCII.
pub(super) fn is_tag_char(b: u8) -> bool {
    is_astring_char(b) && b != b'+' && b < 0x80
}

/// A place in the bytes of one command.
#[derive(Debug, Clone)]
pub struct Cursor<'a> {
    input: &'a [u8],
    pos: usize,
}

impl<'a> Cursor<'a> {
    /// At the first byte of `input`.
    pub fn new(input: &'a [u8]) -> Self {
        Self { input, pos: 0 }
    }

    /// Offset of the next byte.
    pub fn position(&self) -> usize {
        self.pos
    }

    /// The next byte, not taken.
    pub fn peek(&self) -> Option<u8> {
        self.input.get(self.pos).copied()
    }

    /// An error at this place.
    pub fn expected<T>(&self, expected: &'static str) -> Result<T> {
        Err(SyntaxError { position: self.pos, expected, found: self.peek() })
    }

    /// An error at an earlier place.
    pub fn expected_at<T>(&self, position: usize, expected: &'static str) -> Result<T> {
        Err(SyntaxError { position, expected, found: self.input.get(position).copied() })
    }

    /// Takes the byte if it is next.
    pub fn eat(&mut self, byte: u8) -> bool {
        let hit = self.peek() == Some(byte);
        self.pos += usize::from(hit);
        hit
    }

    /// Takes the byte, or fails.
    pub fn byte(&mut self, byte: u8, expected: &'static str) -> Result<()> {
        if self.eat(byte) { Ok(()) } else { self.expected(expected) }
    }

    /// One space. More than one is forgiven: several clients pad.
    pub fn space(&mut self) -> Result<()> {
        self.byte(b' ', "a space")?;
        while self.eat(b' ') {}
        Ok(())
    }

    /// `(`.
    pub fn open(&mut self) -> Result<()> {
        self.byte(b'(', "\"(\"")
    }

    /// `)`.
    pub fn close(&mut self) -> Result<()> {
        self.byte(b')', "\")\"")
    }

    /// Whether a CRLF (or the bare end) is next, trailing spaces forgiven.
    pub fn at_end(&self) -> bool {
        let rest = &self.input[self.pos..];
        let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
        let rest = rest.strip_suffix(b"\r").unwrap_or(rest);
        rest.iter().all(|&b| b == b' ')
    }

    /// The end of the command, or fails.
    pub fn end(&self) -> Result<()> {
        if self.at_end() { Ok(()) } else { self.expected("the end of the line") }
    }

    /// Takes bytes as long as `want` holds.
    pub fn take_while(&mut self, want: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = &self.input[self.pos..];
        let n = rest.iter().position(|&b| !want(b)).unwrap_or(rest.len());
        self.pos += n;
        &rest[..n]
    }

    /// Takes `word` if it is next (any case) and no atom character follows it.
    pub fn eat_word(&mut self, word: &str) -> bool {
        let rest = &self.input[self.pos..];
        let hit = rest.len() >= word.len()
            && rest[..word.len()].eq_ignore_ascii_case(word.as_bytes())
            && !rest.get(word.len()).is_some_and(|&b| is_atom_char(b) && b != b'[' && b != b'<' && b != b'.');
        if hit {
            self.pos += word.len();
        }
        hit
    }

    /// Takes `text` if it is next, in any case, whatever follows.
    pub fn eat_text(&mut self, text: &str) -> bool {
        let rest = &self.input[self.pos..];
        let hit = rest.len() >= text.len() && rest[..text.len()].eq_ignore_ascii_case(text.as_bytes());
        if hit {
            self.pos += text.len();
        }
        hit
    }

    fn utf8(&self, start: usize, bytes: &'a [u8]) -> Result<&'a str> {
        std::str::from_utf8(bytes).or_else(|e| self.expected_at(start + e.valid_up_to(), "valid UTF-8"))
    }

    /// `atom`.
    pub fn atom(&mut self, expected: &'static str) -> Result<&'a str> {
        let start = self.pos;
        let atom = self.take_while(is_atom_char);
        if atom.is_empty() {
            return self.expected(expected);
        }
        self.utf8(start, atom)
    }

    /// `atom`, in capitals.
    pub fn keyword(&mut self, expected: &'static str) -> Result<String> {
        Ok(self.atom(expected)?.to_ascii_uppercase())
    }

    /// `tag`.
    pub fn tag(&mut self) -> Result<&'a str> {
        let start = self.pos;
        let tag = self.take_while(is_tag_char);
        if tag.is_empty() || tag.len() > super::MAX_TAG {
            return self.expected_at(start, "a tag");
        }
        self.utf8(start, tag)
    }

    /// `number64`.
    pub fn number64(&mut self) -> Result<u64> {
        let start = self.pos;
        let digits = self.take_while(|b| b.is_ascii_digit());
        if digits.is_empty() {
            return self.expected("a number");
        }
        let mut n = 0u64;
        for d in digits {
            let next = n.checked_mul(10).and_then(|n| n.checked_add(u64::from(d - b'0')));
            n = match next {
                Some(n) if i64::try_from(n).is_ok() => n,
                _ => return self.expected_at(start, "a number below 2^63"),
            };
        }
        Ok(n)
    }

    /// `number`: 0 to 2^32-1.
    pub fn number(&mut self) -> Result<u32> {
        let start = self.pos;
        let n = self.number64()?;
        u32::try_from(n).or_else(|_| self.expected_at(start, "a number below 2^32"))
    }

    /// `nz-number`: 1 to 2^32-1.
    pub fn nz_number(&mut self) -> Result<u32> {
        let start = self.pos;
        match self.number()? {
            0 => self.expected_at(start, "a number above 0"),
            n => Ok(n),
        }
    }

    /// `quoted`, its escapes resolved.
    fn quoted(&mut self) -> Result<Vec<u8>> {
        let start = self.pos;
        self.byte(b'"', "a quoted string")?;
        let mut out = Vec::new();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(out);
                }
                Some(b'\\') => {
                    self.pos += 1;
                    match self.peek() {
                        Some(b @ (b'"' | b'\\')) => out.push(b),
                        _ => return self.expected("\"\\\" or a quote after \"\\\""),
                    }
                    self.pos += 1;
                }
                None | Some(b'\r' | b'\n' | 0) => {
                    return self.expected_at(start, "a closed quoted string");
                }
                Some(_) => out.extend_from_slice(self.take_while(|b| !matches!(b, b'"' | b'\\' | b'\r' | b'\n' | 0))),
            }
        }
    }

    /// `literal`, already in the input; `literal8` too if `binary`.
    fn literal(&mut self, binary: bool) -> Result<&'a [u8]> {
        let start = self.pos;
        let is_binary = self.eat(b'~');
        if is_binary && !binary {
            return self.expected_at(start, "a string, not a binary literal");
        }
        self.byte(b'{', "a literal")?;
        let len = self.number64()?;
        self.eat(b'+');
        self.byte(b'}', "\"}\"")?;
        self.eat(b'\r');
        self.byte(b'\n', "the end of the line after a literal header")?;
        let end = usize::try_from(len).ok().and_then(|n| self.pos.checked_add(n));
        let Some(bytes) = end.and_then(|end| self.input.get(self.pos..end)) else {
            return self.expected("the bytes of the literal");
        };
        if !is_binary && bytes.contains(&0) {
            return self.expected("a literal without NUL");
        }
        self.pos += bytes.len();
        Ok(bytes)
    }

    /// `literal` or `literal8`, already in the input.
    pub fn literal8(&mut self) -> Result<Vec<u8>> {
        Ok(self.literal(true)?.to_vec())
    }

    /// `string` as bytes.
    pub fn string_bytes(&mut self, expected: &'static str) -> Result<Vec<u8>> {
        match self.peek() {
            Some(b'"') => self.quoted(),
            Some(b'{') => Ok(self.literal(false)?.to_vec()),
            _ => self.expected(expected),
        }
    }

    /// `string`, in UTF-8.
    pub fn string(&mut self, expected: &'static str) -> Result<String> {
        let start = self.pos;
        let bytes = self.string_bytes(expected)?;
        String::from_utf8(bytes).or_else(|_| self.expected_at(start, "valid UTF-8"))
    }

    /// `nstring`, in UTF-8.
    pub fn nstring(&mut self, expected: &'static str) -> Result<Option<String>> {
        if self.eat_word("NIL") { Ok(None) } else { self.string(expected).map(Some) }
    }

    /// `astring` as bytes.
    pub fn astring_bytes(&mut self, expected: &'static str) -> Result<Vec<u8>> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string_bytes(expected);
        }
        let atom = self.take_while(is_astring_char);
        if atom.is_empty() { self.expected(expected) } else { Ok(atom.to_vec()) }
    }

    /// `astring`, in UTF-8.
    pub fn astring(&mut self, expected: &'static str) -> Result<String> {
        let start = self.pos;
        let bytes = self.astring_bytes(expected)?;
        String::from_utf8(bytes).or_else(|_| self.expected_at(start, "valid UTF-8"))
    }

    /// `list-mailbox`: an astring in which `%` and `*` stand for themselves.
    pub fn list_mailbox(&mut self) -> Result<String> {
        if matches!(self.peek(), Some(b'"' | b'{')) {
            return self.string("a mailbox pattern");
        }
        let start = self.pos;
        let pattern = self.take_while(|b| is_astring_char(b) || matches!(b, b'%' | b'*'));
        if pattern.is_empty() {
            return self.expected("a mailbox pattern");
        }
        Ok(self.utf8(start, pattern)?.to_owned())
    }

    /// `(item item ...)`: calls `item` for each; an empty list is let through.
    pub fn list(&mut self, mut item: impl FnMut(&mut Self) -> Result<()>) -> Result<()> {
        self.open()?;
        let mut count = 0;
        while self.eat(b' ') {}
        while !self.eat(b')') {
            count += 1;
            if count > super::MAX_LIST_ITEMS {
                return self.expected("fewer items in this list");
            }
            item(self)?;
            if self.peek() != Some(b')') {
                if self.peek() != Some(b' ') {
                    return self.expected("a space or \")\"");
                }
                while self.eat(b' ') {}
            }
        }
        Ok(())
    }
}
