//! XML as a tree of elements, within bounds: no document types, no entities but the five of XML itself, no attributes.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use crate::NotReadable;

/// Most elements of one document.
pub const MAX_ELEMENTS: usize = 400_000;
/// How deep elements may lie within each other.
pub const MAX_DEPTH: usize = 24;
/// Longest text of one element, in bytes; what is longer is cut.
pub const MAX_TEXT_BYTES: usize = 4 << 10;

/// An element. Its name is without a prefix and in lower case; its text is that of its own, trimmed.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    fn begin(start: &BytesStart<'_>) -> Self {
        let name = String::from_utf8_lossy(start.local_name().as_ref()).to_ascii_lowercase();
        Self { name, ..Self::default() }
    }

    /// Its first child of that name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// All of them.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> {
        self.children.iter().filter(move |child| child.name == name)
    }

    /// The text of its first child of that name; empty if there is none.
    pub fn text_of(&self, name: &str) -> &str {
        self.child(name).map(|child| child.text.as_str()).unwrap_or_default()
    }

    fn push_text(&mut self, text: &str) {
        let room = MAX_TEXT_BYTES.saturating_sub(self.text.len());
        let end = (0..=room.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        self.text.push_str(&text[..end]);
    }
}

/// The first element of a document with all that is in it. What follows it is not looked at.
pub fn tree(text: &str) -> Result<Element, NotReadable> {
    let broken = |_| NotReadable::Broken("the XML is broken");
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Element> = Vec::new();
    let mut count = 0;
    loop {
        let ended = match reader.read_event().map_err(broken)? {
            Event::Start(start) => {
                open.push(Element::begin(&start));
                count += 1;
                if open.len() > MAX_DEPTH {
                    return Err(NotReadable::TooLarge { what: "the depth of the XML", limit: MAX_DEPTH });
                }
                None
            }
            Event::Empty(start) => {
                count += 1;
                Some(Element::begin(&start))
            }
            Event::End(_) => open.pop(),
            Event::Text(text) => {
                let text = text.decode().map_err(|_| NotReadable::Broken("the XML is broken"))?;
                if let Some(last) = open.last_mut() {
                    last.push_text(&text);
                }
                None
            }
            Event::CData(data) => {
                let data = String::from_utf8_lossy(&data).into_owned();
                if let Some(last) = open.last_mut() {
                    last.push_text(&data);
                }
                None
            }
            Event::GeneralRef(reference) => {
                let c = match reference.resolve_char_ref().map_err(broken)? {
                    Some(c) => c,
                    None => named(&reference)?,
                };
                if let Some(last) = open.last_mut() {
                    last.push_text(c.encode_utf8(&mut [0; 4]));
                }
                None
            }
            Event::DocType(_) => return Err(NotReadable::Broken("the XML has a document type")),
            Event::Eof => return Err(NotReadable::Broken("the XML ends too early")),
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => None,
        };
        if count > MAX_ELEMENTS {
            return Err(NotReadable::TooLarge { what: "the number of XML elements", limit: MAX_ELEMENTS });
        }
        if let Some(mut ended) = ended {
            if ended.text.trim().len() < ended.text.len() {
                ended.text = ended.text.trim().to_owned();
            }
            match open.last_mut() {
                Some(parent) => parent.children.push(ended),
                None => return Ok(ended),
            }
        }
    }
}

/// The character of a reference that XML itself knows. Others would have to be declared, and nothing is declared here.
fn named(name: &[u8]) -> Result<char, NotReadable> {
    match name {
        b"amp" => Ok('&'),
        b"lt" => Ok('<'),
        b"gt" => Ok('>'),
        b"quot" => Ok('"'),
        b"apos" => Ok('\''),
        _ => Err(NotReadable::Broken("the XML uses an entity")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_read_without_prefixes_and_entities() {
        let read =
            tree("<?xml version='1.0'?>\n<x:A xmlns:x='y'><!-- --><b> a&amp;b &#65;<![CDATA[<]]> </b><c/></x:A> rest")
                .unwrap();
        assert_eq!((read.name.as_str(), read.text_of("b"), read.children.len()), ("a", "a&b A<", 2));
        for broken in [
            "",
            "text",
            "<a>",
            "<a></b>",
            "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>",
            "<a>&b;</a>",
            "<a>&#0;</a>",
            "<a",
        ] {
            assert!(tree(broken).is_err(), "{broken}");
        }
        let deep = |levels: usize| format!("{}{}", "<a>".repeat(levels), "</a>".repeat(levels));
        assert!(tree(&deep(MAX_DEPTH)).is_ok());
        assert!(matches!(tree(&deep(MAX_DEPTH + 1)), Err(NotReadable::TooLarge { .. })));
        let many = format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS));
        assert!(matches!(tree(&many), Err(NotReadable::TooLarge { .. })));
        assert_eq!(tree(&format!("<a>{}</a>", "é".repeat(9_999))).unwrap().text.len(), MAX_TEXT_BYTES);
    }
}
