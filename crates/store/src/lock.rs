//! One process owns a data folder.

use std::{
    fs::{self, File},
    io::{Read as _, Seek as _, Write as _},
    path::Path,
};

use rustix::fs::{FlockOperation, flock};

use crate::{Result, StoreError};

/// Held for as long as the folder is owned; the system lets go of it when the process ends, however it ends.
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing the file would not do while a forked child still has it open.
        let _ = flock(&self.file, FlockOperation::Unlock);
    }
}

impl Lock {
    /// As [`Lock::take`], without writing anything: for a folder that must stay as it is. `None` when nobody ever had a
    /// lock there.
    pub(crate) fn take_unchanged(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("lock");
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StoreError::io(path.display().to_string())(error)),
        };
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(StoreError::Locked { dir: dir.to_owned(), pid: owner.trim().parse().ok() });
        }
        Ok(Some(Self { file }))
    }

    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let name = path.display().to_string();
        let mut file = fs::File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(StoreError::io(name.clone()))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            return Err(StoreError::Locked { dir: dir.to_owned(), pid: owner.trim().parse().ok() });
        }
        // The pid is for people; the lock itself is the truth.
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(StoreError::io(name))?;
        Ok(Self { file })
    }
}
