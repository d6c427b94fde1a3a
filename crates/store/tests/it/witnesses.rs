//! What tells that the log is not what it was: those who have seen more of it, its chain, its times.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use store::{Cause, Clock, Part, RealmId, Seq, Store, StoreError, StoreOptions, rebuild_index, repair, verify};

use crate::common::{copy, scratch};

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
    assert!(
        matches!(&outcome, Err(StoreError::Damaged(what)) if (what.part, what.cause) == (Part::Log, Cause::CutOff)),
        "{outcome:?}"
    );
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
    assert!(matches!(&outcome, Err(StoreError::Damaged(what)) if what.cause == Cause::Chain), "{outcome:?}");
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

fn values(store: &Store) -> Vec<Vec<u8>> {
    let snapshot = store.snapshot();
    (0..20)
        .filter_map(|number| store::Read::get(&snapshot, ANNA, &[number]).unwrap())
        .map(|value| value.to_vec())
        .collect()
}

/// The commits that a follower is given from `from` on, until it is told that something is damaged.
fn followed(store: &Store, from: u64) -> (Vec<u64>, Option<StoreError>) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut follower = store.follow(Seq(from)).unwrap();
    let mut seqs = Vec::new();
    while follower.cursor() <= store.seq() {
        match runtime.block_on(follower.next()) {
            Ok(commit) => seqs.push(commit.seq().0),
            Err(error) => return (seqs, Some(error)),
        }
    }
    (seqs, None)
}

/// Bits that flipped in the newest segment, by place: each costs the record that it is in, and nobody is kept out.
#[test]
fn a_flipped_bit_in_the_newest_segment_is_served_around_said_and_given_to_nobody() {
    let whole = || StoreOptions::default();
    let built = scratch();
    let store = Store::open(built.path(), whole()).unwrap();
    write(&store, 20, 1);
    store.close();
    drop(store);
    let len = fs::metadata(&segments(built.path())[0]).unwrap().len() as usize;
    let single: Vec<Vec<usize>> = (0..len).step_by(len / 60).map(|at| vec![at]).chain([vec![len - 1]]).collect();
    let several =
        [vec![100, 900, 2_000], vec![60, len - 5], vec![0, 300], vec![len - 200, len - 190], vec![3, 52, len - 1]];
    for places in single.into_iter().chain(several) {
        let dir = scratch();
        copy(built.path(), dir.path());
        let path = &segments(dir.path())[0];
        let mut bytes = fs::read(path).unwrap();
        for at in &places {
            bytes[*at] ^= 1 << (at % 8);
        }
        fs::write(path, &bytes).unwrap();
        let store = Store::open(dir.path(), whole()).unwrap_or_else(|error| panic!("{places:?}: {error}"));
        assert_eq!((values(&store).len(), store.seq()), (20, Seq(20)), "{places:?}");
        assert_eq!(store.damage().files.len(), 1, "{places:?}: it is said");
        // It goes on, and what comes is in a log that can be read.
        write(&store, 20, 2);
        let (seqs, error) = followed(&store, 21);
        assert_eq!((seqs, error.is_none()), ((21..=40).collect(), true), "{places:?}");
        store.close();
        drop(store);
        let store = Store::open(dir.path(), whole()).unwrap_or_else(|error| panic!("{places:?}, again: {error}"));
        assert!(values(&store) == vec![vec![2; 100]; 20] && store.seq() == Seq(40), "{places:?}");
        assert_eq!(store.damage().files.len(), 1, "{places:?}: it is not forgotten");
        // From the log itself: what is damaged is given to nobody, and what is behind it is.
        let (seqs, error) = followed(&store, 1);
        let header_alone = places.iter().all(|at| *at < 52);
        assert!(header_alone || matches!(&error, Some(StoreError::Damaged { .. })), "{places:?}: {seqs:?} {error:?}");
        let (seqs, error) = followed(&store, 30);
        assert_eq!((seqs, error.is_none()), ((30..=40).collect(), true), "{places:?}");
        store.close();
        drop(store);
        let report = verify(dir.path(), whole(), &[], |_, _, _| ()).unwrap();
        assert!(!report.is_sound() && report.realms == 1, "{places:?}: {report:?}");
        repair(dir.path(), &whole(), |_, _, _| ()).unwrap_or_else(|error| panic!("{places:?}: {error}"));
        let report = verify(dir.path(), whole(), &[], |_, _, _| ()).unwrap();
        assert!(report.is_sound(), "{places:?}: {report:?}");
        let store = Store::open(dir.path(), whole()).unwrap();
        assert!(values(&store) == vec![vec![2; 100]; 20] && store.damage().is_none(), "{places:?}");
    }
}

/// The same in a closed segment: nobody needs it at the start, `verify` names it, and the others can be read.
#[test]
fn a_flipped_bit_in_a_closed_segment_hides_no_other_commit() {
    let built = scratch();
    made(built.path(), 20, 1);
    let count = segments(built.path()).len();
    for which in 0..count - 1 {
        for at in [10, 30, 60, 150, 300] {
            let dir = scratch();
            copy(built.path(), dir.path());
            let path = &segments(dir.path())[which];
            let mut bytes = fs::read(path).unwrap();
            bytes[at] ^= 1;
            fs::write(path, &bytes).unwrap();
            let first: u64 = path.file_stem().unwrap().to_str().unwrap().parse().unwrap();
            let report = verify(dir.path(), options(), &[], |_, _, _| ()).unwrap();
            assert_eq!(report.damage.len(), 1, "{which}, {at}: {:?}", report.damage);
            assert!(report.commits >= 18 && report.realms == 1, "{which}, {at}: {report:?}");
            let store = Store::open(dir.path(), options()).unwrap();
            assert_eq!((values(&store).len(), store.damage().files.len()), (20, 1), "{which}, {at}");
            write(&store, 3, 2);
            let behind = first + 6;
            let (seqs, error) = followed(&store, behind);
            assert_eq!((seqs, error.is_none()), ((behind..=23).collect(), true), "{which}, {at}");
        }
    }
}

/// What is shorter than it was is not served around: whoever saw more of it may have what is missing.
#[test]
fn a_log_that_is_cut_off_stays_as_it_is_until_it_is_repaired() {
    let built = scratch();
    let store = Store::open(built.path(), StoreOptions::default()).unwrap();
    write(&store, 20, 1);
    store.close();
    drop(store);
    let len = fs::metadata(&segments(built.path())[0]).unwrap().len();
    for left in [len - 1, len - 30, len * 2 / 3, 200, 52, 20, 0] {
        let dir = scratch();
        copy(built.path(), dir.path());
        let path = segments(dir.path()).remove(0);
        fs::File::options().write(true).open(&path).unwrap().set_len(left).unwrap();
        let outcome = Store::open(dir.path(), StoreOptions::default()).map(|_| ());
        assert!(matches!(&outcome, Err(StoreError::Damaged { .. })), "{left}: {outcome:?}");
        assert_eq!(fs::metadata(&path).unwrap().len(), left, "nothing is cut off");
        repair(dir.path(), &StoreOptions::default(), |_, _, _| ()).unwrap_or_else(|error| panic!("{left}: {error}"));
        assert_eq!(values(&Store::open(dir.path(), StoreOptions::default()).unwrap()).len(), 20);
    }
}

/// A log with a damaged place, of which the index lacks commits: they are nowhere else.
#[test]
fn damage_in_what_the_index_does_not_have_is_not_served_around() {
    let dir = scratch();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    write(&store, 10, 1);
    store.close();
    drop(store);
    let kept = scratch();
    copy(&dir.path().join("index"), &kept.path().join("index"));
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let ends_at = fs::metadata(&segments(dir.path())[0]).unwrap().len() as usize;
    write(&store, 10, 2);
    store.close();
    drop(store);
    let path = segments(dir.path()).remove(0);
    let built = fs::read(&path).unwrap();
    for at in [ends_at + 50, ends_at + 300, ends_at + 800] {
        let mut bytes = built.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        fs::remove_dir_all(dir.path().join("index")).unwrap();
        copy(&kept.path().join("index"), &dir.path().join("index"));
        let outcome = Store::open(dir.path(), StoreOptions::default()).map(|_| ());
        assert!(matches!(&outcome, Err(StoreError::Damaged { .. })), "{at}: {outcome:?}");
    }
    // What the index does have may be damaged, and what it lacks is taken from behind that.
    let mut bytes = built;
    bytes[300] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    assert!(values(&store)[..10] == vec![vec![2; 100]; 10] && store.damage().files.len() == 1);
}
