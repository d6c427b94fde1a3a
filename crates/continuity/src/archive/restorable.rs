//! How far an archive can be restored: one number. A snapshot, the runs of commits after it and all bodies must exist
//! without a gap; missing objects are listed.
//!
//! * [`Base`] and [`Joined`]: information from a listing about snapshots and runs.
//! * [`Restorable`]: the result, for people and for metrics.
//! * [`with_identity`]: also checks bodies, from the archive alone; the shipper uses its own notes.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use futures_util::{StreamExt as _, stream};
use store::{BodyId, Seq, body_of_key};

use super::{
    ArchiveError, Result, blocking,
    bodies::read_index,
    catalog::Catalog,
    codec::Identities,
    format::{self, LineRecord, Manifest, RunName, SnapshotName},
    target::{Object, Target, fetch},
};

/// Things that are named one by one; more are counted.
const MAX_NAMED: usize = 20;
/// Indexes that are read at once.
const READS: usize = 8;

/// How far an archive can be restored, and what is missing for more.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Restorable {
    /// Of which line.
    pub line: String,
    /// Everything up to this commit can be restored; 0: nothing can.
    pub seq: Seq,
    /// When that commit was made, in milliseconds since 1970, where known.
    pub time_ms: Option<i64>,
    /// The commit that it must reach: the last that was shipped, or that the archive itself names.
    pub due: Seq,
    /// What is missing, by name.
    pub missing: Vec<String>,
    /// How many things are missing: more than are named.
    pub missing_count: u64,
    /// The snapshot that a restore begins with; none: the log from its first commit.
    pub base: Option<Seq>,
    /// No complete snapshot is followed by the log, or the log in between can't be shipped again: only a new snapshot
    /// helps.
    pub needs_snapshot: bool,
    /// When it was looked at, in milliseconds since 1970.
    pub looked_ms: i64,
}

impl Restorable {
    /// Whether everything that should be there can be restored.
    pub fn is_whole(&self) -> bool {
        self.missing_count == 0 && self.seq >= self.due
    }

    /// Notes something that is missing.
    pub fn add_missing(&mut self, what: String) {
        self.missing_count += 1;
        if self.missing.len() < MAX_NAMED {
            self.missing.push(what);
        }
    }

    /// Ends it before a commit.
    pub(super) fn end_before(&mut self, seq: Seq) {
        if seq <= self.seq {
            self.seq = Seq(seq.0.saturating_sub(1));
            self.time_ms = None;
        }
    }
}

/// The objects that snapshots need and packs lie in, with their sizes; what was read and is damaged is not there.
#[derive(Debug, Default)]
pub struct There {
    bytes: HashMap<String, u64>,
    indexed: HashSet<String>,
}

impl There {
    /// Asks the archive.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn list(target: &Target) -> Result<Self> {
        Ok(Self::among(target.list("chunks").await?.into_iter().chain(target.list("bodies").await?)))
    }

    /// The same, of objects that were listed.
    pub(super) fn among(objects: impl Iterator<Item = Object>) -> Self {
        let mut there = Self::default();
        for object in objects.filter(|object| object.bytes > 0) {
            if let Some(pack) = format::pack_of_index(&object.name) {
                there.indexed.insert(format::pack_name(pack));
            }
            there.bytes.insert(object.name, object.bytes);
        }
        there
    }

    /// Removes objects that were read and do not match their names.
    pub fn without(mut self, broken: &BTreeSet<String>) -> Self {
        for object in broken {
            self.bytes.remove(object);
            if let Some(pack) = format::pack_of_index(object) {
                self.indexed.remove(&format::pack_name(pack));
            }
        }
        self
    }

    /// Why an object that a snapshot needs is missing.
    fn lacks(&self, name: &str, bytes: u64) -> Option<String> {
        match self.bytes.get(name) {
            None => Some(format!("{name} is missing")),
            Some(found) if *found != bytes => Some(format!("{name} is {found} bytes, not {bytes}")),
            Some(_) if format::is_pack(name) && !self.indexed.contains(name) => Some(format!("{name} has no index")),
            Some(_) => None,
        }
    }

    fn packs(&self) -> impl Iterator<Item = &str> {
        self.bytes.keys().map(String::as_str).filter(|name| format::is_pack(name) && self.indexed.contains(*name))
    }
}

/// The snapshot that a restore begins with.
#[derive(Debug, Default)]
pub struct Base {
    /// None: the log from its first commit.
    pub snapshot: Option<(SnapshotName, Manifest)>,
    /// What is wrong with newer ones.
    pub missing: Vec<String>,
}

impl Base {
    /// The newest good snapshot of a line whose objects are all there.
    ///
    /// # Errors
    /// Those of the target; damage is in what is missing instead.
    pub async fn find(target: &Target, catalog: &Catalog, line: &LineRecord, there: &There) -> Result<Self> {
        let mut base = Self::default();
        for listed in catalog.good_of(line)?.into_iter().rev() {
            let manifest = match catalog.manifest(target, &listed.name).await {
                Ok(manifest) => manifest,
                Err(error) if matches!(error, ArchiveError::Damaged { .. }) || error.is_not_found() => {
                    base.missing.push(error.to_string());
                    continue;
                }
                Err(error) => return Err(error),
            };
            let lacking: Vec<String> =
                manifest.objects.iter().filter_map(|needed| there.lacks(&needed.name, needed.bytes)).collect();
            if lacking.is_empty() {
                base.snapshot = Some((listed.name.clone(), manifest));
                break;
            }
            let of = listed.name.seq;
            base.missing
                .extend(lacking.into_iter().map(|what| format!("{what} (the snapshot of commit {of} needs it)")));
        }
        Ok(base)
    }

    /// The last commit in it.
    pub fn seq(&self) -> Seq {
        self.snapshot.as_ref().map_or(Seq(0), |(name, _)| name.seq)
    }
}

/// How runs follow from each other and from a snapshot.
#[derive(Debug, Default)]
pub struct Joined {
    /// The last commit that they reach without a gap.
    pub reached: Seq,
    /// The last commit that any of them has.
    pub last: Seq,
    /// Commits between, first and last, that none has.
    pub gaps: Vec<(Seq, Seq)>,
}

impl Joined {
    /// Of runs on the path of a line, after `base`, up to the commit `due` at least.
    ///
    /// # Errors
    /// As [`Catalog::path`].
    pub fn of(catalog: &Catalog, line: &LineRecord, base: Seq, due: Seq, broken: &BTreeSet<String>) -> Result<Self> {
        let upto: HashMap<String, Seq> =
            catalog.path(line)?.into_iter().map(|(record, upto)| (record.line, upto)).collect();
        let mut spans: Vec<(Seq, Seq)> = catalog
            .runs
            .iter()
            .filter_map(|run| {
                let last = run.last.min(*upto.get(&run.line)?);
                let counts =
                    last > base && run.first <= last && (broken.is_empty() || !broken.contains(&run.to_string()));
                counts.then_some((run.first, last))
            })
            .collect();
        spans.sort_unstable();
        let mut joined = Self { reached: base, last: base, gaps: Vec::new() };
        for (first, last) in spans {
            if first.0 > joined.last.0 + 1 {
                joined.gaps.push((Seq(joined.last.0 + 1), Seq(first.0 - 1)));
            }
            joined.last = last.max(joined.last);
        }
        if due > joined.last {
            joined.gaps.push((Seq(joined.last.0 + 1), due));
        }
        joined.reached = joined.gaps.first().map_or(joined.last, |(first, _)| Seq(first.0 - 1));
        Ok(joined)
    }
}

/// The state of a line from a listing alone: snapshot and runs. `due`: the last commit known to have been shipped.
///
/// # Errors
/// As [`Catalog::path`].
pub fn by_listing(
    catalog: &Catalog,
    line: &LineRecord,
    base: &Base,
    due: Seq,
    broken: &BTreeSet<String>,
) -> Result<(Restorable, Joined)> {
    let joined = Joined::of(catalog, line, base.seq(), due, broken)?;
    let newest_snapshot = catalog.good_of(line)?.last().map_or(Seq(0), |listed| listed.name.seq);
    let mut found = Restorable {
        line: line.line.clone(),
        seq: joined.reached,
        due: due.max(joined.last).max(newest_snapshot),
        base: base.snapshot.as_ref().map(|(name, _)| name.seq),
        ..Restorable::default()
    };
    if let Some((_, manifest)) = base.snapshot.as_ref().filter(|(name, _)| name.seq == found.seq) {
        found.time_ms = Some(manifest.time_ms);
    }
    for (first, last) in &joined.gaps {
        found.add_missing(if first == last {
            format!("commit {first} is missing in the log")
        } else {
            format!("commits {first} to {last} are missing in the log")
        });
    }
    // A newer snapshot that is not whole takes nothing away where the log of an older one reaches as far.
    if found.seq < found.due || !base.missing.is_empty() {
        for what in &base.missing {
            found.add_missing(what.clone());
        }
    }
    found.needs_snapshot = !base.missing.is_empty();
    Ok((found, joined))
}

/// Collects records that refer to missing bodies, commit by commit.
#[derive(Debug, Default)]
pub(super) struct Outstanding {
    /// By realm and key: the commit that first referred, and the body.
    by_record: BTreeMap<(u64, Vec<u8>), (Seq, BodyId)>,
}

impl Outstanding {
    /// Takes in a commit; `is_there` says whether a body is.
    pub(super) fn take(
        &mut self,
        commit: &store::Commit,
        mut is_there: impl FnMut(&BodyId) -> Result<bool>,
    ) -> Result<()> {
        for part in &commit.realms {
            for op in &part.ops {
                let Some(body) = body_of_key(&op.key) else { continue };
                if op.value.is_none() {
                    if !self.by_record.is_empty() {
                        self.by_record.remove(&(part.realm_raw, op.key.clone()));
                    }
                } else if !is_there(&body)? {
                    self.by_record.entry((part.realm_raw, op.key.clone())).or_insert((commit.seq(), body));
                }
            }
        }
        Ok(())
    }

    /// Adds everything still missing at the end to `found`.
    pub(super) fn tell(&self, found: &mut Restorable) {
        let mut first: BTreeMap<BodyId, Seq> = BTreeMap::new();
        for (seq, body) in self.by_record.values() {
            let known = first.entry(*body).or_insert(*seq);
            *known = (*known).min(*seq);
        }
        let mut in_order: Vec<(Seq, BodyId)> = first.into_iter().map(|(body, seq)| (seq, body)).collect();
        in_order.sort_unstable();
        for (seq, body) in in_order {
            found.end_before(seq);
            found.add_missing(format!("body {body} is missing: commit {seq} refers to it"));
        }
    }
}

/// How far a line can be restored, by the archive alone and with everything in it read: `broken` are the objects that
/// were read and are damaged.
///
/// # Errors
/// Those that prevent the check from continuing; damage is in the result instead.
pub async fn with_identity(
    target: &Target,
    catalog: &Catalog,
    line: &LineRecord,
    due: Seq,
    identities: Option<&Identities>,
    broken: &BTreeSet<String>,
) -> Result<Restorable> {
    let there = There::list(target).await?.without(broken);
    let base = Base::find(target, catalog, line, &there).await?;
    let (mut found, joined) = by_listing(catalog, line, &base, due, broken)?;
    let Some(identities) = identities else {
        if found.time_ms.is_none() {
            found.time_ms = stored_ms(catalog, line, found.seq)?;
        }
        return Ok(found);
    };
    let known = bodies_there(target, &there, identities).await?;
    let of_snapshot = base.snapshot.as_ref().map_or(0, |(_, manifest)| manifest.bodies);
    tracing::debug!(target = target.name(), bodies = known.len(), of_snapshot, "bodies that are in packs");
    let mut outstanding = Outstanding::default();
    let mut next = Seq(base.seq().0 + 1);
    let upto: HashMap<String, Seq> =
        catalog.path(line)?.into_iter().map(|(record, upto)| (record.line, upto)).collect();
    let mut times: BTreeMap<Seq, i64> = BTreeMap::new();
    while next <= joined.reached {
        let Some(run) = run_with(catalog, &upto, next, broken) else { break };
        let commits = read_commits(target, catalog, run, identities).await?;
        for commit in commits.iter().filter(|commit| commit.seq() >= next && commit.seq() <= upto[&run.line]) {
            outstanding.take(commit, |body| Ok(known.contains(&short(body))))?;
            times.insert(commit.seq(), commit.true_ms());
        }
        next = Seq(run.last.min(upto[&run.line]).0 + 1);
    }
    outstanding.tell(&mut found);
    found.time_ms = times.get(&found.seq).copied().or(found.time_ms);
    Ok(found)
}

/// The run that has a commit and reaches furthest.
pub(super) fn run_with<'a>(
    catalog: &'a Catalog,
    upto: &HashMap<String, Seq>,
    seq: Seq,
    broken: &BTreeSet<String>,
) -> Option<&'a RunName> {
    let has = |run: &&RunName| run.first <= seq && upto.get(&run.line).is_some_and(|upto| seq <= run.last.min(*upto));
    let whole = |run: &&RunName| broken.is_empty() || !broken.contains(&run.to_string());
    catalog.runs.iter().filter(has).filter(whole).max_by_key(|run| run.last.min(upto[&run.line]))
}

/// The commits of a run.
pub(super) async fn read_commits(
    target: &Target,
    catalog: &Catalog,
    run: &RunName,
    identities: &Identities,
) -> Result<Vec<store::Commit>> {
    let object = run.to_string();
    let bytes = catalog.sealed_run(run, &fetch(target, &object).await?)?;
    let identities = identities.clone();
    blocking(move || {
        let mut commits = Vec::new();
        store::log::read_run(identities.open(&object, &bytes, format::MAX_RUN_BYTES)?, |commit, _| {
            commits.push(commit);
            Ok(())
        })
        .map_err(|error| ArchiveError::of_run(&object, error))?;
        Ok(commits)
    })
    .await
}

/// When the last commit of a run was made, in milliseconds since 1970.
///
/// # Errors
/// Those of reading it.
pub async fn last_of_run(
    target: &Target,
    catalog: &Catalog,
    run: &RunName,
    identities: &Identities,
) -> Result<Option<i64>> {
    let commits = read_commits(target, catalog, run, identities).await?;
    Ok(commits.last().map(store::Commit::true_ms))
}

/// When the run that ends with a commit was stored, by the target's clock.
fn stored_ms(catalog: &Catalog, line: &LineRecord, seq: Seq) -> Result<Option<i64>> {
    let path: HashSet<String> = catalog.path(line)?.into_iter().map(|(record, _)| record.line).collect();
    let run = catalog.runs.iter().find(|run| run.last == seq && path.contains(&run.line));
    Ok(run.and_then(|run| catalog.run_objects.get(&run.to_string())).map(|(_, stored_ms)| *stored_ms))
}

fn short(id: &BodyId) -> u128 {
    u128::from_be_bytes(*id.as_bytes().first_chunk().expect("a name is 32 bytes"))
}

/// The bodies that packs have which are there, by the first 128 bits of their names.
async fn bodies_there(target: &Target, there: &There, identities: &Identities) -> Result<HashSet<u128>> {
    let packs: HashSet<&str> = there.packs().collect();
    let indexes: Vec<String> = there
        .bytes
        .keys()
        .filter(|name| format::pack_of_index(name).is_some_and(|pack| packs.contains(format::pack_name(pack).as_str())))
        .cloned()
        .collect();
    let mut read = stream::iter(indexes)
        .map(|name| async move {
            let bytes = fetch(target, &name).await?;
            let identities = identities.clone();
            blocking(move || read_index(&name, &identities.open(&name, &bytes, format::MAX_INDEX_BYTES)?)).await
        })
        .buffer_unordered(READS);
    let mut known = HashSet::new();
    while let Some(index) = read.next().await {
        match index {
            Ok(index) => known.extend(index.bodies.iter().filter_map(|body| {
                let id: [u8; 32] = body.id.as_slice().try_into().ok()?;
                Some(short(&BodyId::from_bytes(id)))
            })),
            Err(error) if matches!(error, ArchiveError::Damaged { .. }) || error.is_not_found() => {
                tracing::warn!(%error, "ignoring the bodies of a pack without a readable index");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(known)
}
