//! What is read of a part in a store of which any record may be missing, and how it joins an account that lives.

use bytes::Bytes;
use store::{BodyId, Read, RealmId, Store, StoreError};

use crate::Result;

/// What is salvaged from.
pub struct SalvageFrom<'a> {
    /// What can be read of the other store.
    pub read: &'a dyn Read,
    /// The account's realm there.
    pub realm: RealmId,
    /// The account here, if the two stores have a common past: what was there before they parted has the same numbers.
    pub same_ids: Option<RealmId>,
    /// Only a stretch of commits is there, not a whole store: records that are missing are where they were.
    pub is_part: bool,
    /// What the other store deletes is to be kept: these are commits that a promotion left out for what they delete.
    pub keeps_deleted: bool,
    /// The store here.
    pub store: &'a Store,
}

/// What was found of a part.
pub trait Found: Send + Sync {
    /// How much, in words: `3 contacts`.
    fn title(&self) -> String;

    /// Whether there is nothing to merge and nothing to report.
    fn is_empty(&self) -> bool;

    /// What was there and could not be read, in lines by group.
    fn unreadable(&self) -> Vec<Vec<String>>;

    /// What was passed over on purpose, in lines.
    fn passed_over(&self) -> Vec<String>;

    /// Merges it into an account that lives, or says what that would do: nothing of either is lost, and doing it again
    /// changes nothing. Blocks.
    ///
    /// # Errors
    /// Those of the store, and the part's limits. What was merged until then stays, and a second run goes on.
    fn merge(&self, into: &mut Merging<'_>) -> Result<Merged>;
}

/// Where salvaged data is merged into.
pub struct Merging<'a> {
    /// The store.
    pub store: &'a Store,
    /// The account.
    pub account: RealmId,
    /// Only say what would be done.
    pub preview: bool,
    /// Gives the bytes of a salvaged body, if they are to be had.
    pub body: &'a dyn Fn(&BodyId) -> Result<Option<Bytes>, StoreError>,
    /// Told what is done, how much of it, and how much it is in all.
    pub progress: &'a mut dyn FnMut(&str, u64, u64),
}

/// What became of it.
#[derive(Debug, Clone, Default)]
pub struct Merged {
    /// In words, in lines by group.
    pub lines: Vec<Vec<String>>,
    /// For the audit trail, if something was written: `12 messages`.
    pub audit: Option<String>,
    /// Whether everything that was found is there now.
    pub is_all: bool,
}
