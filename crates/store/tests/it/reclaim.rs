//! Bodies that nothing refers to make room; all others stay, whoever does what meanwhile.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use store::{BodyId, Clock, RealmId, Reclaim, Store, StoreError, StoreOptions, rebuild_index, verify};

const ANNA: RealmId = RealmId::account(1);
const DAY_MS: i64 = 86_400_000;
const FAST: Reclaim = Reclaim { live_percent: 60, bytes_per_second: u64::MAX };

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

fn options(hand: &Arc<Hand>) -> StoreOptions {
    StoreOptions {
        segment_bytes: 2_000,
        pack_bytes: 20_000,
        retention: Duration::from_secs(10 * 86_400),
        clock: hand.clone(),
        ..StoreOptions::default()
    }
}

/// Does not get smaller by compression, so that sizes say something.
fn body(number: u32) -> Vec<u8> {
    let mut state = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(2_000).collect()
}

fn keep(store: &Store, number: u32) {
    let staged = store.put_body(&body(number)).unwrap();
    store
        .transact(move |tx| {
            tx.ref_body(ANNA, &staged.id(), &number.to_be_bytes());
            Ok::<_, StoreError>(())
        })
        .wait()
        .unwrap();
}

fn let_go(store: &Store, number: u32) {
    store
        .transact(move |tx| {
            tx.unref_body(ANNA, &BodyId::of(&body(number)), &number.to_be_bytes());
            Ok::<_, StoreError>(())
        })
        .wait()
        .unwrap();
}

fn is_there(store: &Store, number: u32) -> bool {
    match store.body(&BodyId::of(&body(number))).and_then(|mut body| body.read_all()) {
        Ok(bytes) => bytes == body(number),
        Err(StoreError::BodyMissing { .. }) => false,
        Err(error) => panic!("{error}"),
    }
}

/// Moves the log past everything so far.
fn forget_the_past(store: &Store, hand: &Hand) {
    for number in 10_000..10_040 {
        keep(store, number);
    }
    hand.0.fetch_add(20 * DAY_MS, Ordering::SeqCst);
    for number in 10_040..10_043 {
        store.checkpoint(&|| true).unwrap();
        keep(store, number);
    }
    assert!(store.drop_old_log().unwrap().segments > 0);
}

fn packs_bytes(dir: &Path) -> u64 {
    std::fs::read_dir(dir.join("packs")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[test]
fn what_nothing_refers_to_goes_after_the_window_and_everything_else_stays() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand::default());
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    for number in 0..100 {
        keep(&store, number);
    }
    for number in (0..100).filter(|number| number % 10 != 0) {
        let_go(&store, number);
    }
    let young = store.reclaim_bodies(FAST, &|| true).unwrap();
    assert_eq!((young.removed, young.bodies), (0, 0), "the log can still be taken back to where they were");
    assert!((0..100).all(|number| is_there(&store, number)));
    forget_the_past(&store, &hand);
    let before = packs_bytes(dir.path());
    // Someone is reading one that goes, someone has one that goes staged.
    let mut reading = store.body(&BodyId::of(&body(3))).unwrap();
    let staged = store.put_body(&body(4)).unwrap();
    let done = store.reclaim_bodies(FAST, &|| true).unwrap();
    assert!(done.removed >= 8 && done.bodies >= 80, "{done:?}");
    assert!(packs_bytes(dir.path()) < before / 2, "{before} and {}", packs_bytes(dir.path()));
    assert_eq!(reading.read_all().unwrap(), body(3));
    assert!(is_there(&store, 4), "it is staged");
    assert!((0..100).step_by(10).all(|number| is_there(&store, number)));
    let gone = (0..100).filter(|number| !is_there(&store, *number)).count();
    assert_eq!(gone as u64, done.bodies, "those that share a pack with many that are in use stay for now");
    drop(staged);
    keep(&store, 5);
    assert!(is_there(&store, 5), "what went can come again");
    store.close();
    drop(store);
    let damage = verify(dir.path(), options(&hand), &[], |_, _, _| ()).unwrap().damage;
    assert_eq!(damage, []);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let _ = rebuild_index(dir.path(), &options(&hand), |_, _, _| ()).unwrap();
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    assert!((0..100).filter(|number| number % 10 == 0 || *number == 5).all(|number| is_there(&store, number)));
    assert!((10_000..10_040).all(|number| is_there(&store, number)));
}

#[test]
fn a_pack_that_holds_what_is_left_of_a_body_in_use_is_kept_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand::default());
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    for number in 0..30 {
        keep(&store, number);
    }
    for number in (0..29).filter(|number| *number != 1) {
        let_go(&store, number);
    }
    forget_the_past(&store, &hand);
    let pack = dir.path().join("packs/0000000001.pack");
    let mut bytes = std::fs::read(&pack).unwrap();
    // In the second body, which is in use.
    bytes[3_000] ^= 1;
    std::fs::write(&pack, &bytes).unwrap();
    let done = store.reclaim_bodies(FAST, &|| true).unwrap();
    assert_eq!(done.damaged.len(), 1, "{done:?}");
    assert!(done.damaged[0].contains("0000000001.pack") && pack.exists());
    assert!(is_there(&store, 29));
    store.close();
    drop(store);
    // An index that was built anew does not know where that body was; what is left of it stays all the same.
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let _ = rebuild_index(dir.path(), &options(&hand), |_, _, _| ()).unwrap();
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    assert_eq!(store.reclaim_bodies(FAST, &|| true).unwrap().damaged.len(), 1);
    assert!(pack.exists());
}

#[test]
fn what_a_crash_or_damage_left_of_bodies_that_nobody_needs_does_not_keep_their_pack() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand::default());
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    for number in 0..30 {
        keep(&store, number);
    }
    for number in 0..29 {
        let_go(&store, number);
    }
    forget_the_past(&store, &hand);
    let pack = dir.path().join("packs/0000000001.pack");
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[3_000] ^= 1;
    bytes.extend_from_slice(b"HFBD and no more, for the power went");
    std::fs::write(&pack, &bytes).unwrap();
    let done = store.reclaim_bodies(FAST, &|| true).unwrap();
    assert_eq!(done.damaged, Vec::<String>::new());
    assert!(done.removed > 1 && !pack.exists(), "{done:?}");
    assert!(is_there(&store, 29) && !is_there(&store, 1));
    keep(&store, 1);
    assert!(is_there(&store, 1), "what went can come again");
    store.close();
    drop(store);
    let damage = verify(dir.path(), options(&hand), &[], |_, _, _| ()).unwrap().damage;
    assert_eq!(damage, []);
}

#[test]
fn verify_names_a_damaged_body_that_only_the_past_refers_to_and_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand::default());
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    for number in 0..30 {
        keep(&store, number);
    }
    let_go(&store, 1);
    store.close();
    drop(store);
    let pack = dir.path().join("packs/0000000001.pack");
    let mut bytes = std::fs::read(&pack).unwrap();
    bytes[3_000] ^= 1;
    std::fs::write(&pack, &bytes).unwrap();
    let damage = verify(dir.path(), options(&hand), &[], |_, _, _| ()).unwrap().damage;
    let id = BodyId::of(&body(1));
    assert!(damage.len() == 1 && (damage[0].body, damage[0].realm) == (Some(id), None), "{damage:?}");
    // Once nothing can be taken back to it any more, it is nobody's.
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    forget_the_past(&store, &hand);
    store.close();
    drop(store);
    assert_eq!(verify(dir.path(), options(&hand), &[], |_, _, _| ()).unwrap().damage, []);
}

#[test]
fn deliveries_go_on_while_space_is_taken_back_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand::default());
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    for number in 0..200 {
        keep(&store, number);
    }
    for number in 0..200 {
        let_go(&store, number);
    }
    forget_the_past(&store, &hand);
    let stop = AtomicBool::new(false);
    let kept = std::thread::scope(|scope| {
        // The same bodies come in again, just as they are being dropped.
        let deliverer = scope.spawn(|| {
            let mut kept = Vec::new();
            for number in (0..200).cycle() {
                if stop.load(Ordering::SeqCst) && kept.len() > 50 {
                    return kept;
                }
                keep(&store, number);
                kept.push(number);
            }
            kept
        });
        let mut removed = 0;
        for _ in 0..5 {
            removed += store.reclaim_bodies(FAST, &|| true).unwrap().removed;
        }
        stop.store(true, Ordering::SeqCst);
        assert!(removed > 5, "{removed}");
        deliverer.join().unwrap()
    });
    assert!(kept.iter().all(|number| is_there(&store, *number)));
    store.close();
    drop(store);
    let damage = verify(dir.path(), options(&hand), &[], |_, _, _| ()).unwrap().damage;
    assert_eq!(damage, []);
}

#[test]
fn a_run_that_is_given_up_leaves_everything_readable() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand::default());
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    for number in 0..60 {
        keep(&store, number);
    }
    for number in (0..60).filter(|number| number % 3 != 0) {
        let_go(&store, number);
    }
    forget_the_past(&store, &hand);
    for asked in (0..2_000).step_by(97) {
        let count = AtomicI64::new(asked);
        let outcome = store.reclaim_bodies(FAST, &|| count.fetch_sub(1, Ordering::SeqCst) > 0);
        assert!(matches!(outcome, Ok(_) | Err(StoreError::Stopped { .. })), "{outcome:?}");
        assert!((0..60).filter(|number| number % 3 == 0).all(|number| is_there(&store, number)), "{asked}");
    }
}
