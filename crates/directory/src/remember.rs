//! Verified passwords are remembered, so that a returning client needs no new hash, also after a restart.
//!
//! The memory is a keyed hash of account, protocol and password, and a fingerprint of the credentials it was verified
//! against: once those change, the entry is invalid. This is only as safe as the slow hash while the key is secret: the
//! key is in memory that is not on disk (`/dev/shm`), readable by its owner only. It survives a restart of the process,
//! but neither a reboot nor a theft of the disks; without it the file in the data folder is useless and ignored.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::AccountId;

/// Logins that are remembered at most.
const MAX_ENTRIES: usize = 100_000;
const ENTRY_BYTES: usize = 32 + 4 + 16 + 8;
const MAGIC: &[u8; 8] = b"HFLOGN\0\x01";
const MAC_BYTES: usize = 32;

/// How verified logins are remembered.
#[derive(Debug, Clone)]
pub struct Remember {
    /// For how long after they were verified. Zero: not at all. Default 7 days.
    pub period: Duration,
    /// The file that keeps them across restarts; none: they are forgotten with the process.
    pub file: Option<PathBuf>,
    /// The file with the key, which must not be on a disk. It is made when it is not there.
    pub key_file: PathBuf,
}

impl Default for Remember {
    fn default() -> Self {
        Self { period: Duration::from_secs(7 * 86_400), file: None, key_file: Self::default_key_file() }
    }
}

impl Remember {
    /// One for each user of the machine, in memory.
    pub fn default_key_file() -> PathBuf {
        PathBuf::from(format!("/dev/shm/holdfast-{}.key", rustix::process::geteuid().as_raw()))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    account: AccountId,
    proof: [u8; 16],
    at_ms: i64,
}

pub(crate) struct Remembered {
    key: [u8; 32],
    period_ms: i64,
    file: Option<PathBuf>,
    entries: Mutex<HashMap<[u8; 32], Entry>>,
    changed: AtomicBool,
}

impl Remembered {
    pub(crate) fn open(options: Remember, now_ms: i64) -> Self {
        let period_ms = i64::try_from(options.period.as_millis()).unwrap_or(i64::MAX);
        let (key, file) = match options.file {
            Some(file) if period_ms > 0 => match shared_key(&options.key_file) {
                // Each data folder has its own.
                Ok(key) => (*blake3::keyed_hash(&key, file.as_os_str().as_encoded_bytes()).as_bytes(), Some(file)),
                Err(error) => {
                    let path = options.key_file.display();
                    tracing::warn!(%error, "{path}: logins will not be remembered after a restart");
                    (rand::random(), None)
                }
            },
            _ => (rand::random(), None),
        };
        let entries = file.as_deref().and_then(|file| read(file, &key)).unwrap_or_default();
        let entries: HashMap<_, _> =
            entries.into_iter().filter(|(_, entry)| is_fresh(entry, period_ms, now_ms)).collect();
        if !entries.is_empty() {
            tracing::info!(logins = entries.len(), "loaded the logins remembered from before the restart");
        }
        Self { key, period_ms, file, entries: Mutex::new(entries), changed: AtomicBool::new(false) }
    }

    /// The remembered entry of a login.
    pub(crate) fn seen(&self, account: AccountId, door: &str, password: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        for part in [&account.0.to_be_bytes()[..], door.as_bytes(), password.as_bytes()] {
            hasher.update(&(part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        *hasher.finalize().as_bytes()
    }

    /// A hash that requires the key.
    pub(crate) fn keyed(&self, bytes: &[u8]) -> [u8; 32] {
        *blake3::keyed_hash(&self.key, bytes).as_bytes()
    }

    /// A fingerprint of the credentials as they are stored.
    pub(crate) fn proof(&self, stored: &[u8]) -> [u8; 16] {
        let hash = blake3::keyed_hash(&self.key, stored);
        *hash.as_bytes().first_chunk().expect("a hash is 32 bytes")
    }

    /// Whether a login was verified by credentials that are still the same.
    pub(crate) fn knows(&self, seen: &[u8; 32], proof: [u8; 16], now_ms: i64) -> bool {
        let entries = self.entries.lock();
        entries.get(seen).is_some_and(|entry| entry.proof == proof && is_fresh(entry, self.period_ms, now_ms))
    }

    pub(crate) fn put(&self, seen: [u8; 32], account: AccountId, proof: [u8; 16], now_ms: i64) {
        if self.period_ms == 0 {
            return;
        }
        let mut entries = self.entries.lock();
        if entries.len() >= MAX_ENTRIES {
            entries.retain(|_, entry| is_fresh(entry, self.period_ms / 2, now_ms));
        }
        if entries.len() < MAX_ENTRIES {
            entries.insert(seen, Entry { account, proof, at_ms: now_ms });
            self.changed.store(true, Ordering::Relaxed);
        }
    }

    pub(crate) fn forget(&self, account: AccountId) {
        self.entries.lock().retain(|_, entry| entry.account != account);
        self.changed.store(true, Ordering::Relaxed);
    }

    /// Stores changes. Blocks for a small file.
    pub(crate) fn keep(&self) {
        let Some(file) = &self.file else { return };
        if !self.changed.swap(false, Ordering::Relaxed) {
            return;
        }
        let entries = self.entries.lock().clone();
        if let Err(error) = write(file, &self.key, &entries) {
            tracing::warn!(%error, "{}: recent logins will not be remembered after a restart", file.display());
        }
    }
}

fn is_fresh(entry: &Entry, period_ms: i64, now_ms: i64) -> bool {
    // Nor what was verified in the future: the clock was put back.
    (0..period_ms).contains(&now_ms.saturating_sub(entry.at_ms))
}

/// The key in a file that only its owner can read.
fn shared_key(path: &Path) -> std::io::Result<[u8; 32]> {
    let mut key = [0; 32];
    loop {
        match std::fs::File::options().read(true).custom_flags(NO_FOLLOW).open(path) {
            Ok(mut file) => {
                let found = file.metadata()?;
                let is_ours = found.is_file() && found.uid() == rustix::process::geteuid().as_raw();
                if !is_ours || found.mode() & 0o077 != 0 || found.len() != 32 {
                    return Err(std::io::Error::other("the key must be readable by its owner only: remove it"));
                }
                file.read_exact(&mut key)?;
                return Ok(key);
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        let made: [u8; 32] = rand::random();
        let scratch = path.with_extension(format!("new-{}", std::process::id()));
        // What a crash has left.
        let _ = std::fs::remove_file(&scratch);
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&scratch)?;
        file.write_all(&made)?;
        // Another request was first and has made it.
        let linked = std::fs::hard_link(&scratch, path);
        std::fs::remove_file(&scratch)?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
    }
}

/// `O_NOFOLLOW`.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

fn read(file: &Path, key: &[u8; 32]) -> Option<HashMap<[u8; 32], Entry>> {
    let bytes = std::fs::read(file).ok()?;
    let (rest, mac) = bytes.split_last_chunk::<MAC_BYTES>()?;
    // Of another key, or damaged: it is only a help.
    if blake3::keyed_hash(key, rest) != *mac {
        return None;
    }
    let mut entries = HashMap::new();
    for entry in rest.strip_prefix(MAGIC)?.chunks_exact(ENTRY_BYTES) {
        let (seen, entry) = entry.split_first_chunk::<32>()?;
        let (account, entry) = entry.split_first_chunk::<4>()?;
        let (proof, at) = entry.split_first_chunk::<16>()?;
        let entry = Entry {
            account: AccountId(u32::from_le_bytes(*account)),
            proof: *proof,
            at_ms: i64::from_le_bytes(at.try_into().ok()?),
        };
        entries.insert(*seen, entry);
    }
    Some(entries)
}

fn write(file: &Path, key: &[u8; 32], entries: &HashMap<[u8; 32], Entry>) -> std::io::Result<()> {
    let mut bytes = MAGIC.to_vec();
    for (seen, entry) in entries {
        bytes.extend_from_slice(seen);
        bytes.extend_from_slice(&entry.account.0.to_le_bytes());
        bytes.extend_from_slice(&entry.proof);
        bytes.extend_from_slice(&entry.at_ms.to_le_bytes());
    }
    let mac = blake3::keyed_hash(key, &bytes);
    bytes.extend_from_slice(mac.as_bytes());
    let scratch = file.with_extension("new");
    let _ = std::fs::remove_file(&scratch);
    let mut out = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&scratch)?;
    out.write_all(&bytes)?;
    std::fs::rename(scratch, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(dir: &Path) -> Remember {
        Remember { file: Some(dir.join("logins")), key_file: dir.join("key"), ..Remember::default() }
    }

    #[test]
    fn what_was_verified_is_known_after_a_restart_until_the_credentials_change() {
        let dir = tempfile::tempdir().unwrap();
        let first = Remembered::open(options(dir.path()), 0);
        let (seen, proof) = (first.seen(AccountId(3), "imap", "secret"), first.proof(b"as stored"));
        first.put(seen, AccountId(3), proof, 1_000);
        first.keep();
        let second = Remembered::open(options(dir.path()), 2_000);
        assert_eq!(second.seen(AccountId(3), "imap", "secret"), seen);
        assert!(second.knows(&seen, second.proof(b"as stored"), 2_000));
        assert!(!second.knows(&seen, second.proof(b"changed"), 2_000), "another password since");
        assert!(!second.knows(&second.seen(AccountId(3), "imap", "guess"), proof, 2_000));
        assert!(!second.knows(&second.seen(AccountId(3), "web", "secret"), proof, 2_000));
        assert!(!second.knows(&seen, proof, 8 * 86_400_000), "a week is over");
        second.forget(AccountId(3));
        second.keep();
        assert!(!Remembered::open(options(dir.path()), 2_000).knows(&seen, proof, 2_000));
    }

    #[test]
    fn without_its_key_the_file_says_nothing_and_a_key_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let first = Remembered::open(options(dir.path()), 0);
        first.put(first.seen(AccountId(3), "imap", "secret"), AccountId(3), first.proof(b"x"), 1_000);
        first.keep();
        let bytes = std::fs::read(dir.path().join("logins")).unwrap();
        std::fs::remove_file(dir.path().join("key")).unwrap();
        assert!(Remembered::open(options(dir.path()), 2_000).entries.lock().is_empty());
        let key = dir.path().join("key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
        let third = Remembered::open(options(dir.path()), 2_000);
        assert!(third.file.is_none(), "nothing is written under a key that others know");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            std::fs::write(dir.path().join("logins"), changed).unwrap();
            assert!(read(&dir.path().join("logins"), &first.key).is_none(), "byte {at}");
        }
    }
}
