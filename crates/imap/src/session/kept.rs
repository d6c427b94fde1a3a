//! Searches whose results a client keeps.

use mailstore::{SortKey, Uid, UidSet};

use crate::syntax::SearchKey;

/// A search whose result is kept up to date.
pub(super) struct Context {
    pub tag: String,
    /// Told in UIDs.
    pub uid: bool,
    pub program: SearchKey,
    /// What matches, of the messages the client knows.
    pub members: UidSet,
    pub sorted: Option<Sorted>,
}

/// The same messages in the order of a SORT.
pub(super) struct Sorted {
    pub keys: Vec<SortKey>,
    pub order: Vec<Uid>,
}

impl Context {
    /// How many numbers its result takes in memory.
    pub(super) fn numbers(&self) -> usize {
        2 * self.members.ranges().len() + self.sorted.as_ref().map_or(0, |sorted| sorted.order.len())
    }
}
