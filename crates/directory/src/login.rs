//! Logging in.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use doorkit::network_of;
use mailkit::EmailAddress;
use prost::Message as _;

use crate::schema::credentials;
use crate::{
    Account, AccountId, AppPasswordId, AuthError, Directory, Keys, PasskeyAnswer, PasskeyId, Result, Scopes, Service,
    error::unavailable,
    known, password,
    proof::Proof,
    schema::{self, CredentialsRecord},
    secrets,
    throttle::{Asks, Paid},
    totp,
};

/// The client's credential.
#[derive(Clone, Copy)]
pub enum Secret<'a> {
    /// A password, of the account or of an app.
    Password(&'a str),
    /// The account's password and a TOTP or recovery code: by the web.
    PasswordAndCode(&'a str, &'a str),
    /// The account's password and one of its passkeys: by the web.
    PasswordAndPasskey(&'a str, &'a PasskeyAnswer<'a>),
}

/// The second step of a login.
#[derive(Clone, Copy)]
enum Second<'a> {
    Code(&'a str),
    Passkey(&'a PasskeyAnswer<'a>),
}

/// A login attempt.
#[derive(Clone, Copy)]
pub struct LoginAttempt<'a> {
    /// An address of the account.
    pub login: &'a str,
    /// The proof.
    pub secret: Secret<'a>,
    /// The client's address.
    pub peer: IpAddr,
    /// The protocol of a login.
    pub service: Service,
}

/// A successful login. See [`Directory::access`] for how long its session may last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Login {
    /// Whose account it is.
    pub account: AccountId,
    /// Which app password it was, if one.
    pub app_password: Option<AppPasswordId>,
    /// The passkey that was used, if one was.
    pub passkey: Option<PasskeyId>,
    /// The password or app password that was right.
    pub(crate) proof: Proof,
    /// A code or a passkey was right too.
    pub(crate) with_code: bool,
}

impl Login {
    pub(crate) fn of_password(account: AccountId, record: &CredentialsRecord) -> Self {
        Self { account, app_password: None, passkey: None, proof: Proof::password(record), with_code: false }
    }

    pub(crate) fn of_app(account: AccountId, id: AppPasswordId, record: &schema::AppPasswordRecord) -> Self {
        Self { account, app_password: Some(id), passkey: None, proof: Proof::app_password(record), with_code: false }
    }
}

/// The remembered data of a verified password, of any protocol.
const ANY_DOOR: &str = "any";

/// Whose login is claimed.
pub(crate) struct Claim {
    pub(crate) account: Option<Account>,
    /// The key for counting failures: the account, for any of its addresses; otherwise the name itself.
    pub(crate) counted_as: String,
    /// The name as an address is compared.
    pub(crate) name: String,
}

impl Directory {
    /// Logins that were tried in a second, over the last ten.
    pub fn login_rate(&self) -> f64 {
        self.inner.logins.rate(Instant::now())
    }

    pub(crate) fn count_login(&self) {
        self.inner.logins.count(Instant::now());
    }

    /// Checks a login. Waits while too many passwords are guessed; see `throttle`. An unknown login takes as long as a wrong
    /// password and gives the same result.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate(&self, attempt: LoginAttempt<'_>) -> Result<Login, AuthError> {
        self.authenticate_from(attempt, "").await
    }

    /// The same, of a program that says what it is.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn authenticate_from(&self, attempt: LoginAttempt<'_>, program: &str) -> Result<Login, AuthError> {
        self.count_login();
        let claim = self.claim(attempt.login)?;
        if let Some(account) = &claim.account {
            self.restored(account.id).await.map_err(unavailable)?;
        }
        let result = self.verify(&claim, attempt).await;
        if let Some(account) = &claim.account {
            self.note_sign_in(account.id, (attempt.service, attempt.peer), program, &result);
        }
        let word = match &result {
            Ok(login) => {
                // The web notes it with the browser.
                if attempt.service != Service::Web {
                    self.note_network(login.account, attempt.peer);
                }
                "ok"
            }
            Err(AuthError::Invalid) => {
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

    /// Returns when an account's data is restored: at once, except during a restore of the service.
    ///
    /// # Errors
    /// [`StoreError::NotRestored`](store::StoreError::NotRestored) if it is not restored in time, or can't be.
    pub async fn restored(&self, account: AccountId) -> Result<()> {
        Ok(self.store().restored(account.realm()).await?)
    }

    /// Whose login it is, by any of the account's addresses, or by the part before `@` where there is one domain only.
    pub(crate) fn claim(&self, login: &str) -> Result<Claim, AuthError> {
        let mut name = login.trim().to_lowercase();
        if !name.contains('@')
            && let Some(domain) = self.only_domain().map_err(unavailable)?
        {
            name = format!("{name}@{domain}");
        }
        let account = match EmailAddress::parse(&name) {
            Ok(address) => {
                name = address.canonical();
                // Sites that were given a masked address have no login by it.
                let is_login = !crate::mask::looks_masked(&name);
                if is_login { self.account_by_address(&address).map_err(unavailable)? } else { None }
            }
            Err(_) => None,
        };
        let counted_as = account.as_ref().map_or_else(|| name.clone(), |account| format!("#{}", account.id));
        Ok(Claim { account, counted_as, name })
    }

    /// Pays for a guess at a login's password; waits if necessary.
    pub(crate) async fn pay(&self, claim: &Claim, peer: IpAddr) -> Result<Paid, AuthError> {
        let known = match &claim.account {
            Some(account) => known::is_known(&self.store().snapshot(), account.id, peer, self.now_ms()),
            None => Ok(false),
        };
        let asks = Asks { login: claim.counted_as.clone(), peer, known: known.map_err(unavailable)? };
        self.inner.throttle.pay(&asks).await.map_err(|retry_after| AuthError::Throttled { retry_after })
    }

    /// Hashes a password and compares.
    async fn verify_slowly(
        &self,
        counted_as: &str,
        password: &str,
        record: Option<CredentialsRecord>,
        peer: IpAddr,
    ) -> Result<bool, AuthError> {
        let hashing = &self.inner.hashing;
        let turn = hashing.turn(network_of(peer), counted_as).await.map_err(|busy| {
            tracing::debug!(%peer, %busy, "rejected a login: too many at once");
            AuthError::Unavailable
        })?;
        password::verify(hashing, turn, password.to_owned(), record).await.map_err(unavailable)
    }

    /// Checks a guess that is paid for. A password that was wrong before, and is compared with the same, is known to be
    /// wrong: it costs nothing, so that a program that goes on with an old password uses nothing up.
    async fn guess(
        &self,
        counted_as: &str,
        password: &str,
        record: Option<CredentialsRecord>,
        peer: IpAddr,
        pay: impl Future<Output = Result<Paid, AuthError>>,
    ) -> Result<Paid, AuthError> {
        let throttle = &self.inner.throttle;
        let proof = record.as_ref().map(Proof::password);
        let guess = self.guess_hash(counted_as, password, proof);
        if throttle.is_known_wrong(&guess) {
            return Err(AuthError::Invalid);
        }
        let paid = pay.await?;
        match self.verify_slowly(counted_as, password, record, peer).await {
            Ok(true) => Ok(paid),
            Ok(false) => {
                throttle.note_wrong(guess);
                throttle.failed(&paid);
                Err(AuthError::Invalid)
            }
            Err(error) => {
                throttle.give_back(paid);
                Err(error)
            }
        }
    }

    fn guess_hash(&self, counted_as: &str, password: &str, proof: Option<Proof>) -> [u8; 16] {
        let compared_with = proof.map_or([0; 16], |proof| proof.0);
        let guess = [&compared_with[..], counted_as.as_bytes(), &[0], password.as_bytes()].concat();
        *self.inner.remembered.keyed(&guess).first_chunk().expect("a hash is 32 bytes")
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
        let (password, second) = match attempt.secret {
            Secret::Password(password) => (password, None),
            Secret::PasswordAndCode(password, code) => (password, Some(Second::Code(code))),
            Secret::PasswordAndPasskey(password, answer) => (password, Some(Second::Passkey(answer))),
        };
        let counted_as = &claim.counted_as;
        let pay = self.pay(claim, attempt.peer);
        let Some(account) = &claim.account else {
            let paid = self.guess(counted_as, password, None, attempt.peer, pay).await?;
            self.inner.throttle.failed(&paid);
            return Err(AuthError::Invalid);
        };
        let id = account.id;
        let record = credentials(&self.store().snapshot(), id).map_err(unavailable)?;
        if let Some((login, scopes)) =
            self.verified_before(account, password, record.as_ref(), attempt).map_err(unavailable)?
        {
            return self.by_what_was_allowed(account, login, scopes, attempt.service);
        }
        let record = record.unwrap_or_default();
        let (two_steps, has_scram) = (record.has_two_steps(), record.has_scram());
        let (login, proof) = (Login::of_password(id, &record), self.inner.remembered.proof(&record.fingerprinted()));
        let paid = if !two_steps && self.remembers(id, ANY_DOOR, password, proof) {
            // Right before, at another door: no guess.
            if !self.verify_slowly(counted_as, password, Some(record), attempt.peer).await? {
                return Err(AuthError::Invalid);
            }
            None
        } else {
            Some(self.guess(counted_as, password, Some(record), attempt.peer, pay).await?)
        };
        let throttle = &self.inner.throttle;
        let no_guess = |paid: Option<Paid>| paid.into_iter().for_each(|paid| throttle.give_back(paid));
        if !account.enabled {
            no_guess(paid);
            return Err(AuthError::Disabled);
        }
        if two_steps {
            let Some(second) = second.filter(|_| attempt.service == Service::Web) else {
                no_guess(paid);
                return Err(AuthError::TotpRequired);
            };
            return self.with_second(login, second, paid).await;
        }
        no_guess(paid);
        if !has_scram && self.offers_scram() && !matches!(*self.keys(), Keys::Unusable(_)) {
            self.complete_scram(id, password).await;
        }
        let remembered = &self.inner.remembered;
        for door in [attempt.service.name(), ANY_DOOR] {
            remembered.put(remembered.seen(id, door, password), id, proof, self.now_ms());
        }
        Ok(login)
    }

    /// The second step of a login whose password is right.
    async fn with_second(&self, login: Login, second: Second<'_>, paid: Option<Paid>) -> Result<Login, AuthError> {
        let throttle = &self.inner.throttle;
        let taken = match second {
            Second::Code(code) => self.use_code(login.account, code).await.map(|()| None),
            Second::Passkey(answer) => self.use_passkey(login.account, answer, false).await.map(Some),
        };
        let (result, is_guess) = match taken {
            Ok(passkey) => (Ok(Login { with_code: true, passkey, ..login }), false),
            // Who has the password guesses at the code.
            Err(totp::CodeError::Wrong) => (Err(AuthError::Invalid), true),
            Err(totp::CodeError::NotChecked(error)) => (Err(error), false),
        };
        match paid {
            Some(paid) if is_guess => throttle.failed(&paid),
            Some(paid) => throttle.give_back(paid),
            None => {}
        }
        result
    }

    fn remembers(&self, id: AccountId, door: &str, password: &str, proof: [u8; 16]) -> bool {
        let remembered = &self.inner.remembered;
        remembered.knows(&remembered.seen(id, door, password), proof, self.now_ms())
    }

    /// What needs neither a slow hash nor a throttle: a password that this door has verified before, by the same credentials,
    /// and an app password, which nobody guesses.
    fn verified_before(
        &self,
        account: &Account,
        password: &str,
        record: Option<&CredentialsRecord>,
        attempt: LoginAttempt<'_>,
    ) -> Result<Option<(Login, Option<Scopes>)>> {
        if let (Secret::Password(_), Some(record)) = (attempt.secret, record) {
            let proof = self.inner.remembered.proof(&record.fingerprinted());
            if self.remembers(account.id, attempt.service.name(), password, proof) {
                metrics::counter!("holdfast_directory_logins_remembered_total").increment(1);
                return Ok(Some((Login::of_password(account.id, record), None)));
            }
        }
        if attempt.service == Service::Web {
            return Ok(None);
        }
        let app = self.verify_app_password(account.id, password)?;
        Ok(app.map(|(login, scopes)| (login, Some(scopes))))
    }

    /// A login whose password is right, as far as its account and its app password's scopes allow. Notes the use of that.
    pub(crate) fn by_what_was_allowed(
        &self,
        account: &Account,
        login: Login,
        scopes: Option<Scopes>,
        service: Service,
    ) -> Result<Login, AuthError> {
        if !account.enabled {
            return Err(AuthError::Disabled);
        }
        if scopes.is_some_and(|scopes| !scopes.allows(service)) {
            return Err(AuthError::NotAllowed { service });
        }
        if let Some(used) = login.app_password {
            self.note_app_password_use(account.id, used);
        }
        Ok(login)
    }

    /// Whether a password is the account's own, for pages that ask for it again. Counts against the throttle.
    ///
    /// # Errors
    /// See [`AuthError`].
    pub async fn confirm_password(&self, id: AccountId, password: &str, peer: IpAddr) -> Result<(), AuthError> {
        let record = credentials(&self.store().snapshot(), id).map_err(unavailable)?;
        // The page is open: what others guess elsewhere is not its business, and what is guessed here not theirs.
        let counted_as = format!("#{id} again");
        let asks = Asks { login: counted_as.clone(), peer, known: true };
        let pay =
            async { self.inner.throttle.pay(&asks).await.map_err(|retry_after| AuthError::Throttled { retry_after }) };
        let paid = self.guess(&counted_as, password, record, peer, pay).await?;
        self.inner.throttle.give_back(paid);
        Ok(())
    }

    /// Makes the SCRAM keys of a password that was set before there were any, now that it is known.
    async fn complete_scram(&self, id: AccountId, password: &str) {
        let password = password.to_owned();
        let like = credentials(&self.store().snapshot(), id).ok().flatten().and_then(|record| record.scram_salt());
        let Ok(made) = tokio::task::spawn_blocking(move || password::scram_keys(&password, like)).await else { return };
        let keys = self.keys();
        let done = self.store().transact(move |tx| {
            tx.keeps_books();
            if let Some(mut record) = credentials(tx, id)?
                && !record.has_scram()
                && (record.scram_salt.is_empty() || record.scram_salt == made.salt)
            {
                record.set_scram(made);
                secrets::close_scram_in(tx, &keys, id, &mut record)?;
                tx.put(id.realm(), schema::CREDENTIALS.to_vec(), record.encode_to_vec());
            }
            Ok::<_, crate::DirectoryError>(())
        });
        if let Err(error) = done.await {
            // It is tried again at the next login.
            tracing::debug!(account = id.0, %error, "could not create SCRAM keys");
        }
    }
}
