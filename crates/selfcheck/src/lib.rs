//! Looks through an account for what keeps it from working as its owner expects, and mends what it can.
//!
//! Each check reads; none changes anything. What a finding offers to mend is done by [`Selfcheck::mend`], which looks again
//! first, so that a page that was open for an hour does no harm. [`Selfcheck::send_test`] sends a message through the whole way
//! that mail takes: checks, spam filter, rules, forwarding.
//!
//! What this crate must never do: mend what its owner may have meant (a blocked contact, a vacation reply that still runs) without
//! being told to; say "ok" of what it could not read.
//!
//! Start reading at [`Selfcheck::look`].

mod access;
mod finding;
mod mail;
mod mend;
mod sorting;
mod test_message;

use std::sync::Arc;

use delivery::Delivery;
use directory::{Account, AccountId, Directory, DirectoryError};
use filter::spam::Spam;
use mailstore::MailStore;
use people::People;
use rules::Rules;

pub use finding::{Finding, State, worst};
pub use test_message::Arrived;

/// Why a check could not be done.
#[derive(Debug, thiserror::Error)]
pub enum SelfcheckError {
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The mail store.
    #[error(transparent)]
    Mail(#[from] mailstore::MailError),
    /// The rules.
    #[error(transparent)]
    Rules(#[from] rules::RulesError),
    /// The spam filter's settings.
    #[error(transparent)]
    Spam(#[from] filter::spam::SpamError),
    /// The address book.
    #[error(transparent)]
    People(#[from] people::PeopleError),
    /// The search index.
    #[error(transparent)]
    Search(#[from] search::Error),
    /// Delivery.
    #[error(transparent)]
    Delivery(#[from] delivery::DeliveryError),
    /// Forwarding to an address could not go on.
    #[error(transparent)]
    Forward(#[from] delivery::ForwardError),
}

/// The result of this crate.
pub type Result<T, E = SelfcheckError> = std::result::Result<T, E>;

/// What an account consists of.
#[derive(Clone)]
pub struct Parts {
    /// Logins, addresses, settings.
    pub directory: Directory,
    /// Mailboxes.
    pub mailstore: MailStore,
    /// The address book.
    pub people: People,
    /// Scripts.
    pub rules: Rules,
    /// Lists of senders.
    pub spam: Spam,
    /// Forwarding, and the way that mail takes.
    pub delivery: Delivery,
    /// The search index; none where there is none, as in tests.
    pub index: Option<Arc<search::Index>>,
}

/// The checks of accounts. Cheap to clone.
#[derive(Clone)]
pub struct Selfcheck(Arc<Parts>);

impl std::ops::Deref for Selfcheck {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Selfcheck {
    /// Over these parts.
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    pub(crate) fn account(&self, id: AccountId) -> Result<Account> {
        Ok(self.directory.account(id)?.ok_or_else(|| DirectoryError::NoSuchAccount(format!("number {}", id.0)))?)
    }

    /// All checks, in the order in which they are shown. Reads some records of each kind; blocks.
    ///
    /// # Errors
    /// Those of reading.
    pub fn look(&self, id: AccountId) -> Result<Vec<Finding>> {
        let account = self.account(id)?;
        let mut found = vec![self.storage(id)?, self.mailboxes(id)?, self.sending(id)?, self.index(id)?];
        found.extend(self.rules(id)?);
        found.extend(self.vacation(id)?);
        found.extend(self.forwarding(id)?);
        found.extend(self.senders(&account)?);
        found.extend(self.identities(id)?);
        found.extend(self.app_passwords(id)?);
        found.extend(self.second_step(id)?);
        found.extend(self.strangers(id)?);
        found.extend(self.last_sign_ins(id)?);
        Ok(found)
    }
}
