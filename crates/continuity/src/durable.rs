//! Atomic replacement of small files: after a crash a file has either the old or the new contents.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

/// Replaces a file; durable when it returns, and after a crash in between the old one is there.
pub fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let scratch = file.with_extension("new");
    let mut out = File::create(&scratch)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&scratch, file)?;
    file.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}
