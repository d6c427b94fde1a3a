//! What is left of a damaged store is found, and what is not is named; the folder stays as it is.

use std::{
    collections::BTreeMap,
    fs,
    ops::Bound,
    path::{Path, PathBuf},
};

use store::{BodyId, Order, Read, RealmId, Salvaged, Seq, Store, StoreError, StoreOptions, log::RunWriter};

const REALMS: [RealmId; 3] = [RealmId::DIRECTORY, RealmId::account(1), RealmId::account(2)];

type Contents = BTreeMap<(RealmId, Vec<u8>), Vec<u8>>;
type Bodies = Vec<(BodyId, Vec<u8>)>;

fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 1_500, pack_bytes: 20_000, ..StoreOptions::default() }
}

fn write(store: &Store, number: u8) -> (BodyId, Vec<u8>) {
    let realm = REALMS[usize::from(number) % REALMS.len()];
    // Nothing that compresses: packs get several.
    let mut bytes = vec![0; 1_000 + usize::from(number) * 20];
    blake3_fill(&mut bytes, number);
    let staged = store.put_body(&bytes).unwrap();
    let id = staged.id();
    store
        .transact(move |tx| {
            tx.put(realm, vec![b'k', number], vec![number; 20]);
            tx.ref_body(realm, &staged.id(), &[number]);
            if number.is_multiple_of(7) && number > 7 {
                tx.delete(realm, vec![b'k', number - 6]);
            }
            Ok::<_, StoreError>(())
        })
        .wait()
        .unwrap();
    (id, bytes)
}

fn blake3_fill(bytes: &mut [u8], seed: u8) {
    let mut state = u64::from(seed) + 1;
    for byte in bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        *byte = state as u8;
    }
}

struct Built {
    _dir: tempfile::TempDir,
    data: PathBuf,
    contents: Contents,
    bodies: Bodies,
}

/// A store with several segments and packs and two checkpoints.
fn build() -> Built {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let store = Store::open(&data, options()).unwrap();
    let mut bodies = Vec::new();
    for number in 0..90 {
        bodies.push(write(&store, number));
        if number == 30 || number == 60 {
            store.checkpoint(&|| true).unwrap();
        }
    }
    let contents = read(&store.snapshot());
    store.close();
    Built { _dir: dir, data, contents, bodies }
}

fn read(from: &impl Read) -> Contents {
    let mut contents = Contents::new();
    for realm in REALMS {
        for row in from.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap() {
            let (key, value) = row.unwrap();
            contents.insert((realm, key.to_vec()), value.to_vec());
        }
    }
    contents
}

fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Salvages, and checks that the folder stayed as it was and that the scratch folder is gone afterwards.
fn salvage<T>(data: &Path, look: impl FnOnce(&Salvaged) -> T) -> T {
    let before = files(data);
    let scratch = tempfile::tempdir().unwrap();
    let salvaged = Salvaged::open(data, &scratch.path().join("s"), &options(), &mut |_, _, _| {}).unwrap();
    let seen = look(&salvaged);
    drop(salvaged);
    assert!(files(data) == before, "the folder has changed");
    assert!(!scratch.path().join("s").exists(), "the scratch folder is still there");
    seen
}

fn all_bodies(salvaged: &Salvaged, bodies: &Bodies) {
    for (id, bytes) in bodies {
        assert_eq!(salvaged.body(id).unwrap().as_deref(), Some(bytes.as_slice()), "{id}");
    }
}

fn sorted(dir: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 0x10;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_store_that_is_whole_is_salvaged_whole() {
    let built = build();
    salvage(&built.data, |salvaged| {
        assert!(salvaged.report().is_whole(), "{:?}", salvaged.report());
        assert!(salvaged.report().damage.is_empty(), "{:?}", salvaged.report());
        assert_eq!(read(salvaged), built.contents);
        all_bodies(salvaged, &built.bodies);
        assert!(salvaged.orphans().unwrap().is_empty());
    });
}

#[test]
fn without_index_or_without_log_or_without_checkpoints_every_realm_is_whole() {
    for part in ["index", "log", "checkpoints", "format", "witness"] {
        let built = build();
        let path = built.data.join(part);
        if path.is_dir() {
            fs::remove_dir_all(path).unwrap();
        } else {
            fs::remove_file(path).unwrap();
        }
        salvage(&built.data, |salvaged| {
            let report = salvaged.report();
            assert!(report.is_whole(), "without {part}: {report:?}");
            assert_eq!(report.damage.is_empty(), matches!(part, "checkpoints" | "format" | "witness"), "{report:?}");
            assert_eq!(read(salvaged), built.contents, "without {part}");
            all_bodies(salvaged, &built.bodies);
        });
    }
}

#[test]
fn with_checkpoints_alone_the_report_says_which_commits_are_nowhere() {
    let built = build();
    fs::remove_dir_all(built.data.join("index")).unwrap();
    fs::remove_dir_all(built.data.join("log")).unwrap();
    salvage(&built.data, |salvaged| {
        let report = salvaged.report();
        assert!(!report.is_whole());
        assert_eq!(report.lost, ["nowhere in this folder: commits 62 to 90"]);
        assert!(
            report.realms.values().all(|realm| realm.problems[0].contains("complete up to commit 61")),
            "{report:?}"
        );
        let expected: Contents = built
            .contents
            .iter()
            .filter(|((_, key), _)| key[0] == b'k' && key[1] <= 60)
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let found = read(salvaged);
        // What was deleted since is there again.
        assert!(expected.iter().all(|(key, value)| found.get(key) == Some(value)));
        assert!(found.keys().all(|(_, key)| key[0] == 0xFF || key[1] <= 60));
        // Bodies of the later ones are there, without a record.
        assert_eq!(salvaged.orphans().unwrap().len(), 29);
    });
}

#[test]
fn a_damaged_log_does_no_harm_while_the_index_is_whole() {
    let built = build();
    let segments = sorted(&built.data.join("log"));
    assert!(segments.len() > 4);
    flip(&segments[2], 700);
    fs::remove_file(&segments[1]).unwrap();
    salvage(&built.data, |salvaged| {
        let report = salvaged.report();
        assert!(report.is_whole(), "{report:?}");
        assert!(report.damage.iter().any(|what| what.contains("are not records")), "{report:?}");
        assert!(report.damage.iter().any(|what| what.contains("the log lacks commits")), "{report:?}");
        assert_eq!(read(salvaged), built.contents);
    });
}

#[test]
fn without_index_a_hole_in_the_log_costs_what_is_in_it_and_nothing_else() {
    let built = build();
    fs::remove_dir_all(built.data.join("index")).unwrap();
    let segments = sorted(&built.data.join("log"));
    // Behind the newest checkpoint.
    let behind = segments.iter().rposition(|path| number_of(path) > 61).unwrap() - 1;
    let path = &segments[behind];
    assert!(number_of(path) > 61);
    flip(path, 300);
    salvage(&built.data, |salvaged| {
        let report = salvaged.report();
        assert!(!report.is_whole());
        assert!(report.damage.iter().any(|what| what.contains(path.to_str().unwrap())), "{report:?}");
        let missing = report.damage.iter().find_map(|what| what.strip_prefix("the log lacks commit "));
        let missing: u64 = missing.expect("one record was hit, and it is named").parse().unwrap();
        // Commit n wrote number n - 1.
        let lost = u8::try_from(missing).unwrap() - 1;
        let realm = REALMS[usize::from(lost) % REALMS.len()];
        for (id, of) in &report.realms {
            assert_eq!(of.problems.is_empty(), *id != realm, "{id}: {of:?}");
        }
        let found = read(salvaged);
        for (key, value) in &built.contents {
            let is_lost = key.1[0] == b'k' && key.1[1] == lost || key.1[0] == 0xFF && key.1[33] == lost;
            assert_eq!(found.get(key), (!is_lost).then_some(value), "{key:?}");
        }
        all_bodies(salvaged, &built.bodies);
        assert_eq!(salvaged.orphans().unwrap(), [built.bodies[usize::from(lost)].0]);
    });
}

fn number_of(path: &Path) -> u64 {
    path.file_stem().unwrap().to_str().unwrap().parse().unwrap()
}

#[test]
fn a_torn_tail_that_nobody_was_told_of_is_no_damage() {
    let built = build();
    let newest = sorted(&built.data.join("log")).pop().unwrap();
    let mut bytes = fs::read(&newest).unwrap();
    bytes.extend_from_slice(&[7; 100]);
    fs::write(&newest, bytes).unwrap();
    salvage(&built.data, |salvaged| {
        assert!(salvaged.report().is_whole() && salvaged.report().damage.is_empty(), "{:?}", salvaged.report());
    });
}

#[test]
fn a_log_that_was_cut_off_is_told_by_those_who_saw_its_end() {
    let built = build();
    fs::remove_dir_all(built.data.join("index")).unwrap();
    let mut segments = sorted(&built.data.join("log"));
    // One that has only begun holds nothing.
    if number_of(segments.last().unwrap()) == 91 {
        fs::remove_file(segments.pop().unwrap()).unwrap();
    }
    let newest = segments.pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() - 100]).unwrap();
    salvage(&built.data, |salvaged| {
        let report = salvaged.report();
        assert_eq!(report.lost, ["nowhere in this folder: commit 90"], "{report:?}");
    });
}

#[test]
fn each_file_of_the_index_may_be_flipped_or_cut_while_log_and_checkpoints_are_whole() {
    let built = build();
    let names: Vec<PathBuf> = files(&built.data.join("index")).into_keys().collect();
    for name in names {
        for cut in [false, true] {
            let whole = fs::read(&name).unwrap();
            if whole.is_empty() {
                continue;
            }
            if cut {
                fs::write(&name, &whole[..whole.len() / 2]).unwrap();
            } else {
                flip(&name, whole.len() / 3);
            }
            salvage(&built.data, |salvaged| {
                assert_eq!(read(salvaged), built.contents, "{} cut {cut}", name.display());
                assert!(salvaged.report().is_whole(), "{} cut {cut}: {:?}", name.display(), salvaged.report());
                all_bodies(salvaged, &built.bodies);
            });
            fs::write(&name, whole).unwrap();
        }
    }
}

#[test]
fn a_damaged_checkpoint_leaves_what_log_and_the_other_checkpoint_have() {
    let built = build();
    fs::remove_dir_all(built.data.join("index")).unwrap();
    for path in sorted(&built.data.join("log")).iter().filter(|path| number_of(path) < 20) {
        fs::remove_file(path).unwrap();
    }
    for path in sorted(&built.data.join("checkpoints")) {
        let whole = fs::read(&path).unwrap();
        for at in [0, 30, whole.len() / 2, whole.len() - 5] {
            flip(&path, at);
            salvage(&built.data, |salvaged| {
                assert_eq!(read(salvaged), built.contents, "{} at {at}", path.display());
                assert!(salvaged.report().is_whole(), "{:?}", salvaged.report());
            });
            fs::write(&path, &whole).unwrap();
        }
    }
}

#[test]
fn damaged_and_missing_packs_cost_their_bodies_and_no_others() {
    let built = build();
    let packs = sorted(&built.data.join("packs"));
    assert!(packs.len() > 3);
    flip(&packs[1], 3_000);
    fs::remove_file(&packs[2]).unwrap();
    // The beginning of another is gone.
    let bytes = fs::read(&packs[0]).unwrap();
    fs::write(&packs[0], &bytes[500..]).unwrap();
    salvage(&built.data, |salvaged| {
        let report = salvaged.report();
        assert!(report.is_whole(), "the records are");
        assert_eq!(read(salvaged), built.contents);
        assert!(report.damage.iter().any(|what| what.contains(packs[1].to_str().unwrap())), "{report:?}");
        assert!(report.damage.iter().any(|what| what.contains(packs[0].to_str().unwrap())), "{report:?}");
        let missing: Vec<&BodyId> =
            built.bodies.iter().map(|(id, _)| id).filter(|id| salvaged.body(id).unwrap().is_none()).collect();
        assert_eq!(built.bodies.len() as u64 - report.bodies, missing.len() as u64);
        let in_missing_pack = missing.len() - 2;
        assert!((5..25).contains(&in_missing_pack), "{} are missing", missing.len());
        for (id, bytes) in &built.bodies {
            assert!(salvaged.body(id).unwrap().is_none_or(|found| found == *bytes));
            assert_eq!(salvaged.has_body(id).unwrap(), !missing.contains(&id));
        }
    });
}

#[test]
fn a_store_that_is_in_use_or_newer_or_none_is_refused() {
    let built = build();
    let scratch = tempfile::tempdir().unwrap();
    let open = |from: &Path, scratch: &Path| Salvaged::open(from, scratch, &options(), &mut |_, _, _| {}).err();
    let store = Store::open(&built.data, options()).unwrap();
    assert!(matches!(open(&built.data, scratch.path()), Some(StoreError::Locked { .. })));
    store.close();
    drop(store);
    let within = open(&built.data, &built.data.join("scratch")).unwrap().to_string();
    assert!(within.contains("is inside"), "{within}");
    assert!(!built.data.join("scratch").exists());
    let none = open(scratch.path(), scratch.path()).unwrap().to_string();
    assert!(none.contains("contains no store"), "{none}");
    fs::write(built.data.join("format"), "999\n").unwrap();
    assert!(matches!(open(&built.data, scratch.path()), Some(StoreError::NewerFormat { found: 999, .. })));
}

#[test]
fn commits_in_files_give_what_they_wrote_and_name_what_is_missing() {
    let built = build();
    let store = Store::open(&built.data, options()).unwrap();
    let from = Seq(81);
    let mut run = RunWriter::new(from, store.log_point(Seq(80)).unwrap().0);
    let mut follower = store.follow(from).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    for _ in 81..=90 {
        run.push(&runtime.block_on(follower.next()).unwrap()).unwrap();
    }
    store.close();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("commits-81-90");
    fs::write(&path, run.finish()).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let (id, bytes) = &built.bodies[85];
    let body = folder.path().join("body");
    fs::write(&body, bytes).unwrap();
    let open = |keep_deleted| {
        let bodies = [(*id, body.clone())].into();
        Salvaged::open_runs(folder.path(), scratch.path(), &options(), keep_deleted, &|_| true, bodies).unwrap()
    };
    let salvaged = open(false);
    assert!(salvaged.report().is_whole());
    let found = read(&salvaged);
    assert_eq!(found.keys().filter(|(_, key)| key[0] == b'k').count(), 10);
    assert!(found.iter().all(|(key, value)| built.contents.get(key) == Some(value)));
    assert_eq!(salvaged.body(id).unwrap().as_deref(), Some(bytes.as_slice()));
    drop(salvaged);
    let whole = fs::read(&path).unwrap();
    flip(&path, whole.len() / 2);
    let salvaged = open(true);
    assert_eq!(salvaged.report().lost.len(), 1, "{:?}", salvaged.report());
    assert_eq!(read(&salvaged).keys().filter(|(_, key)| key[0] == b'k').count(), 9);
}

#[test]
fn index_and_log_damaged_together_lose_at_most_what_the_log_lost() {
    let built = build();
    let behind = sorted(&built.data.join("log")).into_iter().find(|path| number_of(path) > 61).unwrap();
    let first = u8::try_from(number_of(&behind)).unwrap();
    fs::remove_file(&behind).unwrap();
    let next = sorted(&built.data.join("log")).into_iter().find(|path| number_of(path) > 61).unwrap();
    let lost = first - 1..u8::try_from(number_of(&next)).unwrap() - 1;
    let names: Vec<PathBuf> = files(&built.data.join("index")).into_keys().collect();
    for name in names {
        let whole = fs::read(&name).unwrap();
        for at in [1, 2].map(|part| whole.len() * part / 3).into_iter().filter(|at| *at < whole.len()) {
            flip(&name, at);
            salvage(&built.data, |salvaged| {
                let found = read(salvaged);
                for (key, value) in &built.contents {
                    let number = if key.1[0] == b'k' { key.1[1] } else { key.1[33] };
                    match found.get(key) {
                        Some(there) => assert_eq!(there, value, "{} at {at}: {key:?}", name.display()),
                        None => assert!(lost.contains(&number), "{} at {at}: {key:?}", name.display()),
                    }
                }
                // Nothing that never was; what a lost commit took away may be there again.
                for key in found.keys().filter(|key| !built.contents.contains_key(key)) {
                    assert!(key.1[0] == b'k' && lost.contains(&(key.1[1] + 6)), "{} at {at}: {key:?}", name.display());
                }
                let is_whole = found == built.contents;
                assert!(is_whole || !salvaged.report().is_whole(), "{}: {:?}", name.display(), salvaged.report());
            });
            fs::write(&name, &whole).unwrap();
        }
    }
}
