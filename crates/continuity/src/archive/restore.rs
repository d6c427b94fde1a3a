//! A store made from an archive: the newest good snapshot not after the wished moment, the log after it, the bodies.
//!
//! Every realm is compared with the manifest's digest and with the one that each commit states. A realm whose snapshot
//! can't be read is taken from an older one, or from the log alone, and that is said.
//!
//! Two ways: [`restore`] makes all of it before anyone may open it; what was cut off is begun anew, and the bodies that
//! had come already are kept. [`serving::begin`] makes a store that serves once the system's own realms are there, and
//! brings the rest behind; what was cut off goes on where it was.

mod bodies;
mod choose;
mod log;
pub mod serving;

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::{StreamExt as _, future::BoxFuture, stream};
use store::{BodyId, Commit, Digest, RealmId, RealmSeq, Restore, Seq, Store, StoreError, StoreOptions, log::Chain};

pub(in crate::archive) use bodies::ranges_in;
pub use choose::{Deletion, Life, deletions, lives};

use super::{
    ArchiveError, Event, Result, Say, blocking,
    bodies::note_packs,
    catalog::{Catalog, Listed},
    codec::Identities,
    format::{self, Manifest, RealmPart, RunName, SnapshotName},
    line::{Line, Parent},
    target::Target,
    verify::{fetch, open_chunk},
};

/// Objects that are fetched at once.
const READS: usize = 8;

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
    /// The keys of lines that are believed, each of 64 hexadecimal digits; all when there is none.
    pub signed_by: Vec<String>,
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
    /// What has to be said, and is no fault: other lines that go on, commits with wrong times.
    pub notes: Vec<String>,
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
        let source = Source::open(wish.clone(), say).await?;
        let fresh = Fresh::look(&wish.dir);
        source.try_identity().await?;
        let (dir, options, mark) = (wish.dir.clone(), wish.options.clone(), source.mark());
        let restore = blocking(move || Restore::begin(&dir, options, &mark)).await?;
        let outcome = Whole { source, restore, places: Vec::new() }.run().await;
        fresh.leave_no_mark(&outcome);
        outcome
    })
}

/// A folder that was empty before a restore. One that could not even begin leaves it as it was: the next try may be of
/// another moment.
struct Fresh<'a>(Option<&'a Path>);

impl<'a> Fresh<'a> {
    fn look(dir: &'a Path) -> Self {
        let is_empty = std::fs::read_dir(dir).map_or(true, |mut entries| entries.next().is_none());
        Self(is_empty.then_some(dir))
    }

    fn leave_no_mark<T>(&self, outcome: &Result<T>) {
        use ArchiveError::{NoIdentity, Nothing, Setting};
        let (Some(dir), Err(Nothing(_) | NoIdentity { .. } | Setting(_))) = (self.0, outcome) else { return };
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            if let Err(error) = removed {
                tracing::warn!(path = %path.display(), %error, "a restore that did not begin has left this");
            }
        }
    }
}

/// An archive, looked at for one moment.
struct Source<'a> {
    wish: Wish,
    say: Say<'a>,
    catalog: Catalog,
    /// Runs on the way to the wished moment, and the last commit of each line that belongs to it.
    runs: Vec<RunName>,
    upto: HashMap<String, Seq>,
    line: String,
    /// The last commit that belongs to the moment, where the times that commits state don't tell.
    end: Option<Seq>,
    /// What is said of other lines.
    others: Vec<String>,
    manifests: tokio::sync::Mutex<Manifests>,
    fetched: AtomicU64,
}

/// Good snapshots on the way to the wished moment.
struct Manifests {
    /// Read so far, the newest first.
    read: Vec<(SnapshotName, Manifest)>,
    /// Those not yet looked at, the newest first.
    older: Vec<Listed>,
}

/// The commit up to which a store is restored.
#[derive(Clone, Copy, Default)]
struct Point {
    seq: Seq,
    chain: Chain,
    epoch: u64,
    time_ms: Option<i64>,
}

/// Where a realm's records are taken from.
enum Taken {
    /// The newest snapshot.
    Newest,
    /// Elsewhere: the commit that the log after them begins with, and what to say of it.
    Elsewhere(Seq, String),
}

impl<'a> Source<'a> {
    async fn open(wish: Wish, say: Say<'a>) -> Result<Self> {
        let mut catalog = Catalog::read(&wish.target).await?;
        if !wish.signed_by.is_empty() {
            catalog.adopt(&wish.target, &wish.signed_by).await?;
            for other in catalog.trust_only(&wish.signed_by) {
                say(Event::Line(format!("PASSED OVER: line {} is signed by {}", other.line, other.public_key)));
            }
            if catalog.lines.is_empty() {
                let what = format!("{}: no line is signed by a key that is believed", wish.target.name());
                return Err(ArchiveError::Nothing(what));
            }
        }
        for note in &catalog.notes {
            say(Event::Line(format!("NOTE: {note}")));
        }
        let choose::Chosen { line, end, notes: others } = choose::choose(&catalog, &wish).await?;
        say(Event::Line(format!("line {}, signed by {}", line.line, line.public_key)));
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
        let manifests = tokio::sync::Mutex::new(Manifests { read: Vec::new(), older });
        let (line, fetched) = (line.line, AtomicU64::new(0));
        Ok(Self { wish, say, catalog, runs, upto, line, end, others, manifests, fetched })
    }

    /// What a restore is of, for the folder's mark.
    fn mark(&self) -> String {
        let at = self.wish.at_ms.map_or_else(
            || "the last commit".to_owned(),
            |at| jiff::Timestamp::from_millisecond(at).map_or_else(|_| "no moment".to_owned(), |at| at.to_string()),
        );
        format!("archive line {} at {at}", self.line)
    }

    fn line_out(&self, text: impl Into<String>) {
        (self.say)(Event::Line(text.into()));
    }

    fn count(&self, bytes: usize) {
        self.fetched.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// One of the snapshots that are of the wished moment or before; 0 is the newest.
    async fn manifest(&self, number: usize) -> Result<Option<(SnapshotName, Manifest)>> {
        let mut manifests = self.manifests.lock().await;
        while manifests.read.len() <= number {
            if manifests.older.is_empty() {
                return Ok(None);
            }
            let listed = manifests.older.remove(0);
            match self.catalog.manifest(&self.wish.target, &listed.name).await {
                Ok(manifest) if self.may_begin_with(&manifest) => {
                    self.count(prost::Message::encoded_len(&manifest));
                    manifests.read.push((listed.name, manifest));
                }
                Ok(_) => {}
                Err(error) if matches!(error, ArchiveError::Damaged { .. }) || error.is_not_found() => {
                    self.line_out(format!("PASSED OVER: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(manifests.read[number].clone()))
    }

    /// Tries whether the identities at hand can read this archive, before anything is made of it.
    async fn try_identity(&self) -> Result<()> {
        let (_, manifest) = self.base().await?;
        let sealed = manifest.iter().flat_map(|(_, manifest)| &manifest.objects);
        let chunk = sealed.filter(|needed| format::chunk_id(&needed.name).is_some()).min_by_key(|needed| needed.bytes);
        let (name, run) = match (chunk, self.runs.first()) {
            (Some(chunk), _) => (chunk.name.clone(), None),
            (None, Some(run)) => (run.to_string(), Some(run)),
            (None, None) => return Ok(()),
        };
        let opened = async {
            let mut bytes = fetch(&self.wish.target, &name).await?;
            self.count(bytes.len());
            if let Some(run) = run {
                bytes = self.catalog.sealed_run(run, &bytes)?;
            }
            let identities = self.wish.identities.clone();
            blocking(move || identities.open(&name, &bytes, format::MAX_RUN_BYTES)).await
        };
        match opened.await {
            // Damage is met again, where another copy is known.
            Err(error) if !is_damage(&error) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether a snapshot is of the moment or before.
    fn may_begin_with(&self, manifest: &Manifest) -> bool {
        match (self.end, self.wish.at_ms) {
            (Some(end), _) => Seq(manifest.seq) <= end,
            (None, Some(at)) => manifest.time_ms <= at,
            (None, None) => true,
        }
    }

    /// Where the restore begins: the newest snapshot, or nothing when the log begins with the first commit.
    async fn base(&self) -> Result<(Point, Option<(SnapshotName, Manifest)>)> {
        if let Some((name, manifest)) = self.manifest(0).await? {
            let chain = manifest.chain().ok_or_else(|| ArchiveError::damaged("the manifest", "its chain"))?;
            let (realms, bodies) = (manifest.realms.len(), manifest.bodies);
            self.line_out(format!("snapshot of commit {}: {realms} realms, {bodies} bodies", manifest.seq));
            let point = Point { seq: Seq(manifest.seq), chain, epoch: manifest.epoch, time_ms: Some(manifest.time_ms) };
            return Ok((point, Some((name, manifest))));
        }
        if self.runs.first().is_none_or(|run| run.first != Seq(1)) {
            let (target, line) = (self.wish.target.name(), &self.line);
            return Err(ArchiveError::Nothing(match self.wish.at_ms {
                Some(_) => format!(
                    "{target}: no good snapshot of line {line} is of that moment or before, and its log does not begin \
                     with the first commit"
                ),
                None => format!("{target}: line {line} has no good snapshot"),
            }));
        }
        Ok((Point { epoch: 1, ..Point::default() }, None))
    }

    /// A realm's records from one snapshot, given to `fill` as they come, on another thread.
    async fn realm<F>(&self, manifest: &Manifest, part: &RealmPart, fill: F) -> Result<()>
    where
        F: FnOnce(RealmSeq, Digest, Records) -> Result<()> + Send + 'static,
    {
        let realm = RealmId::from_raw(part.realm);
        let digest =
            Digest::from_bytes(&part.digest).ok_or_else(|| ArchiveError::damaged(realm.to_string(), "digest"))?;
        let (chunks, received) = tokio::sync::mpsc::channel::<Result<ChunkRecords>>(2);
        let fetch_all = async move {
            let names: Vec<String> = manifest.at(&part.chunks).map(|needed| needed.name.clone()).collect();
            let mut fetched = stream::iter(names)
                .map(|name| async move {
                    let bytes = fetch(&self.wish.target, &name).await?;
                    self.count(bytes.len());
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
        let realm_seq = RealmSeq(part.realm_seq);
        let fill = blocking(move || fill(realm_seq, digest, Records::new(received)));
        let ((), outcome) = tokio::join!(fetch_all, fill);
        outcome
    }

    /// Where else than in the newest snapshot a realm's records may be: the next older snapshot that has it, from number
    /// `from` on; or nothing at all, when the log begins with the first commit. None: nowhere.
    async fn elsewhere(&self, realm: RealmId, from: &mut usize) -> Result<Option<(Seq, Option<Manifest>)>> {
        while let Some((_, manifest)) = self.manifest(*from).await? {
            *from += 1;
            if let Some(part) = super::snapshot::part_of(&manifest, realm) {
                return Ok(Some((Seq(part.at), Some(manifest))));
            }
        }
        let first_is_there = *from < usize::MAX && self.runs.first().is_some_and(|run| run.first == Seq(1));
        *from = usize::MAX;
        Ok(first_is_there.then_some((Seq(0), None)))
    }

    /// The line whose commit a point is, for the line that goes on from it.
    fn parent(&self, point: Point) -> Parent {
        // The newest of the path that may reach so far.
        let line = self
            .upto
            .iter()
            .filter(|(_, upto)| point.seq <= **upto)
            .min_by_key(|(name, upto)| (**upto, **name != self.line))
            .map_or_else(|| self.line.clone(), |(name, _)| name.clone());
        Parent { line, seq: point.seq.0, chain: hex::encode(point.chain) }
    }

    fn damaged_in_all(&self, lost: &[String]) -> ArchiveError {
        for what in lost {
            self.line_out(format!("LOST: {what}"));
        }
        let what =
            format!("{} things can't be restored; run it again with --without-damaged to leave them out", lost.len());
        ArchiveError::damaged(self.wish.target.name(), what)
    }
}

/// Where a realm's records were taken from, in words.
fn taken_from(at: Seq) -> String {
    if at == Seq(0) {
        "the log from its first commit".to_owned()
    } else {
        format!("the snapshot of commit {at} and the log after it")
    }
}

/// Restores all before anyone may open it.
struct Whole<'a> {
    source: Source<'a>,
    restore: Restore,
    /// Where in the archive the bodies that were fetched lie.
    places: Vec<(BodyId, String)>,
}

impl Whole<'_> {
    async fn run(mut self) -> Result<Restored> {
        let (mut fallbacks, mut lost) = (Vec::new(), Vec::new());
        // Where the log after each realm's records begins.
        let mut from: HashMap<RealmId, Seq> = HashMap::new();
        let (base, manifest) = self.source.base().await?;
        if let Some((_, manifest)) = &manifest {
            let total = manifest.realms.len() as u64;
            for (number, part) in manifest.realms.iter().enumerate() {
                (self.source.say)(Event::Progress { what: "realms", done: number as u64, total });
                let realm = RealmId::from_raw(part.realm);
                match self.realm(manifest, part).await {
                    Ok(Taken::Newest) => drop(from.insert(realm, Seq(part.at))),
                    Ok(Taken::Elsewhere(at, said)) => {
                        fallbacks.push(said);
                        from.insert(realm, at);
                    }
                    Err(error) if is_damage(&error) => {
                        lost.push(format!("{realm}: {error}, and no older snapshot has it"));
                        from.insert(realm, Seq(u64::MAX));
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let log = self.apply_log(base, &mut from, &mut lost).await?;
        fallbacks.extend(log.uncertain.clone());
        let notes = self.source.others.iter().cloned().chain(Source::mistimed(&log)).collect();
        let point = log.last.map_or(base, |last| Point { epoch: base.epoch.max(last.epoch), ..last });
        if point.seq == Seq(0) {
            return Err(self.source.nothing_then());
        }
        let of_snapshot = manifest.as_ref().map(|(_, manifest)| manifest);
        let bodies =
            bodies::fetch_all(&self.source, of_snapshot, &mut self.restore, &mut self.places, &mut lost).await?;
        if !lost.is_empty() && !self.source.wish.without_damaged {
            return Err(self.source.damaged_in_all(&lost));
        }
        let Self { source, restore, places } = self;
        let parent = source.parent(point);
        let Wish { dir, options, target, .. } = source.wish.clone();
        let begun = parent.clone();
        let store = blocking(move || -> Result<Store> {
            Line::begin(&dir, options.clock.now_ms(), begun)?;
            let store = restore.finish(point.seq, point.chain, point.epoch + 1)?;
            note_packs(&store, &target, &places)?;
            Ok(store)
        })
        .await?;
        let (realms, commits, fetched) = (store.realms().len(), log.commits, source.fetched());
        let time_ms = point.time_ms;
        Ok(Restored { store, parent, time_ms, realms, bodies, commits, fetched, fallbacks, notes, lost })
    }

    /// A realm from the newest snapshot, or from where else it is whole.
    async fn realm(&self, manifest: &Manifest, part: &RealmPart) -> Result<Taken> {
        let realm = RealmId::from_raw(part.realm);
        let fill = |part: &RealmPart| {
            let (filler, realm) = (self.restore.filler(), RealmId::from_raw(part.realm));
            move |seq, digest, records| filler.realm(realm, seq, digest, records)
        };
        let Err(error) = self.source.realm(manifest, part, fill(part)).await else { return Ok(Taken::Newest) };
        if !is_damage(&error) {
            return Err(error);
        }
        self.source.line_out(format!("{realm}: {error}"));
        let mut number = 1;
        while let Some((at, older)) = self.source.elsewhere(realm, &mut number).await? {
            if let Some(older) = older
                && let Some(part) = super::snapshot::part_of(&older, realm)
                && let Err(error) = self.source.realm(&older, part, fill(part)).await
            {
                if !is_damage(&error) {
                    return Err(error);
                }
                self.source.line_out(format!("{realm}: {error}"));
                continue;
            }
            let said = format!("{realm}: taken from {} ({error})", taken_from(at));
            self.source.line_out(&said);
            return Ok(Taken::Elsewhere(at, said));
        }
        Err(error)
    }

    /// Applies the commits after those that the realms' records hold, up to the wished moment.
    async fn apply_log(
        &self,
        base: Point,
        from: &mut HashMap<RealmId, Seq>,
        lost: &mut Vec<String>,
    ) -> Result<log::Log> {
        let start = from.values().copied().filter(|at| *at < Seq(u64::MAX)).min().unwrap_or(base.seq).min(base.seq);
        let log =
            self.source.scan_log(start, base, None, &mut |commit| self.apply(commit, base.seq, from, lost)).await?;
        if log.next <= base.seq {
            for (realm, at) in from.iter().filter(|(_, at)| **at < base.seq) {
                lost.push(format!("{realm}: its log from commit {at} to {} is not whole", base.seq));
            }
        }
        if self.source.wish.at_ms.is_none() {
            lost.extend(log.missing.clone());
        }
        Ok(log)
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
                    self.source.line_out(format!("LOST: {what}"));
                    lost.push(what);
                    from.insert(realm, Seq(u64::MAX));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// What another copy may still give.
fn is_damage(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Damaged { .. } | ArchiveError::Store(StoreError::Damaged { .. }))
        || error.is_not_found()
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
