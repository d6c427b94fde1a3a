//! Bodies as those see them who need no files: the writer, and who stores and reads one.
//!
//! There are two engines: [`super::Packs`], which is what a service has, and one in memory, for tests and simulations
//! alone, which no configuration leads to. Both pass the same tests. What cares for the packs themselves (reclaim, scrub,
//! salvage, rescue) knows them, and stands beside this.

use std::sync::Arc;

use bytes::Bytes;

use crate::{BodyId, Result};

/// Where bodies are kept, each once, by the hash of its bytes.
///
/// * What is given is what was put, or an error: never other bytes.
/// * What was put before [`Bodies::sync`] has returned is there after any crash, unless it is found to be damaged.
pub(crate) trait Bodies: Send + Sync {
    /// Keeps a body, unless it is kept already and not known to be damaged; pins it, so that it is not taken for unused
    /// before a commit refers to it.
    #[cfg_attr(not(test), expect(dead_code, reason = "a service writes bodies piece by piece, in constant memory"))]
    fn put(self: Arc<Self>, bytes: &[u8]) -> Result<BodyId>;

    /// Takes one pin away.
    #[cfg_attr(not(test), expect(dead_code, reason = "a staged body does it when it is dropped"))]
    fn unpin(&self, id: &BodyId);

    /// Whether it is kept, whatever its bytes are.
    ///
    /// # Errors
    /// [`crate::StoreError::BodyMissing`].
    fn check_known(&self, id: &BodyId) -> Result<()>;

    /// All of its bytes, compared with its name.
    ///
    /// # Errors
    /// [`crate::StoreError::BodyMissing`], [`crate::StoreError::BodyDamaged`].
    #[cfg_attr(not(test), expect(dead_code, reason = "a service reads bodies in parts"))]
    fn get(self: Arc<Self>, id: &BodyId) -> Result<Bytes>;

    /// Makes all bodies so far durable.
    ///
    /// # Errors
    /// [`crate::StoreError::Stopped`]: nothing may be acknowledged any more.
    fn sync(&self) -> Result<()>;
}
