//! A message passed on as it looks: its HTML below the note, with its pictures.
//!
//! What is passed on is not in the text that is edited: an HTML message keeps its looks only if nobody retypes it. A draft holds
//! it as part of its HTML, behind a mark, so that it is still there when the draft is gone on with, or when the message
//! it came from is not.

use std::collections::BTreeSet;

use bytes::Bytes;
use mailkit::compose::NewAttachment;
use mailkit::display::{self, ReadOptions};
use mailkit::html;
use mailstore::Email;
use parking_lot::Mutex;

use super::parts::Attached;
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::message;
use crate::templates::Form;
use crate::text::escape;

/// Stands before what is passed on, in the text.
pub const SEPARATOR: &str = "-------- Forwarded message --------";
/// And in the HTML; the cleaner leaves it as it is.
const MARK: &str = "<div class=\"m-forwarded\">";
/// Value of the form's field: the original goes along.
pub const KEPT: &str = "html";

/// What is passed on.
pub struct Original {
    /// Its style sheet.
    style: String,
    /// Header and content, from [`MARK`] on.
    html: String,
    /// The same as text, from [`SEPARATOR`] on.
    pub text: String,
    /// Pictures that it shows.
    pub pictures: Vec<NewAttachment>,
    /// Its other files.
    pub files: Vec<Attached>,
}

/// The original that the form passes on as it looks, if it does.
pub fn original(caller: &Caller, form: &Form) -> Result<Option<Original>> {
    if form.original != KEPT {
        return Ok(None);
    }
    // What the draft holds; what it came from, where there is no draft yet or it was sent or thrown away elsewhere.
    if let Some((email, raw)) = found(caller, &form.draft)?
        && let Some((_, original)) = of_draft(&email, &raw)
    {
        return Ok(Some(original));
    }
    let from = form.answers.strip_prefix("forward:").unwrap_or_default();
    match found(caller, from)? {
        Some((email, raw)) => Ok(Some(of_message(caller, &email, &raw))),
        None => Err(Fault::Bad(
            "The original message no longer exists. To send only your text, uncheck the original.".to_owned(),
        )),
    }
}

/// Names of the pictures that go along inside of it.
pub fn pictures(caller: &Caller, form: &Form) -> Vec<String> {
    let original = original(caller, form).ok().flatten();
    original.into_iter().flat_map(|original| original.pictures).map(|picture| picture.name).collect()
}

fn found(caller: &Caller, id: &str) -> Result<Option<(Email, Bytes)>> {
    if id.is_empty() {
        return Ok(None);
    }
    match message::load(caller, id) {
        Ok(found) => Ok(Some(found)),
        Err(Fault::NotFound(_)) => Ok(None),
        Err(fault) => Err(fault),
    }
}

/// A message as it is passed on.
fn of_message(caller: &Caller, email: &Email, raw: &[u8]) -> Original {
    let (style, content, pictures, files) = looks(email, raw);
    let header = super::parts::forwarded_header(caller, email);
    let mut html = format!("{MARK}<p>{SEPARATOR}");
    for line in header.lines() {
        html.push_str("<br>");
        escape(&mut html, line);
    }
    html.push_str(&format!("</p>{content}</div>"));
    let text = display::text(raw, &email.parsed);
    Original { style, html, text: format!("{SEPARATOR}\n{header}\n{}", text.trim_end()), pictures, files }
}

/// The note of a draft, and what it passes on, if it does.
pub fn of_draft(email: &Email, raw: &[u8]) -> Option<(String, Original)> {
    let (style, content, pictures, files) = looks(email, raw);
    let html = content[content.find(MARK)?..].to_owned();
    let text = display::text(raw, &email.parsed);
    let at = text.find(SEPARATOR)?;
    let note = text[..at].trim_end().to_owned();
    Some((note, Original { style, html, text: text[at..].trim_end().to_owned(), pictures, files }))
}

/// Style sheet and HTML of a message, cleaned; the pictures that it shows, and its other files.
pub fn looks(email: &Email, raw: &[u8]) -> (String, String, Vec<NewAttachment>, Vec<Attached>) {
    let used = Mutex::new(BTreeSet::new());
    let id_of = |part: &str| format!("part{part}@forwarded");
    let inline_url = |part: &str| {
        used.lock().insert(part.to_owned());
        format!("cid:{}", id_of(part))
    };
    // Pictures from elsewhere stay where they are: whether they are loaded is for the next reader to say.
    let options = ReadOptions { remote_images: true, inline_url: &inline_url };
    let shown = display::show(raw, &email.parsed, &options);
    let html = shown.html.unwrap_or_default();
    let end = if html.starts_with("<style>") { html.find("</style>").map_or(0, |at| at + "</style>".len()) } else { 0 };
    let (style, content) = html.split_at(end);
    let all = display::files(raw, &email.parsed);
    let pictures = used.into_inner().into_iter().filter_map(|part| {
        let known = all.iter().find(|file| file.part == part)?.clone();
        let content = display::part_content(raw, &email.parsed, &part)?;
        let (name, content_type) = (known.name, known.content_type);
        Some(NewAttachment { name, content_type, content, inline_id: Some(id_of(&part)) })
    });
    let files = shown.attachments.into_iter().filter_map(|file| {
        let content = display::part_content(raw, &email.parsed, &file.part)?;
        Some(Attached { name: file.name, content_type: file.content_type, content })
    });
    (style.to_owned(), content.to_owned(), pictures.collect(), files.collect())
}

impl Original {
    /// Text and HTML of a message with a note above this.
    pub fn below(&self, note: &str) -> (String, String) {
        let text = format!("{}\n\n{}\n", note.trim_end(), self.text);
        let head = &self.style;
        let html = format!(
            "<!doctype html><html><head><meta charset=\"utf-8\">{head}</head><body><div>{}</div>{}</body></html>",
            html::from_text(note.trim_end()),
            self.html
        );
        (text, html)
    }
}

/// A message as a file.
pub fn as_file(caller: &Caller, id: &str) -> Result<Vec<Attached>> {
    let Some((email, raw)) = found(caller, id)? else { return Ok(Vec::new()) };
    let subject: String = mailkit::visible::on_one_line(&email.parsed.subject).chars().take(80).collect();
    let name = if subject.trim().is_empty() { "message".to_owned() } else { subject.replace(['/', '\\'], "_") };
    Ok(vec![Attached { name: format!("{name}.eml"), content_type: "message/rfc822".to_owned(), content: raw.to_vec() }])
}
