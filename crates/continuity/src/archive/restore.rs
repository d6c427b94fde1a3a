//! Makes a store from an archive: the newest good snapshot not after the requested time, the log after it, the bodies.
//!
//! Every realm is compared with the manifest's digest and with the one stated in each commit. If a realm's snapshot
//! can't be read, an older one or the log alone is used, and this is reported.
//!
//! There are two ways: [`restore`] completes everything before the store can be opened; an interrupted restore starts
//! over, but keeps the bodies it already has. [`serving::begin`] makes a store that serves as soon as the system's own
//! realms are restored, and restores the rest in the background; an interrupted one resumes.

mod at;
mod bodies;
mod choose;
mod excerpt;
mod log;
mod moments;
pub mod serving;
mod source;
mod window;

use std::{collections::HashMap, path::Path};

use futures_util::future::BoxFuture;
use store::{BodyId, Commit, RealmId, Restore, Seq, Store, StoreError};

use super::{
    ArchiveError, Event, Result, Say, blocking,
    bodies::note_packs,
    format::{Manifest, Parent, RealmPart},
    line::Line,
};

pub use at::At;
pub(in crate::archive) use bodies::ranges_in;
pub use choose::{Life, lives};
pub use excerpt::{Excerpt, excerpt};
pub use moments::{Deletion, Moments, moments};
pub use source::Wish;
use source::{Point, Source, is_damage};

/// The result of a restore.
pub struct Restored {
    /// The store, open; its folder is still marked: see [`Restore::done`].
    pub store: Store,
    /// The line that it continues.
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
    /// Realms not restored from the newest snapshot, and why; whether commits before the requested time may be missing.
    pub fallbacks: Vec<String>,
    /// Notes that are not errors: other lines that continue, commits with wrong times.
    pub notes: Vec<String>,
    /// The items that could not be restored.
    pub lost: Vec<String>,
}

/// Restores.
///
/// # Errors
/// [`ArchiveError::Nothing`] if the archive does not reach back to that time; [`ArchiveError::Damaged`] if something can't
/// be restored and must not be skipped: the folder stays marked, and the same restore can continue in it.
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
                tracing::warn!(path = %path.display(), %error, "could not remove the leftovers of a restore that did not start");
            }
        }
    }
}

/// The source of a realm's records.
enum Taken {
    /// The newest snapshot.
    Newest,
    /// Elsewhere: the commit that the log after them begins with, and what to say of it.
    Elsewhere(Seq, String),
}

/// The source of a realm's records as text.
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
                        lost.push(format!("{realm}: {error}; no older snapshot has it"));
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
            return Err(self.source.before_everything().await?);
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
            let said = format!("{realm}: restored from {} ({error})", taken_from(at));
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
        if self.source.wish.at.moment_ms().is_none() {
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
                Err(StoreError::Damaged(what)) => {
                    self.source.line_out(format!("LOST: {what}"));
                    lost.push(what.to_string());
                    from.insert(realm, Seq(u64::MAX));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
