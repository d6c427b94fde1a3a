//! What every engine of the log promises, tried on each.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use super::{Dice, disk::SimDisk};
use crate::{
    Cause, Commit, Op, Part, RealmCommit, Result, Seq, StoreError,
    log::{Chain, CommitLog, Commits, InSegments, Log, Memory, frame},
};

type Opened = (Box<dyn CommitLog>, Arc<dyn Commits>);

/// What a log outlives its owner in.
trait Engine {
    fn open(&self, witness: Seq) -> Result<Opened>;
    /// What is left once the power is back.
    fn after_power_loss(&self, dice: &mut Dice) -> Box<dyn Engine>;
}

/// Segments on a simulated disk.
struct Files(SimDisk);

impl Engine for Files {
    fn open(&self, witness: Seq) -> Result<Opened> {
        let (disk, dir) = (Arc::new(self.0.clone()), PathBuf::from("/data/log"));
        let (log, _) = Log::open(disk.clone(), Path::new(&dir), witness, (Seq(0), [0; 32]), 700)?;
        Ok((Box::new(log), Arc::new(InSegments { disk, dir })))
    }

    fn after_power_loss(&self, _: &mut Dice) -> Box<dyn Engine> {
        Box::new(Self(self.0.after_power_loss()))
    }
}

impl Engine for Memory {
    fn open(&self, witness: Seq) -> Result<Opened> {
        let log = Self::open(self, witness)?;
        Ok((Box::new(log), Arc::new(self.clone())))
    }

    fn after_power_loss(&self, dice: &mut Dice) -> Box<dyn Engine> {
        self.crash(dice.below(3) as usize);
        Box::new(self.clone())
    }
}

fn engines(seed: u64) -> [(&'static str, Box<dyn Engine>); 2] {
    [("files", Box::new(Files(SimDisk::new(seed)))), ("memory", Box::new(Memory::default()))]
}

fn commit(seq: u64) -> Commit {
    let op = Op { key: seq.to_be_bytes().to_vec(), value: Some(vec![7; (seq % 50) as usize + 1]) };
    let part = RealmCommit { realm_raw: 1, realm_seq_raw: seq, digest_bytes: vec![0; 16], ops: vec![op] };
    let time_ms = 1_000 + seq as i64;
    Commit { seq_raw: seq, epoch: 1, time_ms, realms: vec![part], ..Commit::default() }
}

/// Appends so many commits, without making them durable; gives the chain after each.
fn append(log: &mut dyn CommitLog, count: u64) -> Vec<Chain> {
    let (mut frames, mut chain, mut chains) = (Vec::new(), log.chain(), Vec::new());
    let first = log.next().0;
    for seq in first..first + count {
        chain = frame(&commit(seq), chain, &mut frames);
        chains.push(chain);
    }
    log.append(&frames, count, chain, 1_000 + (first + count - 1) as i64).unwrap();
    assert_eq!((log.next(), log.chain()), (Seq(first + count), chain));
    chains
}

/// A log of so many commits, all durable, in groups of three; and the chain after each.
fn filled(engine: &dyn Engine, count: u64) -> (Opened, Vec<Chain>) {
    let (mut log, commits) = engine.open(Seq(0)).unwrap();
    let mut chains = Vec::new();
    while (chains.len() as u64) < count {
        let group = 3.min(count - chains.len() as u64);
        chains.extend(append(&mut *log, group));
        log.sync().unwrap();
        log.roll().unwrap();
        assert_eq!(log.keep_in_place().unwrap(), None);
    }
    ((log, commits), chains)
}

fn read(commits: &dyn Commits, from: u64, to: u64) {
    let mut cursor = commits.from(Seq(from)).unwrap();
    for seq in from..=to {
        assert_eq!(*cursor.next().unwrap(), commit(seq));
    }
}

#[test]
fn what_was_synced_is_there_after_a_crash_and_what_follows_it_follows_from_it() {
    for seed in 0..60 {
        for (name, mut engine) in engines(seed) {
            let mut dice = Dice(seed);
            let (mut chains, mut synced) = (Vec::new(), 0);
            for life in 0..4 {
                let what = format!("{name}, seed {seed}, life {life}");
                let (mut log, commits) = engine.open(Seq(synced)).unwrap_or_else(|error| panic!("{what}: {error}"));
                let reached = log.next().0 - 1;
                assert!(synced <= reached && reached <= chains.len() as u64, "{what}: {reached} of {synced}");
                chains.truncate(reached as usize);
                assert_eq!(log.chain(), chains.last().copied().unwrap_or_default(), "{what}");
                if reached > 0 {
                    read(&*commits, 1, reached);
                    assert_eq!(log.time_ms(), 1_000 + reached as i64, "{what}");
                }
                for _ in 0..dice.below(12) {
                    chains.extend(append(&mut *log, 1 + dice.below(4)));
                    if dice.once_in(2) {
                        log.sync().unwrap();
                        synced = chains.len() as u64;
                        log.roll().unwrap();
                    }
                }
                drop((log, commits));
                engine = engine.after_power_loss(&mut dice);
            }
        }
    }
}

#[test]
fn a_log_that_must_be_longer_is_damaged_and_left_as_it_is() {
    for (name, engine) in engines(1) {
        let (opened, chains) = filled(&*engine, 10);
        drop(opened);
        for witness in [11, 12, 1_000] {
            let outcome = engine.open(Seq(witness)).map(|_| ());
            let Err(StoreError::Damaged(what)) = &outcome else { panic!("{name}: {outcome:?}") };
            assert_eq!((what.part, what.cause, what.commit), (Part::Log, Cause::CutOff, Some(Seq(11))), "{name}");
        }
        let (log, commits) = engine.open(Seq(10)).unwrap();
        assert_eq!((log.next(), log.chain()), (Seq(11), chains[9]), "{name}");
        read(&*commits, 1, 10);
    }
    for (name, engine) in engines(2) {
        let outcome = engine.open(Seq(5)).map(|_| ());
        assert!(matches!(&outcome, Err(StoreError::Damaged(what)) if what.part == Part::Log), "{name}: {outcome:?}");
    }
}

#[test]
fn reading_begins_at_any_commit_and_ends_where_the_log_ends() {
    for (name, engine) in engines(3) {
        let ((_log, commits), chains) = filled(&*engine, 40);
        assert_eq!(commits.first().unwrap(), Seq(1), "{name}");
        for from in 1..=40 {
            read(&*commits, from, 40);
            let (chain, time_ms) = commits.point(Seq(from)).unwrap();
            assert_eq!((chain, time_ms), (chains[from as usize - 1], Some(1_000 + from as i64)), "{name}, {from}");
        }
        assert_eq!(commits.point(Seq(0)).unwrap(), ([0; 32], None), "{name}");
        let mut cursor = commits.from(Seq(40)).unwrap();
        cursor.next().unwrap();
        assert!(cursor.next().unwrap_err().is_damage(), "{name}: there is no more");
        assert!(commits.point(Seq(41)).unwrap_err().is_damage(), "{name}");
    }
}

#[test]
fn what_is_dropped_is_not_retained_and_nothing_behind_it_goes() {
    for (name, engine) in engines(4) {
        let ((log, commits), chains) = filled(&*engine, 60);
        let mut slow = commits.from(Seq(1)).unwrap();
        for before in [1, 2, 20, 41] {
            let first = commits.drop_before(Seq(before)).unwrap();
            assert!(first <= Seq(before) && commits.first().unwrap() == first, "{name}: {first} of {before}");
            read(&*commits, before, 60);
            read(&*commits, first.0, 60);
            let (chain, _) = commits.point(Seq(first.0 - 1)).unwrap();
            assert_eq!(chain, chains.get((first.0 as usize).wrapping_sub(2)).copied().unwrap_or_default(), "{name}");
        }
        let first = commits.first().unwrap();
        assert!(first > Seq(1), "{name}");
        for lost in 1..first.0 {
            let asked = commits.from(Seq(lost)).map(|_| ());
            assert!(matches!(asked, Err(StoreError::NotRetained { first: begin, .. }) if begin == first), "{name}");
        }
        assert!(matches!(commits.point(Seq(first.0 - 2)), Err(StoreError::NotRetained { .. })), "{name}");
        // One that was reading finds out, at once or where what it has open ends.
        let lost = (1..first.0).find_map(|_| slow.next().err());
        assert!(matches!(lost, Some(StoreError::NotRetained { .. }) | None), "{name}: {lost:?}");
        drop((log, commits));
        let (mut log, commits) = engine.open(Seq(60)).unwrap();
        append(&mut *log, 1);
        log.sync().unwrap();
        assert_eq!(commits.first().unwrap(), first, "{name}");
        read(&*commits, first.0, 61);
    }
}

#[test]
fn what_was_taken_back_does_not_come_back() {
    for (name, engine) in engines(5) {
        let ((mut log, commits), chains) = filled(&*engine, 10);
        let mark = log.mark();
        append(&mut *log, 2);
        assert!(log.take_back(mark), "{name}");
        drop((log, commits));
        let (mut log, commits) = engine.open(Seq(10)).unwrap();
        assert_eq!((log.next(), log.chain()), (Seq(11), chains[9]), "{name}");
        append(&mut *log, 1);
        log.sync().unwrap();
        read(&*commits, 1, 11);
    }
}

#[test]
fn readers_follow_while_the_log_grows() {
    for (name, engine) in engines(6) {
        let ((mut log, commits), _) = filled(&*engine, 3);
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let commits = commits.clone();
                let (durable, heard) = mpsc::channel::<u64>();
                let reader = std::thread::spawn(move || {
                    let (mut cursor, mut next) = (commits.from(Seq(1)).unwrap(), 1);
                    for upto in heard {
                        while next <= upto {
                            assert_eq!(*cursor.next().unwrap(), commit(next));
                            next += 1;
                        }
                    }
                    next - 1
                });
                (durable, reader)
            })
            .collect();
        for _ in 0..40 {
            append(&mut *log, 2);
            log.sync().unwrap();
            log.roll().unwrap();
            for (durable, _) in &readers {
                durable.send(log.next().0 - 1).unwrap();
            }
        }
        for (durable, reader) in readers {
            drop(durable);
            assert_eq!(reader.join().unwrap(), 83, "{name}");
        }
    }
}
