//! What followers of the log derive for themselves, beside the records: a search index, for example.
//!
//! It is no part of the truth: no log has it, no digest covers it, no copy gets it. It is lost when the index is built
//! anew, and its latest batches when the power fails. Each value carries a checksum, and is checked at each read.

use std::ops::Bound;

use bytes::Bytes;

use crate::{
    Order, Result, Snapshot, Store,
    index::{Space, meta},
    read::end_of_prefix,
};

/// Writes of one batch: `None` removes the key.
pub type AsideBatch = Vec<(Vec<u8>, Option<Vec<u8>>)>;

/// A key in the space of one follower.
fn aside_key(space: &str, key: &[u8]) -> Vec<u8> {
    [space.as_bytes(), &[0], key].concat()
}

impl Store {
    /// Writes what a follower derives, in a space of its own: all of the batch or nothing, also across a crash. Not
    /// durable, and not to be written by two at a time.
    ///
    /// # Errors
    /// [`crate::StoreError::Full`] while the disk has no more room than commits need.
    pub fn set_aside(&self, space: &str, batch: AsideBatch) -> Result<()> {
        self.inner.room.check()?;
        let write = |(key, value): (Vec<u8>, Option<Vec<u8>>)| {
            let key = aside_key(space, &key);
            match value {
                Some(value) => meta::write_aside(key, value),
                None => (Space::Aside, key, None),
            }
        };
        self.inner.index.apply(batch.into_iter().map(write).collect())
    }
}

impl Snapshot {
    /// What a follower has set aside under a key.
    ///
    /// # Errors
    /// [`crate::StoreError::Damaged`] if it is not what was written: it is to be derived again.
    pub fn aside(&self, space: &str, key: &[u8]) -> Result<Option<Bytes>> {
        let key = aside_key(space, key);
        let stored = self.view().get(Space::Aside, &key)?;
        stored.map(|stored| meta::checked(&key, &stored)).transpose()
    }

    /// What a follower has set aside from `from` on, as far as keys begin with `prefix`. Errors come as rows.
    pub fn aside_rows<'a>(
        &'a self,
        space: &str,
        prefix: &[u8],
        from: &[u8],
        order: Order,
    ) -> impl Iterator<Item = Result<(Bytes, Bytes)>> + use<'a> {
        let (prefix, from) = (aside_key(space, prefix), aside_key(space, from));
        let cut = space.len() + 1;
        let range = match order {
            Order::Ascending => (Bound::Included(prefix.clone().max(from)), end_of_prefix(&prefix)),
            Order::Descending => (Bound::Included(prefix), Bound::Included(from)),
        };
        let is_empty = crate::index::is_empty_range(&range);
        let rows = (!is_empty).then(|| self.view().range(Space::Aside, range, order));
        rows.into_iter().flatten().map(move |row| {
            let (key, stored) = row?;
            let value = meta::checked(&key, &stored)?;
            Ok((key.slice(cut..), value))
        })
    }
}
