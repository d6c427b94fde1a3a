//! What is refused, by name, before it can do harm.

use std::fs;

use store::{Part, Read as _, RealmId, Store, StoreError, StoreOptions, rebuild_index, repair, verify};

const ANNA: RealmId = RealmId::account(1);

fn put(store: &Store, key: &str, value: Vec<u8>) -> Result<(), StoreError> {
    let key = key.as_bytes().to_vec();
    store
        .transact(move |tx| {
            tx.put(ANNA, key, value);
            Ok::<_, StoreError>(())
        })
        .wait()
}

#[test]
fn a_commit_that_nobody_could_read_again_is_refused_and_the_others_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    put(&store, "before", vec![1]).unwrap();
    let outcome = store
        .transact(|tx| {
            for number in 0..65_u8 {
                tx.put(ANNA, vec![number], vec![number; 1 << 20]);
            }
            Ok::<_, StoreError>(())
        })
        .wait();
    assert!(matches!(outcome, Err(StoreError::TooLarge { what: "a commit", .. })), "{outcome:?}");
    put(&store, "after", vec![2]).unwrap();
    assert_eq!(store.seq().0, 2);
    store.close();
    drop(store);
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    assert_eq!(store.snapshot().get(ANNA, b"after").unwrap().as_deref(), Some(&[2][..]));
    assert_eq!(store.snapshot().get(ANNA, &[7]).unwrap(), None);
}

#[test]
fn commits_and_bodies_are_refused_while_there_is_still_room_for_the_index() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    put(&store, "before", vec![1]).unwrap();
    store.close();
    drop(store);
    let full = StoreOptions { reserve_bytes: u64::MAX, ..StoreOptions::default() };
    let store = Store::open(dir.path(), full).unwrap();
    assert!(matches!(put(&store, "during", vec![2]), Err(StoreError::Full)));
    assert!(matches!(store.put_body(b"a body"), Err(StoreError::Full)));
    assert!(matches!(store.checkpoint(&|| true), Err(StoreError::Full)));
    assert_eq!(store.snapshot().get(ANNA, b"before").unwrap().as_deref(), Some(&[1][..]), "reading goes on");
    assert_eq!(store.stopped(), None);
    store.close();
    drop(store);
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    put(&store, "after", vec![3]).unwrap();
    assert_eq!(store.seq().0, 2);
}

#[test]
fn no_command_touches_a_folder_of_a_newer_format() {
    let dir = tempfile::tempdir().unwrap();
    Store::open(dir.path(), StoreOptions::default()).unwrap().close();
    fs::write(dir.path().join("format"), "2\n").unwrap();
    let is_refused = |outcome: Result<(), StoreError>| match outcome {
        Err(StoreError::NewerFormat { found: 2, .. }) => (),
        other => panic!("{other:?}"),
    };
    is_refused(Store::open(dir.path(), StoreOptions::default()).map(|_| ()));
    is_refused(rebuild_index(dir.path(), &StoreOptions::default(), |_, _, _| ()).map(|_| ()));
    is_refused(repair(dir.path(), &StoreOptions::default(), |_, _, _| ()).map(|_| ()));
    is_refused(verify(dir.path(), StoreOptions::default(), &[], |_, _, _| ()).map(|_| ()));
}

#[test]
fn a_mark_of_the_format_that_is_lost_is_named_and_written_anew_by_a_repair() {
    for lost in [None, Some(&b"\xFF"[..]), Some(b""), Some(b"0\n")] {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        put(&store, "a", vec![1]).unwrap();
        store.close();
        drop(store);
        let mark = dir.path().join("format");
        match lost {
            Some(bytes) => fs::write(&mark, bytes).unwrap(),
            None => fs::remove_file(&mark).unwrap(),
        }
        let damage = verify(dir.path(), StoreOptions::default(), &[], |_, _, _| ()).unwrap().damage;
        assert!(damage.len() == 1 && damage[0].part == Part::Mark, "{damage:?}");
        let done = repair(dir.path(), &StoreOptions::default(), |_, _, _| ()).unwrap();
        assert!(done[0].contains("format"), "{done:?}");
        assert!(verify(dir.path(), StoreOptions::default(), &[], |_, _, _| ()).unwrap().is_sound());
    }
}
