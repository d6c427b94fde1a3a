//! The index in fjall.

use std::{
    any::Any,
    io,
    ops::Bound,
    os::unix::fs::MetadataExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable as _};

use super::{Batch, IndexEngine, IndexView, Row, RowIter, Space, manifest};
use crate::{Cause, Damaged, Order, Part, Result, StoreError, error::panic_text};

/// Of one key space, before it goes to disk; a quarter of the cache where that is less.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// Journal files in all; the log makes them dispensable, so they are kept small.
const JOURNAL_BYTES: u64 = 128 << 20;

pub(crate) struct FjallIndex {
    database: Database,
    spaces: Spaces,
    dir: PathBuf,
    /// The folder's device and inode when it was opened.
    identity: Option<(u64, u64)>,
}

fn identity(dir: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(dir).ok()?;
    Some((found.dev(), found.ino()))
}

#[derive(Clone)]
struct Spaces {
    records: Keyspace,
    meta: Keyspace,
    aside: Keyspace,
}

impl Spaces {
    const fn get(&self, space: Space) -> &Keyspace {
        match space {
            Space::Records => &self.records,
            Space::Meta => &self.meta,
            Space::Aside => &self.aside,
        }
    }
}

impl FjallIndex {
    /// # Errors
    /// [`StoreError::Damaged`]: it can be rebuilt from the log.
    pub(crate) fn open(dir: &Path, cache_bytes: u64) -> Result<Self> {
        manifest::check(dir)?;
        guarded(|| {
            let database = Database::builder(dir)
                .cache_size(cache_bytes)
                .max_journaling_size(JOURNAL_BYTES)
                .worker_threads(2)
                .open()
                .map_err(damaged)?;
            let memtable_bytes = MEMTABLE_BYTES.min(cache_bytes / 4);
            let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
            let records = database.keyspace("records", options).map_err(damaged)?;
            let meta = database.keyspace("meta", options).map_err(damaged)?;
            let aside = database.keyspace("aside", options).map_err(damaged)?;
            Ok(Self { database, spaces: Spaces { records, meta, aside }, dir: dir.to_owned(), identity: identity(dir) })
        })
    }
}

fn damaged(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => match error.kind() {
            io::ErrorKind::UnexpectedEof => Damaged::new(Part::Index, Cause::CutOff).because(error).into(),
            io::ErrorKind::InvalidData => Damaged::new(Part::Index, Cause::Decoding).because(error).into(),
            _ => StoreError::io("index")(error),
        },
        // Earlier writes failed, for example because the disk is full: what is stored is none the worse.
        fjall::Error::Poisoned => StoreError::Stopped { reason: "the index could not write to the disk".to_owned() },
        fjall::Error::Locked => StoreError::refused("the index is in use by another process"),
        fjall::Error::Storage(LsmError::ChecksumMismatch { .. }) => Damaged::new(Part::Index, Cause::Checksum).into(),
        fjall::Error::Unrecoverable | fjall::Error::Storage(LsmError::Unrecoverable) => {
            Damaged::new(Part::Index, Cause::Missing).because("some of its files").into()
        }
        other => Damaged::new(Part::Index, Cause::Engine).because(format_args!("{other:?}")).into(),
    }
}

/// Runs a call of the engine. Damaged files can make it panic: that is treated as damage, and must not end the thread.
fn guarded<T>(call: impl FnOnce() -> Result<T>) -> Result<T> {
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> StoreError {
    Damaged::new(Part::Index, Cause::Engine).because(panic_text(panic)).into()
}

impl IndexEngine for FjallIndex {
    fn view(&self) -> Box<dyn IndexView> {
        Box::new(View { snapshot: self.database.snapshot(), spaces: self.spaces.clone() })
    }

    fn apply(&self, batch: Batch) -> Result<()> {
        guarded(|| {
            let mut writes = self.database.batch();
            for (space, key, value) in batch {
                match value {
                    Some(value) => writes.insert(self.spaces.get(space), key, value),
                    None => writes.remove(self.spaces.get(space), key),
                }
            }
            writes.commit().map_err(damaged)
        })
    }

    fn lost(&self) -> Option<String> {
        if self.identity.is_none() || identity(&self.dir) != self.identity {
            return Some(format!("the index {} was removed or replaced", self.dir.display()));
        }
        let gone = manifest::missing(&self.dir)?;
        Some(format!("{} of the index was removed", gone.display()))
    }

    fn persist(&self) -> Result<()> {
        guarded(|| self.database.persist(PersistMode::SyncAll).map_err(damaged))
    }
}

struct View {
    snapshot: fjall::Snapshot,
    spaces: Spaces,
}

impl IndexView for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        guarded(|| {
            let value = self.snapshot.get(self.spaces.get(space), key).map_err(damaged)?;
            Ok(value.map(|value| Bytes::copy_from_slice(&value)))
        })
    }

    fn range(&self, space: Space, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> RowIter<'_> {
        let rows = catch_unwind(AssertUnwindSafe(|| self.snapshot.range::<Vec<u8>, _>(self.spaces.get(space), range)));
        let rows = match rows {
            Ok(rows) => rows,
            Err(panic) => return Box::new(std::iter::once(Err(panicked(&*panic)))),
        };
        match order {
            Order::Ascending => Box::new(GuardedRows { rows: Some(rows) }),
            Order::Descending => Box::new(GuardedRows { rows: Some(rows.rev()) }),
        }
    }
}

/// Rows that end, with an error, where the engine can't go on.
struct GuardedRows<I> {
    rows: Option<I>,
}

impl<I: Iterator<Item = fjall::Guard>> Iterator for GuardedRows<I> {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        let rows = self.rows.as_mut()?;
        let next = catch_unwind(AssertUnwindSafe(|| {
            let (key, value) = match rows.next()?.into_inner() {
                Ok(row) => row,
                Err(error) => return Some(Err(damaged(error))),
            };
            Some(Ok((Bytes::copy_from_slice(&key), Bytes::copy_from_slice(&value))))
        }));
        next.unwrap_or_else(|panic| {
            self.rows = None;
            Some(Err(panicked(&*panic)))
        })
    }
}
