//! The duties of a part.

use std::{future::Future, ops::RangeInclusive, pin::Pin};

use store::{Op, Order, Read as _, RealmId, Snapshot, Store, StoreError, Tx};

use crate::{
    Found, Result, Rewindable, SalvageFrom,
    feed::{Kind, Touched, Write},
};

/// Most rows that one commit of [`clear_rows`] deletes, so that others get their turn in between.
const ROWS_PER_COMMIT: usize = 500;

/// A duty that writes, in as many commits as it needs.
pub type Work<'a> = Pin<Box<dyn Future<Output = Result<()>> + Send + 'a>>;

/// The keys of a part in an account's realm, by their first byte.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// What is the part's, now and in later versions. No other part may have any of it.
    pub range: RangeInclusive<u8>,
    /// What it uses of that today. Any other key is one that nobody knows.
    pub kinds: &'static [u8],
}

/// A record that a write takes away and that a person would miss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loss {
    /// Of what, in the plural: `messages`. Losses of one kind are counted together.
    pub of: &'static str,
    /// 1 where one is taken away. -1 where one is added that makes up for one taken away by the same commit: a move.
    pub by: i64,
}

impl Loss {
    /// The kind that is also counted for each account alone.
    pub const MESSAGES: &'static str = "messages";

    /// One is taken away.
    pub const fn one(of: &'static str) -> Self {
        Self { of, by: 1 }
    }
}

/// One kind of thing that lives in an account's realm: mail, people, receipts, a ledger.
///
/// Every method is a duty, and none has a default: the author of a new part has to decide each of them.
pub trait RealmPart: Send + Sync {
    /// Its name, in one word: `mail`.
    fn name(&self) -> &'static str;

    /// What people call it: `the mail`.
    fn title(&self) -> &'static str;

    /// Its keys.
    fn keys(&self) -> Keys;

    /// Verify: what does not hold between its records in this account, each a sentence. Only reads; blocks.
    ///
    /// # Errors
    /// Those of reading.
    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError>;

    /// Rewind, and the restore of one account from an archive, which is a rewind to a past that comes from elsewhere.
    fn rewindable(&self) -> Rewindable<'_>;

    /// Salvage: what can be read of it in a store of which any record may be missing; [`Found::merge`] then brings it into
    /// an account that lives. `None` if there is nothing that this part would bring back. Blocks.
    ///
    /// # Errors
    /// Those of reading; a record that can't be decoded is passed over and reported.
    fn salvage(&self, from: &SalvageFrom<'_>) -> Result<Option<Box<dyn Found>>>;

    /// Purge: clears away everything of an account that is gone for good. Called again if it was interrupted.
    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a>;

    /// Daily upkeep of one account: clears away what is no longer needed.
    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a>;

    /// Tripwires: what a write to an account's realm takes away that a person would miss. `op` may be of any part, as a
    /// standby sees them all.
    fn loss(&self, op: &Op) -> Option<Loss>;

    /// Change feed: the kinds of things that it has, for those who follow the account.
    fn things(&self) -> &'static [Kind];

    /// Change feed: which things a write to one of its keys creates, updates or destroys. Runs on the writer thread, for
    /// each write: quick, and without reading more than a record or two.
    ///
    /// # Errors
    /// Those of reading, and a key or value that isn't the part's.
    fn touches(&self, write: &Write<'_>, touched: &mut Touched) -> Result<(), StoreError>;
}

/// The keys of rows that `is_sound` says are no records of a part, of those that begin with one of `kinds`, and at most `most` of
/// them: for [`RealmPart::check`] of a part whose records stand each for itself.
///
/// # Errors
/// Those of reading.
pub fn unsound_rows(
    account: RealmId,
    snapshot: &Snapshot,
    kinds: &[u8],
    most: usize,
    is_sound: impl Fn(&[u8], &[u8]) -> bool,
) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut unsound = Vec::new();
    for kind in kinds {
        for row in snapshot.prefix(account, &[*kind], Order::Ascending)? {
            let (key, value) = row?;
            if unsound.len() < most && !is_sound(&key, &value) {
                unsound.push(key.to_vec());
            }
        }
    }
    Ok(unsound)
}

/// Deletes all rows whose keys begin with one of `kinds`, in the order of `kinds`, step by step: for [`RealmPart::purge`]
/// of a part whose records are not counted anywhere.
///
/// # Errors
/// Those of the store. What was deleted until then stays deleted.
pub async fn clear_rows(store: &Store, account: RealmId, kinds: &[u8]) -> Result<()> {
    for &kind in kinds {
        loop {
            let cleared = store.transact(move |tx: &mut Tx<'_>| {
                tx.clears(account);
                let mut keys = Vec::new();
                for row in tx.prefix(account, &[kind], Order::Ascending)?.take(ROWS_PER_COMMIT) {
                    keys.push(row?.0.to_vec());
                }
                let cleared = keys.len();
                for key in keys {
                    tx.delete(account, key);
                }
                Ok::<_, StoreError>(cleared)
            });
            if cleared.await? < ROWS_PER_COMMIT {
                break;
            }
        }
    }
    Ok(())
}
