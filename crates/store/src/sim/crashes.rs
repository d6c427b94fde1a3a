//! Thousands of crashes: acknowledged data is there, existing data is intact, and there is nothing else.

use std::{
    collections::BTreeMap,
    ops::Bound,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
        mpsc,
    },
    time::Duration,
};

use super::{
    Dice,
    disk::{Fault, SimDisk},
    index::SimIndex,
};
use crate::{
    BODY_REFERENCE, BodyId, Clock, Order, Read as _, RealmId, Reclaim, Seq, StagedBody, Store, StoreError,
    StoreOptions, checkpoint, disk::Disk, log,
};

/// Crash points in all, spread over worlds that each live through some.
const WORLDS: u64 = 250;
const CRASHES_PER_WORLD: u64 = 40;
const REALMS: [RealmId; 2] = [RealmId::DIRECTORY, RealmId::account(7)];
const KEYS: u64 = 8;

/// What a key should hold: a value and a body of the same number.
type Model = BTreeMap<(RealmId, u8), u64>;

/// One commit's doing, in one or both realms.
#[derive(Clone)]
struct Act {
    realms: Vec<RealmId>,
    key: u8,
    number: Option<u64>,
}

impl Act {
    fn apply(&self, model: &mut Model) {
        for realm in &self.realms {
            match self.number {
                Some(number) => model.insert((*realm, self.key), number),
                None => model.remove(&(*realm, self.key)),
            };
        }
    }
}

fn body_of(number: u64) -> Vec<u8> {
    let mut dice = Dice(number);
    (0..40 + dice.below(900)).map(|_| dice.next() as u8).collect()
}

fn act_in(tx: &mut crate::Tx<'_>, act: &Act, body: Option<&StagedBody>) -> Result<(), StoreError> {
    for &realm in &act.realms {
        let key = vec![act.key];
        let old = tx.get(realm, &key)?;
        if let Some(old) = old {
            let number = u64::from_le_bytes(old[..8].try_into().expect("8 bytes"));
            tx.unref_body(realm, &BodyId::of(&body_of(number)), &key);
        }
        match (act.number, body) {
            (Some(number), Some(body)) => {
                tx.ref_body(realm, &body.id(), &key);
                tx.put(realm, key, number.to_le_bytes().to_vec());
            }
            _ => tx.delete(realm, key),
        }
    }
    Ok(())
}

/// A clock that goes on a little whenever it is looked at.
#[derive(Default)]
struct Ticking(AtomicI64);

impl Clock for Ticking {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

struct World {
    seed: u64,
    dice: Dice,
    disk: SimDisk,
    index: Arc<SimIndex>,
    clock: Arc<Ticking>,
    /// Log segments dropped by retention, and packs taken back.
    dropped: u64,
    reclaimed: u64,
    /// How often the process was killed, and the power went.
    killed: u64,
    lost_power: u64,
    model: Model,
    /// The commits in `model`.
    seq: u64,
    number: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            seed,
            dice: Dice(seed),
            disk: SimDisk::new(seed),
            index: Arc::default(),
            clock: Arc::default(),
            dropped: 0,
            reclaimed: 0,
            killed: 0,
            lost_power: 0,
            model: Model::new(),
            seq: 0,
            number: seed << 32,
        }
    }

    fn open(&self) -> Result<Store, StoreError> {
        let options = StoreOptions {
            segment_bytes: 3_000,
            pack_bytes: 6_000,
            disk: Arc::new(self.disk.clone()) as Arc<dyn Disk>,
            retention: Duration::from_millis(20),
            clock: self.clock.clone(),
            ..StoreOptions::default()
        };
        super::open(options, self.index.clone())
    }

    /// Runs one group; gives the acts whose outcome nobody knows, and whether the store goes on.
    fn group(&mut self, store: &Store) -> (Vec<Act>, bool) {
        // A transaction that waits until all others of the group stand behind it makes groups the same in every run.
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let gate = store.transact(move |_| {
            let _ = started.send(());
            let _ = released.recv_timeout(Duration::from_secs(60));
            Ok::<_, StoreError>(())
        });
        let _ = has_started.recv();
        let mut tickets = Vec::new();
        for _ in 0..=self.dice.below(4) {
            self.number += 1;
            let realms = match self.dice.below(3) {
                0 => REALMS.to_vec(),
                which => vec![REALMS[which as usize - 1]],
            };
            let number = (!self.dice.once_in(4)).then_some(self.number);
            let act = Act { realms, key: self.dice.below(KEYS) as u8, number };
            // A body that could not be kept: nothing refers to it.
            let Ok(body) = number.map(|number| store.put_body(&body_of(number))).transpose() else { continue };
            let mine = act.clone();
            let ticket = store.transact(move |tx| act_in(tx, &mine, body.as_ref()));
            tickets.push((act, ticket));
        }
        let _ = release.send(());
        let _ = gate.wait();
        let mut unknown = Vec::new();
        let mut goes_on = true;
        for (act, ticket) in tickets {
            match ticket.wait() {
                Ok(()) => {
                    assert!(goes_on && unknown.is_empty(), "seed {}: acknowledged after a failure", self.seed);
                    act.apply(&mut self.model);
                    self.seq += 1;
                }
                Err(StoreError::Full) => {}
                // Refused: it is not there after a restart either.
                Err(StoreError::Stopped { .. }) => goes_on = false,
                Err(StoreError::Unknown { .. }) => {
                    unknown.push(act);
                    goes_on = false;
                }
                // A write was refused and taken back.
                Err(StoreError::Io { .. }) => {}
                Err(error) => panic!("seed {}: {error}", self.seed),
            }
        }
        (unknown, goes_on)
    }

    /// The store holds the model after as many of the unknown acts, in order, as its seq says.
    fn check(&mut self, store: &Store, unknown: Vec<Act>) {
        let seed = self.seed;
        let more = store.seq().0.checked_sub(self.seq).unwrap_or_else(|| {
            panic!("seed {seed}: commit {} was acknowledged, the store ends at {}", self.seq, store.seq())
        });
        assert!(more <= unknown.len() as u64, "seed {seed}: {more} commits that nobody made");
        for act in &unknown[..more as usize] {
            // A deletion of nothing still is a commit, as in the store.
            act.apply(&mut self.model);
            self.seq += 1;
        }
        let snapshot = store.snapshot();
        let mut found = Model::new();
        let mut references = 0;
        for realm in REALMS {
            for row in snapshot.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap() {
                let (key, value) = row.unwrap_or_else(|error| panic!("seed {seed}: {error}"));
                if key[0] == BODY_REFERENCE {
                    references += 1;
                    continue;
                }
                let number = u64::from_le_bytes(value[..].try_into().unwrap());
                found.insert((realm, key[0]), number);
                let bytes = body_of(number);
                let body = store.body(&BodyId::of(&bytes)).and_then(|mut body| body.read_all());
                let body = body.unwrap_or_else(|error| panic!("seed {seed}: {realm}: {error}"));
                assert_eq!(body, bytes, "seed {seed}");
            }
        }
        assert_eq!(found, self.model, "seed {seed}, commit {}", self.seq);
        assert_eq!(references, self.model.len(), "seed {seed}");
        assert!(store.quarantined().is_empty(), "seed {seed}");
        // The index can always be built anew: from the first commit on, or from a checkpoint that the log follows.
        let (log_dir, checkpoints) = (Path::new("/store/log"), Path::new("/store/checkpoints"));
        let begins = log::segments(&self.disk, log_dir).unwrap().first().copied().unwrap_or(Seq(1));
        let is_base = |seq: &Seq| {
            seq.0 + 1 >= begins.0 && checkpoint::read(&self.disk, checkpoints, *seq, &mut |_| Ok(())).is_ok()
        };
        let has_base = checkpoint::list(&self.disk, checkpoints).unwrap().iter().any(is_base);
        assert!(begins == Seq(1) || has_base, "seed {seed}: the log begins at {begins}, and no checkpoint leads there");
    }

    /// Works until the power goes (or the disk fails, and then the power goes) or the process is killed, comes back, and
    /// looks.
    fn crash(&mut self) {
        let fault = match self.dice.below(8) {
            0 => Fault::Full,
            1 => Fault::Broken,
            2 | 3 => Fault::Killed,
            _ => Fault::PowerLoss,
        };
        // Half of the faults meet the opening, or what comes soon after it.
        let operations = self.dice.below(if self.dice.clone().once_in(2) { 6 } else { 40 });
        self.disk.plan(operations, fault);
        let mut unknown = Vec::new();
        if let Ok(store) = self.open() {
            for _ in 0..6 {
                let (open, goes_on) = self.group(&store);
                unknown = open;
                if !goes_on {
                    break;
                }
                // Whether these succeed or meet the fault: nothing acknowledged may depend on it.
                if self.dice.once_in(3) {
                    let _ = store.checkpoint(&|| true);
                    self.dropped += store.drop_old_log().map_or(0, |dropped| dropped.segments);
                    let how = Reclaim { live_percent: 90, bytes_per_second: u64::MAX };
                    self.reclaimed += store.reclaim_bodies(how, &|| true).map_or(0, |done| done.removed);
                }
            }
            if self.dice.once_in(4) {
                store.close();
            }
        }
        if fault == Fault::Killed {
            self.disk = self.disk.after_kill();
            self.killed += 1;
        } else {
            let disk = self.disk.after_power_loss();
            let index = self.index.after_power_loss(&mut self.dice);
            (self.disk, self.index) = (disk, Arc::new(index));
            self.lost_power += 1;
        }
        let store = self.open().unwrap_or_else(|error| panic!("seed {}: {error}", self.seed));
        self.check(&store, unknown);
    }
}

/// Gives how many log segments were dropped and packs taken back meanwhile, and how often processes were killed and
/// power was lost.
fn worlds(from: u64, to: u64) -> [u64; 4] {
    let mut met = [0; 4];
    for seed in from..to {
        let mut world = World::new(seed);
        for _ in 0..CRASHES_PER_WORLD {
            world.crash();
        }
        let here = [world.dropped, world.reclaimed, world.killed, world.lost_power];
        met.iter_mut().zip(here).for_each(|(sum, here)| *sum += here);
    }
    met
}

#[test]
fn ten_thousand_crashes_lose_nothing_that_was_acknowledged() {
    // Other worlds than everyday's, for who looks for more.
    let first = std::env::var("HOLDFAST_SIM_FIRST").ok().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
    let quarters: Vec<[u64; 4]> = std::thread::scope(|scope| {
        let quarters = [0, 1, 2, 3].map(|quarter| {
            scope.spawn(move || worlds(first + quarter * WORLDS / 4, first + (quarter + 1) * WORLDS / 4))
        });
        quarters.into_iter().map(|quarter| quarter.join().expect("a world that fails says why")).collect()
    });
    let sum = |what: usize| quarters.iter().map(|met| met[what]).sum::<u64>();
    let (dropped, reclaimed, killed, lost_power) = (sum(0), sum(1), sum(2), sum(3));
    println!("{killed} kills, {lost_power} power losses; {dropped} log segments dropped, {reclaimed} packs taken back");
    assert!(killed + lost_power >= 10_000 && killed > 1_000 && lost_power > 1_000);
    println!(
        "proof | the power fails, the process dies | nothing acknowledged | simulated: {lost_power} power losses with torn \
         and unsynced writes, {killed} kills"
    );
    assert!(dropped > 200 && reclaimed > 200, "{dropped} segments, {reclaimed} packs: hardly met");
}

fn put(store: &Store, value: &[u8]) -> Result<(), StoreError> {
    let value = value.to_vec();
    store
        .transact(move |tx| {
            tx.put(REALMS[0], b"x".to_vec(), value);
            Ok(())
        })
        .wait()
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_reads_go_on() {
    let mut world = World::new(1);
    let store = world.open().unwrap();
    let (unknown, goes_on) = world.group(&store);
    assert!(unknown.is_empty() && goes_on);
    let commit = |value| put(&store, value);
    commit(b"before").unwrap();
    // Without a body, a commit is one write and one sync.
    world.disk.plan(1, Fault::Broken);
    assert!(matches!(commit(b"during"), Err(StoreError::Stopped { .. })));
    assert!(matches!(commit(b"after"), Err(StoreError::Stopped { .. })), "and the next sync would have succeeded");
    assert!(store.stopped().is_some());
    assert_eq!(store.snapshot().get(REALMS[0], b"x").unwrap().as_deref(), Some(&b"before"[..]));
    drop(store);
    // What was refused is not there after a restart either.
    let store = world.open().unwrap();
    assert_eq!(store.snapshot().get(REALMS[0], b"x").unwrap().as_deref(), Some(&b"before"[..]));
}

#[test]
fn a_sync_that_fails_and_can_not_be_taken_back_is_answered_neither_way() {
    let world = World::new(1);
    let store = world.open().unwrap();
    put(&store, b"before").unwrap();
    world.disk.plan(1, Fault::Killed);
    assert!(matches!(put(&store, b"during"), Err(StoreError::Unknown { .. })));
    assert!(matches!(put(&store, b"after"), Err(StoreError::Stopped { .. })), "it was not even begun");
}

#[test]
fn a_full_disk_refuses_by_name_and_works_again_when_there_is_room() {
    let world = World::new(1);
    let store = world.open().unwrap();
    let commit = |value| put(&store, value);
    commit(b"before").unwrap();
    world.disk.plan(0, Fault::Full);
    assert!(matches!(commit(b"during"), Err(StoreError::Full)));
    assert_eq!(store.snapshot().get(REALMS[0], b"x").unwrap().as_deref(), Some(&b"before"[..]));
    commit(b"after").unwrap();
    assert_eq!(store.seq().0, 2);
    drop(store);
    let store = world.open().unwrap();
    assert_eq!(store.snapshot().get(REALMS[0], b"x").unwrap().as_deref(), Some(&b"after"[..]));
}

#[test]
fn whatever_fails_at_a_segments_end_nothing_acknowledged_is_behind_a_hole() {
    let mut rolled = 0;
    for operation in 0..90 {
        for fault in [Fault::Broken, Fault::Full] {
            for seed in 0..2 {
                let mut world = World::new(seed);
                let store = world.open().unwrap();
                world.disk.plan(operation, fault);
                let mut acknowledged = 0_u64;
                for number in 1..=40_u64 {
                    let value = [&number.to_le_bytes()[..], &[7; 120]].concat();
                    match put(&store, &value) {
                        Ok(()) => acknowledged = number,
                        Err(StoreError::Stopped { .. } | StoreError::Unknown { .. }) => break,
                        Err(StoreError::Full | StoreError::Io { .. }) => {}
                        Err(error) => panic!("{operation}, {fault:?}: {error}"),
                    }
                }
                rolled += log::segments(&world.disk, Path::new("/store/log")).unwrap().len() - 1;
                drop(store);
                let index = world.index.after_power_loss(&mut world.dice);
                (world.disk, world.index) = (world.disk.after_power_loss(), Arc::new(index));
                let store = world.open().unwrap_or_else(|error| panic!("{operation}, {fault:?}, {seed}: {error}"));
                let value = store.snapshot().get(REALMS[0], b"x").unwrap();
                let found = value.map_or(0, |value| u64::from_le_bytes(value[..8].try_into().unwrap()));
                assert!(found >= acknowledged, "{operation}, {fault:?}, {seed}: {found}, not {acknowledged}");
            }
        }
    }
    assert!(rolled > 250, "{rolled} segments were ended");
}
