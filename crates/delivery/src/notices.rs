//! Notices that the service owes to accounts: each follows from what is recorded, so that neither a crash nor a full disk loses
//! one, and is filed in one commit with the record that it was.

use std::convert::Infallible;
use std::time::Duration;

use directory::AccountId;

use crate::{Delivery, Result};

/// How often all accounts are looked at, whatever happened.
const LOOK_EVERY: Duration = Duration::from_mins(10);

impl Delivery {
    /// Something has happened to these accounts; what it was is in the store.
    pub(crate) fn may_owe(&self, accounts: impl IntoIterator<Item = AccountId>) {
        self.inner.owed.note(accounts.into_iter().map(|account| (account, false)));
    }

    /// A message did not fit into an account.
    pub(crate) fn note_full(&self, account: AccountId) {
        self.inner.owed.note([(account, true)]);
    }

    /// Tells accounts what they are owed: as it happens, all of them at the start, and all the same now and then.
    pub(crate) async fn look_after_owed(&self) -> Infallible {
        loop {
            self.inner.owed.note(self.all_accounts());
            let next = tokio::time::Instant::now() + LOOK_EVERY;
            loop {
                for (account, refused) in self.inner.owed.take() {
                    if let Err(error) = self.tell_what_is_owed(account, refused).await {
                        tracing::error!(%account, %error, "could not tell an account what it has to know; trying again later");
                    }
                }
                tokio::select! {
                    () = self.inner.owed.come() => {}
                    () = tokio::time::sleep_until(next) => break,
                }
            }
        }
    }

    fn all_accounts(&self) -> Vec<(AccountId, bool)> {
        let accounts = self.inner.directory.accounts().unwrap_or_else(|error| {
            tracing::error!(%error, "could not read the accounts");
            Vec::new()
        });
        accounts.into_iter().map(|account| (account.id, false)).collect()
    }

    async fn tell_what_is_owed(&self, account: AccountId, refused: bool) -> Result<()> {
        if self.is_quarantined(account) {
            return Ok(());
        }
        self.tell_of_quota(account, refused).await?;
        self.tell_of_paused_forwards(account).await
    }
}
