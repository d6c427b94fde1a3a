//! Writing a message: the page, saving drafts, sending.
//!
//! A message being written lives in Drafts as an ordinary message, so that every mail program sees it. Saving again
//! puts a new one in its place, in one commit. Send gives it to `delivery` under the form's key: posted twice, at once,
//! or again after a crash, it goes out once and shows the same answer.

pub mod again;
mod begin;
mod draft;
mod forward;
mod parts;
pub mod quoted;

use std::time::Duration;

use axum::Json;
use axum::extract::Query;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Redirect, Response};
use delivery::{DeliveryError, Recipient, RespondsTo, Submission};
use mailkit::{NamedAddress, read_typed};
use mailstore::EmailId;

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::{Posted, PostedFiles};
use crate::problem::Problem;
use crate::templates::{ComposePage, Form};
use crate::time::size;
use crate::{notice, shell, view};
use texts::Text;

pub use begin::Wanted;
use parts::Attached;

/// Longest text of a message that the page takes, in bytes.
const MAX_TEXT_BYTES: usize = 1_000_000;
/// Longest list of recipients that a field takes, in bytes.
const MAX_RECIPIENTS_BYTES: usize = 32 * 1024;
/// Wrong recipients that are named at once.
const MAX_NAMED_WRONG: usize = 50;

/// `GET /compose`
pub async fn page(caller: Caller, Query(wanted): Query<Wanted>) -> Result<Response> {
    caller
        .rendering(move |caller| {
            let (heading, form, files) = begin::form(caller, &wanted)?;
            let mut page = fill(caller, heading, form, &files)?;
            page.shell.notice = notice::find(caller, wanted.done.as_deref(), "/")?;
            Ok(view::html(&page))
        })
        .await
}

fn fill(caller: &Caller, heading: Text, form: Form, files: &[Attached]) -> Result<ComposePage> {
    Ok(ComposePage {
        page: caller.page(&heading),
        shell: shell::build(caller, "page", None)?,
        heading,
        from: caller.writers(),
        files: files.iter().map(Attached::shown).collect(),
        pictures: forward::pictures(caller, &form).join(", "),
        bytes: total_bytes(files),
        most: caller.site.options.max_message_bytes,
        most_text: size(caller.site.options.max_message_bytes as u64),
        problem: None,
        bad: Vec::new(),
        status: String::new(),
        form,
    })
}

/// What a button of the form asks for.
enum Wish {
    Send,
    Save,
    Discard,
    /// Take off the file of that place in the list.
    Remove(usize),
}

/// `POST /compose`
pub async fn post(caller: Caller, headers: HeaderMap, posted: Result<PostedFiles>) -> Result<Response> {
    let script = headers.get(header::ACCEPT).is_some_and(|accept| accept == "application/json");
    let answer = match posted {
        Ok(posted) => answer(caller, posted, script).await,
        Err(fault) => Err(fault),
    };
    match answer {
        Err(fault) if script => Ok(fault.into_json()),
        answer => answer,
    }
}

impl Wish {
    fn of(fields: &Posted) -> Result<Self> {
        Ok(match fields.get("do") {
            "send" => Self::Send,
            "discard" => Self::Discard,
            "save" | "attach" | "" => Self::Save,
            other => match other.strip_prefix("remove:").and_then(|at| at.parse().ok()) {
                Some(at) => Self::Remove(at),
                None => return Err(Fault::nothing_to_do()),
            },
        })
    }
}

/// What was typed, or which limit it breaks.
fn typed(fields: &Posted) -> Result<Form> {
    let text = |name: &str| fields.get(name).to_owned();
    let form = Form {
        key: text("key"),
        draft: text("draft"),
        answers: text("answers"),
        original: text("original"),
        back: fields.back(),
        from: text("from"),
        to: text("to"),
        cc: text("cc"),
        bcc: text("bcc"),
        subject: fields.get("subject").chars().take(900).collect(),
        text: fields.get("text").replace("\r\n", "\n"),
    };
    if form.key.len() < 16 || form.key.len() > 64 {
        return Err(Fault::Bad("The form has no key. Reload the page and try again.".to_owned()));
    }
    if form.text.len() > MAX_TEXT_BYTES {
        return Err(Fault::TooLarge(format!(
            "The text is longer than {}. Attach it as a file instead.",
            size(MAX_TEXT_BYTES as u64)
        )));
    }
    if [&form.to, &form.cc, &form.bcc].into_iter().any(|field| field.len() > MAX_RECIPIENTS_BYTES) {
        let limit = size(MAX_RECIPIENTS_BYTES as u64);
        return Err(Fault::TooLarge(format!(
            "A list of recipients is longer than {limit}. Send to fewer people at once."
        )));
    }
    Ok(form)
}

async fn answer(caller: Caller, posted: PostedFiles, script: bool) -> Result<Response> {
    let PostedFiles { form: fields, files: new, room: _room } = posted;
    let wish = Wish::of(&fields)?;
    let form = typed(&fields)?;
    let sent = sent_key(&form.key);
    // A Send that was heard before is answered as before, whatever else has changed.
    if matches!(wish, Wish::Send) && caller.site.delivery.receipt(caller.account, &sent)?.is_some() {
        return Ok(after_send(&form, &sent));
    }
    let remove = if let Wish::Remove(at) = wish { Some(at) } else { None };
    let (caller, form, files) = caller
        .blocking_owned(move |caller| {
            let mut files = draft::attached(&caller, &form)?;
            if let Some(at) = remove.filter(|at| *at < files.len()) {
                files.remove(at);
            }
            files.extend(new.into_iter().map(Attached::from));
            if total_bytes(&files) > caller.site.options.max_message_bytes {
                let limit = size(caller.site.options.max_message_bytes as u64);
                return Err(Fault::TooLarge(format!(
                    "The files are too large together. A message can have up to {limit}."
                )));
            }
            Ok((caller, form, files))
        })
        .await?;
    match wish {
        Wish::Send => send(caller, form, files, sent).await,
        Wish::Discard => {
            draft::discard(&caller, &form).await?;
            Ok(Redirect::to(&notice::with(&form.back, "discarded")).into_response())
        }
        Wish::Save | Wish::Remove(_) => {
            let (caller, saved, files) = draft::save(caller, &form, files).await?;
            if script {
                return Ok(saved_json(&caller, saved, &files));
            }
            let back = crate::error::form_urlencoded(&form.back);
            let at = match saved {
                Some(saved) => format!("/compose?draft={saved}&back={back}&done=saved"),
                None => format!("/compose?back={back}"),
            };
            Ok(Redirect::to(&at).into_response())
        }
    }
}

/// What the script of the page is told of a draft: `draft` (empty if there was nothing to keep), `saved` (the time as
/// shown), `files` (`name`, `size` as shown) and `bytes` of all files together.
fn saved_json(caller: &Caller, saved: Option<EmailId>, files: &[Attached]) -> Response {
    let at = caller.calendar().when(caller.now_ms()).short;
    let Some(saved) = saved else {
        let answer = serde_json::json!({ "draft": "", "empty": true, "saved": at, "files": [], "bytes": 0 });
        return Json(answer).into_response();
    };
    let bytes = total_bytes(files);
    let files: Vec<_> = files
        .iter()
        .map(|file| serde_json::json!({ "name": file.name, "size": size(file.content.len() as u64) }))
        .collect();
    let answer = serde_json::json!({ "draft": saved.to_string(), "saved": at, "files": files, "bytes": bytes });
    Json(answer).into_response()
}

fn total_bytes(files: &[Attached]) -> usize {
    files.iter().map(|file| file.content.len()).sum()
}

fn sent_key(form_key: &str) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new_derive_key("holdfast 2026 web send");
    hasher.update(form_key.as_bytes());
    hasher.finalize().as_bytes()[..16].to_vec()
}

fn after_send(form: &Form, key: &[u8]) -> Response {
    Redirect::to(&notice::with(&form.back, &format!("sent:{}", hex::encode(key)))).into_response()
}

/// Why a form can't be sent, and which of its fields are wrong.
#[derive(Debug)]
struct Refusal {
    fields: Vec<&'static str>,
    problem: Problem,
}

impl Refusal {
    fn of(field: &'static str, problem: Problem) -> Self {
        Self { fields: vec![field], problem }
    }
}

/// Recipients of the fields, or all that is wrong with them: what a person typed and no mail would reach is asked about,
/// not left out.
fn recipients(form: &Form) -> Result<[Vec<NamedAddress>; 3], Refusal> {
    let fields =
        [("to", &form.to), ("cc", &form.cc), ("bcc", &form.bcc)].map(|(name, value)| (name, read_typed(value)));
    let wrong: Vec<_> =
        fields.iter().flat_map(|(name, read)| read.wrong.iter().map(move |entry| (*name, entry))).collect();
    if wrong.is_empty() {
        return Ok(fields.map(|(_, read)| read.people));
    }
    let named = wrong.iter().take(MAX_NAMED_WRONG).map(|(_, entry)| entry.to_string());
    let problem = Problem::WrongRecipients(named.collect(), wrong.len().saturating_sub(MAX_NAMED_WRONG));
    let mut bad: Vec<&'static str> = wrong.iter().map(|(name, _)| *name).collect();
    bad.dedup();
    Err(Refusal { fields: bad, problem })
}

async fn send(caller: Caller, form: Form, files: Vec<Attached>, key: Vec<u8>) -> Result<Response> {
    let people = match recipients(&form) {
        Ok(people) => people,
        Err(refusal) => return refuse(caller, form, files, refusal).await,
    };
    let count = people.iter().map(Vec::len).sum::<usize>();
    let limit = caller.site.options.max_recipients;
    if count == 0 {
        return refuse(caller, form, files, Refusal::of("to", Problem::RecipientMissing)).await;
    }
    if count > limit {
        let problem = Problem::TooManyRecipients { limit, count };
        return refuse(caller, form, files, Refusal::of("to", problem)).await;
    }
    let correspondents: Vec<(String, String)> =
        people.iter().flatten().map(|who| (who.name.clone(), who.address.to_string())).collect();
    let (caller, form, files, built) = caller
        .blocking_owned(move |caller| {
            let built = draft::build(&caller, &form, &files, Some(people));
            let place = draft::place(&caller, &form)?;
            let responds_to = responds_to(&caller, &form)?;
            Ok((caller, form, files, built.map(|built| (built, place, responds_to))))
        })
        .await?;
    let (built, place, responds_to) = match built {
        Ok(built) => built,
        Err(text) => {
            let refusal = Refusal { fields: Vec::new(), problem: Problem::MessageRefused(text) };
            return refuse(caller, form, files, refusal).await;
        }
    };
    let submission = Submission {
        account: caller.account,
        idempotency_key: key.clone(),
        from: built.from,
        recipients: built.recipients.into_iter().map(Recipient::new).collect(),
        ret: None,
        message: built.message.into(),
        keep_copy: true,
        copy_prefix: built.copy_prefix.into(),
        remove_draft: place,
        responds_to,
        hold: Duration::from_secs(u64::from(caller.preferences.hold_seconds)),
        correspondents,
    };
    match caller.site.delivery.submit(submission).await {
        Ok(receipt) => {
            if !receipt.repeated {
                metrics::counter!("holdfast_web_sends_total").increment(1);
            }
            Ok(after_send(&form, &key))
        }
        Err(DeliveryError::Refused(refusal)) => {
            refuse(caller, form, files, Refusal::of("to", Problem::SendRefused(refusal.text))).await
        }
        Err(error) => Err(error.into()),
    }
}

/// Show the form again with what is wrong. What was typed stays, and is kept with the files as a draft.
async fn refuse(caller: Caller, mut form: Form, files: Vec<Attached>, refusal: Refusal) -> Result<Response> {
    let (caller, saved, files) = draft::save(caller, &form, files).await?;
    form.draft = saved.map(|saved| saved.to_string()).unwrap_or_default();
    caller
        .blocking(move |caller| {
            let kept = !form.draft.is_empty();
            let mut page = fill(caller, caller.texts.compose_new(), form, &files)?;
            page.problem = Some(refusal.problem);
            page.bad = refusal.fields;
            page.status = if kept { caller.texts.compose_saved().into_owned() } else { String::new() };
            let mut response = view::html(&page);
            *response.status_mut() = axum::http::StatusCode::UNPROCESSABLE_ENTITY;
            Ok(response)
        })
        .await
}

/// The message that the form answers or forwards.
fn responds_to(caller: &Caller, form: &Form) -> Result<Option<RespondsTo>> {
    Ok(match form.answers.split_once(':') {
        Some(("forward" | "forward-file", email)) => email.parse().ok().map(RespondsTo::Forward),
        _ => quoted::answered(caller, form)?.map(RespondsTo::Reply),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(typed: &str) -> Result<usize, Refusal> {
        recipients(&Form { to: typed.to_owned(), ..Form::default() }).map(|[to, ..]| to.len())
    }

    #[test]
    fn what_people_type_is_understood() {
        for (typed, count) in [
            ("ann@x.org, Bob <bob@x.org>; \"Lee, C\" <c@x.org>,", 3),
            (" ", 0),
            ("\"a, b\"@x.org", 1),
            ("Jane @ Work <jane@corp.example>", 1),
            ("Müller, Hans <hans@corp.example>, Kim <kim@corp.example>", 2),
        ] {
            assert_eq!(to(typed).unwrap(), count, "{typed}");
        }
    }

    #[test]
    fn what_would_reach_nobody_is_asked_about() {
        for typed in ["carl", "ann@x.org, carl", "bob@exa mple", "no@body@x", "ann bob@x.org", "Bob <>", "<bob>"] {
            assert_eq!(to(typed).unwrap_err().fields, ["to"], "{typed}");
        }
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let form = Form {
            to: "carl, ok@x.org, dora".into(),
            cc: "ok@x.org".into(),
            bcc: "foo@@bar".into(),
            ..Form::default()
        };
        let refusal = recipients(&form).unwrap_err();
        assert_eq!(refusal.fields, ["to", "bcc"]);
        let text = refusal.problem.to_string();
        for wrong in ["carl", "dora", "foo@@bar"] {
            assert!(text.contains(wrong), "{text}");
        }
        assert!(!text.contains("ok@x.org"), "{text}");
    }
}
