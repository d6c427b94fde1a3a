//! Moments that hardly ever come: what happens in the middle of a group.

use std::{path::Path, sync::Arc};

use super::{
    disk::{Fault, SimDisk},
    gate::{Gate, GatedDisk},
    index::SimIndex,
};
use crate::{BodyId, Read as _, RealmId, Reclaim, Store, StoreError, StoreOptions, Ticket, disk::Disk};

const ANNA: RealmId = RealmId::account(1);

fn open(disk: Arc<dyn Disk>, index: Arc<SimIndex>) -> Store {
    let options = StoreOptions { disk, pack_bytes: 100, ..StoreOptions::default() };
    super::open(options, index).unwrap_or_else(|error| panic!("{error}"))
}

fn put(store: &Store, key: u8) -> Ticket<(), StoreError> {
    store.transact(move |tx| {
        tx.put(ANNA, vec![key], vec![key]);
        Ok::<_, StoreError>(())
    })
}

fn keep(store: &Store, bytes: &[u8]) -> Ticket<(), StoreError> {
    let staged = store.put_body(bytes).unwrap();
    store.transact(move |tx| {
        tx.ref_body(ANNA, &staged.id(), b"owner");
        Ok::<_, StoreError>(())
    })
}

#[test]
fn a_body_whose_commit_is_being_made_is_not_taken_for_unused() {
    let gate = Gate::new();
    let disk = GatedDisk { disk: SimDisk::new(1), gate: gate.clone() };
    let store = open(Arc::new(disk), Arc::default());
    let bytes = [7; 400];
    gate.shut();
    let ticket = keep(&store, &bytes);
    gate.wait_reached();
    // Its pack is closed by the next body; nothing but the commit that is being made refers to it.
    let _next = store.put_body(&[8; 400]).unwrap();
    std::thread::scope(|scope| {
        let reclaim = scope.spawn(|| {
            let how = Reclaim { live_percent: 100, bytes_per_second: u64::MAX };
            store.reclaim_bodies(how, &|| true)
        });
        while !store.inner.writer.has_task_waiting() && !reclaim.is_finished() {
            std::thread::yield_now();
        }
        gate.open();
        reclaim.join().unwrap().unwrap();
    });
    ticket.wait().unwrap();
    assert_eq!(store.body(&BodyId::of(&bytes)).unwrap().read_all().unwrap(), bytes[..]);
}

#[test]
fn who_is_fenced_acknowledges_nothing_not_even_what_is_being_made() {
    for gated in [false, true] {
        let gate = Gate::new();
        let disk = GatedDisk { disk: SimDisk::new(1), gate: gate.clone() };
        let store = open(Arc::new(disk), Arc::default());
        store.hold_acknowledgements(gated);
        gate.shut();
        let ticket = put(&store, 1);
        gate.wait_reached();
        store.inner.writer.halt("another machine is the primary");
        gate.open();
        let outcome = ticket.wait();
        assert!(matches!(outcome, Err(StoreError::Stopped { .. })), "{outcome:?}");
    }
}

#[test]
fn after_a_failed_sync_of_bodies_alone_nothing_is_acknowledged() {
    let disk = SimDisk::new(1);
    let store = open(Arc::new(disk.clone()), Arc::default());
    put(&store, 1).wait().unwrap();
    let staged = store.put_body(b"a body").unwrap();
    disk.plan(0, Fault::Broken);
    assert!(matches!(store.sync_bodies(), Err(StoreError::Stopped { .. })));
    // The next sync would succeed, and the body would not be there.
    let outcome = store
        .transact(move |tx| {
            tx.ref_body(ANNA, &staged.id(), b"owner");
            Ok::<_, StoreError>(())
        })
        .wait();
    assert!(matches!(outcome, Err(StoreError::Stopped { .. })), "{outcome:?}");
    assert!(store.stopped().is_some());
}

#[test]
fn a_writer_that_fails_inside_keeps_nobody_waiting_and_says_that_it_has_stopped() {
    let index = Arc::new(SimIndex::default());
    let store = open(Arc::new(SimDisk::new(1)), index.clone());
    put(&store, 1).wait().unwrap();
    index.panic_at_the_next_batch();
    assert!(matches!(put(&store, 2).wait(), Err(StoreError::Stopped { .. })));
    assert!(matches!(put(&store, 3).wait(), Err(StoreError::Stopped { .. })));
    assert!(matches!(store.sync_bodies(), Err(StoreError::Stopped { .. })));
    assert!(store.stopped().is_some_and(|reason| reason.contains("the writer failed")));
    assert_eq!(store.snapshot().get(ANNA, &[1]).unwrap().as_deref(), Some(&[1][..]), "reading goes on");
    store.close();
}

#[test]
fn a_body_that_can_not_be_read_right_now_is_not_taken_for_one_that_is_not_there() {
    let disk = SimDisk::new(1);
    let index = Arc::new(SimIndex::default());
    let store = open(Arc::new(disk.clone()), index.clone());
    keep(&store, b"a body").wait().unwrap();
    drop(store);
    // The index forgets all of it, so that the packs are looked through.
    let index = Arc::new(SimIndex::default());
    disk.unreadable(Path::new("/store/packs/0000000001.pack"), true);
    let options = || StoreOptions { disk: Arc::new(disk.clone()), ..StoreOptions::default() };
    let outcome = super::open(options(), index.clone()).map(|_| ());
    assert!(matches!(outcome, Err(StoreError::Io { .. })), "{outcome:?}");
    disk.unreadable(Path::new("/store/packs/0000000001.pack"), false);
    let store = open(Arc::new(disk), index);
    assert_eq!(store.body(&BodyId::of(b"a body")).unwrap().read_all().unwrap(), b"a body"[..]);
}

#[tokio::test]
async fn a_follower_that_is_overtaken_by_the_dropping_of_old_log_is_told_so() {
    let disk = SimDisk::new(1);
    let options = StoreOptions { disk: Arc::new(disk.clone()), segment_bytes: 200, ..StoreOptions::default() };
    let index = Arc::new(SimIndex::default());
    let store = super::open(options, index).unwrap();
    // More than are kept in memory.
    for number in 0..1_100_u32 {
        put(&store, (number % 100) as u8).await.unwrap();
    }
    let mut follower = store.follow(crate::Seq(1)).unwrap();
    assert_eq!(follower.next().await.unwrap().seq(), crate::Seq(1));
    for name in disk.list(Path::new("/store/log")).unwrap().iter().take(20) {
        disk.remove(&Path::new("/store/log").join(name)).unwrap();
    }
    loop {
        match follower.next().await {
            Ok(_) => {}
            Err(error) => {
                assert!(matches!(error, StoreError::NotRetained { .. }), "{error:?}");
                break;
            }
        }
    }
}
