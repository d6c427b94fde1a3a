//! A disk that nothing is written to.

use std::{fs, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use crate::disk::{Disk, File};

/// Bytes of a file that is read where the system can't read it: it fails by blocks of this size.
const SECTOR_BYTES: usize = 4096;

/// Files that are only read; what the system can't read of them is zero.
pub(super) struct OnlyReads;

struct ReadFile(fs::File);

pub(super) fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for OnlyReads {
    fn create(&self, _: &Path) -> io::Result<Arc<dyn File>> {
        refused()
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(ReadFile(fs::File::open(path)?)))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        crate::disk::RealDisk.list(dir)
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }
}

impl File for ReadFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let is_unreadable = |error: &io::Error| error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        match FileExt::read_at(&self.0, buffer, offset) {
            Err(error) if is_unreadable(&error) => {}
            other => return other,
        }
        let to_next = SECTOR_BYTES - (offset % SECTOR_BYTES as u64) as usize;
        let len = buffer.len().min(to_next).min(File::len(self)?.saturating_sub(offset) as usize);
        match FileExt::read_at(&self.0, &mut buffer[..len], offset) {
            Err(error) if is_unreadable(&error) => {
                buffer[..len].fill(0);
                Ok(len)
            }
            other => other,
        }
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }
    fn sync(&self) -> io::Result<()> {
        refused()
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn is_at(&self, _: &std::path::Path) -> io::Result<bool> {
        Ok(true)
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        refused()
    }
}
