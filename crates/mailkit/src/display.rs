//! What a reader page needs of a message.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use crate::html::{self, CleanOptions};
use crate::layout::{Layout, Leaf, layout};
use crate::parsed::{Parsed, Part};
use crate::transfer::Encoding;
use crate::{charset, flowed, subject};

/// Longest text of one part that is shown or searched, in bytes; the rest is cut.
pub const MAX_TEXT_BYTES: usize = 2 * 1024 * 1024;

/// Longest text given for searching, in bytes.
pub const MAX_SEARCH_BYTES: usize = 4 * 1024 * 1024;

/// Longest file name given, in bytes.
const MAX_FILE_NAME_BYTES: usize = 200;

/// How to show a message.
pub struct ReadOptions<'a> {
    /// Load images from the net (they tell the sender who reads when).
    pub remote_images: bool,
    /// The address of an inline image, given its part number (`1.2`); shown in place of `cid:` links.
    pub inline_url: &'a (dyn Fn(&str) -> String + Sync),
}

/// A message made ready to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shown {
    /// The text; made from the HTML if the message has no text part.
    pub text: String,
    /// The HTML, cleaned, if the message has any.
    pub html: Option<String>,
    /// Remote images left out of `html`.
    pub remote_images_blocked: usize,
    /// Attachments, inline images that the HTML shows left out.
    pub attachments: Vec<Attachment>,
}

/// An attachment (or any part that one may want to save).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// IMAP part number (`2`, `1.3`).
    pub part: String,
    /// File name, decoded, without any path; made up if the message gives none.
    pub name: String,
    /// `type/subtype`.
    pub content_type: String,
    /// Decoded size in bytes (near enough, from the encoded size).
    pub size: u64,
    /// Content-ID without angle brackets.
    pub content_id: Option<String>,
    /// Meant to be shown inside the text.
    pub inline: bool,
}

/// Makes a message ready to be read.
pub fn show(raw: &[u8], parsed: &Parsed, options: &ReadOptions<'_>) -> Shown {
    let layout = layout(parsed);
    let mut shown = Shown { text: shown_text(raw, &layout), ..Shown::default() };
    let images = Images::of(parsed, options);
    if layout.html.iter().any(|leaf| is_text(leaf.part, "html")) {
        shown_html(raw, &layout, options, &images, &mut shown);
    }
    let used = images.used.into_inner().unwrap_or_else(PoisonError::into_inner);
    shown.attachments = layout.attachments.iter().filter(|leaf| !used.contains(&leaf.path)).map(attachment).collect();
    shown
}

/// How many of a message's first bytes [`show`] needs: what comes after them are attachments.
pub fn shown_bytes(parsed: &Parsed) -> u64 {
    let layout = layout(parsed);
    let end = |leaf: &Leaf<'_>| match leaf.part.media_type.as_str() {
        "text" => leaf.part.body_end.min(leaf.part.body_start + MAX_TEXT_BYTES.max(html::MAX_HTML_BYTES) as u64),
        _ => 0,
    };
    layout.text.iter().chain(&layout.html).map(end).max().unwrap_or_default()
}

fn is_text(part: &Part, subtype: &str) -> bool {
    part.media_type == "text" && part.subtype == subtype
}

fn shown_text(raw: &[u8], layout: &Layout<'_>) -> String {
    let mut out = String::new();
    for leaf in &layout.text {
        let part = leaf.part;
        let Some(text) = decoded_text(raw, part, MAX_TEXT_BYTES) else {
            continue;
        };
        if !out.is_empty() {
            out.push_str("\n\n");
        }
        if is_text(part, "html") {
            out.push_str(&html::to_text(&text));
        } else {
            out.push_str(&flowed::plain(part, &text));
        }
    }
    out
}

fn shown_html(raw: &[u8], layout: &Layout<'_>, options: &ReadOptions<'_>, images: &Images<'_>, shown: &mut Shown) {
    let mut out = String::new();
    for leaf in &layout.html {
        let part = leaf.part;
        if is_text(part, "html") {
            let Some(text) = decoded_text(raw, part, html::MAX_HTML_BYTES) else {
                continue;
            };
            let cleaned = html::clean(
                &text,
                &CleanOptions { remote_images: options.remote_images, inline_url: &|id| images.by_content_id(id) },
            );
            shown.remote_images_blocked += cleaned.remote_images_blocked;
            out.push_str(&cleaned.html);
        } else if part.media_type == "text" {
            if let Some(text) = decoded_text(raw, part, MAX_TEXT_BYTES) {
                out.push_str(&html::from_text(&flowed::plain(part, &text)));
            }
        } else if is_safe_image(part) {
            out.push_str("<p><img alt=\"\" src=\"");
            html::escape_into(&images.by_path(&leaf.path), &mut out);
            out.push_str("\"></p>");
        }
    }
    shown.html = Some(out);
}

/// The inline images of a message, and which of them its HTML shows.
struct Images<'a> {
    /// Content id to part number.
    paths: HashMap<String, String>,
    inline_url: &'a (dyn Fn(&str) -> String + Sync),
    used: Mutex<HashSet<String>>,
}

impl<'a> Images<'a> {
    fn of(parsed: &Parsed, options: &ReadOptions<'a>) -> Self {
        let mut paths = HashMap::new();
        each_leaf(parsed, &mut |path, part| {
            if is_safe_image(part)
                && let Some(id) = part.bare_content_id()
            {
                paths.entry(id.to_owned()).or_insert_with(|| path.to_owned());
            }
        });
        Self { paths, inline_url: options.inline_url, used: Mutex::default() }
    }

    fn by_content_id(&self, id: &str) -> Option<String> {
        Some(self.by_path(self.paths.get(id)?))
    }

    fn by_path(&self, path: &str) -> String {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.insert(path.to_owned());
        (self.inline_url)(path)
    }
}

/// Images that can not script. SVG is left out: it can.
fn is_safe_image(part: &Part) -> bool {
    part.media_type == "image"
        && matches!(part.subtype.as_str(), "png" | "gif" | "jpeg" | "jpg" | "pjpeg" | "webp" | "avif" | "bmp" | "x-png")
}

/// The attachments alone, from the stored record.
pub fn attachments(parsed: &Parsed) -> Vec<Attachment> {
    layout(parsed).attachments.iter().map(attachment).collect()
}

fn attachment(leaf: &Leaf<'_>) -> Attachment {
    let part = leaf.part;
    let disposition = part.disposition.as_ref().map(|d| d.kind.as_str());
    Attachment {
        part: leaf.path.clone(),
        name: safe_file_name(part),
        content_type: part.content_type(),
        size: decoded_size(part),
        content_id: part.bare_content_id().map(str::to_owned),
        inline: disposition != Some("attachment") && (leaf.in_related || disposition == Some("inline")),
    }
}

fn decoded_size(part: &Part) -> u64 {
    match part.encoding.as_str() {
        // Three bytes in four, and line breaks.
        "base64" => (part.octets() - 2 * part.lines.min(part.octets() / 2)) / 4 * 3,
        _ => part.octets(),
    }
}

/// A file name without path, control or direction characters.
fn safe_file_name(part: &Part) -> String {
    let given = part.file_name().unwrap_or_else(|| made_up_name(part));
    let last = given.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut name: String = last.chars().filter(|c| !c.is_control() && !is_direction_mark(*c)).collect();
    if name.len() > MAX_FILE_NAME_BYTES {
        // The end matters: it tells what the file is.
        let (stem, extension) = name.rsplit_once('.').unwrap_or((&name, ""));
        let extension = &extension[..extension.floor_char_boundary(20)];
        let room = MAX_FILE_NAME_BYTES - 1 - extension.len();
        name = format!("{}.{extension}", &stem[..stem.floor_char_boundary(room)]);
    }
    match name.trim().trim_start_matches('.') {
        "" => made_up_name(part),
        name => name.to_owned(),
    }
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn made_up_name(part: &Part) -> String {
    if let Some(envelope) = &part.envelope {
        let subject = envelope.subject.as_deref().unwrap_or_default();
        let subject = crate::words::decode_text(subject).replace(['/', '\\'], "_");
        let subject = subject.trim();
        let subject = if subject.is_empty() { "message" } else { subject };
        return format!("{}.eml", &subject[..subject.floor_char_boundary(100)]);
    }
    let extension = match part.content_type().as_str() {
        "text/plain" => "txt",
        "image/jpeg" => "jpg",
        "text/calendar" => "ics",
        other => mime_guess::get_mime_extensions_str(other).and_then(|list| list.first()).copied().unwrap_or("bin"),
    };
    format!("attachment.{extension}")
}

/// Where the bytes of a part are in its message, and how they are encoded. `None` if there is no such part.
pub fn part_place(parsed: &Parsed, part: &str) -> Option<(Range<u64>, Encoding)> {
    let part = parsed.part(&part_number(part)?)?;
    let encoding = Encoding::named(&part.encoding).unwrap_or(Encoding::Identity);
    Some((part.body_start..part.body_end, encoding))
}

/// The decoded bytes of a part by its number. `None` if there is no such part.
pub fn part_content(raw: &[u8], parsed: &Parsed, part: &str) -> Option<Vec<u8>> {
    let path = part_number(part)?;
    let part = parsed.part(&path)?;
    let body = body(raw, part)?;
    let content = charset::decode_transfer(&part.encoding, body);
    Some(content.map_or_else(|| body.to_vec(), |decoded| decoded.into_owned()))
}

/// A part number such as `1.2`, read.
pub fn part_number(text: &str) -> Option<Vec<u32>> {
    text.split('.').map(|number| number.parse().ok().filter(|n| *n > 0)).collect()
}

/// All readable text of a message for searching: text parts, HTML as text, names of attachments, and the same of the
/// messages inside; not the header.
pub fn search_text(raw: &[u8], parsed: &Parsed) -> String {
    let mut out = String::new();
    each_leaf(parsed, &mut |_, part| {
        if out.len() >= MAX_SEARCH_BYTES {
            return;
        }
        if let Some(name) = part.file_name() {
            out.push_str(&name);
            out.push('\n');
        }
        if let Some(envelope) = &part.envelope {
            let subject = envelope.subject.as_deref().unwrap_or_default();
            out.push_str(&crate::words::decode_text(subject));
            out.push('\n');
        }
        if let Some(text) = decoded_text(raw, part, MAX_TEXT_BYTES) {
            if is_text(part, "html") {
                out.push_str(&html::to_search_text(&text));
            } else {
                out.push_str(&text);
            }
            out.push('\n');
        }
    });
    out
}

/// Calls for every part that is no multipart, messages inside included, with its number.
fn each_leaf(parsed: &Parsed, visit: &mut dyn FnMut(&str, &Part)) {
    fn walk(part: &Part, path: &str, is_root: bool, visit: &mut dyn FnMut(&str, &Part)) {
        let numbered = |number: usize| match path {
            "" => number.to_string(),
            _ => format!("{path}.{number}"),
        };
        if part.is_multipart() {
            for (at, child) in part.parts.iter().enumerate() {
                walk(child, &numbered(at + 1), false, visit);
            }
            return;
        }
        // The only body of a message is its part 1.
        let own = if is_root { numbered(1) } else { path.to_owned() };
        visit(&own, part);
        if let Some(message) = part.embedded_message() {
            walk(message, &own, true, visit);
        }
    }
    walk(&parsed.root, "", true, visit);
}

fn body<'a>(raw: &'a [u8], part: &Part) -> Option<&'a [u8]> {
    // The record may belong to another message if the caller mixed them up: then there is no such part.
    raw.get(part.body_start as usize..part.body_end as usize)
}

/// The text of a text part; at most `max` encoded bytes are read. `raw` may end within it.
fn decoded_text(raw: &[u8], part: &Part, max: usize) -> Option<String> {
    if part.media_type != "text" {
        return None;
    }
    let body = raw.get(part.body_start as usize..raw.len().min(part.body_end as usize))?;
    let body = &body[..body.len().min(max)];
    let bytes = charset::decode_transfer(&part.encoding, body).unwrap_or(body.into());
    let text = charset::decode_charset(part.charset(), &bytes);
    Some(text.replace("\r\n", "\n"))
}

/// The text of a reply: an attribution line and the original with `> ` before each line.
pub fn quote(text: &str, attribution: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 16 + attribution.len());
    out.push_str(attribution);
    out.push('\n');
    for line in text.trim_end().lines() {
        // What is quoted already gets no space, so that depths line up: ">> ".
        out.push_str(if line.starts_with('>') || line.is_empty() { ">" } else { "> " });
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// `Re: ` (or `Fwd: `) once, whatever the subject had.
pub fn reply_subject(subject: &str, prefix: &str) -> String {
    format!("{} {}", prefix.trim_end(), subject::without_marks(subject)).trim_end().to_owned()
}
