//! What a reader page needs of a message.

use crate::files::{self, in_place};
use crate::flowed;
use crate::html::{self, CleanOptions};
use crate::layout::{Layout, Leaf, layout};
use crate::parsed::{Parsed, Part};
use crate::pictures::Pictures;
use crate::subject;
use crate::text::decoded_text;

pub use crate::files::{Attachment, files, part_content, part_number, part_place, part_type};
pub use crate::text::MAX_TEXT_BYTES;

/// Longest text given for searching, in bytes.
pub const MAX_SEARCH_BYTES: usize = 4 * 1024 * 1024;

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
    /// The files that are listed: all of [`files()`] but the pictures that are shown in the text.
    pub attachments: Vec<Attachment>,
}

/// Makes a message ready to be read. `raw` may end after [`shown_bytes`].
pub fn show(raw: &[u8], parsed: &Parsed, options: &ReadOptions<'_>) -> Shown {
    let layout = layout(parsed);
    let mut shown = Shown { text: shown_text(raw, &layout), ..Shown::default() };
    if layout.has_html() {
        shown_html(raw, &layout, options, &mut shown);
    }
    shown.attachments = files(raw, parsed);
    shown.attachments.retain(|file| !file.shown);
    shown
}

/// How many of a message's first bytes [`show`] needs: what comes after them are attachments.
pub fn shown_bytes(parsed: &Parsed) -> u64 {
    let layout = layout(parsed);
    let end = |leaf: &Leaf<'_>| match leaf.part.media_type.as_str() {
        "text" => leaf.part.body_end.min(leaf.part.body_start + MAX_TEXT_BYTES.max(html::MAX_HTML_BYTES) as u64),
        _ => 0,
    };
    let texts = layout.text.iter().chain(&layout.html).map(end).max().unwrap_or_default();
    texts.max(files::needed_bytes(&layout))
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
        if part.is_text("html") {
            out.push_str(&html::to_text(&text));
        } else {
            out.push_str(&flowed::plain(part, &text));
        }
    }
    out
}

fn shown_html(raw: &[u8], layout: &Layout<'_>, options: &ReadOptions<'_>, shown: &mut Shown) {
    let pictures = Pictures::of(raw, layout, options.inline_url);
    let mut pieces: Vec<(&Leaf<'_>, String)> = Vec::new();
    for leaf in &layout.html {
        let part = leaf.part;
        let mut piece = String::new();
        if part.is_text("html") {
            if let Some(text) = decoded_text(raw, part, html::MAX_HTML_BYTES) {
                let cleaned = html::clean(
                    &text,
                    &CleanOptions {
                        remote_images: options.remote_images,
                        inline_url: &|id| pictures.by_content_id(id),
                    },
                );
                shown.remote_images_blocked += cleaned.remote_images_blocked;
                piece = cleaned.html;
            }
        } else if let Some(text) = decoded_text(raw, part, MAX_TEXT_BYTES) {
            piece = html::from_text(&flowed::plain(part, &text));
        }
        pieces.push((leaf, piece));
    }
    // Known only now: a picture that any of the HTML asks for is not shown once more where it stands.
    let used = pictures.used();
    for leaf in in_place(raw, layout, &used) {
        if let Some((_, piece)) = pieces.iter_mut().find(|(other, _)| other.path == leaf.path) {
            piece.push_str("<p><img alt=\"\" src=\"");
            html::escape_into(&(options.inline_url)(&leaf.path), piece);
            piece.push_str("\"></p>");
        }
    }
    shown.html = Some(pieces.into_iter().map(|(_, piece)| piece).collect());
}

/// All readable text of a message for searching: text parts, HTML as text, names of attachments, and the same of the
/// messages inside; not the header.
pub fn search_text(raw: &[u8], parsed: &Parsed) -> String {
    let mut out = String::new();
    each_leaf(parsed, &mut |_, part| {
        if out.len() >= MAX_SEARCH_BYTES {
            return;
        }
        if let Some(name) = part.file_name_or(parsed.header_hint()) {
            out.push_str(&name);
            out.push('\n');
        } else if let Some(description) = &part.description {
            out.push_str(&crate::words::decode_text_or(description, parsed.header_hint()));
            out.push('\n');
        }
        if let Some(envelope) = &part.envelope {
            let subject = envelope.subject.as_deref().unwrap_or_default();
            out.push_str(&crate::words::decode_text_or(subject, parsed.header_hint()));
            out.push('\n');
        }
        if let Some(text) = decoded_text(raw, part, MAX_TEXT_BYTES) {
            if part.is_text("html") {
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
