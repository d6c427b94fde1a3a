//! Checkpoints, the log that they make dispensable, and what is made again from what.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use store::{
    BodyId, Cause, Clock, Damaged, Part, Read as _, RealmId, RealmSeq, Seq, Store, StoreError, StoreOptions,
    rebuild_index, repair, verify,
};

use crate::common::copy;

const ANNA: RealmId = RealmId::account(1);
const BERT: RealmId = RealmId::account(2);
const DAY_MS: i64 = 86_400_000;

/// A clock that the test moves.
#[derive(Default)]
struct Hand(AtomicI64);

impl Clock for Hand {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

struct World {
    _dir: tempfile::TempDir,
    path: PathBuf,
    hand: Arc<Hand>,
    options: StoreOptions,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let hand = Arc::new(Hand::default());
        hand.0.store(DAY_MS, Ordering::SeqCst);
        let options = StoreOptions {
            segment_bytes: 1_000,
            retention: Duration::from_secs(10 * 86_400),
            clock: hand.clone(),
            ..StoreOptions::default()
        };
        Self { path: dir.path().to_owned(), _dir: dir, hand, options }
    }

    fn open(&self) -> Store {
        Store::open(&self.path, self.options.clone()).unwrap()
    }

    fn days(&self, days: i64) {
        self.hand.0.fetch_add(days * DAY_MS, Ordering::SeqCst);
    }

    fn rebuild(&self) -> Result<store::Rebuilt, StoreError> {
        rebuild_index(&self.path, &self.options, |_, _, _| ())
    }

    fn repair(&self) -> Result<Vec<String>, StoreError> {
        repair(&self.path, &self.options, |_, _, _| ())
    }

    fn damage(&self) -> Vec<Damaged> {
        verify(&self.path, self.options.clone(), &[], |_, _, _| ()).unwrap().damage
    }

    fn segments(&self) -> Vec<PathBuf> {
        files(&self.path.join("log"))
    }
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.sort();
    all
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

/// Writes commits `from..to` of 300 bytes each, two realms in turn.
fn fill(store: &Store, from: u32, to: u32) {
    for number in from..to {
        let realm = if number % 2 == 0 { ANNA } else { BERT };
        let body = store.put_body(format!("body {number}").as_bytes()).unwrap();
        store
            .transact(move |tx| {
                tx.put(realm, (number % 30).to_be_bytes().to_vec(), vec![number as u8; 300]);
                tx.ref_body(realm, &body.id(), &number.to_be_bytes());
                Ok::<_, StoreError>(())
            })
            .wait()
            .unwrap();
    }
}

fn assert_holds(store: &Store, to: u32) {
    let snapshot = store.snapshot();
    for number in to - 30..to {
        let realm = if number % 2 == 0 { ANNA } else { BERT };
        let value = snapshot.get(realm, &(number % 30).to_be_bytes()).unwrap();
        assert_eq!(value.as_deref(), Some(&vec![number as u8; 300][..]), "{number}");
    }
    for number in 0..to {
        let bytes = format!("body {number}");
        assert_eq!(store.body(&BodyId::of(bytes.as_bytes())).unwrap().read_all().unwrap(), bytes.as_bytes());
    }
    assert_eq!(store.seq(), Seq(u64::from(to)));
}

fn sound(store: &Store) {
    for realm in store.realms() {
        let report = store.scrub_realm(realm, &[], true, &|| true).unwrap();
        assert!(report.is_sound(), "{report:?}");
    }
}

#[test]
fn old_log_goes_once_two_checkpoints_hold_it_and_everything_is_rebuilt_without_it() {
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 100);
    assert_eq!(store.drop_old_log().unwrap().segments, 0, "there is no checkpoint");
    store.checkpoint(&|| true).unwrap();
    world.days(20);
    assert_eq!(store.drop_old_log().unwrap().segments, 0, "one checkpoint is not enough");
    fill(&store, 100, 150);
    let second = store.checkpoint(&|| true).unwrap();
    assert_eq!((second.seq, second.realms, second.records), (Seq(150), 2, 30 + 150));
    let dropped = store.drop_old_log().unwrap();
    assert!(dropped.segments > 10 && dropped.first > Seq(90) && dropped.first <= Seq(101), "{dropped:?}");
    assert_eq!(store.drop_old_log().unwrap().segments, 0, "the rest is young");
    fill(&store, 150, 200);
    assert!(matches!(store.follow(Seq(1)), Err(StoreError::NotRetained { first, .. }) if first == dropped.first));
    let digests = [ANNA, BERT].map(|realm| store.snapshot().digest(realm).unwrap());
    store.close();
    drop(store);
    assert_eq!(world.damage(), []);
    fs::remove_dir_all(world.path.join("index")).unwrap();
    let rebuilt = world.rebuild().unwrap();
    assert_eq!((rebuilt.checkpoint, rebuilt.commits, rebuilt.seq), (Some(Seq(150)), 50, Seq(200)));
    let store = world.open();
    assert_eq!([ANNA, BERT].map(|realm| store.snapshot().digest(realm).unwrap()), digests);
    assert_holds(&store, 200);
    sound(&store);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_for_the_one_before_it() {
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 50);
    store.checkpoint(&|| true).unwrap();
    fill(&store, 50, 100);
    store.checkpoint(&|| true).unwrap();
    store.close();
    drop(store);
    let checkpoints = files(&world.path.join("checkpoints"));
    assert_eq!(checkpoints.len(), 2);
    flip(&checkpoints[1], 100);
    assert!(world.damage().iter().any(|what| what.file.as_deref() == checkpoints[1].to_str()));
    fs::remove_dir_all(world.path.join("index")).unwrap();
    let rebuilt = world.rebuild().unwrap();
    assert_eq!((rebuilt.checkpoint, rebuilt.commits, rebuilt.passed_over.len()), (Some(Seq(50)), 50, 1));
    let done = world.repair().unwrap();
    assert!(done.iter().any(|what| what.contains("set aside")), "{done:?}");
    assert_eq!(world.damage(), []);
    assert_holds(&world.open(), 100);
}

#[test]
fn a_checkpoint_that_was_given_up_leaves_those_there_were() {
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 40);
    store.checkpoint(&|| true).unwrap();
    for number in 0..30_u8 {
        store
            .transact(move |tx| {
                tx.put(ANNA, vec![number], vec![1; 100_000]);
                Ok::<_, StoreError>(())
            })
            .wait()
            .unwrap();
    }
    assert!(matches!(store.checkpoint(&|| false), Err(StoreError::Stopped { .. })));
    assert_eq!(store.checkpoints().unwrap(), [Seq(40)]);
    assert_eq!(files(&world.path.join("checkpoints")).len(), 1);
}

#[test]
fn a_log_that_lost_its_beginning_or_the_end_of_a_segment_is_named() {
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 30);
    store.close();
    drop(store);
    let segments = world.segments();
    let kept = fs::read(&segments[0]).unwrap();
    fs::remove_file(&segments[0]).unwrap();
    assert!(
        world.damage().iter().any(|what| (what.cause, what.commit) == (Cause::Missing, Some(Seq(1)))),
        "{:?}",
        world.damage()
    );
    fs::write(&segments[0], &kept).unwrap();
    assert_eq!(world.damage(), []);
    // Exactly the footer: every record is still there.
    fs::write(&segments[0], &kept[..kept.len() - 56]).unwrap();
    assert!(
        world.damage().iter().any(|what| (what.part, what.cause) == (Part::Segment, Cause::CutOff)),
        "{:?}",
        world.damage()
    );
}

#[test]
fn damage_in_an_old_segment_is_repaired_by_what_comes_after_it() {
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 100);
    store.close();
    drop(store);
    let segments = world.segments();
    flip(&segments[2], 200);
    assert!(!world.damage().is_empty());
    let done = world.repair().unwrap();
    assert!(done[0].contains("3 log segments were set aside"), "{done:?}");
    assert_eq!(world.damage(), []);
    let store = world.open();
    assert_holds(&store, 100);
    fill(&store, 100, 120);
    store.close();
    drop(store);
    fs::remove_dir_all(world.path.join("index")).unwrap();
    assert_eq!(world.rebuild().unwrap().checkpoint, Some(Seq(100)));
    assert_holds(&world.open(), 120);
    assert_eq!(world.repair().unwrap(), Vec::<String>::new(), "there is nothing left to do");
}

#[test]
fn a_log_damaged_at_its_end_is_begun_anew_behind_what_the_index_holds() {
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 100);
    store.close();
    drop(store);
    let newest = world.segments().pop().unwrap();
    flip(&newest, 70);
    // The index has all of it: everybody is served meanwhile, and it is said.
    let store = world.open();
    assert_holds(&store, 100);
    assert_eq!(store.damage().files.len(), 1);
    store.close();
    drop(store);
    let done = world.repair().unwrap();
    assert!(done[0].contains("set aside"), "{done:?}");
    assert_eq!(world.damage(), []);
    let store = world.open();
    assert_holds(&store, 100);
    fill(&store, 100, 110);
    assert_eq!(store.snapshot().realm_seq(ANNA), RealmSeq(55));
}

#[test]
fn a_log_that_is_gone_is_begun_anew_behind_what_the_index_holds() {
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 40);
    store.close();
    drop(store);
    fs::remove_dir_all(world.path.join("log")).unwrap();
    assert!(Store::open(&world.path, world.options.clone()).is_err());
    world.repair().unwrap();
    assert_eq!(world.damage(), []);
    assert_holds(&world.open(), 40);
}

#[test]
fn what_is_nowhere_on_the_machine_is_not_repaired_away() {
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 40);
    store.set_cursor("standby", Seq(40)).unwrap();
    store.close();
    drop(store);
    let before = world.segments();
    for segment in &before[before.len() - 3..] {
        fs::remove_file(segment).unwrap();
    }
    // Index and log have both lost their ends: the index is rebuilt from the log that is left, which is short.
    flip_everything(&world.path.join("index/keyspaces"));
    let refused = world.repair();
    assert!(matches!(&refused, Err(StoreError::Damaged { .. })), "{refused:?}");
    assert_eq!(world.segments().len(), before.len() - 3, "nothing more went");
}

/// Damages all files below a folder.
fn flip_everything(dir: &Path) {
    for path in files(dir) {
        if path.is_dir() {
            flip_everything(&path);
        } else {
            let len = fs::metadata(&path).unwrap().len() as usize;
            for at in (0..len).step_by(50) {
                flip(&path, at);
            }
        }
    }
}

#[test]
fn a_start_after_a_crash_is_told_from_one_after_an_orderly_stop() {
    let world = World::new();
    let store = world.open();
    assert!(store.was_closed_in_order(), "a new store");
    fill(&store, 0, 3);
    store.close();
    drop(store);
    let store = world.open();
    assert!(store.was_closed_in_order());
    fill(&store, 3, 5);
    // As a crash leaves it: nothing says that it was closed.
    let crashed = tempfile::tempdir().unwrap();
    copy(&world.path, crashed.path());
    let store = Store::open(crashed.path(), world.options.clone()).unwrap();
    assert!(!store.was_closed_in_order());
    assert_eq!(store.seq(), Seq(5));
}

#[test]
fn a_damaged_index_is_built_anew_from_checkpoint_and_log() {
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 60);
    store.checkpoint(&|| true).unwrap();
    fill(&store, 60, 100);
    store.close();
    drop(store);
    fs::remove_dir_all(world.path.join("index")).unwrap();
    fs::create_dir(world.path.join("index")).unwrap();
    fs::write(world.path.join("index/version"), "not an index").unwrap();
    let done = world.repair().unwrap();
    assert!(done[0].contains("checkpoint 60 and 40 commits"), "{done:?}");
    assert_eq!(world.damage(), []);
    assert_holds(&world.open(), 100);
}

#[test]
fn a_quarantine_survives_a_restart_and_ends_when_the_realm_is_found_sound() {
    struct Angry;
    impl store::Invariants for Angry {
        fn check(&self, realm: RealmId, _: &store::Snapshot) -> Result<Vec<store::Violation>, StoreError> {
            Ok(vec![store::Violation { realm, what: "seven is not eight".to_owned() }])
        }
    }
    let world = World::new();
    let store = world.open();
    fill(&store, 0, 40);
    let report = store.scrub_realm(ANNA, &[&Angry], false, &|| true).unwrap();
    let broken_rule = Damaged::new(Part::Realm, Cause::Invariant).realm(ANNA).because("seven is not eight");
    assert_eq!(report.damage, std::slice::from_ref(&broken_rule));
    store.close();
    drop(store);
    let store = world.open();
    assert_eq!(store.quarantined(), [(ANNA, broken_rule)], "not forgotten by a restart");
    let write = |realm| {
        store
            .transact(move |tx| {
                tx.put(realm, b"z".to_vec(), Vec::new());
                Ok::<_, StoreError>(())
            })
            .wait()
    };
    assert!(matches!(write(ANNA), Err(StoreError::Quarantined { realm: ANNA, .. })));
    assert!(store.snapshot().get(ANNA, &38_u32.to_be_bytes()).is_ok(), "what is intact stays readable");
    write(BERT).unwrap();
    assert!(store.release_realm(ANNA, &[&Angry]).is_err());
    store.release_realm(ANNA, &[]).unwrap();
    write(ANNA).unwrap();
    store.scrub_realm(ANNA, &[&Angry], false, &|| true).unwrap();
    store.close();
    drop(store);
    let report = verify(&world.path, world.options.clone(), &[], |_, _, _| ()).unwrap();
    assert!(report.is_sound() && report.released.len() == 1, "{report:?}");
    assert!(world.open().quarantined().is_empty());
}
