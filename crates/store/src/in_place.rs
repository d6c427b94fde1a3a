//! Checks whether the store's open files are still in its folder: a cleaner of temporary files, or a command in the
//! wrong folder, may remove files that can't be opened again later.

use crate::{Result, Seq, Store, StoreError, index::meta, log};

impl Store {
    /// Checks whether the files of log, packs and index are still in place. Removed files are restored if possible, and
    /// recorded as damage; otherwise the store stops, because nothing may be acknowledged into files that are gone. Cheap;
    /// blocks while removed files are restored.
    pub fn look_around(&self) {
        let inner = &self.inner;
        if self.stopped().is_some() {
            return;
        }
        if let Some(reason) = inner.packs.unlinked_active() {
            return self.halt(&reason);
        }
        for (name, what) in inner.packs.put_closed_back() {
            inner.findings.note(&name, &what);
        }
        if let Some(what) = inner.index.lost() {
            return self.halt(&format!(
                "{what} while the service was running; restart the service: it rebuilds the index from checkpoint and log"
            ));
        }
        // Says itself what it found.
        if let Err(error) = inner.writer.keep_in_place() {
            tracing::error!(%error, "could not check the log's newest segment");
            return;
        }
        if let Err(error) = self.look_for_gaps() {
            tracing::warn!(%error, "could not check the log's segments");
        }
    }

    fn halt(&self, reason: &str) {
        tracing::error!(reason, "the store has stopped: writes are no longer acknowledged");
        self.inner.writer.halt(reason);
    }

    /// Names the segments that are missing between those that are there, or before them.
    fn look_for_gaps(&self) -> Result<()> {
        // Old log goes while everybody works on.
        let Some(_alone) = self.inner.maintenance.try_lock() else { return Ok(()) };
        let (disk, dir) = (&*self.inner.options.disk, self.inner.dir.join("log"));
        let firsts = log::segments(disk, &dir)?;
        let missing = |from: Seq, to: Seq| {
            let what = log::missing_commits(from, to).because("no segment has them; the index has them");
            self.inner.findings.note(&log::segment_name(from), &what.file(log::segment_name(from)));
        };
        let stated = meta::first(&*self.inner.index.view())?;
        if let Some(first) = firsts.first().filter(|first| **first > stated) {
            missing(stated, Seq(first.0 - 1));
        }
        for pair in firsts.windows(2) {
            match log::footer(disk, &dir, pair[0]) {
                Ok(Some(footer)) if footer.last.0 + 1 < pair[1].0 => {
                    missing(Seq(footer.last.0 + 1), Seq(pair[1].0 - 1));
                }
                // Dropped, or damaged: others say that.
                Ok(_) | Err(StoreError::Io { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
