//! What goes wrong with an index.

use mailstore::MailError;
use store::StoreError;

/// Why an index could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of it is missing, or is not what was written: it has to be built again.
    #[error("the search index is damaged: {0}")]
    Lost(&'static str),
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The mail.
    #[error(transparent)]
    Mail(#[from] MailError),
}

/// Of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A part of the index is missing or can't be read.
pub(crate) const fn lost(what: &'static str) -> Error {
    Error::Lost(what)
}

impl Error {
    /// Whether building it again helps.
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Lost(_) => true,
            Self::Store(error) => {
                matches!(error, StoreError::Damaged(damaged) if damaged.part == store::Part::IndexEntry)
            }
            Self::Mail(_) => false,
        }
    }

    /// Whether the disk has no room.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Store(StoreError::Full))
    }
}
