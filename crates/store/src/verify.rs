//! Checking everything that is stored: of a closed store here, of one that is open in [`running`].

pub(crate) mod running;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Bound,
    path::Path,
};

use crate::{
    BodyId, Cause, Damaged, Digest, Order, Part, RealmId, Result, Seq, Snapshot, Store, StoreError, StoreOptions,
    checkpoint,
    index::{IndexView, Space, full_range, meta, unseal},
    log::{self, Met, SegmentReader},
    record::body_of_key,
    witness,
};

/// Something that must hold between records and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The realm.
    pub realm: RealmId,
    /// The damage.
    pub what: String,
}

impl Violation {
    /// As damage of the realm.
    pub fn damage(&self) -> Damaged {
        Damaged::new(Part::Realm, Cause::Invariant).realm(self.realm).because(&self.what)
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.realm, self.what)
    }
}

/// The consistency rules of a domain crate.
pub trait Invariants: Send + Sync {
    /// The violated rules in a realm.
    ///
    /// # Errors
    /// Those of reading.
    fn check(&self, realm: RealmId, snapshot: &Snapshot) -> Result<Vec<Violation>>;
}

/// Of a damaged body that only the history has.
pub(crate) const KEPT_FOR_REWINDS: &str = "no current record refers to it; it is kept for rewinds";

/// Records that are read between two calls of `go_on`.
const RECORDS_BETWEEN: u64 = 256;

pub(crate) fn given_up() -> StoreError {
    StoreError::Stopped { reason: "the check was cancelled".to_owned() }
}

/// The report of a verification.
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
    /// Checkpoints read and compared with what they say of themselves.
    pub checkpoints: u64,
    /// Quarantined realms whose records were verified: they accept writes again.
    pub released: Vec<String>,
    /// The damage found.
    pub damage: Vec<Damaged>,
}

impl Report {
    /// Whether nothing is wrong.
    pub const fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// Reads and verifies everything stored in `dir`. The store must be closed. `progress` is called with the current part,
/// units done and units in total.
///
/// # Errors
/// Those that prevent the check from continuing; damage is in the report instead.
pub fn verify(
    dir: &Path,
    options: StoreOptions,
    invariants: &[&dyn Invariants],
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<Report> {
    let mut report = Report::default();
    let mut files = verify_log(dir, &options, &mut report, &mut progress)?;
    files.extend(verify_checkpoints(dir, &options, &mut report, &mut progress)?);
    report.damage.extend(files.values().cloned());
    match witness::read(&*options.disk, dir) {
        Err(StoreError::Damaged(what)) => report.damage.push(*what),
        other => drop(other?),
    }
    // A store that follows another one, or must not write any more, is looked at as it is.
    let only_looks = Store::is_replica_at(dir) || Store::fenced_at(dir).is_some();
    let open = if only_looks { Store::open_replica } else { Store::open_as_it_is };
    let store = match open(dir, options.clone()) {
        Ok(store) => store,
        Err(StoreError::Damaged(what)) => {
            report.damage.push(*what);
            return Ok(report);
        }
        Err(error) => return Err(error),
    };
    note_files(&store, files, &mut report);
    let snapshot = store.snapshot();
    let found = log::segments(&*options.disk, &dir.join("log"))?;
    check_beginning(meta::first(snapshot.view())?, &found, &mut report);
    let realms = realms_of(&snapshot, &mut report)?;
    let mut named = BTreeSet::new();
    let broken = verify_bodies(&store, &mut report, &mut progress)?;
    let total = realms.len() as u64;
    let quarantined = store.quarantined();
    for (number, realm) in realms.into_iter().enumerate() {
        progress("realms", number as u64, total);
        let before = report.damage.len();
        let bodies = scan_realm(&snapshot, realm, &mut report, &|| true)?;
        check_invariants(invariants, realm, &snapshot, &mut report)?;
        if report.damage.len() == before
            && !only_looks
            && let Some((_, reason)) = quarantined.iter().find(|(found, _)| *found == realm)
        {
            store.inner.quarantine.release(realm)?;
            report.released.push(format!("{realm}, which was quarantined: {reason}"));
        }
        if let Some(first) = report.damage.get(before).filter(|_| !only_looks) {
            store.inner.quarantine.put(realm, first);
        }
        for id in bodies {
            let problem = problem_of(&store, &broken, &id)?;
            if broken.contains_key(&id) {
                named.insert(id);
            }
            report.damage.extend(problem.map(|problem| problem.realm(realm)));
        }
    }
    for (_, problem) in broken.iter().filter(|(id, _)| !named.contains(id)) {
        report.damage.push(problem.clone().because(KEPT_FOR_REWINDS));
    }
    drop(snapshot);
    store.close();
    report.damage.sort_by_key(ToString::to_string);
    report.damage.dedup();
    Ok(report)
}

/// The realms that there are; none when the index can't say.
fn realms_of(snapshot: &Snapshot, report: &mut Report) -> Result<Vec<RealmId>> {
    snapshot.realms().or_else(|error| {
        report.damage.push(error.into_damage(Part::Index)?);
        Ok(Vec::new())
    })
}

/// Whether the log begins where it should.
fn check_beginning(stated: Seq, found: &[Seq], report: &mut Report) {
    if let Some(found) = found.first().filter(|found| **found > stated) {
        let missing = log::missing_commits(stated, Seq(found.0 - 1));
        report.damage.push(missing.because(format_args!("the log starts at commit {found}")));
    }
}

fn check_invariants(
    invariants: &[&dyn Invariants],
    realm: RealmId,
    snapshot: &Snapshot,
    report: &mut Report,
) -> Result<()> {
    for check in invariants {
        match check.check(realm, snapshot) {
            Ok(violations) => report.damage.extend(violations.iter().map(Violation::damage)),
            Err(error) => report.damage.push(error.into_damage(Part::Realm)?.realm(realm)),
        }
    }
    Ok(())
}

/// What is wrong with a body that a realm refers to: it was found `broken`, or there is none.
fn problem_of(store: &Store, broken: &HashMap<BodyId, Damaged>, id: &BodyId) -> Result<Option<Damaged>> {
    if let Some(problem) = broken.get(id) {
        return Ok(Some(problem.clone()));
    }
    let Err(error) = store.inner.packs.check_known(id) else { return Ok(None) };
    store.inner.packs.broken.note(id, &error);
    error.into_damage(Part::Body).map(|problem| Some(problem.body(*id)))
}

/// Takes what was found damaged in the files, and by opening the store, as all that is known of them.
fn note_files(store: &Store, mut files: Files, report: &mut Report) {
    // What opening it went around is found by that alone.
    for (name, what) in store.inner.findings.list() {
        if store.inner.opened_around.as_deref() == Some(&name) && !files.contains_key(&name) {
            report.damage.push(what.clone());
            files.insert(name, what);
        }
    }
    store.inner.findings.replace(|_| true, &files);
}

impl Store {
    /// Reads the log's closed segments and the checkpoints, and compares them with what they say of themselves, while
    /// everybody works on. What is damaged stands in [`Store::damage`] from then on, and what is not, not any more. Blocks
    /// for as long as reading them takes: not for async threads.
    ///
    /// # Errors
    /// Those that prevent the check from continuing; damage is in the report.
    pub fn scrub_files(&self) -> Result<Report> {
        let (dir, options) = (self.dir(), &self.inner.options);
        // Nothing of it is dropped meanwhile.
        let _alone = self.inner.maintenance.lock();
        let mut looked: BTreeSet<String> = BTreeSet::new();
        let mut firsts = log::segments(&*options.disk, &dir.join("log"))?;
        // It is being written to.
        firsts.pop();
        looked.extend(firsts.iter().map(|first| format!("log/{:020}.log", first.0)));
        let checkpoints = checkpoint::list(&*options.disk, &dir.join("checkpoints"))?;
        looked.extend(checkpoints.iter().map(|seq| format!("checkpoints/{:020}.ckpt", seq.0)));
        let (mut report, mut progress) = (Report::default(), |_: &str, _, _| ());
        let mut found = verify_log(dir, options, &mut report, &mut progress)?;
        found.extend(verify_checkpoints(dir, options, &mut report, &mut progress)?);
        found.retain(|name, _| looked.contains(name));
        self.inner.findings.replace(|name| looked.contains(name), &found);
        report.damage.extend(found.into_values());
        Ok(report)
    }
}

fn verify_log(
    dir: &Path,
    options: &StoreOptions,
    report: &mut Report,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<Files> {
    let log_dir = dir.join("log");
    let firsts = log::segments(&*options.disk, &log_dir)?;
    let mut found = Files::new();
    let mut chain: Option<([u8; 32], Seq)> = None;
    for (number, first) in firsts.iter().enumerate() {
        progress("log segments", number as u64, firsts.len() as u64);
        let name = format!("log/{:020}.log", first.0);
        let newest = number + 1 == firsts.len();
        let mut reader = match SegmentReader::open_around(&*options.disk, &log_dir, *first) {
            Ok((reader, what)) => {
                found.extend(what.map(|what| (name.clone(), *what)));
                reader
            }
            // The newest segment's tail is judged by opening the store, which knows the witnesses.
            Err(StoreError::Damaged { .. }) if newest => break,
            Err(StoreError::Damaged(what)) => {
                found.insert(name, *what);
                chain = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        if let Some((last, next)) = chain
            && !found.contains_key(&name)
            && (last != *reader.chain() || next != *first)
        {
            found.insert(name.clone(), log::not_following(*first));
        }
        let (problem, whole) = read_segment(*first, &mut reader, newest, &mut |_| {
            report.commits += 1;
            Ok(())
        })?;
        if let Some(what) = problem {
            found.entry(name).or_insert(what);
        }
        if !whole {
            chain = None;
            continue;
        }
        chain = Some((*reader.chain(), reader.next_seq()));
    }
    Ok(found)
}

/// Reads a segment to its end: gives what is wrong, and whether its end is its own, so that the next must follow from it.
/// How the `newest` ends is for others to tell.
fn read_segment(
    first: Seq,
    reader: &mut SegmentReader,
    newest: bool,
    each: &mut dyn FnMut(Seq) -> Result<()>,
) -> Result<(Option<Damaged>, bool)> {
    let mut problem = None;
    loop {
        match reader.read()? {
            Met::Record(commit) => each(commit.seq())?,
            Met::Sealed => return Ok((problem, true)),
            Met::End if newest => return Ok((problem, true)),
            Met::End => {
                return Ok((problem.or_else(|| Some(log::cut_off(first, reader.next_seq()))), false));
            }
            Met::Invalid(what) => {
                let from = reader.next_seq();
                if reader.pass_over(None)? {
                    let to = reader.next_seq().0 - 1;
                    problem.get_or_insert(log::unreadable(*what, from, Seq(to)));
                    continue;
                }
                return Ok((problem.or_else(|| (!newest).then_some(*what)), newest));
            }
        }
    }
}

/// Damaged files, by name below the data folder, and what is wrong with each.
type Files = BTreeMap<String, Damaged>;

fn verify_checkpoints(
    dir: &Path,
    options: &StoreOptions,
    report: &mut Report,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<Files> {
    let dir = dir.join("checkpoints");
    let all = checkpoint::list(&*options.disk, &dir)?;
    let mut found = Files::new();
    for (number, seq) in all.iter().enumerate() {
        progress("checkpoints", number as u64, all.len() as u64);
        match checkpoint::read(&*options.disk, &dir, *seq, &mut |_| Ok(())) {
            Ok(_) => report.checkpoints += 1,
            Err(StoreError::Damaged(what)) => drop(found.insert(format!("checkpoints/{:020}.ckpt", seq.0), *what)),
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}

/// Reads every body that is referred to, or was by a commit that the log still has (so that it can be brought back),
/// and compares it with its name, pack by pack. Gives those that are damaged.
fn verify_bodies(
    store: &Store,
    report: &mut Report,
    progress: &mut impl FnMut(&str, u64, u64),
) -> Result<HashMap<BodyId, Damaged>> {
    let keep = store.bodies_to_keep(&|| true);
    // What is wrong with the log is in the report already; all bodies count then.
    let keeps = |id: &BodyId| keep.as_ref().map_or(true, |keep| keep.contains(id));
    let mut places = Vec::new();
    for row in store.inner.packs.indexed_places() {
        match row {
            Ok((id, place)) if keeps(&id) => places.push((place.pack, place.offset, id)),
            Ok(_) => {}
            Err(error) => report.damage.push(error.into_damage(Part::Index)?),
        }
    }
    places.sort_unstable();
    let mut broken = HashMap::new();
    for (number, (_, _, id)) in places.iter().enumerate() {
        if number % 64 == 0 {
            progress("bodies", number as u64, places.len() as u64);
        }
        report.bodies += 1;
        match store.body_as_it_is(id).and_then(|mut body| body.verify()) {
            Ok(()) => store.inner.packs.broken.forget(id),
            Err(error) => drop(broken.insert(*id, error.into_damage(Part::Body)?.body(*id))),
        }
    }
    // What nothing keeps needs nobody.
    for (id, _) in store.inner.packs.broken.list() {
        if !keeps(&id) {
            store.inner.packs.broken.forget(&id);
        }
    }
    Ok(broken)
}

/// The sum of the seals of a realm's records, each checked.
pub(crate) fn digest_of(view: &dyn IndexView, realm: RealmId) -> Result<Digest> {
    let mut digest = Digest::default();
    let range = full_range(realm, (Bound::Unbounded, Bound::Unbounded));
    for row in view.range(Space::Records, range, Order::Ascending) {
        let (key, stored) = row?;
        digest.add(unseal(realm, &key.slice(8..), &stored)?.0);
    }
    Ok(digest)
}

/// Reads a realm's records and compares them with its digest; gives the bodies that they refer to. `go_on` is asked now
/// and then.
pub(crate) fn scan_realm(
    snapshot: &Snapshot,
    realm: RealmId,
    report: &mut Report,
    go_on: &dyn Fn() -> bool,
) -> Result<BTreeSet<BodyId>> {
    let mut digest = Digest::default();
    let mut bodies = BTreeSet::new();
    let range = full_range(realm, (Bound::Unbounded, Bound::Unbounded));
    for row in snapshot.view().range(Space::Records, range, Order::Ascending) {
        let (key, stored) = match row {
            Ok(row) => row,
            Err(error) => {
                report.damage.push(error.into_damage(Part::Realm)?.realm(realm));
                break;
            }
        };
        let key = key.slice(8..);
        report.records += 1;
        if report.records.is_multiple_of(RECORDS_BETWEEN) && !go_on() {
            return Err(given_up());
        }
        match unseal(realm, &key, &stored) {
            Ok((seal, _)) => digest.add(seal),
            Err(error) => report.damage.push(error.into_damage(Part::Realm)?.realm(realm)),
        }
        bodies.extend(body_of_key(&key));
    }
    report.realms += 1;
    let stated = snapshot.realm_state(realm)?.digest;
    if stated != digest {
        report.damage.push(Damaged::wrong_digest(realm, digest, stated));
    }
    Ok(bodies)
}

/// Reads a body and compares it with its name.
pub(crate) fn check_body(store: &Store, realm: RealmId, id: &BodyId, report: &mut Report) -> Result<()> {
    report.bodies += 1;
    if let Err(error) = store.body_as_it_is(id).and_then(|mut body| body.verify()) {
        report.damage.push(error.into_damage(Part::Body)?.body(*id).realm(realm));
    }
    Ok(())
}
