//! The source of a restore, and how it is read.

use std::{
    collections::HashMap,
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use futures_util::{StreamExt as _, stream};
use store::{Cause, Digest, RealmId, RealmSeq, Seq, StoreError, StoreOptions, log::Chain};

use super::{
    at::At,
    choose::{Chosen, choose},
};
use crate::archive::{
    ArchiveError, Event, Result, Say, blocking,
    catalog::{Catalog, Listed},
    codec::Identities,
    format::{self, Manifest, Parent, RealmPart, RunName, SnapshotName},
    target::{Target, fetch},
    verify::open_chunk,
};

/// Objects that are fetched at once.
pub(super) const READS: usize = 8;

/// The requested restore.
#[derive(Clone)]
pub struct Wish {
    /// The archive.
    pub target: Target,
    /// The identity file.
    pub identities: Identities,
    /// The folder: empty, or one into which the same was being restored.
    pub dir: PathBuf,
    /// How the store is opened.
    pub options: StoreOptions,
    /// Up to where.
    pub at: At,
    /// The line; none: the newest.
    pub line: Option<String>,
    /// Skip data that can't be restored, instead of failing.
    pub without_damaged: bool,
    /// The keys of lines that are believed, each of 64 hexadecimal digits; all when there is none.
    pub signed_by: Vec<String>,
}

/// What another copy may still give.
pub(super) fn is_damage(error: &ArchiveError) -> bool {
    matches!(error, ArchiveError::Damaged { .. } | ArchiveError::Store(StoreError::Damaged { .. }))
        || error.is_not_found()
}

/// An archive, inspected for one requested time.
pub(super) struct Source<'a> {
    pub wish: Wish,
    pub say: Say<'a>,
    pub catalog: Catalog,
    /// Runs on the way to the wished moment, and the last commit of each line that belongs to it.
    pub runs: Vec<RunName>,
    pub upto: HashMap<String, Seq>,
    pub line: String,
    /// The last commit before the requested time, if the stated times of commits don't tell.
    pub end: Option<Seq>,
    /// Notes about other lines.
    pub others: Vec<String>,
    pub manifests: tokio::sync::Mutex<Manifests>,
    pub fetched: AtomicU64,
}

/// Good snapshots on the way to the wished moment.
pub(super) struct Manifests {
    /// Read so far, the newest first.
    pub read: Vec<(SnapshotName, Manifest)>,
    /// Those not yet looked at, the newest first.
    pub older: Vec<Listed>,
}

/// The commit up to which a store is restored.
#[derive(Clone, Copy, Default)]
pub(super) struct Point {
    pub seq: Seq,
    pub chain: Chain,
    pub epoch: u64,
    pub time_ms: Option<i64>,
}

impl<'a> Source<'a> {
    pub(super) async fn open(wish: Wish, say: Say<'a>) -> Result<Self> {
        let mut catalog = Catalog::read(&wish.target).await?;
        if !wish.signed_by.is_empty() {
            catalog.adopt(&wish.target, &wish.signed_by).await?;
            for other in catalog.trust_only(&wish.signed_by) {
                say(Event::Line(format!("SKIPPED: line {} is signed by {}", other.line, other.public_key)));
            }
            if catalog.lines.is_empty() {
                let what = format!("{}: no line is signed by a key that is believed", wish.target.name());
                return Err(ArchiveError::Nothing(what));
            }
        }
        for note in &catalog.notes {
            say(Event::Line(format!("NOTE: {note}")));
        }
        let Chosen { line, end, notes: others } = choose(&catalog, &wish).await?;
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
    pub(super) fn mark(&self) -> String {
        format!("archive line {} at {}", self.line, self.wish.at)
    }

    pub(super) fn line_out(&self, text: impl Into<String>) {
        (self.say)(Event::Line(text.into()));
    }

    pub(super) fn count(&self, bytes: usize) {
        self.fetched.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// One of the snapshots that are of the wished moment or before; 0 is the newest.
    pub(super) async fn manifest(&self, number: usize) -> Result<Option<(SnapshotName, Manifest)>> {
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
                    self.line_out(format!("SKIPPED: {error}"));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(Some(manifests.read[number].clone()))
    }

    /// Checks that the given identities can read this archive, before anything is created.
    pub(super) async fn try_identity(&self) -> Result<()> {
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
    pub(super) fn may_begin_with(&self, manifest: &Manifest) -> bool {
        match (self.end, self.wish.at.moment_ms()) {
            (Some(end), _) => Seq(manifest.seq) <= end,
            (None, Some(at)) => manifest.time_ms <= at,
            (None, None) => true,
        }
    }

    /// The start of the restore: the newest snapshot, or nothing if the log starts with the first commit.
    pub(super) async fn base(&self) -> Result<(Point, Option<(SnapshotName, Manifest)>)> {
        if let Some((name, manifest)) = self.manifest(0).await? {
            let chain =
                manifest.chain().ok_or_else(|| ArchiveError::damaged(Cause::Decoding, "the manifest", "its chain"))?;
            let (realms, bodies) = (manifest.realms.len(), manifest.bodies);
            self.line_out(format!("snapshot of commit {}: {realms} realms, {bodies} bodies", manifest.seq));
            let point = Point { seq: Seq(manifest.seq), chain, epoch: manifest.epoch, time_ms: Some(manifest.time_ms) };
            return Ok((point, Some((name, manifest))));
        }
        if self.runs.first().is_none_or(|run| run.first != Seq(1)) {
            return Err(self.before_everything().await?);
        }
        Ok((Point { epoch: 1, ..Point::default() }, None))
    }

    /// A realm's records from one snapshot, given to `fill` as they come, on another thread.
    pub(super) async fn realm<F>(&self, manifest: &Manifest, part: &RealmPart, fill: F) -> Result<()>
    where
        F: FnOnce(RealmSeq, Digest, Records) -> Result<()> + Send + 'static,
    {
        let realm = RealmId::from_raw(part.realm);
        let digest = Digest::from_bytes(&part.digest)
            .ok_or_else(|| ArchiveError::damaged(Cause::Decoding, realm.to_string(), "digest"))?;
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
    pub(super) async fn elsewhere(&self, realm: RealmId, from: &mut usize) -> Result<Option<(Seq, Option<Manifest>)>> {
        while let Some((_, manifest)) = self.manifest(*from).await? {
            *from += 1;
            if let Some(part) = crate::archive::snapshot::part_of(&manifest, realm) {
                return Ok(Some((Seq(part.at), Some(manifest))));
            }
        }
        let first_is_there = *from < usize::MAX && self.runs.first().is_some_and(|run| run.first == Seq(1));
        *from = usize::MAX;
        Ok(first_is_there.then_some((Seq(0), None)))
    }

    /// The line whose commit a point is, for the line that goes on from it.
    pub(super) fn parent(&self, point: Point) -> Parent {
        // The newest of the path that may reach so far.
        let line = self
            .upto
            .iter()
            .filter(|(_, upto)| point.seq <= **upto)
            .min_by_key(|(name, upto)| (**upto, **name != self.line))
            .map_or_else(|| self.line.clone(), |(name, _)| name.clone());
        Parent { line, seq: point.seq.0, chain: hex::encode(point.chain) }
    }

    pub(super) fn damaged_in_all(&self, lost: &[String]) -> ArchiveError {
        for what in lost {
            self.line_out(format!("LOST: {what}"));
        }
        let what =
            format!("{} things can't be restored; run it again with --without-damaged to leave them out", lost.len());
        ArchiveError::damaged(Cause::Missing, self.wish.target.name(), what)
    }
}

/// Records as they come from the chunks.
pub(super) struct Records {
    pub received: tokio::sync::mpsc::Receiver<Result<ChunkRecords>>,
    pub chunk: <ChunkRecords as IntoIterator>::IntoIter,
}

impl Records {
    pub(super) fn new(received: tokio::sync::mpsc::Receiver<Result<ChunkRecords>>) -> Self {
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

pub(super) type ChunkRecords = Vec<(Vec<u8>, Vec<u8>)>;
