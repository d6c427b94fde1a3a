//! Objects of a PDF file, and reading them (ISO 32000-1 section 7.3).

use std::collections::HashMap;

/// Arrays and dictionaries within each other.
const MAX_NESTING: usize = 24;
/// Values of one array or dictionary.
const MAX_VALUES: usize = 200_000;

pub type Dict = HashMap<String, Object>;

#[derive(Clone, Debug, PartialEq)]
pub enum Object {
    Null,
    Number(f64),
    Text(Vec<u8>),
    Name(String),
    Array(Vec<Object>),
    Dict(Dict),
    /// Another object, by its number.
    Reference(u32),
    /// An operator, or another word.
    Word(Vec<u8>),
}

impl Object {
    pub const fn number(&self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            _ => None,
        }
    }

    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name(name) => Some(name),
            _ => None,
        }
    }
}

/// A text string: UTF-16 or UTF-8 with a mark, or in PDF's own encoding, which is near enough to Latin-1.
pub fn text(bytes: &[u8]) -> String {
    match bytes {
        [0xfe, 0xff, rest @ ..] => utf16(rest),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8_lossy(rest).into_owned(),
        _ => encoding_rs::WINDOWS_1252.decode_without_bom_handling(bytes).0.into_owned(),
    }
}

/// UTF-16, high byte first.
pub fn utf16(bytes: &[u8]) -> String {
    let units = bytes.chunks_exact(2).map(|two| u16::from_be_bytes([two[0], two[1]]));
    char::decode_utf16(units).map(|c| c.unwrap_or('\u{fffd}')).collect()
}

/// Reads objects one after the other.
pub struct Reader<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

pub const fn is_space(b: u8) -> bool {
    matches!(b, 0 | 9 | 10 | 12 | 13 | 32)
}

const fn is_delimiter(b: u8) -> bool {
    matches!(b, b'(' | b')' | b'<' | b'>' | b'[' | b']' | b'{' | b'}' | b'/' | b'%')
}

impl<'a> Reader<'a> {
    pub const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    pub fn skip_space(&mut self) {
        while let Some(b) = self.peek() {
            if b == b'%' {
                let rest = &self.bytes[self.at..];
                self.at += rest.iter().position(|b| matches!(b, 10 | 13)).unwrap_or(rest.len());
            } else if is_space(b) {
                self.at += 1;
            } else {
                break;
            }
        }
    }

    /// The next object; `None` at the end.
    pub fn next(&mut self) -> Option<Object> {
        self.object(0)
    }

    /// The next object, `1 0 R` read as a reference.
    pub fn next_or_reference(&mut self) -> Option<Object> {
        let first = self.object(0)?;
        Some(self.reference(first))
    }

    fn reference(&mut self, first: Object) -> Object {
        let Object::Number(number) = first else { return first };
        if number < 0.0 || number.fract() != 0.0 || number > f64::from(u32::MAX) {
            return first;
        }
        let back = self.at;
        self.skip_space();
        let digits = self.bytes[self.at..].iter().take(6).take_while(|b| b.is_ascii_digit()).count();
        if digits > 0 {
            self.at += digits;
            self.skip_space();
            if self.peek() == Some(b'R') && self.bytes.get(self.at + 1).is_none_or(|b| is_space(*b) || is_delimiter(*b))
            {
                self.at += 1;
                return Object::Reference(number as u32);
            }
        }
        self.at = back;
        first
    }

    fn object(&mut self, depth: usize) -> Option<Object> {
        self.skip_space();
        let first = self.peek()?;
        if depth > MAX_NESTING {
            return None;
        }
        match first {
            b'/' => {
                self.at += 1;
                Some(Object::Name(self.name()))
            }
            b'(' => Some(Object::Text(self.literal())),
            b'<' if self.bytes.get(self.at + 1) == Some(&b'<') => {
                self.at += 2;
                Some(Object::Dict(self.dict(depth)))
            }
            b'<' => Some(Object::Text(self.hexadecimal())),
            b'[' => {
                self.at += 1;
                Some(Object::Array(self.array(depth)))
            }
            b'0'..=b'9' | b'+' | b'-' | b'.' => Some(self.number()),
            b if is_delimiter(b) => {
                self.at += 1;
                Some(Object::Word(vec![b]))
            }
            _ => {
                let start = self.at;
                while self.peek().is_some_and(|b| !is_space(b) && !is_delimiter(b)) {
                    self.at += 1;
                }
                let word = &self.bytes[start..self.at];
                Some(if word == b"null" { Object::Null } else { Object::Word(word.to_vec()) })
            }
        }
    }

    fn number(&mut self) -> Object {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.bytes[start..self.at]).unwrap_or_default();
        Object::Number(text.parse().unwrap_or(0.0))
    }

    fn name(&mut self) -> String {
        let mut name = Vec::new();
        while let Some(b) = self.peek().filter(|b| !is_space(*b) && !is_delimiter(*b)) {
            self.at += 1;
            let hex = self.bytes.get(self.at..self.at + 2).filter(|_| b == b'#');
            match hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()) {
                Some(decoded) => {
                    name.push(decoded);
                    self.at += 2;
                }
                None => name.push(b),
            }
        }
        String::from_utf8_lossy(&name).into_owned()
    }

    fn array(&mut self, depth: usize) -> Vec<Object> {
        let mut all = Vec::new();
        loop {
            self.skip_space();
            match self.peek() {
                None => return all,
                Some(b']') => {
                    self.at += 1;
                    return all;
                }
                Some(_) => {}
            }
            let Some(value) = self.object(depth + 1) else { return all };
            let value = self.reference(value);
            if all.len() >= MAX_VALUES {
                return all;
            }
            all.push(value);
        }
    }

    fn dict(&mut self, depth: usize) -> Dict {
        let mut all = Dict::new();
        loop {
            self.skip_space();
            match self.peek() {
                None => return all,
                Some(b'>') => {
                    self.at += if self.bytes.get(self.at + 1) == Some(&b'>') { 2 } else { 1 };
                    return all;
                }
                Some(_) => {}
            }
            let Some(key) = self.object(depth + 1) else { return all };
            let Object::Name(key) = key else { continue };
            let Some(value) = self.object(depth + 1) else { return all };
            let value = self.reference(value);
            if all.len() >= MAX_VALUES {
                return all;
            }
            all.insert(key, value);
        }
    }

    fn literal(&mut self) -> Vec<u8> {
        self.at += 1;
        let (mut out, mut open) = (Vec::new(), 1usize);
        while let Some(b) = self.peek() {
            self.at += 1;
            match b {
                b'\\' => self.escaped(&mut out),
                b'(' => {
                    open += 1;
                    out.push(b);
                }
                b')' => {
                    open -= 1;
                    if open == 0 {
                        break;
                    }
                    out.push(b);
                }
                _ => out.push(b),
            }
        }
        out
    }

    fn escaped(&mut self, out: &mut Vec<u8>) {
        let Some(b) = self.peek() else { return };
        self.at += 1;
        match b {
            b'n' => out.push(10),
            b'r' => out.push(13),
            b't' => out.push(9),
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'0'..=b'7' => {
                let mut code = u32::from(b - b'0');
                for _ in 0..2 {
                    let Some(digit) = self.peek().filter(|b| (b'0'..=b'7').contains(b)) else { break };
                    code = code * 8 + u32::from(digit - b'0');
                    self.at += 1;
                }
                out.push(code as u8);
            }
            13 => self.at += usize::from(self.peek() == Some(10)),
            10 => {}
            other => out.push(other),
        }
    }

    fn hexadecimal(&mut self) -> Vec<u8> {
        self.at += 1;
        let (mut out, mut high) = (Vec::new(), None);
        while let Some(b) = self.peek() {
            self.at += 1;
            if b == b'>' {
                break;
            }
            let Some(digit) = char::from(b).to_digit(16) else { continue };
            match high.take() {
                Some(first) => out.push((first << 4 | digit) as u8),
                None => high = Some(digit),
            }
        }
        out.extend(high.map(|first| (first << 4) as u8));
        out
    }
}
