//! Macros (RFC 7208 section 7).

use std::fmt::Write as _;
use std::net::IpAddr;

/// A text with macros in it, read.
#[derive(Clone, Debug)]
pub struct Text(Vec<Piece>);

#[derive(Clone, Debug)]
enum Piece {
    Literal(String),
    Macro(Macro),
}

#[derive(Clone, Debug)]
struct Macro {
    /// In lower case.
    letter: char,
    escaped: bool,
    /// Most parts, from the right.
    parts: usize,
    reversed: bool,
    delimiters: Vec<char>,
}

/// What macros stand for.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    pub local: &'a str,
    /// The domain of the sender, as it was asked about first.
    pub sender_domain: &'a str,
    /// The domain that is asked about now.
    pub domain: &'a str,
    pub ip: IpAddr,
    pub helo: &'a str,
    pub receiver: &'a str,
    pub now: i64,
    /// The client's name, if it was needed and is proved.
    pub validated: &'a str,
}

impl Text {
    /// A `macro-string`; letters that only explanations may have are refused.
    pub fn read(text: &str) -> Option<Self> {
        Self::parse(text, "slodiphv")
    }

    /// A `domain-spec`: ends in a macro, or in a label that no number is.
    pub fn domain(text: &str) -> Option<Self> {
        let read = Self::read(text)?;
        let is_whole = match read.0.last()? {
            Piece::Macro(_) => true,
            Piece::Literal(literal) => {
                let name = literal.strip_suffix('.').unwrap_or(literal);
                let (before, top) = name.rsplit_once('.').map_or((None, name), |(before, top)| (Some(before), top));
                let is_label = !top.is_empty()
                    && top.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
                    && !top.starts_with('-')
                    && !top.ends_with('-')
                    && !top.bytes().all(|b| b.is_ascii_digit());
                // Of what a macro gives, the literal after it is the end; without a dot it is no label of its own.
                is_label && before.is_some()
            }
        };
        is_whole.then_some(read)
    }

    /// The text of an explanation.
    pub fn explanation(text: &str) -> Option<Self> {
        Self::parse(text, "slodiphvcrt")
    }

    fn parse(text: &str, letters: &str) -> Option<Self> {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let explains = letters.contains('c');
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if first != '%' {
                if !(first.is_ascii_graphic() || (explains && first == ' ')) {
                    return None;
                }
                literal.push(first);
                rest = &rest[1..];
                continue;
            }
            match rest.as_bytes().get(1)? {
                b'%' => literal.push('%'),
                b'_' => literal.push(' '),
                b'-' => literal.push_str("%20"),
                b'{' => {
                    let end = rest.find('}')?;
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(Piece::Macro(Macro::read(&rest[2..end], letters)?));
                    rest = &rest[end + 1..];
                    continue;
                }
                _ => return None,
            }
            rest = &rest[2..];
        }
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Some(Self(pieces))
    }

    /// Whether the client's proved name is needed.
    pub fn needs_name(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Macro(m) if m.letter == 'p'))
    }

    /// The text with everything put in.
    pub fn expand(&self, values: &Values<'_>) -> String {
        let mut out = String::new();
        for piece in &self.0 {
            match piece {
                Piece::Literal(text) => out.push_str(text),
                Piece::Macro(known) => known.expand(values, &mut out),
            }
        }
        out
    }

    /// The same as a name to ask the DNS for: what is too long loses labels at its left end.
    pub fn expand_domain(&self, values: &Values<'_>) -> String {
        let whole = self.expand(values);
        let mut name = whole.strip_suffix('.').unwrap_or(&whole);
        while name.len() > super::super::names::MAX_NAME_BYTES {
            match name.split_once('.') {
                Some((_, rest)) => name = rest,
                None => break,
            }
        }
        name.to_owned()
    }
}

impl Macro {
    fn read(text: &str, letters: &str) -> Option<Self> {
        let first = text.chars().next().filter(char::is_ascii_alphabetic)?;
        let letter = first.to_ascii_lowercase();
        if !letters.contains(letter) {
            return None;
        }
        let rest = &text[1..];
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let parts = if digits == 0 {
            usize::MAX
        } else {
            // More than fit is all of them.
            rest[..digits].parse().unwrap_or(if rest[..digits].bytes().all(|b| b == b'0') { 0 } else { usize::MAX })
        };
        if parts == 0 {
            return None;
        }
        let rest = &rest[digits..];
        let reversed = rest.starts_with(['r', 'R']);
        let delimiters: Vec<char> = rest[usize::from(reversed)..].chars().collect();
        if !delimiters.iter().all(|c| ".-+,/_=".contains(*c)) {
            return None;
        }
        Some(Self { letter, escaped: first.is_ascii_uppercase(), parts, reversed, delimiters })
    }

    fn expand(&self, values: &Values<'_>, out: &mut String) {
        let value = match self.letter {
            's' => format!("{}@{}", values.local, values.sender_domain),
            'l' => values.local.to_owned(),
            'o' => values.sender_domain.to_owned(),
            'd' => values.domain.to_owned(),
            'i' => dotted(values.ip),
            'p' => values.validated.to_owned(),
            'v' => if values.ip.is_ipv4() { "in-addr" } else { "ip6" }.to_owned(),
            'h' => values.helo.to_owned(),
            'c' => values.ip.to_string(),
            'r' => values.receiver.to_owned(),
            't' => values.now.to_string(),
            _ => String::new(),
        };
        let is_delimiter = |c: char| if self.delimiters.is_empty() { c == '.' } else { self.delimiters.contains(&c) };
        let mut parts: Vec<&str> = value.split(is_delimiter).collect();
        if self.reversed {
            parts.reverse();
        }
        let parts = &parts[parts.len().saturating_sub(self.parts)..];
        let joined = parts.join(".");
        if !self.escaped {
            out.push_str(&joined);
            return;
        }
        for byte in joined.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// An address with dots: of IPv6 each half byte.
fn dotted(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(four) => four.to_string(),
        IpAddr::V6(six) => {
            let nibbles = six.octets().into_iter().flat_map(|byte| [byte >> 4, byte & 15]);
            let digits: Vec<String> = nibbles.map(|nibble| format!("{nibble:X}")).collect();
            digits.join(".")
        }
    }
}

/// Whether a name has the sizes of a domain name. Its characters are anybody's: the DNS will not know odd ones.
pub fn is_domain(name: &str) -> bool {
    name.len() <= super::super::names::MAX_NAME_BYTES
        && !name.starts_with('[')
        && name.split('.').all(|label| (1..=63).contains(&label.len()))
        && name.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
}
