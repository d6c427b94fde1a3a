//! Bodies that a disk has let go of are found while everybody works on, and kept anew.

use std::{fs, path::Path};

use store::{BodyId, Damaged, PeerFault, RealmId, Reclaim, Store, StoreError, StoreOptions, rebuild_index, verify};

use crate::common::{copy, scratch};

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
fn found(store: &Store) -> Vec<Damaged> {
    let parts = (0..7).map(|part| store.scrub_bodies(part, 7, &|| true).unwrap());
    let (mut bodies, mut damage) = (0, Vec::new());
    for report in parts {
        bodies += report.bodies;
        damage.extend(report.damage);
    }
    assert!(bodies > 0);
    damage.sort_by_key(ToString::to_string);
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
    assert_eq!(found(&store), []);
    for number in [3, 5, 100] {
        flip(dir.path(), number);
    }
    let found = found(&store);
    assert_eq!(found.len(), 2, "{found:?}");
    let now = found.iter().find(|what| what.body == Some(id(3))).unwrap();
    let past = found.iter().find(|what| what.body == Some(id(5))).unwrap();
    assert_eq!((now.realm, past.realm), (Some(ANNA), None), "only the history refers to one of them");
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
    store.is_well(&id(4)).unwrap_err();
    assert!(matches!(store.mend_body(&id(4), &text(5)), Err(StoreError::Peer(PeerFault::OtherBody { .. }))));
    store.mend_body(&id(4), &text(4)).unwrap();
    assert_eq!(store.body(&id(4)).unwrap().read_all().unwrap(), text(4));
    assert_eq!(store.damaged_bodies(), []);
    assert_eq!(found(&store), []);

    // The pack in which it was damaged may go, and the index be lost.
    for number in (0..10).filter(|number| *number != 4) {
        delete(&store, number);
    }
    store.reclaim_bodies(Reclaim::default(), &|| true).unwrap();
    store.close();
    drop(store);
    fs::remove_dir_all(dir.path().join("index")).unwrap();
    rebuild_index(dir.path(), &options(), |_, _, _| ()).unwrap();
    assert_eq!(verify(dir.path(), options(), &[], |_, _, _| ()).unwrap().damage, []);
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
    assert!(!damage.is_empty() && damage.iter().all(|what| what.realm == Some(ANNA)), "{damage:?}");
    let missing = store.damaged_bodies();
    assert_eq!(missing.len(), damage.len());
    for number in (0..10).filter(|number| missing.iter().any(|(found, _)| *found == id(*number))) {
        store.mend_body(&id(number), &text(number)).unwrap();
    }
    assert_eq!((found(&store), store.damaged_bodies()), (Vec::new(), Vec::new()));
}

#[test]
fn a_message_that_comes_again_while_it_is_damaged_is_kept_anew_and_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    put(&store, 1);
    flip(dir.path(), 1);
    store.is_well(&id(1)).unwrap_err();
    assert_eq!(store.damage().body_count, 1);
    // The same bytes for somebody else: who is told that they are kept must be able to read them.
    put(&store, 1);
    assert_eq!(store.body(&id(1)).unwrap().read_all().unwrap(), text(1));
    assert!(store.damage().is_none());
}

fn packs(dir: &Path) -> Vec<std::path::PathBuf> {
    let mut packs: Vec<_> = fs::read_dir(dir.join("packs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    packs.sort();
    packs
}

/// Which of the bodies can't be read.
fn unreadable(store: &Store) -> Vec<u32> {
    (0..BODIES).filter(|number| store.body(&id(*number)).and_then(|mut body| body.read_all()).is_err()).collect()
}

const BODIES: u32 = 21;

/// What becomes of a pack: its bytes afterwards; `None` when it is gone.
type Harm = fn(Vec<u8>) -> Option<Vec<u8>>;

/// What a pack loses costs the bodies that were in it, in the first pack, one in the middle and the newest, whatever it is
/// that it loses; everything else is served, and new bodies are kept.
#[test]
fn a_pack_that_is_short_or_missing_costs_its_own_bodies_and_nothing_else() {
    let harms: [(&str, Harm); 9] = [
        ("a byte less", |bytes| Some(bytes[..bytes.len() - 1].to_vec())),
        ("a third less", |bytes| Some(bytes[..bytes.len() * 2 / 3].to_vec())),
        ("half", |bytes| Some(bytes[..bytes.len() / 2].to_vec())),
        ("its first bytes", |bytes| Some(bytes[..8].to_vec())),
        ("less than its first bytes", |bytes| Some(bytes[..3].to_vec())),
        ("nothing", |_| Some(Vec::new())),
        ("gone", |_| None),
        ("zeros from the middle on", |mut bytes| {
            let half = bytes.len() / 2;
            bytes[half..].fill(0);
            Some(bytes)
        }),
        ("longer", |mut bytes| {
            bytes.extend_from_slice(&[&BodyId::of(b"garbage").as_bytes()[..], b"HFBD", &[7; 300]].concat());
            Some(bytes)
        }),
    ];
    let options = || StoreOptions { pack_bytes: 9_000, ..StoreOptions::default() };
    let built = scratch();
    let store = Store::open(built.path(), options()).unwrap();
    (0..BODIES).for_each(|number| put(&store, number));
    store.close();
    drop(store);
    for (what, harm) in harms {
        for which in [0, 1, usize::MAX] {
            let dir = scratch();
            copy(built.path(), dir.path());
            let packs = packs(dir.path());
            let pack = &packs[which.min(packs.len() - 1)];
            let there: Vec<u32> = {
                let bytes = fs::read(pack).unwrap();
                let holds = |number: &u32| {
                    let text = text(*number);
                    bytes.windows(32).any(|window| window == &text[..32])
                };
                (0..BODIES).filter(holds).collect()
            };
            match harm(fs::read(pack).unwrap()) {
                Some(bytes) => fs::write(pack, bytes).unwrap(),
                None => fs::remove_file(pack).unwrap(),
            }
            let store = Store::open(dir.path(), options()).unwrap_or_else(|error| panic!("{what}, {which}: {error}"));
            let lost = unreadable(&store);
            assert!(lost.iter().all(|number| there.contains(number)), "{what}, {which}: {lost:?} of {there:?}");
            assert_eq!(lost.is_empty(), what == "longer", "{what}, {which}");
            let damage = store.damage();
            assert_eq!(damage.body_count, lost.len(), "{what}, {which}");
            assert!(lost.iter().all(|number| damage.bodies.iter().any(|(found, _)| *found == id(*number))));
            if what == "a byte less" {
                assert_eq!(lost.len(), 1);
            }
            // New bodies are kept, over a restart too; what is damaged is not forgotten by it.
            put(&store, 100);
            store.close();
            drop(store);
            let report = verify(dir.path(), options(), &[], |_, _, _| ()).unwrap();
            assert_eq!(report.damage.len(), lost.len(), "{what}, {which}: {:?}", report.damage);
            assert_eq!(report.bodies, u64::from(BODIES) + 1, "{what}, {which}: all is looked at");
            let store = Store::open(dir.path(), options()).unwrap();
            assert_eq!(store.body(&id(100)).unwrap().read_all().unwrap(), text(100));
            assert_eq!(store.damage().body_count, lost.len());
            // Once they are here again nothing is damaged.
            for number in &lost {
                store.mend_body(&id(*number), &text(*number)).unwrap();
            }
            assert_eq!((unreadable(&store), store.damage().count()), (Vec::new(), 0), "{what}, {which}");
        }
    }
}

/// Of an opened store, what was found without asking for anything.
#[test]
fn a_missing_pack_is_noticed_at_the_start_and_not_only_by_who_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let options = || StoreOptions { pack_bytes: 9_000, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options()).unwrap();
    (0..BODIES).for_each(|number| put(&store, number));
    store.close();
    drop(store);
    fs::remove_file(&packs(dir.path())[1]).unwrap();
    let store = Store::open(dir.path(), options()).unwrap();
    assert!(store.damage().body_count > 0);
    assert_eq!(unreadable(&store).len(), store.damage().body_count);
}

#[test]
fn what_verify_found_in_a_stopped_store_is_known_to_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    (0..5).for_each(|number| put(&store, number));
    store.checkpoint(&|| true).unwrap();
    store.close();
    drop(store);
    flip(dir.path(), 3);
    let checkpoint = fs::read_dir(dir.path().join("checkpoints")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = fs::read(&checkpoint).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&checkpoint, &bytes).unwrap();
    assert_eq!(verify(dir.path(), StoreOptions::default(), &[], |_, _, _| ()).unwrap().damage.len(), 2);
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    let damage = store.damage();
    assert_eq!((damage.body_count, damage.files.len(), damage.count()), (1, 1, 2), "{damage:?}");
    assert!(damage.files[0].0.starts_with("checkpoints/"), "{damage:?}");
    assert_eq!(store.referrers(&id(3)).unwrap(), [ANNA]);
    store.mend_body(&id(3), &text(3)).unwrap();
    store.close();
    drop(store);
    // Mended, and looked at again.
    bytes[middle] ^= 1;
    fs::write(&checkpoint, &bytes).unwrap();
    assert!(verify(dir.path(), StoreOptions::default(), &[], |_, _, _| ()).unwrap().is_sound());
    assert!(Store::open(dir.path(), StoreOptions::default()).unwrap().damage().is_none());
}

#[test]
fn a_reader_of_a_damaged_message_waits_for_whoever_has_it_and_reads_on() {
    let dir = scratch();
    let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
    (0..3).for_each(|number| put(&store, number));
    flip(dir.path(), 1);
    // Nobody to ask: it is damaged, at once.
    assert!(matches!(store.body(&id(1)).unwrap().read_all(), Err(StoreError::BodyDamaged { .. })));
    let mut wanted = store.wanted_bodies();
    let mending = store.clone();
    let helper = std::thread::spawn(move || {
        let mut asked = Vec::new();
        while let Some(body) = wanted.blocking_recv() {
            asked.push(body.id);
            let came = body.id == id(1) && mending.mend_body(&body.id, &text(1)).is_ok();
            let _ = body.told.send(came);
            if asked.len() == 2 {
                return asked;
            }
        }
        asked
    });
    // Half of it is read before the damage is met.
    let mut reader = store.body(&id(1)).unwrap();
    assert_eq!(reader.read_range(0, 100).unwrap(), text(1)[..100]);
    assert_eq!(reader.read_all().unwrap(), text(1));
    assert!(store.damage().is_none(), "and it is mended");
    flip(dir.path(), 2);
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        store.body(&id(2)).unwrap().read_all().unwrap_err();
    }
    assert_eq!(helper.join().unwrap(), [id(1), id(2)], "what can't be had is not asked for again and again");
    assert!(begun.elapsed() < store::RESCUE_WAIT * 10);
}

#[test]
fn a_scrub_of_files_finds_what_is_damaged_in_log_and_checkpoints_and_when_it_is_not_any_more() {
    let dir = scratch();
    let options = || StoreOptions { segment_bytes: 2_000, ..StoreOptions::default() };
    let store = Store::open(dir.path(), options()).unwrap();
    (0..BODIES).for_each(|number| put(&store, number));
    store.checkpoint(&|| true).unwrap();
    assert!(store.scrub_files().unwrap().is_sound() && store.damage().is_none());
    for folder in ["log", "checkpoints"] {
        let mut files: Vec<_> =
            fs::read_dir(dir.path().join(folder)).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let bytes = fs::read(&files[0]).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 2] ^= 1;
        fs::write(&files[0], &flipped).unwrap();
        assert_eq!(store.scrub_files().unwrap().damage.len(), 1, "{folder}");
        assert_eq!((store.damage().files.len(), store.damage().count()), (1, 1), "{folder}");
        fs::write(&files[0], &bytes).unwrap();
        assert!(store.scrub_files().unwrap().is_sound() && store.damage().is_none(), "{folder}");
    }
}
