//! A standby whose disk is full waits for room, and both machines say so.

use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use continuity::standby::{Mode, Primary, PrimaryOptions, Standby, StandbyOptions, StoreOptionsMaker};
use store::{
    Seq, Store, StoreOptions,
    disk::{Disk, File, RealDisk},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::follows;
use crate::world::{World, account, write};

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

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = tokio::time::Instant::now() + Duration::from_secs(120);
    while !holds() {
        assert!(tokio::time::Instant::now() < patience, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_whose_disk_is_full_waits_for_room_and_is_as_good_as_away() {
    for mode in [Mode::Async, Mode::SyncOrDegrade, Mode::SyncOrWait] {
        let world = World::new();
        let store = Store::open(&world.path("primary"), world.options()).unwrap();
        write(&store, account(1), "before", "yes", Some("a message")).await;
        let how = PrimaryOptions { mode, away_after: Duration::from_millis(50) };
        let primary = Primary::open(store.clone(), &store.dir().join("standby"), how).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let end = CancellationToken::new();
        tokio::spawn(primary.clone().serve(listener, end.clone()));
        let disk = Arc::new(Fillable::default());
        let options = StoreOptions { disk: disk.clone(), ..world.options() };
        let made = StoreOptionsMaker(Arc::new(move || options.clone()));
        let options = StandbyOptions { store: made, ..follows(&world, "standby") };
        let (standby, _) = Standby::open(options, Some(&address), Some(&primary.new_code()), false).await.unwrap();
        let running = {
            let (standby, end) = (standby.clone(), end.clone());
            tokio::spawn(async move { standby.run(&end).await })
        };
        until("it has all", || standby.status().applied == store.seq() && primary.has_a_copy()).await;
        let there = || primary.standbys().remove(0);

        disk.fill(true);
        let writing = {
            let store = store.clone();
            tokio::spawn(async move { write(&store, account(1), "meanwhile", "yes", Some("another message")).await })
        };
        until("both say that it is full", || standby.status().full && there().full).await;
        assert!(there().connected && !running.is_finished());
        // The body came before the commit that refers to it.
        until("the primary has more", || standby.status().received < store.seq()).await;
        match mode {
            Mode::SyncOrWait => {
                until("something waits", || primary.waiting().is_some_and(|waiting| waiting.acts > 0)).await;
                assert!(primary.waiting().unwrap().why.contains("its disk is full"));
                assert!(!writing.is_finished(), "nobody else has it");
            }
            _ => assert_eq!(primary.waiting(), None),
        }
        if mode != Mode::SyncOrWait {
            until("it is acknowledged", || writing.is_finished()).await;
        }
        assert_eq!(primary.is_degraded(), mode == Mode::SyncOrDegrade);

        disk.fill(false);
        until("it goes on", || standby.status().applied == store.seq() && !standby.status().full).await;
        until("nothing waits", || writing.is_finished() && primary.waiting().is_none()).await;
        until("the primary knows", || !there().full && !primary.is_degraded()).await;
        writing.await.unwrap();
        assert!(store.seq() > Seq(1));
        end.cancel();
        running.await.unwrap().unwrap();
        store.close();
    }
}
