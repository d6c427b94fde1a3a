//! The change feed of an account: which of its things were created, updated and destroyed, and when.
//!
//! One record per commit says what the commit did to emails, mailboxes, threads, contacts and so on. It is derived from
//! the commit's own writes, in the same commit ([`crate::Parts::derive`]), so nobody who writes has to think of it: a
//! part says what a key belongs to ([`crate::RealmPart::touches`]), and what was written says the rest. Rewind, restore
//! and salvage are ordinary changes.
//!
//! Keys in the account's realm:
//!
//! | key | value | |
//! |---|---|---|
//! | `70` | `FeedRecord` | from which commit on the feed is complete, and its validity |
//! | `71` realm_seq | `RowRecord` | what one commit did |
//!
//! Records older than `store.retention` are cleared away daily. A folder of a version that had no feed has neither key: the
//! feed begins with the first change after that, and what is older can't be told.

mod part;
mod row;
mod since;
mod thing;

use std::{collections::BTreeMap, fmt, str::FromStr};

use bytes::Bytes;
use prost::Message;
use store::{Cause, Damaged, Part, Read, RealmId, RealmSeq, Result, StoreError, Tx};

pub use part::FeedPart;
pub use since::{Changes, Since, changes_since};
pub use thing::{Change, Id, Kind};

use row::RowRecord;

/// `70`: the feed itself.
const FEED: u8 = 0x70;
/// `71`: what a commit did.
const ROW: u8 = 0x71;
/// How many commits of an account the feed goes back at most, whatever the retention time.
pub const MAX_COMMITS: u64 = 1_000_000;

/// A write of a transaction, as [`crate::RealmPart::touches`] sees it.
pub struct Write<'a> {
    /// The account.
    pub account: RealmId,
    /// The key.
    pub key: &'a [u8],
    /// The new value; none if the key is removed.
    pub value: Option<&'a Bytes>,
    /// The transaction, after all of its writes.
    pub tx: &'a Tx<'a>,
}

impl Write<'_> {
    /// What the key had before the transaction.
    ///
    /// # Errors
    /// Those of reading.
    pub fn before(&self) -> Result<Option<Bytes>> {
        self.tx.before(self.account, self.key)
    }

    /// The 8 bytes of the key from `at` on, as a number.
    ///
    /// # Errors
    /// The key is shorter.
    pub fn number(&self, at: usize) -> Result<u64> {
        let bytes = self.key.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_be_bytes).ok_or_else(|| damaged(self.account, self.key))
    }

    /// The 4 bytes of the key from `at` on, as a number.
    ///
    /// # Errors
    /// The key is shorter.
    pub fn short_number(&self, at: usize) -> Result<u64> {
        let bytes = self.key.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(|bytes| u32::from_be_bytes(bytes).into()).ok_or_else(|| damaged(self.account, self.key))
    }
}

/// What a commit does to the things of an account.
#[derive(Debug, Default)]
pub struct Touched(BTreeMap<(u8, Id), Change>);

impl Touched {
    /// The write is to the record that a thing is: it is created, updated or destroyed with it.
    ///
    /// # Errors
    /// Those of reading what was there before.
    pub fn record(&mut self, kind: Kind, id: impl Into<Id>, write: &Write<'_>) -> Result<()> {
        let change = match (write.before()?.is_some(), write.value.is_some()) {
            (false, true) => Change::Created,
            (true, true) => Change::Updated,
            (true, false) => Change::Destroyed,
            (false, false) => return Ok(()),
        };
        self.0.insert((kind.number, id.into()), change);
        Ok(())
    }

    /// The write is to a record that belongs to a thing: it is updated, unless it is created or destroyed by the same
    /// commit.
    pub fn updated(&mut self, kind: Kind, id: impl Into<Id>) {
        self.0.entry((kind.number, id.into())).or_insert(Change::Updated);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where a follower is in a feed: all that happened up to there was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Changes where numbers may have been given a second time: after a restore that lost the latest ones. Positions from
    /// before that say nothing any more.
    pub validity: u32,
    /// The commit.
    pub seq: RealmSeq,
    /// How many changes of the next commit that did something were told too.
    pub taken: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.validity, self.seq.0)?;
        if self.taken > 0 { write!(f, "-{}", self.taken) } else { Ok(()) }
    }
}

/// The text is not a position.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a position of a change feed")]
pub struct ParsePositionError;

impl FromStr for Position {
    type Err = ParsePositionError;

    fn from_str(text: &str) -> Result<Self, ParsePositionError> {
        let number = |text: &str| {
            let is_plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
            if is_plain { text.parse::<u64>().map_err(|_| ParsePositionError) } else { Err(ParsePositionError) }
        };
        let short = |text: &str| u32::try_from(number(text)?).map_err(|_| ParsePositionError);
        let mut parts = text.split('-');
        let (Some(validity), Some(seq)) = (parts.next(), parts.next()) else { return Err(ParsePositionError) };
        let taken = parts.next().map(short).transpose()?;
        if parts.next().is_some() || taken == Some(0) {
            return Err(ParsePositionError);
        }
        Ok(Self { validity: short(validity)?, seq: RealmSeq(number(seq)?), taken: taken.unwrap_or(0) })
    }
}

/// `70`: the feed.
#[derive(Clone, PartialEq, Message)]
struct FeedRecord {
    /// What was done up to this commit can't be told.
    #[prost(uint64, tag = "1")]
    floor: u64,
    /// See [`Position::validity`].
    #[prost(uint32, tag = "2")]
    validity: u32,
}

fn row_key(seq: RealmSeq) -> Vec<u8> {
    [&[ROW][..], &seq.0.to_be_bytes()].concat()
}

fn row_seq(key: &[u8]) -> Option<RealmSeq> {
    Some(RealmSeq(u64::from_be_bytes(key.get(1..)?.try_into().ok()?)))
}

/// A record of an account that can't be what its key says.
pub fn damaged(account: RealmId, key: &[u8]) -> StoreError {
    Damaged::new(Part::Record, Cause::Decoding).realm(account).key(key).into()
}

/// The feed of an account; none before its first row.
fn feed_of<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Option<FeedRecord>> {
    let value = read.get(account, &[FEED])?;
    value.map(|value| FeedRecord::decode(value).map_err(|_| damaged(account, &[FEED]))).transpose()
}

/// Adds what a transaction does to an account to the account's feed.
pub(crate) fn note_in(tx: &mut Tx<'_>, account: RealmId, touched: Touched) -> Result<()> {
    let (seq, row) = (tx.next_realm_seq(account), RowRecord::of(touched.0, tx.now_ms()));
    let feed = feed_of(tx, account)?;
    if row.encoded_len() > store::MAX_VALUE_BYTES {
        // So much at once is quicker read anew than told one by one.
        let feed = FeedRecord { floor: seq.0, ..feed.unwrap_or_default() };
        tx.put(account, vec![FEED], feed.encode_to_vec());
        return Ok(());
    }
    if feed.is_none() {
        let feed = FeedRecord { floor: seq.0 - 1, validity: 0 };
        tx.put(account, vec![FEED], feed.encode_to_vec());
    }
    tx.put(account, row_key(seq), row.encode_to_vec());
    Ok(())
}

/// Ends the validity of all positions of an account: what followers were told may be lost, and the numbers of commits that
/// they know be given to other commits.
///
/// # Errors
/// Those of reading.
pub fn renumber_in(tx: &mut Tx<'_>, account: RealmId) -> Result<()> {
    let feed = feed_of(tx, account)?.unwrap_or_default();
    // The lost state gave out such as were no later than its clock.
    let now_s = u32::try_from(tx.now_ms() / 1000).unwrap_or(u32::MAX);
    let validity = feed.validity.saturating_add(1).max(now_s);
    let feed = FeedRecord { floor: tx.next_realm_seq(account).0, validity };
    tx.put(account, vec![FEED], feed.encode_to_vec());
    Ok(())
}

/// Where a feed is now.
///
/// # Errors
/// Those of reading.
pub fn position<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Position> {
    since::position_of(read, account, feed_of(read, account)?.as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_read_as_it_was_written_and_nothing_else_is_one() {
        for (validity, seq, taken) in [(0, 0, 0), (1_790_000_000, 7, 0), (u32::MAX, u64::MAX, u32::MAX), (3, 2, 1)] {
            let position = Position { validity, seq: RealmSeq(seq), taken };
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for bad in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "1-2-",
            "1-2-0",
            "1-2-3-4",
            "1--2",
            "+1-2",
            "1-+2",
            "01-2",
            "1-02",
            " 1-2",
            "1-2 ",
            "4294967296-1",
            "1-18446744073709551616",
            "1-2-4294967296",
            "a-1",
            "1-b",
            "1.0-2",
            "1-2-x",
            "\u{661}-2",
        ] {
            assert_eq!(bad.parse::<Position>(), Err(ParsePositionError), "{bad:?}");
        }
    }
}
