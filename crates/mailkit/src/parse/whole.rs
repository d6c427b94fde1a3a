//! Reading a message as a whole: also what it contains, for mark and preview.

use super::{MAX_PREVIEW_CHARS, PREVIEW_TEXT_BYTES, bare};
use crate::{
    display::{self, ReadOptions},
    files::has_files,
    glimpse,
    layout::{Leaf, layout},
    opened::{is_container, uuencode},
    parsed::Parsed,
    text::decoded_text,
};

/// Bytes of a text part looked at for the preview; HTML begins with much that is not shown.
const PREVIEW_HTML_BYTES: usize = 128 * 1024;

/// Reads a message. Never fails and never panics, whatever the bytes; linear in their number.
pub fn parse(raw: &[u8]) -> Parsed {
    let mut parsed = bare(raw);
    let layout = layout(&parsed);
    let has_attachment = has_files(raw, &parsed, &layout);
    let own = layout.text.iter().map(|leaf| preview(raw, leaf)).find(|text| !text.is_empty());
    let boxed = !layout.aside.is_empty() || layout.attachments.iter().any(|leaf| is_container(leaf.part));
    let preview = own.or_else(|| boxed.then(|| inner_preview(raw, &parsed))).unwrap_or_default();
    parsed.has_attachment = has_attachment;
    parsed.preview = preview;
    parsed
}

/// The first words of what containers and invitations say, or of what there is to say of the message.
fn inner_preview(raw: &[u8], parsed: &Parsed) -> String {
    let options = ReadOptions { remote_images: false, inline_url: &|_| String::new() };
    let shown = display::show(raw, parsed, &options);
    let words = shown.html.as_deref().map_or(shown.text, glimpse::words);
    let text = collapse(words.lines());
    if text.is_empty() { collapse(shown.notes.iter().map(String::as_str)) } else { text }
}

/// The first words of a text part, quotes left out.
fn preview(raw: &[u8], leaf: &Leaf<'_>) -> String {
    let part = leaf.part;
    if part.media_type != "text" {
        return String::new();
    }
    let is_html = part.subtype == "html";
    let limit = if is_html { PREVIEW_HTML_BYTES } else { PREVIEW_TEXT_BYTES };
    let Some(mut text) = decoded_text(raw, part, limit) else {
        return String::new();
    };
    if is_html {
        text = glimpse::words(&text);
    } else if text.contains("begin ") {
        text = uuencode::without_blocks(&text);
    }
    let unquoted = text.lines().filter(|line| !line.starts_with('>'));
    let short = collapse(unquoted);
    if short.is_empty() { collapse(text.lines()) } else { short }
}

fn collapse<'a>(lines: impl Iterator<Item = &'a str>) -> String {
    let mut out = String::new();
    let mut chars = 0;
    for word in lines.flat_map(str::split_whitespace) {
        // Invisible padding is what newsletters put behind their preheader.
        let word = word.trim_matches(is_invisible);
        if word.is_empty() {
            continue;
        }
        if chars > 0 {
            out.push(' ');
            chars += 1;
        }
        for c in word.chars() {
            if chars >= MAX_PREVIEW_CHARS {
                out.truncate(out.trim_end().len());
                return out;
            }
            if !c.is_control() {
                out.push(c);
                chars += 1;
            }
        }
    }
    out.truncate(out.trim_end().len());
    out
}

fn is_invisible(c: char) -> bool {
    matches!(c, '\u{34f}' | '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{fffd}') || c.is_control()
}
