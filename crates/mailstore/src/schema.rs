//! The stored records and their keys.
//!
//! All keys start with one byte for their type, followed by fixed-width big-endian numbers, so that byte order is
//! number order. Dates are milliseconds since 1970 UTC with the sign bit flipped; `!date` is the complement, for
//! newest first. Values are protobuf records (tags are never reused) or empty.
//!
//! | key | value | |
//! |---|---|---|
//! | `10` | [`State`] | counters of the account: next ids, bytes in use |
//! | `11` mailbox | [`MailboxRecord`] | name, role, UIDVALIDITY |
//! | `12` mailbox | [`Counters`] | UIDNEXT, HIGHESTMODSEQ, total, unread, deleted, size |
//! | `13` name | mailbox | finds a mailbox by name; in byte order, so a mailbox comes before its children |
//! | `14` name | – | a subscription; outlives the mailbox |
//! | `15` role | mailbox | finds a mailbox by role |
//! | `16` mailbox | – | a deleted mailbox whose messages are not purged yet |
//! | `17` mailbox entry | [`MetadataRecord`] | metadata of a mailbox, or with mailbox 0 of the account (RFC 5464) |
//! | `20` mailbox uid | [`EntryRecord`] | a message in a mailbox: flags, MODSEQ, dates, which email |
//! | `21` email | [`EmailRecord`] | a message, once for all copies: body, size, parsed data |
//! | `22` email mailbox uid | – | the mailboxes of an email; the email is deleted with the last one |
//! | `23` mailbox modseq uid | – | entries by their latest change |
//! | `24` mailbox modseq | [`VanishedRecord`] | UIDs expunged by that commit; history back to [`Counters::vanished_floor`] |
//! | `28` hash(message-id, base subject) | thread | which conversation a message joins |
//! | `29` thread | [`ThreadRecord`] | its size and its `28` keys |
//! | `2A` thread date mailbox uid | email | its messages, oldest first, over all mailboxes |
//! | `2B` mailbox thread | [`ConversationRecord`] | one line of a mailbox's list |
//! | `2C` mailbox !date thread | – | the order of that list |
//! | `30` hash(delivery key) | [`DeliveryRecord`] | the result of an append, in case it is repeated |
//! | `31` address | [`CorrespondentRecord`] | a recent correspondent |
//! | `32` hash(act key) | [`ActRecord`](crate::ActRecord) | the result of one user action, and its undo data |
//! | `33` hash(act key) | [`RewindRecord`](crate::rewind::RewindRecord) | the result of a rewind |
//! | `34` hash(act key) step | [`RewindStep`](crate::rewind::RewindStep) | its undo data, step by step |
//!
//! A delivery writes `10 12 20 21 22 23 28 29 2A 2B 2C 30` and refers to its body: 13 keys. Changing a flag writes
//! `12 20 23 23` and perhaps `2B`. The body of an email is referred to with the email id as owner.
//!
//! A message is its *prefix* (header lines that a delivery here put above it, in its `21`) followed by its body, which
//! all copies here share. A reader of a message gets both; sizes and offsets are those of both.

pub(crate) mod key;

use bytes::Bytes;
use prost::Message;
use store::{Order, Read, RealmId, Tx};

use crate::{Flags, MailError, Result, UidSet, counter::stepped};

/// Longest delivery key, in bytes.
pub const MAX_DELIVERY_KEY_BYTES: usize = 1024;
/// For how many days a delivery key is remembered, at least.
pub const DELIVERY_KEY_DAYS: i64 = 60;
/// For how many days the delivery key of an import is remembered, at least.
pub const IMPORT_KEY_DAYS: i64 = 400;
/// For how many days expunged UIDs are remembered for QRESYNC, unless there are more than
/// [`MAX_VANISHED_RECORDS`].
pub const VANISHED_DAYS: i64 = 90;
/// How many commits of expunged UIDs a mailbox remembers.
pub const MAX_VANISHED_RECORDS: usize = 10_000;
/// How many messages a conversation may have, copies counted, for a further one to join; else that begins a new one.
pub const MAX_THREAD_MESSAGES: usize = 400;
/// How many ids of `References:` are looked at: the first, and the latest ones.
pub const MAX_REFERENCES: usize = 16;

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// `10`: counters of the account.
#[derive(Clone, PartialEq, Message)]
pub struct State {
    /// The id that the next mailbox gets, less one.
    #[prost(uint32, tag = "1")]
    pub last_mailbox: u32,
    /// The id that the next email gets, less one.
    #[prost(uint64, tag = "2")]
    pub last_email: u64,
    /// The largest UIDVALIDITY given out.
    #[prost(uint32, tag = "3")]
    pub last_uid_validity: u32,
    /// Bytes of all emails, each counted once.
    #[prost(uint64, tag = "4")]
    pub used_bytes: u64,
    /// How many emails there are.
    #[prost(uint64, tag = "5")]
    pub emails: u64,
    /// How many mailboxes there are.
    #[prost(uint32, tag = "6")]
    pub mailboxes: u32,
    /// How many correspondents there are.
    #[prost(uint32, tag = "7")]
    pub correspondents: u32,
    /// How many metadata entries there are.
    #[prost(uint32, tag = "8")]
    pub metadata_entries: u32,
    /// Bytes of their names and values.
    #[prost(uint64, tag = "9")]
    pub metadata_bytes: u64,
}

/// `11`: a mailbox.
#[derive(Clone, PartialEq, Message)]
pub struct MailboxRecord {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its role as [`crate::Role`] numbers it, or 0.
    #[prost(uint32, tag = "2")]
    pub role: u32,
    /// UIDVALIDITY.
    #[prost(uint32, tag = "3")]
    pub uid_validity: u32,
    /// When it was made.
    #[prost(int64, tag = "4")]
    pub created_ms: i64,
}

/// `12`: counts of a mailbox, updated in the commit that changes what is counted.
#[derive(Clone, PartialEq, Message)]
pub struct Counters {
    /// The largest UID given out.
    #[prost(uint32, tag = "1")]
    pub last_uid: u32,
    /// HIGHESTMODSEQ.
    #[prost(uint64, tag = "2")]
    pub highest_modseq: u64,
    /// Messages.
    #[prost(uint32, tag = "3")]
    pub total: u32,
    /// Messages that are not `\Seen`.
    #[prost(uint32, tag = "4")]
    pub unread: u32,
    /// Messages that are `\Deleted`.
    #[prost(uint32, tag = "5")]
    pub deleted: u32,
    /// Sum of the messages' sizes.
    #[prost(uint64, tag = "6")]
    pub size: u64,
    /// Expunges up to this MODSEQ are forgotten.
    #[prost(uint64, tag = "7")]
    pub vanished_floor: u64,
    /// Messages up to this UID are not `\Recent` for any session to come.
    #[prost(uint32, tag = "8")]
    pub recent_line: u32,
}

impl Counters {
    /// Count an entry, or take it out (`by` = -1).
    pub(crate) fn count(&mut self, entry: &EntryRecord, by: i32) {
        let flags = entry.flags();
        let by = i64::from(by);
        self.total = stepped("mailbox total", self.total, by);
        self.unread = stepped("mailbox unread", self.unread, if flags.seen() { 0 } else { by });
        self.deleted = stepped("mailbox deleted", self.deleted, if flags.deleted() { by } else { 0 });
        let size = i64::try_from(entry.size).unwrap_or(i64::MAX) * by.signum();
        self.size = stepped("mailbox size", self.size, size);
    }
}

/// `17`: a metadata entry. Its key has the name in lower case.
#[derive(Clone, PartialEq, Message)]
pub struct MetadataRecord {
    /// Its name as it was spelled last.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its value: any bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
    /// The realm's sequence number when it was set.
    #[prost(uint64, tag = "3")]
    pub revision: u64,
}

impl MetadataRecord {
    /// What it counts for [`State::metadata_bytes`].
    pub(crate) fn bytes(&self) -> u64 {
        (self.name.len() + self.value.len()) as u64
    }
}

/// `20`: a message in a mailbox.
#[derive(Clone, PartialEq, Message)]
pub struct EntryRecord {
    /// Which email.
    #[prost(uint64, tag = "1")]
    pub email: u64,
    /// Its conversation.
    #[prost(uint64, tag = "2")]
    pub thread: u64,
    /// When its flags last changed.
    #[prost(uint64, tag = "3")]
    pub modseq: u64,
    /// INTERNALDATE.
    #[prost(sint64, tag = "4")]
    pub internal_date_ms: i64,
    /// Size in bytes.
    #[prost(uint64, tag = "5")]
    pub size: u64,
    /// System flags as bits, see [`crate::SystemFlag`].
    #[prost(uint32, tag = "6")]
    pub system: u32,
    /// Keywords, sorted.
    #[prost(string, repeated, tag = "7")]
    pub keywords: Vec<String>,
    /// Whether it has an attachment.
    #[prost(bool, tag = "8")]
    pub has_attachment: bool,
    /// When it was put into this mailbox, milliseconds since 1970 UTC; 0 in records older than this field.
    #[prost(sint64, tag = "9")]
    pub saved_ms: i64,
}

impl EntryRecord {
    pub(crate) fn flags(&self) -> Flags {
        Flags::from_parts(self.system, &self.keywords)
    }
}

/// `21`: a message, once for all its copies.
#[derive(Clone, PartialEq, Message)]
pub struct EmailRecord {
    /// Name of its body (32 bytes).
    #[prost(bytes = "bytes", tag = "1")]
    pub body: Bytes,
    /// Bytes of prefix and body.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// When it was filed.
    #[prost(int64, tag = "3")]
    pub filed_ms: i64,
    /// `mailkit::Parsed` of prefix and body, encoded.
    #[prost(bytes = "bytes", tag = "4")]
    pub parsed: Bytes,
    /// What stands before the body: header lines added here. Empty in records older than this field.
    #[prost(bytes = "bytes", tag = "5")]
    pub prefix: Bytes,
}

/// `24`: UIDs expunged by one commit.
#[derive(Clone, PartialEq, Message)]
pub struct VanishedRecord {
    /// First UID of each range, and how many follow it.
    #[prost(uint32, repeated, tag = "1")]
    pub first: Vec<u32>,
    /// For each range, how many UIDs follow its first.
    #[prost(uint32, repeated, tag = "2")]
    pub more: Vec<u32>,
    /// When.
    #[prost(int64, tag = "3")]
    pub at_ms: i64,
}

impl VanishedRecord {
    pub(crate) fn new(uids: &UidSet, at_ms: i64) -> Self {
        let (first, more) = uids.ranges().iter().map(|(first, last)| (*first, last - first)).unzip();
        Self { first, more, at_ms }
    }

    pub(crate) fn uids(&self) -> UidSet {
        UidSet::from_ranges(
            self.first.iter().zip(&self.more).map(|(first, more)| (*first, first.saturating_add(*more))),
        )
    }
}

/// `29`: a conversation.
#[derive(Clone, PartialEq, Message)]
pub struct ThreadRecord {
    /// How many `2A` rows it has.
    #[prost(uint32, tag = "1")]
    pub members: u32,
    /// The hashes of its `28` keys, 16 bytes each.
    #[prost(bytes = "vec", tag = "2")]
    pub hashes: Vec<u8>,
}

/// `2B`: a conversation in a mailbox.
#[derive(Clone, PartialEq, Message)]
pub struct ConversationRecord {
    /// Internal date of the newest message.
    #[prost(sint64, tag = "1")]
    pub newest_ms: i64,
    /// Its UID. Of several with the same date the largest.
    #[prost(uint32, tag = "2")]
    pub newest_uid: u32,
    /// Which email it is.
    #[prost(uint64, tag = "3")]
    pub newest_email: u64,
    /// Messages.
    #[prost(uint32, tag = "4")]
    pub total: u32,
    /// Messages not `\Seen`.
    #[prost(uint32, tag = "5")]
    pub unread: u32,
    /// Messages `\Flagged`.
    #[prost(uint32, tag = "6")]
    pub flagged: u32,
    /// Messages `\Draft`.
    #[prost(uint32, tag = "7")]
    pub drafts: u32,
    /// Messages with an attachment.
    #[prost(uint32, tag = "8")]
    pub attachments: u32,
}

/// `30`: what an append with a delivery key did.
#[derive(Clone, PartialEq, Message)]
pub struct DeliveryRecord {
    /// Into which mailbox.
    #[prost(uint32, tag = "1")]
    pub mailbox: u32,
    /// Its UIDVALIDITY.
    #[prost(uint32, tag = "2")]
    pub uid_validity: u32,
    /// With which UID.
    #[prost(uint32, tag = "3")]
    pub uid: u32,
    /// As which email.
    #[prost(uint64, tag = "4")]
    pub email: u64,
    /// In which conversation.
    #[prost(uint64, tag = "5")]
    pub thread: u64,
    /// At which MODSEQ.
    #[prost(uint64, tag = "6")]
    pub modseq: u64,
    /// Until when this must be remembered.
    #[prost(int64, tag = "7")]
    pub keep_until_ms: i64,
}

/// `31`: someone written to.
#[derive(Clone, PartialEq, Message)]
pub struct CorrespondentRecord {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Address as written.
    #[prost(string, tag = "2")]
    pub address: String,
    /// How often.
    #[prost(uint32, tag = "3")]
    pub count: u32,
    /// When last.
    #[prost(int64, tag = "4")]
    pub last_ms: i64,
}

/// Read and decode the record at `key`.
pub(crate) fn load<M: Message + Default, R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    key: &[u8],
) -> Result<Option<M>> {
    read.get(account, key)?.map(|value| decode(key, value)).transpose()
}

/// Decode the record that was found at `key`.
pub(crate) fn decode<M: Message + Default>(key: &[u8], value: Bytes) -> Result<M> {
    M::decode(value).map_err(|e| MailError::damaged_at(store::Cause::Decoding, key, e))
}

/// Encode and write a record.
pub(crate) fn save<M: Message>(tx: &mut Tx<'_>, account: RealmId, key: Vec<u8>, record: &M) {
    tx.put(account, key, record.encode_to_vec());
}

/// All rows whose keys begin with `prefix`, as keys and values, at most `limit`.
pub(crate) fn rows<R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    prefix: &[u8],
    limit: usize,
) -> Result<Vec<(Bytes, Bytes)>> {
    Ok(read.prefix(account, prefix, Order::Ascending)?.take(limit).collect::<Result<_, _>>()?)
}

/// A big-endian number as a value.
pub(crate) fn number<const N: usize>(what: &[u8], value: &[u8]) -> Result<[u8; N]> {
    value.try_into().map_err(|_| MailError::damaged_at(store::Cause::Length, what, "its value"))
}
