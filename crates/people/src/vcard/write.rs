//! Writing vCards, 4.0 (RFC 6350) and 3.0 (RFC 2426).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::{content_line, escape};
use crate::further::When;
use crate::merge::{Book, BookGroup};
use crate::{Card, ContactId, pictures};

/// Longest line written, in bytes without its end (RFC 6350 section 3.2).
const FOLD_BYTES: usize = 75;

/// A version of the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// What older programs and telephones read.
    V3,
    /// The present one.
    #[default]
    V4,
}

/// Write a book as vCard 4.0, each group after the contacts.
pub fn write(book: &Book) -> String {
    write_as(book, Version::V4)
}

/// The same in either version. Pictures are those that the book has with it.
pub fn write_as(book: &Book, version: Version) -> String {
    let writer = Writer::new(book, version);
    let mut out = String::new();
    let cards = book.contacts.iter().map(|(id, card)| writer.card(*id, card, &|hash| book.pictures.get(hash).cloned()));
    for text in cards {
        out.push_str(&text);
    }
    for group in book.groups.values() {
        out.push_str(&writer.group(group));
    }
    out
}

/// Writes the cards of a book one by one, so that they need not all be in memory.
pub struct Writer<'a> {
    book: &'a Book,
    version: Version,
    groups: BTreeMap<ContactId, Vec<&'a str>>,
}

impl<'a> Writer<'a> {
    /// For the contacts of `book`.
    pub fn new(book: &'a Book, version: Version) -> Self {
        let mut groups: BTreeMap<ContactId, Vec<&str>> = BTreeMap::new();
        for group in book.groups.values() {
            for member in &group.members {
                groups.entry(*member).or_default().push(&group.name);
            }
        }
        Self { book, version, groups }
    }

    fn begin(&self, out: &mut String) {
        put(out, "BEGIN:VCARD");
        put(out, if self.version == Version::V3 { "VERSION:3.0" } else { "VERSION:4.0" });
    }

    /// A contact. `picture` gives the bytes of a picture by its hash.
    pub fn card(&self, id: ContactId, card: &Card, picture: &dyn Fn(&[u8]) -> Option<Bytes>) -> String {
        let mut out = String::new();
        self.begin(&mut out);
        put(&mut out, &format!("UID:{}", escape(&card.uid)));
        put(&mut out, &format!("FN:{}", escape(card.title())));
        if !card.parts.is_empty() {
            put(&mut out, &format!("N:{}", card.parts));
        } else if self.version == Version::V3 {
            // It must be there; without parts it says nothing.
            put(&mut out, "N:;;;;");
        }
        if !card.other_names.is_empty() {
            let names: Vec<String> = card.other_names.iter().map(|name| escape(name)).collect();
            put(&mut out, &format!("NICKNAME:{}", names.join(",")));
        }
        let mut items = 0;
        for (at, address) in card.addresses.iter().enumerate() {
            let first = at == 0 && card.addresses.len() > 1;
            self.labelled(&mut out, &mut items, ("EMAIL", first), &address.label, &address.address);
        }
        for (at, phone) in card.phones.iter().enumerate() {
            let first = at == 0 && card.phones.len() > 1;
            self.labelled(&mut out, &mut items, ("TEL", first), &phone.label, &phone.number);
        }
        if !card.organisation.is_empty() {
            let parts: Vec<String> = card.organisation.split("; ").map(escape).collect();
            put(&mut out, &format!("ORG:{}", parts.join(";")));
        }
        if !card.note.is_empty() {
            put(&mut out, &format!("NOTE:{}", escape(&card.note)));
        }
        if let Some(groups) = self.groups.get(&id) {
            let groups: Vec<String> = groups.iter().map(|group| escape(group)).collect();
            put(&mut out, &format!("CATEGORIES:{}", groups.join(",")));
        }
        for line in &card.kept {
            match self.version {
                Version::V3 => put(&mut out, &for_v3(line)),
                Version::V4 => put(&mut out, line),
            }
        }
        for shown in &card.pictures {
            if let Some(bytes) = picture(&shown.hash) {
                self.picture(&mut out, &shown.params, &bytes);
            }
        }
        put(&mut out, "END:VCARD");
        out
    }

    /// A group.
    pub fn group(&self, group: &BookGroup) -> String {
        let mut out = String::new();
        self.begin(&mut out);
        let (kind, member) = match self.version {
            // As Apple writes groups in 3.0, which has none.
            Version::V3 => ("X-ADDRESSBOOKSERVER-KIND:group", "X-ADDRESSBOOKSERVER-MEMBER"),
            Version::V4 => ("KIND:group", "MEMBER"),
        };
        put(&mut out, kind);
        put(&mut out, &format!("UID:{}", escape(&group.uid)));
        put(&mut out, &format!("FN:{}", escape(&group.name)));
        if self.version == Version::V3 {
            put(&mut out, &format!("N:{};;;;", escape(&group.name)));
        }
        for card in group.members.iter().filter_map(|member| self.book.contacts.get(member)) {
            put(&mut out, &format!("{member}:{}", escape(&card.uid)));
        }
        put(&mut out, "END:VCARD");
        out
    }

    fn picture(&self, out: &mut String, params: &str, bytes: &[u8]) {
        let Ok(kind) = pictures::kind_of(bytes) else { return };
        let content = STANDARD.encode(bytes);
        match self.version {
            Version::V3 => {
                let kind = kind.trim_start_matches("image/").to_ascii_uppercase();
                put(out, &format!("PHOTO;ENCODING=b;TYPE={kind}{params}:{content}"));
            }
            Version::V4 => put(out, &format!("PHOTO{params}:data:{kind};base64,{content}")),
        }
    }

    /// An address or number: its label as types if it is made of such, else beside it as Apple writes it.
    fn labelled(&self, out: &mut String, items: &mut usize, (name, first): (&str, bool), label: &str, value: &str) {
        let types: Vec<&str> = label.split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
        let token = |t: &&str| t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        let pref = match (first, self.version) {
            (false, _) => "",
            (true, Version::V3) => ";TYPE=pref",
            (true, Version::V4) => ";PREF=1",
        };
        if types.iter().all(token) && types.join(", ") == label {
            let types = if types.is_empty() { String::new() } else { format!(";TYPE={}", types.join(",")) };
            put(out, &format!("{name}{types}{pref}:{}", escape(value)));
        } else {
            *items += 1;
            put(out, &format!("hf{items}.{name}{pref}:{}", escape(value)));
            put(out, &format!("hf{items}.X-ABLabel:{}", escape(label)));
        }
    }
}

/// A stored line, which is one of vCard 4, as 3.0 has it.
fn for_v3(text: &str) -> String {
    let Some(line) = content_line(0, text) else { return text.to_owned() };
    let (head, value) = (&text[..text.len() - line.raw_value().len()], line.raw_value());
    let bare = head.strip_suffix(':').unwrap_or(head);
    match line.name() {
        "PHOTO" | "LOGO" | "SOUND" | "KEY" => {
            let Some((kind, content)) = value.strip_prefix("data:").and_then(|data| data.split_once(";base64,")) else {
                return text.to_owned();
            };
            let kind = match line.name() {
                "PHOTO" | "LOGO" => kind.trim_start_matches("image/").to_ascii_uppercase(),
                "SOUND" => kind.trim_start_matches("audio/").to_ascii_uppercase(),
                _ => kind.to_owned(),
            };
            format!("{bare};ENCODING=b;TYPE={kind}:{content}")
        }
        "BDAY" => match When::read(value) {
            // 3.0 has no date without a year; this is how Apple says it.
            When::Day { year: None, month, day } if value.starts_with("--") => {
                format!("{bare};X-APPLE-OMIT-YEAR=1604:1604-{month:02}-{day:02}")
            }
            _ => text.to_owned(),
        },
        "ANNIVERSARY" => format!("{}{}", head.replacen("ANNIVERSARY", "X-ANNIVERSARY", 1), value),
        _ if !line.param("PREF").is_empty() => format!("{}{value}", head.replacen(";PREF=1", ";TYPE=pref", 1)),
        _ => text.to_owned(),
    }
}

/// Write a line, folded.
fn put(out: &mut String, line: &str) {
    let mut rest = line;
    let mut room = FOLD_BYTES;
    while rest.len() > room {
        let (now, later) = rest.split_at(rest.floor_char_boundary(room));
        out.push_str(now);
        out.push_str("\r\n ");
        rest = later;
        room = FOLD_BYTES - 1;
    }
    out.push_str(rest);
    out.push_str("\r\n");
}
