//! The index in fjall.

use std::{ops::Bound, path::Path};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode, Readable as _};

use super::{Batch, IndexEngine, IndexView, RowIter, Space};
use crate::{Order, Result, StoreError};

/// Of one key space, before it goes to disk.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// Journal files in all; the log makes them dispensable, so they are kept small.
const JOURNAL_BYTES: u64 = 128 << 20;

pub(crate) struct FjallIndex {
    database: Database,
    spaces: Spaces,
}

#[derive(Clone)]
struct Spaces {
    records: Keyspace,
    meta: Keyspace,
}

impl Spaces {
    const fn get(&self, space: Space) -> &Keyspace {
        match space {
            Space::Records => &self.records,
            Space::Meta => &self.meta,
        }
    }
}

impl FjallIndex {
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self> {
        let database = Database::builder(dir)
            .cache_size(cache_bytes)
            .max_journaling_size(JOURNAL_BYTES)
            .worker_threads(2)
            .open()
            .map_err(damaged)?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let records = database.keyspace("records", options).map_err(damaged)?;
        let meta = database.keyspace("meta", options).map_err(damaged)?;
        Ok(Self { database, spaces: Spaces { records, meta } })
    }
}

fn damaged(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) => StoreError::io("index")(error),
        other => StoreError::damaged(format!("index: {other:?}")),
    }
}

impl IndexEngine for FjallIndex {
    fn view(&self) -> Box<dyn IndexView> {
        Box::new(View { snapshot: self.database.snapshot(), spaces: self.spaces.clone() })
    }

    fn apply(&self, batch: Batch) -> Result<()> {
        let mut writes = self.database.batch();
        for (space, key, value) in batch {
            match value {
                Some(value) => writes.insert(self.spaces.get(space), key, value),
                None => writes.remove(self.spaces.get(space), key),
            }
        }
        writes.commit().map_err(damaged)
    }

    fn persist(&self) -> Result<()> {
        self.database.persist(PersistMode::SyncAll).map_err(damaged)
    }
}

struct View {
    snapshot: fjall::Snapshot,
    spaces: Spaces,
}

impl IndexView for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        let value = self.snapshot.get(self.spaces.get(space), key).map_err(damaged)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn range(&self, space: Space, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> RowIter<'_> {
        let rows = self.snapshot.range::<Vec<u8>, _>(self.spaces.get(space), range);
        let row = |guard: fjall::Guard| {
            let (key, value) = guard.into_inner().map_err(damaged)?;
            Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value)))
        };
        match order {
            Order::Ascending => Box::new(rows.map(row)),
            Order::Descending => Box::new(rows.rev().map(row)),
        }
    }
}
