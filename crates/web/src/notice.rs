//! Notices: a line below the page that says what has just happened, with Undo where that is possible.
//!
//! The answer to a form is a redirect with `done=act:KEY` in its address. The text is looked up in the receipt that the
//! act left behind, so an address can't be forged to show any text, and reloading shows the present state.

use continuity::rewind::told;
use mailstore::ThreadId;
use mailstore::rewind::RewindId;
use texts::Text;

use crate::caller::Caller;
use crate::error::Result;
use crate::language::texts;
use crate::shell::label;
use crate::templates::Notice;

const TOO_LATE: &str = "toolate";

/// The same of the pages that are in the catalogue.
fn translated(done: &str) -> Option<Text> {
    let t = texts();
    Some(match done {
        "undone" => t.notice_undone(),
        "unsent" => t.notice_unsent(),
        TOO_LATE => t.notice_too_late(),
        "discarded" => t.notice_discarded(),
        "saved" => t.notice_saved(),
        "settings" => t.notice_settings(),
        "created" => t.notice_created(),
        "deleted" => t.notice_mailbox_deleted(),
        "searchsaved" => t.notice_search_saved(),
        "recentgone" => t.notice_recent_gone(),
        "spamreset" => t.notice_spam_reset(),
        _ => return None,
    })
}

/// What `done` says that names no receipt.
fn said(done: &str) -> Option<&'static str> {
    Some(match done {
        "accountgone" => "Account deleted. You can restore it for a while, below.",
        "broughtback" => "Account restored, with everything that it had.",
        "domaingone" => "Domain removed. Remove its DNS records too.",
        "checked" => "Checked just now.",
        "queueretry" => "Delivery is being attempted now.",
        "queuehold" => "Held. No delivery is attempted until you release the message.",
        "queuerelease" => "Released. Delivery is being attempted now.",
        "queuereturn" => "Returned. The sender gets a failure report.",
        "queuedrop" => "Dropped from the queue.",
        "sendingallowed" => "The account can send again. Its messages that were on hold are being sent.",
        "sendingstopped" => "Sending is stopped. Messages that were waiting are on hold.",
        "pairedgone" => "Removed. That machine gets nothing from this one any more.",
        "stage" => "The service is moving to that stage.",
        "started" => "Started. This page shows the progress.",
        "fetchadded" => "Added. Fetching begins now; this page shows the progress.",
        "fetchpaused" => "Paused. Nothing is fetched until you continue.",
        "fetchresumed" => "Fetching goes on now.",
        "fetchgone" => "Removed. The mail that was fetched stays.",
        "forwardasked" => "Sent. Mail is forwarded once the link in that message was used.",
        "forwardgone" => "Mail is no longer forwarded to that address.",
        "forwardresumed" => "Mail is forwarded to that address again.",
        "password" => "Password changed. Your other devices are signed out.",
        "passwordapps" => {
            "Password changed. Your other devices are signed out. The app passwords below still work: revoke any that \
             you don’t know."
        }
        "writtenforgotten" => "Forgotten. The address is no longer listed here.",
        "maskblocked" => "Blocked. Mail to that address no longer comes to your inbox.",
        "maskunblocked" => "Unblocked. Mail to that address comes to you again.",
        "maskdeleted" => "Deleted. Mail to that address is refused.",
        "aliasadded" => "Added. You can write from it too.",
        "aliasremoved" => "Removed. Mail to that address is refused.",
        "signinknown" => "Noted. It’s no longer marked as new.",
        "mended" => "Mended.",
        "passkeyadded" => "Passkey added. You can sign in with it now.",
        "passkeyremoved" => "Passkey removed. It no longer signs in.",
        "twostepoff" => "Two-step sign-in is off.",
        "scriptsaved" => "Script saved.",
        "scriptgone" => "Script deleted.",
        "scripton" => "Script activated. It is used for all new messages.",
        "scriptoff" => "Script deactivated. New messages go to the inbox.",
        _ => return None,
    })
}

/// The notice for `done`, if there is one.
pub fn find(caller: &Caller, done: Option<&str>, back: &str) -> Result<Option<Notice>> {
    let Some(done) = done else { return Ok(None) };
    let plain = |text: &str| Notice { text: text.to_owned(), back: back.to_owned(), ..Notice::of(done) };
    let t = caller.texts;
    if let Some(text) = translated(done).or_else(|| said(done).map(Text::Borrowed)) {
        return Ok(Some(Notice { bad: done == TOO_LATE, ..plain(&text) }));
    }
    let Some((kind, key)) = done.split_once(':') else { return Ok(None) };
    if kind == "elsewhere" {
        return elsewhere(caller, key, back);
    }
    let undone = || Notice { code: "undone".to_owned(), ..plain(&t.notice_undone()) };
    let Ok(bytes) = hex::decode(key) else { return Ok(None) };
    Ok(match kind {
        "act" => {
            caller.site.mailstore.act_receipt(caller.realm, &bytes)?.filter(|receipt| !receipt.note.is_empty()).map(
                |receipt| Notice {
                    undo: (receipt.undoable && receipt.changed > 0).then(|| done.to_owned()),
                    ..if receipt.undone { undone() } else { plain(&receipt.note) }
                },
            )
        }
        "people" => caller.site.people.receipt(caller.realm, &bytes)?.filter(|receipt| !receipt.note.is_empty()).map(
            |receipt| {
                let link = receipt.contact.filter(|_| !receipt.undoable && !receipt.undone);
                Notice {
                    undo: receipt.undoable.then(|| done.to_owned()),
                    link: link.map(|id| (format!("/people/{id}"), t.show())),
                    ..if receipt.undone { undone() } else { plain(&receipt.note) }
                }
            },
        ),
        "search" => {
            let id = <[u8; 8]>::try_from(bytes.as_slice()).map(u64::from_be_bytes).unwrap_or_default();
            caller.site.saved.removed(caller.realm, id)?.map(|search| Notice {
                undo: (!search.undone).then(|| done.to_owned()),
                ..if search.undone { undone() } else { plain(&t.notice_search_deleted()) }
            })
        }
        "rules" => caller.site.rules.last_edit(caller.realm, &bytes)?.map(|edit| Notice {
            undo: edit.undoable.then(|| done.to_owned()),
            ..if edit.undone { undone() } else { plain(&edit.note) }
        }),
        "rewind" => {
            let id = RewindId::of(&bytes)?;
            caller.site.mailstore.rewind_record(caller.realm, id)?.map(|record| Notice {
                undo: (record.changed() && !record.undone).then(|| done.to_owned()),
                ..plain(&told(&record))
            })
        }
        "sent" => caller.site.delivery.receipt(caller.account, &bytes)?.map(|receipt| {
            let held = receipt.held_until_ms.is_some_and(|until| until > caller.now_ms()) && !receipt.cancelled;
            let link = receipt.sent_copy.map(|copy| (format!("/message/{}", copy.email), t.show()));
            Notice {
                undo: held.then(|| done.to_owned()),
                link: link.filter(|_| !held && !receipt.cancelled),
                ..if receipt.cancelled {
                    Notice { code: "unsent".to_owned(), ..plain(&t.notice_unsent()) }
                } else {
                    plain(&t.notice_sent())
                }
            }
        }),
        _ => None,
    })
}

/// The notice for a conversation that is no longer in the mailbox where it was looked for.
fn elsewhere(caller: &Caller, thread: &str, back: &str) -> Result<Option<Notice>> {
    let Ok(thread) = thread.parse::<ThreadId>() else { return Ok(None) };
    let mail = &caller.site.mailstore;
    let Some(row) = mail.thread(caller.realm, thread)?.pop() else { return Ok(None) };
    let Some(mailbox) = mail.mailbox(caller.realm, row.mailbox)? else { return Ok(None) };
    Ok(Some(Notice {
        text: caller.texts.notice_elsewhere(label(&mailbox)).into_owned(),
        link: Some((format!("/mail/{}/{thread}", mailbox.id), caller.texts.open())),
        back: back.to_owned(),
        ..Notice::of("elsewhere")
    }))
}

impl Notice {
    /// The notice that stands in an address as `done`, still without words. Its code is the part before the key.
    pub fn of(done: &str) -> Self {
        let code = done.split(':').next().unwrap_or_default().to_owned();
        Self { code, ..Self::default() }
    }
}

/// The address `to` with a notice.
pub fn with(to: &str, done: &str) -> String {
    if done.is_empty() {
        return to.to_owned();
    }
    let (to, anchor) = to.split_once('#').map_or((to, ""), |(to, anchor)| (to, anchor));
    let kept: Vec<&str> = to.split_once('?').map_or(Vec::new(), |(_, query)| {
        query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("done=")).collect()
    });
    let path = to.split('?').next().unwrap_or(to);
    let mut out = path.to_owned();
    for (at, pair) in kept.iter().copied().chain([format!("done={done}").as_str()]).enumerate() {
        out.push(if at == 0 { '?' } else { '&' });
        out.push_str(pair);
    }
    if !anchor.is_empty() {
        out.push('#');
        out.push_str(anchor);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::with;

    #[test]
    fn a_notice_takes_the_place_of_the_last_one() {
        assert_eq!(with("/mail/m1", "undone"), "/mail/m1?done=undone");
        assert_eq!(with("/mail/m1?after=1.t2&done=act:00", "undone"), "/mail/m1?after=1.t2&done=undone");
        assert_eq!(with("/mail/m1?done=x", ""), "/mail/m1?done=x");
    }
}
