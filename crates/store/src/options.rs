//! How a store is opened, and what for.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    Clock, SystemClock,
    disk::{Disk, RealDisk},
    hooks::Derive,
    log,
    room::Room,
};

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// How long commits and unreferenced bodies are kept. Default 30 days.
    pub retention: Duration,
    /// Memory for cached index blocks, in bytes; as much as a half more is used for what was written last. Default 64 MiB.
    pub cache_bytes: u64,
    /// A log segment is closed when it is larger. Default 64 MiB.
    pub segment_bytes: u64,
    /// A body pack is closed when it is larger. Default 256 MiB.
    pub pack_bytes: u64,
    /// Bodies and large commits are refused if less disk space than this is free, all commits if less than half of it is, so
    /// that the index can continue. Default 128 MiB.
    pub reserve_bytes: u64,
    /// The disk of log and packs.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// What follows from each transaction's writes. Default nothing.
    pub derive: Option<Derive>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(30 * 86_400),
            cache_bytes: 64 << 20,
            segment_bytes: log::SEGMENT_BYTES,
            pack_bytes: 256 << 20,
            reserve_bytes: 128 << 20,
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
            derive: None,
        }
    }
}

impl StoreOptions {
    /// The room that a store in `dir` must leave.
    pub(crate) fn room(&self, dir: &Path) -> Arc<Room> {
        Arc::new(Room::new(self.disk.clone(), dir, self.reserve_bytes))
    }
}

/// The purpose of opening a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// It writes, and holds all of its realms.
    Whole,
    /// It writes, while realms that are still being restored are absent.
    Partial,
    /// It follows another store: opening it applies nothing.
    Replica,
}
