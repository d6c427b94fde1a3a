//! Accounts of which something has happened that they may have to be told.

use std::collections::BTreeMap;

use directory::AccountId;
use parking_lot::Mutex;
use tokio::sync::Notify;

/// Those that were not looked at since. At most as many as there are accounts.
#[derive(Default)]
pub struct Owed {
    /// With whether a message was refused because it did not fit.
    due: Mutex<BTreeMap<AccountId, bool>>,
    wake: Notify,
}

impl Owed {
    /// Something has happened to these accounts.
    pub fn note(&self, accounts: impl IntoIterator<Item = (AccountId, bool)>) {
        let mut due = self.due.lock();
        let before = due.len();
        for (account, refused) in accounts {
            *due.entry(account).or_default() |= refused;
        }
        if due.len() > before {
            self.wake.notify_one();
        }
    }

    /// All of them; none is left.
    pub fn take(&self) -> BTreeMap<AccountId, bool> {
        std::mem::take(&mut *self.due.lock())
    }

    /// Waits until there may be some.
    pub async fn come(&self) {
        self.wake.notified().await;
    }
}
