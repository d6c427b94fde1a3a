//! Realms that take no writes because they are damaged.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{IndexEngine, meta};
use crate::{
    Damaged, RealmId, Result, StoreError,
    damage::{Kind, Tally},
};

/// Realms that take no writes until they have been repaired, and why. Kept in the index, so that a restart does not
/// forget them.
pub(crate) struct Quarantine {
    index: Arc<dyn IndexEngine>,
    tally: Arc<Tally>,
    realms: Mutex<BTreeMap<RealmId, Damaged>>,
}

impl Quarantine {
    pub(crate) fn load(index: Arc<dyn IndexEngine>, tally: Arc<Tally>) -> Result<Self> {
        let realms: BTreeMap<_, _> = meta::quarantined(&*index.view())?.into_iter().collect();
        for (realm, reason) in &realms {
            tracing::error!(%realm, %reason, "still quarantined");
        }
        measure(&tally, realms.len());
        Ok(Self { index, tally, realms: Mutex::new(realms) })
    }

    pub(crate) fn put(&self, realm: RealmId, reason: &Damaged) {
        let mut realms = self.realms.lock();
        if realms.contains_key(&realm) {
            return;
        }
        tracing::error!(%realm, part = reason.part.code(), cause = reason.cause.code(), %reason, "quarantined");
        realms.insert(realm, reason.clone());
        measure(&self.tally, realms.len());
        drop(realms);
        if let Err(error) = self.index.apply(vec![meta::set_quarantined(realm, reason)]) {
            tracing::warn!(%realm, %error, "the quarantine will be forgotten at the next start");
        }
    }

    pub(crate) fn release(&self, realm: RealmId) -> Result<()> {
        let mut realms = self.realms.lock();
        self.index.apply(vec![meta::release(realm)])?;
        realms.remove(&realm);
        measure(&self.tally, realms.len());
        Ok(())
    }

    pub(crate) fn check(&self, realm: RealmId) -> Result<()> {
        match self.realms.lock().get(&realm) {
            Some(reason) => Err(StoreError::Quarantined { realm, damage: Box::new(reason.clone()) }),
            None => Ok(()),
        }
    }

    pub(crate) fn list(&self) -> Vec<(RealmId, Damaged)> {
        self.realms.lock().iter().map(|(realm, reason)| (*realm, reason.clone())).collect()
    }
}

fn measure(tally: &Tally, realms: usize) {
    tally.set(Kind::Realms, realms);
    metrics::gauge!("holdfast_store_quarantined_realms").set(realms as f64);
}
