//! Files, through a seam so that tests can tear, lose and refuse writes.

use std::{fs, io, os::unix::fs::FileExt as _, path::Path, sync::Arc};

/// The disk with log, packs and checkpoints. Paths are absolute or relative to the process, as in `std::fs`.
pub trait Disk: Send + Sync {
    /// Makes an empty file, which must not exist, open for reading and writing.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file for reading and writing.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// The names in a folder, sorted; none when it does not exist.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a folder and its parents durably, so that its contents can't be lost with it.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Gives a file another name, replacing what had it. Durable after [`Disk::sync_dir`].
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in a folder durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Bytes that can still be written below a folder.
    fn free_bytes(&self, dir: &Path) -> io::Result<u64>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Reads at most `buffer.len()` bytes at `offset`; 0 at the end.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `offset`. Not durable before [`File::sync`].
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes all writes so far durable.
    fn sync(&self) -> io::Result<()>;
    /// The size in bytes.
    fn len(&self) -> io::Result<u64>;
    /// Whether there is nothing in it.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Cuts the file off.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Whether a path still names this file. Cheap, because it is called at each commit.
    fn is_at(&self, path: &Path) -> io::Result<bool>;

    /// Fills `buffer` from `offset`, short only at the end of the file; gives how much.
    fn read_full(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while done < buffer.len() {
            match self.read_at(&mut buffer[done..], offset + done as u64) {
                Ok(0) => break,
                Ok(n) => done += n,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }
}

/// Writes the contents of an open file, whose name was removed or names another file, under its name again, durably. An
/// existing file with that name is set aside.
pub(crate) fn put_back(disk: &dyn Disk, path: &Path, file: &dyn File, len: u64) -> io::Result<Arc<dyn File>> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let scratch = path.with_extension("again");
    match disk.remove(&scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let again = disk.create(&scratch)?;
    let mut buffer = vec![0; 1 << 20];
    let mut at = 0;
    while at < len {
        let piece = &mut buffer[..usize::try_from(len - at).unwrap_or(usize::MAX).min(1 << 20)];
        let read = file.read_full(piece, at)?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        again.write_at(&piece[..read], at)?;
        at += read as u64;
    }
    again.sync()?;
    match disk.rename(path, &path.with_extension("replaced")) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.rename(&scratch, path)?;
    disk.sync_dir(dir)?;
    Ok(again)
}

/// The machine's file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(fs::File::options().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(fs::File::options().read(true).write(true).open(path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = entries
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        Ok(names)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if dir.is_dir() {
            return Ok(());
        }
        let parent = match dir.parent() {
            Some(parent) if parent != Path::new("") => parent,
            _ => Path::new("."),
        };
        self.create_dir(parent)?;
        match fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !dir.is_dir() => return Err(error),
            _ => {}
        }
        self.sync_dir(parent)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }

    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        let space = rustix::fs::statvfs(dir)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// The number that a file is named by: `digits` digits, then `suffix`. What is named otherwise is not the store's.
pub(crate) fn number_in_name(name: &str, digits: usize, suffix: &str) -> Option<u64> {
    let number = name.strip_suffix(suffix)?;
    (number.len() == digits && number.bytes().all(|byte| byte.is_ascii_digit())).then(|| number.parse().ok())?
}

impl File for fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        std::os::unix::fs::FileExt::read_at(self, buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        use std::os::unix::fs::MetadataExt as _;
        let mine = self.metadata()?;
        match fs::metadata(path) {
            Ok(found) => Ok(found.dev() == mine.dev() && found.ino() == mine.ino()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_stores_own_form_are_numbers() {
        assert_eq!(number_in_name("0000000007.pack", 10, ".pack"), Some(7));
        for other in ["7.pack", "+000000007.pack", "0000000007.pack~", "00000000007.pack", "000000000x.pack", ".pack"] {
            assert_eq!(number_in_name(other, 10, ".pack"), None, "{other}");
        }
    }

    #[test]
    fn a_folder_is_made_with_those_above_it_and_making_it_again_is_no_error() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b/c");
        RealDisk.create_dir(&deep).unwrap();
        RealDisk.create_dir(&deep).unwrap();
        assert!(deep.is_dir());
        fs::write(dir.path().join("file"), "").unwrap();
        assert!(RealDisk.create_dir(&dir.path().join("file")).is_err());
        assert!(RealDisk.free_bytes(&deep).unwrap() > 0);
    }
}
