//! The version of what is on disk.

use std::path::Path;

use crate::{Result, StoreError};

/// The version of what is on disk.
pub const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "format";

/// Checks that this version can read what is in the folder; a new one is marked with [`FORMAT`].
pub(crate) fn check_format(dir: &Path) -> Result<()> {
    let path = dir.join(FORMAT_FILE);
    let name = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => Err(StoreError::NewerFormat { dir: dir.to_owned(), found, known: FORMAT }),
            Err(_) => Err(StoreError::damaged(format!("{name}: not a number"))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // A folder with a log but no format is damaged, not new.
            if dir.join("log").exists() {
                return Err(StoreError::damaged(format!("{name} is missing beside a log")));
            }
            let write = || -> std::io::Result<()> {
                std::fs::write(&path, format!("{FORMAT}\n"))?;
                std::fs::File::open(&path)?.sync_all()?;
                std::fs::File::open(dir)?.sync_all()
            };
            write().map_err(StoreError::io(name))
        }
        Err(error) => Err(StoreError::io(name)(error)),
    }
}
