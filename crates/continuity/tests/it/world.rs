//! A store, an archive beside it, and a clock that the test sets.

use std::{
    ops::Bound,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use continuity::archive::{
    codec::{Identities, Recipients, new_identity},
    line::Line,
    restore::{At, Restored, Wish, restore},
    ship::Shipper,
    snapshot::{Snapshotter, Taken},
    target::{Target, TargetOptions},
};
use store::{BodyId, Clock, Order, Read as _, RealmId, Restore, Store, StoreError, StoreOptions};
use tokio_util::sync::CancellationToken;

/// The time as the test sets it.
pub struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

pub struct World {
    pub dir: tempfile::TempDir,
    pub clock: Arc<TestClock>,
    pub recipients: Recipients,
    pub identities: Identities,
}

impl World {
    pub fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (text, recipient) = new_identity();
        std::fs::write(dir.path().join("identity"), text).unwrap();
        let identities = Identities::read(&dir.path().join("identity")).unwrap();
        let clock = Arc::new(TestClock(AtomicI64::new(1_767_225_600_000)));
        Self { dir, clock, recipients: Recipients::parse(&[recipient]).unwrap(), identities }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Copies a folder as it is.
    pub fn copy(&self, from: &str, to: &str) {
        let copied = Command::new("cp").arg("-r").args([self.path(from), self.path(to)]).status().unwrap();
        assert!(copied.success());
    }

    pub fn pass(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub fn options(&self) -> StoreOptions {
        StoreOptions { clock: self.clock.clone(), ..StoreOptions::default() }
    }

    pub fn open(&self, name: &str) -> Store {
        Store::open(&self.path(name), self.options()).unwrap()
    }

    pub fn target(&self) -> Target {
        let url = format!("file://{}", self.path("target").display());
        Target::open(&TargetOptions { name: "here".into(), url, ..TargetOptions::default() }).unwrap()
    }

    pub fn shipper(&self, store: &Store) -> Shipper {
        let line = Line::open(store.dir(), self.clock.now_ms()).unwrap();
        Shipper::new(store.clone(), self.target(), self.recipients.clone(), line, Duration::from_millis(1))
    }

    pub fn snapshotter(&self, store: &Store) -> Snapshotter {
        Snapshotter {
            store: store.clone(),
            target: self.target(),
            recipients: self.recipients.clone(),
            identities: Some(self.identities.clone()),
            line: Line::open(store.dir(), self.clock.now_ms()).unwrap(),
        }
    }

    pub async fn snapshot(&self, store: &Store) -> Taken {
        self.snapshotter(store).take(&|_| {}, &CancellationToken::new()).await.unwrap()
    }

    pub fn wish(&self, to: &str) -> Wish {
        Wish {
            target: self.target(),
            identities: self.identities.clone(),
            dir: self.path(to),
            options: self.options(),
            at: At::Last,
            line: None,
            without_damaged: false,
            signed_by: Vec::new(),
        }
    }

    pub async fn restore(&self, to: &str, at_ms: Option<i64>) -> Restored {
        let restored = restore(&Wish { at: At::from(at_ms), ..self.wish(to) }, &|_| {}).await.unwrap();
        Restore::done(&restored.store).unwrap();
        restored
    }

    /// The objects of a folder of the archive, as files.
    pub fn objects(&self, folder: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path("target").join(folder)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() { folders.push(path) } else { found.push(path) }
            }
        }
        found.sort();
        found
    }
}

pub fn account(number: u32) -> RealmId {
    RealmId::account(number)
}

pub async fn write(store: &Store, realm: RealmId, key: &str, value: &str, body: Option<&str>) -> Option<BodyId> {
    let (key, value, store2) = (key.as_bytes().to_vec(), value.as_bytes().to_vec(), store.clone());
    let staged = body.map(|body| store2.put_body(body.as_bytes()).unwrap());
    let id = staged.as_ref().map(store::StagedBody::id);
    store
        .transact(move |tx| {
            if let Some(body) = &staged {
                tx.ref_body(realm, &body.id(), &key);
            }
            tx.put(realm, key, value);
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    id
}

pub type Records = Vec<(Vec<u8>, Vec<u8>)>;

pub fn records(store: &Store, realm: RealmId) -> Records {
    let snapshot = store.snapshot();
    let rows = snapshot.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap();
    rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

pub fn all(store: &Store) -> Vec<(RealmId, Records)> {
    store.realms().into_iter().map(|realm| (realm, records(store, realm))).collect()
}

/// Closes a restored store and checks all of it.
pub async fn assert_sound(world: &World, dir: &Path, store: Store) {
    store.close();
    drop(store);
    let (dir, options) = (dir.to_owned(), world.options());
    let report = tokio::task::spawn_blocking(move || store::verify(&dir, options, &[], |_, _, _| {}));
    let report = report.await.unwrap().unwrap();
    assert!(report.is_sound(), "{:?}", report.damage);
}

/// Some accounts with mail, and more after the snapshot.
pub async fn busy(world: &World) -> Store {
    let store = world.open("primary");
    for number in 0..5 {
        for message in 0..20 {
            let text = format!("message {message} of {number}: {}", "text ".repeat(message * 40));
            write(&store, account(number), &format!("m{message:03}"), "seen", Some(&text)).await;
            world.pass(1000);
        }
    }
    store
}
