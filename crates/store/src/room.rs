//! Reserved disk space that commits don't use.
//!
//! If the disk is full, the log can undo a failed write and continue. The index can't: an engine that failed to write
//! must be reopened. So commits and bodies are refused while there is still enough space for the index.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{Result, StoreError, disk::Disk};

/// Commits of up to so many bytes together change little (flags, deletions, logins): they may use half of the reserve.
const SMALL_BYTES: usize = 256 << 10;

/// Room below the data folder, each part of which may be on a disk of its own.
pub(crate) struct Room {
    pub disk: Arc<dyn Disk>,
    places: Vec<PathBuf>,
    reserve_bytes: u64,
}

impl Room {
    pub(crate) fn new(disk: Arc<dyn Disk>, dir: &Path, reserve_bytes: u64) -> Self {
        let parts = ["log", "packs", "index"].map(|part| dir.join(part));
        Self { disk, places: [vec![dir.to_owned()], parts.to_vec()].concat(), reserve_bytes }
    }

    /// Room in one folder alone.
    pub(crate) fn in_folder(disk: Arc<dyn Disk>, dir: &Path, reserve_bytes: u64) -> Self {
        Self { disk, places: vec![dir.to_owned()], reserve_bytes }
    }

    /// # Errors
    /// [`StoreError::Full`] when less than the reserve is left.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        metrics::counter!("holdfast_store_refused_full_total").increment(1);
        Err(StoreError::Full)
    }

    /// The same for commits of so many bytes: people can still read, sort and delete what they have when there is no room
    /// for anything new.
    ///
    /// # Errors
    /// [`StoreError::Full`] when less is left than they may leave.
    pub(crate) fn check_commits(&self, bytes: usize) -> Result<()> {
        if bytes <= SMALL_BYTES && self.is_half_there() {
            return Ok(());
        }
        self.check()
    }

    /// Whether the reserve is left.
    pub(crate) fn is_there(&self) -> bool {
        self.leaves(self.reserve_bytes)
    }

    /// Whether half of the reserve is left. Where it is not, nothing is committed.
    pub(crate) fn is_half_there(&self) -> bool {
        self.leaves(self.reserve_bytes / 2)
    }

    fn leaves(&self, bytes: u64) -> bool {
        // Where the system can't tell, the write itself will.
        !self.places.iter().any(|place| matches!(self.disk.free_bytes(place), Ok(free) if free < bytes))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::{
        collections::HashMap,
        io,
        sync::atomic::{AtomicU64, Ordering},
    };

    use super::*;
    use crate::disk::File;

    /// A disk as full as a test says; a folder may be on another one.
    #[derive(Default)]
    pub(crate) struct Said {
        pub free: AtomicU64,
        pub elsewhere: HashMap<PathBuf, u64>,
    }

    impl Disk for Said {
        fn create(&self, _: &Path) -> io::Result<Arc<dyn File>> {
            unreachable!("nothing is written")
        }
        fn open(&self, _: &Path) -> io::Result<Arc<dyn File>> {
            unreachable!("nothing is read")
        }
        fn list(&self, _: &Path) -> io::Result<Vec<String>> {
            unreachable!("nothing is read")
        }
        fn create_dir(&self, _: &Path) -> io::Result<()> {
            unreachable!("nothing is written")
        }
        fn remove(&self, _: &Path) -> io::Result<()> {
            unreachable!("nothing is written")
        }
        fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
            unreachable!("nothing is written")
        }
        fn sync_dir(&self, _: &Path) -> io::Result<()> {
            unreachable!("nothing is written")
        }
        fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
            Ok(self.elsewhere.get(dir).copied().unwrap_or_else(|| self.free.load(Ordering::Relaxed)))
        }
    }

    #[test]
    fn what_is_small_goes_on_for_longer_and_nothing_goes_on_to_the_last_byte() {
        let disk = Arc::new(Said { free: AtomicU64::new(0), elsewhere: HashMap::new() });
        let room = Room::new(disk.clone(), Path::new("/data"), 1_000);
        // Free bytes; whether bodies, small commits and large commits go on.
        for (free, bodies, small, large) in [
            (u64::MAX, true, true, true),
            (1_000, true, true, true),
            (999, false, true, false),
            (500, false, true, false),
            (499, false, false, false),
            (0, false, false, false),
        ] {
            disk.free.store(free, Ordering::Relaxed);
            let seen = [room.check(), room.check_commits(SMALL_BYTES), room.check_commits(SMALL_BYTES + 1)];
            assert_eq!(seen.map(|seen| seen.is_ok()), [bodies, small, large], "{free}");
            assert_eq!(room.is_there(), bodies, "{free}");
        }
    }

    #[test]
    fn the_fullest_disk_of_the_folder_decides() {
        for part in ["", "log", "packs", "index"] {
            let elsewhere = HashMap::from([(Path::new("/data").join(part), 10)]);
            let disk = Arc::new(Said { free: AtomicU64::new(u64::MAX), elsewhere });
            assert!(!Room::new(disk, Path::new("/data"), 1_000).is_there(), "{part}");
        }
    }
}
