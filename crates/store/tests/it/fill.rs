//! A log with commits that are missing or damaged is filled from someone who has them, and from nobody else.

use std::{
    collections::BTreeMap,
    fs,
    ops::Bound,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use store::{
    Damaged, Filled, LogDonor, Order, Read as _, RealmId, Seq, Store, StoreError, StoreOptions, fill_log, verify,
};

use crate::common::{copy, files, scratch};

const REALM: RealmId = RealmId::DIRECTORY;
/// Commits of the whole log: in several segments, the newest of which has some.
const COMMITS: u64 = 60;

/// No commit.
const NOTHING: RangeInclusive<u64> = RangeInclusive::new(1, 0);

fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 3_000, cache_bytes: 16_000, ..StoreOptions::default() }
}

fn commit(store: &Store, number: u64) {
    let value = vec![number as u8; 200];
    let put = store.transact(move |tx| {
        tx.put(REALM, number.to_be_bytes().to_vec(), value);
        Ok::<_, StoreError>(())
    });
    put.wait().unwrap();
}

fn build(dir: &Path, commits: u64) {
    let store = Store::open(dir, options()).unwrap();
    for number in 1..=commits {
        commit(&store, number);
    }
    assert_eq!(store.seq(), Seq(commits));
    store.close();
}

fn log_of(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "log");
    files(&dir.join("log")).into_iter().filter(is_segment).map(|path| (name(&path), fs::read(&path).unwrap())).collect()
}

/// Another machine that has the log.
struct Machine {
    store: Store,
    /// It does not have these.
    lacks: RangeInclusive<u64>,
    /// A bit of what it gives is another one.
    flips: bool,
    /// It does not answer.
    silent: bool,
    asked: usize,
}

impl Machine {
    fn new(dir: &Path) -> Self {
        let store = Store::open(dir, options()).unwrap();
        #[allow(clippy::reversed_empty_ranges)]
        Self { store, lacks: NOTHING, flips: false, silent: false, asked: 0 }
    }
}

impl LogDonor for Machine {
    fn name(&self) -> String {
        "another machine".to_owned()
    }

    fn run(&mut self, from: Seq) -> Result<Option<Vec<u8>>, String> {
        self.asked += 1;
        assert!(self.asked < 1_000, "it is asked for ever");
        if self.silent {
            return Err("it does not answer".to_owned());
        }
        if self.lacks.contains(&from.0) {
            return Ok(None);
        }
        let mut run = self.store.log_run(from).unwrap();
        if let Some(bytes) = run.as_mut().filter(|_| self.flips) {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        }
        Ok(run)
    }
}

type Damage = fn(&Path);

fn truncate(path: &Path, keep: impl Fn(u64) -> u64) {
    let len = fs::metadata(path).unwrap().len();
    fs::File::options().write(true).open(path).unwrap().set_len(keep(len)).unwrap();
}

fn flip(path: &Path, at: impl Fn(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = at(bytes.len());
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

/// What can happen to a segment.
const DAMAGES: [(&str, Damage); 14] = [
    ("it is missing", |path| fs::remove_file(path).unwrap()),
    ("it is empty", |path| truncate(path, |_| 0)),
    ("it is cut off in its header", |path| truncate(path, |_| 20)),
    ("it is cut off behind its header", |path| truncate(path, |_| 52)),
    ("it is cut off in the middle", |path| truncate(path, |len| len / 2)),
    ("its last byte is cut off", |path| truncate(path, |len| len - 1)),
    ("a bit of its name in the header is another", |path| flip(path, |_| 9)),
    ("a bit of the chain in the header is another", |path| flip(path, |_| 20)),
    ("a bit of the first record's length is another", |path| flip(path, |_| 53)),
    ("a bit of the first record is another", |path| flip(path, |_| 120)),
    ("a bit in the middle is another", |path| flip(path, |len| len / 2)),
    ("a bit in the last record is another", |path| flip(path, |len| len - 150)),
    ("a bit of its end is another", |path| flip(path, |len| len - 3)),
    ("it is zeros", |path| {
        let len = fs::metadata(path).unwrap().len() as usize;
        fs::write(path, vec![0; len]).unwrap();
    }),
];

/// Some of them, where each is tried many times.
fn some() -> impl Iterator<Item = (&'static str, Damage)> {
    DAMAGES.into_iter().step_by(4)
}

fn values(store: &Store) -> usize {
    let snapshot = store.snapshot();
    let rows = snapshot.range(REALM, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap();
    rows.inspect(|row| assert!(row.is_ok())).count()
}

fn sound(dir: &Path) -> Vec<Damaged> {
    verify(dir, options(), &[], |_, _, _| ()).unwrap().damage
}

/// The segments to be damaged: the first, one in the middle, the one before the newest, the newest.
fn victims(dir: &Path) -> Vec<PathBuf> {
    let all: Vec<PathBuf> = log_of(dir).into_keys().map(|name| dir.join("log").join(name)).collect();
    assert!(all.len() >= 5, "{} segments", all.len());
    [0, all.len() / 2, all.len() - 2, all.len() - 1].into_iter().map(|at| all[at].clone()).collect()
}

struct Case {
    _dir: tempfile::TempDir,
    good: PathBuf,
    hurt: PathBuf,
    donor: PathBuf,
}

impl Case {
    fn new() -> Self {
        let dir = scratch();
        let (good, hurt, donor) = (dir.path().join("good"), dir.path().join("hurt"), dir.path().join("donor"));
        build(&good, COMMITS);
        copy(&good, &donor);
        Self { _dir: dir, good, hurt, donor }
    }

    /// Damages a segment of a fresh copy.
    fn hurt(&self, victim: &Path, damage: Damage) {
        copy(&self.good, &self.hurt);
        damage(&self.hurt.join(victim.strip_prefix(&self.good).unwrap()));
    }

    fn fill(&self, donor: &mut dyn LogDonor) -> Filled {
        fill_log(&self.hurt, &options(), &mut [donor], |_, _, _| ()).unwrap()
    }
}

#[test]
fn a_segment_that_is_missing_or_damaged_comes_from_who_has_it() {
    let case = Case::new();
    let mut donor = Machine::new(&case.donor);
    let whole = log_of(&case.good);
    for victim in victims(&case.good) {
        for (what, damage) in DAMAGES {
            let what = format!("{}: {what}", victim.display());
            case.hurt(&victim, damage);
            let filled = case.fill(&mut donor);
            assert_eq!(filled.left, Vec::<String>::new(), "{what}");
            assert_eq!(filled.done.len(), 1, "{what}: {filled:?}");
            assert!(log_of(&case.hurt) == whole, "{what}: the log is not byte for byte what it was");
            assert_eq!(sound(&case.hurt), [], "{what}");
            // Nothing is thrown away.
            let aside = fs::read_dir(case.hurt.join("damaged")).map_or(0, Iterator::count);
            assert_eq!(aside, usize::from(!what.ends_with("missing")), "{what}");
            let store = Store::open(&case.hurt, options()).unwrap();
            assert_eq!((store.seq(), values(&store)), (Seq(COMMITS), COMMITS as usize), "{what}");
            store.close();
            assert_eq!(case.fill(&mut donor), Filled::default(), "{what}: nothing is left to do");
        }
    }
}

#[test]
fn what_the_index_lost_too_is_there_again_with_the_log() {
    let case = Case::new();
    let mut donor = Machine::new(&case.donor);
    for victim in victims(&case.good) {
        for (what, damage) in some() {
            // The newest without an index: what is behind its end is known to the witness alone.
            case.hurt(&victim, damage);
            fs::remove_dir_all(case.hurt.join("index")).unwrap();
            let filled = case.fill(&mut donor);
            assert_eq!(filled.left, Vec::<String>::new(), "{}: {what}", victim.display());
            store::repair(&case.hurt, &options(), |_, _, _| ()).unwrap();
            assert_eq!(sound(&case.hurt), [], "{}: {what}", victim.display());
            let store = Store::open(&case.hurt, options()).unwrap();
            assert_eq!(values(&store), COMMITS as usize, "{}: {what}", victim.display());
            store.close();
        }
    }
}

#[test]
fn several_damaged_segments_are_filled_at_once() {
    let case = Case::new();
    let mut donor = Machine::new(&case.donor);
    let all: Vec<String> = log_of(&case.good).into_keys().collect();
    let whole = log_of(&case.good);
    for (from, to) in [(0, 2), (1, 3), (all.len() - 3, all.len()), (0, all.len())] {
        for (what, damage) in some() {
            copy(&case.good, &case.hurt);
            all[from..to].iter().for_each(|name| damage(&case.hurt.join("log").join(name)));
            let filled = case.fill(&mut donor);
            assert_eq!(filled.left, Vec::<String>::new(), "{from} to {to}: {what}");
            assert!(log_of(&case.hurt) == whole, "{from} to {to}: {what}");
            assert_eq!(sound(&case.hurt), [], "{from} to {to}: {what}");
        }
    }
}

#[test]
fn who_lacks_it_or_is_silent_or_is_damaged_too_changes_nothing() {
    let case = Case::new();
    let mut donor = Machine::new(&case.donor);
    for victim in victims(&case.good) {
        for (what, damage) in some() {
            for kind in ["lacks", "silent", "flips"] {
                case.hurt(&victim, damage);
                let before = log_of(&case.hurt);
                (donor.silent, donor.flips) = (kind == "silent", kind == "flips");
                donor.lacks = if kind == "lacks" { 1..=COMMITS } else { NOTHING };
                let filled = case.fill(&mut donor);
                let what = format!("{} {what}: {kind}", victim.display());
                if filled.left.is_empty() {
                    // Everything that counts was here all the same.
                    assert_eq!(filled.commits, 0, "{what}");
                    assert_eq!(sound(&case.hurt), [], "{what}");
                    continue;
                }
                assert_eq!(filled.unanswered, kind == "silent", "{what}: {filled:?}");
                assert_eq!(filled.done, Vec::<String>::new(), "{what}");
                assert!(log_of(&case.hurt) == before, "{what}");
                assert!(!case.hurt.join("damaged").exists(), "{what}");
                let is_scratch = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "filled");
                assert!(!files(&case.hurt).iter().any(is_scratch), "{what}");
            }
        }
    }
}

#[test]
fn another_history_is_never_taken() {
    let case = Case::new();
    // One that never was ours, and one that went on otherwise after a while.
    let (stranger, forked) = (case.good.with_file_name("stranger"), case.good.with_file_name("forked"));
    build(&stranger, COMMITS + 20);
    build(&forked, 1);
    let firsts: Vec<u64> =
        log_of(&case.good).into_keys().map(|name| name.trim_end_matches(".log").parse().unwrap()).collect();
    for fork in [firsts[2], firsts[firsts.len() - 1]] {
        // The log's first segments are ours, the rest is not.
        copy(&case.good, &forked);
        fs::remove_dir_all(forked.join("index")).unwrap();
        fs::remove_file(forked.join("witness")).unwrap();
        for first in firsts.iter().filter(|first| **first >= fork) {
            fs::remove_file(forked.join("log").join(format!("{first:020}.log"))).unwrap();
        }
        {
            let store = Store::open(&forked, options()).unwrap();
            let from = store.seq().0;
            (from..COMMITS + 20).for_each(|number| commit(&store, 1_000 + number));
            store.close();
        }
        for donor in [&stranger, &forked] {
            let mut machine = Machine::new(donor);
            for victim in victims(&case.good) {
                for (what, damage) in some() {
                    case.hurt(&victim, damage);
                    let before = log_of(&case.hurt);
                    let filled = case.fill(&mut machine);
                    let what = format!("{} {what}: {}, fork at {fork}", victim.display(), donor.display());
                    if filled.left.is_empty() {
                        assert!(log_of(&case.hurt) == log_of(&case.good), "{what}");
                    } else {
                        assert!(log_of(&case.hurt) == before, "{what}");
                    }
                }
            }
        }
    }
}

#[test]
fn another_donor_is_asked_where_one_does_not_help() {
    let case = Case::new();
    let (second, stranger) = (case.good.with_file_name("second"), case.good.with_file_name("stranger"));
    copy(&case.good, &second);
    build(&stranger, COMMITS);
    let (mut first, mut second) = (Machine::new(&case.donor), Machine::new(&second));
    let mut stranger = Machine::new(&stranger);
    // Each has one half.
    (first.lacks, second.lacks) = (1..=30, 31..=COMMITS);
    copy(&case.good, &case.hurt);
    for path in files(&case.hurt.join("log")) {
        fs::remove_file(path).unwrap();
    }
    let donors: &mut [&mut dyn LogDonor] = &mut [&mut stranger, &mut first, &mut second];
    let filled = fill_log(&case.hurt, &options(), donors, |_, _, _| ()).unwrap();
    assert_eq!(filled.left, Vec::<String>::new());
    assert!(log_of(&case.hurt) == log_of(&case.good));
}

#[test]
fn commits_of_a_machine_that_was_promoted_since_are_not_taken() {
    let case = Case::new();
    {
        let store = Store::open(&case.donor, options()).unwrap();
        store.mark_replica("the one that is hurt").unwrap();
        store.close();
        drop(store);
        let store = Store::open_replica(&case.donor, options()).unwrap();
        store.promote().unwrap();
        (1..=20).for_each(|number| commit(&store, 100 + number));
        store.close();
    }
    let mut donor = Machine::new(&case.donor);
    let newest = victims(&case.good).pop().unwrap();
    for (what, damage) in some() {
        case.hurt(&newest, damage);
        let filled = case.fill(&mut donor);
        assert_eq!(filled.left, Vec::<String>::new(), "{what}");
        let store = Store::open(&case.hurt, options()).unwrap();
        assert_eq!(store.seq(), Seq(COMMITS), "{what}");
        store.close();
    }
}

#[test]
fn a_store_that_is_open_has_its_closed_segments_filled_while_it_is_written_to() {
    let case = Case::new();
    let mut donor = Machine::new(&case.donor);
    let victims = victims(&case.good);
    for victim in &victims[..3] {
        for (what, damage) in some() {
            copy(&case.good, &case.hurt);
            let store = Store::open(&case.hurt, options()).unwrap();
            damage(&case.hurt.join(victim.strip_prefix(&case.good).unwrap()));
            let found = store.verify_running(&[], &|_, _, _| true).unwrap().damage;
            assert!(!found.is_empty() && store.log_is_damaged(), "{} {what}", victim.display());
            commit(&store, 1_000);
            let filled = store.fill_log(&mut [&mut donor], |_, _, _| ()).unwrap();
            assert_eq!((filled.left.len(), filled.done.len()), (0, 1), "{} {what}: {filled:?}", victim.display());
            assert!(!store.log_is_damaged(), "{what}: {:?}", store.damage());
            let mut follower = store.follow(Seq(1)).unwrap();
            for seq in 1..=COMMITS + 1 {
                assert_eq!(futures_util::FutureExt::now_or_never(follower.next()).unwrap().unwrap().seq(), Seq(seq));
            }
            commit(&store, 1_001);
            let report = store.verify_running(&[], &|_, _, _| true).unwrap();
            assert_eq!((report.damage, report.commits), (Vec::new(), COMMITS + 2), "{what}");
            store.close();
            drop((store, follower));
            assert_eq!(sound(&case.hurt), [], "{what}");
        }
    }
    // The newest is for when it is closed.
    copy(&case.good, &case.hurt);
    let store = Store::open(&case.hurt, options()).unwrap();
    flip(&case.hurt.join(victims[3].strip_prefix(&case.good).unwrap()), |len| len / 2);
    assert_eq!(store.fill_log(&mut [&mut donor], |_, _, _| ()).unwrap(), Filled::default());
    store.close();
}
