//! Reading a realm as it was: at any moment of the window, through everything that keeps the store small.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use store::{BodyId, Clock, Order, Past, Read as _, RealmId, RealmSeq, Reclaim, Store, StoreError, StoreOptions};

const ANNA: RealmId = RealmId::account(1);
const BERT: RealmId = RealmId::account(2);
const HOUR_MS: i64 = 3_600_000;

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

type Records = BTreeMap<Vec<u8>, Vec<u8>>;

fn options(hand: &Arc<Hand>) -> StoreOptions {
    StoreOptions {
        segment_bytes: 4_000,
        pack_bytes: 4_000,
        retention: Duration::from_secs(5 * 86_400),
        clock: hand.clone(),
        ..StoreOptions::default()
    }
}

fn own(past: &Past, realm: RealmId) -> Records {
    // Without references to bodies, which the store names itself.
    let rows = past.prefix(realm, &[], Order::Ascending).unwrap().map(Result::unwrap);
    rows.filter(|(key, _)| key[0] != 0xFF).map(|(key, value)| (key.to_vec(), value.to_vec())).collect()
}

/// The body that a record stands for.
fn body(value: &[u8]) -> Vec<u8> {
    [b"body of ", value].concat()
}

fn put(store: &Store, realm: RealmId, writes: Vec<(Vec<u8>, Option<Vec<u8>>)>) {
    let mut staged = Vec::new();
    for value in writes.iter().filter_map(|(_, value)| value.as_ref()) {
        staged.push(store.put_body(&body(value)).unwrap());
    }
    let keep = staged.clone();
    store
        .transact(move |tx| {
            let mut staged = staged.iter();
            for (key, value) in writes {
                if let Some(old) = tx.get(realm, &key)? {
                    tx.unref_body(realm, &BodyId::of(&body(&old)), &key);
                }
                match value {
                    Some(value) => {
                        tx.ref_body(realm, &staged.next().unwrap().id(), &key);
                        tx.put(realm, key, value);
                    }
                    None => tx.delete(realm, key),
                }
            }
            Ok::<_, StoreError>(())
        })
        .wait()
        .unwrap();
    drop(keep);
}

fn compare(store: &Store, history: &[(i64, Records)], moment_ms: i64, seed: u64) {
    let empty = Records::new();
    let then = history.iter().rfind(|(at, _)| *at <= moment_ms).map_or(&empty, |(_, records)| records);
    let past = store.realm_at(ANNA, moment_ms).unwrap_or_else(|error| panic!("seed {seed}, at {moment_ms}: {error}"));
    assert_eq!(&own(&past, ANNA), then, "seed {seed}, at {moment_ms}");
    for (key, value) in then {
        assert_eq!(past.get(ANNA, key).unwrap().as_deref(), Some(&value[..]));
        let bytes = body(value);
        let read = store.body(&BodyId::of(&bytes)).and_then(|mut body| body.read_all());
        assert_eq!(read.as_deref().ok(), Some(&bytes[..]), "seed {seed}, at {moment_ms}: {read:?}");
    }
    let mut backwards: Vec<_> = past.prefix(ANNA, &[], Order::Descending).unwrap().map(|row| row.unwrap().0).collect();
    backwards.retain(|key| key[0] != 0xFF);
    assert!(backwards.iter().rev().map(|key| key.to_vec()).eq(then.keys().cloned()));
}

#[test]
fn every_moment_of_the_window_reads_as_it_was_and_with_its_bodies() {
    for seed in 0..4 {
        let mut random = StdRng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let hand = Arc::new(Hand::default());
        hand.0.store(1_000 * HOUR_MS, Ordering::SeqCst);
        let mut store = Store::open(dir.path(), options(&hand)).unwrap();
        let mut history: Vec<(i64, Records)> = Vec::new();
        let mut records = Records::new();
        let mut dropped = false;
        for hour in 0..12 * 24 {
            let now = hand.0.fetch_add(HOUR_MS, Ordering::SeqCst) + HOUR_MS;
            let mut writes = Vec::new();
            for _ in 0..random.random_range(0..4) {
                let key = vec![1, random.random_range(0..12)];
                let value = random.random_bool(0.7).then(|| random.random::<[u8; 30]>().to_vec());
                match &value {
                    Some(value) => _ = records.insert(key.clone(), value.clone()),
                    None => _ = records.remove(&key),
                }
                writes.retain(|(other, _)| *other != key);
                writes.push((key, value));
            }
            if !writes.is_empty() {
                put(&store, ANNA, writes);
                history.push((now, records.clone()));
            }
            put(&store, BERT, vec![(vec![1, hour as u8], Some(vec![hour as u8; 40]))]);
            if hour % 24 == 23 {
                store.checkpoint(&|| true).unwrap();
                dropped |= store.drop_old_log().unwrap().segments > 0;
                let all = Reclaim { live_percent: 101, ..Reclaim::default() };
                store.reclaim_bodies(all, &|| true).unwrap();
                if random.random_bool(0.3) {
                    store.close();
                    drop(store);
                    store = Store::open(dir.path(), options(&hand)).unwrap();
                }
                let window = 5 * 24 * HOUR_MS;
                let oldest = (now - window).max(history[0].0 - HOUR_MS);
                compare(&store, &history, oldest, seed);
                for _ in 0..12 {
                    compare(&store, &history, random.random_range(oldest..=now), seed);
                }
            }
        }
        assert!(dropped, "the log never forgot anything: nothing was tested");
        assert!(store.checkpoints().unwrap().len() <= 8, "{:?}", store.checkpoints());
        let start = store.window_start_ms().unwrap();
        compare(&store, &history, start, seed);
        let before = store.realm_at(ANNA, start - 48 * HOUR_MS).err();
        assert!(matches!(before, Some(StoreError::BeforeWindow { .. })), "seed {seed}: {before:?}");
    }
}

fn newest(dir: &Path) -> std::path::PathBuf {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).max().unwrap()
}

#[test]
fn a_past_that_does_not_add_up_is_an_error_that_names_the_realm() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand::default());
    hand.0.store(1_000 * HOUR_MS, Ordering::SeqCst);
    let store = Store::open(dir.path(), StoreOptions { segment_bytes: 64 << 20, ..options(&hand) }).unwrap();
    for number in 0..50u8 {
        hand.0.fetch_add(HOUR_MS, Ordering::SeqCst);
        put(&store, ANNA, vec![(vec![1, number % 5], Some(vec![number; 40]))]);
    }
    let moment = hand.0.load(Ordering::SeqCst) - 20 * HOUR_MS;
    store.realm_at(ANNA, moment).unwrap();
    let log = newest(&dir.path().join("log"));
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    let error = store.realm_at(ANNA, moment).err();
    assert!(matches!(error, Some(StoreError::Damaged { .. })), "{error:?}");
}

#[test]
fn reading_the_past_does_not_hold_up_writers() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand::default());
    hand.0.store(1_000 * HOUR_MS, Ordering::SeqCst);
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    put(&store, ANNA, vec![(vec![1], Some(vec![1]))]);
    hand.0.fetch_add(HOUR_MS, Ordering::SeqCst);
    put(&store, ANNA, vec![(vec![1], Some(vec![2]))]);
    let past = store.realm_at(ANNA, 1_000 * HOUR_MS).unwrap();
    put(&store, ANNA, vec![(vec![1], Some(vec![3])), (vec![2], Some(vec![4]))]);
    assert_eq!(own(&past, ANNA), Records::from([(vec![1], vec![1])]));
    assert_eq!(past.now().get(ANNA, &[1]).unwrap().as_deref(), Some(&[2][..]));
    assert!(past.get(BERT, &[1]).is_err(), "only one realm was asked for");
}

#[test]
fn a_commit_is_found_among_others_of_the_same_millisecond() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand::default());
    hand.0.store(1_000 * HOUR_MS, Ordering::SeqCst);
    let store = Store::open(dir.path(), options(&hand)).unwrap();
    for number in 1..=4u8 {
        put(&store, BERT, vec![(vec![1], Some(vec![number]))]);
        put(&store, ANNA, vec![(vec![1], Some(vec![number]))]);
    }
    let own = |past: &Past| past.get(ANNA, &[1]).unwrap().map(|value| value.to_vec());
    for number in 1..=4u8 {
        let (before, after) = store.realm_around(ANNA, RealmSeq(u64::from(number)), 1_000 * HOUR_MS).unwrap();
        let expected = (number > 1).then(|| vec![number - 1]);
        assert_eq!((own(&before), own(&after)), (expected, Some(vec![number])));
        assert_eq!(after.realm_seq(ANNA), RealmSeq(u64::from(number)));
    }
    assert!(store.realm_around(ANNA, RealmSeq(2), 999 * HOUR_MS).is_err(), "it was not made then");
}

/// What a clock did: minutes that passed, and what it was off by, in minutes, when each commit was made.
type Clocked = (&'static str, &'static [(i64, i64)]);

const CLOCKS: &[Clocked] = &[
    ("right all along", &[(0, 0), (10, 0), (20, 0), (30, 0)]),
    ("two days ahead once", &[(0, 0), (10, 2880), (20, 0), (30, 0), (40, 0)]),
    ("two days ahead for several commits", &[(0, 0), (10, 2880), (11, 2880), (12, 2880), (20, 0), (30, 0)]),
    ("ahead at the very first commit", &[(0, 2880), (10, 0), (20, 0), (30, 0)]),
    ("a month ahead, then an hour, then right", &[(0, 0), (10, 43_200), (20, 60), (30, 0), (40, 0)]),
    ("ahead twice", &[(0, 0), (10, 600), (20, 0), (30, 6000), (40, 0), (50, 0)]),
    ("ahead until the stated time was reached", &[(0, 0), (10, 30), (20, 0), (30, 0), (50, 0), (60, 0)]),
];

#[test]
fn a_clock_that_was_ahead_hides_nothing_that_came_after_it_was_put_right() {
    const MINUTE_MS: i64 = 60_000;
    for (what, commits) in CLOCKS {
        let dir = tempfile::tempdir().unwrap();
        let hand = Arc::new(Hand::default());
        let begin = 1_700_000_000_000;
        let store = Store::open(dir.path(), options(&hand)).unwrap();
        for (number, (minute, off)) in commits.iter().enumerate() {
            hand.0.store(begin + (minute + off) * MINUTE_MS, Ordering::SeqCst);
            put(&store, ANNA, vec![(vec![number as u8], Some(vec![number as u8]))]);
        }
        for (number, (minute, off)) in commits.iter().enumerate().filter(|(_, (_, off))| *off == 0) {
            // A minute later nothing more had happened.
            let past = store.realm_made_at(ANNA, begin + (minute + 1) * MINUTE_MS).unwrap();
            let found = own(&past, ANNA);
            // What was made while the clock was ahead, right after it, may be in it: nobody can tell when that was.
            let least = number + 1;
            let most = least + commits[least..].iter().take_while(|(_, off)| *off != 0).count();
            assert!((least..=most).contains(&found.len()), "{what}, {number} (off by {off}): {}", found.len());
            assert!(found.contains_key(&vec![number as u8]), "{what}, {number}");
            let wrong = commits[..found.len()].iter().any(|(at, off)| at + off > minute + 1);
            assert_eq!(past.mistimed().is_some(), wrong, "{what}, {number}");
        }
    }
}

#[test]
fn a_clock_that_is_behind_the_last_commit_is_told_and_small_adjustments_are_not() {
    for (back_ms, told) in [(0, false), (500, false), (59_000, false), (61_000, true), (2 * 86_400_000, true)] {
        let dir = tempfile::tempdir().unwrap();
        let hand = Arc::new(Hand::default());
        hand.0.store(1_700_000_000_000, Ordering::SeqCst);
        let store = Store::open(dir.path(), options(&hand)).unwrap();
        put(&store, ANNA, vec![(vec![1], Some(vec![1]))]);
        drop(store);
        hand.0.fetch_sub(back_ms, Ordering::SeqCst);
        let store = Store::open(dir.path(), options(&hand)).unwrap();
        assert_eq!(store.clock_behind().is_some(), told, "{back_ms}");
        put(&store, ANNA, vec![(vec![2], Some(vec![2]))]);
        assert_eq!(store.clock_behind().is_some(), told, "{back_ms}: commits still state the later time");
        hand.0.fetch_add(back_ms, Ordering::SeqCst);
        assert_eq!(store.clock_behind(), None);
    }
}
