//! Bodies that were found to be damaged, until they are repaired or no longer needed.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use crate::{
    BodyId, Damaged, Part, Result, StoreError,
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
    known: Mutex<BTreeMap<BodyId, Damaged>>,
}

impl Broken {
    pub(super) fn load(index: Arc<dyn IndexEngine>, tally: Arc<Tally>) -> Result<Self> {
        let parse = |key: &[u8], why: &[u8]| {
            let id = key.last_chunk::<32>().copied().map(BodyId::from_bytes);
            Ok(id.map(|id| (id, Damaged::from_note(why))))
        };
        let known: BTreeMap<_, _> = meta::notes(&*index.view(), NOTES, &[], parse)?.into_iter().flatten().collect();
        for (id, why) in &known {
            tracing::error!(%id, %why, "this body is still damaged");
        }
        measure(&tally, &known);
        Ok(Self { index, tally, known: Mutex::new(known) })
    }

    /// Records bodies of missing or truncated packs. `why` is logged once.
    pub(super) fn note_all(&self, ids: impl IntoIterator<Item = BodyId>, why: &Damaged) {
        let mut batch = Batch::new();
        let mut known = self.known.lock();
        for id in ids {
            if known.len() >= MAX_REMEMBERED {
                break;
            }
            known.entry(id).or_insert_with(|| {
                let why = Damaged { part: Part::Body, ..why.clone() }.body(id);
                batch.push(meta::write(meta::note_key(NOTES, id.as_bytes()), why.to_note()));
                why
            });
        }
        measure(&self.tally, &known);
        drop(known);
        if batch.is_empty() {
            return;
        }
        tracing::error!(bodies = batch.len(), %why, "bodies are damaged");
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
        let Ok(why) = error.clone().into_damage(Part::Body).map(|why| why.body(*id)) else { return };
        let mut known = self.known.lock();
        if known.contains_key(id) || known.len() >= MAX_REMEMBERED {
            return;
        }
        tracing::error!(%id, cause = why.cause.code(), %why, "a body is damaged");
        known.insert(*id, why.clone());
        measure(&self.tally, &known);
        drop(known);
        let note = meta::write(meta::note_key(NOTES, id.as_bytes()), why.to_note());
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
        (known.len(), known.values().next().map(ToString::to_string))
    }

    /// How many, and the first few.
    pub(crate) fn first(&self, few: usize) -> (usize, Vec<(BodyId, Damaged)>) {
        let known = self.known.lock();
        (known.len(), known.iter().take(few).map(|(id, why)| (*id, why.clone())).collect())
    }

    pub(crate) fn list(&self) -> Vec<(BodyId, Damaged)> {
        self.known.lock().iter().map(|(id, why)| (*id, why.clone())).collect()
    }
}

fn measure(tally: &Tally, known: &BTreeMap<BodyId, Damaged>) {
    tally.set(Kind::Bodies, known.len());
    metrics::gauge!("holdfast_store_damaged_bodies").set(known.len() as f64);
}
