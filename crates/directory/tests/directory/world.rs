//! A directory with a domain and two accounts, and a clock that jumps.

use std::{
    io,
    net::IpAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
};

use directory::{
    AccountId, AuthError, Directory, DirectoryInvariants, DirectoryOptions, DirectoryPart, Login, LoginAttempt,
    NewAccount, Role, Secret, Service,
};
use mailkit::EmailAddress;
use store::{
    Clock, Invariants as _, RealmId, Store, StoreOptions,
    disk::{Disk, File, RealDisk},
};
use tempfile::TempDir;

pub const PASSWORD: &str = "correct horse battery";
pub const DAY_MS: i64 = 86_400_000;

pub struct Jumping(AtomicI64);

impl Clock for Jumping {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The machine's file system, full at a word.
#[derive(Default)]
pub struct Fillable {
    disk: RealDisk,
    full: AtomicBool,
}

impl Fillable {
    pub fn fill(&self, full: bool) {
        self.full.store(full, Ordering::SeqCst);
    }
}

impl Disk for Fillable {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.create(path)
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        self.disk.open(path)
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.disk.list(dir)
    }
    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.create_dir(dir)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk.remove(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.disk.sync_dir(dir)
    }
    fn free_bytes(&self, dir: &Path) -> io::Result<u64> {
        if self.full.load(Ordering::SeqCst) { Ok(0) } else { self.disk.free_bytes(dir) }
    }
}

pub struct World {
    pub store: Store,
    pub directory: Directory,
    /// The administrator.
    pub anna: AccountId,
    pub bert: AccountId,
    pub disk: Arc<Fillable>,
    clock: Arc<Jumping>,
    _dir: TempDir,
}

pub fn address(text: &str) -> EmailAddress {
    EmailAddress::parse(text).unwrap()
}

pub fn new_account(address_text: &str, role: Role) -> NewAccount {
    NewAccount {
        address: address(address_text),
        name: "Somebody".to_owned(),
        password: PASSWORD.to_owned(),
        role,
        quota_bytes: 0,
    }
}

impl World {
    pub async fn new() -> Self {
        Self::with(DirectoryOptions::default()).await
    }

    pub async fn with(options: DirectoryOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(Jumping(AtomicI64::new(1_800_000_000_000)));
        let disk = Arc::new(Fillable::default());
        let store_options = StoreOptions { clock: clock.clone(), disk: disk.clone(), ..StoreOptions::default() };
        let store = Store::open(dir.path(), store_options).unwrap();
        let below = store.clone();
        let directory = tokio::task::spawn_blocking(move || Directory::new(below, options)).await.unwrap().unwrap();
        assert!(directory.first_run().unwrap());
        directory.add_domain("here.example").await.unwrap();
        let anna = directory.create_account(new_account("anna@here.example", Role::Admin)).await.unwrap();
        let bert = directory.create_account(new_account("bert@here.example", Role::User)).await.unwrap();
        assert!(!directory.first_run().unwrap());
        Self { store, directory, anna, bert, disk, clock, _dir: dir }
    }

    pub fn now_ms(&self) -> i64 {
        self.clock.now_ms()
    }

    pub fn pass_ms(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::Relaxed);
    }

    pub async fn try_login(
        &self,
        login: &str,
        secret: Secret<'_>,
        service: Service,
        peer: &str,
    ) -> Result<Login, AuthError> {
        let peer: IpAddr = peer.parse().unwrap();
        self.directory.authenticate(LoginAttempt { login, secret, peer, service }).await
    }

    /// By IMAP, from one address.
    pub async fn login(&self, login: &str, password: &str) -> Result<Login, AuthError> {
        self.try_login(login, Secret::Password(password), Service::Imap, "192.0.2.1").await
    }

    /// What does not hold.
    pub fn violations(&self) -> Vec<String> {
        let snapshot = self.store.snapshot();
        let shared = DirectoryInvariants.check(RealmId::DIRECTORY, &snapshot).unwrap();
        let mut found: Vec<String> = shared.into_iter().map(|violation| violation.what).collect();
        for account in [self.anna, self.bert] {
            found.extend(realm::RealmPart::check(&DirectoryPart, account.realm(), &snapshot).unwrap());
        }
        found
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.violations(), Vec::<String>::new());
        }
    }
}
