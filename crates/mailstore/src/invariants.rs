//! The consistency rules of an account's mail, checked by counting everything again: part of `holdfast verify`.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use store::{Order, Read, RealmId};

use crate::schema::{
    self, ConversationRecord, Counters, EmailRecord, EntryRecord, MailboxRecord, MetadataRecord, State, ThreadRecord,
    VanishedRecord, key,
};
use crate::{EmailId, Flags, MailboxId, Result, Role, SystemFlag, ThreadId, Uid};

/// Findings reported of one account; further ones are counted only.
pub const MAX_FINDINGS: usize = 100;

/// Check all invariants of an account. Gives what is wrong, each a sentence; nothing for an account in order.
///
/// * Mailboxes, their names, roles and counters belong together; UIDVALIDITYs are unique and not above the last one.
/// * UIDs are not above the last one given out, MODSEQs not above HIGHESTMODSEQ, that not above the realm's sequence.
/// * Counts and sizes equal what is counted; bytes in use equal the sum over emails.
/// * Every entry has its email, place, MODSEQ key and conversation; every email has a place; nothing is left over.
/// * Lists of conversations say what their messages say.
/// * Metadata belongs to mailboxes that are there, is found by its name, and is counted.
///
/// Visits everything: call it from a blocking thread. Memory grows with the number of messages, some 200 bytes each.
///
/// # Errors
/// If the store can not be read, or a record can not be decoded.
pub fn check_account<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Vec<String>> {
    let mut check = Check {
        read,
        account,
        state: schema::load(read, account, &key::state())?.unwrap_or_default(),
        findings: Vec::new(),
        more: 0,
        entries: BTreeMap::new(),
    };
    check.mailboxes()?;
    check.entries()?;
    check.emails()?;
    check.threads()?;
    check.lists()?;
    check.metadata()?;
    check.history()?;
    let Check { mut findings, more, .. } = check;
    if more > 0 {
        findings.push(format!("and {more} more findings"));
    }
    Ok(findings)
}

struct Check<'a, R: ?Sized> {
    read: &'a R,
    account: RealmId,
    state: State,
    findings: Vec<String>,
    more: usize,
    /// What the other parts are compared with.
    entries: BTreeMap<(MailboxId, Uid), EntryRecord>,
}

impl<R: Read + ?Sized> Check<'_, R> {
    fn found(&mut self, finding: String) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(finding);
        } else {
            self.more += 1;
        }
    }

    fn expect(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.found(finding());
        }
    }

    fn equal<T: PartialEq + std::fmt::Debug>(&mut self, what: impl FnOnce() -> String, stored: T, counted: T) {
        if stored != counted {
            self.found(format!("{}: stored {stored:?}, counted {counted:?}", what()));
        }
    }

    /// All rows of a kind of key.
    fn rows(&self, kind: u8, mut visit: impl FnMut(Bytes, Bytes) -> Result<()>) -> Result<()> {
        for row in self.read.prefix(self.account, &[kind], Order::Ascending)? {
            let (key, value) = row?;
            visit(key, value)?;
        }
        Ok(())
    }

    fn has(&self, key: &[u8]) -> Result<bool> {
        Ok(self.read.get(self.account, key)?.is_some())
    }

    fn mailboxes(&mut self) -> Result<()> {
        let mut records: Vec<(MailboxId, MailboxRecord)> = Vec::new();
        self.rows(key::MAILBOX, |at, value| {
            records.push((key::mailbox_of(&at)?, schema::decode(&at, value)?));
            Ok(())
        })?;
        let mut validities = BTreeSet::new();
        for (id, record) in &records {
            let index = self.read.get(self.account, &key::name(&record.name))?;
            self.expect(index.is_some_and(|index| *index == id.0.to_be_bytes()), || {
                format!("mailbox {id} is not found by its name {:?}", record.name)
            });
            if let Some(role) = Role::from_number(record.role) {
                let index = self.read.get(self.account, &key::role(role.number()))?;
                self.expect(index.is_some_and(|index| *index == id.0.to_be_bytes()), || {
                    format!("mailbox {id} is not found by its role {role}")
                });
            }
            self.expect(validities.insert(record.uid_validity), || {
                format!("mailbox {id} shares its UIDVALIDITY {} with another", record.uid_validity)
            });
            let (last_mailbox, last_validity) = (self.state.last_mailbox, self.state.last_uid_validity);
            self.expect(id.0 <= last_mailbox && record.uid_validity <= last_validity, || {
                format!("mailbox {id} or its UIDVALIDITY {} is above the last one given out", record.uid_validity)
            });
            let there = self.has(&key::counters(*id))?;
            self.expect(there, || format!("mailbox {id} has no counters"));
        }
        self.equal(|| "mailboxes".into(), self.state.mailboxes as usize, records.len());
        for (kind, what) in [(key::NAME, "names"), (key::COUNTERS, "counters of mailboxes")] {
            let mut count = 0;
            self.rows(kind, |_, _| {
                count += 1;
                Ok(())
            })?;
            self.equal(|| what.into(), count, records.len());
        }
        let with_role = records.iter().filter(|(_, record)| record.role != 0).count();
        let mut roles = 0;
        self.rows(key::ROLE, |_, _| {
            roles += 1;
            Ok(())
        })?;
        self.equal(|| "roles".into(), roles, with_role);
        Ok(())
    }

    fn entries(&mut self) -> Result<()> {
        let mut entries = BTreeMap::new();
        self.rows(key::ENTRY, |at, value| {
            entries.insert((key::mailbox_of(&at)?, key::entry_uid(&at)?), schema::decode(&at, value)?);
            Ok(())
        })?;
        self.entries = entries;
        let mut stored: BTreeMap<MailboxId, Counters> = BTreeMap::new();
        self.rows(key::COUNTERS, |at, value| {
            stored.insert(key::mailbox_of(&at)?, schema::decode(&at, value)?);
            Ok(())
        })?;
        let mut counted: BTreeMap<MailboxId, Counters> = BTreeMap::new();
        for ((mailbox, uid), entry) in std::mem::take(&mut self.entries) {
            counted.entry(mailbox).or_default().count(&entry, 1);
            match stored.get(&mailbox) {
                Some(counters) => {
                    self.expect(uid.0 >= 1 && uid.0 <= counters.last_uid, || {
                        format!("UID {uid} of mailbox {mailbox} is above the last one given out")
                    });
                    self.expect(entry.modseq <= counters.highest_modseq, || {
                        format!("UID {uid} of mailbox {mailbox} has a MODSEQ above HIGHESTMODSEQ")
                    });
                }
                None => {
                    let dying = self.has(&key::deleted(mailbox))?;
                    self.expect(dying, || format!("UID {uid} is in mailbox {mailbox}, which does not exist"));
                }
            }
            let modseq = crate::ModSeq(entry.modseq);
            let (email, thread) = (EmailId(entry.email), ThreadId(entry.thread));
            for (at, what) in [
                (key::by_modseq(mailbox, modseq, uid), "MODSEQ key"),
                (key::place(email, mailbox, uid), "place"),
                (key::email(email), "email"),
                (key::member(thread, entry.internal_date_ms, mailbox, uid), "place in its conversation"),
            ] {
                let there = self.has(&at)?;
                self.expect(there, || format!("UID {uid} of mailbox {mailbox} has no {what}"));
            }
            self.entries.insert((mailbox, uid), entry);
        }
        let realm_seq = self.read.realm_seq(self.account).0;
        for (mailbox, counters) in stored {
            self.expect(counters.highest_modseq <= realm_seq, || {
                format!("HIGHESTMODSEQ of mailbox {mailbox} is above the account's last change")
            });
            let right = counted.remove(&mailbox).unwrap_or_default();
            let counts = |c: &Counters| (c.total, c.unread, c.deleted, c.size);
            self.equal(
                || format!("total, unread, deleted and size of mailbox {mailbox}"),
                counts(&counters),
                counts(&right),
            );
        }
        for (kind, what) in
            [(key::BY_MODSEQ, "MODSEQ keys"), (key::PLACE, "places"), (key::MEMBER, "conversation rows")]
        {
            let mut count = 0;
            self.rows(kind, |_, _| {
                count += 1;
                Ok(())
            })?;
            let entries = self.entries.len();
            self.equal(|| what.into(), count, entries);
        }
        Ok(())
    }

    fn emails(&mut self) -> Result<()> {
        let (mut emails, mut bytes, mut sizes) = (0, 0, BTreeMap::new());
        let mut findings = Vec::new();
        let (read, account, last) = (self.read, self.account, self.state.last_email);
        self.rows(key::EMAIL, |at, value| {
            let email = EmailId(key::long_id(&at)?);
            let record: EmailRecord = schema::decode(&at, value)?;
            emails += 1;
            bytes += record.size;
            sizes.insert(email.0, record.size);
            if schema::rows(read, account, &key::places(email), 1)?.is_empty() {
                findings.push(format!("message {email} is in no mailbox"));
            }
            if email.0 > last {
                findings.push(format!("message {email} is above the last id given out"));
            }
            if let Err(error) = crate::rows::body_id(email, &record).and(crate::rows::parsed(email, &record)) {
                findings.push(error.to_string());
            }
            Ok(())
        })?;
        for finding in findings {
            self.found(finding);
        }
        self.equal(|| "messages of the account".into(), self.state.emails, emails);
        self.equal(|| "bytes in use".into(), self.state.used_bytes, bytes);
        for ((mailbox, uid), entry) in std::mem::take(&mut self.entries) {
            self.expect(sizes.get(&entry.email).is_none_or(|size| *size == entry.size), || {
                format!("UID {uid} of mailbox {mailbox} has another size than its message")
            });
            self.entries.insert((mailbox, uid), entry);
        }
        Ok(())
    }

    fn threads(&mut self) -> Result<()> {
        let mut members: BTreeMap<u64, u32> = BTreeMap::new();
        for entry in self.entries.values() {
            *members.entry(entry.thread).or_default() += 1;
        }
        let mut stored = BTreeMap::new();
        self.rows(key::THREAD, |at, value| {
            stored.insert(key::long_id(&at)?, schema::decode::<ThreadRecord>(&at, value)?.members);
            Ok(())
        })?;
        let mut lost = Vec::new();
        self.rows(key::MESSAGE_ID, |at, value| {
            let thread = u64::from_be_bytes(schema::number(&at, &value)?);
            if !stored.contains_key(&thread) {
                lost.push(ThreadId(thread));
            }
            Ok(())
        })?;
        for thread in lost {
            self.found(format!("a message-id leads to conversation {thread}, which does not exist"));
        }
        self.equal(|| "messages of conversations".into(), stored, members);
        Ok(())
    }

    fn lists(&mut self) -> Result<()> {
        let mut right: BTreeMap<(MailboxId, ThreadId), ConversationRecord> = BTreeMap::new();
        for ((mailbox, uid), entry) in &self.entries {
            let line = right
                .entry((*mailbox, ThreadId(entry.thread)))
                .or_insert(ConversationRecord { newest_ms: i64::MIN, ..Default::default() });
            let flags: Flags = entry.flags();
            line.total += 1;
            line.unread += u32::from(!flags.seen());
            line.flagged += u32::from(flags.flagged());
            line.drafts += u32::from(flags.contains(SystemFlag::Draft));
            line.attachments += u32::from(entry.has_attachment);
            if (entry.internal_date_ms, uid.0) >= (line.newest_ms, line.newest_uid) {
                (line.newest_ms, line.newest_uid, line.newest_email) = (entry.internal_date_ms, uid.0, entry.email);
            }
        }
        let mut order: BTreeSet<(MailboxId, ThreadId, i64)> = BTreeSet::new();
        self.rows(key::ORDER, |at, _| {
            let (date_ms, thread) = key::order_of(&at)?;
            order.insert((key::mailbox_of(&at)?, thread, date_ms));
            Ok(())
        })?;
        let mut stored: BTreeMap<(MailboxId, ThreadId), ConversationRecord> = BTreeMap::new();
        self.rows(key::CONVERSATION, |at, value| {
            stored.insert((key::mailbox_of(&at)?, key::conversation_thread(&at)?), schema::decode(&at, value)?);
            Ok(())
        })?;
        let right_order: BTreeSet<_> =
            right.iter().map(|((mailbox, thread), line)| (*mailbox, *thread, line.newest_ms)).collect();
        for (mailbox, thread, _) in order.symmetric_difference(&right_order) {
            self.found(format!("conversation {thread} has the wrong place in the order of mailbox {mailbox}"));
        }
        for (at, line) in &stored {
            if right.get(at) != Some(line) {
                self.found(format!(
                    "conversation {} in mailbox {}: stored {line:?}, counted {:?}",
                    at.1,
                    at.0,
                    right.get(at)
                ));
            }
        }
        for (mailbox, thread) in right.keys().filter(|at| !stored.contains_key(at)) {
            self.found(format!("conversation {thread} is missing in the list of mailbox {mailbox}"));
        }
        Ok(())
    }

    fn metadata(&mut self) -> Result<()> {
        let (mut entries, mut bytes) = (0, 0);
        let mut rows = Vec::new();
        self.rows(key::METADATA, |at, value| {
            let record: MetadataRecord = schema::decode(&at, value)?;
            entries += 1;
            bytes += record.bytes();
            let fits = record.name.to_ascii_lowercase().as_bytes() == key::metadata_name(&at);
            rows.push((key::mailbox_of(&at)?, record.name, fits));
            Ok(())
        })?;
        for (mailbox, name, fits) in rows {
            self.expect(fits, || format!("metadata {name:?} of mailbox {mailbox} is not found by its name"));
            let there = mailbox.0 == 0 || self.has(&key::mailbox(mailbox))?;
            self.expect(there, || format!("metadata {name:?} is of mailbox {mailbox}, which does not exist"));
        }
        self.equal(|| "metadata entries".into(), self.state.metadata_entries, entries);
        self.equal(|| "bytes of metadata".into(), self.state.metadata_bytes, bytes);
        Ok(())
    }

    fn history(&mut self) -> Result<()> {
        let mut findings = Vec::new();
        self.rows(key::VANISHED, |at, value| {
            let mailbox = key::mailbox_of(&at)?;
            for uid in schema::decode::<VanishedRecord>(&at, value)?.uids().iter() {
                if self.entries.contains_key(&(mailbox, uid)) {
                    findings.push(format!("UID {uid} of mailbox {mailbox} exists although it was expunged"));
                }
            }
            Ok(())
        })?;
        for finding in findings {
            self.found(finding);
        }
        let mut correspondents = 0;
        self.rows(key::CORRESPONDENT, |_, _| {
            correspondents += 1;
            Ok(())
        })?;
        self.equal(|| "correspondents".into(), self.state.correspondents, correspondents);
        Ok(())
    }
}
