//! The part of a restore that must be done before the listeners open.

use std::collections::{HashMap, HashSet};

use store::{Cause, Commit, RealmId, Restore, Seq, Store, StoreError};

use super::plan::Plan;
use crate::archive::{
    ArchiveError, Result, blocking,
    format::{Manifest, RealmPart, SnapshotName},
    line::Line,
    restore::{
        Fresh,
        source::{Point, Records, Source, Wish, is_damage},
        taken_from,
    },
    snapshot::part_of,
};

/// The state of a restore when the listeners may open.
pub(super) struct First<'a> {
    pub(super) source: Source<'a>,
    pub(super) manifest: Option<Manifest>,
    pub(super) store: Store,
    pub(super) plan: Plan,
    /// Accounts with commits after the snapshot, the last written first: logins are noted too.
    pub(super) recent: Vec<RealmId>,
    pub(super) resumed: bool,
    pub(super) notes: Vec<String>,
}

/// Restores the part that must be done first: the system's own realms and the log; or resumes an earlier start.
pub(super) async fn first_part(wish: Wish, say: crate::archive::Say<'_>) -> Result<First<'_>> {
    let dir = wish.dir.clone();
    let fresh = Fresh::look(&dir);
    let outcome = try_first_part(wish, say).await;
    fresh.leave_no_mark(&outcome);
    outcome
}

async fn try_first_part(mut wish: Wish, say: crate::archive::Say<'_>) -> Result<First<'_>> {
    let plan = Plan::read(&wish.dir)?;
    if let Some(plan) = &plan {
        check_same(plan, &wish)?;
        // What this store has shipped since is a line too.
        wish.line = Some(plan.line.clone());
    }
    let mut source = Source::open(wish, say).await?;
    if let Some(plan) = plan {
        let (dir, options, mark) = (source.wish.dir.clone(), source.wish.options.clone(), source.mark());
        if let Some(store) = blocking(move || Store::open_partial(&dir, options, &mark)).await? {
            source.begin_with(plan.base.as_deref())?;
            let (_, manifest) = source.base().await?;
            let manifest = manifest.map(|(_, manifest)| manifest);
            return Ok(First { source, manifest, store, plan, recent: Vec::new(), resumed: true, notes: Vec::new() });
        }
    }
    source.try_identity().await?;
    let (dir, options, mark) = (source.wish.dir.clone(), source.wish.options.clone(), source.mark());
    let restore = blocking(move || Restore::begin(&dir, options, &mark)).await?;
    let (base, found) = source.base().await?;
    let mut brought = Brought::of_snapshot(&source, found.as_ref().map(|(_, manifest)| manifest), &restore).await?;
    let point = brought.log(&source, base, &restore).await?;
    if point.seq == Seq(0) {
        return Err(source.before_everything().await?);
    }
    let Brought { absent, mut recent, lost, mut notes, .. } = brought;
    if !lost.is_empty() && !source.wish.without_damaged {
        return Err(source.damaged_in_all(&lost));
    }
    notes.extend(lost);
    let parent = source.parent(point);
    let plan = Plan {
        line: source.line.clone(),
        at_ms: source.wish.at.moment_ms(),
        at_seq: source.wish.at.commit().map(|seq| seq.0),
        base: found.as_ref().map(|(name, _)| name.manifest()),
        seq: point.seq.0,
        chain: hex::encode(point.chain),
        parent: parent.clone(),
        time_ms: point.time_ms,
    };
    let (dir, now_ms, noted) = (source.wish.dir.clone(), source.wish.options.clock.now_ms(), plan.clone());
    let store = blocking(move || -> Result<Store> {
        Line::begin(&dir, now_ms, parent)?;
        noted.write(&dir)?;
        let absent: Vec<RealmId> = absent.into_iter().collect();
        Ok(restore.serve(point.seq, point.chain, point.epoch + 1, &absent)?)
    })
    .await?;
    recent.reverse();
    let manifest = found.map(|(_, manifest)| manifest);
    Ok(First { source, manifest, store, plan, recent, resumed: false, notes })
}

/// Whether an unfinished restore is the wished one.
fn check_same(plan: &Plan, wish: &Wish) -> Result<()> {
    if plan.at() == wish.at && wish.line.as_ref().is_none_or(|line| *line == plan.line) {
        return Ok(());
    }
    Err(ArchiveError::Setting(format!(
        "{} contains an unfinished restore of line {} at {}: give the same --line and --at, or empty the folder",
        wish.dir.display(),
        plan.line,
        plan.at()
    )))
}

/// What was brought before the listeners open.
#[derive(Default)]
struct Brought {
    /// Where the log after each realm begins.
    from: HashMap<RealmId, Seq>,
    /// Accounts, which come later.
    absent: HashSet<RealmId>,
    /// Accounts in the order in which they were written.
    recent: Vec<RealmId>,
    lost: Vec<String>,
    notes: Vec<String>,
}

impl Brought {
    /// The system's own realms, as they are in the snapshot.
    async fn of_snapshot(source: &Source<'_>, manifest: Option<&Manifest>, restore: &Restore) -> Result<Self> {
        let mut brought = Self::default();
        for part in manifest.into_iter().flat_map(|manifest| &manifest.realms) {
            let realm = RealmId::from_raw(part.realm);
            if realm.account_number().is_some() {
                brought.absent.insert(realm);
                brought.from.insert(realm, Seq(part.at));
                continue;
            }
            let filler = restore.filler();
            let fill = move |realm| {
                let filler = filler.clone();
                move |seq, digest, records| filler.realm(realm, seq, digest, records)
            };
            match source.realm_from_anywhere(realm, &fill).await {
                Ok((at, said)) => {
                    brought.from.insert(realm, at);
                    brought.notes.extend(said);
                }
                Err(error) if is_damage(&error) => {
                    brought.lost.push(format!("{realm}: {error}; no older snapshot has it"));
                    brought.from.insert(realm, Seq(u64::MAX));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(brought)
    }

    /// The log after that; gives where it ends.
    async fn log(&mut self, source: &Source<'_>, base: Point, restore: &Restore) -> Result<Point> {
        let whole = self.from.values().copied().filter(|at| *at < Seq(u64::MAX));
        let start = whole.min().unwrap_or(base.seq).min(base.seq);
        let log = source.scan_log(start, base, None, &mut |commit| self.commit(restore, commit, base.seq)).await?;
        if log.next <= base.seq {
            self.lost.push(format!("the log from commit {start} to {} is incomplete", base.seq));
        }
        if source.wish.at.moment_ms().is_none() {
            self.lost.extend(log.missing.clone());
        }
        self.notes.extend(log.uncertain.clone());
        self.notes.extend(source.others.iter().cloned().chain(Source::mistimed(&log)));
        Ok(log.last.map_or(base, |last| Point { epoch: base.epoch.max(last.epoch), ..last }))
    }

    /// One commit: what it changes in the system's realms is applied, the rest is kept for later.
    fn commit(&mut self, restore: &Restore, commit: &Commit, base: Seq) -> Result<()> {
        for part in &commit.realms {
            let realm = part.realm();
            if commit.seq() <= self.from.get(&realm).copied().unwrap_or(base) {
                continue;
            }
            if realm.account_number().is_some() {
                self.absent.insert(realm);
                self.recent.push(realm);
                restore.keep_for_later(commit.seq(), part)?;
                continue;
            }
            match restore.apply(commit.seq(), part) {
                Ok(()) => {}
                Err(StoreError::Damaged(what)) => {
                    self.lost.push(what.to_string());
                    self.from.insert(realm, Seq(u64::MAX));
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Source<'_> {
    /// Looks only at a snapshot that was chosen before, and at older ones.
    fn begin_with(&mut self, base: Option<&str>) -> Result<()> {
        let manifests = self.manifests.get_mut();
        let Some(base) = base else {
            manifests.older.clear();
            return Ok(());
        };
        let name: SnapshotName = base
            .parse()
            .map_err(|()| ArchiveError::damaged(Cause::Decoding, "restore.json", format!("the snapshot {base}")))?;
        let Some(at) = manifests.older.iter().position(|listed| listed.name == name) else {
            return Err(ArchiveError::Nothing(format!(
                "{}: the snapshot {base}, which this restore started from, no longer exists: empty the folder and start over",
                self.wish.target.name()
            )));
        };
        manifests.older.drain(..at);
        Ok(())
    }

    /// A realm from the newest snapshot that has it whole. Gives where the log after it begins, and what to say if it
    /// was not the newest.
    pub(in crate::archive::restore) async fn realm_from_anywhere<F, G>(
        &self,
        realm: RealmId,
        fill: &F,
    ) -> Result<(Seq, Option<String>)>
    where
        F: Fn(RealmId) -> G + Sync,
        G: FnOnce(store::RealmSeq, store::Digest, Records) -> Result<()> + Send + 'static,
    {
        let mut number = 0;
        let mut first: Option<ArchiveError> = None;
        while let Some((at, manifest)) = self.elsewhere(realm, &mut number).await? {
            let part: Option<&RealmPart> = manifest.as_ref().and_then(|manifest| part_of(manifest, realm));
            if let (Some(manifest), Some(part)) = (&manifest, part)
                && let Err(error) = self.realm(manifest, part, fill(realm)).await
            {
                if !is_damage(&error) {
                    return Err(error);
                }
                self.line_out(format!("{realm}: {error}"));
                first.get_or_insert(error);
                continue;
            }
            let said = first.map(|error| format!("{realm}: restored from {} ({error})", taken_from(at)));
            if let Some(said) = &said {
                self.line_out(said);
            }
            return Ok((at, said));
        }
        Err(first.unwrap_or_else(|| ArchiveError::damaged(Cause::Missing, realm.to_string(), "no snapshot has it")))
    }
}
