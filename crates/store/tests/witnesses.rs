//! What tells that the log is not what it was: those who have seen more of it, its chain, its times.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use store::{Clock, RealmId, Seq, Store, StoreError, StoreOptions, rebuild_index};

const ANNA: RealmId = RealmId::account(1);

fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 500, ..StoreOptions::default() }
}

fn write(store: &Store, count: u8, value: u8) {
    for number in 0..count {
        store
            .transact(move |tx| {
                tx.put(ANNA, vec![number], vec![value; 100]);
                Ok::<_, StoreError>(())
            })
            .wait()
            .unwrap();
    }
}

fn made(dir: &Path, count: u8, value: u8) {
    let store = Store::open(dir, options()).unwrap();
    write(&store, count, value);
    store.close();
}

fn segments(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(dir.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn a_log_that_lost_its_end_together_with_the_index_is_damage_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    made(dir.path(), 20, 1);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    for path in segments(dir.path()).iter().rev().take(2) {
        fs::remove_file(path).unwrap();
    }
    let left = segments(dir.path()).len();
    let outcome = Store::open(dir.path(), options()).map(|_| ());
    assert!(matches!(&outcome, Err(StoreError::Damaged { what }) if what.contains("20 has been seen")), "{outcome:?}");
    assert_eq!(segments(dir.path()).len(), left);
}

#[test]
fn a_segment_of_another_log_does_not_pass_for_one_of_this() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    made(dir.path(), 20, 1);
    // The same lengths and seqs, other values: only the chain tells.
    made(other.path(), 20, 2);
    let (mine, theirs) = (segments(dir.path()), segments(other.path()));
    assert!(mine.len() > 4 && mine[3].file_name() == theirs[3].file_name());
    fs::copy(&theirs[3], &mine[3]).unwrap();
    let outcome = rebuild_index(dir.path(), &options(), |_, _, _| ());
    assert!(matches!(&outcome, Err(StoreError::Damaged { what }) if what.contains("does not follow")), "{outcome:?}");
}

#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_of_commits_do_not_go_back_with_the_clock_nor_with_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let hand = Arc::new(Hand(AtomicI64::new(1_000_000)));
    let options = || StoreOptions { clock: hand.clone(), ..options() };
    for now_ms in [1_000_000, 500_000, 400_000] {
        hand.0.store(now_ms, Ordering::SeqCst);
        let store = Store::open(dir.path(), options()).unwrap();
        tokio::task::block_in_place(|| write(&store, 3, 1));
        store.close();
    }
    hand.0.store(1_000_001, Ordering::SeqCst);
    let store = Store::open(dir.path(), options()).unwrap();
    tokio::task::block_in_place(|| write(&store, 1, 2));
    let mut follower = store.follow(Seq(1)).unwrap();
    let mut times = Vec::new();
    for _ in 0..10 {
        times.push(follower.next().await.unwrap().time_ms);
    }
    assert_eq!(times, [&[1_000_000; 9][..], &[1_000_001]].concat());
}
