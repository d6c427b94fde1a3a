//! The text of an SPF record (RFC 7208 section 4.6 and 5), read as a whole before anything is asked.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::outcome::Outcome;
use super::macros::Text;

/// Longest record.
const MAX_BYTES: usize = 16 << 10;

/// A record.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// Its directives in their order.
    pub directives: Vec<Directive>,
    /// `redirect=`.
    pub redirect: Option<Text>,
    /// `exp=`.
    pub explanation: Option<Text>,
}

/// A mechanism and what a match means.
#[derive(Clone, Debug)]
pub struct Directive {
    /// The result of a match.
    pub outcome: Outcome,
    /// What matches.
    pub mechanism: Mechanism,
}

/// What may match. Names are macros; `None` is the domain itself.
#[derive(Clone, Debug)]
pub enum Mechanism {
    /// `all`.
    All,
    /// `include:`.
    Include(Text),
    /// `a`.
    A(Option<Text>, Lengths),
    /// `mx`.
    Mx(Option<Text>, Lengths),
    /// `ptr`.
    Ptr(Option<Text>),
    /// `ip4:`.
    Ip4(Ipv4Addr, u8),
    /// `ip6:`.
    Ip6(Ipv6Addr, u8),
    /// `exists:`.
    Exists(Text),
}

/// Lengths of prefixes, of IPv4 and IPv6.
#[derive(Clone, Copy, Debug)]
pub struct Lengths(pub u8, pub u8);

/// Whether a text claims to be an SPF record: its version section.
pub fn claims(text: &[u8]) -> bool {
    const VERSION: &[u8] = b"v=spf1";
    text.get(..VERSION.len()).is_some_and(|start| start.eq_ignore_ascii_case(VERSION))
        && text.get(VERSION.len()).is_none_or(|next| *next == b' ')
}

impl Record {
    /// Reads a record that [`claims`] to be one; `None` if it breaks the grammar anywhere.
    pub fn read(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok().filter(|text| text.is_ascii() && text.len() <= MAX_BYTES)?;
        let mut record = Self::default();
        for term in text.split(' ').skip(1).filter(|term| !term.is_empty()) {
            record.term(term)?;
        }
        Some(record)
    }

    fn term(&mut self, term: &str) -> Option<()> {
        let ends = term.find([':', '/', '=']).unwrap_or(term.len());
        if term[ends..].starts_with('=') {
            let (name, value) = (&term[..ends], &term[ends + 1..]);
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
            if !is_name {
                return None;
            }
            let slot = match name.to_ascii_lowercase().as_str() {
                "redirect" => &mut self.redirect,
                "exp" => &mut self.explanation,
                _ => return Text::read(value).map(|_| ()),
            };
            return slot.replace(Text::domain(value)?).is_none().then_some(());
        }
        let (outcome, mechanism) = match term.as_bytes().first()? {
            b'+' => (Outcome::Pass, &term[1..]),
            b'-' => (Outcome::Fail, &term[1..]),
            b'~' => (Outcome::SoftFail, &term[1..]),
            b'?' => (Outcome::Neutral, &term[1..]),
            _ => (Outcome::Pass, term),
        };
        self.directives.push(Directive { outcome, mechanism: Mechanism::read(mechanism)? });
        Some(())
    }
}

impl Mechanism {
    fn read(text: &str) -> Option<Self> {
        let ends = text.find([':', '/']).unwrap_or(text.len());
        let (name, rest) = (text[..ends].to_ascii_lowercase(), &text[ends..]);
        let argument = rest.strip_prefix(':');
        Some(match name.as_str() {
            "all" if rest.is_empty() => Self::All,
            "include" => Self::Include(Text::domain(argument?)?),
            "exists" => Self::Exists(Text::domain(argument?)?),
            "ptr" if rest.is_empty() => Self::Ptr(None),
            "ptr" => Self::Ptr(Some(Text::domain(argument?)?)),
            "a" | "mx" => {
                let (domain, lengths) = with_lengths(rest)?;
                if name == "a" { Self::A(domain, lengths) } else { Self::Mx(domain, lengths) }
            }
            "ip4" => {
                let (address, length) = with_length(argument?, 32)?;
                Self::Ip4(address.parse().ok()?, length)
            }
            "ip6" => {
                let (address, length) = with_length(argument?, 128)?;
                Self::Ip6(address.parse().ok()?, length)
            }
            _ => return None,
        })
    }
}

/// `[:domain][/n][//n]`. A slash may stand in a macro, so lengths are looked for at the end.
fn with_lengths(rest: &str) -> Option<(Option<Text>, Lengths)> {
    let mut lengths = Lengths(32, 128);
    let mut rest = rest;
    let digits = |text: &str| text.len() - text.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let cut = rest.len() - digits(rest);
    if rest[..cut].ends_with("//") {
        lengths.1 = length(&rest[cut..], 128)?;
        rest = &rest[..cut - 2];
    }
    let cut = rest.len() - digits(rest);
    if rest[..cut].ends_with('/') && !rest[..cut].ends_with("//") {
        lengths.0 = length(&rest[cut..], 32)?;
        rest = &rest[..cut - 1];
    }
    if rest.is_empty() {
        return Some((None, lengths));
    }
    Some((Some(Text::domain(rest.strip_prefix(':')?)?), lengths))
}

fn with_length(text: &str, most: u8) -> Option<(&str, u8)> {
    match text.split_once('/') {
        Some((address, digits)) => Some((address, length(digits, most)?)),
        None => Some((text, most)),
    }
}

/// A number without leading zeros.
fn length(digits: &str, most: u8) -> Option<u8> {
    let is_plain = digits == "0" || (!digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit()));
    digits.parse().ok().filter(|length| is_plain && *length <= most)
}
