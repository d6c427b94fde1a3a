//! Errors, grouped by what the caller can do about them.

use store::{Cause, Damaged, Part, StoreError};

/// Why something of an address book was refused or failed. Nothing was written, unless the operation says that it goes
/// in steps.
#[derive(Debug, thiserror::Error)]
pub enum PeopleError {
    /// The contact was deleted, or never existed.
    #[error("there is no such contact")]
    NoSuchContact,
    /// The group was deleted, or never existed.
    #[error("there is no such group")]
    NoSuchGroup,
    /// A contact without name, addresses, numbers and organisation says nothing.
    #[error("a contact needs a name or an address")]
    Empty,
    /// A group, and a book, needs a name.
    #[error("a name is needed")]
    NoName,
    /// There is a group of that name.
    #[error("a group named \u{201c}{0}\u{201d} already exists")]
    GroupExists(String),
    /// The text is not an email address.
    #[error("\u{201c}{address}\u{201d} is not a valid email address: {reason}")]
    BadAddress {
        /// As it was given.
        address: String,
        /// The problem.
        reason: mailkit::AddressError,
    },
    /// Merging needs two contacts or more.
    #[error("choose at least two contacts to merge")]
    NothingToMerge,
    /// There is as much as there may be.
    #[error("too many {what}: the limit is {limit}")]
    TooMany {
        /// Of what, in the plural.
        what: &'static str,
        /// How many there may be.
        limit: u64,
    },
    /// A value is longer than its named limit.
    #[error("{what} is too long: the limit is {limit} bytes")]
    TooLong {
        /// Which value.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
    /// The book was deleted, or never existed.
    #[error("there is no such address book")]
    NoSuchBook,
    /// There is a book of that name.
    #[error("an address book named \u{201c}{0}\u{201d} already exists")]
    BookExists(String),
    /// The file is not a picture that can be kept.
    #[error(transparent)]
    Picture(#[from] crate::image::PictureError),
    /// The contact was changed since the caller read it.
    #[error("this contact was changed in the meantime")]
    Changed,
    /// A stored record does not make sense: run `holdfast verify`.
    #[error("the stored address book is damaged: {0}")]
    Damaged(Box<Damaged>),
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The usual result of this crate.
pub type Result<T, E = PeopleError> = std::result::Result<T, E>;

impl PeopleError {
    /// A stored record does not make sense: the one at `key`.
    pub(crate) fn damaged_at(cause: Cause, key: &[u8], what: impl std::fmt::Display) -> Self {
        Self::Damaged(Box::new(Damaged::new(Part::Record, cause).key(key).because(what)))
    }
}
