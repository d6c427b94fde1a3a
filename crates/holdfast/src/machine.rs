//! The machine of the service: disk space, and the resources that the process uses.

use std::{
    fs, io,
    path::Path,
    sync::OnceLock,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Less free disk space than this is low on any disk.
const LEAST_ROOM: u64 = 1 << 30;
/// More than this is enough on any disk.
const ENOUGH_ROOM: u64 = 50 << 30;
/// In between it is short when it is less than one part in so many.
const ROOM_PART: u64 = 20;

/// When this process began: the first look counts, which `main` takes.
static STARTED: OnceLock<(Instant, SystemTime)> = OnceLock::new();

/// When this process began.
pub fn started() -> (Instant, SystemTime) {
    *STARTED.get_or_init(|| (Instant::now(), SystemTime::now()))
}

/// The file system that a folder is on, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Free disk space for the service.
    pub free: u64,
    /// All of it.
    pub total: u64,
}

impl Room {
    /// Of the file system that `dir` is on.
    ///
    /// # Errors
    /// Those of the system.
    pub fn at(dir: &Path) -> io::Result<Self> {
        let found = rustix::fs::statvfs(dir)?;
        Ok(Self {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
        })
    }

    /// Of the fullest file system that a data folder is on: log, messages and index may each have their own.
    ///
    /// # Errors
    /// As [`Self::at`], for the folder itself.
    pub fn of_data(data_dir: &Path) -> io::Result<Self> {
        let parts = ["log", "packs", "index"].into_iter().filter_map(|part| Self::at(&data_dir.join(part)).ok());
        let whole = Self::at(data_dir)?;
        Ok(parts.fold(whole, |least, part| if part.free < least.free { part } else { least }))
    }

    /// Whether someone should free disk space before it is full.
    pub const fn is_short(self) -> bool {
        self.free < LEAST_ROOM || (self.free < ENOUGH_ROOM && self.free < self.total / ROOM_PART)
    }
}

/// The size of a folder in bytes. Files deleted during the count are ignored.
pub fn size_of(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(found) if found.is_dir() => size_of(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    };
    entries.flatten().map(of).sum()
}

/// Memory that this process has, in bytes; none where the system does not say.
pub fn memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}

/// The role of this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It serves.
    Primary,
    /// It follows another machine.
    Standby,
    /// It takes mail for another machine.
    Relay,
}

/// Sets the gauges that tell of the machine and of this process.
pub fn measure_process(data_dir: &Path, role: Role) {
    for (name, of) in [("primary", Role::Primary), ("standby", Role::Standby), ("relay", Role::Relay)] {
        metrics::gauge!("holdfast_role", "role" => name).set(f64::from(u8::from(role == of)));
    }
    if let Ok(room) = Room::of_data(data_dir) {
        metrics::gauge!("holdfast_disk_free_bytes").set(room.free as f64);
        metrics::gauge!("holdfast_disk_size_bytes").set(room.total as f64);
    }
    if let Some(memory) = memory() {
        metrics::gauge!("process_resident_memory_bytes").set(memory as f64);
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        metrics::gauge!("process_open_fds").set(files.count() as f64);
    }
    let since = started().1.duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("process_start_time_seconds").set(since.as_secs_f64());
    metrics::gauge!("holdfast_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_short_before_it_is_gone() {
        let short = |free: u64, total: u64| Room { free: free << 20, total: total << 20 }.is_short();
        assert!(short(1_000, 10_000), "less than a gibibyte");
        assert!(!short(2_000, 10_000));
        assert!(short(4_000, 100_000), "less than a twentieth");
        assert!(!short(6_000, 100_000));
        assert!(!short(60_000, 4_000_000), "enough on any disk");
        assert!(short(40_000, 4_000_000));
    }

    #[test]
    fn a_folder_is_as_large_as_what_is_in_it() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("a"), [0; 100]).unwrap();
        fs::write(dir.path().join("below/b"), [0; 23]).unwrap();
        assert_eq!(size_of(dir.path()), 123);
        assert_eq!(size_of(&dir.path().join("nothing")), 0);
    }

    #[test]
    fn this_process_and_its_disk_can_be_measured() {
        assert!(memory().is_some_and(|bytes| bytes > 100_000));
        let room = Room::at(Path::new("/")).unwrap();
        assert!(room.total >= room.free && room.total > 0);
    }
}
