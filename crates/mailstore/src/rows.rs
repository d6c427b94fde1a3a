//! Messages as lists and FETCH need them.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use mailkit::Parsed;
use mailkit::parsed::Envelope;
use prost::Message;
use store::{BodyId, Order, Read, RealmId};

use crate::mailbox::counters_of;
use crate::schema::{self, EmailRecord, EntryRecord, key};
use crate::{BodyRef, EmailId, Flags, MailError, MailStore, MailboxId, ModSeq, Result, StagedBody, ThreadId, Uid};

/// What is particular to a message in one mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MessageEntry {
    /// Where.
    pub mailbox: MailboxId,
    /// Its UID there.
    pub uid: Uid,
    /// Which message.
    pub email_id: EmailId,
    /// Its conversation.
    pub thread_id: ThreadId,
    /// Its flags.
    pub flags: Flags,
    /// When that last changed.
    pub modseq: ModSeq,
    /// INTERNALDATE, milliseconds since 1970 UTC.
    pub internal_date_ms: i64,
    /// When it was put into this mailbox (RFC 8514), milliseconds since 1970 UTC; `None` where that was not noted yet.
    pub saved_ms: Option<i64>,
    /// RFC822.SIZE, in bytes.
    pub size: u64,
    /// Whether it has an attachment.
    pub has_attachment: bool,
}

/// A message in a mailbox with what was parsed of it when it came.
#[derive(Clone, Debug)]
pub struct MessageRow {
    /// What is particular to this mailbox.
    pub entry: MessageEntry,
    /// Where its bytes are, for [`MailStore::body_of`].
    pub body: BodyRef,
    /// Envelope, structure, preview.
    pub parsed: Arc<Parsed>,
}

impl std::ops::Deref for MessageRow {
    type Target = MessageEntry;

    fn deref(&self) -> &MessageEntry {
        &self.entry
    }
}

/// A [`MessageRow`] as it is stored: for long lists that need little of what was parsed.
#[derive(Clone, Debug)]
pub struct EncodedRow {
    /// What is particular to this mailbox.
    pub entry: MessageEntry,
    /// Where its bytes are, for [`MailStore::body_of`].
    pub body: BodyRef,
    /// [`Parsed`] in its stored form.
    pub parsed: Bytes,
}

impl EncodedRow {
    /// Envelope, structure, preview.
    ///
    /// # Errors
    /// [`MailError::Damaged`].
    pub fn decode(&self) -> Result<Parsed> {
        Parsed::decode(self.parsed.clone()).map_err(|error| self.damaged(&error))
    }

    /// Size and structure alone; all else is left empty.
    ///
    /// # Errors
    /// [`MailError::Damaged`].
    pub fn structure(&self) -> Result<Parsed> {
        Parsed::structure_of(self.parsed.clone()).map_err(|error| self.damaged(&error))
    }

    /// The envelope alone.
    ///
    /// # Errors
    /// [`MailError::Damaged`].
    pub fn envelope(&self) -> Result<Envelope> {
        Parsed::envelope_of(self.parsed.clone()).map_err(|error| self.damaged(&error))
    }

    /// [`Parsed::listed_header`] alone.
    ///
    /// # Errors
    /// [`MailError::Damaged`].
    pub fn listed_header(&self) -> Result<Option<Bytes>> {
        Parsed::listed_header_of(self.parsed.clone()).map_err(|error| self.damaged(&error))
    }

    /// What sorting and threading look at, alone.
    ///
    /// # Errors
    /// [`MailError::Damaged`].
    pub fn ordering(&self) -> Result<mailkit::Ordering> {
        mailkit::Ordering::of(self.parsed.clone()).map_err(|error| self.damaged(&error))
    }

    fn damaged(&self, error: &prost::DecodeError) -> MailError {
        MailError::damaged(
            store::Cause::Decoding,
            format!("the parsed structure of message {}: {error}", self.entry.email_id),
        )
    }
}

/// A message as such, in whatever mailboxes it is.
#[derive(Clone, Debug)]
pub struct Email {
    /// Which.
    pub id: EmailId,
    /// Where its bytes are, for [`MailStore::body_of`].
    pub body: BodyRef,
    /// How many they are.
    pub size: u64,
    /// When it was filed, milliseconds since 1970 UTC.
    pub filed_ms: i64,
    /// Envelope, structure, preview.
    pub parsed: Arc<Parsed>,
}

impl MailStore {
    /// Entries of the messages `uids` (any order), ascending; those that are not there are left out.
    pub fn entries(&self, account: RealmId, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<MessageEntry>> {
        let snapshot = self.store().snapshot();
        counters_of(&snapshot, account, mailbox)?;
        let records = entry_records(&snapshot, account, mailbox, uids)?;
        Ok(records.iter().map(|(uid, record)| entry(mailbox, *uid, record)).collect())
    }

    /// How many bytes the messages have that are `\Deleted`. Visits each of those.
    pub fn deleted_bytes(&self, account: RealmId, mailbox: MailboxId) -> Result<u64> {
        let view = self.view(account, mailbox)?;
        let deleted: Vec<Uid> =
            (0..view.len()).filter(|&index| view.flags(index).deleted()).map(|index| view.uids()[index]).collect();
        Ok(self.entries(account, mailbox, &deleted)?.iter().map(|entry| entry.size).sum())
    }

    /// [`Self::entries`] with what was parsed, some KB each: ask for some hundred at a time.
    pub fn rows(&self, account: RealmId, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<MessageRow>> {
        let row = |row: EncodedRow| {
            let parsed = Arc::new(row.decode()?);
            Ok(MessageRow { entry: row.entry, body: row.body, parsed })
        };
        self.encoded_rows(account, mailbox, uids)?.into_iter().map(row).collect()
    }

    /// [`Self::rows`], what was parsed still to be decoded.
    pub fn encoded_rows(&self, account: RealmId, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<EncodedRow>> {
        let snapshot = self.store().snapshot();
        counters_of(&snapshot, account, mailbox)?;
        let records = entry_records(&snapshot, account, mailbox, uids)?;
        let emails = email_records(&snapshot, account, records.iter().map(|(_, record)| EmailId(record.email)))?;
        let row = |(uid, record): &(Uid, EntryRecord)| {
            let id = EmailId(record.email);
            let email = record_among(&emails, id)?;
            let body = body_ref(id, email)?;
            Ok(EncodedRow { entry: entry(mailbox, *uid, record), body, parsed: email.parsed.clone() })
        };
        records.iter().map(row).collect()
    }

    /// [`Self::encoded_rows`], and which of the messages are left out because what is stored of them is damaged.
    pub fn readable_rows(
        &self,
        account: RealmId,
        mailbox: MailboxId,
        uids: &[Uid],
    ) -> Result<(Vec<EncodedRow>, Vec<Uid>)> {
        match self.encoded_rows(account, mailbox, uids) {
            Err(error) if error.is_damage() => {}
            rows => return Ok((rows?, Vec::new())),
        }
        let (mut rows, mut damaged) = (Vec::new(), Vec::new());
        for uid in uids {
            match self.encoded_rows(account, mailbox, &[*uid]) {
                Err(error) if error.is_damage() => damaged.push(*uid),
                row => rows.extend(row?),
            }
        }
        Ok((rows, damaged))
    }

    /// A message, if some mailbox still has it.
    pub fn email(&self, account: RealmId, email: EmailId) -> Result<Option<Email>> {
        let Some(record) = schema::load::<EmailRecord, _>(&self.store().snapshot(), account, &key::email(email))?
        else {
            return Ok(None);
        };
        let (body, parsed) = (body_ref(email, &record)?, parsed(email, &record)?);
        Ok(Some(Email { id: email, body, size: record.size, filed_ms: record.filed_ms, parsed }))
    }

    /// In which mailboxes a message is, and as what.
    pub fn places(&self, account: RealmId, email: EmailId) -> Result<Vec<(MailboxId, Uid)>> {
        self.places_in(&self.store().snapshot(), account, email)
    }

    /// [`Self::places`] as `read` has them.
    pub fn places_in<R: Read + ?Sized>(
        &self,
        read: &R,
        account: RealmId,
        email: EmailId,
    ) -> Result<Vec<(MailboxId, Uid)>> {
        let rows = schema::rows(read, account, &key::places(email), usize::MAX)?;
        rows.iter().map(|(key, _)| key::place_of(key)).collect()
    }

    /// In which mailboxes the account has a message with these bytes: those that came in, without what was put above them
    /// here. A mailbox is named once for each place.
    pub fn mailboxes_with_in<R: Read + ?Sized>(
        &self,
        read: &R,
        account: RealmId,
        body: &StagedBody,
    ) -> Result<Vec<MailboxId>> {
        let mut mailboxes = Vec::new();
        for email in emails_of_body(read, account, &body.body.id())? {
            mailboxes.extend(self.places_in(read, account, email)?.into_iter().map(|(mailbox, _)| mailbox));
        }
        Ok(mailboxes)
    }
}

/// Passing over a row is cheaper than seeking, up to about so many.
const GAP: u64 = 16;

/// The entries `uids`, ascending, each once. Near neighbours are read by one scan.
pub(crate) fn entry_records<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    mailbox: MailboxId,
    uids: &[Uid],
) -> Result<Vec<(Uid, EntryRecord)>> {
    let wanted = uids.iter().map(|uid| u64::from(uid.0)).collect();
    let key = |uid: u64| key::entry(mailbox, Uid(uid as u32));
    let found = numbered(read, account, wanted, key, |at| key::entry_uid(at).map(|uid| u64::from(uid.0)))?;
    Ok(found.into_iter().map(|(uid, record)| (Uid(uid as u32), record)).collect())
}

/// The records of emails, by ascending id. Messages that came one after the other lie side by side.
pub(crate) fn email_records<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    emails: impl Iterator<Item = EmailId>,
) -> Result<Vec<(EmailId, EmailRecord)>> {
    let wanted = emails.map(|email| email.0).collect();
    let found = numbered(read, account, wanted, |email| key::email(EmailId(email)), key::long_id)?;
    Ok(found.into_iter().map(|(email, record)| (EmailId(email), record)).collect())
}

/// One of [`email_records`].
pub(crate) fn record_among(records: &[(EmailId, EmailRecord)], email: EmailId) -> Result<&EmailRecord> {
    let at = records.binary_search_by_key(&email.0, |(email, _)| email.0).map_err(|_| no_record(email))?;
    Ok(&records[at].1)
}

/// The records of numbered keys that are there, ascending, each once.
fn numbered<M: Message + Default, R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    mut wanted: Vec<u64>,
    key: impl Fn(u64) -> Vec<u8>,
    number: impl Fn(&[u8]) -> Result<u64>,
) -> Result<Vec<(u64, M)>> {
    wanted.sort_unstable();
    wanted.dedup();
    let mut found = Vec::with_capacity(wanted.len());
    for run in wanted.chunk_by(|a, b| b - a <= GAP) {
        let (first, last) = (run[0], run[run.len() - 1]);
        if run.len() == 1 {
            if let Some(record) = schema::load(read, account, &key(first))? {
                found.push((first, record));
            }
            continue;
        }
        let range = (Bound::Included(key(first)), Bound::Included(key(last)));
        let mut wanted = run.iter().peekable();
        for row in read.range(account, range, Order::Ascending)? {
            let (at, value) = row?;
            let here = number(&at)?;
            while wanted.next_if(|wanted| **wanted < here).is_some() {}
            if wanted.peek().is_some_and(|wanted| **wanted == here) {
                found.push((here, schema::decode(&at, value)?));
            }
        }
    }
    Ok(found)
}

pub(crate) fn entry(mailbox: MailboxId, uid: Uid, record: &EntryRecord) -> MessageEntry {
    MessageEntry {
        mailbox,
        uid,
        email_id: EmailId(record.email),
        thread_id: ThreadId(record.thread),
        flags: record.flags(),
        modseq: ModSeq(record.modseq),
        internal_date_ms: record.internal_date_ms,
        saved_ms: (record.saved_ms != 0).then_some(record.saved_ms),
        size: record.size,
        has_attachment: record.has_attachment,
    }
}

/// An entry with what was parsed of its email.
pub(crate) fn row<R: Read + ?Sized>(read: &R, account: RealmId, entry: MessageEntry) -> Result<MessageRow> {
    let record = email_record(read, account, entry.email_id)?;
    message_row(entry, &record)
}

fn message_row(entry: MessageEntry, record: &EmailRecord) -> Result<MessageRow> {
    let (body, parsed) = (body_ref(entry.email_id, record)?, parsed(entry.email_id, record)?);
    Ok(MessageRow { entry, body, parsed })
}

/// The record of an email that an entry refers to.
pub(crate) fn email_record<R: Read + ?Sized>(read: &R, account: RealmId, email: EmailId) -> Result<EmailRecord> {
    schema::load(read, account, &key::email(email))?.ok_or_else(|| no_record(email))
}

fn no_record(email: EmailId) -> MailError {
    MailError::damaged(store::Cause::Reference, format!("message {email} is in a mailbox but has no record"))
}

pub(crate) fn parsed(email: EmailId, record: &EmailRecord) -> Result<Arc<Parsed>> {
    let parsed = Parsed::decode(record.parsed.clone());
    parsed.map(Arc::new).map_err(|e| {
        MailError::damaged(store::Cause::Decoding, format!("the parsed structure of message {email}: {e}"))
    })
}

pub(crate) fn body_id(email: EmailId, record: &EmailRecord) -> Result<BodyId> {
    let bytes: [u8; 32] = record.body[..]
        .try_into()
        .map_err(|_| MailError::damaged(store::Cause::Decoding, format!("the name of the body of message {email}")))?;
    Ok(BodyId::from_bytes(bytes))
}

/// The emails of an account whose bodies have that name; they may differ in their prefixes.
pub(crate) fn emails_of_body<R: Read + ?Sized>(read: &R, account: RealmId, body: &BodyId) -> Result<Vec<EmailId>> {
    let prefix = [&[store::BODY_REFERENCE], body.as_bytes().as_slice()].concat();
    let mut emails = Vec::new();
    for row in read.prefix(account, &prefix, Order::Ascending)? {
        let owner = row?.0.get(33..).and_then(|owner| <[u8; 8]>::try_from(owner).ok());
        emails.extend(owner.map(|owner| EmailId(u64::from_be_bytes(owner))));
    }
    Ok(emails)
}

/// The prefix of an email; `None` if its record can't be read.
pub(crate) fn prefix_of<R: Read + ?Sized>(read: &R, account: RealmId, email: EmailId) -> Result<Option<Bytes>> {
    let value = read.get(account, &key::email(email))?;
    Ok(value.and_then(|value| EmailRecord::decode(value).ok()).map(|record| record.prefix))
}

/// Where the bytes of an email are.
pub(crate) fn body_ref(email: EmailId, record: &EmailRecord) -> Result<BodyRef> {
    Ok(BodyRef { prefix: record.prefix.clone(), id: body_id(email, record)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_older_than_the_save_date_has_none() {
        let old = EntryRecord { internal_date_ms: 5, ..EntryRecord::default() };
        let bytes = old.encode_to_vec();
        let read = EntryRecord::decode(bytes.as_slice()).unwrap();
        assert_eq!(entry(MailboxId(1), Uid(1), &read).saved_ms, None);
        let new = EntryRecord { saved_ms: 7, ..old };
        assert_eq!(entry(MailboxId(1), Uid(1), &new).saved_ms, Some(7));
    }
}
