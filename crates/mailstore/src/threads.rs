//! Conversations: which one a message joins, and the records that keep them.
//!
//! As JMAP suggests (RFC 8621 §3), two messages belong together if one message-id occurs in the `Message-ID`,
//! `In-Reply-To` or `References` of both and their subjects are the same but for prefixes such as `Re:`. A message that
//! belongs to several conversations joins them into one.

use std::collections::{BTreeMap, BTreeSet};

use mailkit::Parsed;
use store::{Order, Read, RealmId, Tx};

use crate::schema::{self, ConversationRecord, EntryRecord, MAX_REFERENCES, MAX_THREAD_MESSAGES, ThreadRecord, key};
use crate::{
    EmailId, Flags, MailError, MailStore, MailboxId, Result, Role, ThreadId, Uid,
    counter::{less, stepped},
};

/// Bytes of a hash over a message-id and a base subject.
const HASH: usize = 16;

/// A message's place: date, mailbox, UID.
type Place = (i64, MailboxId, Uid);

/// The hashes by which a message finds its conversation, its own id first, then those it refers to, nearest first.
pub(crate) fn hashes(parsed: &Parsed) -> Vec<[u8; HASH]> {
    let references = &parsed.references;
    let nearest = references.iter().rev().take(MAX_REFERENCES - 1);
    let first = references.first().filter(|_| references.len() >= MAX_REFERENCES);
    let ids = std::iter::once(&parsed.message_id).chain(nearest).chain(first);
    let mut hashes = Vec::new();
    for id in ids.filter(|id| !id.is_empty()) {
        let mut hasher = blake3::Hasher::new();
        hasher.update(id.as_bytes()).update(&[0]).update(parsed.base_subject.as_bytes());
        let mut hash = [0; HASH];
        hash.copy_from_slice(&hasher.finalize().as_bytes()[..HASH]);
        if !hashes.contains(&hash) {
            hashes.push(hash);
        }
    }
    hashes
}

impl MailStore {
    /// Whether one of the messages that a message names (its own id, those it answers) is in the mailbox of sent mail, as
    /// far as they are of the same conversation. Bounded work.
    pub fn is_about_sent(&self, account: RealmId, parsed: &Parsed) -> Result<bool> {
        let snapshot = self.store().snapshot();
        let Some(sent) = self.mailbox_by_role_in(&snapshot, account, Role::Sent)? else { return Ok(false) };
        for hash in hashes(parsed) {
            let at = key::message_id(&hash);
            let Some(value) = snapshot.get(account, &at)? else { continue };
            let thread = ThreadId(u64::from_be_bytes(schema::number(&at, &value)?));
            let members = members(&snapshot, account, thread, Order::Descending, MAX_THREAD_MESSAGES)?;
            if members.iter().any(|((_, mailbox, _), _)| *mailbox == sent.id) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Find or begin the conversation of a new email, and make later messages find it. Its rows are added by
/// [`join`].
pub(crate) fn find(tx: &mut Tx<'_>, account: RealmId, email: EmailId, hashes: &[[u8; HASH]]) -> Result<ThreadId> {
    let mut found: Vec<(ThreadId, ThreadRecord)> = Vec::new();
    let mut unknown = Vec::new();
    for hash in hashes {
        let Some(value) = tx.get(account, &key::message_id(hash))? else {
            unknown.push(hash);
            continue;
        };
        let id = ThreadId(u64::from_be_bytes(schema::number(&key::message_id(hash), &value)?));
        if found.iter().all(|(known, _)| *known != id) {
            found.push((id, thread_record(tx, account, id)?));
        }
    }
    found.retain(|(_, record)| (record.members as usize) < MAX_THREAD_MESSAGES);
    if found.is_empty() {
        // Also when the conversation is full: what follows finds the new one.
        let thread = ThreadId(email.0);
        let record = ThreadRecord { members: 0, hashes: hashes.concat() };
        for hash in hashes {
            tx.put(account, key::message_id(hash), thread.0.to_be_bytes().to_vec());
        }
        schema::save(tx, account, key::thread(thread), &record);
        return Ok(thread);
    }
    // The largest takes the others in, as far as they fit.
    found.sort_by_key(|(id, record)| (std::cmp::Reverse(record.members), *id));
    let (thread, mut record) = found.remove(0);
    for (other, absorbed) in found {
        if record.members + absorbed.members < MAX_THREAD_MESSAGES as u32 {
            merge(tx, account, thread, &mut record, other, &absorbed)?;
        }
    }
    for hash in unknown {
        if record.hashes.len() < 4 * MAX_THREAD_MESSAGES * HASH {
            record.hashes.extend_from_slice(hash);
            tx.put(account, key::message_id(hash), thread.0.to_be_bytes().to_vec());
        }
    }
    schema::save(tx, account, key::thread(thread), &record);
    Ok(thread)
}

/// Move all of `other` into `thread`. MODSEQs stay: IMAP clients see nothing of it.
fn merge(
    tx: &mut Tx<'_>,
    account: RealmId,
    thread: ThreadId,
    record: &mut ThreadRecord,
    other: ThreadId,
    absorbed: &ThreadRecord,
) -> Result<()> {
    let mut mailboxes = BTreeSet::new();
    for (row, email) in schema::rows(tx, account, &key::members(other), usize::MAX)? {
        let (date_ms, mailbox, uid) = key::member_of(&row)?;
        let at = key::entry(mailbox, uid);
        let mut entry: EntryRecord = schema::load(tx, account, &at)?.ok_or_else(|| {
            MailError::damaged(
                store::Cause::Reference,
                format!("{other} names {uid} of {mailbox}, which does not exist"),
            )
        })?;
        entry.thread = thread.0;
        schema::save(tx, account, at, &entry);
        tx.delete(account, row.to_vec());
        tx.put(account, key::member(thread, date_ms, mailbox, uid), email.to_vec());
        mailboxes.insert(mailbox);
    }
    for mailbox in mailboxes {
        if let Some(line) = conversation_record(tx, account, mailbox, other)? {
            tx.delete(account, key::conversation(mailbox, other));
            tx.delete(account, key::order(mailbox, line.newest_ms, other));
            let mut sum = match conversation_record(tx, account, mailbox, thread)? {
                Some(sum) => {
                    tx.delete(account, key::order(mailbox, sum.newest_ms, thread));
                    sum
                }
                None => ConversationRecord { newest_ms: i64::MIN, ..ConversationRecord::default() },
            };
            if (line.newest_ms, line.newest_uid) > (sum.newest_ms, sum.newest_uid) {
                (sum.newest_ms, sum.newest_uid, sum.newest_email) =
                    (line.newest_ms, line.newest_uid, line.newest_email);
            }
            sum.total += line.total;
            sum.unread += line.unread;
            sum.flagged += line.flagged;
            sum.drafts += line.drafts;
            sum.attachments += line.attachments;
            tx.put(account, key::order(mailbox, sum.newest_ms, thread), Vec::new());
            schema::save(tx, account, key::conversation(mailbox, thread), &sum);
        }
    }
    for hash in absorbed.hashes.chunks_exact(HASH) {
        if !record.hashes.chunks_exact(HASH).any(|known| known == hash) {
            record.hashes.extend_from_slice(hash);
        }
        tx.put(account, key::message_id(hash), thread.0.to_be_bytes().to_vec());
    }
    record.members += absorbed.members;
    tx.delete(account, key::thread(other));
    Ok(())
}

/// An entry came to be: add it to its conversation and to the mailbox's list.
pub(crate) fn join(tx: &mut Tx<'_>, account: RealmId, mailbox: MailboxId, uid: Uid, entry: &EntryRecord) -> Result<()> {
    let thread = ThreadId(entry.thread);
    let mut record = thread_record(tx, account, thread)?;
    record.members += 1;
    schema::save(tx, account, key::thread(thread), &record);
    let member = key::member(thread, entry.internal_date_ms, mailbox, uid);
    tx.put(account, member, entry.email.to_be_bytes().to_vec());

    let old = conversation_record(tx, account, mailbox, thread)?;
    let mut line = old.clone().unwrap_or(ConversationRecord { newest_ms: i64::MIN, ..Default::default() });
    count(&mut line, entry, 1);
    if (entry.internal_date_ms, uid.0) >= (line.newest_ms, line.newest_uid) {
        line.newest_ms = entry.internal_date_ms;
        line.newest_uid = uid.0;
        line.newest_email = entry.email;
    }
    replace_line(tx, account, mailbox, thread, old.as_ref(), &line);
    Ok(())
}

/// Entries of a mailbox have gone: take them out of their conversations and of the mailbox's list. One call for
/// all of a commit, so that a long conversation is looked through once.
pub(crate) fn leave(tx: &mut Tx<'_>, account: RealmId, mailbox: MailboxId, gone: &[(Uid, EntryRecord)]) -> Result<()> {
    let mut by_thread: BTreeMap<ThreadId, Vec<&(Uid, EntryRecord)>> = BTreeMap::new();
    for row in gone {
        by_thread.entry(ThreadId(row.1.thread)).or_default().push(row);
    }
    for (thread, gone) in by_thread {
        let mut record = thread_record(tx, account, thread)?;
        record.members = less("thread members", record.members, gone.len() as u64);
        let Some(old) = conversation_record(tx, account, mailbox, thread)? else {
            return Err(MailError::damaged(
                store::Cause::Reference,
                format!("{thread} is missing in the list of mailbox {mailbox}"),
            ));
        };
        let mut line = old.clone();
        let mut newest_went = false;
        for (uid, entry) in gone {
            tx.delete(account, key::member(thread, entry.internal_date_ms, mailbox, *uid));
            count(&mut line, entry, -1);
            newest_went |= line.newest_uid == uid.0;
        }
        if line.total == 0 {
            tx.delete(account, key::conversation(mailbox, thread));
            tx.delete(account, key::order(mailbox, old.newest_ms, thread));
        } else {
            if newest_went {
                let ((date_ms, _, uid), email) = newest_member(tx, account, thread, mailbox)?.ok_or_else(|| {
                    MailError::damaged(
                        store::Cause::Reference,
                        format!("{thread} has fewer messages in {mailbox} than it counts"),
                    )
                })?;
                (line.newest_ms, line.newest_uid, line.newest_email) = (date_ms, uid.0, email.0);
            }
            replace_line(tx, account, mailbox, thread, Some(&old), &line);
        }
        if record.members > 0 {
            schema::save(tx, account, key::thread(thread), &record);
        } else {
            for hash in record.hashes.chunks_exact(HASH) {
                // A full conversation's hashes may lead to the one that followed it.
                let at = key::message_id(hash);
                if tx.get(account, &at)?.is_some_and(|id| *id == thread.0.to_be_bytes()) {
                    tx.delete(account, at);
                }
            }
            tx.delete(account, key::thread(thread));
        }
    }
    Ok(())
}

/// An entry's flags changed: count anew.
pub(crate) fn reflag(
    tx: &mut Tx<'_>,
    account: RealmId,
    mailbox: MailboxId,
    old: &EntryRecord,
    new: &EntryRecord,
) -> Result<()> {
    let counted = |entry: &EntryRecord| {
        let mut line = ConversationRecord::default();
        count(&mut line, entry, 1);
        line
    };
    if counted(old) == counted(new) {
        return Ok(());
    }
    let thread = ThreadId(new.thread);
    let Some(mut line) = conversation_record(tx, account, mailbox, thread)? else {
        return Err(MailError::damaged(
            store::Cause::Reference,
            format!("{thread} is missing in the list of mailbox {mailbox}"),
        ));
    };
    count(&mut line, old, -1);
    count(&mut line, new, 1);
    schema::save(tx, account, key::conversation(mailbox, thread), &line);
    Ok(())
}

/// Add an entry to the counts of a line, or take it out (`by` = -1).
fn count(line: &mut ConversationRecord, entry: &EntryRecord, by: i32) {
    let flags = Flags::from_parts(entry.system, &[]);
    let add = |n: &mut u32, counts: bool| {
        if counts {
            *n = stepped("conversation", *n, i64::from(by));
        }
    };
    add(&mut line.total, true);
    add(&mut line.unread, !flags.seen());
    add(&mut line.flagged, flags.flagged());
    add(&mut line.drafts, flags.contains(crate::SystemFlag::Draft));
    add(&mut line.attachments, entry.has_attachment);
}

fn replace_line(
    tx: &mut Tx<'_>,
    account: RealmId,
    mailbox: MailboxId,
    thread: ThreadId,
    old: Option<&ConversationRecord>,
    line: &ConversationRecord,
) {
    if old.is_none_or(|old| old.newest_ms != line.newest_ms) {
        if let Some(old) = old {
            tx.delete(account, key::order(mailbox, old.newest_ms, thread));
        }
        tx.put(account, key::order(mailbox, line.newest_ms, thread), Vec::new());
    }
    schema::save(tx, account, key::conversation(mailbox, thread), line);
}

fn newest_member<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    thread: ThreadId,
    mailbox: MailboxId,
) -> Result<Option<(Place, EmailId)>> {
    for row in read.prefix(account, &key::members(thread), Order::Descending)? {
        let (key, value) = row?;
        let place = key::member_of(&key)?;
        if place.1 == mailbox {
            return Ok(Some((place, EmailId(u64::from_be_bytes(schema::number(&key, &value)?)))));
        }
    }
    Ok(None)
}

pub(crate) fn thread_record<R: Read + ?Sized>(read: &R, account: RealmId, id: ThreadId) -> Result<ThreadRecord> {
    schema::load(read, account, &key::thread(id))?.ok_or_else(|| {
        MailError::damaged(store::Cause::Reference, format!("conversation {id} is referred to, but does not exist"))
    })
}

pub(crate) fn conversation_record<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    mailbox: MailboxId,
    thread: ThreadId,
) -> Result<Option<ConversationRecord>> {
    schema::load(read, account, &key::conversation(mailbox, thread))
}

/// Messages of a conversation, oldest first.
pub(crate) fn members<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    thread: ThreadId,
    order: Order,
    limit: usize,
) -> Result<Vec<(Place, EmailId)>> {
    let mut members = Vec::new();
    for row in read.prefix(account, &key::members(thread), order)?.take(limit) {
        let (key, value) = row?;
        members.push((key::member_of(&key)?, EmailId(u64::from_be_bytes(schema::number(&key, &value)?))));
    }
    Ok(members)
}
