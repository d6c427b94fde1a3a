//! Lists an archive and ships again everything it has lost, as long as the primary still has it.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    time::Instant,
};

use store::{Seq, StoreError, log::RunWriter};

use super::{LIST_EVERY, Shipper, Since, Work, prepare};
use crate::archive::{
    Result, blocking,
    bodies::{BodyShipper, NotedPack, Packs, noted_pack},
    catalog::Catalog,
    format::LineRecord,
    restorable::{Base, Restorable, There, by_listing},
};

/// The number of repairs that are still shown.
const SHOWN: usize = 5;

/// The result of a check.
struct Looked {
    found: Restorable,
    /// Commits that were shipped and are in no run.
    gaps: Vec<(Seq, Seq)>,
    /// Packs that commits after the base refer to and that are not there as they were stored.
    packs: BTreeMap<NotedPack, Seq>,
    /// Settings that are missing or can't be read.
    notes: Vec<String>,
    /// The packs that are there.
    there: Packs,
    /// The packs that shipping may rely on.
    reliable: Packs,
}

impl Shipper {
    /// How far the archive can be restored, by listing it and by what is noted here. Mends nothing.
    ///
    /// # Errors
    /// Those of the target.
    pub async fn restorable(&self) -> Result<Restorable> {
        let noted = crate::archive::line::Noted::read(self.store.dir(), self.target.name());
        let shipped = noted.filter(|noted| noted.line == self.line.name()).map_or(Seq(0), |noted| Seq(noted.seq));
        let mut since = Since::default();
        Ok(self.look(shipped.min(self.store.seq()), &mut since).await?.found)
    }

    /// Checks the archive; ships missing objects again, and then checks once more.
    pub(super) async fn look_and_mend(&self, work: &mut Work) -> Result<()> {
        let shipped = self.status.lock().shipped;
        let mut looked = self.look(shipped, &mut work.since).await?;
        let lost: Vec<String> = looked.notes.iter().chain(&looked.found.missing).cloned().collect();
        if !lost.is_empty() {
            for what in &lost {
                tracing::error!(target = self.target.name(), "something is missing in the archive: {what}");
            }
            metrics::counter!("holdfast_archive_lost_total", "target" => self.target.name().to_owned())
                .increment(looked.notes.len() as u64 + looked.found.missing_count);
            self.mend(work, &looked).await?;
            let again = self.look(shipped, &mut work.since).await?;
            let healed =
                lost.into_iter().filter(|what| !again.notes.contains(what) && !again.found.missing.contains(what));
            let now = jiff::Timestamp::from_millisecond(self.store.clock().now_ms()).unwrap_or_default();
            let mut status = self.status.lock();
            status.mended.extend(healed.map(|what| format!("{now:.0}: {what}: stored again")));
            let over = status.mended.len().saturating_sub(SHOWN);
            status.mended.drain(..over);
            drop(status);
            looked = again;
        }
        work.bodies.packs = looked.reliable;
        work.listed = Instant::now();
        let mut status = self.status.lock();
        self.measure(&looked.found);
        status.restorable = Some(looked.found);
        status.looks += 1;
        Ok(())
    }

    pub(super) fn measure(&self, found: &Restorable) {
        let target = self.target.name().to_owned();
        metrics::gauge!("holdfast_archive_restorable_seq", "target" => target.clone()).set(found.seq.0 as f64);
        metrics::gauge!("holdfast_archive_restorable_timestamp_seconds", "target" => target.clone())
            .set(found.time_ms.map_or(0.0, |ms| ms as f64 / 1000.0));
        metrics::gauge!("holdfast_archive_restorable_missing", "target" => target)
            .set(found.missing_count.max(u64::from(!found.is_whole())) as f64);
    }

    async fn look(&self, shipped: Seq, since: &mut Since) -> Result<Looked> {
        let mut catalog = match Catalog::read(&self.target).await {
            Err(crate::archive::ArchiveError::Nothing(_)) => Catalog::default(),
            other => other?,
        };
        let record = &self.line.record;
        let mut notes = catalog.notes.clone();
        if catalog.lines.get(self.line.name()) != Some(record) {
            catalog.lines.insert(self.line.name().to_owned(), record.clone());
            let object = LineRecord::object(self.line.name());
            if shipped > Seq(0) && !notes.iter().any(|note| note.starts_with(&object)) {
                notes.push(format!("{object} is missing"));
            }
        }
        // Only of what this store writes can it write anything again.
        let mine = LineRecord::object(self.line.name());
        notes.retain(|note| note.starts_with(&mine) || note.starts_with(crate::archive::format::ARCHIVE));
        let bodies = self.target.list("bodies").await?;
        let newest = catalog.newest_of(&self.target, record).await?;
        let reliable = Packs::among(&bodies, newest.as_ref());
        let there = Packs::among(&bodies, None);
        let chunks = self.target.list("chunks").await?;
        let objects = There::among(chunks.into_iter().chain(bodies));
        let base = Base::find(&self.target, &catalog, record, &objects).await?;
        let broken = changed_runs(&catalog, since);
        let (mut found, joined) = by_listing(&catalog, record, &base, shipped, &broken)?;
        self.count_from(base.seq(), shipped, since).await?;
        for (name, (bytes, _)) in catalog.run_objects.iter().filter(|(name, _)| is_after(name, base.seq())) {
            since.runs.entry(name.clone()).or_insert(*bytes);
        }
        let missing: BTreeMap<NotedPack, Seq> =
            since.packs.iter().filter(|(pack, _)| !there.has(pack)).map(|(pack, seq)| (pack.clone(), *seq)).collect();
        for (pack, seq) in &missing {
            found.end_before(*seq);
            found.add_missing(format!(
                "{} is missing or changed (commit {seq} and others refer to bodies in it)",
                crate::archive::format::pack_name(&pack.pack)
            ));
        }
        if found.time_ms.is_none() && found.seq > Seq(0) {
            let (store, seq) = (self.store.clone(), found.seq);
            found.time_ms = blocking(move || store.log_point(seq)).await.ok().and_then(|(_, time_ms)| time_ms);
        }
        found.looked_ms = self.store.clock().now_ms();
        let gaps = joined.gaps.into_iter().filter(|(first, _)| *first <= shipped);
        let gaps = gaps.map(|(first, last)| (first, last.min(shipped))).collect();
        Ok(Looked { found, gaps, packs: missing, notes, there, reliable })
    }

    /// Finds out which packs the commits after `base` refer to, from the local log and the notes beside it.
    async fn count_from(&self, base: Seq, shipped: Seq, since: &mut Since) -> Result<()> {
        if since.base == Some(base) {
            return Ok(());
        }
        since.packs.clear();
        since.runs.retain(|name, _| is_after(name, base));
        self.each_commit(Seq(base.0 + 1), shipped, |commit| {
            let snapshot = self.store.snapshot();
            for id in commit.bodies() {
                if let Some(pack) = noted_pack(&snapshot, &self.target, &id)? {
                    since.packs.entry(pack).or_insert(commit.seq());
                }
            }
            Ok(())
        })
        .await?;
        since.base = Some(base);
        Ok(())
    }

    /// Gives the commits of the local log, as far as it still has them.
    async fn each_commit(&self, from: Seq, to: Seq, mut each: impl FnMut(&store::Commit) -> Result<()>) -> Result<()> {
        if from > to {
            return Ok(());
        }
        let mut follower = match self.store.follow(from) {
            Err(StoreError::NotRetained { first, .. }) if first <= to => self.store.follow(first)?,
            Err(StoreError::NotRetained { .. }) => return Ok(()),
            other => other?,
        };
        while follower.cursor() <= to {
            let commit = follower.next().await?;
            each(&commit)?;
        }
        Ok(())
    }

    /// Stores missing objects again, as far as the local log and bodies have them.
    async fn mend(&self, work: &mut Work, looked: &Looked) -> Result<()> {
        prepare(&self.target, &self.line, self.store.clock().now_ms()).await?;
        if !looked.packs.is_empty() {
            let lost: HashSet<&NotedPack> = looked.packs.keys().collect();
            let (from, to) = (looked.packs.values().min().copied().unwrap_or_default(), self.status.lock().shipped);
            let mut ids = Vec::new();
            self.each_commit(from, to, |commit| {
                let snapshot = self.store.snapshot();
                for id in commit.bodies() {
                    if noted_pack(&snapshot, &self.target, &id)?.is_some_and(|pack| lost.contains(&pack)) {
                        ids.push(id);
                    }
                }
                Ok(())
            })
            .await?;
            let packs = looked.there.clone();
            let mut bodies =
                BodyShipper::new(self.store.clone(), self.target.clone(), self.recipients.clone(), packs, 0);
            for id in ids {
                // What is not here any more stays missing, and is named by the next look.
                bodies.ensure(id).await?;
            }
            bodies.flush().await?;
        }
        for (first, last) in &looked.gaps {
            self.ship_again(*first, *last).await?;
        }
        // They are found out anew.
        work.since = Since { runs: std::mem::take(&mut work.since.runs), ..Since::default() };
        Ok(())
    }

    async fn ship_again(&self, first: Seq, last: Seq) -> Result<()> {
        let (store, before) = (self.store.clone(), Seq(first.0 - 1));
        let point = blocking(move || store.log_point(before)).await;
        let (mut chain, mut follower) = match (point, self.store.follow(first)) {
            (Ok((chain, _)), Ok(follower)) => (chain, follower),
            (Err(StoreError::NotRetained { .. }), _) | (_, Err(StoreError::NotRetained { .. })) => {
                tracing::warn!(target = self.target.name(), %first, %last, "commits are no longer in the log: a new snapshot must close the gap");
                return Ok(());
            }
            (Err(error), _) | (_, Err(error)) => return Err(error.into()),
        };
        let (mut from, mut run) = (first, RunWriter::new(first, chain));
        while run.next() <= last {
            let commit = follower.next().await?;
            run.push(&commit)?;
            if run.next() > last || run.len() > super::RUN_BYTES || run.next().0 - from.0 >= super::RUN_COMMITS {
                chain = run.chain();
                let next = run.next();
                let full = std::mem::replace(&mut run, RunWriter::new(next, chain));
                self.upload(full, (from, Seq(next.0 - 1)), chain).await?;
                from = next;
            }
        }
        Ok(())
    }

    /// The interval of checks.
    pub const fn looks_every() -> std::time::Duration {
        LIST_EVERY
    }
}

/// Runs that have another size than when they were stored or first seen.
fn changed_runs(catalog: &Catalog, since: &Since) -> BTreeSet<String> {
    let changed = |(name, bytes): (&String, &u64)| {
        catalog.run_objects.get(name).is_some_and(|(found, _)| found != bytes).then(|| name.clone())
    };
    since.runs.iter().filter_map(changed).collect()
}

fn is_after(run: &str, base: Seq) -> bool {
    run.parse::<super::RunName>().is_ok_and(|run| run.last > base)
}
