//! Keys of TLS session tickets (RFC 5077, RFC 8446 §4.6.1) that survive the process: a client that reconnects after a
//! restart resumes its session instead of making a full handshake.
//!
//! A ticket key can decrypt recorded TLS 1.2 sessions whose tickets it sealed, so it must be short-lived. Two secrets
//! are in one small file in memory that is not on disk (`/dev/shm`), readable by its owner only: they are on no disk
//! and in no backup, and are lost when the machine restarts. Every [`PERIOD`] a new secret replaces the newest, and the
//! one before that is overwritten: a ticket is valid for one to two periods. All services of one user share the file;
//! each derives its own keys from the secrets, so that a ticket of one is not valid at another.

use std::{
    fmt,
    fs::File,
    io::{self, Read as _},
    os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use parking_lot::RwLock;
use rustls::server::ProducesTickets;

/// How long a key seals new tickets; for as long again it only opens them.
pub const PERIOD: Duration = Duration::from_secs(24 * 3_600);

const PERIOD_MS: u64 = PERIOD.as_secs() * 1_000;
const MAGIC: &[u8; 8] = b"HFTICK\0\x01";
const SECRET_BYTES: usize = 32;
const RECORD_BYTES: usize = 8 + SECRET_BYTES;
/// The newest secret, and the one before.
const MAX_SECRETS: usize = 2;
const NAME_BYTES: usize = 16;
const SALT_BYTES: usize = 16;

/// Gives the milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Seals and opens session tickets. Share one between all certificates and listeners of a service.
pub struct TicketKeys {
    file: Option<PathBuf>,
    service: Vec<u8>,
    clock: Clock,
    held: RwLock<Held>,
}

impl TicketKeys {
    /// One file for each user of the machine, in memory.
    pub fn default_file() -> PathBuf {
        PathBuf::from(format!("/dev/shm/holdfast-{}.tickets", rustix::process::geteuid().as_raw()))
    }

    /// Keys made of the secrets in `file`, which is made when it is not there. `service` tells services that share the file
    /// apart: the path of the data folder. Where the file can't be used safely (no such folder, or others may read it)
    /// the log says so, and the keys are forgotten with the process.
    pub fn kept_in(file: &Path, service: &[u8]) -> Arc<Self> {
        Self::with_clock(Some(file), service, Arc::new(system_ms))
    }

    /// Keys that are forgotten with the process.
    pub fn in_process() -> Arc<Self> {
        Self::with_clock(None, b"", Arc::new(system_ms))
    }

    /// The same by another clock; without a file the keys are forgotten with the process.
    pub fn with_clock(file: Option<&Path>, service: &[u8], clock: Clock) -> Arc<Self> {
        let this = Self { file: file.map(Path::to_owned), service: service.to_vec(), held: RwLock::default(), clock };
        this.turn(this.now_ms());
        Arc::new(this)
    }

    fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// Takes a new key when it is time: the one in the file, if another process was first.
    fn turn(&self, now_ms: u64) {
        if self.held.read().seals(now_ms) {
            return;
        }
        let mut held = self.held.write();
        if held.seals(now_ms) {
            return;
        }
        let kept = self.file.as_deref().and_then(|file| match kept(file, now_ms) {
            Ok(secrets) => Some(secrets),
            Err(error) => {
                tracing::warn!(%error, "{}: TLS sessions will not survive a restart", file.display());
                None
            }
        });
        let secrets = kept.unwrap_or_else(|| {
            let mut secrets = std::mem::take(&mut held.secrets);
            turned(&mut secrets, now_ms);
            secrets
        });
        held.keys = secrets.iter().map(|secret| Key::of(secret, &self.service)).collect();
        held.secrets = secrets;
    }
}

impl fmt::Debug for TicketKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketKeys({:?}, …)", self.file)
    }
}

impl ProducesTickets for TicketKeys {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        u32::try_from(2 * PERIOD.as_secs()).unwrap_or(u32::MAX)
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.turn(self.now_ms());
        self.held.read().keys.first()?.seal(plain)
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let now_ms = self.now_ms();
        self.turn(now_ms);
        let held = self.held.read();
        let name = ticket.get(..NAME_BYTES)?;
        held.keys.iter().find(|key| key.name == name && key.opens(now_ms))?.open(ticket)
    }
}

fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The newest first.
#[derive(Default)]
struct Held {
    secrets: Vec<Secret>,
    keys: Vec<Key>,
}

impl Held {
    fn seals(&self, now_ms: u64) -> bool {
        self.secrets.first().is_some_and(|secret| secret.is_younger_than(PERIOD_MS, now_ms))
    }
}

#[derive(Clone)]
struct Secret {
    made_ms: u64,
    bytes: [u8; SECRET_BYTES],
}

impl Secret {
    /// One from the future is of no age: the clock was put back.
    const fn is_younger_than(&self, age_ms: u64, now_ms: u64) -> bool {
        self.made_ms <= now_ms && now_ms - self.made_ms < age_ms
    }
}

/// Sees to it that the first secret may seal. Gives whether anything changed.
fn turned(secrets: &mut Vec<Secret>, now_ms: u64) -> bool {
    let before = secrets.len();
    secrets.retain(|secret| secret.is_younger_than(2 * PERIOD_MS, now_ms));
    secrets.truncate(MAX_SECRETS);
    if secrets.first().is_some_and(|newest| newest.is_younger_than(PERIOD_MS, now_ms)) {
        return secrets.len() != before;
    }
    secrets.insert(0, Secret { made_ms: now_ms, bytes: rand::random() });
    secrets.truncate(MAX_SECRETS);
    true
}

/// The secrets in the file, turned if it is time, by one process at a time.
fn kept(path: &Path, now_ms: u64) -> io::Result<Vec<Secret>> {
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(NO_FOLLOW)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() || found.mode() & 0o077 != 0 {
        return Err(io::Error::other("the file must be readable by its owner only: remove it"));
    }
    file.lock()?;
    let mut bytes = Vec::new();
    file.by_ref().take(1_024).read_to_end(&mut bytes)?;
    // Nothing, or nothing of ours: made anew.
    let mut secrets = read(&bytes).unwrap_or_default();
    if turned(&mut secrets, now_ms) {
        let bytes = written(&secrets);
        // In place, so that what is over is overwritten.
        file.write_all_at(&bytes, 0)?;
        file.set_len(bytes.len() as u64)?;
    }
    Ok(secrets)
}

/// `O_NOFOLLOW`.
const NO_FOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits() as i32;

fn read(bytes: &[u8]) -> Option<Vec<Secret>> {
    let records = bytes.strip_prefix(MAGIC)?;
    if records.len() % RECORD_BYTES != 0 {
        return None;
    }
    let record = |record: &[u8]| {
        let (made, secret) = record.split_first_chunk::<8>()?;
        Some(Secret { made_ms: u64::from_le_bytes(*made), bytes: secret.try_into().ok()? })
    };
    records.chunks(RECORD_BYTES).map(record).collect()
}

fn written(secrets: &[Secret]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for secret in secrets {
        bytes.extend_from_slice(&secret.made_ms.to_le_bytes());
        bytes.extend_from_slice(&secret.bytes);
    }
    bytes
}

/// A service's keys derived from a secret.
struct Key {
    name: [u8; NAME_BYTES],
    key: [u8; 32],
    secret: Secret,
}

impl Key {
    fn of(secret: &Secret, service: &[u8]) -> Self {
        let own = blake3::keyed_hash(&secret.bytes, service);
        let name = blake3::keyed_hash(own.as_bytes(), b"name of the key");
        let key = blake3::keyed_hash(own.as_bytes(), b"key of the tickets");
        let mut this = Self { name: [0; NAME_BYTES], key: *key.as_bytes(), secret: secret.clone() };
        this.name.copy_from_slice(&name.as_bytes()[..NAME_BYTES]);
        this
    }

    const fn opens(&self, now_ms: u64) -> bool {
        self.secret.is_younger_than(2 * PERIOD_MS, now_ms)
    }

    /// Each ticket has a key of its own, made of a random salt: no nonce can come twice under one key.
    fn cipher(&self, head: &[u8]) -> Option<LessSafeKey> {
        let key = blake3::keyed_hash(&self.key, head);
        UnboundKey::new(&AES_256_GCM, key.as_bytes()).ok().map(LessSafeKey::new)
    }

    /// The key's name, the salt, and what they seal.
    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut ticket = [self.name.as_slice(), &rand::random::<[u8; SALT_BYTES]>()].concat();
        let mut sealed = plain.to_vec();
        let (nonce, aad) = (Nonce::assume_unique_for_key([0; 12]), Aad::from(ticket.as_slice()));
        self.cipher(&ticket)?.seal_in_place_append_tag(nonce, aad, &mut sealed).ok()?;
        ticket.append(&mut sealed);
        Some(ticket)
    }

    fn open(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        let (head, sealed) = ticket.split_at_checked(NAME_BYTES + SALT_BYTES)?;
        let mut sealed = sealed.to_vec();
        let nonce = Nonce::assume_unique_for_key([0; 12]);
        let plain = self.cipher(head)?.open_in_place(nonce, Aad::from(head), &mut sealed).ok()?;
        Some(plain.to_vec())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    struct World {
        dir: tempfile::TempDir,
        now: Arc<AtomicU64>,
    }

    impl World {
        fn new() -> Self {
            Self { dir: tempfile::tempdir().unwrap(), now: Arc::new(AtomicU64::new(1_000_000_000_000)) }
        }

        fn file(&self) -> PathBuf {
            self.dir.path().join("tickets")
        }

        /// As a process that starts now has them.
        fn keys(&self, service: &str) -> Arc<TicketKeys> {
            let now = self.now.clone();
            let clock: Clock = Arc::new(move || now.load(Ordering::Relaxed));
            TicketKeys::with_clock(Some(&self.file()), service.as_bytes(), clock)
        }

        fn pass(&self, time: Duration) {
            self.now.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
        }
    }

    #[test]
    fn a_ticket_is_good_for_one_to_two_periods_whatever_process_opens_it() {
        let world = World::new();
        let first = world.keys("a");
        world.pass(PERIOD / 2);
        let ticket = first.encrypt(b"session").unwrap();
        drop(first);
        assert_eq!(world.keys("a").decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        let running = world.keys("a");
        world.pass(PERIOD);
        assert_eq!(running.decrypt(&ticket).as_deref(), Some(&b"session"[..]), "its key only opens now");
        let newer = running.encrypt(b"session").unwrap();
        assert_ne!(newer[..NAME_BYTES], ticket[..NAME_BYTES], "another key seals");
        assert_eq!(world.keys("a").decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        world.pass(PERIOD / 2);
        for keys in [running, world.keys("a")] {
            assert_eq!(keys.decrypt(&ticket), None, "its key is gone");
            assert_eq!(keys.decrypt(&newer).as_deref(), Some(&b"session"[..]));
        }
    }

    #[test]
    fn a_key_that_was_rotated_out_is_nowhere_any_more() {
        let world = World::new();
        let keys = world.keys("a");
        let secret = keys.held.read().secrets[0].bytes;
        let has = || std::fs::read(world.file()).unwrap().windows(SECRET_BYTES).any(|bytes| bytes == secret);
        assert!(has());
        world.pass(PERIOD);
        keys.encrypt(b"").unwrap();
        assert!(has());
        world.pass(PERIOD);
        keys.encrypt(b"").unwrap();
        assert!(!has());
        assert!(keys.held.read().secrets.iter().all(|held| held.bytes != secret));
        world.pass(9 * PERIOD);
        keys.encrypt(b"").unwrap();
        assert_eq!(std::fs::metadata(world.file()).unwrap().len() as usize, MAGIC.len() + RECORD_BYTES);
    }

    #[test]
    fn without_the_file_and_after_a_step_back_of_the_clock_no_old_ticket_is_good() {
        let world = World::new();
        let ticket = world.keys("a").encrypt(b"session").unwrap();
        assert_eq!(world.keys("b").decrypt(&ticket), None, "another service's");
        world.now.fetch_sub(1, Ordering::Relaxed);
        assert_eq!(world.keys("a").decrypt(&ticket), None, "sealed in the future");
        world.pass(Duration::from_millis(1));
        let ticket = world.keys("a").encrypt(b"session").unwrap();
        std::fs::remove_file(world.file()).unwrap();
        assert_eq!(world.keys("a").decrypt(&ticket), None);
    }

    #[test]
    fn a_changed_ticket_opens_nothing() {
        let keys = TicketKeys::in_process();
        let ticket = keys.encrypt(b"session").unwrap();
        assert!(keys.decrypt(&ticket).is_some());
        for at in 0..ticket.len() {
            let mut changed = ticket.clone();
            changed[at] ^= 1;
            assert_eq!(keys.decrypt(&changed), None, "byte {at}");
            assert_eq!(keys.decrypt(&ticket[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_file_that_others_can_read_is_not_used_and_one_that_makes_no_sense_is_made_anew() {
        let world = World::new();
        let _ = world.keys("a");
        std::fs::write(world.file(), b"HFTICK\0\x01 something else").unwrap();
        let ticket = world.keys("a").encrypt(b"session").unwrap();
        assert!(world.keys("a").decrypt(&ticket).is_some());
        let before = std::fs::read(world.file()).unwrap();
        std::fs::set_permissions(world.file(), std::fs::Permissions::from_mode(0o640)).unwrap();
        let keys = world.keys("a");
        assert_eq!(keys.decrypt(&ticket), None);
        let own = keys.encrypt(b"session").unwrap();
        assert!(keys.decrypt(&own).is_some());
        assert_eq!(std::fs::read(world.file()).unwrap(), before, "nothing is put where others read");
        std::fs::remove_file(world.file()).unwrap();
        std::os::unix::fs::symlink(world.dir.path().join("elsewhere"), world.file()).unwrap();
        assert!(world.keys("a").encrypt(b"").is_some());
        assert!(!world.dir.path().join("elsewhere").exists());
    }

    #[test]
    fn processes_that_turn_at_once_agree() {
        let world = World::new();
        let before: Vec<_> = (0..8).map(|_| world.keys("a")).collect();
        world.pass(PERIOD);
        let tickets: Vec<Vec<u8>> = std::thread::scope(|scope| {
            let sealing: Vec<_> = before.iter().map(|keys| scope.spawn(|| keys.encrypt(b"session").unwrap())).collect();
            sealing.into_iter().map(|one| one.join().unwrap()).collect()
        });
        for keys in &before {
            assert!(tickets.iter().all(|ticket| keys.decrypt(ticket).is_some()));
        }
    }
}
