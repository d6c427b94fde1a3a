//! Reserved disk space that commits don't use.
//!
//! If the disk is full, the log can undo a failed write and continue. The index can't: an engine that failed to write
//! must be reopened. So commits and bodies are refused while there is still enough space for the index.

use std::{path::PathBuf, sync::Arc};

use crate::{Result, StoreError, disk::Disk};

/// Room below the data folder.
pub(crate) struct Room {
    pub disk: Arc<dyn Disk>,
    pub dir: PathBuf,
    pub reserve_bytes: u64,
}

impl Room {
    /// # Errors
    /// [`StoreError::Full`] when less than the reserve is left.
    pub(crate) fn check(&self) -> Result<()> {
        if self.is_there() {
            return Ok(());
        }
        metrics::counter!("holdfast_store_refused_full_total").increment(1);
        Err(StoreError::Full)
    }

    /// Whether the reserve is left.
    pub(crate) fn is_there(&self) -> bool {
        // Where the system can't tell, the write itself will.
        !matches!(self.disk.free_bytes(&self.dir), Ok(free) if free < self.reserve_bytes)
    }
}
