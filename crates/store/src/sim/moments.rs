//! Rare situations: events in the middle of a group commit.

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
        // It may be durable here, and counts nowhere: neither yes nor no would be known to be true.
        assert!(matches!(outcome, Err(StoreError::Unknown { .. })), "{outcome:?}");
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
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new(1));
    let store = open(disk.clone(), index.clone());
    put(&store, 1).wait().unwrap();
    index.panic_at_the_next_batch();
    // The log has it: whatever becomes of the index, it is done.
    put(&store, 2).wait().unwrap();
    assert!(matches!(put(&store, 3).wait(), Err(StoreError::Stopped { .. })));
    assert!(matches!(store.sync_bodies(), Err(StoreError::Stopped { .. })));
    assert!(store.stopped().is_some_and(|reason| reason.contains("the index did not store commit 2")));
    assert_eq!(store.snapshot().get(ANNA, &[1]).unwrap().as_deref(), Some(&[1][..]), "reading goes on");
    store.close();
    drop(store);
    let store = open(disk, index);
    assert_eq!(store.snapshot().get(ANNA, &[2]).unwrap().as_deref(), Some(&[2][..]), "and it is there after a restart");
    assert_eq!(store.snapshot().get(ANNA, &[3]).unwrap(), None, "what was refused is not");
}

/// A log segment that somebody removed, or put another file in place of, while it is written to.
#[test]
fn a_log_segment_that_is_removed_while_it_is_written_to_is_put_back_before_anything_is_acknowledged() {
    let path = Path::new("/store/log/00000000000000000001.log");
    for replaced in [false, true] {
        let disk = SimDisk::new(1);
        let index = Arc::new(SimIndex::default());
        let store = open(Arc::new(disk.clone()), index.clone());
        put(&store, 1).wait().unwrap();
        disk.remove(path).unwrap();
        if replaced {
            disk.create(path).unwrap().write_at(b"something else", 0).unwrap();
        }
        put(&store, 2).wait().unwrap();
        assert_eq!(store.damage().files.len(), 1, "it is said");
        drop(store);
        // The index is lost: all must be in the log.
        let store = open(Arc::new(disk.after_power_loss()), Arc::default());
        for key in [1, 2] {
            assert_eq!(store.snapshot().get(ANNA, &[key]).unwrap().as_deref(), Some(&[key][..]), "{replaced}");
        }
    }
}

#[test]
fn a_pack_that_is_removed_while_it_is_written_to_stops_the_store_and_its_bodies_are_kept() {
    let path = Path::new("/store/packs/0000000001.pack");
    let disk = SimDisk::new(1);
    let index = Arc::new(SimIndex::default());
    let store = open(Arc::new(disk.clone()), index.clone());
    keep(&store, b"one").wait().unwrap();
    disk.remove(path).unwrap();
    let outcome = keep(&store, b"two").wait();
    assert!(matches!(outcome, Err(StoreError::Stopped { .. })), "{outcome:?}");
    assert!(store.stopped().is_some_and(|reason| reason.contains("pack")));
    drop(store);
    let store = open(Arc::new(disk), index);
    assert_eq!(store.body(&BodyId::of(b"one")).unwrap().read_all().unwrap(), b"one"[..]);
}

#[test]
fn what_is_removed_while_nothing_is_written_is_noticed_by_looking() {
    let disk = SimDisk::new(1);
    let index = Arc::new(SimIndex::default());
    let store = open(Arc::new(disk.clone()), index.clone());
    let noise = |number: u8| (0..13).flat_map(|part| *BodyId::of(&[number, part]).as_bytes()).collect::<Vec<u8>>();
    keep(&store, &noise(7)).wait().unwrap();
    keep(&store, &noise(8)).wait().unwrap();
    store.look_around();
    assert!(store.damage().is_none() && store.stopped().is_none());
    // A closed pack: put back, and said.
    disk.remove(Path::new("/store/packs/0000000001.pack")).unwrap();
    store.look_around();
    assert!(store.damage().files.len() == 1 && store.stopped().is_none(), "{:?}", store.damage());
    disk.remove(Path::new("/store/log/00000000000000000001.log")).unwrap();
    store.look_around();
    assert!(store.damage().files.len() == 2 && store.stopped().is_none(), "{:?}", store.damage());
    drop(store);
    let store = open(Arc::new(disk), index);
    assert_eq!(store.body(&BodyId::of(&noise(7))).unwrap().read_all().unwrap(), noise(7));
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
