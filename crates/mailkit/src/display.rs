//! The parts of a message that a reader page needs.

use crate::calendar;
use crate::files::{self, in_place};
use crate::flowed;
use crate::html::{self, CleanOptions};
use crate::layout::{Aside, Layout, Leaf, layout};
use crate::opened::{self, MAX_NESTING, Opened, uuencode};
use crate::parse::bare;
use crate::parsed::{Parsed, Part};
use crate::pictures::Pictures;
use crate::subject;
use crate::text::decoded_text;

pub use crate::files::{Attachment, files, is_within, part_content, part_number, part_place, part_type};
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
    /// What there is to say of the message, a sentence each: that it is encrypted or signed, what it invites to.
    pub notes: Vec<String>,
    /// The files that are listed: all of [`files()`] but the pictures that are shown in the text.
    pub attachments: Vec<Attachment>,
}

/// Makes a message ready to be read. `raw` may end after [`shown_bytes`].
pub fn show(raw: &[u8], parsed: &Parsed, options: &ReadOptions<'_>) -> Shown {
    let mut shown = show_within(raw, parsed, options, 0);
    shown.attachments = files(raw, parsed);
    shown.attachments.retain(|file| !file.shown);
    shown
}

/// What is said of OpenPGP messages, for which there is no key here.
const ENCRYPTED_PGP: &str = "Encrypted with OpenPGP. Open it in a program that has your key.";
/// The same of S/MIME.
const ENCRYPTED_SMIME: &str = "Encrypted with S/MIME. Open it in a program that has your key.";
/// What is said of signatures, which nobody here checks.
const SIGNED: &str = "Signed (not checked here).";

/// Texts and notes, those of containers with them; no files.
fn show_within(raw: &[u8], parsed: &Parsed, options: &ReadOptions<'_>, depth: usize) -> Shown {
    let layout = layout(parsed);
    let mut shown = Shown { text: shown_text(raw, &layout), ..Shown::default() };
    if layout.has_html() {
        shown_html(raw, &layout, options, &mut shown);
    }
    if shown.text.trim_start().starts_with("-----BEGIN PGP MESSAGE-----") {
        shown.note(ENCRYPTED_PGP);
    }
    for (why, leaf) in &layout.aside {
        match why {
            Aside::Signature => shown.note(SIGNED),
            Aside::EncryptionHead => shown.note(ENCRYPTED_PGP),
            Aside::Calendar => {
                let Some(event) = files::event_of(raw, leaf.part) else { continue };
                if shown.is_blank() {
                    shown.text = event.text();
                } else {
                    shown.note(&event.line());
                }
            }
            Aside::OtherForm | Aside::ResourceFork => {}
        }
    }
    for leaf in &layout.attachments {
        match files::opened(raw, leaf.part, depth) {
            Some(Opened::Encrypted) => shown.note(ENCRYPTED_SMIME),
            Some(Opened::Message(inner)) => {
                shown.note(SIGNED);
                let url = |part: &str| (options.inline_url)(&format!("{}-{part}", leaf.path));
                let options = ReadOptions { remote_images: options.remote_images, inline_url: &url };
                shown.add(show_within(&inner, &bare(&inner), &options, depth + 1));
            }
            Some(Opened::Files { text, html, .. }) if shown.is_blank() => {
                let html = html.filter(|_| text.trim().is_empty());
                let nothing = |_: &str| None;
                let clean = CleanOptions { remote_images: options.remote_images, inline_url: &nothing };
                let cleaned = html.as_deref().map(|html| html::clean(html, &clean));
                shown.add(Shown {
                    text: html.as_deref().map_or(text, html::to_text),
                    remote_images_blocked: cleaned.as_ref().map_or(0, |cleaned| cleaned.remote_images_blocked),
                    html: cleaned.map(|cleaned| cleaned.html),
                    ..Shown::default()
                });
            }
            _ => {}
        }
    }
    shown
}

impl Shown {
    /// Adds a note, once.
    fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
    }

    /// Whether the message has said nothing so far.
    fn is_blank(&self) -> bool {
        self.text.trim().is_empty() && !self.html.as_deref().is_some_and(|html| html.contains("<img"))
    }

    /// Adds what stood within a container.
    fn add(&mut self, inner: Self) {
        if self.html.is_some() || inner.html.is_some() {
            let html = |shown: &Self| shown.html.clone().unwrap_or_else(|| html::from_text(&shown.text));
            let own = if self.is_blank() { String::new() } else { html(self) };
            self.html = Some(own + &html(&inner));
        }
        if self.is_blank() {
            self.text = inner.text;
        } else {
            self.text.push_str("\n\n");
            self.text.push_str(&inner.text);
        }
        self.remote_images_blocked += inner.remote_images_blocked;
        for note in &inner.notes {
            self.note(note);
        }
    }
}

/// The text of a message, as [`show`] gives it, without its files.
pub fn text(raw: &[u8], parsed: &Parsed) -> String {
    let options = ReadOptions { remote_images: false, inline_url: &|_| String::new() };
    show_within(raw, parsed, &options, 0).text
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
            out.push_str(&plain(part, &text));
        }
    }
    out
}

/// A plain text as it was meant, without the files in it.
fn plain(part: &Part, text: &str) -> String {
    let text = flowed::plain(part, text);
    if text.contains("begin ") { uuencode::without_blocks(&text) } else { text }
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
            piece = html::from_text(&plain(part, &text));
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
    search_within(raw, parsed, 0, &mut out);
    out
}

fn search_within(raw: &[u8], parsed: &Parsed, depth: usize, out: &mut String) {
    let hint = parsed.header_hint();
    each_leaf(parsed, &mut |_, part| {
        if out.len() >= MAX_SEARCH_BYTES {
            return;
        }
        let mut say = |text: &str| {
            out.push_str(text);
            out.push('\n');
        };
        if let Some(name) = part.file_name_or(hint) {
            say(&name);
        } else if let Some(description) = &part.description {
            say(&crate::words::decode_text_or(description, hint));
        }
        if let Some(envelope) = &part.envelope {
            say(&crate::words::decode_text_or(envelope.subject.as_deref().unwrap_or_default(), hint));
        }
        if let Some(text) = decoded_text(raw, part, MAX_TEXT_BYTES) {
            if part.is_text("html") {
                say(&html::to_search_text(&text));
            } else {
                say(&text);
            }
            if part.is_text("calendar")
                && let Some(event) = calendar::event(&text)
            {
                say(&event.text());
            }
        }
        if depth >= MAX_NESTING {
            return;
        }
        let message = if opened::is_encoded_message(part) { opened::encoded_message(raw, part) } else { None };
        match message.map(Opened::Message).or_else(|| opened::open(raw, part)) {
            Some(Opened::Message(inner)) => {
                let parsed = bare(&inner);
                say(&parsed.subject);
                search_within(&inner, &parsed, depth + 1, out);
            }
            Some(Opened::Files { text, html, files }) => {
                say(&text);
                say(&html.as_deref().map(html::to_search_text).unwrap_or_default());
                for file in files {
                    say(&file.name);
                }
            }
            Some(Opened::Encrypted) | None => {}
        }
    });
}

/// Calls for every part that is no multipart, messages inside included, with its number.
pub(crate) fn each_leaf(parsed: &Parsed, visit: &mut dyn FnMut(&str, &Part)) {
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
