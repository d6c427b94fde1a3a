//! Errors of parts.

use store::StoreError;

/// Why a part did not do its duty.
#[derive(Debug, thiserror::Error)]
pub enum PartError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The part's own error: a limit, or a record that can't be read.
    #[error(transparent)]
    Own(Box<dyn std::error::Error + Send + Sync>),
}

impl PartError {
    /// A part's own error.
    pub fn own(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Own(Box::new(error))
    }
}

/// The usual result of a duty.
pub type Result<T, E = PartError> = std::result::Result<T, E>;
