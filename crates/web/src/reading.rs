//! One conversation, read: its messages oldest first, the unread and the last one open.

use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use axum::extract::{Path, Query};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Redirect, Response};
use mailkit::display;
use mailkit::parsed::DisplayAddress;
use mailstore::{EmailId, Mailbox, MailboxId, MessageRow, Role, SystemFlag, ThreadId, Uid};

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::listing::{self, Place, subject};
use crate::proof::Proof;
use crate::shell::{self, label};
use crate::templates::{ConversationPage, File, Message, Reading};
use crate::text::{avatar, to_html};
use crate::time::{Calendar, size};
use crate::{contacts, message, search, view, why};

/// Bytes of a header section that are looked through for the name of a list.
const MAX_HEADER: usize = 64 << 10;
/// Messages of one conversation that are open at once.
const MAX_OPEN: usize = 40;
/// And how many bytes are read to show them; what is beyond stays closed until it is opened by itself.
const MAX_OPEN_BYTES: u64 = 8_000_000;
/// Closed messages that are shown of a long conversation, the newest ones, until the earlier ones are asked for.
const MAX_SHUT: usize = 4;

/// `GET /mail/{mailbox}/{thread}`
pub async fn conversation(
    caller: Caller,
    Path((id, thread)): Path<(String, String)>,
    Query(place): Query<Place>,
    headers: HeaderMap,
) -> Result<Response> {
    let thread: ThreadId = thread.parse().map_err(|_| gone())?;
    let (caller, mailbox, rows, place) = caller
        .blocking_owned(move |caller| {
            let mailbox = listing::find(&caller, &id)?;
            let rows = messages(&caller, &mailbox, thread)?;
            Ok((caller, mailbox, rows, place))
        })
        .await?;
    if rows.is_empty() {
        // Going back in the browser leads to what was deleted or archived since.
        let to = format!("/mail/{}{}", mailbox.id, place.query());
        return Ok(Redirect::to(&crate::notice::with(&to, &format!("elsewhere:{thread}"))).into_response());
    }
    let open = opened(&rows, place.open.as_deref());
    // Reading marks as read. A browser that only guesses what may be wanted next does not read.
    let guessed = headers.contains_key("sec-purpose") || headers.contains_key("x-quiet");
    let unread: HashSet<EmailId> = rows.iter().filter(|row| !row.flags.seen()).map(|row| row.email_id).collect();
    if !guessed {
        mark_read(&caller, rows.iter().filter(|row| open.ids.contains(&row.email_id))).await?;
    }
    caller
        .rendering(move |caller| {
            // Read again: its counts have changed.
            let mailbox = listing::find(caller, &mailbox.id.to_string())?;
            let list = match &place.q {
                Some(_) => search::list(caller, &place, Some((mailbox.id, thread)), &AtomicBool::new(false))?,
                None => listing::of_mailbox(caller, &mailbox, &place, Some(thread))?,
            };
            let mut shell = shell::build(caller, "reading", Some(mailbox.id))?;
            shell.query = place.q.clone().unwrap_or_default();
            let here = format!("/mail/{}/{thread}{}", mailbox.id, place.query());
            shell.notice = crate::notice::find(caller, place.done.as_deref(), &here)?;
            let conversation = Conversation { mailbox: &mailbox, thread, rows: &rows, open: &open, unread: &unread };
            let mut reading = fill(caller, &conversation, &place)?;
            if let Some(at) = list.rows.iter().position(|row| row.current) {
                reading.newer = at.checked_sub(1).map(|at| list.rows[at].href.clone());
                reading.older = list.rows.get(at + 1).map(|row| row.href.clone());
            }
            let page = caller.page(&reading.subject);
            Ok(view::html(&ConversationPage { page, shell, list, reading }))
        })
        .await
}

fn gone() -> Fault {
    Fault::NotFound("There is no such conversation in this mailbox.")
}

/// The messages of a conversation as seen from `mailbox`: each once, and what is in Trash or Junk from there only. None,
/// if the conversation has messages in other mailboxes alone.
fn messages(caller: &Caller, mailbox: &Mailbox, thread: ThreadId) -> Result<Vec<MessageRow>> {
    let mail = &caller.site.mailstore;
    let aside: Vec<MailboxId> = [Role::Trash, Role::Junk]
        .into_iter()
        .filter_map(|role| mail.mailbox_by_role(caller.realm, role).transpose())
        .map(|found| found.map(|m| m.id))
        .collect::<mailstore::Result<_>>()?;
    let mut rows = mail.thread(caller.realm, thread)?;
    if rows.is_empty() {
        return Err(gone());
    }
    rows.retain(|row| row.mailbox == mailbox.id || !aside.contains(&row.mailbox));
    let here: HashSet<EmailId> = rows.iter().filter(|r| r.mailbox == mailbox.id).map(|r| r.email_id).collect();
    if here.is_empty() {
        return Ok(Vec::new());
    }
    let mut seen = HashSet::new();
    rows.retain(|row| (row.mailbox == mailbox.id || !here.contains(&row.email_id)) && seen.insert(row.email_id));
    Ok(rows)
}

/// The messages of a conversation that its page shows open.
struct Opened {
    ids: HashSet<EmailId>,
    /// Whether all that should be open fitted on the page.
    all: bool,
}

/// Which messages are open: the last one that is no draft, those asked for, and those unread, as far as they fit on a
/// page.
fn opened(rows: &[MessageRow], asked: Option<&str>) -> Opened {
    let last = rows.iter().rev().find(|row| !row.flags.contains(SystemFlag::Draft)).or(rows.last());
    let asked = asked.unwrap_or_default();
    let wanted: HashSet<EmailId> = asked.split(',').filter_map(|id| id.parse().ok()).collect();
    let is_wanted = |row: &&MessageRow| wanted.contains(&row.email_id);
    let is_next = |row: &&MessageRow| asked == "all" || !row.flags.seen();
    let newest_first = || rows.iter().rev();
    let in_order = newest_first().filter(is_wanted).chain(last).chain(newest_first().filter(is_next));
    let mut open = HashSet::new();
    let mut bytes = 0;
    let mut all = true;
    for row in in_order {
        if open.contains(&row.email_id) {
            continue;
        }
        let more = display::shown_bytes(&row.parsed).min(row.size);
        if open.len() >= MAX_OPEN || (bytes + more > MAX_OPEN_BYTES && !open.is_empty()) {
            all = false;
            continue;
        }
        bytes += more;
        open.insert(row.email_id);
    }
    Opened { ids: open, all }
}

async fn mark_read(caller: &Caller, rows: impl Iterator<Item = &MessageRow>) -> Result<()> {
    let unread: Vec<(MailboxId, Uid)> =
        rows.filter(|row| !row.flags.seen()).map(|row| (row.mailbox, row.uid)).collect();
    for chunk in unread.chunk_by(|a, b| a.0 == b.0) {
        let uids: Vec<Uid> = chunk.iter().map(|(_, uid)| *uid).collect();
        caller.site.mailstore.mark_seen(caller.realm, chunk[0].0, &uids).await?;
    }
    Ok(())
}

/// A conversation as its page is to show it.
struct Conversation<'a> {
    mailbox: &'a Mailbox,
    thread: ThreadId,
    rows: &'a [MessageRow],
    open: &'a Opened,
    /// Those that were unread when the page was asked for.
    unread: &'a HashSet<EmailId>,
}

impl Conversation<'_> {
    /// This page with `name` set to `ids`.
    fn link(&self, place: &Place, name: &str, ids: &[String]) -> String {
        let mut href = format!("/mail/{}/{}{}", self.mailbox.id, self.thread, place.query());
        href.push(if href.contains('?') { '&' } else { '?' });
        href.push_str(name);
        href.push('=');
        href.push_str(&ids.join(","));
        href
    }

    /// The messages that are open once `extra` is opened too.
    fn open_with(&self, extra: EmailId) -> Vec<String> {
        // Where not all fit on a page, the one that is opened takes the place of the others.
        let others = self.open.ids.iter().copied().filter(|_| self.open.all);
        let mut ids: Vec<EmailId> = others.chain([extra]).collect();
        ids.sort_unstable();
        ids.dedup();
        ids.iter().map(EmailId::to_string).collect()
    }

    /// How many of the first closed messages are folded into one line.
    fn folded(&self, place: &Place) -> usize {
        let shut = self.rows.iter().filter(|row| !self.open.ids.contains(&row.email_id)).count();
        let foldable = if place.open.as_deref() == Some("all") { 0 } else { shut.saturating_sub(MAX_SHUT) };
        // One folded away would take as much room as it saves.
        if foldable > 1 { foldable } else { 0 }
    }
}

fn fill(caller: &Caller, conversation: &Conversation<'_>, place: &Place) -> Result<Reading> {
    let Conversation { mailbox, thread, rows, open, unread } = *conversation;
    let names = caller.site.mailstore.mailboxes(caller.realm)?;
    let pictures: HashSet<EmailId> =
        place.images.iter().flat_map(|ids| ids.split(',')).filter_map(|id| id.parse().ok()).collect();
    let calendar = caller.calendar();
    let earlier = conversation.folded(place);
    let mut passed = 0;
    let mut messages = Vec::with_capacity(rows.len() - earlier);
    for row in rows {
        if passed < earlier && !open.ids.contains(&row.email_id) {
            passed += 1;
            continue;
        }
        let id = row.email_id;
        let mut shown = outline(caller, &calendar, row);
        shown.place =
            (row.mailbox != mailbox.id).then(|| names.iter().find(|m| m.id == row.mailbox).map(label)).flatten();
        shown.unread = unread.contains(&id);
        shown.open = open.ids.contains(&id);
        shown.open_href = conversation.link(place, "open", &conversation.open_with(id));
        let mut with_pictures: Vec<String> = pictures.iter().map(EmailId::to_string).collect();
        with_pictures.push(id.to_string());
        shown.images_href = format!("{}&images={}", shown.open_href, with_pictures.join(","));
        if shown.open {
            let place = names.iter().find(|m| m.id == row.mailbox);
            shown.is_junk = place.is_some_and(|place| why::is_junk(place, &names));
            shown.why = why::of(row, shown.is_junk);
            if mailkit::EmailAddress::parse(&shown.from_address).is_ok() && !caller.is_me(&shown.from_address) {
                shown.contact = contacts::sender(caller, &shown.from_address)?;
                shown.addable = shown.contact.is_none();
            }
            content(caller, row, caller.preferences.remote_images || pictures.contains(&id), &mut shown)?;
        }
        messages.push(shown);
    }
    let answerable = rows.iter().rev().find(|row| !row.flags.contains(SystemFlag::Draft));
    let others = answerable.map_or(0, |row| {
        let p = &row.parsed;
        p.from.iter().chain(&p.to).chain(&p.cc).filter(|a| !caller.is_me(&a.address)).count()
    });
    let times = crate::snooze::times(caller, mailbox)?;
    let here = rows.iter().filter(|row| row.mailbox == mailbox.id);
    let snoozed = here.filter_map(|row| times.get(&row.email_id)).min().copied();
    let all_href = conversation.link(place, "open", &["all".to_owned()]);
    Ok(Reading {
        thread,
        id: if place.q.is_some() { format!("{}.{thread}", mailbox.id) } else { thread.to_string() },
        subject: rows.first().map_or_else(String::new, |row| subject(&row.parsed.subject)),
        starred: rows.iter().any(|row| row.flags.flagged()),
        snoozed: snoozed.as_ref().map(|until| crate::snooze::told(&calendar, *until)),
        first: first_to_read(&messages),
        shut: messages.iter().filter(|m| !m.open).count() + earlier,
        total: rows.len(),
        newer: None,
        older: None,
        all_href: all_href.clone(),
        earlier,
        earlier_href: all_href,
        here: format!("/mail/{}/{thread}{}", mailbox.id, place.query()),
        messages,
        reply_to: answerable.map(|row| row.email_id),
        many: others > 1,
    })
}

/// Which of the messages shown a reader wants to see first: the first unread one, or else the last that is open.
fn first_to_read(messages: &[Message]) -> Option<EmailId> {
    let unread = messages.iter().find(|message| message.unread && message.open);
    unread.or_else(|| messages.iter().rev().find(|message| message.open)).map(|message| message.id)
}

/// What is shown of a closed message, and around an open one.
fn outline(caller: &Caller, calendar: &Calendar, row: &MessageRow) -> Message {
    let parsed = &row.parsed;
    let nobody = DisplayAddress::default();
    let from = parsed.from.first().unwrap_or(&nobody);
    let (initial, hue) = avatar(&from.name, &from.address);
    let named = |a: &DisplayAddress| if a.name.is_empty() { a.address.clone() } else { a.name.clone() };
    let short = |a: &DisplayAddress| {
        if caller.is_me(&a.address) { caller.texts.message_to_me().into_owned() } else { named(a) }
    };
    let mut to: Vec<String> = parsed.to.iter().chain(&parsed.cc).take(4).map(short).collect();
    let further = (parsed.to.len() + parsed.cc.len()).saturating_sub(to.len());
    if further > 0 {
        to.push(caller.texts.message_more_people(further).into_owned());
    }
    Message {
        id: row.email_id,
        mailbox: row.mailbox,
        place: None,
        key: view::fresh_key(),
        open: false,
        unread: false,
        draft: row.flags.contains(SystemFlag::Draft),
        from_name: if from.address.is_empty() && from.name.is_empty() {
            caller.texts.message_unknown_sender().into_owned()
        } else {
            named(from)
        },
        from_address: from.address.clone(),
        proof: None,
        addable: false,
        contact: None,
        initial,
        hue,
        to_short: if to.is_empty() { caller.texts.message_undisclosed().into_owned() } else { to.join(", ") },
        from_full: in_full(&parsed.from),
        to_full: in_full(&parsed.to),
        cc_full: in_full(&parsed.cc),
        bcc_full: in_full(&parsed.bcc),
        preview: parsed.preview.clone(),
        when: calendar.when(mailkit::date::sent_ms(parsed.date_ms, row.internal_date_ms)),
        size: size(row.size),
        open_href: String::new(),
        blocked: 0,
        why: None,
        is_junk: false,
        notes: Vec::new(),
        again: false,
        images_href: String::new(),
        frame: None,
        adapts: false,
        text: String::new(),
        cut: false,
        files: Vec::new(),
    }
}

fn in_full(people: &[DisplayAddress]) -> String {
    let full = |a: &DisplayAddress| {
        if a.name.is_empty() { a.address.clone() } else { format!("{} <{}>", a.name, a.address) }
    };
    people.iter().map(full).collect::<Vec<_>>().join(", ")
}

/// Put in what an open message says.
fn content(caller: &Caller, row: &MessageRow, pictures: bool, shown: &mut Message) -> Result<()> {
    caller.awaited()?;
    let id = row.email_id;
    let cleaned = message::cleaned(caller, id, &row.parsed, pictures)?;
    shown.blocked = cleaned.blocked;
    let proof =
        |list: Option<&[u8]>| Proof::of(row.body.prefix(), &caller.site.options.hostname, &shown.from_address, list);
    shown.proof = match proof(None) {
        // Lists change what they send on: the header section tells whether it is one.
        Some(told) if !told.warning.is_empty() => {
            let bytes = usize::try_from(row.parsed.root.body_start).map_or(MAX_HEADER, |end| end.min(MAX_HEADER));
            let header = caller.site.mailstore.body(caller.realm, id)?.read_range(0, bytes)?;
            proof(mailkit::headers::value(&header, "List-Id").as_deref())
        }
        told => told,
    };
    shown.notes.clone_from(&cleaned.notes);
    shown.again = crate::compose::again::is_offered(caller, id, &row.parsed)?;
    if cleaned.html.is_some() {
        shown.adapts = cleaned.adapts;
        shown.frame = Some(message::frame_url(id, pictures, cleaned.adapts.then_some(caller.theme)));
    } else {
        (shown.text, shown.cut) = to_html(&cleaned.text);
    }
    let file = |file: &display::Attachment| File {
        name: file.name.clone(),
        size: size(file.size),
        href: message::part_url(id, &file.part, &file.name),
        picture: message::picture_url(id, file),
    };
    shown.files = cleaned.attachments.iter().map(file).collect();
    Ok(())
}
