//! Archive, Delete, Move, Spam, Star, Read: on one conversation or many, once however often it is posted, with a way
//! back.

use std::collections::BTreeMap;

use axum::response::{IntoResponse, Redirect, Response};
use delivery::DeliveryError;
use mailstore::{ActChange, ActStep, EmailId, FlagChange, Flags, Mailbox, MailboxId, Role, SystemFlag, ThreadId, Uid};

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::forms::Posted;
use crate::listing::count;
use crate::shell::label;

/// Most conversations or messages named by one form.
const MAX_IDS: usize = 500;

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verb {
    To(Role),
    Move(MailboxId),
    Read(bool),
    Star(bool),
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
    let bad = || Fault::Bad("The form did not say what to do with which messages.".to_owned());
    let mailbox: Option<MailboxId> = form.get("mailbox").parse().ok();
    // A star in a row is a button of its own: it names its conversation, whatever is ticked.
    let (verb, ids): (&str, Vec<&str>) = match form.get("only").split_once(':') {
        Some((verb, id)) => (verb, vec![id]),
        None => (form.get("verb"), form.all("id").collect()),
    };
    let verb = Verb::parse(verb).ok_or_else(bad)?;
    let whole = matches!(verb, Verb::Empty | Verb::ReadAll);
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
    let key = form.act_key(&format!("{verb:?} {named:?} {mailbox:?}"));
    let known = caller.site.mailstore.act_receipt(caller.realm, &key)?;
    if known.is_none() {
        let planned = {
            let verb = verb.clone();
            caller.blocking_owned(move |caller| plan(&caller, &verb, &named, mailbox).map(|plan| (caller, plan))).await
        };
        let (caller, (note, steps)) = planned?;
        caller.site.mailstore.act(caller.realm, &key, &note, steps).await?;
        metrics::counter!("holdfast_web_acts_total").increment(1);
    }
    // Where the conversation went away the reader goes back to the list, otherwise stays.
    let stays = matches!(verb, Verb::Star(_)) && !form.get("here").is_empty();
    let to = if stays { form.local("here") } else { back };
    // A star is its own answer.
    let quiet = matches!(verb, Verb::Star(_) | Verb::Read(_));
    let done = if quiet { String::new() } else { format!("act:{}", hex::encode(&key)) };
    Ok(Redirect::to(&crate::notice::with(&to, &done)).into_response())
}

/// The steps of an act, and what to tell about it.
fn plan(caller: &Caller, verb: &Verb, named: &[Named], mailbox: Option<MailboxId>) -> Result<(String, Vec<ActStep>)> {
    let mail = &caller.site.mailstore;
    let role = |role| mail.mailbox_by_role(caller.realm, role);
    let trash = role(Role::Trash)?;
    let messages = match (verb, mailbox) {
        (Verb::Empty, Some(mailbox)) => {
            let found = mail.mailbox(caller.realm, mailbox)?;
            if !found.is_some_and(|m| matches!(m.role, Some(Role::Trash | Role::Junk))) {
                return Err(Fault::Forbidden("Only Trash and Spam can be emptied."));
            }
            let view = mail.view(caller.realm, mailbox)?;
            let uids = view.uids().iter().copied().take(mailstore::MAX_ACT_MESSAGES).collect();
            BTreeMap::from([(mailbox, uids)])
        }
        (Verb::ReadAll, Some(mailbox)) => {
            let view = mail.view(caller.realm, mailbox)?;
            let unread = view.uids().iter().enumerate().filter(|(at, _)| !view.flags(*at).seen());
            let uids = unread.map(|(_, uid)| *uid).take(mailstore::MAX_ACT_MESSAGES).collect();
            BTreeMap::from([(mailbox, uids)])
        }
        _ => resolve(caller, named, mailbox)?,
    };
    let threads = named.iter().all(|named| matches!(named, Named::Thread(..)));
    let what = |n: usize| count(n as u32, if threads { "conversation" } else { "message" });
    let n = named.len();
    let target: Option<Mailbox> = match verb {
        Verb::To(to) => Some(role(*to)?.ok_or(Fault::NotFound("The mailbox for that is missing."))?),
        Verb::Move(to) => Some(mail.mailbox(caller.realm, *to)?.ok_or(Fault::NotFound("There is no such mailbox."))?),
        _ => None,
    };
    let note = match (verb, &target) {
        (Verb::To(Role::Archive), _) => format!("{} archived.", what(n)),
        (Verb::To(Role::Junk), _) => format!("{} reported as spam.", what(n)),
        (Verb::To(Role::Trash), _) if mailbox.is_some() && mailbox == trash.as_ref().map(|m| m.id) => {
            format!("{} deleted for good.", what(n))
        }
        (Verb::To(Role::Trash), _) => format!("{} moved to Trash.", what(n)),
        (_, Some(target)) => format!("{} moved to {}.", what(n), label(target)),
        (Verb::ReadAll, _) => {
            format!("{} marked as read.", count(messages.values().map(Vec::len).sum::<usize>() as u32, "message"))
        }
        (Verb::Empty, _) => {
            format!("{} deleted for good.", count(messages.values().map(Vec::len).sum::<usize>() as u32, "message"))
        }
        (Verb::Read(true), _) => format!("{} marked as read.", what(n)),
        (Verb::Read(false), _) => format!("{} marked as unread.", what(n)),
        (Verb::Star(_), _) | (_, None) => String::new(),
    };
    let steps = messages
        .into_iter()
        .filter(|(_, uids)| !uids.is_empty())
        .map(|(from, mut uids)| {
            let flags = |flag, add| {
                let flags = Flags::of(&[flag]);
                ActChange::Flags(if add { FlagChange::Add(flags) } else { FlagChange::Remove(flags) })
            };
            let change = match verb {
                Verb::Empty => ActChange::Expunge,
                Verb::To(Role::Trash) if trash.as_ref().is_some_and(|trash| trash.id == from) => ActChange::Expunge,
                Verb::Read(read) => flags(SystemFlag::Seen, *read),
                Verb::ReadAll => flags(SystemFlag::Seen, true),
                Verb::Star(star) => flags(SystemFlag::Flagged, *star),
                _ => ActChange::Move(target.as_ref().map_or(from, |target| target.id)),
            };
            // A conversation is starred, or unread, by its newest message.
            if matches!(verb, Verb::Star(true) | Verb::Read(false)) && threads && named.len() == 1 {
                uids.drain(..uids.len() - 1);
            }
            ActStep { mailbox: from, uids, change }
        })
        .collect();
    Ok((note, steps))
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
    let gone = Fault::NotFound("That can no longer be undone.");
    let (kind, key) = form.get("action").split_once(':').ok_or(Fault::NotFound("That can no longer be undone."))?;
    let key = hex::decode(key).map_err(|_| Fault::NotFound("That can no longer be undone."))?;
    match kind {
        "act" => {
            caller.site.mailstore.undo(caller.realm, &key).await?.ok_or(gone)?;
            Ok(Redirect::to(&crate::notice::with(&back, "undone")).into_response())
        }
        "people" => {
            caller.site.people.undo(caller.realm, &key).await?.ok_or(gone)?;
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
