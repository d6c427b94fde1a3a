//! What attached documents say: PDF, office files (OOXML and OpenDocument), RTF, and text under another name.
//!
//! All of it is untrusted. Each document has a [`Budget`]: of bytes as sent, of bytes unpacked, of steps, of text. What
//! does not fit is left out, and [`Documents::unread`] counts the documents of which not all could be read: encrypted
//! ones, damaged ones, pictures of text. A panic costs the document in which it happens.

mod budget;
mod office;
mod pdf;
mod zip;

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::charset;
use crate::files;
use crate::opened::{self, MAX_NESTING, Opened};
use crate::parse::bare;
use crate::parsed::{Parsed, Part};
use crate::{html, rtf};
use budget::{Budget, Reading};

/// Largest document that is read, in bytes as sent.
pub const MAX_DOCUMENT_BYTES: u64 = 24 * 1024 * 1024;
/// Documents of one message that are read.
pub const MAX_DOCUMENTS: usize = 50;
/// Bytes to which all parts of one document may unpack.
pub const MAX_UNPACKED_BYTES: usize = 64 * 1024 * 1024;
/// Text of one message's documents that is read, in bytes.
pub const MAX_DOCUMENTS_TEXT_BYTES: usize = 2 * 1024 * 1024;
/// Steps of reading one document: operators, tags, objects.
const MAX_STEPS: usize = 4_000_000;

/// What the documents of a message say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Documents {
    /// Their texts, one after the other.
    pub text: String,
    /// How many of them could not be read, or not to their end.
    pub unread: usize,
}

/// What kind of document a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Pdf,
    /// A ZIP of XML files, as office programs write it.
    Office,
    Rtf,
    Html,
    Plain,
    /// An office file of a kind that is not read.
    Old,
}

fn kind(content_type: &str, name: &str) -> Option<Kind> {
    let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).unwrap_or_default();
    Some(match (content_type, ending.as_str()) {
        ("application/pdf" | "application/x-pdf", _) | (_, "pdf") => Kind::Pdf,
        ("application/rtf" | "text/rtf" | "text/richtext", _) | (_, "rtf") => Kind::Rtf,
        (_, "docx" | "docm" | "dotx" | "xlsx" | "xlsm" | "xltx" | "pptx" | "pptm" | "ppsx" | "potx") => Kind::Office,
        (_, "odt" | "ods" | "odp" | "odg" | "ott" | "ots" | "otp") => Kind::Office,
        (_, "doc" | "xls" | "ppt") => Kind::Old,
        (kind, _) if kind.starts_with("application/vnd.openxmlformats-officedocument.") => Kind::Office,
        (kind, _) if kind.starts_with("application/vnd.oasis.opendocument.") => Kind::Office,
        ("application/msword" | "application/vnd.ms-excel" | "application/vnd.ms-powerpoint", _) => Kind::Old,
        // Text parts are part of the message's text.
        (kind, _) if kind.starts_with("text/") => return None,
        ("application/xhtml+xml", _) | (_, "html" | "htm" | "xhtml") => Kind::Html,
        ("application/json", _) | (_, "txt" | "text" | "csv" | "tsv" | "md" | "log" | "json" | "yaml" | "yml") => {
            Kind::Plain
        }
        _ => return None,
    })
}

/// Whether a message may have a document that is read.
pub fn are_in(parsed: &Parsed) -> bool {
    fn any(part: &Part, hint: Option<&str>) -> bool {
        kind_of(part, hint).is_some()
            || opened::is_container(part)
            || opened::is_encoded_message(part)
            || part.parts.iter().any(|part| any(part, hint))
            || part.embedded_message().is_some_and(|part| any(part, hint))
    }
    any(&parsed.root, parsed.header_hint())
}

fn kind_of(part: &Part, hint: Option<&str>) -> Option<Kind> {
    kind(&part.content_type(), &part.file_name_or(hint).unwrap_or_default())
}

/// What the documents of a message say; `raw` may be its beginning.
pub fn texts(raw: &[u8], parsed: &Parsed) -> Documents {
    let mut all = Documents::default();
    let mut count = 0;
    within(raw, parsed, 0, &mut count, &mut all);
    all
}

fn within(raw: &[u8], parsed: &Parsed, depth: usize, count: &mut usize, all: &mut Documents) {
    let hint = parsed.header_hint();
    crate::display::each_leaf(parsed, &mut |_, part| {
        if let Some(kind) = kind_of(part, hint) {
            let bytes = raw.get(part.body_start as usize..part.body_end as usize);
            let bytes = bytes.filter(|_| part.octets() <= MAX_DOCUMENT_BYTES);
            match bytes.and_then(|bytes| charset::decode_transfer(&part.encoding, bytes)) {
                Some(bytes) => add(kind, &bytes, count, all),
                None => all.unread += 1,
            }
        }
        if opened::is_encoded_message(part) && depth < MAX_NESTING {
            if let Some(inner) = opened::encoded_message(raw, part) {
                within(&inner, &bare(&inner), depth + 1, count, all);
            }
            return;
        }
        match files::opened(raw, part, depth) {
            Some(Opened::Message(inner)) => within(&inner, &bare(&inner), depth + 1, count, all),
            Some(Opened::Files { files, .. }) => {
                for file in files {
                    if let Some(kind) = kind("", &file.name) {
                        add(kind, &file.content, count, all);
                    }
                }
            }
            Some(Opened::Encrypted) | None => {}
        }
    });
}

fn add(kind: Kind, bytes: &[u8], count: &mut usize, all: &mut Documents) {
    let room = MAX_DOCUMENTS_TEXT_BYTES.saturating_sub(all.text.len());
    *count += 1;
    if room == 0 || *count > MAX_DOCUMENTS {
        all.unread += 1;
        return;
    }
    let mut budget = Budget::new(MAX_UNPACKED_BYTES, MAX_STEPS, room);
    let mut reading = catch_unwind(AssertUnwindSafe(|| read(kind, bytes, &mut budget))).ok().flatten();
    if let Some(reading) = &mut reading
        && reading.text.len() > room
    {
        reading.text.truncate(reading.text.floor_char_boundary(room));
        reading.is_partial = true;
    }
    match reading {
        Some(reading) => {
            all.text.push_str(&reading.text);
            all.text.push('\n');
            all.unread += usize::from(reading.is_partial);
        }
        None => all.unread += 1,
    }
}

/// Reads a document; `None` if nothing in it can be read.
fn read(kind: Kind, bytes: &[u8], budget: &mut Budget) -> Option<Reading> {
    let whole = |text: String| Some(Reading { text, is_partial: false });
    let plain = |bytes: &[u8]| charset::decode_charset_or(None, None, &bytes[..bytes.len().min(2 << 20)]);
    // What a file is called says less than how it begins.
    let begins = bytes.get(..bytes.len().min(1_024))?;
    match kind {
        _ if memchr::memmem::find(begins, b"%PDF-").is_some() => pdf::read(bytes, budget),
        _ if begins.starts_with(b"PK\x03\x04") => office::read(bytes, budget),
        _ if begins.starts_with(b"{\\rtf") => whole(rtf::to_text(bytes)),
        Kind::Html => whole(html::to_search_text(&plain(bytes))),
        Kind::Plain => whole(plain(bytes)),
        Kind::Pdf | Kind::Office | Kind::Rtf | Kind::Old => None,
    }
}
