//! The scratch space that a salvage works in.

use std::{
    fs, io,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use super::only_reads::OnlyReads;
use crate::{Result, StoreError, disk::Disk as _, lock::Lock};

/// The folder in the scratch space that is worked in.
const WORK: &str = "holdfast-salvage";

/// A folder of the scratch space, for as long as it is worked in.
pub(super) struct Work {
    pub(super) dir: PathBuf,
    /// What was made above it.
    made: Option<PathBuf>,
    _lock: Lock,
}

impl Work {
    pub(super) fn begin(scratch: &Path, from: &Path) -> Result<Self> {
        let io = || StoreError::io(scratch.display().to_string());
        let made = (!scratch.exists()).then(|| scratch.to_owned());
        let dir = scratch.join(WORK);
        fs::create_dir_all(&dir).map_err(io())?;
        let inside = dir.canonicalize().map_err(io())?.starts_with(from.canonicalize().map_err(io())?);
        if inside {
            let _ = fs::remove_dir(&dir);
            let _ = made.map(fs::remove_dir);
            return Err(StoreError::refused(format!(
                "{} is inside {}: choose a scratch folder elsewhere",
                scratch.display(),
                from.display()
            )));
        }
        let lock = Lock::take(&dir)?;
        for part in ["index", "copy", "layers"] {
            match fs::remove_dir_all(dir.join(part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io()(error)),
                _ => {}
            }
        }
        Ok(Self { dir, made, _lock: lock })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "could not remove the scratch folder");
        }
        if let Some(made) = &self.made {
            let _ = fs::remove_dir(made);
        }
    }
}

pub(super) fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let io = |path: &Path| StoreError::io(path.display().to_string());
    fs::create_dir_all(to).map_err(io(to))?;
    for entry in fs::read_dir(from).map_err(io(from))? {
        let path = entry.map_err(io(from))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            copy_folder(&path, &target)?;
            continue;
        }
        let file = OnlyReads.open(&path).map_err(io(&path))?;
        let copy = fs::File::create(&target).map_err(io(&target))?;
        let (mut buffer, mut at) = (vec![0; 1 << 20], 0);
        loop {
            let read = file.read_full(&mut buffer, at).map_err(io(&path))?;
            if read == 0 {
                break;
            }
            copy.write_all_at(&buffer[..read], at).map_err(io(&target))?;
            at += read as u64;
        }
    }
    Ok(())
}
