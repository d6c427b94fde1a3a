//! One process owns a data folder.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, Write as _},
    path::Path,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{Result, StoreError};

/// Held for as long as the folder is owned; the system releases it when the process ends in any way.
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
    /// Makes the folder this process's.
    ///
    /// # Errors
    /// [`StoreError::Locked`].
    pub(crate) fn take(dir: &Path) -> Result<Self> {
        let path = dir.join("lock");
        let mut options = fs::File::options();
        let file = options.read(true).write(true).create(true).truncate(false).open(&path);
        let mut lock = Self::of(file.map_err(StoreError::io(path.display().to_string()))?, dir)?;
        // The pid is for people; the lock itself is the truth. Writing the pid may fail if the disk is full.
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        if let Err(error) = write(&mut lock.file) {
            tracing::warn!(path = %path.display(), %error, "could not note the process id in the lock file");
        }
        Ok(lock)
    }

    /// As [`Lock::take`], without writing anything: for a folder that must stay as it is. `None` when nobody ever had a
    /// lock there.
    pub(crate) fn take_unchanged(dir: &Path) -> Result<Option<Self>> {
        let path = dir.join("lock");
        match File::open(&path) {
            Ok(file) => Self::of(file, dir).map(Some),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(StoreError::io(path.display().to_string())(error)),
        }
    }

    fn of(mut file: File, dir: &Path) -> Result<Self> {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Self { file }),
            Err(Errno::WOULDBLOCK) => {
                let mut owner = String::new();
                let _ = file.read_to_string(&mut owner);
                Err(StoreError::Locked { dir: dir.to_owned(), pid: owner.trim().parse().ok() })
            }
            Err(error) => Err(StoreError::io(format!("locking {}", dir.display()))(error.into())),
        }
    }
}
