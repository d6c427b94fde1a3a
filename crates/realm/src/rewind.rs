//! How a part goes back to an earlier state.

use store::{Past, RealmId, Tx};

use crate::Result;

/// How a part goes back to an earlier state.
pub enum Rewindable<'a> {
    /// Never. What it records has happened, whatever is taken back: payments, receipts, credentials.
    Never,
    /// It leads: it is the one part that keeps the record of rewinds, and goes back in steps of its own before the commit
    /// that ends the rewind.
    Leads,
    /// It follows: it goes back in the commit that ends the rewind, after the part that leads.
    Follows(&'a dyn Rewind),
}

/// The writes of a part in the commit that ends a rewind; gives how many records it wrote.
pub type InCommit = Box<dyn FnOnce(&mut Tx<'_>) -> Result<u64> + Send>;

/// Goes back to an earlier state, and keeps everything newer: what was deleted comes back, what changed since keeps both
/// values, what is new stays. Twice is as once.
pub trait Rewind: Send + Sync {
    /// What its records are called, each in the singular: `contact`.
    fn nouns(&self) -> &'static [&'static str];

    /// A preview: one entry for each of [`Rewind::nouns`]. Blocks.
    ///
    /// # Errors
    /// Those of reading.
    fn plan(&self, account: RealmId, past: &Past) -> Result<Vec<Coming>>;

    /// Reads what it was then, and gives what is to be written. Blocks.
    ///
    /// # Errors
    /// Those of reading.
    fn go_back(&self, account: RealmId, past: &Past) -> Result<InCommit>;

    /// The same for undoing it: what the rewind changed, from `before` it to `after` it, becomes what it was, except for
    /// what was changed since. Blocks.
    ///
    /// # Errors
    /// Those of reading.
    fn undo(&self, account: RealmId, before: &Past, after: &Past) -> Result<InCommit>;
}

/// What a rewind would do to a part's records of one kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coming {
    /// What they are called, in the singular.
    pub noun: &'static str,
    /// Names of those that were deleted, and would come back.
    pub back: Vec<String>,
    /// Names of those that would get back what they held, next to what they hold now.
    pub completed: Vec<String>,
}

impl Coming {
    /// Nothing of it.
    pub const fn none(noun: &'static str) -> Self {
        Self { noun, back: Vec::new(), completed: Vec::new() }
    }

    /// Whether everything is there already.
    pub fn is_empty(&self) -> bool {
        self.back.is_empty() && self.completed.is_empty()
    }
}
