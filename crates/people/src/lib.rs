//! The address book of an account: contacts, groups, and their import and export as vCard and CSV.
//!
//! It is stored in the account's realm, keys `0x50..=0x5F` (see [`schema`]), next to the mail: both are always at the
//! same commit, and restoring an account to an earlier time restores its address book too.
//!
//! * **Writes** are one commit each, except an import, which is done in steps of [`MAX_ROWS_PER_COMMIT`]. After a crash
//!   a commit is there completely or not at all. User actions have a key: the same key again changes nothing and
//!   returns the same [`Receipt`], and [`People::undo`] uses it to undo the action.
//! * **Reads** are blocking and see one consistent snapshot per call. [`People::search`] and [`People::complete`] visit
//!   all contacts: call them from a blocking thread.
//!
//! What this crate must never do: reuse a contact's id; leave a deleted contact in a group; lose data it can't show
//! (unknown properties of a vCard are stored and exported again).
//!
//! Start reading at [`schema`] for the stored records, [`People::save`] for writing a contact, [`vcard::read`] for
//! external data, [`merge::merge`] for merging two versions of a book.

mod address;
mod book;
mod card;
pub mod csv;
mod duplicates;
mod edit;
mod error;
mod export;
mod extra;
mod find;
mod further;
mod groups;
mod ids;
mod image;
pub mod import;
mod incoming;
pub mod invariants;
pub mod merge;
mod part;
pub mod pictures;
mod receipt;
mod records;
pub mod rewind;
pub mod schema;
mod shelves;
pub mod vcard;

use store::{Store, Tx};

pub use book::{BookMerged, Contact, salvaged_book};
pub use card::{Address, Card, Phone, PictureRef};
pub use duplicates::{Duplicates, MAX_SETS};
pub use edit::{Edit, PictureChange};
pub use error::{PeopleError, Result};
pub use extra::{Detail, DetailKind};
pub use find::{Birthday, Filter, MAX_LETTERS, MAX_PAGE, Page, Suggestion};
pub use further::{Further, Labelled, MAX_OF_A_KIND, Postal, When};
pub use groups::Group;
pub use ids::{ContactId, GroupId, ParseIdError, ShelfId};
pub use part::{CONTACT, GROUP, PeoplePart};
pub use receipt::Receipt;
pub use shelves::{FIRST, Shelf};

/// Most contacts of an account.
pub const MAX_CONTACTS: u32 = 50_000;
/// Most groups of an account.
pub const MAX_GROUPS: u32 = 1_000;
/// Most books of an account, beside the first.
pub const MAX_SHELVES: usize = 50;
/// Most members of a group.
pub const MAX_MEMBERS: usize = 10_000;
/// Most addresses of a contact, and most phone numbers.
pub const MAX_ADDRESSES: usize = 50;
/// Longest name, label, number or organisation, in bytes.
pub const MAX_LINE_BYTES: usize = 500;
/// Longest note, in bytes.
pub const MAX_NOTE_BYTES: usize = 16 * 1024;
/// The most bytes of a vCard's lines that are stored as they are, beside the fields. Pictures are not among them: see
/// [`pictures`].
pub const MAX_KEPT_BYTES: usize = 256 * 1024;
/// Most contacts written by one commit: larger work is split, so that others get their turn in between.
pub const MAX_ROWS_PER_COMMIT: usize = 200;
/// For how many days the key of an act is known, and the act can be undone, at least.
pub const ACT_DAYS: i64 = 14;
/// Longest key of an act.
pub const MAX_ACT_KEY_BYTES: usize = 256;

/// The address books of all accounts of a store. Cheap to clone.
///
/// Methods take the account as its realm: `account_id.realm()`.
#[derive(Clone)]
pub struct People {
    store: Store,
}

impl People {
    /// The address books in `store`.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Make a commit of `write`.
    async fn commit<T, F>(&self, write: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.store.transact(write).await
    }
}
