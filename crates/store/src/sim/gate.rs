//! A disk on which a write to the log can be blocked, so that tests can observe what happens during that time.

use std::{io, path::Path, sync::Arc, time::Duration};

use parking_lot::{Condvar, Mutex};

use super::disk::SimDisk;
use crate::disk::{Disk, File};

/// How long a test waits for what must come.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    Shut,
    /// Somebody waits.
    Reached,
}

/// Held up by a shut gate: the next write to a log segment.
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

impl Gate {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State::Open), changed: Condvar::new() })
    }

    fn set(&self, state: State) {
        *self.state.lock() = state;
        self.changed.notify_all();
    }

    pub(super) fn shut(&self) {
        self.set(State::Shut);
    }

    pub(super) fn open(&self) {
        self.set(State::Open);
    }

    /// Returns when somebody waits at it.
    pub(super) fn wait_reached(&self) {
        let mut state = self.state.lock();
        let waited = self.changed.wait_while_for(&mut state, |state| *state != State::Reached, PATIENCE);
        assert!(!waited.timed_out(), "nobody came to the gate");
    }

    fn pass(&self) {
        let mut state = self.state.lock();
        if *state == State::Shut {
            *state = State::Reached;
            self.changed.notify_all();
        }
        let waited = self.changed.wait_while_for(&mut state, |state| *state != State::Open, PATIENCE);
        assert!(!waited.timed_out(), "nobody opened the gate");
    }
}

pub(super) struct GatedDisk {
    pub(super) disk: SimDisk,
    pub(super) gate: Arc<Gate>,
}

impl GatedDisk {
    fn gated(&self, path: &Path, file: Arc<dyn File>) -> Arc<dyn File> {
        if path.extension().is_some_and(|ext| ext == "log") {
            Arc::new(GatedFile { file, gate: self.gate.clone() })
        } else {
            file
        }
    }
}

impl Disk for GatedDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.gated(path, self.disk.create(path)?))
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(self.gated(path, self.disk.open(path)?))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        self.disk.free_bytes(dir)
    }
}

struct GatedFile {
    file: Arc<dyn File>,
    gate: Arc<Gate>,
}

impl File for GatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.gate.pass();
        self.file.write_at(bytes, offset)
    }
    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.truncate(len)
    }
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        self.file.is_at(path)
    }
}
