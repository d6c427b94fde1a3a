//! Bodies that a disk has let go of are found while everybody works on, and kept anew.

use std::{fs, path::Path};

use store::{BodyId, RealmId, Reclaim, Store, StoreError, StoreOptions, rebuild_index, verify};

const ANNA: RealmId = RealmId::account(1);

fn text(number: u32) -> Vec<u8> {
    // Nothing that compresses to almost nothing.
    (0..40).flat_map(|part| noise(number, part)).collect()
}

fn noise(number: u32, part: u32) -> Vec<u8> {
    BodyId::of(&[number.to_be_bytes(), part.to_be_bytes()].concat()).as_bytes().to_vec()
}

fn id(number: u32) -> BodyId {
    BodyId::of(&text(number))
}

fn put(store: &Store, number: u32) {
    let body = store.put_body(&text(number)).unwrap();
    let put = store.transact(move |tx| {
        tx.ref_body(ANNA, &body.id(), &number.to_be_bytes());
        Ok::<_, StoreError>(())
    });
    put.wait().unwrap();
}

fn delete(store: &Store, number: u32) {
    let delete = store.transact(move |tx| {
        tx.unref_body(ANNA, &id(number), &number.to_be_bytes());
        Ok::<_, StoreError>(())
    });
    delete.wait().unwrap();
}

/// Flips a bit of a body, wherever it is first in the packs.
fn flip(dir: &Path, number: u32) {
    let wanted = &text(number)[..32];
    for pack in fs::read_dir(dir.join("packs")).unwrap().map(|entry| entry.unwrap().path()) {
        let bytes = fs::read(&pack).unwrap();
        if let Some(at) = bytes.windows(32).position(|window| window == wanted) {
            use std::os::unix::fs::FileExt as _;
            let file = fs::File::options().write(true).open(&pack).unwrap();
            return file.write_all_at(&[bytes[at] ^ 4], at as u64).unwrap();
        }
    }
    panic!("body {number} is nowhere");
}

/// All parts of a scrub.
fn found(store: &Store) -> Vec<String> {
    let parts = (0..7).map(|part| store.scrub_bodies(part, 7, &|| true).unwrap());
    let (mut bodies, mut damage) = (0, Vec::new());
    for report in parts {
        bodies += report.bodies;
        damage.extend(report.damage);
    }
    assert!(bodies > 0);
    damage.sort();
    damage.dedup();
    damage
}

#[test]
fn a_scrub_reads_what_is_referred_to_and_what_the_past_refers_to_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    for number in 0..20 {
        put(&store, number);
    }
    delete(&store, 5);
    // Kept by nobody, as what is left of a delivery that was given up.
    drop(store.put_body(&text(100)).unwrap());
    store.sync_bodies().unwrap();
    assert_eq!(found(&store), Vec::<String>::new());
    for number in [3, 5, 100] {
        flip(dir.path(), number);
    }
    let found = found(&store);
    assert_eq!(found.len(), 2, "{found:?}");
    let now = found.iter().find(|what| what.contains(&id(3).to_string())).unwrap();
    let past = found.iter().find(|what| what.contains(&id(5).to_string())).unwrap();
    assert!(now.starts_with(&format!("{ANNA}: ")), "{now}");
    assert!(past.contains("only the past refers to it"), "{past}");
    let known: Vec<BodyId> = store.damaged_bodies().into_iter().map(|(id, _)| id).collect();
    assert!(known.len() == 2 && known.contains(&id(3)) && known.contains(&id(5)));
    // Each is in one part of seven, and those that are known are looked at each time.
    let again: Vec<_> = (0..7).map(|part| store.scrub_bodies(part, 7, &|| true).unwrap()).collect();
    assert_eq!(again.iter().map(|report| report.bodies).sum::<u64>(), 20 + 2 * 6);
    assert!(again.iter().all(|report| report.damage.len() == 2));
}

#[test]
fn a_damaged_body_is_known_over_restarts_until_it_is_mended_with_its_own_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions { pack_bytes: 2_000, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options()).unwrap();
    for number in 0..10 {
        put(&store, number);
    }
    flip(dir.path(), 4);
    // Whoever reads it finds it too.
    assert!(matches!(store.body(&id(4)).unwrap().read_all(), Err(StoreError::BodyDamaged { .. })));
    assert_eq!(store.damaged_bodies().len(), 1);
    store.close();
    drop(store);
    let store = Store::open(dir.path(), options()).unwrap();
    assert_eq!(store.damaged_bodies()[0].0, id(4));
    // To keep the same body again changes nothing: it is there already.
    drop(store.put_body(&text(4)).unwrap());
    store.is_well(&id(4)).unwrap_err();
    assert!(matches!(store.mend_body(&id(4), &text(5)), Err(StoreError::BodyDamaged { .. })));
    store.mend_body(&id(4), &text(4)).unwrap();
    assert_eq!(store.body(&id(4)).unwrap().read_all().unwrap(), text(4));
    assert_eq!(store.damaged_bodies(), []);
    assert_eq!(found(&store), Vec::<String>::new());

    // The pack in which it was damaged may go, and the index be lost.
    for number in (0..10).filter(|number| *number != 4) {
        delete(&store, number);
    }
    store.reclaim_bodies(Reclaim::default(), &|| true).unwrap();
    store.close();
    drop(store);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    rebuild_index(dir.path(), &options(), |_, _, _| ()).unwrap();
    assert_eq!(verify(dir.path(), options(), &[], |_, _, _| ()).unwrap().damage, Vec::<String>::new());
    let store = Store::open(dir.path(), options()).unwrap();
    assert_eq!(store.body(&id(4)).unwrap().read_all().unwrap(), text(4));
}

#[test]
fn a_body_whose_pack_is_gone_is_missing_and_can_be_kept_anew() {
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions { pack_bytes: 2_000, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options()).unwrap();
    for number in 0..10 {
        put(&store, number);
    }
    store.close();
    drop(store);
    let mut packs: Vec<_> =
        fs::read_dir(dir.path().join("packs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    packs.sort();
    fs::remove_file(&packs[0]).unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    let damage = found(&store);
    assert!(!damage.is_empty() && damage.iter().all(|what| what.starts_with(&format!("{ANNA}: "))), "{damage:?}");
    let missing = store.damaged_bodies();
    assert_eq!(missing.len(), damage.len());
    for number in (0..10).filter(|number| missing.iter().any(|(found, _)| *found == id(*number))) {
        store.mend_body(&id(number), &text(number)).unwrap();
    }
    assert_eq!((found(&store), store.damaged_bodies()), (Vec::new(), Vec::new()));
}
