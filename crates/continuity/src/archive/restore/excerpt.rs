//! Some realms out of an archive, for looking at and taking from: their records in a scratch folder, and the messages
//! that somebody asks for.
//!
//! Nothing is served of it. What is asked for and can't be had whole is an error; the moment is never another one.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::Arc,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use parking_lot::Mutex;
use store::{BodyId, Cause, RealmId, Restore, Seq, Snapshot, StagedBody, Store};

use super::{
    at::At,
    bodies::{Places, id_of, read_range},
    source::{Point, READS, Records, Source, Wish, is_damage},
};
use crate::archive::{
    ArchiveError, Result, Say, blocking,
    bodies::note_packs,
    format::{self, Manifest},
    snapshot::part_of,
};

/// The realms that were asked for, as they were.
pub struct Excerpt {
    source: Source<'static>,
    restore: Restore,
    manifest: Option<Manifest>,
    places: Mutex<Places>,
    dir: Scratch,
    /// The last commit that counts.
    pub seq: Seq,
    /// When it was made, in milliseconds since 1970, where known.
    pub time_ms: Option<i64>,
    /// The line.
    pub line: String,
    /// What has to be said: realms taken from elsewhere, commits with wrong times, lines that go on.
    pub notes: Vec<String>,
}

/// A folder that goes with what was made in it.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(dir = %self.0.display(), %error, "a scratch folder that stays");
        }
    }
}

/// Takes realms out of an archive. The wish's folder is scratch, with room for their records: it is made, and removed when
/// the result goes.
///
/// # Errors
/// As [`super::restore`]; also when one of the realms, or a commit on the way, can't be read.
pub async fn excerpt(wish: Wish, realms: &[RealmId], say: Say<'_>) -> Result<Excerpt> {
    let source = Source::open(wish, say).await?;
    source.try_identity().await?;
    let dir = Scratch(source.wish.dir.clone());
    let (path, options, mark) = (source.wish.dir.clone(), source.wish.options.clone(), source.mark());
    let restore = blocking(move || Restore::begin(&path, options, &mark)).await?;
    let room = restore.room();
    let (base, found) = source.base().await?;
    let (mut from, mut notes) = (HashMap::<RealmId, Seq>::new(), Vec::new());
    for realm in realms {
        if found.as_ref().is_none_or(|(_, manifest)| part_of(manifest, *realm).is_none()) {
            continue;
        }
        let (filler, room) = (restore.filler(), room.clone());
        let fill = move |realm| {
            let (filler, room) = (filler.clone(), room.clone());
            move |seq, digest, records: Records| filler.realm(realm, seq, digest, while_there_is_room(records, room))
        };
        let (at, said) = source.realm_from_anywhere(*realm, &fill).await?;
        from.insert(*realm, at);
        notes.extend(said);
    }
    let start = from.values().copied().min().unwrap_or(base.seq).min(base.seq);
    let log = source
        .scan_log(start, base, None, &mut |commit| {
            for part in commit.realms.iter().filter(|part| realms.contains(&part.realm())) {
                if commit.seq() > from.get(&part.realm()).copied().unwrap_or(base.seq) {
                    room()?;
                    restore.apply(commit.seq(), part)?;
                }
            }
            Ok(())
        })
        .await?;
    if log.next <= base.seq {
        let what = format!("the log from commit {start} to {} is incomplete", base.seq);
        return Err(ArchiveError::damaged(Cause::CutOff, source.wish.target.name(), what));
    }
    if let Some(missing) = &log.missing
        && source.wish.at.moment_ms().is_none()
    {
        if source.wish.at != At::Last {
            return Err(ArchiveError::damaged(Cause::Missing, source.wish.target.name(), missing));
        }
        notes.push(missing.clone());
    }
    notes.extend(log.uncertain.clone());
    notes.extend(Source::mistimed(&log));
    notes.extend(source.others.iter().cloned());
    let point = log.last.map_or(base, |last| Point { epoch: base.epoch.max(last.epoch), ..last });
    if point.seq == Seq(0) {
        return Err(source.before_everything().await?);
    }
    let line = source.line.clone();
    let manifest = found.map(|(_, manifest)| manifest);
    let (seq, time_ms) = (point.seq, point.time_ms);
    let source = source.quiet();
    Ok(Excerpt { source, restore, manifest, places: Mutex::default(), dir, seq, time_ms, line, notes })
}

/// Records, for as long as there is room on the disk.
fn while_there_is_room(
    records: Records,
    room: impl Fn() -> store::Result<()>,
) -> impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>> {
    const LOOK_EVERY: usize = 500;
    records.enumerate().map(move |(number, record)| {
        if number % LOOK_EVERY == 0 {
            room()?;
        }
        record
    })
}

impl Source<'_> {
    /// Says nothing from now on.
    fn quiet(self) -> Source<'static> {
        let Self { wish, say: _, catalog, runs, upto, line, end, others, manifests, fetched } = self;
        Source { wish, say: &|_| {}, catalog, runs, upto, line, end, others, manifests, fetched }
    }
}

impl Excerpt {
    /// The records. The excerpt lives as long as a reader holds them.
    pub fn records(&self) -> Snapshot {
        self.restore.snapshot()
    }

    /// Bytes that were fetched so far.
    pub fn fetched(&self) -> u64 {
        self.source.fetched()
    }

    /// The scratch folder.
    pub fn dir(&self) -> &std::path::Path {
        &self.dir.0
    }

    /// Looks where some bodies of a realm lie: first in the packs that its snapshot names, then in all others, the newest
    /// first. Gives those that no pack has.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn locate(&self, realm: RealmId, bodies: &HashSet<BodyId>) -> Result<Vec<BodyId>> {
        let named: HashSet<String> = self
            .manifest
            .as_ref()
            .and_then(|manifest| Some((manifest, part_of(manifest, realm)?)))
            .map(|(manifest, part)| manifest.at(&part.packs).map(|needed| needed.name.clone()).collect())
            .unwrap_or_default();
        let mut places = Places::default();
        let mut missing = bodies.clone();
        let indexes = self.source.indexes().await?.into_iter();
        let (first, rest): (Vec<_>, Vec<_>) = indexes.partition(|(pack, _)| named.contains(pack));
        for (pack, index) in first.into_iter().chain(rest) {
            if missing.is_empty() {
                break;
            }
            match self.source.index(&index).await {
                Ok(mut listed) => {
                    listed.retain(|body| id_of(body).is_some_and(|id| missing.remove(&id)));
                    if !listed.is_empty() {
                        places.add(pack, &listed);
                    }
                }
                Err(error) if is_damage(&error) => tracing::warn!(%error, "looking where messages lie"),
                Err(error) => return Err(error),
            }
        }
        *self.places.lock() = places;
        Ok(missing.into_iter().collect())
    }

    /// Fetches bodies that were located, and keeps them in `store` for as long as the results live. Those that are not
    /// whole are left out.
    ///
    /// # Errors
    /// Those of the target and of the store.
    pub async fn bring(&self, store: &Store, bodies: &[BodyId]) -> Result<Vec<StagedBody>> {
        let wanted: HashSet<BodyId> = bodies.iter().copied().collect();
        let (ranges, _) = self.places.lock().ranges(&wanted);
        let wanted = Arc::new(Mutex::new(wanted));
        let read = stream::iter(ranges)
            .map(|(pack, bodies)| {
                let wanted = wanted.clone();
                async move { read_range(&self.source, &pack, bodies, &wanted).await }
            })
            .buffer_unordered(READS);
        let mut read = std::pin::pin!(read);
        let (mut staged, mut lies) = (Vec::new(), Vec::new());
        while let Some((pack, bodies)) = read.try_next().await? {
            for (id, bytes) in bodies {
                match bytes {
                    Ok(bytes) => {
                        let store = store.clone();
                        staged.push(blocking(move || store.put_body(&bytes)).await?);
                        lies.push((id, format::hash_of_pack(&pack).to_owned()));
                    }
                    Err(error) => tracing::error!(%id, %error, "could not restore a message"),
                }
            }
        }
        // They need not be shipped there again.
        let (store, target) = (store.clone(), self.source.wish.target.clone());
        blocking(move || note_packs(&store, &target, &lies)).await?;
        Ok(staged)
    }
}
