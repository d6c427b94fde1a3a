//! From raw bytes to [`Parsed`].

mod whole;

use std::collections::HashSet;

use crate::layout::layout;
use crate::parsed::{Address, DisplayAddress, Envelope, Parsed, Part};
use crate::text::said_charset;
use crate::words::decode_text_or;
use crate::{address, charset, date, headers, scan, subject};

pub use crate::envelope::MAX_ADDRESSES;
pub use crate::scan::{MAX_DEPTH, MAX_HEADER_BYTES, MAX_KEPT_BYTES, MAX_PARTS, MAX_VALUE_BYTES};
pub use whole::parse;

/// Bytes of a text part looked at for the preview.
const PREVIEW_TEXT_BYTES: usize = 8 * 1024;

/// Characters kept as preview.
pub const MAX_PREVIEW_CHARS: usize = 256;

/// Ancestors kept of one message: the first and the last ones.
pub const MAX_REFERENCES: usize = 100;

/// Longest message id kept, in bytes; longer ones are cut.
pub const MAX_ID_BYTES: usize = 255;

/// Decoded addresses kept of each field for showing (IMAP's envelope keeps more).
pub const MAX_SHOWN_ADDRESSES: usize = 200;

/// The header fields that mail programs list messages by: kept with what is parsed, so that a list of a mailbox reads no
/// message.
pub const LISTED_FIELDS: [&str; 26] = [
    "Date",
    "From",
    "Sender",
    "Reply-To",
    "To",
    "Cc",
    "Bcc",
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "Content-Type",
    "Content-Description",
    "MIME-Version",
    "Newsgroups",
    "Lines",
    "Priority",
    "X-Priority",
    "Importance",
    "List-Id",
    "List-Post",
    "List-Subscribe",
    "List-Unsubscribe",
    "X-Label",
    "X-Original-To",
    "Delivered-To",
];
/// Longest [`Parsed::listed_header`], in bytes.
pub const MAX_LISTED_BYTES: usize = 4 * 1024;

/// What can be told without opening what the message contains: all but mark and preview.
pub(crate) fn bare(raw: &[u8]) -> Parsed {
    let scanned = scan::scan(raw);
    let mut parsed =
        Parsed { size: raw.len() as u64, root: scanned.root, truncated: scanned.truncated, ..Parsed::default() };
    parsed.header_charset = header_charset(raw, &parsed);
    read_envelope(scanned.envelope, &mut parsed);
    let header = &raw[..(parsed.root.body_start as usize).min(MAX_HEADER_BYTES)];
    parsed.references = references(header, &parsed);
    parsed.listed_header = listed_header(header, &parsed);
    parsed.is_reply |= !parsed.references.is_empty();
    parsed
}

/// The character set of raw 8-bit text in the header: that which the message names for its text, else the one that the
/// text and the header look most like. Empty if there is no need for it.
fn header_charset(raw: &[u8], parsed: &Parsed) -> String {
    let header = &raw[..(parsed.root.body_start as usize).min(MAX_HEADER_BYTES)];
    if std::str::from_utf8(header).is_ok() && !has_raw_text(&parsed.root) {
        return String::new();
    }
    let layout = layout(parsed);
    let texts = || layout.text.iter().chain(&layout.html).map(|leaf| leaf.part);
    texts().find_map(|part| said_charset(raw, part)).unwrap_or_else(|| {
        let mut sample: Vec<u8> =
            headers::fields(header).flat_map(|field| field.value).copied().filter(|b| !b.is_ascii_control()).collect();
        if let Some(part) = texts().find(|part| part.media_type == "text") {
            let body = &raw[part.body_start as usize..part.body_end as usize];
            let body = &body[..body.len().min(PREVIEW_TEXT_BYTES)];
            sample.extend_from_slice(&charset::decode_transfer(&part.encoding, body).unwrap_or_default());
        }
        charset::detect_charset(&sample).to_owned()
    })
}

/// Whether the fields of a part or of those within have text that is not UTF-8.
fn has_raw_text(part: &Part) -> bool {
    let disposed = part.disposition.iter().flat_map(|disposition| &disposition.params);
    let mut values = part.params.iter().chain(disposed).map(|param| &param.value).chain(&part.description);
    values.any(|value| std::str::from_utf8(value).is_err()) || part.parts.iter().any(has_raw_text)
}

/// The fields that lists ask for; nothing if the header was cut, since some might be missing.
fn listed_header(header: &[u8], parsed: &Parsed) -> Option<Vec<u8>> {
    let whole = header.len() as u64 == parsed.root.body_start;
    let listed = whole.then(|| headers::select(header, &LISTED_FIELDS, false))?;
    (listed.len() <= MAX_LISTED_BYTES).then_some(listed)
}

fn read_envelope(envelope: Envelope, parsed: &mut Parsed) {
    let raw = envelope.subject.as_deref().unwrap_or_default();
    decode_text_or(raw, parsed.header_hint()).trim().clone_into(&mut parsed.subject);
    (parsed.base_subject, parsed.is_reply) = subject::base(&parsed.subject);
    parsed.from = shown(&envelope.from, parsed.header_hint());
    parsed.to = shown(&envelope.to, parsed.header_hint());
    parsed.cc = shown(&envelope.cc, parsed.header_hint());
    parsed.bcc = shown(&envelope.bcc, parsed.header_hint());
    if envelope.reply_to != envelope.from {
        parsed.reply_to = shown(&envelope.reply_to, parsed.header_hint());
    }
    if let Some(id) = &envelope.message_id {
        parsed.message_id = ids(id).next().unwrap_or_default();
    }
    parsed.date_ms = envelope.date.as_deref().and_then(|date| date::parse(&decode_text_or(date, parsed.header_hint())));
    parsed.envelope = envelope;
}

/// Addresses decoded for people; group marks left out.
fn shown(list: &[Address], hint: Option<&str>) -> Vec<DisplayAddress> {
    list.iter()
        .filter_map(|entry| {
            let host = entry.host.as_deref()?;
            let mailbox = entry.mailbox.as_deref().unwrap_or_default();
            let mut text = one_line(&String::from_utf8_lossy(mailbox));
            if !host.is_empty() {
                let host = one_line(&String::from_utf8_lossy(host));
                let host = host.strip_suffix('.').unwrap_or(&host);
                // Written so that it can be read again, and answered.
                text = format!("{}@{host}", address::quoted_local(&text));
            }
            Some(DisplayAddress {
                name: decode_text_or(entry.name.as_deref().unwrap_or_default(), hint).trim().to_owned(),
                address: text,
            })
        })
        .take(MAX_SHOWN_ADDRESSES)
        .collect()
}

fn one_line(text: &str) -> String {
    text.replace(|c: char| c.is_control(), " ")
}

/// Message ids in a value: what stands in angle brackets, or, if nothing does, its words.
pub(crate) fn ids(value: &[u8]) -> impl Iterator<Item = String> {
    let text = String::from_utf8_lossy(value).into_owned();
    let mut found = Vec::new();
    if text.contains('<') {
        let mut rest = text.as_str();
        while let Some(start) = rest.find('<') {
            rest = &rest[start + 1..];
            let end = rest.find(['>', '<']).unwrap_or(rest.len());
            found.push(&rest[..end]);
            rest = &rest[end..];
        }
    } else {
        found.extend(text.split_whitespace());
    }
    let ids: Vec<String> = found
        .into_iter()
        .map(|id| {
            let mut id: String = id.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect();
            id.truncate(id.floor_char_boundary(MAX_ID_BYTES));
            id
        })
        .filter(|id| !id.is_empty())
        .collect();
    ids.into_iter()
}

fn references(header: &[u8], parsed: &Parsed) -> Vec<String> {
    let references = headers::value(header, "references").unwrap_or_default();
    let in_reply_to = parsed.envelope.in_reply_to.as_deref().unwrap_or_default();
    // In-Reply-To may hold anything ("your message of Monday"): only ids count.
    let in_reply_to = ids(in_reply_to).filter(|id| id.contains('@'));
    let mut seen = HashSet::new();
    let mut all: Vec<String> =
        ids(&references).chain(in_reply_to).filter(|id| *id != parsed.message_id && seen.insert(id.clone())).collect();
    if all.len() > MAX_REFERENCES {
        // The first names the conversation, the last are the nearest.
        let last = all.len() - MAX_REFERENCES + 1;
        all.drain(1..last);
    }
    all
}
