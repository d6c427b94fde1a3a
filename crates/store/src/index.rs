//! The index: what readers query, derived from the log.
//!
//! A seam of a few calls, so that simulations can crash it; [`FjallIndex`] is the real one. Three key spaces:
//! `Records` (realm, key → seal, value), `Meta` (the index's own metadata) and `Aside` (what followers derive). A batch is applied completely or not at all, also
//! across a crash, but need not be durable: the log is.

mod apply;
mod fjall_index;
mod manifest;
pub(crate) mod meta;
mod quarantine;
mod records;

use std::ops::Bound;

use bytes::Bytes;

use crate::{Order, Result};

pub(crate) use apply::{apply, apply_part};
pub(crate) use fjall_index::FjallIndex;
pub(crate) use meta::RealmState;
pub(crate) use quarantine::Quarantine;
pub(crate) use records::{full_key, full_range, is_empty_range, realm_of, sealed, unseal};

/// The index's key spaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Space {
    /// Realms' records.
    Records,
    /// What was applied, realms' states, where bodies are.
    Meta,
    /// What followers derive for themselves (see [`crate::Store::set_aside`]).
    Aside,
}

pub(crate) type Row = Result<(Bytes, Bytes)>;
pub(crate) type RowIter<'a> = Box<dyn Iterator<Item = Row> + 'a>;
/// Writes of one batch: `None` removes the key.
pub(crate) type Batch = Vec<(Space, Vec<u8>, Option<Vec<u8>>)>;

/// An ordered key-value index.
pub(crate) trait IndexEngine: Send + Sync {
    /// A consistent view of the current state.
    fn view(&self) -> Box<dyn IndexView>;
    /// Applies a batch as a whole.
    fn apply(&self, batch: Batch) -> Result<()>;
    /// Flushes memory to disk.
    fn persist(&self) -> Result<()>;
    /// Files that are no longer where they were opened.
    fn lost(&self) -> Option<String> {
        None
    }
}

/// A consistent view of an index.
pub(crate) trait IndexView: Send + Sync {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>>;
    fn range(&self, space: Space, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> RowIter<'_>;
}
