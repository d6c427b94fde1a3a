//! What the filter keeps in an account's realm.
//!
//! | key | value | |
//! |---|---|---|
//! | `80` | [`SettingsRecord`] | level, lists, when Spam is emptied |
//! | `81` name of the body, 16 bytes | [`LearnedRecord`] | what was learned of a message |
//! | `82` | [`StateRecord`] | which state the `81` records are in, and how far the mail was looked through |
//!
//! In the directory's realm lie the lists of domains:
//!
//! | key | value | |
//! |---|---|---|
//! | `83` domain | [`SettingsRecord`], of which only the lists count | lists of a domain; without one those of the service |
//!
//! The counts that mail is judged by are made of the `81` records and kept in memory: there is nothing that could
//! disagree with them. The features of the oldest messages are dropped, so an account's records stay small and its
//! judgement young; what the user said of a message stays for ever.

use bytes::Bytes;
use prost::Message;

pub(super) const SETTINGS: u8 = 0x80;
pub(super) const LEARNED: u8 = 0x81;
pub(super) const STATE: u8 = 0x82;
/// In the directory's realm, where it is followed by a domain, or by nothing: the service.
pub(super) const SHARED_LISTS: u8 = 0x83;
pub(super) const KINDS: [u8; 3] = [SETTINGS, LEARNED, STATE];

/// Bytes of the name of a message's body in a key.
pub(super) const NAME_BYTES: usize = 16;

/// `80`
#[derive(Clone, PartialEq, Message)]
pub(super) struct SettingsRecord {
    #[prost(uint32, tag = "1")]
    pub level: u32,
    #[prost(message, repeated, tag = "2")]
    pub entries: Vec<EntryRecord>,
    /// 0: the default. The largest number: never.
    #[prost(uint32, tag = "3")]
    pub emptied_after_days: u32,
    #[prost(bool, tag = "4")]
    pub keeps_to_itself: bool,
}

/// A line of a list.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryRecord {
    #[prost(string, tag = "1")]
    pub pattern: String,
    #[prost(bool, tag = "2")]
    pub allowed: bool,
}

/// `81`
#[derive(Clone, PartialEq, Message)]
pub(super) struct LearnedRecord {
    /// 1: spam. 2: wanted.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// The user said so; else it follows from what the user did with the message.
    #[prost(bool, tag = "2")]
    pub by_user: bool,
    #[prost(int64, tag = "3")]
    pub at_ms: i64,
    /// The features, 4 bytes each, big-endian, ascending. Empty where they were dropped.
    #[prost(bytes = "bytes", tag = "4")]
    pub features: Bytes,
    /// Address of the sender, in lower case.
    #[prost(string, tag = "5")]
    pub sender: String,
    /// The keyword that the message had then: 0 not noted, 1 one for spam, 2 one for wanted mail, 3 none.
    #[prost(uint32, tag = "6")]
    pub keyword: u32,
    /// When the message had been put where it lay then; 0: not noted.
    #[prost(int64, tag = "7")]
    pub placed_ms: i64,
    /// Runs of characters, as [`super::grams::Grams::packed`]. Empty where they were dropped, and in old records, some of which have
    /// others under tag 8: these are not read, and not written again.
    #[prost(bytes = "bytes", tag = "12")]
    pub grams: Bytes,
    /// Domains that signed it, in lower case.
    #[prost(string, repeated, tag = "9")]
    pub signers: Vec<String>,
    /// The network that it came from; empty if that is not known.
    #[prost(string, tag = "10")]
    pub network: String,
    /// The domain of the sender does not confirm it.
    #[prost(bool, tag = "11")]
    pub is_forged: bool,
}

/// `82`
#[derive(Clone, PartialEq, Message)]
pub(super) struct StateRecord {
    /// Changes with each change of an `81` record.
    #[prost(uint64, tag = "1")]
    pub revision: u64,
    /// Position in the account's change feed up to which mail was looked at; empty: never.
    #[prost(string, tag = "2")]
    pub position: String,
    /// How many `81` records have features.
    #[prost(uint32, tag = "3")]
    pub with_features: u32,
}

/// What of the name of a body stands in keys.
pub(super) fn short(name: &[u8; 32]) -> [u8; NAME_BYTES] {
    name[..NAME_BYTES].try_into().expect("16 of 32 bytes")
}

pub(super) fn learned(name: &[u8; 32]) -> Vec<u8> {
    [&[LEARNED][..], &short(name)].concat()
}

pub(super) fn shared_lists(domain: Option<&str>) -> Vec<u8> {
    let mut key = vec![SHARED_LISTS];
    key.extend(domain.unwrap_or_default().bytes().map(|byte| byte.to_ascii_lowercase()));
    key
}
