//! A disk with a page cache: data that was not synced may be lost, page by page and name by name, when the power fails.

use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::Dice;
use crate::disk::{Disk, File};

/// What is written or lost as a whole.
const PAGE_BYTES: usize = 512;

/// What the disk does at a chosen operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// The power goes in the middle of it; every later operation fails.
    PowerLoss,
    /// The process is killed in the middle of it; every later operation fails. What it wrote is there, synced or not.
    Killed,
    /// There is no room: a write is done in part.
    Full,
    /// The device fails; a sync that fails drops what it should have written, as Linux does.
    Broken,
}

#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Cut { len: usize },
}

impl Change {
    fn apply(&self, image: &mut Vec<u8>) {
        match self {
            Self::Write { at, bytes } => {
                let end = at + bytes.len();
                if image.len() < end {
                    image.resize(end, 0);
                }
                image[*at..end].copy_from_slice(bytes);
            }
            Self::Cut { len } => image.resize(*len, 0),
        }
    }
}

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Change>,
    /// Reading it fails.
    unreadable: bool,
}

struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    dice: Dice,
    /// Operations until the fault.
    fault: Option<(u64, Fault)>,
    dead: bool,
}

/// A simulated disk.
#[derive(Clone)]
pub(super) struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    pub(super) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            inodes: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            dice: Dice(seed),
            fault: None,
            dead: false,
        })))
    }

    /// Lets the operation after `operations` more meet a fault.
    pub(super) fn plan(&self, operations: u64, fault: Fault) {
        self.0.lock().fault = Some((operations, fault));
    }

    /// Lets reading a file's bytes past its first few fail, or not any more.
    pub(super) fn unreadable(&self, path: &Path, unreadable: bool) {
        let mut state = self.0.lock();
        let inode = state.names[path];
        state.inodes[inode].unreadable = unreadable;
    }

    /// The disk as the next process finds it after a kill: nothing is lost, and what was not synced still may be.
    pub(super) fn after_kill(&self) -> Self {
        let state = self.0.lock();
        Self(Arc::new(Mutex::new(State {
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            synced_names: state.synced_names.clone(),
            dice: state.dice.clone(),
            fault: None,
            dead: false,
        })))
    }

    /// What the platter has once the power is back.
    pub(super) fn after_power_loss(&self) -> Self {
        let state = self.0.lock();
        let mut dice = state.dice.clone();
        let mut names = state.synced_names.clone();
        // A name that was made or taken away and not synced may be either.
        for (path, inode) in &state.names {
            if state.synced_names.get(path) != Some(inode) && dice.once_in(2) {
                names.insert(path.clone(), *inode);
            }
        }
        for path in state.synced_names.keys() {
            if !state.names.contains_key(path) && dice.once_in(2) {
                names.remove(path);
            }
        }
        let mut inodes = Vec::new();
        for inode in &state.inodes {
            let mut image = inode.synced.clone();
            let loses = dice.below(3);
            for change in &inode.pending {
                match change {
                    Change::Write { at, bytes } => {
                        let mut done = 0;
                        while done < bytes.len() {
                            let room = PAGE_BYTES - (at + done) % PAGE_BYTES;
                            let end = (done + room).min(bytes.len());
                            let lost = match loses {
                                0 => false,
                                1 => dice.once_in(2),
                                _ => true,
                            };
                            if !lost {
                                Change::Write { at: at + done, bytes: bytes[done..end].to_vec() }.apply(&mut image);
                            }
                            done = end;
                        }
                    }
                    Change::Cut { .. } => {
                        if dice.once_in(2) {
                            change.apply(&mut image);
                        }
                    }
                }
            }
            inodes.push(Inode { now: image.clone(), synced: image, ..Inode::default() });
        }
        Self(Arc::new(Mutex::new(State {
            inodes,
            names: names.clone(),
            synced_names: names,
            dice,
            fault: None,
            dead: false,
        })))
    }
}

fn error(kind: io::ErrorKind) -> io::Error {
    io::Error::new(kind, "simulated")
}

impl State {
    /// Counts a mutating operation: the fault that it meets, if any.
    fn step(&mut self) -> io::Result<Option<Fault>> {
        if self.dead {
            return Err(error(io::ErrorKind::Other));
        }
        match &mut self.fault {
            Some((0, fault)) => {
                let fault = *fault;
                self.fault = None;
                self.dead = matches!(fault, Fault::PowerLoss | Fault::Killed);
                Ok(Some(fault))
            }
            Some((left, _)) => {
                *left -= 1;
                Ok(None)
            }
            None => Ok(None),
        }
    }

    /// An operation that is done or not.
    fn whole(&mut self) -> io::Result<()> {
        match self.step()? {
            None => Ok(()),
            Some(Fault::Full) => Err(error(io::ErrorKind::StorageFull)),
            Some(_) => Err(error(io::ErrorKind::Other)),
        }
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.0.lock();
        state.whole()?;
        if state.names.contains_key(path) {
            return Err(error(io::ErrorKind::AlreadyExists));
        }
        let inode = state.inodes.len();
        state.inodes.push(Inode::default());
        state.names.insert(path.to_owned(), inode);
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let state = self.0.lock();
        let inode = *state.names.get(path).ok_or_else(|| error(io::ErrorKind::NotFound))?;
        Ok(Arc::new(SimFile { disk: self.clone(), inode }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let state = self.0.lock();
        let inside = state.names.keys().filter(|path| path.parent() == Some(dir));
        Ok(inside.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())).collect())
    }

    fn create_dir(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole()?;
        state.names.remove(path).map(|_| ()).ok_or_else(|| error(io::ErrorKind::NotFound))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole()?;
        let inode = state.names.remove(from).ok_or_else(|| error(io::ErrorKind::NotFound))?;
        state.names.insert(to.to_owned(), inode);
        Ok(())
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let mut state = self.0.lock();
        state.whole()?;
        let State { names, synced_names, .. } = &mut *state;
        synced_names.retain(|path, _| path.parent() != Some(dir));
        let inside = names.iter().filter(|(path, _)| path.parent() == Some(dir));
        synced_names.extend(inside.map(|(path, inode)| (path.clone(), *inode)));
        Ok(())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl File for SimFile {
    /// Gives less than asked for now and then, or nothing because of a signal, as a real one may.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.disk.0.lock();
        if state.dice.once_in(64) {
            return Err(error(io::ErrorKind::Interrupted));
        }
        let short = buffer.len() > 1 && state.dice.once_in(16);
        let wanted = if short { buffer.len() / 2 } else { buffer.len() };
        if state.inodes[self.inode].unreadable && offset > 40 {
            return Err(error(io::ErrorKind::Other));
        }
        let image = &state.inodes[self.inode].now;
        let start = (offset as usize).min(image.len());
        let end = (start + wanted).min(image.len());
        buffer[..end - start].copy_from_slice(&image[start..end]);
        Ok(end - start)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let fault = state.step()?;
        let done = if fault.is_some() { state.dice.below(bytes.len() as u64 + 1) as usize } else { bytes.len() };
        let change = Change::Write { at: offset as usize, bytes: bytes[..done].to_vec() };
        let inode = &mut state.inodes[self.inode];
        change.apply(&mut inode.now);
        inode.pending.push(change);
        match fault {
            None => Ok(()),
            Some(Fault::Full) => Err(error(io::ErrorKind::StorageFull)),
            Some(_) => Err(error(io::ErrorKind::Other)),
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let fault = state.step()?;
        let inode = &mut state.inodes[self.inode];
        match fault {
            None => {
                inode.synced.clone_from(&inode.now);
                inode.pending.clear();
                Ok(())
            }
            Some(Fault::Broken | Fault::Full) => {
                // The pages are marked clean and will never be written, though the next sync may succeed.
                inode.now.clone_from(&inode.synced);
                inode.pending.clear();
                Err(error(io::ErrorKind::Other))
            }
            Some(Fault::PowerLoss | Fault::Killed) => Err(error(io::ErrorKind::Other)),
        }
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().inodes[self.inode].now.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        state.whole()?;
        let change = Change::Cut { len: len as usize };
        let inode = &mut state.inodes[self.inode];
        change.apply(&mut inode.now);
        inode.pending.push(change);
        Ok(())
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(self.disk.0.lock().names.get(path) == Some(&self.inode))
    }
}
