//! Logging in.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use doorkit::sasl::ScramKeys;
use mailkit::EmailAddress;
use parking_lot::Mutex;
use store::Read;

use crate::{
    AccountId, AppPasswordId, AuthError, Directory, Result,
    schema::{self, CredentialsRecord, decode},
    totp,
};

/// How long a verified password need not be hashed again.
const VERIFIED_FOR: Duration = Duration::from_secs(10 * 60);
/// Verified credentials kept.
const MAX_VERIFIED: usize = 50_000;

/// Which door asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// IMAP.
    Imap,
    /// POP3.
    Pop3,
    /// Submission.
    Smtp,
    /// The webmail: takes only the account's own password, and TOTP codes.
    Web,
}

impl Service {
    const fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::Smtp => "smtp",
            Self::Web => "web",
        }
    }
}

/// What a client proves itself with.
#[derive(Clone, Copy)]
pub enum Secret<'a> {
    /// A password, of the account or of an app.
    Password(&'a str),
    /// The account's password and a TOTP or recovery code: by the web.
    PasswordAndCode(&'a str, &'a str),
}

/// Somebody wants in.
#[derive(Clone, Copy)]
pub struct LoginAttempt<'a> {
    /// An address of the account.
    pub login: &'a str,
    /// The proof.
    pub secret: Secret<'a>,
    /// Where the client is.
    pub peer: IpAddr,
    /// Which door asks.
    pub service: Service,
}

/// Somebody is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Login {
    /// Whose account it is.
    pub account: AccountId,
    /// Which app password it was, if one.
    pub app_password: Option<AppPasswordId>,
}

/// Verified credentials, as keyed hashes.
#[derive(Default)]
pub(crate) struct VerifiedCache(Mutex<HashMap<[u8; 32], (Login, Instant)>>);

impl VerifiedCache {
    fn get(&self, key: &[u8; 32]) -> Option<Login> {
        let entries = self.0.lock();
        let (login, at) = entries.get(key)?;
        (at.elapsed() < VERIFIED_FOR).then_some(*login)
    }

    fn put(&self, key: [u8; 32], login: Login) {
        let mut entries = self.0.lock();
        if entries.len() >= MAX_VERIFIED {
            entries.retain(|_, (_, at)| at.elapsed() < VERIFIED_FOR / 2);
        }
        entries.insert(key, (login, Instant::now()));
    }

    pub(crate) fn forget(&self, account: AccountId) {
        self.0.lock().retain(|_, (login, _)| login.account != account);
    }
}

pub(crate) fn credentials(reader: &impl Read, id: AccountId) -> Result<Option<CredentialsRecord>> {
    reader
        .get(id.realm(), schema::CREDENTIALS)?
        .map(|value| decode(&format!("the credentials of account {id}"), &value))
        .transpose()
}

impl Directory {
    /// Checks a login. An unknown login costs what a wrong password costs and gives the same answer.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, attempt: LoginAttempt<'_>) -> Result<Login, AuthError> {
        let name = attempt.login.trim().to_lowercase();
        if let Some(retry_after) = self.inner.throttle.check(&name, attempt.peer) {
            metrics::counter!("holdfast_directory_logins_total", "service" => attempt.service.name(), "result" => "throttled")
                .increment(1);
            return Err(AuthError::Throttled { retry_after });
        }
        let result = self.verify(&name, attempt).await;
        let word = match &result {
            Ok(_) => {
                self.inner.throttle.succeeded(&name, attempt.peer);
                "ok"
            }
            // A right password without its code may be the owner's or a thief's: the code is guessed at here too.
            Err(AuthError::Invalid) => {
                self.inner.throttle.failed(&name, attempt.peer);
                tracing::info!(peer = %attempt.peer, service = attempt.service.name(), "failed login");
                "failed"
            }
            Err(_) => "refused",
        };
        metrics::counter!("holdfast_directory_logins_total", "service" => attempt.service.name(), "result" => word)
            .increment(1);
        result
    }

    async fn verify(&self, name: &str, attempt: LoginAttempt<'_>) -> Result<Login, AuthError> {
        let (password, code) = match attempt.secret {
            Secret::Password(password) => (password, None),
            Secret::PasswordAndCode(password, code) => (password, Some(code)),
        };
        let account = EmailAddress::parse(name)
            .ok()
            .map(|address| self.account_by_address(&address))
            .transpose()
            .map_err(unavailable)?
            .flatten();
        let Some(account) = account else {
            self.inner.hashing.verify(password.to_owned(), None).await.map_err(unavailable)?;
            return Err(AuthError::Invalid);
        };
        let id = account.id;
        let seen = self.keyed_hash("verified", format!("{}\0{}\0{password}", id.0, attempt.service.name()).as_bytes());
        if code.is_none()
            && let Some(login) = self.inner.verified.get(&seen)
        {
            return if account.enabled { Ok(login) } else { Err(AuthError::Disabled) };
        }
        if attempt.service != Service::Web
            && let Some(app) = self.verify_app_password(id, password).map_err(unavailable)?
        {
            if !account.enabled {
                return Err(AuthError::Disabled);
            }
            let login = Login { account: id, app_password: Some(app) };
            self.inner.verified.put(seen, login);
            self.note_app_password_use(id, app);
            return Ok(login);
        }
        let record = credentials(&self.store().snapshot(), id).map_err(unavailable)?;
        let totp = record.as_ref().is_some_and(|record| record.totp_enabled);
        if !self.inner.hashing.verify(password.to_owned(), record).await.map_err(unavailable)? {
            return Err(AuthError::Invalid);
        }
        if !account.enabled {
            return Err(AuthError::Disabled);
        }
        let login = Login { account: id, app_password: None };
        if totp {
            let Some(code) = code.filter(|_| attempt.service == Service::Web) else {
                return Err(AuthError::TotpRequired);
            };
            return match self.use_code(id, code).await {
                Ok(()) => Ok(login),
                Err(totp::CodeError::Wrong) => Err(AuthError::Invalid),
                Err(totp::CodeError::Other(error)) => Err(unavailable(error)),
            };
        }
        self.inner.verified.put(seen, login);
        Ok(login)
    }

    /// Whether a password is the account's own, for pages that ask for it again. Counts against the throttle.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn confirm_password(&self, id: AccountId, password: &str, peer: IpAddr) -> Result<(), AuthError> {
        let name = format!("#{}", id.0);
        if let Some(retry_after) = self.inner.throttle.check(&name, peer) {
            return Err(AuthError::Throttled { retry_after });
        }
        let record = credentials(&self.store().snapshot(), id).map_err(unavailable)?;
        if self.inner.hashing.verify(password.to_owned(), record).await.map_err(unavailable)? {
            Ok(())
        } else {
            self.inner.throttle.failed(&name, peer);
            Err(AuthError::Invalid)
        }
    }

    /// The SCRAM keys for a login: those of the account's app password that was made last, for SCRAM can't try several.
    /// `None` when there are none; go on with the exchange all the same. Call [`Directory::scram_outcome`] at its end.
    ///
    /// # Errors
    /// [`AuthError::Throttled`], [`AuthError::Unavailable`].
    pub fn scram_keys(&self, login: &str, peer: IpAddr) -> Result<Option<(Login, ScramKeys)>, AuthError> {
        let name = login.trim().to_lowercase();
        if let Some(retry_after) = self.inner.throttle.check(&name, peer) {
            return Err(AuthError::Throttled { retry_after });
        }
        let Ok(address) = EmailAddress::parse(&name) else { return Ok(None) };
        let Some(account) = self.account_by_address(&address).map_err(unavailable)? else { return Ok(None) };
        let Some((app, keys)) = self.newest_scram_keys(account.id).map_err(unavailable)? else { return Ok(None) };
        Ok(account.enabled.then_some((Login { account: account.id, app_password: Some(app) }, keys)))
    }

    /// Notes how a SCRAM exchange ended.
    pub fn scram_outcome(&self, login: &str, peer: IpAddr, proved: Option<Login>) {
        let name = login.trim().to_lowercase();
        match proved {
            Some(Login { account, app_password: Some(app) }) => {
                self.inner.throttle.succeeded(&name, peer);
                self.note_app_password_use(account, app);
            }
            Some(_) => self.inner.throttle.succeeded(&name, peer),
            None => self.inner.throttle.failed(&name, peer),
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> AuthError {
    tracing::error!(%error, "a login could not be checked");
    AuthError::Unavailable
}
