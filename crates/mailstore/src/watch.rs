//! Following an account: hearing of its changes as they happen.

use store::{RealmId, RealmSeq};
use tokio::sync::watch;

use crate::{MailStore, Result};

/// Hears of every commit of an account, after it is durable and readable. Waiting costs nothing; several commits may be
/// heard of as one.
#[derive(Clone, Debug)]
pub struct Watch(watch::Receiver<RealmSeq>);

impl Watch {
    /// Waits for a change that was not seen yet, and marks it as seen; `false` once the store has stopped, after which no
    /// more come. Safe to cancel.
    pub async fn changed(&mut self) -> bool {
        self.0.changed().await.is_ok()
    }

    /// Whether there is a change that was not seen yet.
    pub fn has_changed(&self) -> bool {
        self.0.has_changed().unwrap_or(false)
    }

    /// Marks all changes up to now as seen. Read after it, so that nothing falls in between.
    pub fn mark_seen(&mut self) {
        self.0.mark_unchanged();
    }

    /// The account's state, marked as seen: a number that grows with each of its commits.
    pub fn state(&mut self) -> u64 {
        self.0.borrow_and_update().0
    }
}

impl MailStore {
    /// Told of every commit of the account, after it is durable and readable.
    pub fn watch(&self, account: RealmId) -> Watch {
        Watch(self.store().watch(account))
    }

    /// The account's state: a number that grows with each of its commits.
    pub fn state(&self, account: RealmId) -> u64 {
        self.store().watch(account).borrow().0
    }

    /// Resolves once all that can be read at this moment is acknowledged: durable wherever it must be before anybody is
    /// told that it is done.
    ///
    /// # Errors
    /// [`crate::Unavailable::Unknown`] once nobody will say so any more.
    pub async fn all_acknowledged(&self) -> Result<()> {
        Ok(self.store().all_acknowledged().await?)
    }
}
