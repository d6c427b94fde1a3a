//! Regular maintenance that keeps a store small and sound: checkpoints, and dropping old log.

use std::time::Instant;

use crate::{Checkpoint, Result, Seq, Store, StoreError, checkpoint, index::meta, log, past};

/// The result of [`Store::drop_old_log`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Dropped segments.
    pub segments: u64,
    /// The first commit that the log still has.
    pub first: Seq,
}

impl Store {
    /// Writes all current records into a checkpoint, verifies it, and keeps the previous one too. Of older ones it keeps
    /// those needed for reading the past: one from before the retention time, and some after it. Writers and readers
    /// continue. `go_on` is called every megabyte. Blocks while all records are read: not for async threads.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if a realm does not match its digest (then it is quarantined), [`StoreError::Full`],
    /// [`StoreError::Stopped`] if `go_on` returned false. Existing checkpoints are kept in each case.
    pub fn checkpoint(&self, go_on: &dyn Fn() -> bool) -> Result<Checkpoint> {
        let inner = &self.inner;
        let _alone = inner.maintenance.lock();
        let start = Instant::now();
        inner.index.persist()?;
        let dir = inner.dir.join("checkpoints");
        let disk = &*inner.options.disk;
        let view = inner.index.view();
        // Room that the index needs is not for checkpoints either.
        inner.room.check()?;
        let has_room = || inner.room.check().is_ok();
        let goes_on = || has_room() && go_on();
        let made = checkpoint::write(disk, &dir, &*view, Some(&inner.quarantine), self.clock().now_ms(), &goes_on)
            .map_err(|error| if has_room() { error } else { StoreError::Full })?;
        let mut all = Vec::new();
        for seq in checkpoint::list(disk, &dir)? {
            // One that can't be read is of no use to anybody; `verify` names it, and it goes when it is old.
            all.push((seq, checkpoint::made_ms(disk, &dir, seq).unwrap_or(i64::MIN)));
        }
        let base = self.base_of_window(made.seq)?;
        let kept = past::kept(&all, base, self.retention_ms() / 4);
        for (old, _) in all.iter().filter(|(seq, _)| !kept.contains(seq)) {
            checkpoint::remove(disk, &dir, *old)?;
        }
        metrics::gauge!("holdfast_store_checkpoint_seq").set(made.seq.0 as f64);
        metrics::histogram!("holdfast_store_checkpoint_seconds").record(start.elapsed().as_secs_f64());
        tracing::info!(seq = %made.seq, records = made.records, realms = made.realms, "checkpoint");
        Ok(made)
    }

    /// How long commits are kept.
    pub fn retention(&self) -> std::time::Duration {
        self.inner.options.retention
    }

    fn retention_ms(&self) -> i64 {
        i64::try_from(self.inner.options.retention.as_millis()).unwrap_or(i64::MAX)
    }

    /// The newest checkpoint without data later than the window's start: with the log after it, every time since can be
    /// read.
    fn base_of_window(&self, last: Seq) -> Result<Option<Seq>> {
        let (disk, dir) = (&*self.inner.options.disk, &self.inner.dir);
        let before_ms = self.clock().now_ms().saturating_sub(self.retention_ms());
        let until = log::seq_stated_at(disk, &dir.join("log"), before_ms, last)?;
        let dir = dir.join("checkpoints");
        let can_be_read = |seq: &Seq| checkpoint::made_ms(disk, &dir, *seq).is_ok();
        Ok(checkpoint::list(disk, &dir)?.into_iter().rfind(|seq| *seq <= until && can_be_read(seq)))
    }

    /// The checkpoints there are, oldest first, by the last commit that each holds.
    pub fn checkpoints(&self) -> Result<Vec<Seq>> {
        checkpoint::list(&*self.inner.options.disk, &self.inner.dir.join("checkpoints"))
    }

    /// When the newest checkpoint was made, in milliseconds since 1970; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when its beginning can't be read.
    pub fn newest_checkpoint_ms(&self) -> Result<Option<i64>> {
        let (disk, dir) = (&*self.inner.options.disk, self.inner.dir.join("checkpoints"));
        let newest = checkpoint::list(disk, &dir)?.last().copied();
        newest.map(|seq| checkpoint::made_ms(disk, &dir, seq)).transpose()
    }

    /// Drops log segments whose commits are all older than the retention time, and contained in both of the newest two
    /// checkpoints and in one without data later than the start of the retention time: so every time since then can be read.
    /// A crash at any point leaves a log without gaps.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the data after a segment without a footer can't be read: nothing from there on is dropped.
    pub fn drop_old_log(&self) -> Result<Dropped> {
        let inner = &self.inner;
        let _alone = inner.maintenance.lock();
        let (disk, dir) = (&*inner.options.disk, inner.dir.join("log"));
        let firsts = log::segments(disk, &dir)?;
        let mut dropped = Dropped { segments: 0, first: firsts.first().copied().unwrap_or(Seq(1)) };
        let checkpoints = checkpoint::list(disk, &inner.dir.join("checkpoints"))?;
        let Some(oldest) = checkpoints.len().checked_sub(checkpoint::KEPT).map(|at| checkpoints[at]) else {
            return Ok(dropped);
        };
        let before_ms = self.clock().now_ms().saturating_sub(self.retention_ms());
        let Some(base) = self.base_of_window(self.snapshot().seq()?)? else { return Ok(dropped) };
        let oldest = oldest.min(base);
        for pair in firsts.windows(2) {
            // One whose end is damaged is as old as what follows it.
            let (last, time_ms) = match log::footer(disk, &dir, pair[0])? {
                Some(footer) => (footer.last, footer.time_ms),
                None => (Seq(pair[1].0 - 1), log::point(disk, &dir, pair[1])?.1.unwrap_or(i64::MAX)),
            };
            if last > oldest || time_ms >= before_ms {
                break;
            }
            // Said before it is done, so that a log that begins later than this is known to be damaged.
            inner.index.apply(vec![meta::set_first(pair[1])])?;
            inner.index.persist()?;
            log::remove_segment(disk, &dir, pair[0])?;
            inner.findings.forget(&format!("log/{:020}.log", pair[0].0));
            dropped = Dropped { segments: dropped.segments + 1, first: pair[1] };
        }
        if dropped.segments > 0 {
            tracing::info!(segments = dropped.segments, first = %dropped.first, "old log dropped");
        }
        Ok(dropped)
    }
}
