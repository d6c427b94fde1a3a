//! Looking whether what the store has open is still in its folder: a cleaner of temporary files, or a command in the wrong
//! place, takes away what later nobody can open.

use crate::{Result, Seq, Store, StoreError, index::meta, log};

impl Store {
    /// Looks whether log, packs and index are still where they are written to. What can be is put back, and said as damage;
    /// otherwise the store stops: nothing may be acknowledged into files that are gone. Cheap; blocks for as long as
    /// writing back what was removed takes.
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
                "{what} while the service ran; start it again: it is built anew from checkpoint and log"
            ));
        }
        // Says itself what it found.
        if let Err(error) = inner.writer.keep_in_place() {
            tracing::error!(%error, "the log's newest segment");
            return;
        }
        if let Err(error) = self.look_for_gaps() {
            tracing::warn!(%error, "the log's segments can't be looked at");
        }
    }

    fn halt(&self, reason: &str) {
        tracing::error!(reason, "the store has stopped: nothing is acknowledged any more");
        self.inner.writer.halt(reason);
    }

    /// Names the segments that are missing between those that are there, or before them.
    fn look_for_gaps(&self) -> Result<()> {
        // Old log goes while everybody works on.
        let Some(_alone) = self.inner.maintenance.try_lock() else { return Ok(()) };
        let (disk, dir) = (&*self.inner.options.disk, self.inner.dir.join("log"));
        let firsts = log::segments(disk, &dir)?;
        let missing = |from: Seq, to: Seq| {
            let what =
                format!("it is missing: commits {from} to {to} are in no segment of the log; the index has them");
            self.inner.findings.note(&format!("log/{:020}.log", from.0), &what);
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
