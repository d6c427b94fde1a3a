//! The index in fjall.
//!
//! The engine compacts its files in the background, and is unusable once such work has failed for want of disk space. So
//! where hardly any space is left it is opened without background work, and where that failed it is opened again: both at
//! the next write, which comes only once there is room.

use std::{
    any::Any,
    io,
    ops::Bound,
    os::unix::fs::MetadataExt as _,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use fjall::{AbstractTree as _, Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable as _};
use parking_lot::RwLock;

use super::{Batch, IndexEngine, IndexView, Row, RowIter, Space, manifest};
use crate::{Cause, Damaged, Order, Part, Result, StoreError, StoreOptions, error::panic_text, room::Room};

/// Of one key space, before it goes to disk; a quarter of the cache where that is less.
const MEMTABLE_BYTES: u64 = 16 << 20;
/// Journal files in all; the log makes them dispensable, so they are kept small.
const JOURNAL_BYTES: u64 = 128 << 20;

/// Threads for background work.
const WORKERS: usize = 2;
/// With so many memtables to be written out the engine lets writes wait.
const MOST_SEALED: usize = 4;
/// How long a write waits for readers when the engine is to be opened again.
const READERS_FINISH: Duration = Duration::from_secs(1);

pub(crate) struct FjallIndex {
    /// None: it was closed to be opened again, and could not be.
    engine: RwLock<Option<Arc<Engine>>>,
    dir: PathBuf,
    cache_bytes: u64,
    /// Background work needs half of the reserve, as every commit does.
    room: Room,
    /// The folder's device and inode when it was opened.
    identity: Option<(u64, u64)>,
}

/// The engine as it was opened once. Readers hold it, so that it is not closed below them.
struct Engine {
    database: Database,
    spaces: Spaces,
    /// Without, it compacts nothing and writes nothing out.
    has_workers: bool,
}

fn identity(dir: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(dir).ok()?;
    Some((found.dev(), found.ino()))
}

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

impl Engine {
    fn open(dir: &Path, cache_bytes: u64, has_workers: bool) -> Result<Self> {
        manifest::check(dir)?;
        guarded(|| {
            let database = Database::builder(dir)
                .cache_size(cache_bytes)
                .max_journaling_size(JOURNAL_BYTES)
                .worker_threads_unchecked(if has_workers { WORKERS } else { 0 })
                .open()
                .map_err(damaged)?;
            let memtable_bytes = MEMTABLE_BYTES.min(cache_bytes / 4);
            let options = || KeyspaceCreateOptions::default().max_memtable_size(memtable_bytes);
            let records = database.keyspace("records", options).map_err(damaged)?;
            let meta = database.keyspace("meta", options).map_err(damaged)?;
            let aside = database.keyspace("aside", options).map_err(damaged)?;
            Ok(Self { database, spaces: Spaces { records, meta, aside }, has_workers })
        })
    }

    /// Whether a write would wait for background work that nobody does.
    fn is_choked(&self) -> bool {
        let spaces = [&self.spaces.records, &self.spaces.meta, &self.spaces.aside];
        !self.has_workers && spaces.iter().any(|space| space.tree.sealed_memtable_count() >= MOST_SEALED)
    }

    fn write(&self, batch: &Batch) -> fjall::Result<()> {
        let mut writes = self.database.batch();
        for (space, key, value) in batch {
            match value {
                Some(value) => writes.insert(self.spaces.get(*space), key.as_slice(), value.as_slice()),
                None => writes.remove(self.spaces.get(*space), key.as_slice()),
            }
        }
        writes.commit()
    }
}

impl FjallIndex {
    /// # Errors
    /// [`StoreError::Damaged`]: it can be rebuilt from the log.
    pub(crate) fn open(dir: &Path, options: &StoreOptions) -> Result<Self> {
        let room = Room::in_folder(options.disk.clone(), dir, options.reserve_bytes);
        // A folder that is not there yet needs what every new store needs.
        let has_room = !dir.exists() || room.is_half_there();
        if !has_room {
            tracing::warn!(index = %dir.display(), "the disk is full: the index is opened without background work");
        }
        let engine = Engine::open(dir, options.cache_bytes, has_room)?;
        Ok(Self {
            engine: RwLock::new(Some(Arc::new(engine))),
            dir: dir.to_owned(),
            cache_bytes: options.cache_bytes,
            room,
            identity: identity(dir),
        })
    }

    fn engine(&self) -> Result<Arc<Engine>> {
        self.engine.read().clone().ok_or_else(closed)
    }

    /// The engine to write to. In place of `unfit`, which does no background work, it is opened again if there is room for
    /// that work and the readers finish soon. Nothing is lost by that: the journal has each batch that was applied.
    ///
    /// # Errors
    /// Those of opening; the next write tries again.
    fn fit(&self, unfit: Option<Arc<Engine>>) -> Result<Arc<Engine>> {
        let was = unfit.as_ref().map(Arc::as_ptr);
        drop(unfit);
        let mut engine = self.engine.write();
        if let Some(now) = &*engine {
            let is_another = was != Some(Arc::as_ptr(now));
            if is_another || !self.room.is_half_there() || !readers_finish(now) {
                return Ok(now.clone());
            }
        }
        // It must be closed first: it keeps everybody else out of the folder.
        *engine = None;
        let opened = Engine::open(&self.dir, self.cache_bytes, true).inspect_err(|error| {
            tracing::error!(index = %self.dir.display(), %error, "the index could not be opened again");
        })?;
        tracing::info!(index = %self.dir.display(), "the index was opened again: there is disk space for its background work");
        Ok(engine.insert(Arc::new(opened)).clone())
    }
}

/// Waits, not for long, until nobody but the index itself holds the engine; the caller keeps new readers out. False if
/// somebody still holds it.
fn readers_finish(engine: &Arc<Engine>) -> bool {
    let begun = Instant::now();
    while Arc::strong_count(engine) > 1 {
        if begun.elapsed() > READERS_FINISH {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

fn closed() -> StoreError {
    StoreError::Stopped { reason: "the index could not be opened again".to_owned() }
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
        match self.engine() {
            Ok(engine) => Box::new(View { snapshot: engine.database.snapshot(), engine }),
            Err(_) => Box::new(Closed),
        }
    }

    fn apply(&self, batch: Batch) -> Result<()> {
        guarded(|| {
            let engine = self.engine.read().clone();
            let engine = match engine {
                Some(engine) if engine.has_workers => engine,
                unfit => self.fit(unfit)?,
            };
            if engine.is_choked() {
                return Err(StoreError::Full);
            }
            match engine.write(&batch) {
                // Nothing of the batch was written.
                Err(fjall::Error::Poisoned) => self.fit(Some(engine))?.write(&batch).map_err(damaged),
                other => other.map_err(damaged),
            }
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
        guarded(|| self.engine()?.database.persist(PersistMode::SyncAll).map_err(damaged))
    }
}

struct View {
    // Before the engine, which it must not outlive.
    snapshot: fjall::Snapshot,
    engine: Arc<Engine>,
}

impl IndexView for View {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Bytes>> {
        guarded(|| {
            let value = self.snapshot.get(self.engine.spaces.get(space), key).map_err(damaged)?;
            Ok(value.map(|value| Bytes::copy_from_slice(&value)))
        })
    }

    fn range(&self, space: Space, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> RowIter<'_> {
        let rows =
            catch_unwind(AssertUnwindSafe(|| self.snapshot.range::<Vec<u8>, _>(self.engine.spaces.get(space), range)));
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

/// Of an index that is closed.
struct Closed;

impl IndexView for Closed {
    fn get(&self, _: Space, _: &[u8]) -> Result<Option<Bytes>> {
        Err(closed())
    }

    fn range(&self, _: Space, _: (Bound<Vec<u8>>, Bound<Vec<u8>>), _: Order) -> RowIter<'_> {
        Box::new(std::iter::once(Err(closed())))
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

#[cfg(test)]
mod tests;
