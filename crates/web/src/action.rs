//! Archive, Delete, Move, Spam, Star, Read: on one conversation, many, or all of a mailbox, once however often it is
//! posted, with a way back.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Redirect, Response};
use delivery::DeliveryError;
use mailstore::{ActChange, ActStep, EmailId, FlagChange, Flags, Mailbox, MailboxId, Role, SystemFlag, ThreadId, Uid};

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::grouped;
use crate::shell::label;
use texts::Text;

/// Most conversations or messages named by one form.
const MAX_IDS: usize = 500;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verb {
    To(Role),
    Move(MailboxId),
    Read(bool),
    Star(bool),
    /// Until then, milliseconds since 1970 UTC.
    Snooze(i64),
    /// Everything of a mailbox is read.
    ReadAll,
    Empty,
}

impl Verb {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "archive" => Self::To(Role::Archive),
            "junk" => Self::To(Role::Junk),
            "delete" => Self::To(Role::Trash),
            "inbox" => Self::To(Role::Inbox),
            "read" => Self::Read(true),
            "unread" => Self::Read(false),
            "star" => Self::Star(true),
            "unstar" => Self::Star(false),
            "read-all" => Self::ReadAll,
            "empty" => Self::Empty,
            other => Self::Move(other.strip_prefix("move:")?.parse().ok()?),
        })
    }
}

/// What a form asks for.
#[derive(Clone, Debug)]
struct Asked {
    verb: Verb,
    named: Vec<Named>,
    mailbox: Option<MailboxId>,
    /// All of the mailbox, as far as the page that was looked at knew it: up to that UID.
    all: Option<Uid>,
}

/// Something that a form names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Named {
    Thread(MailboxId, ThreadId),
    Message(EmailId),
}

impl Named {
    /// `t7` in the form's mailbox, `m3.t7` elsewhere, `e9` a message.
    fn parse(text: &str, mailbox: Option<MailboxId>) -> Option<Self> {
        if let Some((mailbox, thread)) = text.split_once('.') {
            return Some(Self::Thread(mailbox.parse().ok()?, thread.parse().ok()?));
        }
        match text.parse() {
            Ok(email) => Some(Self::Message(email)),
            Err(_) => Some(Self::Thread(mailbox?, text.parse().ok()?)),
        }
    }
}

/// `POST /act`
pub async fn act(caller: Caller, form: Posted) -> Result<Response> {
    let bad =
        || Fault::Bad("The form doesn’t say what to do with which messages. Reload the page and try again.".to_owned());
    let mailbox: Option<MailboxId> = form.get("mailbox").parse().ok();
    // A star in a row is a button of its own: it names its conversation, whatever is ticked.
    let (verb, ids): (&str, Vec<&str>) = match form.get("only").split_once(':') {
        Some((verb, id)) => (verb, vec![id]),
        None => (form.get("verb"), form.all("id").collect()),
    };
    let verb = match verb.strip_prefix("snooze:") {
        Some(said) => Verb::Snooze(crate::snooze::moment(&caller.calendar(), said, form.get("until"))?),
        None => Verb::parse(verb).ok_or_else(bad)?,
    };
    // What came after the page was made was not meant. An older page does not say.
    let upto = Uid(form.get("upto").parse().unwrap_or(u32::MAX));
    let everything = form.get("all") == "1" && form.get("only").is_empty() && mailbox.is_some();
    let whole = matches!(verb, Verb::Empty | Verb::ReadAll) || everything;
    let named: Vec<Named> = if whole {
        Vec::new()
    } else {
        ids.iter().take(MAX_IDS).map(|id| Named::parse(id, mailbox)).collect::<Option<_>>().ok_or_else(bad)?
    };
    let back = form.back();
    if named.is_empty() && !whole {
        return Ok(Redirect::to(&back).into_response());
    }
    // One key serves one press: pressing another button of a page gone back to is another act.
    let all = whole.then_some(upto);
    let key = form.act_key(&format!("{verb:?} {named:?} {mailbox:?} {all:?}"));
    let known = caller.site.mailstore.act_receipt(caller.realm, &key)?;
    if known.is_none() {
        if matches!(verb, Verb::Snooze(_)) {
            caller.site.mailstore.snoozed_mailbox(caller.realm).await?;
        }
        let asked = Asked { verb: verb.clone(), named, mailbox, all };
        let planned = caller.blocking_owned(move |caller| plan(&caller, &asked).map(|plan| (caller, plan))).await;
        let (caller, (note, steps)) = planned?;
        caller.site.mailstore.act(caller.realm, &key, &note, steps).await?;
        metrics::counter!("holdfast_web_acts_total").increment(1);
    }
    // Where the conversation went away the reader goes back to the list, otherwise stays.
    let stays = matches!(verb, Verb::Star(_)) && !form.get("here").is_empty();
    let to = if stays { form.local("here") } else { back };
    // A star is its own answer, and so is a mark on what was ticked by hand.
    let quiet = matches!(verb, Verb::Star(_) | Verb::Read(_)) && !everything;
    let done = if quiet { String::new() } else { format!("act:{}", hex::encode(&key)) };
    Ok(Redirect::to(&crate::notice::with(&to, &done)).into_response())
}

/// The steps of an act, and what to tell about it.
fn plan(caller: &Caller, asked: &Asked) -> Result<(String, Vec<ActStep>)> {
    let Asked { verb, named, mailbox, all } = asked;
    let mail = &caller.site.mailstore;
    let role = |role| mail.mailbox_by_role(caller.realm, role);
    let trash = role(Role::Trash)?;
    let (messages, left) = match (all, mailbox) {
        (Some(upto), Some(mailbox)) => {
            let (uids, left) = whole(caller, verb, *mailbox, *upto)?;
            (BTreeMap::from([(*mailbox, uids)]), left)
        }
        _ => (resolve(caller, named, *mailbox)?, 0),
    };
    let threads = named.iter().all(|named| matches!(named, Named::Thread(..))) && all.is_none();
    let n = if all.is_some() { messages.values().map(Vec::len).sum() } else { named.len() };
    let t = caller.texts;
    let what = if threads { t.conversations(n) } else { t.messages(n) };
    let target: Option<Mailbox> = match verb {
        Verb::Snooze(_) => Some(role(Role::Snoozed)?.ok_or(Fault::NotFound("The mailbox for this is missing."))?),
        Verb::To(to) => Some(role(*to)?.ok_or(Fault::NotFound("The mailbox for this is missing."))?),
        Verb::Move(to) => Some(mail.mailbox(caller.realm, *to)?.ok_or(Fault::NotFound("There is no such mailbox."))?),
        _ => None,
    };
    let mut note = match (verb, &target) {
        (Verb::To(Role::Archive), _) => t.act_archived(what),
        (Verb::To(Role::Junk), _) => t.act_spam(what),
        (Verb::To(Role::Trash), _) if mailbox.is_some() && *mailbox == trash.as_ref().map(|m| m.id) => {
            t.act_deleted(what)
        }
        (Verb::To(Role::Trash), _) => t.act_trash(what),
        (Verb::Snooze(until), _) => t.act_snoozed(caller.calendar().when(*until).full, what),
        (_, Some(target)) => t.act_moved(label(target), what),
        (Verb::ReadAll | Verb::Read(true), _) => t.act_read(what),
        (Verb::Empty, _) => t.act_deleted(what),
        (Verb::Read(false), _) => t.act_unread(what),
        (Verb::Star(_), _) | (_, None) => Text::Borrowed(""),
    }
    .into_owned();
    if left > 0 {
        note.push_str(&format!(" {} left. Press the button again for the rest.", are(left)));
    }
    let one = threads && named.len() == 1;
    let steps = messages.into_iter().filter(|(_, uids)| !uids.is_empty()).map(|(from, uids)| {
        let to = target.as_ref().map(|target| target.id);
        step(verb, from, uids, to, trash.as_ref().map(|trash| trash.id), one)
    });
    Ok((note, steps.collect()))
}

/// `1 more is`, `20 more are`.
fn are(n: usize) -> String {
    format!("{} more {}", grouped(n as u32), if n == 1 { "is" } else { "are" })
}

/// What becomes of these messages of one mailbox; `one` says that they are a single conversation.
fn step(
    verb: &Verb,
    from: MailboxId,
    mut uids: Vec<Uid>,
    to: Option<MailboxId>,
    trash: Option<MailboxId>,
    one: bool,
) -> ActStep {
    let flags = |flag, add| {
        let flags = Flags::of(&[flag]);
        ActChange::Flags(if add { FlagChange::Add(flags) } else { FlagChange::Remove(flags) })
    };
    let change = match verb {
        Verb::Empty => ActChange::Expunge,
        Verb::To(Role::Trash) if trash == Some(from) => ActChange::Expunge,
        Verb::Read(read) => flags(SystemFlag::Seen, *read),
        Verb::ReadAll => flags(SystemFlag::Seen, true),
        Verb::Star(star) => flags(SystemFlag::Flagged, *star),
        Verb::Snooze(until) => ActChange::Snooze(to.unwrap_or(from), *until),
        _ => ActChange::Move(to.unwrap_or(from)),
    };
    // A conversation is starred, or unread, by its newest message.
    if matches!(verb, Verb::Star(true) | Verb::Read(false)) && one {
        uids.drain(..uids.len() - 1);
    }
    ActStep { mailbox: from, uids, change }
}

/// The messages of a whole mailbox that the verb changes, up to and with a UID, and how many more there are than one act
/// may change: the newest come first, as they stand in the list.
fn whole(caller: &Caller, verb: &Verb, mailbox: MailboxId, upto: Uid) -> Result<(Vec<Uid>, usize)> {
    let mail = &caller.site.mailstore;
    if *verb == Verb::Empty {
        let found = mail.mailbox(caller.realm, mailbox)?;
        if !found.is_some_and(|m| matches!(m.role, Some(Role::Trash | Role::Junk))) {
            return Err(Fault::Forbidden("You can only empty Trash and Spam."));
        }
    }
    let view = mail.view(caller.realm, mailbox)?;
    let wanted = |at: usize| match verb {
        Verb::ReadAll | Verb::Read(true) => !view.flags(at).seen(),
        Verb::Read(false) => view.flags(at).seen(),
        _ => true,
    };
    let all = view.uids().iter().enumerate().filter(|(at, uid)| **uid <= upto && wanted(*at));
    let mut uids: Vec<Uid> = all.map(|(_, uid)| *uid).collect();
    let left = uids.len().saturating_sub(mailstore::MAX_ACT_MESSAGES);
    uids.drain(..left);
    Ok((uids, left))
}

/// Where the named messages are.
fn resolve(caller: &Caller, named: &[Named], mailbox: Option<MailboxId>) -> Result<BTreeMap<MailboxId, Vec<Uid>>> {
    let mail = &caller.site.mailstore;
    let mut threads: BTreeMap<MailboxId, Vec<ThreadId>> = BTreeMap::new();
    let mut messages: BTreeMap<MailboxId, Vec<Uid>> = BTreeMap::new();
    for named in named {
        match named {
            Named::Thread(mailbox, thread) => threads.entry(*mailbox).or_default().push(*thread),
            Named::Message(email) => {
                let places = mail.places(caller.realm, *email)?;
                let here = places.iter().find(|(at, _)| Some(*at) == mailbox).or(places.first());
                if let Some((at, uid)) = here {
                    messages.entry(*at).or_default().push(*uid);
                }
            }
        }
    }
    for (mailbox, threads) in threads {
        let uids = mail.uids_of_threads(caller.realm, mailbox, &threads)?;
        messages.entry(mailbox).or_default().extend(uids);
    }
    for uids in messages.values_mut() {
        uids.sort_unstable();
        uids.dedup();
    }
    Ok(messages)
}

/// `POST /undo`: takes back what a notice offered to take back.
pub async fn undo(caller: Caller, form: Posted) -> Result<Response> {
    let back = form.back();
    let gone = Fault::NotFound("This can no longer be undone.");
    let (kind, key) = form.get("action").split_once(':').ok_or(Fault::NotFound("This can no longer be undone."))?;
    let key = hex::decode(key).map_err(|_| Fault::NotFound("This can no longer be undone."))?;
    match kind {
        "act" => {
            caller.site.mailstore.undo(caller.realm, &key).await?.ok_or(gone)?;
            Ok(Redirect::to(&crate::notice::with(&back, "undone")).into_response())
        }
        "people" => {
            caller.site.people.undo(caller.realm, &key).await?.ok_or(gone)?;
            Ok(Redirect::to(&crate::notice::with(&back, "undone")).into_response())
        }
        "rules" if caller.site.rules.undo_edit(caller.realm, &key).await? => {
            Ok(Redirect::to(&crate::notice::with(&back, "undone")).into_response())
        }
        "search" => {
            let id = <[u8; 8]>::try_from(key.as_slice()).map(u64::from_be_bytes).unwrap_or_default();
            if !caller.site.saved.bring_back(caller.realm, id).await? {
                return Err(gone);
            }
            Ok(Redirect::to(&crate::notice::with(&back, "undone")).into_response())
        }
        "rewind" => crate::rewind::undo_by_key(caller, &key, &back).await?.ok_or(gone),
        "sent" => match caller.site.delivery.cancel_submission(caller.account, &key).await {
            Ok(receipt) => {
                let draft = receipt.sent_copy.map(|copy| copy.email);
                let to = draft.map_or(back, |email| format!("/compose?draft={email}"));
                Ok(Redirect::to(&crate::notice::with(&to, "unsent")).into_response())
            }
            Err(DeliveryError::TooLate) => Ok(Redirect::to(&crate::notice::with(&back, "toolate")).into_response()),
            Err(error) => Err(error.into()),
        },
        _ => Err(gone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_name_conversations_and_messages() {
        let here = Some(MailboxId(1));
        assert_eq!(Named::parse("t7", here), Some(Named::Thread(MailboxId(1), ThreadId(7))));
        assert_eq!(Named::parse("m3.t7", here), Some(Named::Thread(MailboxId(3), ThreadId(7))));
        assert_eq!(Named::parse("e9", None), Some(Named::Message(EmailId(9))));
        for bad in ["", "t", "x7", "m3.e7", "m3.", "t7"] {
            assert_eq!(Named::parse(bad, None), None, "{bad}");
        }
    }

    #[test]
    fn verbs_are_few() {
        assert_eq!(Verb::parse("delete"), Some(Verb::To(Role::Trash)));
        assert_eq!(Verb::parse("move:m4"), Some(Verb::Move(MailboxId(4))));
        assert_eq!(Verb::parse("move:4"), None);
        assert_eq!(Verb::parse("explode"), None);
    }
}
