//! What the tests of doors stand on: the services of one folder, and the store below them.
//!
//! Doors know no store. Their tests need it to open a folder, to hold back what another machine has to acknowledge, and to
//! stop in the middle; they get it here. Only `[dev-dependencies]` may name this crate.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use directory::{Directory, DirectoryOptions};
use mailstore::{MailError, MailStore};
use store::StoreOptions;

pub use store::{Clock, Store, SystemClock};

/// The parts of accounts' realms that a [`House`] has.
///
/// # Panics
/// If two have keys in common.
pub fn parts() -> realm::Parts {
    realm::Parts::new(&[
        &mailstore::MailPart,
        &people::PeoplePart,
        &directory::DirectoryPart,
        &directory::DisplayPart,
        &realm::feed::FeedPart,
    ])
}

/// The services of one folder.
#[derive(Clone)]
pub struct House {
    /// What all of them write to.
    pub store: Store,
    /// Accounts.
    pub directory: Directory,
    /// Their mail.
    pub mailstore: MailStore,
}

impl House {
    /// Opens a folder, with accounts that begin without mailboxes.
    ///
    /// # Panics
    /// If it can't be opened, as all that is here for tests.
    pub async fn open(dir: &Path) -> Self {
        Self::begin(dir.to_owned(), DirectoryOptions::default(), false, Arc::new(SystemClock)).await
    }

    /// Opens a folder, with accounts that begin with the standard mailboxes.
    ///
    /// # Panics
    /// If it can't be opened.
    pub async fn with_mailboxes(dir: &Path, options: DirectoryOptions) -> Self {
        Self::begin(dir.to_owned(), options, true, Arc::new(SystemClock)).await
    }

    /// The same with another clock.
    ///
    /// # Panics
    /// If it can't be opened.
    pub async fn with_mailboxes_and_clock(dir: &Path, options: DirectoryOptions, clock: Arc<dyn Clock>) -> Self {
        Self::begin(dir.to_owned(), options, true, clock).await
    }

    /// Opening waits for commits of its own, which a thread of the runtime must not.
    async fn begin(dir: PathBuf, options: DirectoryOptions, mailboxes: bool, clock: Arc<dyn Clock>) -> Self {
        let opening = tokio::task::spawn_blocking(move || Self::open_with(&dir, options, mailboxes, clock));
        opening.await.expect("the folder is opened")
    }

    /// As [`Self::open`] and [`Self::with_mailboxes`], where no runtime is.
    ///
    /// # Panics
    /// If it can't be opened.
    pub fn open_blocking(dir: &Path, options: DirectoryOptions, mailboxes: bool) -> Self {
        Self::open_with(dir, options, mailboxes, Arc::new(SystemClock))
    }

    fn open_with(dir: &Path, mut options: DirectoryOptions, mailboxes: bool, clock: Arc<dyn Clock>) -> Self {
        let store_options = StoreOptions { derive: Some(parts().derive()), clock, ..StoreOptions::default() };
        let store = Store::open(dir, store_options).expect("a store");
        let mailstore = MailStore::new(store.clone());
        let mail = mailstore.clone();
        if mailboxes {
            options.on_create = Some(Arc::new(move |tx, account| {
                mail.create_standard_mailboxes_in(tx, account.realm()).map_err(MailError::into_store_error)
            }));
        }
        let directory = Directory::new(store.clone(), options).expect("a directory");
        Self { store, directory, mailstore }
    }
}
