//! Logging in.

use std::{
    collections::VecDeque,
    net::IpAddr,
    time::{Duration, Instant},
};

use doorkit::{network_of, sasl::ScramKeys};
use mailkit::EmailAddress;
use parking_lot::Mutex;
use prost::Message as _;
use store::Read;

use crate::{
    Account, AccountId, AppPasswordId, AuthError, Directory, Result, password,
    schema::{self, CredentialsRecord, decode},
    totp,
};

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

/// Seconds over which logins are averaged.
const RATE_SECONDS: u64 = 10;

/// Logins tried of late.
#[derive(Debug)]
pub(crate) struct LoginRate {
    begun: Instant,
    /// Second since `begun`, and how many were tried in it; the newest last.
    seconds: Mutex<VecDeque<(u64, u64)>>,
}

impl Default for LoginRate {
    fn default() -> Self {
        Self { begun: Instant::now(), seconds: Mutex::default() }
    }
}

impl LoginRate {
    fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs()
    }

    fn count(&self, now: Instant) {
        let now = self.second(now);
        let mut seconds = self.seconds.lock();
        match seconds.back_mut() {
            Some((second, count)) if *second >= now => *count += 1,
            _ => seconds.push_back((now, 1)),
        }
        while seconds.front().is_some_and(|(second, _)| second + RATE_SECONDS < now) {
            seconds.pop_front();
        }
    }

    fn rate(&self, now: Instant) -> f64 {
        let now = self.second(now);
        let seconds = self.seconds.lock();
        let recent =
            seconds.iter().filter(|(second, _)| second + RATE_SECONDS > now).map(|(_, count)| count).sum::<u64>();
        recent as f64 / RATE_SECONDS as f64
    }
}

/// Whose login is claimed.
struct Claim {
    account: Option<Account>,
    /// What failures are counted by: the account, by whichever of its addresses it is called; else the name itself.
    counted_as: String,
}

pub(crate) fn credentials(reader: &impl Read, id: AccountId) -> Result<Option<CredentialsRecord>> {
    reader
        .get(id.realm(), schema::CREDENTIALS)?
        .map(|value| decode(&format!("the credentials of account {id}"), &value))
        .transpose()
}

impl Directory {
    /// Logins that were tried in a second, over the last ten.
    pub fn login_rate(&self) -> f64 {
        self.inner.logins.rate(Instant::now())
    }

    /// Checks a login. An unknown login costs what a wrong password costs and gives the same answer.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, attempt: LoginAttempt<'_>) -> Result<Login, AuthError> {
        self.inner.logins.count(Instant::now());
        let claim = self.claim(attempt.login)?;
        if let Some(account) = &claim.account {
            self.restored(account.id).await.map_err(unavailable)?;
        }
        let result = self.verify(&claim, attempt).await;
        let word = match &result {
            Ok(_) => {
                self.inner.throttle.succeeded(&claim.counted_as, attempt.peer);
                "ok"
            }
            // A right password without its code may be the owner's or a thief's: the code is guessed at here too.
            Err(AuthError::Invalid) => {
                self.inner.throttle.failed(&claim.counted_as, attempt.peer);
                tracing::info!(peer = %attempt.peer, service = attempt.service.name(), "failed login");
                "failed"
            }
            Err(AuthError::Throttled { .. }) => "throttled",
            Err(_) => "refused",
        };
        metrics::counter!("holdfast_directory_logins_total", "service" => attempt.service.name(), "result" => word)
            .increment(1);
        result
    }

    /// Returns when an account's data are there: at once, except while the service is being restored.
    ///
    /// # Errors
    /// [`StoreError::NotRestored`](store::StoreError::NotRestored) when they don't come in time, or can't.
    pub async fn restored(&self, account: AccountId) -> Result<()> {
        Ok(self.store().restored(account.realm()).await?)
    }

    /// Whose login it is, by any of the account's addresses, or by the part before `@` where there is one domain only.
    fn claim(&self, login: &str) -> Result<Claim, AuthError> {
        let mut name = login.trim().to_lowercase();
        if !name.contains('@')
            && let Some(domain) = self.only_domain().map_err(unavailable)?
        {
            name = format!("{name}@{domain}");
        }
        let account = match EmailAddress::parse(&name) {
            Ok(address) => self.account_by_address(&address).map_err(unavailable)?,
            Err(_) => None,
        };
        if let Some(account) = &account {
            name = format!("#{}", account.id);
        }
        Ok(Claim { account, counted_as: name })
    }

    fn check_throttle(&self, claim: &Claim, peer: IpAddr) -> Result<(), AuthError> {
        match self.inner.throttle.check(&claim.counted_as, peer) {
            Some(retry_after) => Err(AuthError::Throttled { retry_after }),
            None => Ok(()),
        }
    }

    /// Hashes a password and compares. Asks the throttle again when it is the attempt's turn, so that many attempts at
    /// once are no way around it.
    async fn verify_slowly(
        &self,
        claim: &Claim,
        password: &str,
        record: Option<CredentialsRecord>,
        peer: IpAddr,
    ) -> Result<bool, AuthError> {
        let hashing = &self.inner.hashing;
        let turn = hashing.turn(network_of(peer), &claim.counted_as).await.map_err(|busy| {
            tracing::debug!(%peer, %busy, "a login was turned away");
            AuthError::Unavailable
        })?;
        self.check_throttle(claim, peer)?;
        password::verify(hashing, turn, password.to_owned(), record).await.map_err(unavailable)
    }

    /// Learns how late the service answers: the later, the fewer passwords are hashed at once.
    pub fn answers_late(&self, late: Duration) {
        self.inner.hashing.answers_late(late, std::time::Instant::now());
    }

    /// Writes down what verified logins are remembered over a restart. Blocks for a small file; does nothing when none is
    /// new.
    pub fn keep_remembered(&self) {
        self.inner.remembered.keep();
    }

    async fn verify(&self, claim: &Claim, attempt: LoginAttempt<'_>) -> Result<Login, AuthError> {
        self.check_throttle(claim, attempt.peer)?;
        let (password, code) = match attempt.secret {
            Secret::Password(password) => (password, None),
            Secret::PasswordAndCode(password, code) => (password, Some(code)),
        };
        let Some(account) = &claim.account else {
            self.verify_slowly(claim, password, None, attempt.peer).await?;
            return Err(AuthError::Invalid);
        };
        let id = account.id;
        let record = credentials(&self.store().snapshot(), id).map_err(unavailable)?;
        let remembered = &self.inner.remembered;
        let seen = remembered.seen(id, attempt.service.name(), password);
        let proof = record.as_ref().map(|record| remembered.proof(&record.encode_to_vec()));
        if code.is_none()
            && let Some(proof) = proof
            && remembered.knows(&seen, proof, self.now_ms())
        {
            metrics::counter!("holdfast_directory_logins_remembered_total").increment(1);
            let login = Login { account: id, app_password: None };
            return if account.enabled { Ok(login) } else { Err(AuthError::Disabled) };
        }
        if attempt.service != Service::Web
            && let Some(app) = self.verify_app_password(id, password).map_err(unavailable)?
        {
            if !account.enabled {
                return Err(AuthError::Disabled);
            }
            self.note_app_password_use(id, app);
            return Ok(Login { account: id, app_password: Some(app) });
        }
        let totp = record.as_ref().is_some_and(|record| record.totp_enabled);
        let has_scram = record.as_ref().is_some_and(|record| !record.scram_salt.is_empty());
        if !self.verify_slowly(claim, password, record, attempt.peer).await? {
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
        if !has_scram {
            self.complete_scram(id, password).await;
        }
        if let Some(proof) = proof {
            remembered.put(seen, id, proof, self.now_ms());
        }
        Ok(login)
    }

    /// Whether a password is the account's own, for pages that ask for it again. Counts against the throttle.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn confirm_password(&self, id: AccountId, password: &str, peer: IpAddr) -> Result<(), AuthError> {
        let claim = Claim { account: None, counted_as: format!("#{id}") };
        self.check_throttle(&claim, peer)?;
        let record = credentials(&self.store().snapshot(), id).map_err(unavailable)?;
        if self.verify_slowly(&claim, password, record, peer).await? {
            Ok(())
        } else {
            self.inner.throttle.failed(&claim.counted_as, peer);
            Err(AuthError::Invalid)
        }
    }

    /// The SCRAM keys for a login, and what each of them lets in, in the same order: the account's password and its app
    /// passwords. `None` when there are none; go on with the exchange all the same. Call [`Directory::scram_outcome`] at
    /// its end.
    ///
    /// # Errors
    /// [`AuthError::Throttled`], [`AuthError::Unavailable`].
    pub fn scram_keys(&self, login: &str, peer: IpAddr) -> Result<Option<(Vec<Login>, ScramKeys)>, AuthError> {
        let claim = self.claim(login)?;
        self.check_throttle(&claim, peer)?;
        let Some(account) = claim.account.filter(|account| account.enabled) else { return Ok(None) };
        self.scram_keys_of(account.id).map_err(unavailable)
    }

    /// Makes the SCRAM keys of a password that was set before there were any, now that it is known.
    async fn complete_scram(&self, id: AccountId, password: &str) {
        let password = password.to_owned();
        let Ok(keys) = tokio::task::spawn_blocking(move || password::scram_keys(&password, None)).await else { return };
        let done = self.store().transact(move |tx| {
            if let Some(mut record) = credentials(tx, id)?
                && record.scram_salt.is_empty()
            {
                record.set_scram(keys);
                tx.put(id.realm(), schema::CREDENTIALS.to_vec(), record.encode_to_vec());
            }
            Ok::<_, crate::DirectoryError>(())
        });
        if let Err(error) = done.await {
            // It is tried again at the next login.
            tracing::debug!(account = id.0, %error, "SCRAM keys were not made");
        }
    }

    /// Notes how a SCRAM exchange ended.
    pub fn scram_outcome(&self, login: &str, peer: IpAddr, proved: Option<Login>) {
        // Where it can't be looked up now, the network's count has to do.
        let counted_as = self.claim(login).map_or_else(|_| String::new(), |claim| claim.counted_as);
        match proved {
            Some(Login { account, app_password }) => {
                self.inner.throttle.succeeded(&counted_as, peer);
                if let Some(app) = app_password {
                    self.note_app_password_use(account, app);
                }
            }
            None => self.inner.throttle.failed(&counted_as, peer),
        }
    }
}

fn unavailable(error: impl std::fmt::Display) -> AuthError {
    tracing::error!(%error, "a login could not be checked");
    AuthError::Unavailable
}
