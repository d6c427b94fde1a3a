//! The stored keys and records of the queue realm, and of delivery's part of an account's realm.
//!
//! Queue realm (`RealmId::QUEUE`), all of it delivery's:
//!
//! | key | value |
//! |---|---|
//! | `m` id | [`MessageRecord`]: a message, its envelope, its body |
//! | `l` id leg | [`LegRecord`]: the recipients of that message at one destination, and their state |
//! | `d` destination NUL due id leg | [`DueRecord`]: when the leg is to be tried; absent while the message is held |
//! | `s` id | empty: a message salvaged from another queue; kept after it was delivered, so that it is added only once |
//! | `r` relay id | empty: a message that a relay gave us under that id (16 and 8 bytes), until the relay has forgotten it |
//! | `p` domain | [`StsRecord`]: the MTA-STS policy of a domain that mail went to |
//! | `t` day domain NUL policy | [`TallyRecord`]: what became of the connections to a domain on a day, for TLS reports |
//! | `x` when id | empty: when the message is to be looked at for a delay warning or expiry; absent while held |
//!
//! Account realm, first byte `0x40`:
//!
//! | key | value |
//! |---|---|
//! | `0x40 r` key | [`ReceiptRecord`]: a Send and its result |
//! | `0x40 t` when key | empty: when the receipt can be deleted |
//! | `0x48` to `0x4B` | what the account has sent, and how full it was told to be: see `sending/usage.rs` |
//!
//! Numbers in keys are big-endian, times are milliseconds since 1970 UTC. A leg is in progress exactly if
//! `LegRecord::attempt_token` is not zero; its due entry stays until the result is recorded, so that an attempt
//! interrupted by a crash is made again.

mod verdict;

use crate::outbound::transaction::TlsWish;
use crate::{Notify, QueueId, Ret};

pub use verdict::{
    ChangedForwardRecord, ForwardedRecord, FurtherRecord, MarkRecord, PieceRecord, RefusalRecord, ReplyRecord,
    VerdictRecord, VersionRecord,
};

/// First byte of delivery's keys in an account's realm.
pub const ACCOUNT_KEYS: u8 = 0x40;
/// Length of the key of a relayed message.
pub const RELAYED_KEY_BYTES: usize = 25;

/// The key that says that the message `id` of a relay was taken.
pub fn relayed_key(relay: &[u8; 16], id: u64) -> Vec<u8> {
    [b"r".as_slice(), relay, &id.to_be_bytes()].concat()
}

/// Destination of legs that end in accounts here. No domain begins with a colon.
pub const LOCAL_DESTINATION: &str = ":local";

/// A message in the queue.
#[derive(Clone, PartialEq, prost::Message)]
pub struct MessageRecord {
    /// Reverse-path without brackets; empty is the null sender.
    #[prost(string, tag = "1")]
    pub from: String,
    /// The account that sent it, if one of ours did.
    #[prost(uint32, optional, tag = "2")]
    pub account: Option<u32>,
    /// The network that it came from, if nobody of ours sent it: `192.0.2.0/24`. For the limit of reports.
    #[prost(string, tag = "19")]
    pub peer: String,
    /// Id of the body, 32 bytes.
    #[prost(bytes = "vec", tag = "3")]
    pub body: Vec<u8>,
    /// Length of the body.
    #[prost(uint64, tag = "4")]
    pub body_bytes: u64,
    /// Header lines that go out before the trace: signatures. Copies filed here do not get them.
    #[prost(bytes = "vec", tag = "5")]
    pub signatures: Vec<u8>,
    /// The signatures are to be made before it goes out: the keys could not be opened when it was taken.
    #[prost(bool, tag = "20")]
    pub unsigned: bool,
    /// It is held because its account's sending was stopped.
    #[prost(bool, tag = "21")]
    pub stopped: bool,
    /// Header lines that go before the body wherever it goes: Received, if the body lacks it.
    #[prost(bytes = "vec", tag = "18")]
    pub trace: Vec<u8>,
    /// How many bytes at the start of the body do not go out: the Return-Path line that only a final delivery has.
    #[prost(uint32, tag = "6")]
    pub skip_bytes: u32,
    /// 1: full, 2: headers, 0: not said.
    #[prost(uint32, tag = "7")]
    pub ret: u32,
    /// ENVID, decoded.
    #[prost(string, optional, tag = "8")]
    pub envid: Option<String>,
    /// The message has bytes above 127.
    #[prost(bool, tag = "9")]
    pub eight_bit: bool,
    /// It can only go to servers with SMTPUTF8.
    #[prost(bool, tag = "10")]
    pub smtputf8: bool,
    /// Its arrival.
    #[prost(int64, tag = "11")]
    pub created_ms: i64,
    /// When it is given up.
    #[prost(int64, tag = "12")]
    pub expires_ms: i64,
    /// An operator holds it.
    #[prost(bool, tag = "13")]
    pub held: bool,
    /// When it was held, so that the time does not count against it.
    #[prost(int64, tag = "14")]
    pub held_since_ms: i64,
    /// When the sender gets a delay warning; 0 once it was sent or if it is not wanted.
    #[prost(int64, tag = "15")]
    pub warn_ms: i64,
    /// The end of the submission hold: until then it can be recalled. 0: none.
    #[prost(int64, tag = "16")]
    pub release_ms: i64,
    /// Number that the next leg gets.
    #[prost(uint32, tag = "17")]
    pub next_leg: u32,
    /// It has lines of more than 998 octets.
    #[prost(bool, tag = "22")]
    pub long_lines: bool,
    /// What the sender wishes about the security of the way: 0 the usual, 1 `REQUIRETLS`, 2 `TLS-Required: No`.
    #[prost(uint32, tag = "23")]
    pub tls_wish: u32,
    /// It is sent on in an account's name.
    #[prost(message, optional, tag = "24")]
    pub forwarded: Option<ForwardedRecord>,
}

/// Recipients of a message that share a destination.
#[derive(Clone, PartialEq, prost::Message)]
pub struct LegRecord {
    /// Domain (lower case, ASCII), or [`LOCAL_DESTINATION`].
    #[prost(string, tag = "1")]
    pub destination: String,
    /// Those still to be served; never empty.
    #[prost(message, repeated, tag = "2")]
    pub recipients: Vec<RecipientRecord>,
    /// Attempts begun.
    #[prost(uint32, tag = "3")]
    pub attempts: u32,
    /// When it is tried next: its due entry bears this time.
    #[prost(int64, tag = "4")]
    pub due_ms: i64,
    /// Names the attempt under way; 0: none.
    #[prost(fixed64, tag = "5")]
    pub attempt_token: u64,
    /// When the attempt under way began.
    #[prost(int64, tag = "6")]
    pub attempt_ms: i64,
    /// What was demanded of the way to the destination at the last attempt, and what came of it; empty: nothing yet.
    #[prost(message, optional, tag = "7")]
    pub security: Option<SecurityRecord>,
}

/// What was demanded of the way to a destination, and what came of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct SecurityRecord {
    /// `mta-sts enforce`, `dane`, `none`…
    #[prost(string, tag = "1")]
    pub policy: String,
    /// For people: why it failed, or how it went.
    #[prost(string, tag = "2")]
    pub result: String,
    /// It was not as demanded.
    #[prost(bool, tag = "3")]
    pub failed: bool,
    /// The exception that applies, with its reason and end.
    #[prost(string, tag = "4")]
    pub exception: String,
}

/// A recipient still to be served.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RecipientRecord {
    /// Forward-path without brackets.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Bits 0..=3: success, failure, delay, explicit.
    #[prost(uint32, tag = "2")]
    pub notify: u32,
    /// ORCPT as given.
    #[prost(string, optional, tag = "3")]
    pub orcpt: Option<String>,
    /// Whose it is, for local ones.
    #[prost(uint32, optional, tag = "4")]
    pub account: Option<u32>,
    /// The last error.
    #[prost(string, optional, tag = "5")]
    pub last_error: Option<String>,
    /// Enhanced status of the last attempt, `4.4.1`.
    #[prost(string, tag = "6")]
    pub last_status: String,
    /// The server that replied so.
    #[prost(string, tag = "7")]
    pub last_remote: String,
    /// When the last attempt ended.
    #[prost(int64, tag = "8")]
    pub last_attempt_ms: i64,
    /// What was decided when the message came.
    #[prost(message, optional, tag = "9")]
    pub verdict: Option<VerdictRecord>,
}

/// The data of a leg that the runner needs before reading it.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct DueRecord {
    /// The sending account + 1, or 0: backlog is shared fairly between these.
    #[prost(uint64, tag = "1")]
    pub owner: u64,
}

/// A domain's MTA-STS policy, as it was fetched (RFC 8461).
#[derive(Clone, PartialEq, prost::Message)]
pub struct StsRecord {
    /// The id of the record that announced it.
    #[prost(string, tag = "1")]
    pub id: String,
    /// `enforce`, `testing` or `none`.
    #[prost(string, tag = "2")]
    pub mode: String,
    /// Its hosts.
    #[prost(string, repeated, tag = "3")]
    pub mx: Vec<String>,
    /// How long it holds.
    #[prost(uint64, tag = "4")]
    pub max_age_seconds: u64,
    /// Since when.
    #[prost(int64, tag = "5")]
    pub fetched_ms: i64,
}

/// What became of the connections to a domain on a day, under one kind of policy (RFC 8460).
#[derive(Clone, PartialEq, prost::Message)]
pub struct TallyRecord {
    /// Connections as demanded.
    #[prost(uint64, tag = "1")]
    pub successes: u64,
    /// Those that were not.
    #[prost(uint64, tag = "2")]
    pub failures: u64,
    /// The policy, line by line.
    #[prost(string, repeated, tag = "3")]
    pub policy: Vec<String>,
    /// The hosts it names.
    #[prost(string, repeated, tag = "4")]
    pub hosts: Vec<String>,
    /// The failures.
    #[prost(message, repeated, tag = "5")]
    pub details: Vec<TallyDetailRecord>,
    /// Destinations that have the report of the day, where another has not.
    #[prost(string, repeated, tag = "6")]
    pub reported_to: Vec<String>,
    /// The report is not tried again before, milliseconds since 1970 UTC.
    #[prost(int64, tag = "7")]
    pub not_before_ms: i64,
}

/// Failures of one kind at one host.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TallyDetailRecord {
    /// As RFC 8460 §4.3 names it.
    #[prost(string, tag = "1")]
    pub kind: String,
    /// The host, if there was one.
    #[prost(string, tag = "2")]
    pub host: String,
    /// Its address, if there was one.
    #[prost(string, tag = "3")]
    pub address: String,
    /// For people.
    #[prost(string, tag = "4")]
    pub text: String,
    /// How many.
    #[prost(uint64, tag = "5")]
    pub count: u64,
}

/// The result of a Send.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ReceiptRecord {
    /// Queue id.
    #[prost(fixed64, tag = "1")]
    pub id: u64,
    /// When.
    #[prost(int64, tag = "2")]
    pub submitted_ms: i64,
    /// Hold ends; 0: was not held.
    #[prost(int64, tag = "3")]
    pub held_until_ms: i64,
    /// The copy in Sent.
    #[prost(message, optional, tag = "4")]
    pub sent_copy: Option<CopyRecord>,
    /// It was recalled.
    #[prost(bool, tag = "5")]
    pub cancelled: bool,
    /// Per recipient: 0 queued, otherwise filed to account (value - 1).
    #[prost(uint64, repeated, tag = "6")]
    pub recipients: Vec<u64>,
    /// The entries that the Send marked as answered or forwarded; a recall unmarks them.
    #[prost(message, repeated, tag = "7")]
    pub marked: Vec<CopyRecord>,
    /// They were marked as forwarded, not as answered.
    #[prost(bool, tag = "8")]
    pub forwarded: bool,
}

/// The location of a copy of a sent message.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct CopyRecord {
    /// Mailbox id.
    #[prost(uint32, tag = "1")]
    pub mailbox: u32,
    /// UID.
    #[prost(uint32, tag = "2")]
    pub uid: u32,
    /// Email id.
    #[prost(uint64, tag = "3")]
    pub email: u64,
}

/// One leg of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LegId {
    /// The message.
    pub id: QueueId,
    /// Its number there.
    pub leg: u32,
}

/// `m` id.
pub fn message_key(id: QueueId) -> Vec<u8> {
    [b"m".as_slice(), &id.to_bytes()].concat()
}

/// `p` domain.
pub fn policy_key(domain: &str) -> Vec<u8> {
    [b"p".as_slice(), domain.as_bytes()].concat()
}

/// The domain of a [`policy_key`].
pub fn policy_key_domain(key: &[u8]) -> Option<&str> {
    std::str::from_utf8(key.strip_prefix(b"p")?).ok()
}

/// `t` day domain NUL policy.
pub fn tally_key(day: u32, domain: &str, policy: &str) -> Vec<u8> {
    [b"t".as_slice(), &day.to_be_bytes(), domain.as_bytes(), &[0], policy.as_bytes()].concat()
}

/// Day, domain and policy of a [`tally_key`].
pub fn tally_key_parts(key: &[u8]) -> Option<(u32, &str, &str)> {
    let (day, rest) = key.strip_prefix(b"t")?.split_first_chunk::<4>()?;
    let (domain, policy) = std::str::from_utf8(rest).ok()?.split_once('\0')?;
    Some((u32::from_be_bytes(*day), domain, policy))
}

/// `s` id.
pub fn salvaged_key(id: QueueId) -> Vec<u8> {
    [b"s".as_slice(), &id.to_bytes()].concat()
}

/// The id of a [`message_key`].
pub fn message_key_id(key: &[u8]) -> Option<QueueId> {
    let (first, id) = key.split_first()?;
    (*first == b'm').then_some(())?;
    Some(QueueId(u64::from_be_bytes(id.try_into().ok()?)))
}

/// `l` id leg.
pub fn leg_key(leg: LegId) -> Vec<u8> {
    [b"l".as_slice(), &leg.id.to_bytes(), &leg.leg.to_be_bytes()].concat()
}

/// Start of the keys of all legs of a message.
pub fn legs_prefix(id: QueueId) -> Vec<u8> {
    [b"l".as_slice(), &id.to_bytes()].concat()
}

/// The leg of a [`leg_key`].
pub fn leg_key_id(key: &[u8]) -> Option<LegId> {
    let rest = key.strip_prefix(b"l")?;
    leg_id(rest)
}

/// `d` destination NUL due id leg.
pub fn due_key(destination: &str, due_ms: i64, leg: LegId) -> Vec<u8> {
    let mut key = due_prefix(destination);
    key.extend_from_slice(&time(due_ms));
    key.extend_from_slice(&leg.id.to_bytes());
    key.extend_from_slice(&leg.leg.to_be_bytes());
    key
}

/// Start of the due keys of one destination.
pub fn due_prefix(destination: &str) -> Vec<u8> {
    [b"d".as_slice(), destination.as_bytes(), &[0]].concat()
}

/// Start of the due keys of one destination at a time; those of later times sort after it.
pub fn due_time_prefix(destination: &str, due_ms: i64) -> Vec<u8> {
    let mut key = due_prefix(destination);
    key.extend_from_slice(&time(due_ms));
    key
}

/// Destination, time and leg of a [`due_key`].
pub fn due_key_parts(key: &[u8]) -> Option<(&str, i64, LegId)> {
    let rest = key.strip_prefix(b"d")?;
    let end = rest.iter().position(|&b| b == 0)?;
    let destination = std::str::from_utf8(&rest[..end]).ok()?;
    let (due, leg) = rest[end + 1..].split_first_chunk::<8>()?;
    Some((destination, i64::try_from(u64::from_be_bytes(*due)).ok()?, leg_id(leg)?))
}

/// `x` when id.
pub fn deadline_key(when_ms: i64, id: QueueId) -> Vec<u8> {
    [b"x".as_slice(), &time(when_ms), &id.to_bytes()].concat()
}

/// Time and message of a [`deadline_key`].
pub fn deadline_key_parts(key: &[u8]) -> Option<(i64, QueueId)> {
    let (when, id) = key.strip_prefix(b"x")?.split_first_chunk::<8>()?;
    Some((i64::try_from(u64::from_be_bytes(*when)).ok()?, QueueId(u64::from_be_bytes(id.try_into().ok()?))))
}

/// `0x40 r` key.
pub fn receipt_key(idempotency_key: &[u8]) -> Vec<u8> {
    [&[ACCOUNT_KEYS, b'r'], idempotency_key].concat()
}

/// `0x40 t` when key.
pub fn receipt_expiry_key(when_ms: i64, idempotency_key: &[u8]) -> Vec<u8> {
    [&[ACCOUNT_KEYS, b't'], time(when_ms).as_slice(), idempotency_key].concat()
}

/// Start of all receipt expiry keys.
pub const RECEIPT_EXPIRY_PREFIX: [u8; 2] = [ACCOUNT_KEYS, b't'];

/// Time and idempotency key of a [`receipt_expiry_key`].
pub fn receipt_expiry_key_parts(key: &[u8]) -> Option<(i64, &[u8])> {
    let (when, rest) = key.strip_prefix(&RECEIPT_EXPIRY_PREFIX)?.split_first_chunk::<8>()?;
    Some((i64::try_from(u64::from_be_bytes(*when)).ok()?, rest))
}

/// The owner of the body reference of a queued message.
pub fn body_owner(id: QueueId) -> [u8; 8] {
    id.to_bytes()
}

/// Times before 1970 do not occur; they would sort wrongly and count as 0.
fn time(ms: i64) -> [u8; 8] {
    u64::try_from(ms).unwrap_or(0).to_be_bytes()
}

fn leg_id(bytes: &[u8]) -> Option<LegId> {
    let (id, leg) = bytes.split_first_chunk::<8>()?;
    Some(LegId { id: QueueId(u64::from_be_bytes(*id)), leg: u32::from_be_bytes(leg.try_into().ok()?) })
}

/// As [`RecipientRecord::notify`] has it.
pub fn notify_bits(notify: Notify) -> u32 {
    u32::from(notify.success)
        | u32::from(notify.failure) << 1
        | u32::from(notify.delay) << 2
        | u32::from(notify.explicit) << 3
}

/// Back from [`notify_bits`].
pub fn notify_from_bits(bits: u32) -> Notify {
    Notify { success: bits & 1 != 0, failure: bits & 2 != 0, delay: bits & 4 != 0, explicit: bits & 8 != 0 }
}

/// As [`MessageRecord::ret`] has it.
pub fn ret_number(ret: Option<Ret>) -> u32 {
    match ret {
        None => 0,
        Some(Ret::Full) => 1,
        Some(Ret::Headers) => 2,
    }
}

/// Back from [`ret_number`].
pub fn ret_from_number(number: u32) -> Option<Ret> {
    match number {
        1 => Some(Ret::Full),
        2 => Some(Ret::Headers),
        _ => None,
    }
}

/// For [`MessageRecord::tls_wish`]: a demand in the envelope goes before what the header says (RFC 8689 §5).
pub fn tls_wish(required: bool, optional: bool) -> u32 {
    if required { 1 } else { u32::from(optional) * 2 }
}

impl MessageRecord {
    /// What the sender wishes about the security of the way.
    pub fn wish(&self) -> TlsWish {
        match self.tls_wish {
            1 => TlsWish::Required,
            2 => TlsWish::Optional,
            _ => TlsWish::Usual,
        }
    }

    /// Who hears of what becomes of it; empty: nobody.
    pub fn reports_to(&self) -> &str {
        match &self.forwarded {
            Some(forwarded) if !forwarded.is_proven || self.from.is_empty() => &forwarded.owner,
            _ => &self.from,
        }
    }

    /// Whether that is a stranger: then a report repeats little.
    pub fn is_strange(&self) -> bool {
        match &self.forwarded {
            Some(forwarded) => !forwarded.of_ours && self.reports_to() != forwarded.owner,
            None => self.account.is_none(),
        }
    }

    /// Bytes that go out.
    pub fn outgoing_bytes(&self) -> u64 {
        let lead = (self.signatures.len() + self.trace.len()) as u64;
        (lead + self.body_bytes).saturating_sub(u64::from(self.skip_bytes))
    }

    /// When the message must be looked at next: for the warning, or to give it up.
    pub fn deadline_ms(&self) -> i64 {
        if self.warn_ms > 0 { self.warn_ms.min(self.expires_ms) } else { self.expires_ms }
    }

    /// For [`DueRecord::owner`].
    pub fn owner(&self) -> u64 {
        self.account.map_or(0, |a| u64::from(a) + 1)
    }
}

/// The key of a delivery in an account: the same message is filed there only once, even if it is tried again.
pub fn delivery_key(id: QueueId) -> Vec<u8> {
    [b"q".as_slice(), &id.to_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_survive_and_sort_by_time() {
        let leg = LegId { id: QueueId(7), leg: 3 };
        assert_eq!(message_key_id(&message_key(leg.id)), Some(leg.id));
        assert_eq!(leg_key_id(&leg_key(leg)), Some(leg));
        assert!(leg_key(leg).starts_with(&legs_prefix(leg.id)));
        assert_eq!(due_key_parts(&due_key("x.example", 99, leg)), Some(("x.example", 99, leg)));
        assert_eq!(deadline_key_parts(&deadline_key(5, leg.id)), Some((5, leg.id)));
        assert_eq!(receipt_expiry_key_parts(&receipt_expiry_key(5, b"k")), Some((5, b"k".as_slice())));
        assert!(due_key("x.example", 255, leg) < due_key("x.example", 256, leg));
        assert!(deadline_key(-1, leg.id) < deadline_key(1, leg.id));
        for other in [b"".as_slice(), b"m", b"d", b"dx", b"l1234567", b"x1"] {
            assert_eq!(message_key_id(other), None);
            assert_eq!(leg_key_id(other), None);
            assert_eq!(due_key_parts(other), None);
            assert_eq!(deadline_key_parts(other), None);
        }
    }

    #[test]
    fn wishes_survive_storage() {
        for bits in 0..16 {
            assert_eq!(notify_bits(notify_from_bits(bits)), bits);
        }
        for ret in [None, Some(Ret::Full), Some(Ret::Headers)] {
            assert_eq!(ret_from_number(ret_number(ret)), ret);
        }
    }
}
