//! Bodies in memory: for tests and simulations. No configuration leads to them.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use parking_lot::Mutex;

use super::bodies::Bodies;
use crate::{BodyId, Cause, Damaged, Part, Result, StoreError};

struct Kept {
    bytes: Vec<u8>,
    synced: bool,
    pins: usize,
}

/// What outlives a process: as a disk does.
#[derive(Default)]
pub(crate) struct MemoryBodies(Mutex<HashMap<BodyId, Kept>>);

impl MemoryBodies {
    /// Loses what was not synced, as a crash may, and the pins.
    pub(crate) fn crash(&self) {
        let mut kept = self.0.lock();
        kept.retain(|_, body| body.synced);
        kept.values_mut().for_each(|body| body.pins = 0);
    }

    /// Changes a bit of a body that is not empty.
    pub(crate) fn hurt(&self, id: &BodyId) {
        self.0.lock().get_mut(id).expect("it is kept").bytes[0] ^= 1;
    }

    /// Bytes in all.
    pub(crate) fn size(&self) -> u64 {
        self.0.lock().values().map(|body| body.bytes.len() as u64).sum()
    }
}

impl Bodies for MemoryBodies {
    fn put(self: Arc<Self>, bytes: &[u8]) -> Result<BodyId> {
        let id = BodyId::of(bytes);
        let mut kept = self.0.lock();
        let body = kept.entry(id).or_insert_with(|| Kept { bytes: bytes.to_vec(), synced: false, pins: 0 });
        if BodyId::of(&body.bytes) != id {
            (body.bytes, body.synced) = (bytes.to_vec(), false);
        }
        body.pins += 1;
        Ok(id)
    }

    fn unpin(&self, id: &BodyId) {
        if let Some(body) = self.0.lock().get_mut(id) {
            body.pins -= 1;
        }
    }

    fn check_known(&self, id: &BodyId) -> Result<()> {
        if self.0.lock().contains_key(id) { Ok(()) } else { Err(StoreError::BodyMissing { id: *id }) }
    }

    fn get(self: Arc<Self>, id: &BodyId) -> Result<Bytes> {
        let kept = self.0.lock();
        let body = kept.get(id).ok_or(StoreError::BodyMissing { id: *id })?;
        if BodyId::of(&body.bytes) != *id {
            return Err(StoreError::body_damaged(*id, Damaged::new(Part::Body, Cause::Checksum)));
        }
        Ok(Bytes::copy_from_slice(&body.bytes))
    }

    fn sync(&self) -> Result<()> {
        self.0.lock().values_mut().for_each(|body| body.synced = true);
        Ok(())
    }
}
