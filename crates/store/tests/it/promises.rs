//! What the store promises through its public face.

use std::{io::Write as _, ops::Bound, path::Path};

use store::{
    BodyId, Cause, Damaged, Order, Part, Read, RealmId, RealmSeq, Seq, Store, StoreError, StoreOptions, rebuild_index,
    verify,
};

const ANNA: RealmId = RealmId::account(1);
const BERT: RealmId = RealmId::account(2);

fn open(dir: &Path) -> Store {
    Store::open(dir, StoreOptions::default()).unwrap()
}

fn put(store: &Store, realm: RealmId, key: &str, value: &str) -> RealmSeq {
    let (key, value) = (key.as_bytes().to_vec(), value.as_bytes().to_vec());
    store
        .transact(move |tx| {
            tx.put(realm, key, value);
            Ok::<_, StoreError>(tx.next_realm_seq(realm))
        })
        .wait()
        .unwrap()
}

fn get(reader: &impl Read, realm: RealmId, key: &str) -> Option<String> {
    reader.get(realm, key.as_bytes()).unwrap().map(|value| String::from_utf8(value.to_vec()).unwrap())
}

fn keys(reader: &impl Read, realm: RealmId, order: Order) -> Vec<String> {
    let rows = reader.range(realm, (Bound::Unbounded, Bound::Unbounded), order).unwrap();
    rows.map(|row| String::from_utf8(row.unwrap().0.to_vec()).unwrap()).collect()
}

#[test]
fn what_was_acknowledged_is_there_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    assert_eq!(put(&store, ANNA, "a", "1"), RealmSeq(1));
    assert_eq!(put(&store, ANNA, "b", "2"), RealmSeq(2));
    assert_eq!(put(&store, BERT, "a", "3"), RealmSeq(1));
    store.close();
    drop(store);
    let store = open(dir.path());
    let snapshot = store.snapshot();
    assert_eq!(get(&snapshot, ANNA, "a").as_deref(), Some("1"));
    assert_eq!(get(&snapshot, BERT, "a").as_deref(), Some("3"));
    assert_eq!(snapshot.realm_seq(ANNA), RealmSeq(2));
    assert_eq!(store.seq(), Seq(3));
}

#[test]
fn a_transaction_sees_its_own_writes_and_those_before_it_in_both_orders() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for key in ["b", "d", "f"] {
        let _ = put(&store, ANNA, key, "old");
    }
    store
        .transact(|tx| {
            tx.put(ANNA, b"a".to_vec(), b"new".to_vec());
            tx.put(ANNA, b"d".to_vec(), b"new".to_vec());
            tx.delete(ANNA, b"f".to_vec());
            tx.put(ANNA, b"g".to_vec(), b"new".to_vec());
            assert_eq!(keys(tx, ANNA, Order::Ascending), ["a", "b", "d", "g"]);
            assert_eq!(keys(tx, ANNA, Order::Descending), ["g", "d", "b", "a"]);
            assert_eq!(get(tx, ANNA, "d").as_deref(), Some("new"));
            assert_eq!(get(tx, ANNA, "f"), None);
            Ok::<_, StoreError>(())
        })
        .wait()
        .unwrap();
    assert_eq!(keys(&store.snapshot(), ANNA, Order::Ascending), ["a", "b", "d", "g"]);
}

#[test]
fn an_error_or_a_panic_in_a_transaction_writes_nothing_and_harms_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let refused = store
        .transact(|tx| {
            tx.put(ANNA, b"a".to_vec(), b"1".to_vec());
            tx.expect_realm_seq(ANNA, RealmSeq(7))
        })
        .wait();
    assert!(matches!(refused, Err(StoreError::Conflict { found: RealmSeq(0), .. })), "{refused:?}");
    let panicked = store
        .transact(|tx| -> Result<(), StoreError> {
            tx.put(ANNA, b"a".to_vec(), b"1".to_vec());
            panic!("a bug")
        })
        .wait();
    assert!(matches!(panicked, Err(StoreError::Panicked(_))));
    assert_eq!(get(&store.snapshot(), ANNA, "a"), None);
    assert_eq!(put(&store, ANNA, "a", "2"), RealmSeq(1));
}

#[test]
fn concurrent_commits_are_gapless_and_none_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = store.clone();
            scope.spawn(move || {
                for number in 0..50 {
                    let _ = put(&store, ANNA, &format!("{thread}-{number}"), "x");
                }
            });
        }
    });
    assert_eq!(keys(&store.snapshot(), ANNA, Order::Ascending).len(), 400);
    assert_eq!(store.snapshot().realm_seq(ANNA), RealmSeq(400));
    assert_eq!(store.seq(), Seq(400));
    store.close();
    drop(store);
    let report = verify(dir.path(), StoreOptions::default(), &[], |_, _, _| ()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.commits, report.records), (400, 400));
}

#[test]
fn bodies_come_back_byte_for_byte_whole_and_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let mut state = 1_u64;
    let bytes: Vec<u8> = (0..3_000_000_u32)
        .map(|at| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            if at % 100_000 < 50_000 { b'x' } else { (state >> 56) as u8 }
        })
        .collect();
    let mut writer = store.body_writer().unwrap();
    for piece in bytes.chunks(70_001) {
        writer.write_all(piece).unwrap();
    }
    let staged = writer.finish().unwrap();
    assert_eq!(staged.id(), BodyId::of(&bytes));
    let id = staged.id();
    store
        .transact(move |tx| {
            tx.ref_body(ANNA, &staged.id(), b"owner");
            Ok::<_, StoreError>(())
        })
        .wait()
        .unwrap();
    store.close();
    drop(store);
    let store = open(dir.path());
    let mut body = store.body(&id).unwrap();
    assert_eq!(body.read_all().unwrap(), bytes);
    for (offset, len) in [(0, 10), (262_140, 10), (2_999_990, 100), (100, 1_000_000), (3_000_000, 5)] {
        let end = (offset + len).min(bytes.len());
        assert_eq!(body.read_range(offset as u64, len).unwrap(), bytes[offset..end]);
    }
    assert!(matches!(store.body(&BodyId::of(b"nobody")), Err(StoreError::BodyMissing { .. })));
}

#[test]
fn a_reference_to_a_body_that_is_not_there_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let outcome = store
        .transact(|tx| {
            tx.ref_body(ANNA, &BodyId::of(b"nobody"), b"owner");
            Ok::<_, StoreError>(())
        })
        .wait();
    assert!(matches!(outcome, Err(StoreError::BodyMissing { .. })), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn followers_read_what_was_and_then_what_comes() {
    let dir = tempfile::tempdir().unwrap();
    let options = StoreOptions { segment_bytes: 2_000, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options.clone()).unwrap();
    let write = |number: u64| {
        store.transact(move |tx| {
            tx.put(ANNA, number.to_be_bytes().to_vec(), vec![b'x'; 300]);
            Ok::<_, StoreError>(())
        })
    };
    for number in 0..1_500 {
        write(number).await.unwrap();
    }
    let mut follower = store.follow(Seq(1)).unwrap();
    for expected in 1..=1_500 {
        assert_eq!(follower.next().await.unwrap().seq(), Seq(expected));
    }
    let mut watch = store.watch(ANNA);
    let waiting = tokio::spawn(async move { follower.next().await.unwrap().seq() });
    write(9_999).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Seq(1_501));
    watch.changed().await.unwrap();
    assert_eq!(*watch.borrow(), RealmSeq(1_501));
}

#[test]
fn a_second_process_is_told_who_owns_the_folder() {
    let dir = tempfile::tempdir().unwrap();
    let _store = open(dir.path());
    let second = Store::open(dir.path(), StoreOptions::default());
    assert!(matches!(second, Err(StoreError::Locked { pid: Some(_), .. })));
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path()).close();
    std::fs::write(dir.path().join("format"), "99\n").unwrap();
    let outcome = Store::open(dir.path(), StoreOptions::default());
    assert!(matches!(outcome, Err(StoreError::NewerFormat { found: 99, .. })));
}

#[test]
fn a_log_that_ends_before_what_the_index_has_seen_is_damage_and_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..10 {
        let _ = put(&store, ANNA, &number.to_string(), "x");
    }
    store.close();
    drop(store);
    let log = dir.path().join("log/00000000000000000001.log");
    let len = std::fs::metadata(&log).unwrap().len();
    std::fs::File::options().write(true).open(&log).unwrap().set_len(len - 10).unwrap();
    let outcome = Store::open(dir.path(), StoreOptions::default()).map(|_| ());
    assert!(matches!(&outcome, Err(StoreError::Damaged(what)) if is_short_from(what, Seq(10))), "{outcome:?}");
    assert_eq!(std::fs::metadata(&log).unwrap().len(), len - 10);
}

#[test]
fn a_torn_tail_that_nobody_was_told_of_is_cut_off() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let _ = put(&store, ANNA, "a", "1");
    store.close();
    drop(store);
    let log = dir.path().join("log/00000000000000000001.log");
    let mut file = std::fs::File::options().append(true).open(&log).unwrap();
    file.write_all(&[40, 0, 0, 0, 1, 2, 3, 4, 5]).unwrap();
    drop(file);
    let store = open(dir.path());
    assert_eq!(get(&store.snapshot(), ANNA, "a").as_deref(), Some("1"));
    assert_eq!(put(&store, ANNA, "b", "2"), RealmSeq(2));
}

#[test]
fn the_index_is_rebuilt_from_log_and_packs_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for number in 0..100 {
        let _ = put(&store, ANNA, &format!("{:02}", number % 50), &number.to_string());
    }
    let staged = store.put_body(b"a body").unwrap();
    let id = staged.id();
    store
        .transact(move |tx| {
            tx.ref_body(BERT, &staged.id(), b"owner");
            Ok::<_, StoreError>(())
        })
        .wait()
        .unwrap();
    let digest = store.snapshot().digest(ANNA).unwrap();
    store.close();
    drop(store);
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    assert_eq!(rebuild_index(dir.path(), &StoreOptions::default(), |_, _, _| ()).unwrap().commits, 101);
    let store = open(dir.path());
    assert_eq!(store.snapshot().digest(ANNA).unwrap(), digest);
    assert_eq!(get(&store.snapshot(), ANNA, "49").as_deref(), Some("99"));
    assert_eq!(store.body(&id).unwrap().read_all().unwrap(), b"a body"[..]);
}

/// A store of many small segments, closed.
fn with_segments(dir: &Path) -> StoreOptions {
    let options = StoreOptions { segment_bytes: 500, ..StoreOptions::default() };
    let store = Store::open(dir, options.clone()).unwrap();
    for number in 0..20 {
        let realm = if number == 9 { BERT } else { ANNA };
        let _ = put(&store, realm, &number.to_string(), &"x".repeat(400));
    }
    store.close();
    options
}

/// The log ends, and must not, before a commit.
fn is_short_from(what: &Damaged, seq: Seq) -> bool {
    (what.part, what.cause, what.commit) == (Part::Log, Cause::CutOff, Some(seq))
}

#[test]
fn a_segment_gone_from_the_middle_of_the_log_is_noticed_when_the_index_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_segments(dir.path());
    let does_not_follow =
        |what: &Damaged| (what.part, what.cause, what.commit) == (Part::Segment, Cause::Chain, Some(Seq(11)));
    let firsts: Vec<_> = std::fs::read_dir(dir.path().join("log")).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(firsts.len() > 10);
    // The only commit of a realm stands in it, so no digest tells.
    std::fs::remove_file(dir.path().join("log/00000000000000000010.log")).unwrap();
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let outcome = rebuild_index(dir.path(), &options, |_, _, _| ());
    assert!(matches!(&outcome, Err(StoreError::Damaged(what)) if does_not_follow(what)), "{outcome:?}");
    let opened = Store::open(dir.path(), options).map(|_| ());
    assert!(matches!(&opened, Err(StoreError::Damaged(what)) if does_not_follow(what)), "{opened:?}");
}

#[test]
fn rebuilding_the_index_does_not_forget_how_far_others_have_seen() {
    let dir = tempfile::tempdir().unwrap();
    let options = with_segments(dir.path());
    let store = Store::open(dir.path(), options.clone()).unwrap();
    store.set_cursor("standby", Seq(20)).unwrap();
    store.close();
    drop(store);
    assert_eq!(rebuild_index(dir.path(), &options, |_, _, _| ()).unwrap().commits, 20);
    std::fs::remove_file(dir.path().join("log/00000000000000000021.log")).unwrap();
    std::fs::remove_file(dir.path().join("log/00000000000000000020.log")).unwrap();
    let outcome = rebuild_index(dir.path(), &options, |_, _, _| ());
    assert!(matches!(&outcome, Err(StoreError::Damaged(what)) if is_short_from(what, Seq(20))), "{outcome:?}");
}

#[test]
fn a_damaged_body_does_not_hide_those_behind_it_when_the_index_is_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let bodies: Vec<Vec<u8>> = (0..5_u8).map(|number| vec![number; 5_000]).collect();
    for (number, bytes) in bodies.iter().enumerate() {
        let staged = store.put_body(bytes).unwrap();
        store
            .transact(move |tx| {
                tx.ref_body(ANNA, &staged.id(), &[number as u8]);
                Ok::<_, StoreError>(())
            })
            .wait()
            .unwrap();
    }
    store.close();
    drop(store);
    let pack = dir.path().join("packs/0000000001.pack");
    let mut bytes = std::fs::read(&pack).unwrap();
    // Inside the header of the first body.
    bytes[8 + 12 + 3] ^= 1;
    std::fs::write(&pack, &bytes).unwrap();
    let _ = rebuild_index(dir.path(), &StoreOptions::default(), |_, _, _| ()).unwrap();
    let store = open(dir.path());
    assert!(matches!(store.body(&BodyId::of(&bodies[0])), Err(StoreError::BodyMissing { .. })));
    for bytes in &bodies[1..] {
        assert_eq!(store.body(&BodyId::of(bytes)).unwrap().read_all().unwrap(), bytes[..]);
    }
    assert_eq!(std::fs::metadata(&pack).unwrap().len(), bytes.len() as u64, "nothing was cut off");
}
