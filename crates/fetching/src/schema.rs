//! Keys and records: `A4` id → a source, `A5` id, mailbox → what was fetched of a mailbox there, `A6` id → its password (written by
//! `directory`, which seals it), `A7` id, hash → a message that was fetched.

use directory::schema::HELD_SECRET;

/// Sources, by id.
pub(crate) const SOURCE: u8 = 0xA4;
/// Mailboxes of sources.
pub(crate) const REMOTE: u8 = 0xA5;
/// Passwords of sources.
pub(crate) const SECRET: u8 = HELD_SECRET;
/// Messages that were fetched.
pub(crate) const SEEN: u8 = 0xA7;
/// All kinds of keys.
pub(crate) const KINDS: [u8; 4] = [SOURCE, REMOTE, SECRET, SEEN];

/// An account elsewhere.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SourceRecord {
    /// 1 IMAP, 2 POP3.
    #[prost(uint32, tag = "1")]
    pub protocol: u32,
    #[prost(string, tag = "2")]
    pub host: String,
    #[prost(uint32, tag = "3")]
    pub port: u32,
    /// 1 TLS, 2 STARTTLS, 3 plain.
    #[prost(uint32, tag = "4")]
    pub security: u32,
    #[prost(string, tag = "5")]
    pub user: String,
    /// It is fetched again and again.
    #[prost(bool, tag = "6")]
    pub keeps_on: bool,
    /// Of IMAP: INBOX alone.
    #[prost(bool, tag = "7")]
    pub inbox_only: bool,
    /// New mail goes through the account's rules.
    #[prost(bool, tag = "8")]
    pub rules: bool,
    /// What was fetched is deleted there.
    #[prost(bool, tag = "9")]
    pub delete: bool,
    /// 0 active, 1 paused, 2 paused since signing in was refused, 3 done, 4 paused since it can't work.
    #[prost(uint32, tag = "10")]
    pub state: u32,
    /// Why the last run failed; empty if it didn't.
    #[prost(string, tag = "11")]
    pub error: String,
    #[prost(int64, tag = "12")]
    pub error_ms: i64,
    /// Runs that failed one after another.
    #[prost(uint32, tag = "13")]
    pub failures: u32,
    /// When it is to be fetched again.
    #[prost(int64, tag = "14")]
    pub due_ms: i64,
    #[prost(int64, tag = "15")]
    pub added_ms: i64,
    /// When a run last ended well.
    #[prost(int64, tag = "16")]
    pub complete_ms: i64,
    /// The account was told by mail that signing in was refused.
    #[prost(bool, tag = "17")]
    pub told: bool,
    /// All mailboxes were looked at once, to the end.
    #[prost(bool, tag = "18")]
    pub caught_up: bool,
}

/// A mailbox there.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RemoteRecord {
    /// Its name, for people.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where its messages go.
    #[prost(uint32, tag = "2")]
    pub local: u32,
    #[prost(uint32, tag = "3")]
    pub uid_validity: u32,
    /// All messages up to this UID are done.
    #[prost(uint32, tag = "4")]
    pub last_uid: u32,
    /// Messages there, as of the last look.
    #[prost(uint64, tag = "5")]
    pub total: u64,
    /// Of these not done yet.
    #[prost(uint64, tag = "6")]
    pub left: u64,
    /// Messages filed here.
    #[prost(uint64, tag = "7")]
    pub filed: u64,
    /// Messages that were here already.
    #[prost(uint64, tag = "8")]
    pub known: u64,
    /// Messages left out.
    #[prost(uint64, tag = "9")]
    pub left_out: u64,
    /// The first of these, and why.
    #[prost(string, repeated, tag = "10")]
    pub reasons: Vec<String>,
    /// A UID at which the connection broke, and how often.
    #[prost(uint32, tag = "11")]
    pub stuck_uid: u32,
    #[prost(uint32, tag = "12")]
    pub stuck: u32,
    /// UIDs that are filed here and have to be deleted there yet.
    #[prost(uint32, repeated, tag = "13")]
    pub to_delete: Vec<u32>,
}

/// A message that was fetched.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SeenRecord {
    /// When.
    #[prost(int64, tag = "1")]
    pub at_ms: i64,
    /// It was left out.
    #[prost(bool, tag = "2")]
    pub left_out: bool,
}

/// The key of a source.
pub(crate) fn source_key(id: u64) -> Vec<u8> {
    [&[SOURCE][..], &id.to_be_bytes()].concat()
}

/// What the keys of a source's mailboxes begin with.
pub(crate) fn remotes_key(id: u64) -> Vec<u8> {
    [&[REMOTE][..], &id.to_be_bytes()].concat()
}

/// The key of a mailbox, by its name as the server writes it.
pub(crate) fn remote_key(id: u64, raw: &[u8]) -> Vec<u8> {
    [&[REMOTE][..], &id.to_be_bytes(), &blake3::hash(raw).as_bytes()[..16]].concat()
}

/// What the keys of a source's messages begin with.
pub(crate) fn all_seen_key(id: u64) -> Vec<u8> {
    [&[SEEN][..], &id.to_be_bytes()].concat()
}

/// By what a message is known again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark<'a> {
    /// The name that POP3 gives it.
    Uidl(&'a [u8]),
    /// The number that Gmail gives it, in whichever mailbox.
    Gmail(u64),
    /// Its bytes, in a mailbox.
    Body(&'a [u8], &'a [u8; 32]),
}

/// The key of a message that was fetched.
pub(crate) fn seen_key(id: u64, mark: Mark<'_>) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    let kind = match mark {
        Mark::Uidl(name) => {
            hasher.update(name);
            b'u'
        }
        Mark::Gmail(number) => {
            hasher.update(&number.to_be_bytes());
            b'g'
        }
        Mark::Body(mailbox, hash) => {
            hasher.update(blake3::hash(mailbox).as_bytes());
            hasher.update(hash);
            b'b'
        }
    };
    [&[SEEN][..], &id.to_be_bytes(), &[kind], &hasher.finalize().as_bytes()[..16]].concat()
}
