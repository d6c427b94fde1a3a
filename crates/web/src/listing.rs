//! Lists of conversations: a mailbox, or what a search found.

use axum::extract::{Path, Query};
use axum::response::Response;
use mailstore::{ConversationRow, Mailbox, MailboxId, PageKey, Participant, Role, ThreadId};
use serde::Deserialize;
use texts::Text;

use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::language::texts;
use crate::shell::{self, label, role_name};
use crate::templates::{FIRST, List, MailboxPage, Row};
use crate::text::avatar;
use crate::time::Calendar;
use crate::view;

/// Names of at most so many people stand in a line.
const MAX_NAMES: usize = 4;

/// Where in a list a page is. Keys, not counts: arriving mail moves nothing.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Place {
    /// After that conversation.
    pub after: Option<String>,
    /// Before that conversation.
    pub before: Option<String>,
    /// A search whose results are the list.
    pub q: Option<String>,
    /// What has just been done (see [`crate::notice`]).
    pub done: Option<String>,
    /// Messages to open, of a conversation.
    pub open: Option<String>,
    /// Messages whose pictures to load.
    pub images: Option<String>,
}

impl Place {
    /// As the query of an address, with `?`, without what is of the moment.
    pub fn query(&self) -> String {
        let mut query = String::new();
        for (name, value) in [("after", &self.after), ("before", &self.before), ("q", &self.q)] {
            if let Some(value) = value {
                query.push(if query.is_empty() { '?' } else { '&' });
                query.push_str(name);
                query.push('=');
                query.push_str(&crate::error::form_urlencoded(value));
            }
        }
        query
    }
}

/// `GET /mail/{mailbox}`
pub async fn mailbox(caller: Caller, Path(id): Path<String>, Query(place): Query<Place>) -> Result<Response> {
    caller
        .blocking(move |caller| {
            let mailbox = find(caller, &id)?;
            let list = of_mailbox(caller, &mailbox, &place, None)?;
            let mut shell = shell::build(caller, "list", Some(mailbox.id))?;
            shell.notice = crate::notice::find(caller, place.done.as_deref(), &list.here)?;
            let unread = if mailbox.unread > 0 { format!("({}) ", mailbox.unread) } else { String::new() };
            let page = caller.page(&format!("{unread}{}", list.title));
            Ok(view::html(&MailboxPage { page, shell, list }))
        })
        .await
}

/// The mailbox that `id` names: `m7`, or a role as `inbox`.
pub fn find(caller: &Caller, id: &str) -> Result<Mailbox> {
    let gone = || Fault::NotFound("There is no such mailbox.");
    let mail = &caller.site.mailstore;
    if let Some(role) = Role::ALL.into_iter().find(|role| role_name(*role) == id) {
        return mail.mailbox_by_role(caller.realm, role)?.ok_or_else(gone);
    }
    let id: MailboxId = id.parse().map_err(|_| gone())?;
    mail.mailbox(caller.realm, id)?.ok_or_else(gone)
}

/// One page of a mailbox.
pub fn of_mailbox(caller: &Caller, mailbox: &Mailbox, place: &Place, open: Option<ThreadId>) -> Result<List> {
    let page = page_of(caller, mailbox, place)?;
    let base = address(mailbox);
    let here = format!("{base}{}", place.query());
    let rows = lines(caller, mailbox, place, &page.rows, open)?;
    let has_next = page.next.is_some();
    let previous = page.rows.first().filter(|_| page.has_previous).map(|row| {
        let key = PageKey { date_ms: row.newest_ms, thread: row.thread_id };
        format!("{base}?before={key}")
    });
    let clearing = matches!(mailbox.role, Some(Role::Trash | Role::Junk)) && mailbox.total > 0;
    let (empty_icon, empty_title, empty_text) = empty(mailbox);
    let t = caller.texts;
    Ok(List {
        aging: aging(caller, mailbox)?,
        title: label(mailbox),
        subtitle: subtitle(mailbox),
        mailbox: mailbox.id.to_string(),
        role: mailbox.role.map_or("folder", role_name),
        back: here.clone(),
        here,
        first: base.clone(),
        previous,
        next: page.next.map(|key| format!("{base}?after={key}")),
        range: t.messages(mailbox.total).into_owned(),
        can_empty: clearing,
        unread: mailbox.unread,
        everything: (page.has_previous || has_next)
            .then(|| t.list_in_mailbox(label(mailbox), t.messages(mailbox.total)).into_owned()),
        upto: mailbox.uid_next.0.saturating_sub(1),
        problems: Vec::new(),
        chips: Vec::new(),
        rows,
        empty_icon,
        empty_title,
        empty_text,
        reading_title: beside(caller, mailbox),
    })
}

/// Where a mailbox begins.
fn address(mailbox: &Mailbox) -> String {
    format!("/mail/{}", mailbox.id)
}

/// The conversations of the page that an address means.
fn page_of(caller: &Caller, mailbox: &Mailbox, place: &Place) -> Result<mailstore::Page<ConversationRow>> {
    let limit = caller.site.options.page_rows.clamp(10, 200);
    let key = |text: &Option<String>| {
        let bad = |_| Fault::NotFound("There is no such page of this mailbox.");
        text.as_deref().map(|text| text.parse::<PageKey>().map_err(bad)).transpose()
    };
    let mail = &caller.site.mailstore;
    Ok(match (key(&place.before)?, key(&place.after)?) {
        (Some(before), _) => mail.conversations_before(caller.realm, mailbox.id, before, limit)?,
        (None, after) => mail.conversations(caller.realm, mailbox.id, after, limit)?,
    })
}

/// A line for each conversation; `open` is the one that is read.
fn lines(
    caller: &Caller,
    mailbox: &Mailbox,
    place: &Place,
    found: &[ConversationRow],
    open: Option<ThreadId>,
) -> Result<Vec<Row>> {
    let (base, query) = (address(mailbox), place.query());
    let calendar = caller.calendar();
    let outgoing = matches!(mailbox.role, Some(Role::Sent | Role::Drafts));
    let rows: Vec<Row> = found
        .iter()
        .map(|row| {
            let href = if mailbox.role == Some(Role::Drafts) && row.total == 1 {
                format!("/compose?draft={}", row.newest)
            } else {
                let anchor = if row.total > 1 { FIRST } else { "" };
                format!("{base}/{}{query}{anchor}", row.thread_id)
            };
            line(caller, &calendar, row, outgoing, href, open)
        })
        .collect();
    snoozed(caller, mailbox, found, rows)
}

/// What stands beside the list while nothing is read.
fn beside(caller: &Caller, mailbox: &Mailbox) -> String {
    let t = caller.texts;
    match (mailbox.role, mailbox.unread) {
        // The list beside it says so.
        _ if mailbox.total == 0 => String::new(),
        (Some(Role::Drafts), _) => t.draft_count(mailbox.total).into_owned(),
        (Some(Role::Sent | Role::Trash | Role::Junk), _) => t.messages(mailbox.total).into_owned(),
        (_, 0) => t.list_no_unread().into_owned(),
        (_, unread) => t.unread_messages(unread).into_owned(),
    }
}

/// What becomes of old messages in Spam.
fn aging(caller: &Caller, mailbox: &Mailbox) -> Result<String> {
    if mailbox.role != Some(Role::Junk) {
        return Ok(String::new());
    }
    Ok(match caller.site.spam.settings(caller.realm)?.emptied_after_days {
        Some(days) => caller.texts.aging_days(caller.texts.days(days)).into_owned(),
        None => caller.texts.aging_never().into_owned(),
    })
}

/// How much there is, in a few words below the title.
fn subtitle(mailbox: &Mailbox) -> String {
    match (mailbox.role, mailbox.unread, mailbox.total) {
        (Some(Role::Drafts | Role::Sent), _, 0) | (_, 0, 0) => String::new(),
        (Some(Role::Drafts | Role::Sent), _, total) | (_, 0, total) => texts().messages(total).into_owned(),
        (_, unread, _) => texts().list_unread_count(unread).into_owned(),
    }
}

fn empty(mailbox: &Mailbox) -> (&'static str, Text, String) {
    let t = texts();
    let name = mailbox.role.map_or("folder", role_name);
    let (title, text) = match mailbox.role {
        Some(Role::Inbox) => (t.empty_inbox(), t.empty_inbox_text()),
        Some(Role::Drafts) => (t.empty_drafts(), t.empty_drafts_text()),
        Some(Role::Sent) => (t.empty_sent(), t.empty_sent_text()),
        Some(Role::Archive) => (t.empty_archive(), t.empty_archive_text()),
        Some(Role::Junk) => (t.empty_spam(), t.empty_spam_text()),
        Some(Role::Snoozed) => (t.empty_snoozed(), t.empty_snoozed_text()),
        Some(Role::Trash) => (t.empty_trash(), t.empty_trash_text()),
        None => (t.empty_mailbox(), t.empty_mailbox_text()),
    };
    (name, title, text.into_owned())
}

/// The lines with the time at which each conversation returns, in the mailbox of snoozed messages.
fn snoozed(caller: &Caller, mailbox: &Mailbox, found: &[ConversationRow], mut rows: Vec<Row>) -> Result<Vec<Row>> {
    let times = crate::snooze::times(caller, mailbox)?;
    for (row, line) in found.iter().zip(&mut rows) {
        if let Some(until) = times.get(&row.newest) {
            let until = caller.calendar().stamp(*until);
            line.preview = format!("Snoozed until {until} \u{2013} {}", line.preview);
        }
    }
    Ok(rows)
}

fn line(
    caller: &Caller,
    calendar: &Calendar,
    row: &ConversationRow,
    outgoing: bool,
    href: String,
    open: Option<ThreadId>,
) -> Row {
    let people = if outgoing { &row.recipients } else { &row.participants };
    let who = names(caller, people);
    let last = people.iter().rev().find(|p| !caller.is_me(&p.address)).or(people.last());
    let (initial, hue) = last.map_or_else(|| avatar("", ""), |p| avatar(&p.name, &p.address));
    Row {
        id: row.thread_id.to_string(),
        href,
        who: if outgoing { caller.texts.list_to(who).into_owned() } else { who },
        initial,
        hue,
        total: row.total,
        found: None,
        current: open == Some(row.thread_id),
        unread: row.unread > 0,
        starred: row.flagged > 0,
        attachment: row.has_attachment,
        subject: subject(&row.subject),
        preview: row.preview.clone(),
        when: calendar.when(row.newest_ms),
    }
}

/// A subject as shown: never empty.
pub fn subject(subject: &str) -> String {
    if mailkit::visible::settled(subject).trim().is_empty() {
        return texts().no_subject().into_owned();
    }
    subject.to_owned()
}

/// `Ann Lee` alone, `Ann, me, Bo` together.
fn names(caller: &Caller, people: &[Participant]) -> String {
    let short = |p: &Participant| {
        if caller.is_me(&p.address) && !p.from_outside {
            return caller.texts.list_me().into_owned();
        }
        let full = if p.name.trim().is_empty() { p.address.as_str() } else { p.name.trim() };
        if people.len() == 1 { full.to_owned() } else { first_name(full).to_owned() }
    };
    match people {
        [] => caller.texts.list_nobody().into_owned(),
        [first, .., last_but_one, last] if people.len() > MAX_NAMES => {
            format!("{} … {}, {}", short(first), short(last_but_one), short(last))
        }
        people => people.iter().map(short).collect::<Vec<_>>().join(", "),
    }
}

/// The part of a name that stands for it among others.
fn first_name(full: &str) -> &str {
    let full = full.trim_matches('"');
    match full.split_once(", ") {
        Some((_, given)) => given,
        None if full.contains('@') => full.split('@').next().unwrap_or(full),
        None => full.split(' ').next().unwrap_or(full),
    }
}

/// `1 message`, `1,234 messages`.
pub fn count(n: u32, what: &str) -> String {
    format!("{} {what}{}", grouped(n), if n == 1 { "" } else { "s" })
}

/// With commas between thousands.
pub fn grouped(n: u32) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(count(100_000, "message"), "100,000 messages");
        assert_eq!(count(1, "message"), "1 message");
    }

    #[test]
    fn people_go_by_first_name_among_others() {
        assert_eq!(first_name("Ann Lee"), "Ann");
        assert_eq!(first_name("Lee, Ann"), "Ann");
        assert_eq!(first_name("ann@example.org"), "ann");
    }

    #[test]
    fn a_place_survives_its_address() {
        let place = Place { q: Some("from:a b&c".into()), after: Some("12.t3".into()), ..Place::default() };
        assert_eq!(place.query(), "?after=12.t3&q=from%3Aa%20b%26c");
    }
}
