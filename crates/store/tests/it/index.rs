//! The index is derived: whatever becomes of its files, it is named, and made again from the log.

use std::{
    collections::BTreeMap,
    fs,
    ops::Bound,
    path::{Path, PathBuf},
};

use store::{Cause, Order, Part, Read as _, RealmId, Store, StoreError, StoreOptions, verify};

const REALMS: [RealmId; 2] = [RealmId::DIRECTORY, RealmId::account(1)];

type Contents = BTreeMap<(RealmId, Vec<u8>), Vec<u8>>;

fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 20_000, ..StoreOptions::default() }
}

fn write(store: &Store, from: u32, to: u32) {
    for number in from..to {
        let realm = REALMS[number as usize % REALMS.len()];
        store
            .transact(move |tx| {
                tx.put(realm, (number % 300).to_be_bytes().to_vec(), vec![number as u8; 200]);
                Ok::<_, StoreError>(())
            })
            .wait()
            .unwrap();
    }
}

fn contents(store: &Store) -> Contents {
    let snapshot = store.snapshot();
    let mut found = Contents::new();
    for realm in REALMS {
        for row in snapshot.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap() {
            let (key, value) = row.unwrap();
            found.insert((realm, key.to_vec()), value.to_vec());
        }
    }
    found
}

/// Files of the index, with those that end so.
fn files(dir: &Path, ext: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path, ext));
        } else if path.extension().is_some_and(|found| found == ext) || ext.is_empty() {
            found.push(path);
        }
    }
    found
}

/// Opens after the index's files were changed: all is there. `verify` had named it, unless a crash may leave such files.
fn comes_back(is_damage: bool, harm: impl Fn(&Path)) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    write(&store, 0, 500);
    store.checkpoint(&|| true).unwrap();
    write(&store, 500, 900);
    let expected = contents(&store);
    store.close();
    drop(store);
    harm(&dir.path().join("index"));
    if is_damage {
        let report = verify(dir.path(), options(), &[], |_, _, _| ()).unwrap();
        assert!(!report.is_sound(), "an index that can't be used is damage for who looks for it");
    }
    let store = Store::open(dir.path(), options()).unwrap();
    assert_eq!(contents(&store), expected);
    write(&store, 900, 910);
    store.close();
    drop(store);
    let report = verify(dir.path(), options(), &[], |_, _, _| ()).unwrap();
    assert!(report.is_sound(), "{report:?}");
}

#[test]
fn a_page_of_the_indexs_journal_that_went_with_the_power_costs_no_repair_by_hand() {
    comes_back(false, |index| {
        let journals = files(index, "jnl");
        let newest = journals.iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
        let mut bytes = fs::read(newest).unwrap();
        let middle = bytes.len() / 2 / 512 * 512;
        bytes[middle..middle + 512].fill(0);
        fs::write(newest, bytes).unwrap();
    });
}

#[test]
fn an_index_of_which_nothing_can_be_read_is_built_anew_when_the_store_is_opened() {
    comes_back(true, |index| {
        for path in files(index, "") {
            let len = fs::metadata(&path).unwrap().len() as usize;
            fs::write(&path, vec![0xA5; len]).unwrap();
        }
    });
}

#[test]
fn an_index_of_another_store_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    write(&store, 0, 500);
    store.close();
    drop(store);
    let other = tempfile::tempdir().unwrap();
    let store = Store::open(other.path(), options()).unwrap();
    write(&store, 0, 1);
    store.close();
    drop(store);
    let index = dir.path().join("index");
    fs::remove_dir_all(&index).unwrap();
    fs::rename(other.path().join("index"), &index).unwrap();
    // Its one commit was made at another time, so its chain is another one: nothing is built on that.
    let outcome = Store::open(dir.path(), options()).map(|_| ());
    assert!(
        matches!(&outcome, Err(StoreError::Damaged(what)) if (what.part, what.cause) == (Part::Log, Cause::Chain)),
        "{outcome:?}"
    );
}
