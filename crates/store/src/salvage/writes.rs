//! Writes recovered records to the new index.

use std::ops::Bound;

use crate::{
    Order, RealmId, Result,
    digest::Seal,
    index::{Batch, IndexEngine, IndexView, Space, full_key, full_range, meta, sealed},
};

/// Bytes written to the index together.
const BATCH_BYTES: usize = 4 << 20;

pub(super) fn raw_write(realm: RealmId, key: &[u8], value: Option<&[u8]>) -> (Space, Vec<u8>, Option<Vec<u8>>) {
    let value = value.map(|value| sealed(Seal::of(realm, key, value), value));
    (Space::Records, full_key(realm, key), value)
}

pub(super) fn copy_realm(from: &dyn IndexView, to: &dyn IndexEngine, realm: RealmId) -> Result<()> {
    let mut batch = Writes::new(to);
    for row in from.range(Space::Records, full_range(realm, (Bound::Unbounded, Bound::Unbounded)), Order::Ascending) {
        let (key, stored) = row?;
        batch.push((Space::Records, key.to_vec(), Some(stored.to_vec())))?;
    }
    batch.finish()
}

/// Writes that are gathered.
pub(super) struct Writes<'a> {
    index: &'a dyn IndexEngine,
    batch: Batch,
    bytes: usize,
}

impl<'a> Writes<'a> {
    pub(super) const fn new(index: &'a dyn IndexEngine) -> Self {
        Self { index, batch: Batch::new(), bytes: 0 }
    }

    pub(super) fn push(&mut self, write: meta::Write) -> Result<()> {
        self.bytes += write.1.len() + write.2.as_ref().map_or(0, Vec::len);
        self.batch.push(write);
        if self.bytes > BATCH_BYTES {
            self.bytes = 0;
            self.index.apply(std::mem::take(&mut self.batch))?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<()> {
        self.index.apply(self.batch)
    }
}
