//! Requests a replacement from others when a reader finds a damaged body.
//!
//! A donor (a standby, a primary, an archive) learns which bodies are wanted from [`crate::Store::wanted_bodies`], and
//! stores them with [`crate::Store::mend_body`]. A reader waits for a limited time, and does not wait again soon for a
//! body that no donor could supply.

use std::{
    sync::mpsc::sync_channel,
    time::{Duration, Instant},
};

use tokio::sync::mpsc;

use super::{
    Packs,
    wanted::{RESCUE_WAIT, WantedBody},
};
use crate::{BodyId, BodyReader, Result, Store, StoreError};

/// How long nobody waits again for a body that no donor could supply.
const NOT_AGAIN: Duration = Duration::from_secs(60);
/// The number of such bodies that are remembered.
const MAX_FAILED: usize = 10_000;

impl Packs {
    /// Waits until a damaged or missing body is repaired; `false` if that fails.
    pub(super) fn rescue(&self, id: &BodyId) -> bool {
        let failed = self.rescue.failed.lock().get(id).is_some_and(|at| at.elapsed() < NOT_AGAIN);
        let Some(wanted) = self.rescue.wanted.lock().clone().filter(|_| !failed) else { return false };
        let (told, tell) = sync_channel(1);
        if wanted.send(WantedBody { id: *id, told }).is_err() {
            return false;
        }
        let wait = || tell.recv_timeout(RESCUE_WAIT) == Ok(true);
        let is_worker = tokio::runtime::Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
        let came = if is_worker { tokio::task::block_in_place(wait) } else { wait() };
        if !came {
            let mut failed = self.rescue.failed.lock();
            failed.retain(|_, at| at.elapsed() < NOT_AGAIN);
            if failed.len() < MAX_FAILED {
                failed.insert(*id, Instant::now());
            }
        }
        came
    }
}

impl Store {
    /// The bodies that readers wait for because they are damaged here. The last caller gets them.
    pub fn wanted_bodies(&self) -> mpsc::UnboundedReceiver<WantedBody> {
        let (sender, receiver) = mpsc::unbounded_channel();
        *self.inner.packs.rescue.wanted.lock() = Some(sender);
        receiver
    }

    /// As [`Store::body`], as it is here and now: one that is damaged is not asked for elsewhere.
    ///
    /// # Errors
    /// [`StoreError::BodyMissing`], [`StoreError::BodyDamaged`].
    pub fn body_as_it_is(&self, id: &BodyId) -> Result<BodyReader> {
        self.inner.packs.open_body(id)
    }

    /// Opens a body; one that is missing, or whose beginning is damaged, is waited for.
    pub(crate) fn body_or_rescued(&self, id: &BodyId) -> Result<BodyReader> {
        let packs = &self.inner.packs;
        let reader = match packs.open_body(id) {
            Err(StoreError::BodyDamaged { .. } | StoreError::BodyMissing { .. }) if packs.rescue(id) => {
                packs.open_body(id)
            }
            other => other,
        };
        reader.map(BodyReader::rescued)
    }
}
