//! The list of conversations of a mailbox, newest first, paged by key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::Bound;
use std::str::FromStr;

use mailkit::Parsed;
use mailkit::parsed::DisplayAddress;
use store::{Order, Read, RealmId, StoreError};

use crate::mailbox::counters_of;
use crate::schema::{self, ConversationRecord, EntryRecord, key};
use crate::threads::{self, conversation_record};
use crate::{EmailId, MailError, MailStore, MailboxId, MessageRow, ParseIdError, Result, ThreadId, Uid, rows};

/// Where a page of conversations begins: a place in the order, not a count, so that it holds when mail arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageKey {
    /// Date of the conversation before the page, milliseconds since 1970 UTC.
    pub date_ms: i64,
    /// And which it is.
    pub thread: ThreadId,
}

impl fmt::Display for PageKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.date_ms, self.thread)
    }
}

impl FromStr for PageKey {
    type Err = ParseIdError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseIdError> {
        let (date, thread) = text.split_once('.').ok_or(ParseIdError)?;
        Ok(Self { date_ms: date.parse().map_err(|_| ParseIdError)?, thread: thread.parse()? })
    }
}

/// Someone who wrote in a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    /// The name as last written; may be empty.
    pub name: String,
    /// The address.
    pub address: String,
    /// Whether something of theirs is unread.
    pub unread: bool,
    /// Whether something of theirs came from outside, so that it was checked who sent it: the name may be a claim only.
    pub from_outside: bool,
}

/// A conversation as one line of a list. Counts are of the messages in the listed mailbox.
#[derive(Clone, Debug)]
pub struct ConversationRow {
    /// Which.
    pub thread_id: ThreadId,
    /// Internal date of its newest message, milliseconds since 1970 UTC.
    pub newest_ms: i64,
    /// Messages.
    pub total: u32,
    /// Those not `\Seen`.
    pub unread: u32,
    /// Those `\Flagged`.
    pub flagged: u32,
    /// Those `\Draft`.
    pub drafts: u32,
    /// Whether one has an attachment.
    pub has_attachment: bool,
    /// The newest message.
    pub newest_uid: Uid,
    /// The newest message.
    pub newest: EmailId,
    /// Subject of the newest message, decoded.
    pub subject: String,
    /// How its text begins.
    pub preview: String,
    /// Who wrote, oldest first, each once; of long conversations only the latest.
    pub participants: Vec<Participant>,
    /// To whom the newest message went, for lists of sent mail.
    pub recipients: Vec<Participant>,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The lines.
    pub rows: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<PageKey>,
    /// Whether there are lines before this page.
    pub has_previous: bool,
    /// How many lines of this page can not be shown because their records are damaged: `holdfast verify` tells more.
    pub unreadable: usize,
}

/// Most lines on one page.
pub const MAX_PAGE: usize = 200;
/// How many messages of a conversation are looked at for its participants.
const MAX_NAMED: usize = 8;

/// Messages of a conversation that are read at once. Copies can make one longer than new messages can.
const LATEST: usize = 1_000;

impl MailStore {
    /// Conversations of a mailbox, newest first, at most `limit` (bounded by [`MAX_PAGE`]), after `cursor`. Costs
    /// O(page), however many there are.
    pub fn conversations(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        cursor: Option<PageKey>,
        limit: usize,
    ) -> Result<Page<ConversationRow>> {
        let snapshot = self.store().snapshot();
        counters_of(&snapshot, account, mailbox)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let all = key::orders(mailbox);
        let start = match cursor {
            Some(cursor) => Bound::Excluded(key::order(mailbox, cursor.date_ms, cursor.thread)),
            None => Bound::Included(all.clone()),
        };
        let range = (start, Bound::Excluded(key::after(all.clone())));
        let mut lines = Vec::new();
        for row in snapshot.range(account, range, Order::Ascending)?.take(limit + 1) {
            lines.push(key::order_of(&row?.0)?);
        }
        let more = lines.len() > limit;
        lines.truncate(limit);
        let has_previous = match cursor {
            Some(cursor) => {
                let here = key::order(mailbox, cursor.date_ms, cursor.thread);
                let range = (Bound::Included(all), Bound::Included(here));
                snapshot.range(account, range, Order::Ascending)?.next().transpose()?.is_some()
            }
            None => false,
        };
        page(&snapshot, account, mailbox, &lines, more, has_previous)
    }

    /// The page before `cursor`, newest first: what was shown before [`Self::conversations`] with the first row of
    /// the present page as cursor.
    pub fn conversations_before(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        cursor: PageKey,
        limit: usize,
    ) -> Result<Page<ConversationRow>> {
        let snapshot = self.store().snapshot();
        counters_of(&snapshot, account, mailbox)?;
        let limit = limit.clamp(1, MAX_PAGE);
        let here = key::order(mailbox, cursor.date_ms, cursor.thread);
        let range = (Bound::Included(key::orders(mailbox)), Bound::Excluded(here.clone()));
        let mut lines = Vec::new();
        for row in snapshot.range(account, range, Order::Descending)?.take(limit + 1) {
            lines.push(key::order_of(&row?.0)?);
        }
        let has_previous = lines.len() > limit;
        lines.truncate(limit);
        lines.reverse();
        let range = (Bound::Included(here), Bound::Excluded(key::after(key::orders(mailbox))));
        let more = snapshot.range(account, range, Order::Ascending)?.next().transpose()?.is_some();
        page(&snapshot, account, mailbox, &lines, more, has_previous)
    }

    /// One conversation as a line of a mailbox's list; `None` if nothing of it is there.
    pub fn conversation(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        thread: ThreadId,
    ) -> Result<Option<ConversationRow>> {
        let snapshot = self.store().snapshot();
        let line = conversation_record(&snapshot, account, mailbox, thread)?;
        line.map(|line| conversation(&snapshot, account, thread, line)).transpose()
    }

    /// All messages of a conversation over all mailboxes, oldest first; a message with copies appears for each.
    /// Of very long ones the latest thousand. Empty if the conversation is no more.
    pub fn thread(&self, account: RealmId, thread: ThreadId) -> Result<Vec<MessageRow>> {
        let snapshot = self.store().snapshot();
        let mut rows = Vec::new();
        let mut there = HashMap::new();
        for ((_, mailbox, uid), _) in threads::members(&snapshot, account, thread, Order::Descending, LATEST)? {
            // What is left of a mailbox that is just being deleted is no one's any more.
            let there = match there.entry(mailbox) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(unknown) => *unknown.insert(snapshot.get(account, &key::mailbox(mailbox))?.is_some()),
            };
            if !there {
                continue;
            }
            let record = schema::load(&snapshot, account, &key::entry(mailbox, uid))?.ok_or_else(|| {
                MailError::damaged(
                    store::Cause::Reference,
                    format!("{thread} names {uid} of {mailbox}, which does not exist"),
                )
            })?;
            rows.push(rows::row(&snapshot, account, rows::entry(mailbox, uid, &record))?);
        }
        rows.reverse();
        Ok(rows)
    }

    /// The conversation that a message of that Message-ID and subject belongs to, if there is one: found by the header alone,
    /// such as a delivery report returns. The message itself may be gone.
    pub fn thread_of(&self, account: RealmId, header: &Parsed) -> Result<Option<ThreadId>> {
        if header.message_id.is_empty() {
            return Ok(None);
        }
        let Some(own) = threads::hashes(header).into_iter().next() else { return Ok(None) };
        let at = key::message_id(&own);
        let value = self.store().snapshot().get(account, &at)?;
        value.map(|value| Ok(ThreadId(u64::from_be_bytes(schema::number(&at, &value)?)))).transpose()
    }

    /// Where the messages of a conversation are: mailbox and message, a copy for each place; of very long ones the latest
    /// thousand, as in [`MailStore::thread`]. Reads none of them.
    pub fn thread_places(&self, account: RealmId, thread: ThreadId) -> Result<Vec<(MailboxId, EmailId)>> {
        let members = threads::members(&self.store().snapshot(), account, thread, Order::Descending, LATEST)?;
        Ok(members.into_iter().map(|((_, mailbox, _), email)| (mailbox, email)).collect())
    }

    /// The UIDs that conversations have in a mailbox: what acting on a line of the list acts on. Ascending.
    pub fn uids_of_threads(&self, account: RealmId, mailbox: MailboxId, threads: &[ThreadId]) -> Result<Vec<Uid>> {
        let snapshot = self.store().snapshot();
        let mut uids = Vec::new();
        for thread in threads {
            let members = threads::members(&snapshot, account, *thread, Order::Ascending, usize::MAX)?;
            uids.extend(members.into_iter().filter(|((_, at, _), _)| *at == mailbox).map(|((_, _, uid), _)| uid));
        }
        uids.sort_unstable();
        uids.dedup();
        Ok(uids)
    }
}

fn page<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    mailbox: MailboxId,
    lines: &[(i64, ThreadId)],
    more: bool,
    has_previous: bool,
) -> Result<Page<ConversationRow>> {
    let mut rows = Vec::with_capacity(lines.len());
    let mut unreadable = 0;
    for (_, thread) in lines {
        match line(read, account, mailbox, *thread) {
            Ok(row) => rows.push(row),
            // One damaged record must not hide all the others.
            Err(error @ (MailError::Damaged(_) | MailError::Store(StoreError::Damaged { .. }))) => {
                tracing::error!(%account, %mailbox, %thread, %error, "could not show a conversation");
                unreadable += 1;
            }
            Err(error) => return Err(error),
        }
    }
    let next = lines.last().filter(|_| more).map(|(date_ms, thread)| PageKey { date_ms: *date_ms, thread: *thread });
    Ok(Page { rows, next, has_previous, unreadable })
}

fn line<R: Read + ?Sized>(read: &R, account: RealmId, mailbox: MailboxId, thread: ThreadId) -> Result<ConversationRow> {
    let record = conversation_record(read, account, mailbox, thread)?.ok_or_else(|| {
        MailError::damaged(store::Cause::Reference, format!("{thread} is in the order of mailbox {mailbox} only"))
    })?;
    conversation(read, account, thread, record)
}

fn conversation<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    thread: ThreadId,
    line: ConversationRecord,
) -> Result<ConversationRow> {
    let newest = EmailId(line.newest_email);
    let record = rows::email_record(read, account, newest)?;
    let parsed = rows::parsed(newest, &record)?;
    let mut participants = Vec::new();
    if line.total == 1 {
        name(&mut participants, &parsed, line.unread > 0, &record.prefix);
    } else {
        let latest = threads::members(read, account, thread, Order::Descending, MAX_NAMED)?;
        let mut named = Vec::new();
        for ((_, at, uid), email) in latest.into_iter().rev() {
            // Copies in other mailboxes add nobody.
            if named.contains(&email) {
                continue;
            }
            named.push(email);
            let record: Option<EntryRecord> = schema::load(read, account, &key::entry(at, uid))?;
            let unread = record.is_some_and(|record| !record.flags().seen());
            let email_record = rows::email_record(read, account, email)?;
            name(&mut participants, &*rows::parsed(email, &email_record)?, unread, &email_record.prefix);
        }
    }
    Ok(ConversationRow {
        thread_id: thread,
        newest_ms: line.newest_ms,
        total: line.total,
        unread: line.unread,
        flagged: line.flagged,
        drafts: line.drafts,
        has_attachment: line.attachments > 0,
        newest_uid: Uid(line.newest_uid),
        newest,
        subject: parsed.subject.clone(),
        preview: parsed.preview.clone(),
        participants,
        recipients: recipients(&parsed),
    })
}

/// Add the authors of a message, or mark them as having written something unread. `above` is what was put above it here.
fn name(participants: &mut Vec<Participant>, parsed: &Parsed, unread: bool, above: &[u8]) {
    let from_outside = mailkit::results::is_there(above);
    for author in parsed.from.iter().take(MAX_NAMED) {
        match participants.iter_mut().find(|known| known.address.eq_ignore_ascii_case(&author.address)) {
            Some(known) => {
                known.unread |= unread;
                known.from_outside |= from_outside;
            }
            None => participants.push(Participant { unread, from_outside, ..person(author) }),
        }
    }
}

fn recipients(parsed: &Parsed) -> Vec<Participant> {
    parsed.to.iter().chain(&parsed.cc).chain(&parsed.bcc).take(MAX_NAMED).map(person).collect()
}

fn person(address: &DisplayAddress) -> Participant {
    Participant { name: address.name.clone(), address: address.address.clone(), unread: false, from_outside: false }
}
