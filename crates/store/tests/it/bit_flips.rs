//! One bit flipped anywhere in any file of a small store: a named error, a repair, or correct data. Never a silent loss.

use std::{
    collections::BTreeMap,
    fs,
    ops::Bound,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use store::{BodyId, Order, Read as _, RealmId, Store, StoreError, StoreOptions, repair, verify};

use crate::common::{copy, files, scratch};

const REALMS: [RealmId; 3] = [RealmId::DIRECTORY, RealmId::account(1), RealmId::account(2)];
/// Flips in each file: enough to meet every kind of structure, few enough for every run.
const FLIPS_PER_FILE: usize = 24;

type Contents = BTreeMap<(RealmId, Vec<u8>), Vec<u8>>;

/// Several segments and packs, so that the closed ones are met too; an index that has more than its journal.
fn options() -> StoreOptions {
    StoreOptions { segment_bytes: 5_000, pack_bytes: 40_000, cache_bytes: 16_000, ..StoreOptions::default() }
}

fn build(dir: &Path) -> (Contents, Vec<(BodyId, Vec<u8>)>) {
    let store = Store::open(dir, options()).unwrap();
    let mut bodies = Vec::new();
    for number in 0_u8..60 {
        let realm = REALMS[usize::from(number) % REALMS.len()];
        let bytes = vec![number; 100 + usize::from(number) * 50];
        let staged = store.put_body(&bytes).unwrap();
        bodies.push((staged.id(), bytes));
        store
            .transact(move |tx| {
                tx.put(realm, vec![b'k', number % 40], vec![number; 20]);
                tx.ref_body(realm, &staged.id(), &[number]);
                if number % 7 == 0 {
                    tx.delete(realm, vec![b'k', number / 2]);
                }
                Ok::<_, StoreError>(())
            })
            .wait()
            .unwrap();
        if number == 40 {
            store.checkpoint(&|| true).unwrap();
        }
    }
    let contents = read(&store).unwrap();
    store.close();
    (contents, bodies)
}

/// Everything that the store says it holds.
fn read(store: &Store) -> Result<Contents, StoreError> {
    let snapshot = store.snapshot();
    let mut contents = Contents::new();
    for realm in REALMS {
        for row in snapshot.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending)? {
            let (key, value) = row?;
            contents.insert((realm, key.to_vec()), value.to_vec());
        }
    }
    Ok(contents)
}

/// What came of a flip, and of the repair after it.
fn flipped(dir: &Path, contents: &Contents, bodies: &[(BodyId, Vec<u8>)]) -> Result<&'static str, String> {
    let met = outcome(dir, contents, bodies)?;
    if met == "harmless or repaired" {
        return Ok(met);
    }
    match repair(dir, &options(), |_, _, _| ()) {
        // A repair that says it can't is honest; one that says it could must have.
        Err(_) => Ok(met),
        Ok(_) => match outcome(dir, contents, bodies) {
            Ok("harmless or repaired") => Ok("named, and repaired by `verify --repair`"),
            Ok(still) if still.starts_with("named") => Ok(met),
            Ok(other) => Err(other.to_owned()),
            Err(what) => Err(format!("after the repair: {what}")),
        },
    }
}

/// What came of a flip; the only outcome that is not allowed is an `Err`.
fn outcome(dir: &Path, contents: &Contents, bodies: &[(BodyId, Vec<u8>)]) -> Result<&'static str, String> {
    let store = match Store::open(dir, options()) {
        Ok(store) => store,
        Err(error) => {
            return if error.to_string().is_empty() {
                Err("an error without a name".into())
            } else {
                Ok("named at opening")
            };
        }
    };
    let mut noticed = false;
    match read(&store) {
        Ok(found) if found == *contents => {}
        Ok(found) => {
            // Fewer rows may be met only if the check of everything says so; wrong values never.
            let wrong = found.iter().any(|(key, value)| contents.get(key) != Some(value));
            if wrong {
                return Err("a wrong value was given back".into());
            }
            noticed = true;
        }
        Err(_) => noticed = true,
    }
    for (id, bytes) in bodies {
        match store.body(id).and_then(|mut body| body.read_all()) {
            Ok(found) if found == *bytes => {}
            Ok(_) => return Err("wrong bytes of a body were given back".into()),
            Err(_) => noticed = true,
        }
    }
    store.close();
    drop(store);
    let report = verify(dir, options(), &[], |_, _, _| ()).map_err(|error| format!("verify failed: {error}"));
    match report {
        Ok(report) if noticed && report.is_sound() => {
            Err("reading noticed it, and verify says that all is well".into())
        }
        Ok(report) if report.is_sound() => Ok("harmless or repaired"),
        Ok(_) => Ok("named by verify"),
        Err(_) if noticed => Ok("named"),
        Err(error) => Ok(if error.is_empty() { "named" } else { "named by verify" }),
    }
}

/// Flips bits of one file, again and again in a fresh copy of the store; gives how often each came to what.
fn flip(built: &Path, name: &Path, contents: &Contents, bodies: &[(BodyId, Vec<u8>)]) -> BTreeMap<String, u32> {
    let scratch = scratch();
    let dir = scratch.path().join("store");
    let len = fs::metadata(built.join(name)).unwrap().len() as usize;
    let step = (len / FLIPS_PER_FILE).max(1);
    let mut tally: BTreeMap<String, u32> = BTreeMap::new();
    for (round, at) in (0..len).step_by(step).enumerate() {
        copy(built, &dir);
        let target = dir.join(name);
        let mut bytes = fs::read(&target).unwrap();
        bytes[at] ^= 1 << (round % 8);
        fs::write(&target, bytes).unwrap();
        // The index has what the log has, and what is in a pack is in nobody's way: everybody is let in.
        let opens = !(name.starts_with("log") || name.starts_with("packs")) || Store::open(&dir, options()).is_ok();
        let what = match std::panic::catch_unwind(|| flipped(&dir, contents, bodies)) {
            Ok(Ok(_)) if !opens => format!("SILENT: {} byte {at}: it keeps everybody out", name.display()),
            Ok(Ok(what)) => what.to_owned(),
            Ok(Err(what)) => format!("SILENT: {} byte {at}: {what}", name.display()),
            Err(_) => format!("SILENT: {} byte {at}: a panic", name.display()),
        };
        *tally.entry(what).or_default() += 1;
    }
    tally
}

#[test]
fn one_flipped_bit_anywhere_is_never_silent() {
    let built = scratch();
    let (contents, bodies) = build(built.path());
    // The control: a copy without a flip is sound, so what is met below comes of the flips.
    let control = scratch();
    copy(built.path(), &control.path().join("store"));
    assert_eq!(outcome(&control.path().join("store"), &contents, &bodies), Ok("harmless or repaired"));
    let names: Vec<PathBuf> =
        files(built.path()).iter().map(|path| path.strip_prefix(built.path()).unwrap().to_owned()).collect();
    for kind in ["format", "lock", "witness", "log/", "packs/", "checkpoints/", ".jnl", "tables/"] {
        assert!(names.iter().any(|name| name.to_string_lossy().contains(kind)), "no {kind} among {names:?}");
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut tally: BTreeMap<String, u32> = BTreeMap::new();
        while let Some(name) = names.get(next.fetch_add(1, Ordering::Relaxed)) {
            for (what, count) in flip(built.path(), name, &contents, &bodies) {
                *tally.entry(what).or_default() += count;
            }
        }
        tally
    };
    let tallies = std::thread::scope(|scope| {
        let workers = [scope.spawn(work), scope.spawn(work), scope.spawn(work), scope.spawn(work)];
        workers.map(|worker| worker.join().expect("panics are caught inside"))
    });
    let mut tally: BTreeMap<String, u32> = BTreeMap::new();
    for (what, count) in tallies.into_iter().flatten() {
        *tally.entry(what).or_default() += count;
    }
    println!("{tally:#?}");
    let silent: Vec<&String> = tally.keys().filter(|what| what.starts_with("SILENT")).collect();
    assert!(silent.is_empty(), "{} silent outcomes: {silent:#?}", silent.len());
    let flips: u32 = tally.values().sum();
    println!("proof | one bit flips | nothing silently | {flips} flips over every kind of file");
}
