//! The attachments of a message: one list that the page, the mark in lists, forwarding, downloads and searches all use.
//!
//! The rule: everything that the page does not show itself is a file, no matter where it is and what its disposition
//! says (RFC 2183 section 2.1: `inline` is a request about presentation; RFC 8621 section 4.1.4).

use std::collections::HashSet;
use std::ops::Range;

use crate::calendar::{self, Event};
use crate::charset;
use crate::html::{self, CleanOptions};
use crate::layout::{Aside, Layout, Leaf, layout};
use crate::names::{self, file_name};
use crate::opened::{self, InnerFile, MAX_NESTING, Opened, uuencode};
use crate::parse::bare;
use crate::parsed::{Parsed, Part};
use crate::pictures::{Pictures, head_range, may_be_sniffed, picture_kind, picture_kind_of};
use crate::text::{self, decoded_text};
use crate::transfer::Encoding;

/// Largest text that is looked at to tell that it is empty, in encoded bytes.
const MAX_BLANK_BYTES: u64 = 2 * 1024;

/// A file of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// IMAP part number (`2`, `1.3`), and after a dash, the number within a container (`2-1`).
    pub part: String,
    /// File name, decoded, without any path; made up if the message gives none.
    pub name: String,
    /// `type/subtype`; of a picture that pages can show, its true one.
    pub content_type: String,
    /// Decoded size in bytes (near enough, from the encoded size).
    pub size: u64,
    /// Content-ID without angle brackets.
    pub content_id: Option<String>,
    /// The page shows it in its place, so it is not listed; one who forwards the text takes it along.
    pub shown: bool,
}

/// All files of a message in their order, those that the page shows in its text among them, and what its containers hold
/// in their place. `raw` must reach as far as [`crate::display::shown_bytes`] says.
pub fn files(raw: &[u8], parsed: &Parsed) -> Vec<Attachment> {
    files_within(raw, parsed, 0)
}

fn files_within(raw: &[u8], parsed: &Parsed, depth: usize) -> Vec<Attachment> {
    let layout = layout(parsed);
    let shown = if layout.attachments.iter().any(|leaf| leaf.part.content_id.is_some()) {
        shown_pictures(raw, &layout)
    } else {
        shown_in_place(raw, &layout, &HashSet::new()).collect()
    };
    let mut out = Vec::new();
    for leaf in plain_texts(&layout) {
        let blocks = decoded_text(raw, leaf.part, text::MAX_TEXT_BYTES).map(|text| uuencode::blocks(&text));
        let files = blocks.unwrap_or_default().into_iter().map(|block| block.file);
        out.extend(inner_files(&leaf.path, files));
    }
    for leaf in listed(&layout).filter(|leaf| !is_blank(raw, leaf.part)) {
        match opened(raw, leaf.part, depth) {
            Some(Opened::Message(inner)) => {
                let within = files_within(&inner, &bare(&inner), depth + 1);
                out.extend(
                    within.into_iter().map(|file| Attachment { part: format!("{}-{}", leaf.path, file.part), ..file }),
                );
            }
            Some(Opened::Files { files, .. }) => out.extend(inner_files(&leaf.path, files.into_iter())),
            _ if is_told(raw, leaf, &layout) => {}
            _ => out.push(attachment(raw, leaf, shown.contains(&leaf.path), parsed.header_hint())),
        }
    }
    out
}

/// [`opened::open`], as deep as containers are opened.
pub(crate) fn opened(raw: &[u8], part: &Part, depth: usize) -> Option<Opened> {
    if depth < MAX_NESTING { opened::open(raw, part) } else { None }
}

/// The texts that may hold files.
fn plain_texts<'l, 'a>(layout: &'l Layout<'a>) -> impl Iterator<Item = &'l Leaf<'a>> {
    let mut seen = HashSet::new();
    layout.text.iter().chain(&layout.html).filter(move |leaf| leaf.part.is_text("plain") && seen.insert(&leaf.path))
}

fn inner_files(path: &str, files: impl Iterator<Item = InnerFile>) -> impl Iterator<Item = Attachment> {
    files.enumerate().map(move |(at, file)| {
        let name = names::clean(&file.name);
        Attachment {
            part: format!("{path}-{}", at + 1),
            content_type: names::type_of(&name),
            name: if name.is_empty() { "attachment.bin".to_owned() } else { name },
            size: file.content.len() as u64,
            content_id: None,
            shown: false,
        }
    })
}

/// Whether a calendar is told of in the message's text, which has words of its own besides.
fn is_told(raw: &[u8], leaf: &Leaf<'_>, layout: &Layout<'_>) -> bool {
    let is_aside = layout.aside.iter().any(|(why, aside)| *why == Aside::Calendar && aside.path == leaf.path);
    is_aside && !(layout.text.is_empty() && layout.html.is_empty()) && event_of(raw, leaf.part).is_some()
}

/// What a calendar part says.
pub(crate) fn event_of(raw: &[u8], part: &Part) -> Option<Event> {
    calendar::event(&decoded_text(raw, part, text::MAX_TEXT_BYTES)?)
}

/// Whether the page lists any file: what lists mark and `has:attachment` finds.
pub(crate) fn has_files(raw: &[u8], parsed: &Parsed, layout: &Layout<'_>) -> bool {
    // Whatever needs no look inside or into HTML, first.
    let certain = |leaf: &Leaf<'_>| {
        let part = leaf.part;
        !(opened::is_container(part) || part.is_text("calendar"))
            && picture_kind(raw, part).is_none()
            && !is_blank(raw, part)
    };
    let texts = plain_texts(layout).any(|leaf| {
        let body = text::body(raw, leaf.part).unwrap_or_default();
        leaf.part.encoding == "base64" || memchr::memmem::find(body, b"begin ").is_some()
    });
    listed(layout).any(certain)
        || ((texts || listed(layout).next().is_some()) && files(raw, parsed).iter().any(|file| !file.shown))
}

/// The parts that may be files.
fn listed<'l, 'a>(layout: &'l Layout<'a>) -> impl Iterator<Item = &'l Leaf<'a>> {
    let aside = layout.aside.iter().filter(|(why, _)| *why == Aside::Calendar).map(|(_, leaf)| leaf);
    layout.attachments.iter().chain(aside)
}

fn attachment(raw: &[u8], leaf: &Leaf<'_>, shown: bool, hint: Option<&str>) -> Attachment {
    let part = leaf.part;
    Attachment {
        part: leaf.path.clone(),
        name: file_name(part, leaf.siblings, hint),
        content_type: picture_kind(raw, part).map_or_else(|| part.content_type(), str::to_owned),
        size: decoded_size(part),
        content_id: part.bare_content_id().map(str::to_owned),
        shown,
    }
}

fn decoded_size(part: &Part) -> u64 {
    match part.encoding.as_str() {
        // Three bytes in four, and line breaks.
        "base64" => (part.octets() - 2 * part.lines.min(part.octets() / 2)) / 4 * 3,
        _ => part.octets(),
    }
}

/// The pictures that the page shows: those that its HTML asks for, and those that stand between its texts unnamed.
fn shown_pictures(raw: &[u8], layout: &Layout<'_>) -> HashSet<String> {
    let pictures = Pictures::of(raw, layout, &|_| String::new());
    if layout.has_html() && !pictures.is_empty() {
        for leaf in layout.html.iter().filter(|leaf| leaf.part.is_text("html")) {
            if let Some(text) = decoded_text(raw, leaf.part, html::MAX_HTML_BYTES) {
                html::clean(
                    &text,
                    &CleanOptions { remote_images: false, inline_url: &|id| pictures.by_content_id(id) },
                );
            }
        }
    }
    let mut used = pictures.used();
    let in_place: Vec<String> = shown_in_place(raw, layout, &used).collect();
    used.extend(in_place);
    used
}

/// The pictures that are shown where they stand, and need not be listed besides: they have no name.
fn shown_in_place<'l>(
    raw: &'l [u8],
    layout: &'l Layout<'_>,
    used: &'l HashSet<String>,
) -> impl Iterator<Item = String> + use<'l> {
    in_place(raw, layout, used).filter(|leaf| leaf.part.file_name().is_none()).map(|leaf| leaf.path.clone())
}

/// The pictures that the HTML page shows where they stand, since its HTML does not ask for them.
pub(crate) fn in_place<'l, 'a>(
    raw: &'l [u8],
    layout: &'l Layout<'a>,
    used: &'l HashSet<String>,
) -> impl Iterator<Item = &'l Leaf<'a>> + use<'l, 'a> {
    let leaves = if layout.has_html() { layout.html.as_slice() } else { &[] };
    leaves.iter().filter(move |leaf| {
        leaf.part.media_type != "text" && picture_kind(raw, leaf.part).is_some() && !used.contains(&leaf.path)
    })
}

/// Text that says nothing and that nobody named, as list servers and Exchange (`ATT00001.txt`) add it.
fn is_blank(raw: &[u8], part: &Part) -> bool {
    if part.media_type != "text" || part.octets() > MAX_BLANK_BYTES {
        return false;
    }
    let nobody_named = part.file_name().is_none_or(|name| {
        let stem = name.strip_prefix("ATT").and_then(|rest| rest.split_once('.'));
        stem.is_some_and(|(number, _)| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
    });
    nobody_named
        && decoded_text(raw, part, text::MAX_TEXT_BYTES).is_some_and(|text| {
            let shows = part.is_text("html") && text.to_ascii_lowercase().contains("<img");
            let words = if part.is_text("html") { html::to_search_text(&text) } else { text };
            !shows && words.trim().is_empty()
        })
}

/// How many first bytes of the message the list of its files depends on.
pub(crate) fn needed_bytes(layout: &Layout<'_>) -> u64 {
    let end = |leaf: &Leaf<'_>| {
        let part = leaf.part;
        let blank = part.media_type == "text" && part.octets() <= MAX_BLANK_BYTES;
        let whole = blank || opened::is_container(part) || part.is_text("calendar");
        if whole {
            part.body_end
        } else if may_be_sniffed(part) {
            head_range(part).end
        } else {
            0
        }
    };
    listed(layout).map(end).max().unwrap_or_default()
}

/// The media type of a part by its number, that of a picture made certain with the bytes that `read` gives of a range of
/// the message. `None` if there is no such part, or it holds others.
pub fn part_type<E>(
    parsed: &Parsed,
    part: &str,
    read: impl FnOnce(Range<u64>) -> Result<Vec<u8>, E>,
) -> Result<Option<String>, E> {
    let found = part_number(part).and_then(|path| parsed.part(&path)).filter(|part| !part.is_multipart());
    let Some(part) = found else { return Ok(None) };
    let head = if may_be_sniffed(part) { read(head_range(part))? } else { Vec::new() };
    Ok(Some(picture_kind_of(part, &head).map_or_else(|| part.content_type(), str::to_owned)))
}

/// Where the bytes of a part are in its message, and how they are encoded. `None` if there is no such part.
pub fn part_place(parsed: &Parsed, part: &str) -> Option<(Range<u64>, Encoding)> {
    let part = parsed.part(&part_number(part)?)?;
    let encoding = Encoding::named(&part.encoding).unwrap_or(Encoding::Identity);
    Some((part.body_start..part.body_end, encoding))
}

/// The decoded bytes of a part or of what a container holds by its number. `None` if there is no such part.
pub fn part_content(raw: &[u8], parsed: &Parsed, part: &str) -> Option<Vec<u8>> {
    content_within(raw, parsed, part, 0)
}

fn content_within(raw: &[u8], parsed: &Parsed, number: &str, depth: usize) -> Option<Vec<u8>> {
    let (own, within) = number.split_once('-').map_or((number, None), |(own, within)| (own, Some(within)));
    let part = parsed.part(&part_number(own)?)?;
    let Some(within) = within else {
        let body = text::body(raw, part)?;
        let content = charset::decode_transfer(&part.encoding, body);
        return Some(content.map_or_else(|| body.to_vec(), |decoded| decoded.into_owned()));
    };
    let nth = || within.parse::<usize>().ok()?.checked_sub(1);
    if part.is_text("plain") {
        let text = decoded_text(raw, part, text::MAX_TEXT_BYTES)?;
        return Some(uuencode::blocks(&text).into_iter().nth(nth()?)?.file.content);
    }
    match opened(raw, part, depth)? {
        Opened::Message(inner) => content_within(&inner, &bare(&inner), within, depth + 1),
        Opened::Files { files, .. } => Some(files.into_iter().nth(nth()?)?.content),
        Opened::Encrypted => None,
    }
}

/// Whether a number names something within a container, for which the whole message must be read.
pub fn is_within(part: &str) -> bool {
    part.contains('-')
}

/// A part number such as `1.2`, read.
pub fn part_number(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|number| number.parse().ok().filter(|n| *n > 0)).collect()
}
