//! Marks in a data folder that prevent it from being opened as a normal store: it is being restored, it belongs to a
//! standby, or it must no longer be written.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{Result, StoreError};

/// Stands in the folder from before anything is written until all is.
pub(crate) const RESTORING: &str = "restoring";
/// The mark of a standby's store; its text is for people.
pub(crate) const REPLICA: &str = "replica";
/// The mark of a store that must no longer write, with the reason.
pub(crate) const FENCE: &str = "fenced";

/// # Errors
/// [`StoreError::Unfinished`] when a restore into the folder was begun and not finished.
pub(crate) fn check_finished(dir: &Path) -> Result<()> {
    if dir.join(RESTORING).exists() { Err(StoreError::Unfinished { dir: dir.to_owned() }) } else { Ok(()) }
}

/// What a restore into a folder that was begun and not finished is of, if there is one.
pub(crate) fn restoring(dir: &Path) -> Result<Option<String>> {
    let path = dir.join(RESTORING);
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(path.display().to_string())(error)),
    }
}

/// # Errors
/// [`StoreError::Replica`], [`StoreError::Fenced`].
pub(crate) fn check_may_write(dir: &Path) -> Result<()> {
    if let Ok(reason) = std::fs::read_to_string(dir.join(FENCE)) {
        return Err(StoreError::Fenced { dir: dir.to_owned(), reason: reason.trim().to_owned() });
    }
    if dir.join(REPLICA).exists() { Err(StoreError::Replica { dir: dir.to_owned() }) } else { Ok(()) }
}

/// Writes a mark, as a whole or not at all; durable when this returns.
pub(crate) fn write_mark(path: PathBuf, text: &str) -> Result<()> {
    let write = || {
        let scratch = path.with_extension("new");
        let mut file = std::fs::File::create(&scratch)?;
        file.write_all(text.as_bytes())?;
        file.write_all(b"\n")?;
        file.sync_all()?;
        std::fs::rename(&scratch, &path)?;
        path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
    };
    write().map_err(StoreError::io(path.display().to_string()))
}
