//! The message behind the form: built, kept in Drafts, found there again.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailkit::compose::{DRAFT_OF_FIELD, Draft, NewAttachment, message_id};
use mailkit::{EmailAddress, NamedAddress, display, headers, read_typed};
use mailstore::{EmailId, Flags, MailboxId, NewMessage, Role, SystemFlag, Uid};

use super::parts::Attached;
use super::{again, forward, quoted};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::identity::Writer;
use crate::message;
use crate::templates::Form;

/// The fields in which a draft keeps its recipients as they were typed (in base64), if `To`, `Cc` and `Bcc` can't: those hold
/// only what is an address already. They never go out: what is sent is built anew, and submission takes them out.
const TYPED_FIELDS: [&str; 3] = mailkit::compose::TYPED_FIELDS;

/// What a form can answer and its draft remembers; see [`Form::answers`].
const REMEMBERED: [&str; 3] = ["reply", "forward", "forward-file"];

/// Characters of base64 in a line of such a field.
const TYPED_LINE: usize = 72;

/// A message ready to go.
pub struct Built {
    /// The reverse-path.
    pub from: EmailAddress,
    /// All recipients, each once.
    pub recipients: Vec<EmailAddress>,
    /// The message: with Bcc for a draft, without for sending.
    pub message: Vec<u8>,
    /// What the copy for Sent has above it: the Bcc, so that the sender sees to whom they wrote.
    pub copy_prefix: Vec<u8>,
}

/// The files that the form has already: those of its draft, or of the message that it forwards.
pub fn attached(caller: &Caller, form: &Form) -> Result<Vec<Attached>> {
    if let Some(original) = forward::original(caller, form)? {
        return Ok(original.files);
    }
    if let ("", Some(id)) = (form.draft.as_str(), form.answers.strip_prefix("forward-file:")) {
        return forward::as_file(caller, id);
    }
    if let ("", Some(id)) = (form.draft.as_str(), form.answers.strip_prefix("again:")) {
        return Ok(again::of_report(caller, id)?.map(|failed| failed.files()).unwrap_or_default());
    }
    let source = match (form.draft.as_str(), form.answers.split_once(':')) {
        ("", Some(("forward", id))) => id,
        ("", _) => return Ok(Vec::new()),
        (draft, _) => draft,
    };
    let (email, raw) = match message::load(caller, source) {
        Ok(found) => found,
        // The draft was sent or thrown away elsewhere: what is in the form is what there is.
        Err(Fault::NotFound(_)) => return Ok(Vec::new()),
        Err(fault) => return Err(fault),
    };
    let files = display::files(&raw, &email.parsed).into_iter().filter_map(|file| {
        let content = display::part_content(&raw, &email.parsed, &file.part)?;
        Some(Attached { name: file.name, content_type: file.content_type, content })
    });
    Ok(files.collect())
}

/// Build the message. Without `people` the recipients are those in the form that are addresses, and it is a draft.
pub fn build(
    caller: &Caller,
    form: &Form,
    files: &[Attached],
    people: Option<[Vec<NamedAddress>; 3]>,
) -> Result<Built, String> {
    let sending = people.is_some();
    let from =
        EmailAddress::parse(&form.from).map_err(|error| format!("The sender’s address isn’t valid: {error}."))?;
    if !caller.is_me(&form.from) {
        return Err(format!("You can’t send messages as {from}."));
    }
    let [to, cc, bcc] = people.unwrap_or_else(|| [&form.to, &form.cc, &form.bcc].map(|typed| read_typed(typed).people));
    let (in_reply_to, references) = conversation(caller, form);
    let original = forward::original(caller, form).map_err(|fault| match fault {
        Fault::Bad(why) => why,
        _ => "The original message can’t be read right now. Try again in a moment.".to_owned(),
    })?;
    let (text, html) = match &original {
        Some(original) => {
            let (text, html) = original.below(&form.text);
            (text, Some(html))
        }
        None => (form.text.clone(), None),
    };
    // A draft is text: what is quoted may still be changed.
    let looks = match (sending, &html) {
        (true, None) => quoted::looks(caller, form).ok().flatten(),
        _ => None,
    };
    let (html, pictures) = looks.map_or((html, Vec::new()), |looks| (Some(looks.html), looks.pictures));
    let mut attachments: Vec<NewAttachment> = files.iter().map(Attached::as_new).collect();
    attachments.extend(original.map(|original| original.pictures).unwrap_or_default());
    attachments.extend(pictures);
    let writer = caller.writer(&form.from);
    let draft = Draft {
        message_id: message_id(from.domain()),
        reply_to: writer.reply_to(),
        from: NamedAddress { name: writer.name, address: from.clone() },
        to,
        cc,
        bcc,
        subject: form.subject.clone(),
        text,
        html,
        attachments,
        in_reply_to,
        references,
        date_ms: caller.now_ms(),
    };
    let failed = |error| format!("{error}.");
    let mut message = if sending { draft.build() } else { draft.build_with_bcc() }.map_err(failed)?;
    if !sending {
        let mut lead = typed_fields(form, [&draft.to, &draft.cc, &draft.bcc]);
        if draft_of(&form.answers).is_some() {
            lead.extend_from_slice(format!("{DRAFT_OF_FIELD}: {}\r\n", form.answers).as_bytes());
        }
        lead.append(&mut message);
        message = lead;
    }
    let copy_prefix = if sending { draft.bcc_field().map_err(failed)? } else { Vec::new() };
    Ok(Built { from, recipients: draft.recipients(), message, copy_prefix })
}

/// Header lines that keep what was typed, of the fields whose addresses do not say the same.
fn typed_fields(form: &Form, people: [&Vec<NamedAddress>; 3]) -> Vec<u8> {
    let mut lines = Vec::new();
    for ((name, typed), people) in TYPED_FIELDS.into_iter().zip([&form.to, &form.cc, &form.bcc]).zip(people) {
        let said = people.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if *typed != said {
            lines.extend_from_slice(format!("{name}:").as_bytes());
            for line in STANDARD.encode(typed).as_bytes().chunks(TYPED_LINE) {
                lines.extend_from_slice(b"\r\n ");
                lines.extend_from_slice(line);
            }
            lines.extend_from_slice(b"\r\n");
        }
    }
    lines
}

/// The message that a value of [`Form::answers`] means, if a draft remembers it.
fn draft_of(answers: &str) -> Option<EmailId> {
    let (how, email) = answers.split_once(':')?;
    email.parse().ok().filter(|_| REMEMBERED.contains(&how))
}

/// What a draft that is opened answers, if it remembers a message that is still there.
pub fn answers(caller: &Caller, raw: &[u8]) -> Result<String> {
    let value = headers::value(raw, DRAFT_OF_FIELD).and_then(|value| String::from_utf8(value).ok());
    let value = value.map(|value| value.trim().to_owned()).unwrap_or_default();
    let there = match draft_of(&value) {
        Some(email) => caller.site.mailstore.email(caller.realm, email)?.is_some(),
        None => false,
    };
    Ok(if there { value } else { String::new() })
}

/// To, Cc and Bcc as they were typed, of a draft that kept them.
pub fn typed_recipients(raw: &[u8]) -> [Option<String>; 3] {
    TYPED_FIELDS.map(|name| {
        let mut value = headers::value(raw, name)?;
        value.retain(|byte| !byte.is_ascii_whitespace());
        String::from_utf8(STANDARD.decode(value).ok()?).ok()
    })
}

/// In-Reply-To and References: from the message answered, or as the draft has them.
fn conversation(caller: &Caller, form: &Form) -> (Option<String>, Vec<String>) {
    if let Some(("reply", id)) = form.answers.split_once(':')
        && let Ok((email, _)) = message::load(caller, id)
    {
        let parsed = &email.parsed;
        let id = Some(parsed.message_id.clone()).filter(|id| !id.is_empty());
        let mut references = parsed.references.clone();
        references.extend(id.clone());
        return (id, references);
    }
    if let Some(("again", id)) = form.answers.split_once(':')
        && let Ok(Some(failed)) = again::of_report(caller, id)
    {
        let references = failed.parsed.references;
        return (references.last().cloned(), references);
    }
    let draft = form.draft.parse::<EmailId>().ok();
    let email = draft.and_then(|id| caller.site.mailstore.email(caller.realm, id).ok().flatten());
    let references = email.map(|email| email.parsed.references.clone()).unwrap_or_default();
    (references.last().cloned(), references)
}

/// Where the form's draft is, if it is still in Drafts.
pub fn place(caller: &Caller, form: &Form) -> Result<Option<(MailboxId, Uid)>> {
    let Ok(id) = form.draft.parse::<EmailId>() else { return Ok(None) };
    let mail = &caller.site.mailstore;
    let drafts = mail.mailbox_by_role(caller.realm, Role::Drafts)?.map(|m| m.id);
    Ok(mail.places(caller.realm, id)?.into_iter().find(|(mailbox, _)| Some(*mailbox) == drafts))
}

/// Whether there is nothing in the form but what was there when the page was opened.
fn is_empty(caller: &Caller, form: &Form, files: &[Attached]) -> bool {
    let typed = [&form.to, &form.cc, &form.subject];
    let text = form.text.trim();
    let writers = caller.writers();
    let is_given = |text: &str, of: fn(&Writer) -> String| {
        text.is_empty() || writers.iter().any(|writer| text == of(writer).trim())
    };
    files.is_empty()
        && form.answers.is_empty()
        && typed.into_iter().all(|field| field.trim().is_empty())
        && is_given(form.bcc.trim(), |writer| writer.bcc.clone())
        && is_given(text, Writer::below)
}

/// Keep the form in Drafts, in place of what was kept before. The same form kept twice is there once. An empty one is not
/// kept, nor is what it was before.
pub async fn save(
    caller: Caller,
    form: &Form,
    files: Vec<Attached>,
) -> Result<(Caller, Option<EmailId>, Vec<Attached>)> {
    if is_empty(&caller, form, &files) {
        discard(&caller, form).await?;
        return Ok((caller, None, files));
    }
    let form = form.clone();
    let (caller, files, drafts, old, message) = caller
        .blocking_owned(move |caller| {
            let mail = &caller.site.mailstore;
            let drafts = mail.mailbox_by_role(caller.realm, Role::Drafts)?;
            let drafts = drafts.ok_or(Fault::NotFound("There is no Drafts mailbox."))?.id;
            let built = build(&caller, &form, &files, None).map_err(Fault::Bad)?;
            let message = NewMessage {
                parsed: Arc::new(mailkit::parse(&built.message)),
                body: mail.stage(&built.message)?,
                flags: Flags::of(&[SystemFlag::Draft, SystemFlag::Seen]),
                internal_date_ms: caller.now_ms(),
                delivery_key: Some(content_key(&form, &files)),
                ignore_quota: false,
            };
            let old = place(&caller, &form)?;
            Ok((caller, files, drafts, old, message))
        })
        .await?;
    let saved = caller.site.mailstore.replace(caller.realm, drafts, old, message).await?;
    Ok((caller, Some(saved.email_id), files))
}

/// Names what is saved: form, draft before, and content.
fn content_key(form: &Form, files: &[Attached]) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026 web draft");
    for text in [
        &form.key,
        &form.draft,
        &form.answers,
        &form.from,
        &form.to,
        &form.cc,
        &form.bcc,
        &form.subject,
        &form.text,
        &form.original,
    ] {
        hasher.update(&(text.len() as u64).to_le_bytes()).update(text.as_bytes());
    }
    for file in files {
        hasher.update(&(file.name.len() as u64).to_le_bytes()).update(file.name.as_bytes());
        hasher.update(&(file.content.len() as u64).to_le_bytes()).update(&file.content);
    }
    hasher.finalize().as_bytes().to_vec()
}

/// Throw the form's draft away.
pub async fn discard(caller: &Caller, form: &Form) -> Result<()> {
    if let Some((mailbox, uid)) = place(caller, form)? {
        caller.site.mailstore.expunge(caller.realm, mailbox, &[uid]).await?;
    }
    Ok(())
}
