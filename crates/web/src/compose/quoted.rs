//! The looks of what a reply quotes: the answered message's HTML below what was written, beside the text.
//!
//! The text is what is edited. Its quotation has looks only while it stands there word for word: a quotation that was shortened
//! or answered line by line says in both forms what the text says.

use mailkit::compose::NewAttachment;
use mailkit::display::{ReadOptions, quote, show};
use mailkit::visible::on_one_line;
use mailkit::{Parsed, html};
use mailstore::{Email, EmailId};

use super::forward;
use super::parts::{kept, read_again};
use crate::caller::Caller;
use crate::error::Result;
use crate::folding::QUOTED;
use crate::message;
use crate::templates::Form;
use crate::text::escape;

/// Most characters of a message that a reply quotes.
pub const MAX_QUOTED: usize = 100_000;
/// Most bytes of HTML and of pictures that go along; of more than that the text alone is quoted.
const MAX_LOOKS_BYTES: usize = 2_000_000;

/// A reply with looks.
pub struct Looks {
    /// All of its HTML.
    pub html: String,
    /// The pictures in it.
    pub pictures: Vec<NewAttachment>,
}

/// The line above a quotation.
fn attribution(caller: &Caller, email: &Email, header: &Parsed) -> String {
    let from = header.from.first();
    let name = from.map_or("someone", |from| if from.name.is_empty() { &from.address } else { &from.name });
    caller.calendar().attribution(mailkit::date::sent_ms(header.date_ms, email.filed_ms), &on_one_line(name))
}

/// What a reply to a message quotes, as text.
pub fn text(caller: &Caller, email: &Email, header: &Parsed, shown: &str) -> String {
    let shown: String = shown.chars().take(MAX_QUOTED).collect();
    quote(shown.trim_end(), &attribution(caller, email, header))
}

/// The looks of the form's reply, if it answers HTML and quotes all of it.
pub fn looks(caller: &Caller, form: &Form) -> Result<Option<Looks>> {
    let Some(id) = answered(caller, form)? else { return Ok(None) };
    let Ok((email, raw)) = message::load(caller, &id.to_string()) else { return Ok(None) };
    let inline = |_: &str| String::new();
    let shown = show(&raw, &email.parsed, &ReadOptions { remote_images: false, inline_url: &inline });
    if shown.html.is_none() {
        return Ok(None);
    }
    let header = read_again(&raw);
    let quoted = text(caller, &email, &header, &shown.text);
    let Some((above, below)) = form.text.split_once(quoted.trim_end()) else { return Ok(None) };
    let (style, content, pictures, _) = forward::looks(&email, &raw);
    if style.len() + content.len() + pictures.iter().map(|picture| picture.content.len()).sum::<usize>()
        > MAX_LOOKS_BYTES
    {
        return Ok(None);
    }
    let last = below.trim().is_empty();
    let mut line = String::new();
    escape(&mut line, &attribution(caller, &email, &header));
    let (open, below) = if last { (QUOTED, String::new()) } else { ("<div>", html::from_text(below)) };
    let html = format!(
        "<!doctype html><html><head><meta charset=\"utf-8\">{style}</head><body><div>{}</div>{open}<p>{line}</p>\
         <blockquote>{content}</blockquote></div>{below}</body></html>",
        html::from_text(above.trim_end())
    );
    Ok(Some(Looks { html, pictures }))
}

/// The message that the form answers: as its page said, or, of a draft gone on with, as its References say.
pub fn answered(caller: &Caller, form: &Form) -> Result<Option<EmailId>> {
    if let Some(id) = form.answers.strip_prefix("reply:") {
        return Ok(id.parse().ok());
    }
    if !form.answers.is_empty() || form.draft.is_empty() {
        return Ok(None);
    }
    let mail = &caller.site.mailstore;
    let Some(draft) = form.draft.parse().ok().map(|id| mail.email(caller.realm, id)).transpose()?.flatten() else {
        return Ok(None);
    };
    let Some(last) = draft.parsed.references.last() else { return Ok(None) };
    let header =
        Parsed { message_id: last.clone(), base_subject: draft.parsed.base_subject.clone(), ..Parsed::default() };
    kept(caller, &header, |_| true)
}
