//! What every engine of bodies promises, tried on each.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Dice, disk::SimDisk, index::SimIndex};
use crate::{
    BodyId, StoreError,
    body::{Bodies, MemoryBodies, Packs},
    damage::Tally,
    disk::Disk,
    room::Room,
};

const DIR: &str = "/data/packs";

/// What bodies outlive a process in.
trait Engine {
    fn open(&self) -> Arc<dyn Bodies>;
    /// What is left once the power is back.
    fn after_power_loss(&self, dice: &mut Dice) -> Box<dyn Engine>;
    /// Changes a bit of a body: of its bytes as they were put.
    fn hurt(&self, bytes: &[u8]);
    /// Bytes that are kept.
    fn size(&self) -> u64;
}

struct Files {
    disk: SimDisk,
    index: Arc<SimIndex>,
}

impl Files {
    fn packs(&self) -> Vec<PathBuf> {
        self.disk.list(Path::new(DIR)).unwrap().iter().map(|name| Path::new(DIR).join(name)).collect()
    }
}

impl Engine for Files {
    fn open(&self) -> Arc<dyn Bodies> {
        let room = Room::new(Arc::new(self.disk.clone()), Path::new(DIR), 0);
        let tally = Arc::new(Tally::default());
        Arc::new(Packs::open(Arc::new(room), Path::new(DIR), self.index.clone(), 20_000, tally).unwrap())
    }

    fn after_power_loss(&self, dice: &mut Dice) -> Box<dyn Engine> {
        let index = Arc::new(self.index.after_power_loss(dice));
        Box::new(Self { disk: self.disk.after_power_loss(), index })
    }

    fn hurt(&self, bytes: &[u8]) {
        for path in self.packs() {
            let file = self.disk.open(&path).unwrap();
            let mut all = vec![0; file.len().unwrap() as usize];
            file.read_full(&mut all, 0).unwrap();
            if let Some(at) = all.windows(bytes.len()).position(|window| window == bytes) {
                return file.write_at(&[bytes[0] ^ 1], at as u64).unwrap();
            }
        }
        panic!("it is in no pack");
    }

    fn size(&self) -> u64 {
        self.packs().iter().map(|path| self.disk.open(path).unwrap().len().unwrap()).sum()
    }
}

struct InMemory(Arc<MemoryBodies>);

impl Engine for InMemory {
    fn open(&self) -> Arc<dyn Bodies> {
        self.0.clone()
    }

    fn after_power_loss(&self, _: &mut Dice) -> Box<dyn Engine> {
        self.0.crash();
        Box::new(Self(self.0.clone()))
    }

    fn hurt(&self, bytes: &[u8]) {
        self.0.hurt(&BodyId::of(bytes));
    }

    fn size(&self) -> u64 {
        self.0.size()
    }
}

fn engines(seed: u64) -> [(&'static str, Box<dyn Engine>); 2] {
    let files = Files { disk: SimDisk::new(seed), index: Arc::default() };
    [("files", Box::new(files)), ("memory", Box::new(InMemory(Arc::default())))]
}

/// Bytes that no compression makes smaller.
fn text(number: u64, len: usize) -> Vec<u8> {
    let mut dice = Dice(number);
    (0..len).map(|_| dice.next() as u8).collect()
}

#[test]
fn a_body_is_kept_once_and_given_as_it_was_put() {
    for (name, engine) in engines(1) {
        let bodies = engine.open();
        let texts = [vec![], vec![7], text(1, 300), vec![b'a'; 5_000], text(2, 300_000), text(3, 256 << 10)];
        for text in &texts {
            let id = bodies.clone().put(text).unwrap();
            assert_eq!(id, BodyId::of(text), "{name}");
            bodies.check_known(&id).unwrap();
            assert!(bodies.clone().get(&id).unwrap() == text[..], "{name}: before the sync");
        }
        bodies.sync().unwrap();
        let size = engine.size();
        for text in &texts {
            let id = bodies.clone().put(text).unwrap();
            bodies.unpin(&id);
            bodies.unpin(&id);
            assert!(bodies.clone().get(&id).unwrap() == text[..], "{name}");
        }
        bodies.sync().unwrap();
        assert_eq!(engine.size(), size, "{name}: twice the same is once");
    }
}

#[test]
fn what_was_never_put_is_missing() {
    for (name, engine) in engines(2) {
        let bodies = engine.open();
        bodies.clone().put(b"another").unwrap();
        let id = BodyId::of(b"a body");
        assert!(matches!(bodies.check_known(&id), Err(StoreError::BodyMissing { id: lost }) if lost == id), "{name}");
        assert!(matches!(bodies.clone().get(&id), Err(StoreError::BodyMissing { id: lost }) if lost == id), "{name}");
    }
}

#[test]
fn what_was_synced_is_there_after_a_crash_and_nothing_is_ever_something_else() {
    for seed in 0..40 {
        for (name, mut engine) in engines(seed) {
            let mut dice = Dice(seed);
            let (mut synced, mut put) = (Vec::new(), Vec::<Vec<u8>>::new());
            for life in 0..3 {
                let bodies = engine.open();
                put.retain(|text| {
                    let what = format!("{name}, seed {seed}, life {life}");
                    match bodies.clone().get(&BodyId::of(text)) {
                        Ok(bytes) => assert!(bytes == text[..], "{what}"),
                        Err(error) => {
                            assert!(!synced.contains(text), "{what}: {error}");
                            assert!(error.is_damage(), "{what}: {error}");
                            return false;
                        }
                    }
                    true
                });
                for _ in 0..dice.below(20) {
                    let text = text(dice.below(1_000), dice.below(3_000) as usize);
                    bodies.clone().put(&text).unwrap();
                    put.push(text);
                    if dice.once_in(4) {
                        bodies.sync().unwrap();
                        synced.clone_from(&put);
                    }
                }
                drop(bodies);
                engine = engine.after_power_loss(&mut dice);
            }
        }
    }
}

#[test]
fn a_damaged_body_is_never_given_and_is_well_once_it_is_put_again() {
    for (name, engine) in engines(3) {
        let bodies = engine.open();
        let (one, two) = (text(1, 2_000), text(2, 2_000));
        let ids = [bodies.clone().put(&one).unwrap(), bodies.clone().put(&two).unwrap()];
        bodies.sync().unwrap();
        engine.hurt(&one);
        let read = bodies.clone().get(&ids[0]);
        let Err(StoreError::BodyDamaged { id, damage }) = &read else { panic!("{name}: {read:?}") };
        assert_eq!((*id, damage.body), (ids[0], Some(ids[0])), "{name}");
        assert!(bodies.clone().get(&ids[1]).unwrap() == two[..], "{name}: the other is well");
        bodies.clone().put(&one).unwrap();
        bodies.sync().unwrap();
        assert!(bodies.clone().get(&ids[0]).unwrap() == one[..], "{name}");
    }
}

#[test]
fn many_put_and_read_at_the_same_time() {
    for (name, engine) in engines(4) {
        let bodies = engine.open();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let bodies = bodies.clone();
                scope.spawn(move || {
                    for number in 0..40 {
                        // Half of them are the others' too.
                        let text = text(if number % 2 == 0 { number } else { 1_000 * writer + number }, 700);
                        let id = bodies.clone().put(&text).unwrap();
                        if number % 8 == 0 {
                            bodies.sync().unwrap();
                        }
                        assert!(bodies.clone().get(&id).unwrap() == text[..]);
                    }
                });
            }
        });
        bodies.sync().unwrap();
        drop(bodies);
        let again = engine.open();
        for number in 0..40 {
            for writer in 0..4 {
                let text = text(if number % 2 == 0 { number } else { 1_000 * writer + number }, 700);
                assert!(again.clone().get(&BodyId::of(&text)).unwrap() == text[..], "{name}");
            }
        }
    }
}
