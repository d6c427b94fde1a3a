//! Stores written by earlier versions are read for ever: `tests/format` has one small store of each format.

use std::{
    fs,
    path::{Path, PathBuf},
};

use store::{BodyId, Read as _, RealmId, RealmSeq, Seq, Store, StoreError, StoreOptions, rebuild_index, verify};

use crate::common::copy;

const ANNA: RealmId = RealmId::account(1);

fn kept(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format").join(version)
}

/// Small segments and packs, so that there are several.
fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 600, pack_bytes: 600, ..StoreOptions::default() }
}

fn body(number: u8) -> Vec<u8> {
    (0..200_u8).map(|at| at.wrapping_mul(number) ^ (at / 7)).collect()
}

/// Writes the store that `the_first_format_is_read` reads: run once for each format, by hand.
#[test]
#[ignore = "writes into the repository"]
fn write_the_kept_store() {
    let dir = kept("v1");
    let store = Store::open(&dir, options()).unwrap();
    for number in 1..=12_u8 {
        let staged = store.put_body(&body(number)).unwrap();
        store
            .transact(move |tx| {
                tx.put(ANNA, vec![b'k', number % 5], vec![number; 30]);
                tx.put(RealmId::DIRECTORY, vec![number], b"both realms in one commit".to_vec());
                tx.ref_body(ANNA, &staged.id(), &[number]);
                if number == 12 {
                    tx.delete(ANNA, vec![b'k', 0]);
                }
                Ok::<_, StoreError>(())
            })
            .wait()
            .unwrap();
    }
    store.close();
    drop(store);
    // The index is derived, and not the size to be kept here: it is made from log and packs.
    fs::remove_dir_all(dir.join("index")).unwrap();
    let _ = fs::remove_file(dir.join("lock"));
}

#[test]
fn the_first_format_is_read() {
    let scratch = tempfile::tempdir().unwrap();
    let dir = scratch.path().join("store");
    copy(&kept("v1"), &dir);
    assert_eq!(rebuild_index(&dir, &options(), |_, _, _| ()).unwrap().commits, 12);
    let report = verify(&dir, options(), &[], |_, _, _| ()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let store = Store::open(&dir, options()).unwrap();
    assert_eq!(store.seq(), Seq(12));
    let snapshot = store.snapshot();
    assert_eq!(snapshot.realm_seq(ANNA), RealmSeq(12));
    assert_eq!(snapshot.get(ANNA, b"k\x00").unwrap(), None);
    assert_eq!(snapshot.get(ANNA, b"k\x02").unwrap().as_deref(), Some(&[12; 30][..]));
    assert_eq!(snapshot.get(RealmId::DIRECTORY, b"\x07").unwrap().as_deref(), Some(&b"both realms in one commit"[..]));
    for number in 1..=12 {
        let bytes = body(number);
        assert_eq!(store.body(&BodyId::of(&bytes)).unwrap().read_all().unwrap(), bytes);
    }
}
