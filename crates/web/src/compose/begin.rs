//! What the form is filled with when writing begins: nothing, a reply, a forward, or a draft gone on with.

use mailkit::display::{ReadOptions, reply_subject, show};
use mailkit::parsed::{DisplayAddress, Parsed};
use mailstore::Email;
use serde::Deserialize;

use super::forward::{self, KEPT, SEPARATOR};
use super::parts::{Attached, forwarded_header, is_sendable, list, read_again};
use super::{again, draft, quoted};
use texts::Text;

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::local;
use crate::templates::Form;
use crate::{message, view};

/// How writing begins.
#[derive(Debug, Default, Deserialize)]
pub struct Wanted {
    to: Option<String>,
    /// A group of the address book, all of which is written to.
    group: Option<String>,
    cc: Option<String>,
    subject: Option<String>,
    body: Option<String>,
    reply: Option<String>,
    #[serde(rename = "reply-all")]
    reply_all: Option<String>,
    forward: Option<String>,
    /// How what is forwarded goes along: `text` in the text, `file` as a file; as it looks, if nothing is said.
    #[serde(rename = "as")]
    how: Option<String>,
    draft: Option<String>,
    /// A delivery report: what it is about is written again to those whom it did not reach.
    again: Option<String>,
    back: Option<String>,
    /// See [`crate::notice`].
    pub done: Option<String>,
}

/// Heading, form and files.
pub fn form(caller: &Caller, wanted: &Wanted) -> Result<(Text, Form, Vec<Attached>)> {
    let back = wanted.back.as_deref().and_then(local).unwrap_or("/mail/inbox").to_owned();
    let blank = Form { key: view::fresh_key(), back, from: caller.writes_from(), ..Form::default() };
    if let Some(id) = &wanted.draft {
        return go_on(caller, id, blank);
    }
    let answered = [("reply", &wanted.reply), ("reply-all", &wanted.reply_all), ("forward", &wanted.forward)];
    for (how, id) in answered {
        let Some(id) = id else { continue };
        let (email, raw) = message::load(caller, id)?;
        let inline = |_: &str| String::new();
        let shown = show(&raw, &email.parsed, &ReadOptions { remote_images: false, inline_url: &inline });
        let text: String = shown.text.chars().take(quoted::MAX_QUOTED).collect();
        let writer = caller.writer(&writes_as(caller, &email));
        let signature = writer.below();
        let mut form = if how == "forward" {
            forward(caller, &email, &text, &signature)
        } else {
            reply(caller, &email, &read_again(&raw), &text, &signature, how == "reply-all")
        };
        form.answers = format!("{}:{}", if how == "forward" { how } else { "reply" }, email.id);
        let as_file = wanted.how.as_deref() == Some("file");
        if how == "forward" && as_file {
            form.answers = format!("forward-file:{}", email.id);
            form.text.clone_from(&signature);
        } else if how == "forward" && wanted.how.is_none() && shown.html.is_some() {
            form.original = KEPT.to_owned();
            form.text.clone_from(&signature);
        }
        form.from = writer.address;
        form.bcc = writer.bcc;
        let form = Form { key: blank.key, back: blank.back, ..form };
        let files = draft::attached(caller, &form)?;
        return Ok((
            if how == "forward" { caller.texts.message_forward() } else { caller.texts.message_reply() },
            form,
            files,
        ));
    }
    if let Some(id) = &wanted.again {
        return write_again(caller, id, blank);
    }
    let writer = caller.writer(&blank.from);
    let text = format!("{}{}", wanted.body.clone().unwrap_or_default(), writer.below());
    let form = Form {
        bcc: writer.bcc,
        to: match &wanted.group {
            Some(group) => crate::contacts::recipients(caller, group)?,
            None => wanted.to.clone().unwrap_or_default(),
        },
        cc: wanted.cc.clone().unwrap_or_default(),
        subject: wanted.subject.clone().unwrap_or_default(),
        text,
        ..blank
    };
    Ok((caller.texts.compose_new(), form, Vec::new()))
}

/// The form of a draft that is gone on with, with its files.
fn go_on(caller: &Caller, id: &str, blank: Form) -> Result<(Text, Form, Vec<Attached>)> {
    let (email, raw) = message::load(caller, id)?;
    let inline = |_: &str| String::new();
    let shown = show(&raw, &email.parsed, &ReadOptions { remote_images: false, inline_url: &inline });
    let parsed = read_again(&raw);
    let own = parsed.from.first().map(|from| from.address.clone());
    let [to, cc, bcc] = draft::typed_recipients(&raw);
    let form = Form {
        draft: email.id.to_string(),
        answers: draft::answers(caller, &raw)?,
        from: own.filter(|own| caller.is_me(own)).unwrap_or_else(|| caller.address.clone()),
        to: to.unwrap_or_else(|| list(&parsed.to)),
        cc: cc.unwrap_or_else(|| list(&parsed.cc)),
        bcc: bcc.unwrap_or_else(|| list(&parsed.bcc)),
        subject: parsed.subject.clone(),
        text: shown.text.trim_end_matches('\n').to_owned(),
        ..blank
    };
    let form = match forward::of_draft(&email, &raw) {
        Some((note, _)) => Form { text: note, original: KEPT.to_owned(), ..form },
        None => form,
    };
    let files = draft::attached(caller, &form)?;
    Ok((caller.texts.message_draft(), form, files))
}

/// The form for those whom a message did not reach, with its text and files.
fn write_again(caller: &Caller, report: &str, blank: Form) -> Result<(Text, Form, Vec<Attached>)> {
    let failed = again::of_report(caller, report)?;
    let Some(failed) = failed else { return Err(Fault::NotFound("The undelivered message no longer exists.")) };
    let inline = |_: &str| String::new();
    let shown = show(&failed.raw, &failed.parsed, &ReadOptions { remote_images: false, inline_url: &inline });
    let own = failed.parsed.from.iter().map(|from| &from.address).find(|address| caller.is_me(address)).cloned();
    let form = Form {
        answers: format!("again:{report}"),
        from: own.map_or_else(|| caller.address.clone(), |own| own.to_lowercase()),
        to: list(&failed.to),
        subject: failed.parsed.subject.clone(),
        text: shown.text.trim_end_matches('\n').to_owned(),
        ..blank
    };
    Ok((caller.texts.compose_new(), form, failed.files()))
}

fn reply(caller: &Caller, email: &Email, header: &Parsed, text: &str, signature: &str, all: bool) -> Form {
    let parsed = header;
    // A Reply-To that nobody can write to is none.
    let author = if parsed.reply_to.iter().any(is_sendable) { &parsed.reply_to } else { &parsed.from };
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
    Form {
        to: list(&to),
        cc: list(&cc),
        subject: reply_subject(&parsed.subject, "Re: "),
        text: format!("{signature}\n\n{}", quoted::text(caller, email, parsed, text)),
        ..Form::default()
    }
}

fn forward(caller: &Caller, email: &Email, text: &str, signature: &str) -> Form {
    let header = forwarded_header(caller, email);
    Form {
        subject: reply_subject(&email.parsed.subject, "Fwd: "),
        text: format!("{signature}\n\n{SEPARATOR}\n{header}\n{}", text.trim_end()),
        ..Form::default()
    }
}

/// The own address that a message was sent to, else the one that new messages are from.
fn writes_as(caller: &Caller, email: &Email) -> String {
    let parsed = &email.parsed;
    let all = parsed.to.iter().chain(&parsed.cc).chain(&parsed.from);
    all.map(|who| &who.address)
        .find(|address| caller.is_me(address))
        .map_or_else(|| caller.writes_from(), |own| own.to_lowercase())
}
