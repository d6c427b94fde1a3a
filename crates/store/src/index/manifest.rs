//! The manifest files of fjall's trees.
//!
//! The engine writes a checksum of each of these files but doesn't check it: one flipped bit makes old values newer than
//! new ones, each with a matching seal. So the checksums are checked here, before the engine opens the files.
//!
//! ```text
//! current = version(u64) xxh3_128(u128) kind(u8)       integers little-endian; the checksum is of the file `v` version
//! ```

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use xxhash_rust::xxh3::xxh3_128;

use crate::{Cause, Damaged, Part, Result, StoreError};

/// # Errors
/// [`StoreError::Damaged`] when a tree of the database in `dir` is not what its checksum says.
pub(super) fn check(dir: &Path) -> Result<()> {
    let trees = dir.join("keyspaces");
    let entries = match fs::read_dir(&trees) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other.map_err(StoreError::io(trees.display().to_string()))?,
    };
    for entry in entries {
        let tree = entry.map_err(StoreError::io(trees.display().to_string()))?.path();
        check_tree(&tree)?;
    }
    Ok(())
}

fn check_tree(tree: &Path) -> Result<()> {
    let name = tree.display();
    let read = |path: &Path| match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(StoreError::io(path.display().to_string())),
    };
    // A tree that is just being made has none yet.
    let Some(current) = read(&tree.join("current"))? else { return Ok(()) };
    let damaged = || StoreError::from(Damaged::new(Part::Index, Cause::Checksum).file(&name));
    let (version, rest) = current.split_first_chunk().ok_or_else(damaged)?;
    let (checksum, kind) = rest.split_first_chunk().ok_or_else(damaged)?;
    let manifest = read(&tree.join(format!("v{}", u64::from_le_bytes(*version))))?.ok_or_else(damaged)?;
    if kind != [0] || xxh3_128(&manifest) != u128::from_le_bytes(*checksum) {
        return Err(damaged());
    }
    Ok(())
}

/// What every open database in `dir` has, and this one has not any more: its trees and their manifests.
pub(super) fn missing(dir: &Path) -> Option<PathBuf> {
    let trees = dir.join("keyspaces");
    let Ok(entries) = fs::read_dir(&trees) else { return Some(trees) };
    let found: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    if found.is_empty() {
        return Some(trees);
    }
    found.into_iter().map(|tree| tree.join("current")).find(|current| !current.exists())
}
