//! SCRAM logins: the client proves a password that it never says.

use std::net::IpAddr;

use doorkit::sasl::ScramKeys;

use crate::{Account, AuthError, Directory, Login, Service, error::unavailable, throttle::Paid};

/// A SCRAM exchange that was begun. Dropped without an outcome it counts as a guess.
pub struct ScramAttempt {
    account: Option<Account>,
    peer: IpAddr,
    service: Service,
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
    pub async fn scram(&self, login: &str, peer: IpAddr, service: Service) -> Result<ScramAttempt, AuthError> {
        self.count_login();
        if !self.offers_scram() {
            return Err(AuthError::Unavailable);
        }
        let claim = self.claim(login)?;
        if let Some(account) = &claim.account {
            self.restored(account.id).await.map_err(unavailable)?;
        }
        let paid = self.pay(&claim, peer).await.inspect_err(|error| {
            if let Some(account) = &claim.account {
                self.note_sign_in(account.id, (service, peer), "", &Err(error.clone()));
            }
        })?;
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
        Ok(ScramAttempt { account: claim.account, peer, service, paid, logins: logins.unwrap_or_default(), keys })
    }

    /// Notes how a SCRAM exchange ended, with one of its logins or with none, and gives what the client is let in with.
    ///
    /// # Errors
    /// [`AuthError::Invalid`] without a login, [`AuthError::NotAllowed`] where the app password is not for this protocol.
    pub fn scram_outcome(&self, attempt: ScramAttempt, proved: Option<Login>) -> Result<Login, AuthError> {
        let ScramAttempt { account, peer, service, paid, .. } = attempt;
        let result = match (&account, proved) {
            (Some(account), Some(login)) if login.account == account.id => {
                self.inner.throttle.give_back(paid);
                let scopes = self.scopes_of(&login).map_err(unavailable)?;
                self.by_what_was_allowed(account, login, scopes, service)
            }
            _ => {
                tracing::info!(%peer, "failed SCRAM login");
                self.inner.throttle.failed(&paid);
                Err(AuthError::Invalid)
            }
        };
        if let Some(account) = &account {
            if result.is_ok() {
                self.note_network(account.id, peer);
            }
            self.note_sign_in(account.id, (service, peer), "", &result);
        }
        result
    }
}
