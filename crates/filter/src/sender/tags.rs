//! Lists of tags: `v=1; a=rsa-sha256; …` (RFC 6376 section 3.2), as DKIM, ARC and DMARC write them.

use base64::Engine as _;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

/// Longest list that is read.
const MAX_BYTES: usize = 16 << 10;
/// Most tags of one list.
const MAX_TAGS: usize = 64;

/// Base64 as it is met: with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// A list of tags, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Vec<(String, String)>);

impl Tags {
    /// Reads a list; `None` if it is none, names a tag twice, or is larger than any sound one.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.len() <= MAX_BYTES)?;
        let mut tags: Vec<(String, String)> = Vec::new();
        let mut pieces = text.split(';').peekable();
        while let Some(piece) = pieces.next() {
            if piece.trim_matches(is_blank).is_empty() {
                // Only the last semicolon may have nothing after it.
                if pieces.peek().is_some() {
                    return None;
                }
                continue;
            }
            let (name, value) = piece.split_once('=')?;
            let (name, value) = (name.trim_matches(is_blank), value.trim_matches(is_blank));
            let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let is_known = tags.iter().any(|(known, _)| known == name);
            if !is_name || is_known || tags.len() >= MAX_TAGS || value.chars().any(|c| c.is_control() && !is_blank(c)) {
                return None;
            }
            tags.push((name.to_owned(), value.to_owned()));
        }
        Some(Self(tags))
    }

    /// The value of a tag.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Name and value of the first tag.
    pub fn first(&self) -> Option<(&str, &str)> {
        self.0.first().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The items of a list with colons between them, without blanks around them.
    pub fn list(&self, name: &str) -> Option<Vec<&str>> {
        Some(self.get(name)?.split(':').map(|item| item.trim_matches(is_blank)).collect())
    }

    /// Base64 with any blanks in it.
    pub fn base64(&self, name: &str) -> Option<Vec<u8>> {
        let text: String = self.get(name)?.chars().filter(|c| !is_blank(*c)).collect();
        BASE64.decode(text).ok().filter(|bytes| !bytes.is_empty())
    }

    /// A number.
    pub fn number(&self, name: &str) -> Option<u64> {
        let text = self.get(name)?;
        if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // More digits than fit mean a time or size beyond all others.
        Some(text.parse().unwrap_or(u64::MAX))
    }
}

const fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_a_whole_or_not_at_all() {
        let tags = Tags::read(b" v=1; a = x ;\r\n\tb=AQ\r\n ID;l=7; h= From : to ;").unwrap();
        assert_eq!(tags.first(), Some(("v", "1")));
        assert_eq!((tags.get("a"), tags.number("l"), tags.get("z")), (Some("x"), Some(7), None));
        assert_eq!(tags.base64("b").unwrap(), [1, 2, 3]);
        assert_eq!(tags.list("h").unwrap(), ["From", "to"]);
        for bad in [&b"a"[..], b"a=1;;b=2", b"a=1;a=2", b"=1", b"1a=2", b"a b=1", b";", b"a=\x01", b"a=\xff"] {
            assert!(Tags::read(bad).is_none() || bad == b";", "{}", bad.escape_ascii());
        }
        assert!(Tags::read(&b"a=1;".repeat(9_999)).is_none());
        assert!(Tags::read(b"").unwrap().first().is_none());
        assert_eq!(Tags::read(b"l=99999999999999999999").unwrap().number("l"), Some(u64::MAX));
        assert_eq!(Tags::read(b"l=-1").unwrap().number("l"), None);
    }
}
