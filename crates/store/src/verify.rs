//! Checking everything that is stored, and rebuilding what can be rebuilt.

use std::{collections::BTreeSet, ops::Bound, path::Path};

use crate::{
    BodyId, Digest, Order, RealmId, Result, Seq, Snapshot, Store, StoreError, StoreOptions,
    digest::Seal,
    index::{Batch, FjallIndex, IndexEngine, Space},
    log::{self, Met, SegmentReader},
    read::{full_range, unseal},
    store::{self, meta},
    tx::BODY_REFERENCE,
};

/// Something that must hold between records and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where.
    pub realm: RealmId,
    /// What.
    pub what: String,
}

/// What a domain crate knows must hold between its records.
pub trait Invariants: Send + Sync {
    /// What does not hold in a realm.
    ///
    /// # Errors
    /// Those of reading.
    fn check(&self, realm: RealmId, snapshot: &Snapshot) -> Result<Vec<Violation>>;
}

/// What was checked and what was found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Commits in the log whose checksum and chain were verified.
    pub commits: u64,
    /// Records in the index whose seal was verified.
    pub records: u64,
    /// Realms whose digest was compared.
    pub realms: u64,
    /// Bodies read and compared with their names.
    pub bodies: u64,
    /// What is wrong, by name.
    pub damage: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Reads everything that is stored in `dir` and compares it with what it must be. The store must be closed.
/// `progress` is called with what is being checked, units done and units in all.
///
/// # Errors
/// Those that keep the check from going on; damage is in the report instead.
pub fn verify(
    dir: &Path,
    options: StoreOptions,
    invariants: &[&dyn Invariants],
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<Report> {
    let mut report = Report::default();
    verify_log(dir, &options, &mut report, &mut progress)?;
    let store = match Store::open(dir, options.clone()) {
        Ok(store) => store,
        Err(StoreError::Damaged { what }) => {
            report.damage.push(what);
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    let snapshot = store.snapshot();
    let realms = match snapshot.realms() {
        Ok(realms) => realms,
        Err(error) => {
            report.damage.push(error.to_string());
            Vec::new()
        }
    };
    let total = realms.len() as u64;
    for (number, realm) in realms.into_iter().enumerate() {
        progress("realms", number as u64, total);
        verify_realm(&store, &snapshot, realm, &mut report)?;
        for check in invariants {
            match check.check(realm, &snapshot) {
                Ok(violations) => {
                    report
                        .damage
                        .extend(violations.into_iter().map(|found| format!("{}: {}", found.realm, found.what)));
                }
                Err(error) => report.damage.push(format!("{realm}: {error}")),
            }
        }
    }
    drop(snapshot);
    store.close();
    report.damage.sort();
    report.damage.dedup();
    Ok(report)
}

fn verify_log(
    dir: &Path,
    options: &StoreOptions,
    report: &mut Report,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<()> {
    let log_dir = dir.join("log");
    let firsts = log::segments(&*options.disk, &log_dir)?;
    let mut chain: Option<([u8; 32], Seq)> = None;
    for (number, first) in firsts.iter().enumerate() {
        progress("log segments", number as u64, firsts.len() as u64);
        let mut reader = match SegmentReader::open(&*options.disk, &log_dir, *first) {
            Ok(reader) => reader,
            // The newest segment's tail is judged by opening the store, which knows the witnesses.
            Err(StoreError::Damaged { .. }) if number + 1 == firsts.len() => break,
            Err(StoreError::Damaged { what }) => {
                report.damage.push(what);
                chain = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some((last, next)) = chain
            && (last != *reader.chain() || next != *first)
        {
            report.damage.push(format!("log: segment {first} does not follow from the one before it"));
        }
        loop {
            match reader.read()? {
                Met::Record(_) => report.commits += 1,
                Met::End => break,
                Met::Invalid(_) if number + 1 == firsts.len() => break,
                Met::Invalid(what) => {
                    report.damage.push(what);
                    break;
                }
            }
        }
        chain = Some((*reader.chain(), reader.next_seq()));
    }
    Ok(())
}

fn verify_realm(store: &Store, snapshot: &Snapshot, realm: RealmId, report: &mut Report) -> Result<()> {
    let mut digest = Digest::default();
    let mut bodies = BTreeSet::new();
    let range = full_range(realm, (Bound::Unbounded, Bound::Unbounded));
    for row in snapshot.view().range(Space::Records, range, Order::Ascending) {
        let (key, stored) = match row {
            Ok(row) => row,
            Err(error) => {
                report.damage.push(format!("{realm}: {error}"));
                break;
            }
        };
        let key = key.slice(8..);
        report.records += 1;
        match unseal(realm, &key, &stored) {
            Ok((_, value)) => digest.add(Seal::of(realm, &key, &value)),
            Err(error) => report.damage.push(error.to_string()),
        }
        if key[0] == BODY_REFERENCE
            && let Some(Ok(id)) = key.get(1..33).map(<[u8; 32]>::try_from)
        {
            bodies.insert(BodyId::from_bytes(id));
        }
    }
    report.realms += 1;
    let stated = snapshot.realm_state(realm)?.digest;
    if stated != digest {
        report.damage.push(format!("{realm}: its records add up to digest {digest}, its last commit states {stated}"));
    }
    for id in bodies {
        report.bodies += 1;
        if let Err(error) = store.body(&id).and_then(|mut body| body.read_all()) {
            report.damage.push(format!("{realm}: {error}"));
        }
    }
    Ok(())
}

/// What the index that is to be replaced knows about how far the log must reach.
#[derive(Default)]
struct Witnesses {
    seen: Vec<(String, Seq)>,
    /// The cursors, to be taken over.
    cursors: Batch,
}

fn old_witnesses(dir: &Path, options: &StoreOptions) -> Witnesses {
    if !dir.exists() {
        return Witnesses::default();
    }
    let read = || -> Result<Witnesses> {
        let index = FjallIndex::open(dir, options.cache_bytes)?;
        let view = index.view();
        let cursors = meta::cursors(&*view)?;
        let mut seen = vec![("the index".to_owned(), meta::applied(&*view)?)];
        let batch = cursors.iter().map(|(name, seq)| meta::cursor(name, *seq)).collect();
        seen.extend(cursors);
        Ok(Witnesses { seen, cursors: batch })
    };
    read().unwrap_or_else(|error| {
        tracing::warn!(%error, "the old index can't say how far the log must reach");
        Witnesses::default()
    })
}

/// Builds the index from nothing: from the log and the body packs. The store must be closed. The old index is kept
/// beside the new one until that is complete.
///
/// # Errors
/// [`StoreError::Damaged`] when the log is, does not reach back to the first commit, or does not reach what the old
/// index or an external cursor has seen; the old index stays in place then.
pub fn rebuild_index(dir: &Path, options: &StoreOptions, mut progress: impl FnMut(&str, u64, u64)) -> Result<u64> {
    let lock = crate::lock::Lock::take(dir)?;
    let scratch = dir.join("index.new");
    let _ = std::fs::remove_dir_all(&scratch);
    let log_dir = dir.join("log");
    let firsts = log::segments(&*options.disk, &log_dir)?;
    if firsts.first().is_some_and(|first| *first != Seq(1)) {
        return Err(StoreError::damaged(format!(
            "the log begins at commit {}, so the index can't be rebuilt from it",
            firsts[0]
        )));
    }
    let witnesses = old_witnesses(&dir.join("index"), options);
    let mut count = 0;
    {
        let index = FjallIndex::open(&scratch, options.cache_bytes)?;
        let total = firsts.len() as u64;
        let replayed = log::replay(&*options.disk, &log_dir, &firsts, |number, commit| {
            progress("log segments", number as u64, total);
            count += 1;
            store::apply(&index, commit)
        })?;
        // A torn tail is judged, and cut off, when the store is opened.
        for (who, seen) in &witnesses.seen {
            if replayed.reached < *seen {
                return Err(StoreError::damaged(format!(
                    "the log ends at commit {}, and {who} has seen commit {seen}: {} commits are missing{}",
                    replayed.reached,
                    seen.0 - replayed.reached.0,
                    replayed.problem.map(|what| format!(" ({what})")).unwrap_or_default()
                )));
            }
        }
        // Where bodies are is found by scanning the packs when the store is opened.
        index.apply(witnesses.cursors)?;
        index.persist()?;
    }
    let (current, old) = (dir.join("index"), dir.join("index.old"));
    let swap = || -> std::io::Result<()> {
        let _ = std::fs::remove_dir_all(&old);
        if current.exists() {
            std::fs::rename(&current, &old)?;
        }
        std::fs::rename(&scratch, &current)?;
        std::fs::File::open(dir)?.sync_all()?;
        std::fs::remove_dir_all(&old).or(Ok(()))
    };
    swap().map_err(StoreError::io("putting the new index in place"))?;
    drop(lock);
    Ok(count)
}
