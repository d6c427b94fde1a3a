//! A store made from what is kept elsewhere is a store like any other.

use std::{ops::Bound, path::Path};

use store::{
    BodyId, Commit, Order, Read as _, RealmId, Restore, Result, Seq, Store, StoreError, StoreOptions,
    log::{RunWriter, read_run},
};

use crate::common::run;

const ONE: RealmId = RealmId::account(1);
const TWO: RealmId = RealmId::account(2);

fn write(store: &Store, realm: RealmId, key: &str, value: &str, body: Option<&[u8]>) {
    let staged = body.map(|bytes| store.put_body(bytes).unwrap());
    let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    store
        .transact(move |tx| {
            tx.put(realm, key, value);
            if let Some(body) = &staged {
                tx.ref_body(realm, &body.id(), b"");
            }
            Ok::<_, StoreError>(())
        })
        .wait()
        .unwrap();
}

type Records = Vec<(Vec<u8>, Vec<u8>)>;

fn records(store: &Store, realm: RealmId) -> Records {
    let snapshot = store.snapshot();
    let rows = snapshot.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap();
    rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

struct Source {
    store: Store,
    base: Vec<(RealmId, store::RealmSeq, store::Digest, Records)>,
    base_seq: Seq,
}

fn source(dir: &Path) -> Source {
    let store = Store::open(dir, StoreOptions::default()).unwrap();
    write(&store, ONE, "a", "1", Some(b"the first body"));
    write(&store, TWO, "b", "2", None);
    let snapshot = store.snapshot();
    let base = store
        .realms()
        .into_iter()
        .map(|realm| (realm, snapshot.realm_seq(realm), snapshot.digest(realm).unwrap(), records(&store, realm)))
        .collect();
    let base_seq = snapshot.seq().unwrap();
    write(&store, ONE, "a", "3", None);
    write(&store, ONE, "c", "4", Some(b"the second body"));
    Source { store, base, base_seq }
}

fn fill(restore: &Restore, source: &Source) -> [u8; 32] {
    for (realm, seq, digest, records) in &source.base {
        restore.realm(*realm, *seq, *digest, records.iter().cloned().map(Ok::<_, StoreError>)).unwrap();
    }
    let (commits, chain) = run(&source.store, Seq(source.base_seq.0 + 1));
    for commit in commits {
        for part in &commit.realms {
            restore.apply(commit.seq(), part).unwrap();
        }
    }
    chain
}

#[test]
fn records_commits_and_bodies_make_the_same_store_again() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = source(from.path());
    let mut restore = Restore::begin(to.path(), StoreOptions::default(), "a test").unwrap();
    let chain = fill(&restore, &source);
    let bodies = restore.bodies().unwrap();
    assert_eq!(bodies.len(), 2);
    for id in bodies.keys() {
        assert!(!restore.has_body(id).unwrap());
        let bytes = source.store.body(id).unwrap().read_all().unwrap();
        assert_eq!(restore.put_body(&bytes).unwrap(), *id);
        assert!(restore.has_body(id).unwrap());
    }
    let store = restore.finish(source.store.seq(), chain, 2).unwrap();
    assert!(matches!(Store::open(to.path(), StoreOptions::default()), Err(StoreError::Locked { .. })));
    store.close();
    drop(store);
    assert!(matches!(Store::open(to.path(), StoreOptions::default()), Err(StoreError::Unfinished { .. })));
    std::fs::remove_file(to.path().join("restoring")).unwrap();

    let report = store::verify(to.path(), StoreOptions::default(), &[], |_, _, _| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.damage);
    assert_eq!(report.bodies, 2);
    let store = Store::open(to.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.seq(), source.store.seq());
    for realm in [ONE, TWO] {
        assert_eq!(records(&store, realm), records(&source.store, realm));
        assert_eq!(store.snapshot().digest(realm).unwrap(), source.store.snapshot().digest(realm).unwrap());
    }
    write(&store, TWO, "b", "5", None);
    let (commits, _) = run(&store, store.seq());
    assert_eq!(commits[0].epoch, 2, "whose commits these are must tell");
    store.close();
    drop(store);
    let rebuilt = store::rebuild_index(to.path(), &StoreOptions::default(), |_, _, _| {}).unwrap();
    assert_eq!((rebuilt.checkpoint, rebuilt.commits), (Some(source.store.seq()), 1));
    let store = Store::open(to.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.snapshot().epoch().unwrap(), 2);
}

#[test]
fn a_restore_that_was_cut_off_goes_on_and_keeps_the_bodies_it_had() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = source(from.path());
    let mut restore = Restore::begin(to.path(), StoreOptions::default(), "a test").unwrap();
    fill(&restore, &source);
    restore.put_body(b"the first body").unwrap();
    drop(restore);
    assert!(Restore::begin(to.path(), StoreOptions::default(), "another").is_err());
    let mut restore = Restore::begin(to.path(), StoreOptions::default(), "a test").unwrap();
    assert!(restore.bodies().unwrap().is_empty(), "records are begun anew");
    let chain = fill(&restore, &source);
    assert!(restore.has_body(&BodyId::of(b"the first body")).unwrap());
    restore.put_body(b"the second body").unwrap();
    let store = restore.finish(source.store.seq(), chain, 2).unwrap();
    Restore::done(&store).unwrap();
    store.close();
    drop(store);
    let report = store::verify(to.path(), StoreOptions::default(), &[], |_, _, _| {}).unwrap();
    assert!(report.is_sound(), "{:?}", report.damage);
}

#[test]
fn records_that_do_not_add_up_are_refused_by_realm() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = source(from.path());
    let restore = Restore::begin(to.path(), StoreOptions::default(), "a test").unwrap();
    let (realm, seq, digest, records) = &source.base[0];
    let mut wrong = records.clone();
    wrong[0].1.push(b'!');
    let refused = restore.realm(*realm, *seq, *digest, wrong.into_iter().map(Ok::<_, StoreError>)).unwrap_err();
    assert!(refused.to_string().contains(&realm.to_string()), "{refused}");
    restore.realm(*realm, *seq, *digest, records.iter().cloned().map(Ok::<_, StoreError>)).unwrap();
}

#[test]
fn a_folder_that_holds_a_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    source(dir.path()).store.close();
    let refused = Restore::begin(dir.path(), StoreOptions::default(), "a test").map(drop).unwrap_err();
    assert!(refused.to_string().contains("empty folder"), "{refused}");
    assert!(Store::open(dir.path(), StoreOptions::default()).is_ok());
}

#[test]
fn a_run_with_one_flipped_bit_is_refused() {
    let mut writer = RunWriter::new(Seq(1), [0; 32]);
    for seq in 1..=3 {
        writer.push(&Commit { seq_raw: seq, epoch: 1, time_ms: 5, ..Commit::default() }).unwrap();
    }
    assert!(writer.push(&Commit { seq_raw: 9, ..Commit::default() }).is_err());
    let bytes = writer.finish();
    let read = |bytes: Vec<u8>| -> Result<usize> {
        let mut count = 0;
        read_run(bytes, |_, _| {
            count += 1;
            Ok(())
        })
        .map(|_| count)
    };
    assert_eq!(read(bytes.clone()).unwrap(), 3);
    for byte in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[byte] ^= 1 << (byte % 8);
        assert!(read(damaged).is_err(), "byte {byte}");
    }
    for len in 0..bytes.len() {
        assert!(read(bytes[..len].to_vec()).is_err(), "cut off at {len}");
    }
}

/// The time as the test sets it.
struct TestClock(i64);

impl store::Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0
    }
}

#[test]
fn the_time_of_commits_does_not_go_back_when_the_clock_was_put_back_before_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    // Small segments: one of the restarts finds the newest one empty.
    let at = |ms: i64| StoreOptions {
        clock: std::sync::Arc::new(TestClock(ms)),
        segment_bytes: 1,
        ..StoreOptions::default()
    };
    let mut last = 0;
    for ms in [5_000_000, 1_000_000, 6_000_000, 2_000_000] {
        let store = Store::open(dir.path(), at(ms)).unwrap();
        write(&store, ONE, "a", &ms.to_string(), None);
        let (_, time_ms) = store.log_point(store.seq()).unwrap();
        assert!(time_ms.unwrap() >= last, "{time_ms:?} after {last}");
        last = time_ms.unwrap();
        store.close();
    }
    assert_eq!(last, 6_000_000);
}
