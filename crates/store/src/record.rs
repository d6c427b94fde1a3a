//! The records of the log.

use prost::Message;

use crate::{BodyId, Digest, RealmId, RealmSeq, Seq};

/// The first byte of the store's own keys in each realm: references to bodies.
pub const BODY_REFERENCE: u8 = 0xFF;

/// A clock that goes back by less, as clocks that are kept right do, leaves no trace.
pub const CLOCK_SLACK_MS: i64 = 60_000;

/// A commit as the log has it and followers get it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Commit {
    /// Its place in the log.
    #[prost(uint64, tag = "1")]
    pub seq_raw: u64,
    /// Which primary wrote it: goes up at each promotion.
    #[prost(uint64, tag = "2")]
    pub epoch: u64,
    /// When, in milliseconds since 1970. Does not go back from one commit to the next: see [`Commit::true_ms`].
    #[prost(int64, tag = "3")]
    pub time_ms: i64,
    /// All commits up to this one were synced when this one was written: missing ones up to there are damage, missing ones
    /// after it may be a torn write that was never acknowledged.
    #[prost(uint64, tag = "4")]
    pub durable_raw: u64,
    /// Its writes, realm by realm.
    #[prost(message, repeated, tag = "5")]
    pub realms: Vec<RealmCommit>,
    /// What the clock said, where that is more than [`CLOCK_SLACK_MS`] earlier than `time_ms`: it was ahead when an earlier
    /// commit was made. 0: the same.
    #[prost(int64, tag = "6")]
    pub clock_ms: i64,
    /// The commit is bookkeeping only: a recorded login, a new UIDVALIDITY of a restored mailbox. A history with only such
    /// commits has no user data.
    #[prost(bool, tag = "7")]
    pub upkeep: bool,
}

/// The writes of a commit in one realm.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RealmCommit {
    /// The realm's number.
    #[prost(uint64, tag = "1")]
    pub realm_raw: u64,
    /// The commit's place in the realm.
    #[prost(uint64, tag = "2")]
    pub realm_seq_raw: u64,
    /// The realm's digest once this is applied.
    #[prost(bytes = "vec", tag = "3")]
    pub digest_bytes: Vec<u8>,
    /// The writes, in key order, each key once.
    #[prost(message, repeated, tag = "4")]
    pub ops: Vec<Op>,
}

/// A write to one key.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Op {
    /// The key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The new value; `None` removes the key.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub value: Option<Vec<u8>>,
}

impl Commit {
    /// Its place in the log.
    pub const fn seq(&self) -> Seq {
        Seq(self.seq_raw)
    }

    /// When it was made, by the clock of then: of two clocks that differ the earlier one is believed.
    pub const fn true_ms(&self) -> i64 {
        if self.clock_ms == 0 { self.time_ms } else { self.clock_ms }
    }
}

impl Commit {
    /// The bodies it newly refers to: they were durable before it was.
    pub fn bodies(&self) -> impl Iterator<Item = BodyId> {
        self.realms
            .iter()
            .flat_map(|part| &part.ops)
            .filter(|op| op.value.is_some())
            .filter_map(|op| body_of_key(&op.key))
    }
}

/// The body that a record of a realm refers to, when its key is that of a reference (`FF`, the body's name, the owner).
pub fn body_of_key(key: &[u8]) -> Option<BodyId> {
    let name = key.strip_prefix(&[BODY_REFERENCE])?.get(..32)?;
    Some(BodyId::from_bytes(name.try_into().ok()?))
}

/// The key of a realm's record that refers to a body.
pub(crate) fn reference_key(body: &BodyId, owner: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(33 + owner.len());
    key.push(BODY_REFERENCE);
    key.extend_from_slice(body.as_bytes());
    key.extend_from_slice(owner);
    key
}

impl RealmCommit {
    /// The realm.
    pub const fn realm(&self) -> RealmId {
        RealmId::from_raw(self.realm_raw)
    }

    /// The commit's place in the realm.
    pub const fn realm_seq(&self) -> RealmSeq {
        RealmSeq(self.realm_seq_raw)
    }

    /// The realm's digest once this is applied; `None` when the record is malformed.
    pub fn digest(&self) -> Option<Digest> {
        Digest::from_bytes(&self.digest_bytes)
    }
}
