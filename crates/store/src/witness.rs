//! The witness file: how far the log was seen to reach. It is stored next to the index, not in it, so that losing both
//! the index and the end of the log is noticed. It has a few lines of text with a checksum, and is replaced atomically.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{Cause, Damaged, Part, Result, Seq, StoreError, disk::Disk};

const FILE: &str = "witness";
/// Who writes this when the store is closed in order; taken away when it is opened.
const CLOSED: &str = "closed";
/// What takes its place where there is no room to write the file again: as long, so that it fits where that was.
const OPENED: &str = "opened";
/// The file is far smaller.
const MAX_BYTES: usize = 64 << 10;

/// The contents of the file.
type Seen = BTreeMap<String, Seq>;

/// The witness file of an open store.
pub(crate) struct Witness {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    seen: Mutex<Seen>,
    closed_at: Option<Seq>,
    /// There was room for nothing when it was opened: where it had been closed.
    opened_at: Option<Seq>,
    /// The file says what is to be said, but for the mark of an orderly close.
    is_there: bool,
}

/// Reads the file. A missing one says nothing.
///
/// # Errors
/// [`StoreError::Damaged`] when it does not match its checksum.
pub(crate) fn read(disk: &dyn Disk, dir: &Path) -> Result<Seen> {
    let path = dir.join(FILE);
    let name = path.display().to_string();
    let damaged = || StoreError::from(Damaged::new(Part::Witness, Cause::Checksum).file(&name));
    let file = match disk.open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Seen::new()),
        Err(error) => return Err(StoreError::io(name)(error)),
    };
    let mut bytes = vec![0; MAX_BYTES];
    let len = file.read_full(&mut bytes, 0).map_err(StoreError::io(name.clone()))?;
    let text = std::str::from_utf8(&bytes[..len]).map_err(|_| damaged())?;
    let (lines, sum) = text.trim_end().rsplit_once('\n').ok_or_else(damaged)?;
    if sum != checksum(lines) {
        return Err(damaged());
    }
    let parse = |line: &str| {
        let (seq, name) = line.split_once(' ')?;
        Some((name.to_owned(), Seq(seq.parse().ok()?)))
    };
    lines.lines().skip(1).map(|line| parse(line).ok_or_else(damaged)).collect()
}

/// The same; a damaged file says nothing. One that can't be read now is an error: going on as if nobody had seen anything
/// might give up what was acknowledged.
pub(crate) fn read_or_nothing(disk: &dyn Disk, dir: &Path) -> Result<Seen> {
    match read(disk, dir) {
        Err(error @ StoreError::Damaged { .. }) => {
            tracing::warn!(%error, "unknown how far the log must reach");
            Ok(Seen::new())
        }
        other => other,
    }
}

fn checksum(lines: &str) -> String {
    format!("crc32c {:08x}", crc32c::crc32c(lines.as_bytes()))
}

/// The file that says this.
fn text_of(seen: &Seen) -> String {
    let mut text = String::from("holdfast: how far the log was seen to reach");
    for (who, seq) in seen {
        let _ = write!(text, "\n{seq} {who}");
    }
    let sum = checksum(&text);
    let _ = writeln!(text, "\n{sum}");
    text
}

impl Witness {
    /// Opens the file and takes the mark of an orderly close away. A damaged file is replaced: what it said is lost,
    /// what the index says is not.
    pub(crate) fn open(disk: Arc<dyn Disk>, dir: &Path) -> Result<Self> {
        let (mut seen, is_there) = match read(&*disk, dir) {
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%error, "damaged witness file: writing it again");
                (Seen::new(), false)
            }
            other => other.map(|seen| (seen, disk.open(&dir.join(FILE)).is_ok()))?,
        };
        let (closed_at, opened_at) = (seen.remove(CLOSED), seen.remove(OPENED));
        Ok(Self { disk, dir: dir.to_owned(), seen: Mutex::new(seen), closed_at, opened_at, is_there })
    }

    /// How far each has seen the log reach.
    pub(crate) fn seen(&self) -> Vec<Seq> {
        self.seen.lock().values().copied().chain(self.closed_at).chain(self.opened_at).collect()
    }

    /// Whether the store was closed in order when it was last open.
    pub(crate) const fn closed_in_order(&self) -> bool {
        self.closed_at.is_some()
    }

    /// Takes the mark of an orderly close away, durably. A full disk is no obstacle.
    pub(crate) fn begin(&self) -> Result<()> {
        let seen = self.seen.lock();
        if self.is_there && self.closed_at.is_none() {
            // Durably: who wrote it may have died before it was, and the mark would be back after a power loss.
            return self.sync();
        }
        match (self.save(&seen), self.closed_at) {
            (Err(StoreError::Full), Some(at)) if self.is_there => self.replace_mark(&seen, at),
            (saved, _) => saved,
        }
    }

    /// The same in the file as it is: another mark of the same length takes the place of that one.
    fn replace_mark(&self, seen: &Seen, at: Seq) -> Result<()> {
        let mut seen = seen.clone();
        seen.insert(OPENED.to_owned(), at);
        let path = self.dir.join(FILE);
        let write = || {
            let file = self.disk.open(&path)?;
            file.write_at(text_of(&seen).as_bytes(), 0)
        };
        write().map_err(StoreError::io(path.display().to_string()))?;
        self.sync()
    }

    /// Makes the file durable as it is.
    fn sync(&self) -> Result<()> {
        let path = self.dir.join(FILE);
        let sync = || {
            self.disk.open(&path)?.sync()?;
            self.disk.sync_dir(&self.dir)
        };
        sync().map_err(StoreError::io(path.display().to_string()))
    }

    /// Notes that `who` has seen the log reach `seq`.
    pub(crate) fn note(&self, who: &str, seq: Seq) -> Result<()> {
        let mut seen = self.seen.lock();
        seen.insert(who.to_owned(), seq);
        self.save(&seen)
    }

    pub(crate) fn close(&self, seq: Seq) -> Result<()> {
        self.note(CLOSED, seq)
    }

    fn save(&self, seen: &Seen) -> Result<()> {
        let text = text_of(seen);
        let (path, scratch) = (self.dir.join(FILE), self.dir.join(format!("{FILE}.new")));
        let save = || {
            match self.disk.remove(&scratch) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let file = self.disk.create(&scratch)?;
            file.write_at(text.as_bytes(), 0)?;
            file.sync()?;
            self.disk.rename(&scratch, &path)?;
            self.disk.sync_dir(&self.dir)
        };
        save().map_err(StoreError::io(path.display().to_string()))
    }
}
