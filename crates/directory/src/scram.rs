//! SCRAM logins: the client proves a password that it never says.

use std::net::IpAddr;

use doorkit::sasl::ScramKeys;

use crate::{AccountId, AuthError, Directory, Login, error::unavailable, throttle::Paid};

/// A SCRAM exchange that was begun. Dropped without an outcome it counts as a guess.
pub struct ScramAttempt {
    account: Option<AccountId>,
    peer: IpAddr,
    paid: Paid,
    logins: Vec<Login>,
    keys: ScramKeys,
}

impl std::fmt::Debug for ScramAttempt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScramAttempt").field("logins", &self.logins).finish_non_exhaustive()
    }
}

impl ScramAttempt {
    /// What each of [`ScramAttempt::keys`]' secrets lets in, in the same order. Empty when no password will do.
    pub fn logins(&self) -> &[Login] {
        &self.logins
    }

    /// The keys for the exchange. For an unknown login they have the same form, and are the same each time.
    pub fn keys(&self) -> &ScramKeys {
        &self.keys
    }
}

impl Directory {
    /// Begins a SCRAM login: gives the keys of the account's password and its app passwords. Waits while too many
    /// passwords are guessed. Call [`Directory::scram_outcome`] at the end.
    ///
    /// # Errors
    /// [`AuthError::Throttled`], [`AuthError::Unavailable`].
    pub async fn scram(&self, login: &str, peer: IpAddr) -> Result<ScramAttempt, AuthError> {
        self.count_login();
        if !self.offers_scram() {
            return Err(AuthError::Unavailable);
        }
        let claim = self.claim(login)?;
        if let Some(account) = &claim.account {
            self.restored(account.id).await.map_err(unavailable)?;
        }
        let paid = self.pay(&claim, peer).await?;
        let (mut logins, mut keys) = match &claim.account {
            Some(account) => self.scram_keys_of(account.id).map_err(unavailable)?.unzip(),
            None => (None, None),
        };
        if claim.account.as_ref().is_some_and(|account| !account.enabled) {
            logins = None;
            if let Some(keys) = &mut keys {
                keys.secrets.clear();
            }
        }
        let keys = keys.unwrap_or_else(|| {
            let salt = self.keyed_hash("scram salt", claim.name.as_bytes());
            ScramKeys::without_password(*salt.first_chunk().expect("a hash is 32 bytes"))
        });
        let account = claim.account.map(|account| account.id);
        Ok(ScramAttempt { account, peer, paid, logins: logins.unwrap_or_default(), keys })
    }

    /// Notes how a SCRAM exchange ended: with one of its logins, or with none.
    pub fn scram_outcome(&self, attempt: ScramAttempt, proved: Option<Login>) {
        let ScramAttempt { account, peer, paid, .. } = attempt;
        match (account, proved) {
            (Some(account), Some(login)) if login.account == account => {
                self.inner.throttle.give_back(paid);
                self.note_network(account, peer);
                if let Some(app) = login.app_password {
                    self.note_app_password_use(account, app);
                }
            }
            _ => {
                tracing::info!(%peer, "failed SCRAM login");
                self.inner.throttle.failed(&paid);
            }
        }
    }
}
