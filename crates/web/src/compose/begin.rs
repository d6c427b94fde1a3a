//! What the form is filled with when writing begins: nothing, a reply, a forward, or a draft gone on with.

use mailkit::display::{ReadOptions, quote, reply_subject, show};
use mailkit::parsed::DisplayAddress;
use mailkit::{EmailAddress, NamedAddress};
use mailstore::Email;
use serde::Deserialize;

use super::draft::{self, Attached};
use crate::caller::Caller;
use crate::error::Result;
use crate::forms::local;
use crate::templates::Form;
use crate::{message, view};

/// Most characters of a message that a reply quotes.
const MAX_QUOTED: usize = 100_000;

/// How writing begins.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    to: Option<String>,
    cc: Option<String>,
    subject: Option<String>,
    body: Option<String>,
    reply: Option<String>,
    #[serde(rename = "reply-all")]
    reply_all: Option<String>,
    forward: Option<String>,
    draft: Option<String>,
    back: Option<String>,
    /// See [`crate::notice`].
    pub done: Option<String>,
}

/// Heading, form and files.
pub fn form(caller: &Caller, wanted: &Wanted) -> Result<(&'static str, Form, Vec<Attached>)> {
    let back = wanted.back.as_deref().and_then(local).unwrap_or("/mail/inbox").to_owned();
    let blank = Form { key: view::fresh_key(), back, from: caller.address.clone(), ..Form::default() };
    let signature = signature(&caller.preferences.signature);
    if let Some(id) = &wanted.draft {
        let (email, raw) = message::load(caller, id)?;
        let inline = |_: &str| String::new();
        let shown = show(&raw, &email.parsed, &ReadOptions { remote_images: false, inline_url: &inline });
        let parsed = &email.parsed;
        let own = parsed.from.first().map(|from| from.address.clone());
        let form = Form {
            draft: email.id.to_string(),
            from: own.filter(|own| caller.is_me(own)).unwrap_or_else(|| caller.address.clone()),
            to: list(&parsed.to),
            cc: list(&parsed.cc),
            bcc: list(&parsed.bcc),
            subject: parsed.subject.clone(),
            text: shown.text.trim_end_matches('\n').to_owned(),
            ..blank
        };
        let files = draft::attached(caller, &form)?;
        return Ok(("Draft", form, files));
    }
    let answered = [("reply", &wanted.reply), ("reply-all", &wanted.reply_all), ("forward", &wanted.forward)];
    for (how, id) in answered {
        let Some(id) = id else { continue };
        let (email, raw) = message::load(caller, id)?;
        let inline = |_: &str| String::new();
        let shown = show(&raw, &email.parsed, &ReadOptions { remote_images: false, inline_url: &inline });
        let text: String = shown.text.chars().take(MAX_QUOTED).collect();
        let mut form = if how == "forward" {
            forward(caller, &email, &text, &signature)
        } else {
            reply(caller, &email, &text, &signature, how == "reply-all")
        };
        form.answers = format!("{}:{}", if how == "forward" { how } else { "reply" }, email.id);
        form.from = writes_as(caller, &email);
        let form = Form { key: blank.key, back: blank.back, ..form };
        let files = draft::attached(caller, &form)?;
        return Ok((if how == "forward" { "Forward" } else { "Reply" }, form, files));
    }
    let text = format!("{}{signature}", wanted.body.clone().unwrap_or_default());
    let form = Form {
        to: wanted.to.clone().unwrap_or_default(),
        cc: wanted.cc.clone().unwrap_or_default(),
        subject: wanted.subject.clone().unwrap_or_default(),
        text,
        ..blank
    };
    Ok(("New message", form, Vec::new()))
}

fn reply(caller: &Caller, email: &Email, text: &str, signature: &str, all: bool) -> Form {
    let parsed = &email.parsed;
    let author = if parsed.reply_to.is_empty() { &parsed.from } else { &parsed.reply_to };
    // Answering one's own message goes on writing to the same people.
    let own = author.iter().all(|who| caller.is_me(&who.address));
    let first = if own { &parsed.to } else { author };
    let mut to: Vec<DisplayAddress> = first.clone();
    let mut cc: Vec<DisplayAddress> = Vec::new();
    if all {
        let mut known: Vec<String> = to.iter().map(|who| who.address.to_lowercase()).collect();
        let mut new = |who: &&DisplayAddress| {
            let address = who.address.to_lowercase();
            let new = !caller.is_me(&address) && !known.contains(&address);
            known.push(address);
            new
        };
        if !own {
            to.extend(parsed.to.iter().filter(&mut new).cloned());
        }
        cc.extend(parsed.cc.iter().filter(&mut new).cloned());
    }
    let name =
        parsed.from.first().map_or("someone", |from| if from.name.is_empty() { &from.address } else { &from.name });
    let attribution = caller.calendar().attribution(parsed.date_ms.unwrap_or(email.filed_ms), name);
    Form {
        to: list(&to),
        cc: list(&cc),
        subject: reply_subject(&parsed.subject, "Re: "),
        text: format!("{signature}\n\n{}", quote(text.trim_end(), &attribution)),
        ..Form::default()
    }
}

fn forward(caller: &Caller, email: &Email, text: &str, signature: &str) -> Form {
    let parsed = &email.parsed;
    let when = caller.calendar().when(parsed.date_ms.unwrap_or(email.filed_ms)).full;
    let mut header =
        format!("From: {}\nDate: {when}\nSubject: {}\nTo: {}\n", list(&parsed.from), parsed.subject, list(&parsed.to));
    if !parsed.cc.is_empty() {
        header.push_str(&format!("Cc: {}\n", list(&parsed.cc)));
    }
    Form {
        subject: reply_subject(&parsed.subject, "Fwd: "),
        text: format!("{signature}\n\n-------- Forwarded message --------\n{header}\n{}", text.trim_end()),
        ..Form::default()
    }
}

/// The own address that a message was sent to, else the first.
fn writes_as(caller: &Caller, email: &Email) -> String {
    let parsed = &email.parsed;
    let all = parsed.to.iter().chain(&parsed.cc).chain(&parsed.from);
    all.map(|who| &who.address)
        .find(|address| caller.is_me(address))
        .map_or_else(|| caller.address.clone(), |own| own.to_lowercase())
}

fn signature(signature: &str) -> String {
    let signature = signature.trim_end();
    if signature.is_empty() { String::new() } else { format!("\n\n-- \n{signature}") }
}

/// Addresses as a person would type them.
fn list(people: &[DisplayAddress]) -> String {
    let one = |who: &DisplayAddress| match EmailAddress::parse(&who.address) {
        Ok(address) => NamedAddress { name: who.name.clone(), address }.to_string(),
        Err(_) => who.address.clone(),
    };
    people.iter().map(one).filter(|who| !who.is_empty()).collect::<Vec<_>>().join(", ")
}
