//! Bodies that were found to be damaged, until they are repaired or no longer needed.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;
use rustix::io::Errno;

use crate::{
    BodyId, Result, StoreError,
    damage::{Kind, Tally},
    index::{Batch, IndexEngine, Space, meta},
};

/// The file next to the index that records them across restarts.
pub(crate) const NOTES: &str = "damaged-bodies";
/// The most that are remembered. If a disk has lost more, the rest is found again once these are repaired.
const MAX_REMEMBERED: usize = 100_000;

/// Bodies that can't be read, or are not what their names say.
pub(crate) struct Broken {
    index: Arc<dyn IndexEngine>,
    tally: Arc<Tally>,
    known: Mutex<BTreeMap<BodyId, String>>,
}

impl Broken {
    pub(super) fn load(index: Arc<dyn IndexEngine>, tally: Arc<Tally>) -> Result<Self> {
        let parse = |key: &[u8], why: &[u8]| {
            let id = key.last_chunk::<32>().copied().map(BodyId::from_bytes);
            Ok(id.map(|id| (id, String::from_utf8_lossy(why).into_owned())))
        };
        let known: BTreeMap<_, _> = meta::notes(&*index.view(), NOTES, &[], parse)?.into_iter().flatten().collect();
        for (id, why) in &known {
            tracing::error!(%id, why, "this body is still damaged");
        }
        measure(&tally, &known);
        Ok(Self { index, tally, known: Mutex::new(known) })
    }

    /// Records bodies of missing or truncated packs. `why` is logged once.
    pub(super) fn note_all(&self, ids: impl IntoIterator<Item = BodyId>, why: &str) {
        let mut batch = Batch::new();
        let mut known = self.known.lock();
        for id in ids {
            if known.len() >= MAX_REMEMBERED {
                break;
            }
            known.entry(id).or_insert_with(|| {
                let why = StoreError::BodyDamaged { id, what: why.to_owned() }.to_string();
                batch.push(meta::write(meta::note_key(NOTES, id.as_bytes()), why.clone().into_bytes()));
                why
            });
        }
        measure(&self.tally, &known);
        drop(known);
        if batch.is_empty() {
            return;
        }
        tracing::error!(bodies = batch.len(), why, "bodies are damaged");
        if let Err(error) = self.index.apply(batch) {
            tracing::warn!(%error, "could not record damaged bodies: the next start will not know about them");
        }
    }

    pub(super) fn contains(&self, id: &BodyId) -> bool {
        let known = self.known.lock();
        !known.is_empty() && known.contains_key(id)
    }

    /// A body could not be given.
    pub(crate) fn note(&self, id: &BodyId, error: &StoreError) {
        if passes(error) {
            return;
        }
        let mut known = self.known.lock();
        if known.contains_key(id) || known.len() >= MAX_REMEMBERED {
            return;
        }
        let why = error.to_string();
        tracing::error!(%id, why, "a body is damaged");
        known.insert(*id, why.clone());
        measure(&self.tally, &known);
        drop(known);
        let note = meta::write(meta::note_key(NOTES, id.as_bytes()), why.into_bytes());
        if let Err(error) = self.index.apply(vec![note]) {
            tracing::warn!(%id, %error, "could not record the damage: the next start will not know about it");
        }
    }

    /// It can be read again, or nothing needs it.
    pub(crate) fn forget(&self, id: &BodyId) {
        let mut known = self.known.lock();
        if known.remove(id).is_none() {
            return;
        }
        measure(&self.tally, &known);
        drop(known);
        if let Err(error) = self.index.apply(vec![(Space::Meta, meta::note_key(NOTES, id.as_bytes()), None)]) {
            tracing::warn!(%id, %error, "could not record a repair: the next start will report this body as damaged");
        }
    }

    /// The number of them, and the problem of the first.
    pub(crate) fn in_short(&self) -> (usize, Option<String>) {
        let known = self.known.lock();
        (known.len(), known.values().next().cloned())
    }

    /// How many, and the first few.
    pub(crate) fn first(&self, few: usize) -> (usize, Vec<(BodyId, String)>) {
        let known = self.known.lock();
        (known.len(), known.iter().take(few).map(|(id, why)| (*id, why.clone())).collect())
    }

    pub(crate) fn list(&self) -> Vec<(BodyId, String)> {
        self.known.lock().iter().map(|(id, why)| (*id, why.clone())).collect()
    }
}

/// Whether it is this process that lacks something, and not the disk.
fn passes(error: &StoreError) -> bool {
    let StoreError::Io { error, .. } = error else { return false };
    [Errno::MFILE, Errno::NFILE, Errno::NOMEM].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

fn measure(tally: &Tally, known: &BTreeMap<BodyId, String>) {
    tally.set(Kind::Bodies, known.len());
    metrics::gauge!("holdfast_store_damaged_bodies").set(known.len() as f64);
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn a_process_with_too_many_open_files_has_no_damaged_bodies() {
        let read = |errno: Errno| StoreError::io("body pack")(io::Error::from(errno));
        assert!(passes(&read(Errno::MFILE)) && passes(&read(Errno::NOMEM)));
        assert!(!passes(&read(Errno::IO)));
        assert!(!passes(&StoreError::BodyDamaged { id: BodyId::of(b"x"), what: String::new() }));
    }
}
