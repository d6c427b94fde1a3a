//! A store made from an archive: the newest good snapshot not after the wished moment, the log after it, the bodies.
//!
//! Every realm is compared with the manifest's digest and with the one that each commit states. A realm whose snapshot
//! can't be read is taken from an older one, or from the log alone, and that is said. What was cut off is begun anew;
//! the bodies that had come already are kept.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, future::BoxFuture, stream};
use parking_lot::Mutex;
use store::{
    BodyId, Commit, Digest, RealmId, RealmSeq, Restore, Seq, Store, StoreError, StoreOptions,
    log::{Chain, read_run},
};

use super::{
    ArchiveError, Event, Result, Say, blocking,
    bodies::{note_packs, read_index},
    catalog::{Catalog, Listed},
    codec::Identities,
    format::{self, Manifest, PackedBody, RealmPart, RunName},
    line::{Line, Parent},
    target::Target,
    verify::{TRIES, fetch, open_chunk},
};

/// Objects that are fetched at once.
const READS: usize = 8;
/// Runs that are fetched before they are needed.
const RUNS_AHEAD: usize = 16;
/// Bodies that lie next to each other in a pack are fetched together, up to so many bytes.
const RANGE_BYTES: u64 = 4 << 20;
/// What lies between two bodies is fetched along when it is less.
const GAP_BYTES: u64 = 64 << 10;

/// What is to be restored.
#[derive(Clone)]
pub struct Wish {
    /// The archive.
    pub target: Target,
    /// Who reads.
    pub identities: Identities,
    /// The folder: empty, or one into which the same was being restored.
    pub dir: PathBuf,
    /// How the store is opened.
    pub options: StoreOptions,
    /// The moment, in milliseconds since 1970: the last commit that was made then or before. None: the last one.
    pub at_ms: Option<i64>,
    /// The line; none: the newest.
    pub line: Option<String>,
    /// Go on without what can't be restored, instead of failing.
    pub without_damaged: bool,
}

/// What was restored.
pub struct Restored {
    /// The store, open; its folder is still marked: see [`Restore::done`].
    pub store: Store,
    /// The line that it goes on from.
    pub parent: Parent,
    /// The last commit's time, in milliseconds since 1970, where known.
    pub time_ms: Option<i64>,
    /// Realms, bodies and commits of the log.
    pub realms: usize,
    /// See `realms`.
    pub bodies: u64,
    /// See `realms`.
    pub commits: u64,
    /// Bytes that were fetched.
    pub fetched: u64,
    /// Realms that were taken from elsewhere than the newest snapshot, and why; that commits before the moment may be
    /// missing.
    pub fallbacks: Vec<String>,
    /// What could not be restored, by name.
    pub lost: Vec<String>,
}

/// Restores.
///
/// # Errors
/// [`ArchiveError::Nothing`] when the archive does not reach back to the moment; [`ArchiveError::Damaged`] when
/// something can't be restored and is not to be left out: the folder stays marked, and the same restore goes on in it.
pub fn restore<'a>(wish: &'a Wish, say: Say<'a>) -> BoxFuture<'a, Result<Restored>> {
    Box::pin(async move {
        let work = Work::begin(wish, say).await?;
        work.run().await
    })
}

/// Counts what is fetched.
#[derive(Default)]
struct Fetched(std::sync::atomic::AtomicU64);

impl Fetched {
    fn add(&self, bytes: usize) {
        self.0.fetch_add(bytes as u64, std::sync::atomic::Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

struct Work<'a> {
    wish: &'a Wish,
    say: Say<'a>,
    /// Snapshots on the way to the wished moment, the newest first; read so far.
    manifests: Vec<Manifest>,
    /// Those not yet looked at, the newest first.
    older: Vec<Listed>,
    catalog: Catalog,
    /// Runs on the way to the wished moment, and the last commit of each line that belongs to it.
    runs: Vec<RunName>,
    upto: HashMap<String, Seq>,
    line: String,
    restore: Restore,
    /// Where in the archive the bodies that were fetched lie.
    places: Vec<(BodyId, String)>,
    fetched: Fetched,
}

impl<'a> Work<'a> {
    async fn begin(wish: &'a Wish, say: Say<'a>) -> Result<Self> {
        let target = &wish.target;
        let catalog = Catalog::read(target).await?;
        let line = catalog.line(wish.line.as_deref())?.clone();
        let path = catalog.path(&line)?;
        let upto: HashMap<String, Seq> = path.iter().map(|(line, upto)| (line.line.clone(), *upto)).collect();
        let mut runs: Vec<RunName> = catalog
            .runs
            .iter()
            .filter(|run| upto.get(&run.line).is_some_and(|upto| run.first <= *upto))
            .cloned()
            .collect();
        runs.sort_by_key(|run| (run.first, run.last));
        let mut older: Vec<Listed> = catalog
            .snapshots
            .iter()
            .filter(|listed| listed.good && upto.get(&listed.name.line).is_some_and(|upto| listed.name.seq <= *upto))
            .cloned()
            .collect();
        older.sort_by_key(|listed| std::cmp::Reverse((listed.name.seq, listed.name.made_ms)));
        let (dir, options) = (wish.dir.clone(), wish.options.clone());
        let at = wish.at_ms.map_or_else(|| "the last commit".to_owned(), |at| at.to_string());
        let mark = format!("archive line {} at {at}", line.line);
        let restore = blocking(move || Restore::begin(&dir, options, &mark)).await?;
        let line = line.line;
        Ok(Self {
            wish,
            say,
            manifests: Vec::new(),
            older,
            catalog,
            runs,
            upto,
            line,
            restore,
            places: Vec::new(),
            fetched: Fetched::default(),
        })
    }

    fn line_out(&self, text: impl Into<String>) {
        (self.say)(Event::Line(text.into()));
    }

    /// The next older snapshot that is of the wished moment or before.
    async fn next_manifest(&mut self) -> Result<Option<usize>> {
        while !self.older.is_empty() {
            let listed = self.older.remove(0);
            match self.catalog.manifest(&self.wish.target, &listed.name).await {
                Ok(manifest) if self.wish.at_ms.is_none_or(|at| manifest.time_ms <= at) => {
                    self.manifests.push(manifest);
                    return Ok(Some(self.manifests.len() - 1));
                }
                Ok(_) => {}
                Err(error) if matches!(error, ArchiveError::Damaged { .. }) || error.is_not_found() => {
                    self.line_out(format!("PASSED OVER: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    async fn run(mut self) -> Result<Restored> {
        let mut fallbacks = Vec::new();
        let mut lost = Vec::new();
        // Where the log after each realm's records begins.
        let mut from: HashMap<RealmId, Seq> = HashMap::new();
        let base = self.next_manifest().await?;
        let (mut seq, mut chain, mut epoch, mut time_ms) = (Seq(0), Chain::default(), 1, None);
        if let Some(base) = base {
            let manifest = self.manifests[base].clone();
            seq = Seq(manifest.seq);
            chain = manifest.chain().ok_or_else(|| ArchiveError::damaged("the manifest", "its chain"))?;
            (epoch, time_ms) = (manifest.epoch, Some(manifest.time_ms));
            self.line_out(format!(
                "snapshot of commit {seq}: {} realms, {} bodies",
                manifest.realms.len(),
                manifest.bodies
            ));
            let total = manifest.realms.len() as u64;
            for (number, part) in manifest.realms.iter().enumerate() {
                (self.say)(Event::Progress { what: "realms", done: number as u64, total });
                let realm = RealmId::from_raw(part.realm);
                match self.realm(&manifest, part).await {
                    Ok(()) => drop(from.insert(realm, Seq(part.at))),
                    Err(error) if is_damage(&error) => {
                        self.line_out(format!("{realm}: {error}"));
                        match self.realm_from_older(realm).await? {
                            Some(at) => {
                                let how = if at == Seq(0) {
                                    "the log from its first commit".to_owned()
                                } else {
                                    format!("the snapshot of commit {at} and the log after it")
                                };
                                let text = format!("{realm}: taken from {how} ({error})");
                                self.line_out(&text);
                                fallbacks.push(text);
                                from.insert(realm, at);
                            }
                            None => {
                                lost.push(format!("{realm}: {error}, and no older snapshot has it"));
                                from.insert(realm, Seq(u64::MAX));
                            }
                        }
                    }
                    Err(error) => return Err(error),
                }
            }
        } else if self.runs.first().is_none_or(|run| run.first != Seq(1)) {
            return Err(ArchiveError::Nothing(match self.wish.at_ms {
                Some(_) => format!(
                    "{}: no good snapshot of line {} is of that moment or before, and its log does not begin with the \
                     first commit",
                    self.wish.target.name(),
                    self.line
                ),
                None => format!("{}: line {} has no good snapshot", self.wish.target.name(), self.line),
            }));
        }
        let log = self.apply_log(seq, chain, &mut from, &mut lost).await?;
        fallbacks.extend(log.uncertain);
        if let Some(last) = log.last {
            (seq, chain, epoch, time_ms) = (last.seq, last.chain, epoch.max(last.epoch), Some(last.time_ms));
        }
        if seq == Seq(0) {
            return Err(ArchiveError::Nothing(format!(
                "{}: there is no commit of that moment or before",
                self.wish.target.name()
            )));
        }
        let bodies = self.bodies(&mut lost).await?;
        if !lost.is_empty() && !self.wish.without_damaged {
            for what in &lost {
                self.line_out(format!("LOST: {what}"));
            }
            return Err(ArchiveError::damaged(
                self.wish.target.name(),
                format!(
                    "{} things can't be restored; run it again with --without-damaged to leave them out",
                    lost.len()
                ),
            ));
        }
        let Self { wish, restore, line, upto, fetched, places, .. } = self;
        // The line whose commit this is: the newest of the path that may reach so far.
        let parent_line = upto
            .iter()
            .filter(|(_, upto)| seq <= **upto)
            .min_by_key(|(name, upto)| (**upto, **name != line))
            .map_or(line, |(name, _)| name.clone());
        let parent = Parent { line: parent_line, seq: seq.0, chain: hex::encode(chain) };
        let (dir, begun) = (wish.dir.clone(), parent.clone());
        let (now_ms, target) = (wish.options.clock.now_ms(), wish.target.clone());
        let store = blocking(move || -> Result<Store> {
            Line::begin(&dir, now_ms, begun)?;
            let store = restore.finish(seq, chain, epoch + 1)?;
            note_packs(&store, &target, &places)?;
            Ok(store)
        })
        .await?;
        let realms = store.realms().len();
        Ok(Restored {
            store,
            parent,
            time_ms,
            realms,
            bodies,
            commits: log.commits,
            fetched: fetched.get(),
            fallbacks,
            lost,
        })
    }

    /// A realm's records from one snapshot.
    async fn realm(&self, manifest: &Manifest, part: &RealmPart) -> Result<()> {
        let realm = RealmId::from_raw(part.realm);
        let digest =
            Digest::from_bytes(&part.digest).ok_or_else(|| ArchiveError::damaged(realm.to_string(), "digest"))?;
        let (chunks, received) = tokio::sync::mpsc::channel::<Result<ChunkRecords>>(2);
        let fetch_all = async move {
            let names: Vec<String> = manifest.at(&part.chunks).map(|needed| needed.name.clone()).collect();
            let mut fetched = stream::iter(names)
                .map(|name| async move {
                    let bytes = fetch(&self.wish.target, &name).await?;
                    self.fetched.add(bytes.len());
                    let identities = self.wish.identities.clone();
                    let chunk = blocking(move || open_chunk(&identities, &name, realm, &bytes)).await?;
                    Ok(chunk.records.into_iter().map(|record| (record.key, record.value)).collect())
                })
                .buffered(READS);
            while let Some(chunk) = fetched.next().await {
                let failed = chunk.is_err();
                if chunks.send(chunk).await.is_err() || failed {
                    break;
                }
            }
        };
        let (filler, realm_seq) = (self.restore.filler(), RealmSeq(part.realm_seq));
        let fill = blocking(move || filler.realm(realm, realm_seq, digest, Records::new(received)));
        let ((), outcome) = tokio::join!(fetch_all, fill);
        outcome
    }

    /// A realm from the newest older snapshot that has it whole, or from nothing when the log begins with the first
    /// commit. Gives where the log after it begins.
    async fn realm_from_older(&mut self, realm: RealmId) -> Result<Option<Seq>> {
        let mut number = 1;
        loop {
            if number >= self.manifests.len() && self.next_manifest().await?.is_none() {
                break;
            }
            let manifest = self.manifests[number].clone();
            number += 1;
            let Some(part) = super::snapshot::part_of(&manifest, realm) else { continue };
            match self.realm(&manifest, part).await {
                Ok(()) => return Ok(Some(Seq(part.at))),
                Err(error) if is_damage(&error) => {
                    self.line_out(format!("{realm}: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.runs.first().filter(|run| run.first == Seq(1)).map(|_| Seq(0)))
    }

    /// Applies the commits after those that the realms' records hold, up to the wished moment.
    async fn apply_log(
        &self,
        base: Seq,
        base_chain: Chain,
        from: &mut HashMap<RealmId, Seq>,
        lost: &mut Vec<String>,
    ) -> Result<Log> {
        let start = from.values().copied().filter(|at| *at < Seq(u64::MAX)).min().unwrap_or(base).min(base);
        // The chain before an earlier start is what its first run says; at the base it must be the snapshot's.
        let mut at: Option<(Seq, Chain)> = (start == base).then_some((base, base_chain));
        let mut log = Log::default();
        let mut next = Seq(start.0 + 1);
        let newest = self.runs.iter().map(|run| run.last).max().unwrap_or_default();
        let total = newest.0.saturating_sub(start.0);
        let mut problems: Vec<String> = Vec::new();
        let mut ahead: HashMap<String, Result<Bytes>> = HashMap::new();
        let mut reached_moment = false;
        'runs: loop {
            (self.say)(Event::Progress { what: "commits", done: next.0 - start.0 - 1, total });
            let mut candidates: Vec<&RunName> = self
                .runs
                .iter()
                .filter(|run| run.first <= next && next <= run.last.min(self.upto[&run.line]))
                .collect();
            candidates.sort_by_key(|run| std::cmp::Reverse(run.last));
            for run in candidates {
                let object = run.to_string();
                if !ahead.contains_key(&object) {
                    ahead = self.fetch_ahead(next).await;
                }
                let read = async {
                    let bytes = match ahead.remove(&object) {
                        Some(fetched) => fetched?,
                        None => fetch(&self.wish.target, &object).await?,
                    };
                    self.fetched.add(bytes.len());
                    let (identities, name) = (self.wish.identities.clone(), object.clone());
                    blocking(move || -> Result<Vec<(Commit, Chain)>> {
                        let mut commits = Vec::new();
                        let before = read_run(identities.open(&name, &bytes)?, |commit, chain| {
                            commits.push((commit, *chain));
                            Ok(())
                        })
                        .map_err(|error| ArchiveError::damaged(&name, error))?;
                        // What leads up to the first one that is wanted must be what is there.
                        if let Some((seq, chain)) = at {
                            let found = match seq.0.checked_sub(before.first.0) {
                                None => Some(before.before),
                                Some(place) => commits.get(place as usize).map(|(_, chain)| *chain),
                            };
                            if found != Some(chain) {
                                return Err(ArchiveError::damaged(
                                    &name,
                                    "it does not follow from the commit before it",
                                ));
                            }
                        }
                        commits.retain(|(commit, _)| commit.seq() >= next);
                        Ok(commits)
                    })
                    .await
                };
                let commits = match read.await {
                    Ok(commits) => commits,
                    Err(error) if is_damage(&error) => {
                        self.line_out(format!("PASSED OVER: {error}"));
                        problems.push(error.to_string());
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let upto = self.upto[&run.line];
                for (commit, chain) in commits {
                    let over = commit.seq() > upto || self.wish.at_ms.is_some_and(|at| commit.time_ms > at);
                    // The snapshot's own commits are wanted even when the clock has gone back since.
                    if over && commit.seq() > base {
                        if commit.seq() > upto {
                            break;
                        }
                        reached_moment = true;
                        break 'runs;
                    }
                    if commit.seq() == base && chain != base_chain {
                        return Err(ArchiveError::damaged(&object, "its log is not the snapshot's"));
                    }
                    self.apply(&commit, base, from, lost)?;
                    next = Seq(commit.seq().0 + 1);
                    at = Some((commit.seq(), chain));
                    if commit.seq() > base {
                        log.commits += 1;
                        let (seq, time_ms) = (commit.seq(), commit.time_ms);
                        log.last = Some(Last { seq, chain, epoch: commit.epoch, time_ms });
                    }
                }
                // Another copy of what could not be read was whole.
                problems.clear();
                continue 'runs;
            }
            break;
        }
        if next.0 <= base.0 {
            for (realm, at) in from.iter().filter(|(_, at)| **at < base) {
                lost.push(format!("{realm}: its log from commit {at} to {base} is not whole"));
            }
        }
        // Something further on shows that commits are missing here.
        let beyond = self.runs.iter().any(|run| run.first >= next && run.first <= self.upto[&run.line]);
        if !reached_moment && (beyond || !problems.is_empty()) {
            let reached = log.last.map_or(base, |last| last.seq);
            let when = log.last.and_then(|last| jiff::Timestamp::from_millisecond(last.time_ms).ok());
            let what = format!(
                "commits after {reached}{} can't be read{}",
                when.map(|when| format!(" (made {when})")).unwrap_or_default(),
                problems.first().map(|first| format!(": {first}")).unwrap_or_default()
            );
            if self.wish.at_ms.is_none() {
                lost.push(what);
            } else {
                // Whoever names a moment may mean the one before what is missing.
                log.uncertain = Some(format!("{what}: those of that moment or before, if any, are not in it"));
            }
        }
        Ok(log)
    }

    /// The next runs, fetched together: there may be many small ones.
    async fn fetch_ahead(&self, next: Seq) -> HashMap<String, Result<Bytes>> {
        let ahead = self.runs.iter().filter(|run| run.last >= next).take(RUNS_AHEAD);
        let names: Vec<String> = ahead.map(ToString::to_string).collect();
        stream::iter(names)
            .map(|name| async move {
                let bytes = fetch(&self.wish.target, &name).await;
                (name, bytes)
            })
            .buffer_unordered(READS)
            .collect()
            .await
    }

    fn apply(
        &self,
        commit: &Commit,
        base: Seq,
        from: &mut HashMap<RealmId, Seq>,
        lost: &mut Vec<String>,
    ) -> Result<()> {
        for part in &commit.realms {
            let realm = part.realm();
            if commit.seq() <= from.get(&realm).copied().unwrap_or(base) {
                continue;
            }
            match self.restore.apply(commit.seq(), part) {
                Ok(()) => {}
                Err(StoreError::Damaged { what }) => {
                    self.line_out(format!("LOST: {what}"));
                    lost.push(what);
                    from.insert(realm, Seq(u64::MAX));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Fetches the bodies that the records refer to and that are not there yet; gives how many there are in all.
    async fn bodies(&mut self, lost: &mut Vec<String>) -> Result<u64> {
        let needed = self.restore.bodies()?;
        let total = needed.len() as u64;
        let mut missing = HashSet::new();
        for id in needed.keys() {
            if !self.restore.has_body(id)? {
                missing.insert(*id);
            }
        }
        if (missing.len() as u64) < total {
            self.line_out(format!("{} of {total} bodies are here already", total - missing.len() as u64));
        }
        let missing = Arc::new(Mutex::new(missing));
        let (target, identities, fetched) = (&self.wish.target, &self.wish.identities, &self.fetched);
        // Those that the snapshot needs first: there is no need to look further when they have everything.
        let of_snapshot: HashSet<&str> = self
            .manifests
            .first()
            .into_iter()
            .flat_map(|base| &base.objects)
            .map(|object| object.name.as_str())
            .collect();
        let mut indexes: Vec<Vec<String>> = vec![Vec::new(), Vec::new()];
        for object in target.list("bodies").await? {
            if let Some(pack) = format::pack_of_index(&object.name) {
                let is_needed = of_snapshot.contains(format::pack_name(pack).as_str());
                indexes[usize::from(!is_needed)].push(object.name);
            }
        }
        let say = self.say;
        let mut problems: BTreeMap<BodyId, String> = BTreeMap::new();
        let (restore, places, mut done) = (&mut self.restore, &mut self.places, total - missing.lock().len() as u64);
        for indexes in indexes {
            let wanted = missing.clone();
            let ranges = stream::iter(indexes)
                .map(|name| {
                    let wanted = wanted.clone();
                    async move {
                        if wanted.lock().is_empty() {
                            return Ok(Vec::new());
                        }
                        match index_of(target, identities, fetched, &name).await {
                            Ok(bodies) => {
                                let pack = format::pack_name(format::pack_of_index(&name).unwrap_or_default());
                                let wanted = wanted.lock();
                                let here = bodies
                                    .into_iter()
                                    .filter(|body| id_of(body).is_some_and(|id| wanted.contains(&id)));
                                Ok(ranges_of(&pack, here))
                            }
                            Err(error) if is_damage(&error) => {
                                say(Event::Line(format!("PASSED OVER: {error}")));
                                Ok(Vec::new())
                            }
                            Err(error) => Err(error),
                        }
                    }
                })
                .buffer_unordered(READS)
                .map_ok(|ranges| stream::iter(ranges.into_iter().map(Ok::<_, ArchiveError>)))
                .try_flatten();
            let bodies = ranges
                .map(|range| {
                    let wanted = missing.clone();
                    async move {
                        let (pack, bodies) = range?;
                        read_range(target, identities, fetched, &pack, bodies, &wanted).await
                    }
                })
                .buffer_unordered(READS);
            let mut bodies = std::pin::pin!(bodies);
            while let Some(read) = bodies.next().await {
                let (pack, read) = read?;
                for (id, outcome) in read {
                    match outcome {
                        Ok(bytes) => {
                            if missing.lock().remove(&id) {
                                restore.put_body(&bytes)?;
                                places.push((id, format::hash_of_pack(&pack).to_owned()));
                                done += 1;
                            }
                        }
                        Err(error) => drop(problems.insert(id, error.to_string())),
                    }
                }
                say(Event::Progress { what: "bodies", done, total });
            }
        }
        let missing = missing.lock();
        for id in missing.iter() {
            let why = problems.get(id).map_or("no pack has it", String::as_str);
            lost.push(format!("{}: body {id}: {why}", needed[id]));
        }
        Ok(total - missing.len() as u64)
    }
}

#[derive(Default)]
struct Log {
    /// Why it may not reach up to the moment.
    uncertain: Option<String>,
    commits: u64,
    last: Option<Last>,
}

#[derive(Clone, Copy)]
struct Last {
    seq: Seq,
    chain: Chain,
    epoch: u64,
    time_ms: i64,
}

/// What another copy may still give.
fn is_damage(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Damaged { .. } | ArchiveError::Store(StoreError::Damaged { .. }))
        || error.is_not_found()
}

fn id_of(body: &PackedBody) -> Option<BodyId> {
    body.id.as_slice().try_into().ok().map(BodyId::from_bytes)
}

async fn index_of(target: &Target, identities: &Identities, fetched: &Fetched, name: &str) -> Result<Vec<PackedBody>> {
    let bytes = fetch(target, name).await?;
    fetched.add(bytes.len());
    let (identities, name) = (identities.clone(), name.to_owned());
    blocking(move || Ok(read_index(&name, &identities.open(&name, &bytes)?)?.bodies)).await
}

/// Bodies of a pack, gathered by what is fetched at once.
fn ranges_of(pack: &str, bodies: impl Iterator<Item = PackedBody>) -> Vec<(String, Vec<PackedBody>)> {
    let mut ranges: Vec<(String, Vec<PackedBody>)> = Vec::new();
    for body in bodies {
        if let Some((_, range)) = ranges.last_mut()
            && let (Some(first), Some(last)) = (range.first(), range.last())
            && body.offset.saturating_sub(last.offset + last.stored) < GAP_BYTES
            && (body.offset + body.stored).saturating_sub(first.offset) < RANGE_BYTES
        {
            range.push(body);
        } else {
            ranges.push((pack.to_owned(), vec![body]));
        }
    }
    ranges
}

/// Bodies, and the pack that they lie in.
type Read = (String, Vec<(BodyId, Result<Vec<u8>>)>);

/// As [`read_range_once`]; bodies that came wrong are asked for again: it may have been the line.
async fn read_range(
    target: &Target,
    identities: &Identities,
    fetched: &Fetched,
    pack: &str,
    bodies: Vec<PackedBody>,
    wanted: &Mutex<HashSet<BodyId>>,
) -> Result<Read> {
    let mut tries = 0;
    loop {
        tries += 1;
        let read = read_range_once(target, identities, fetched, pack, bodies.clone(), wanted).await?;
        let wrong = read.1.iter().find_map(|(_, outcome)| outcome.as_ref().err());
        match wrong {
            Some(error) if tries < TRIES => tracing::warn!(%error, "asking for it again"),
            _ => return Ok(read),
        }
    }
}

async fn read_range_once(
    target: &Target,
    identities: &Identities,
    fetched: &Fetched,
    pack: &str,
    bodies: Vec<PackedBody>,
    wanted: &Mutex<HashSet<BodyId>>,
) -> Result<Read> {
    let bodies: Vec<(BodyId, PackedBody)> = {
        let wanted = wanted.lock();
        bodies
            .into_iter()
            .filter_map(|body| Some((id_of(&body)?, body)))
            .filter(|(id, _)| wanted.contains(id))
            .collect()
    };
    let (Some((_, first)), Some((_, last))) = (bodies.first(), bodies.last()) else {
        return Ok((String::new(), Vec::new()));
    };
    let start = first.offset;
    let bytes = match target.get_range(pack, start..last.offset + last.stored).await {
        Ok(bytes) => bytes,
        Err(error) if is_damage(&error) => {
            let what = error.to_string();
            let none = bodies.into_iter().map(|(id, _)| (id, Err(ArchiveError::damaged(pack, &what))));
            return Ok((String::new(), none.collect()));
        }
        Err(error) => return Err(error),
    };
    fetched.add(bytes.len());
    let (identities, pack) = (identities.clone(), pack.to_owned());
    Ok(blocking(move || {
        let open = |id: BodyId, body: &PackedBody| {
            let from = (body.offset - start) as usize;
            let stored = bytes.get(from..from + body.stored as usize).unwrap_or_default();
            let plain = identities.open(&pack, stored)?;
            if BodyId::of(&plain) == id { Ok(plain) } else { Err(ArchiveError::damaged(&pack, "a body is another")) }
        };
        let bodies = bodies.iter().map(|(id, body)| (*id, open(*id, body))).collect();
        (pack, bodies)
    })
    .await)
}

type ChunkRecords = Vec<(Vec<u8>, Vec<u8>)>;

/// Records as they come from the chunks.
struct Records {
    received: tokio::sync::mpsc::Receiver<Result<ChunkRecords>>,
    chunk: <ChunkRecords as IntoIterator>::IntoIter,
}

impl Records {
    fn new(received: tokio::sync::mpsc::Receiver<Result<ChunkRecords>>) -> Self {
        Self { received, chunk: Vec::new().into_iter() }
    }
}

impl Iterator for Records {
    type Item = Result<(Vec<u8>, Vec<u8>)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(record) = self.chunk.next() {
                return Some(Ok(record));
            }
            match self.received.blocking_recv()? {
                Ok(chunk) => self.chunk = chunk.into_iter(),
                Err(error) => return Some(Err(error)),
            }
        }
    }
}
