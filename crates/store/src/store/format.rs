//! The version of the on-disk format.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use crate::{Cause, Damaged, Part, Result, StoreError};

/// The version of the on-disk format.
pub const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "format";

/// Checks that this version can read what is in the folder; a new one is marked with [`FORMAT`].
pub(crate) fn check_format(dir: &Path) -> Result<()> {
    if found_format(dir)?.is_some() {
        return Ok(());
    }
    let name = dir.join(FORMAT_FILE).display().to_string();
    // A folder with a log but no format is damaged, not new.
    if dir.join("log").exists() {
        return Err(Damaged::new(Part::Mark, Cause::Missing).file(name).because("but there is a log").into());
    }
    write_format(dir).map_err(StoreError::io(name))
}

/// Checks that this version can read what is in the folder, which is not changed. A mark that is missing is for others to
/// judge.
///
/// # Errors
/// [`StoreError::NewerFormat`]; [`StoreError::Damaged`] when the mark can't be understood.
pub(crate) fn found_format(dir: &Path) -> Result<Option<u32>> {
    let path = dir.join(FORMAT_FILE);
    let name = path.display().to_string();
    match fs::read(&path) {
        Ok(text) => match std::str::from_utf8(&text).ok().and_then(|text| text.trim().parse::<u32>().ok()) {
            Some(found) if found > FORMAT => Err(StoreError::NewerFormat { dir: dir.to_owned(), found, known: FORMAT }),
            Some(found) if found > 0 => Ok(Some(found)),
            _ => Err(Damaged::new(Part::Mark, Cause::Decoding).file(name).because("no valid format number").into()),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io(name)(error)),
    }
}

/// Marks a folder with [`FORMAT`], as a whole or not at all.
pub(crate) fn write_format(dir: &Path) -> io::Result<()> {
    let scratch = dir.join("format.new");
    let mut file = File::create(&scratch)?;
    writeln!(file, "{FORMAT}")?;
    file.sync_all()?;
    fs::rename(&scratch, dir.join(FORMAT_FILE))?;
    File::open(dir)?.sync_all()
}
