//! Identities: accounts, addresses, domains, credentials, web sessions, settings, the audit trail.
//!
//! Data that is looked up across accounts is in the directory realm ([`store::RealmId::DIRECTORY`]): address to
//! account, account records, domains. Data of a single account is in that account's own realm, key bytes `0x01..=0x0F`,
//! next to its mail, so that both are always at the same commit: credentials, app passwords, sessions, settings, the
//! account's part of the audit trail.
//!
//! What this crate must never do: store or log a password; reveal whether a login is unknown or its password wrong; let
//! a login guess faster than its throttle.
//!
//! Sessions end when their login is no longer valid, and nothing is added to a deleted account: see [`Access`].
//!
//! Start reading at [`Directory::resolve`] for mail and [`Directory::authenticate`] for logins; [`schema`] defines the
//! stored records.

mod access;
mod account;
mod address;
mod addressing;
mod admission;
mod app_password;
mod audit;
mod display;
mod dkim;
mod domain;
mod error;
mod history;
mod ids;
mod invariants;
mod known;
mod letters;
mod locked;
mod login;
mod login_rate;
mod mask;
mod noted;
mod own_alias;
mod part;
mod passkey;
mod password;
mod password_rule;
mod proof;
mod relay_submission;
mod remember;
mod rename;
mod salvage;
pub mod schema;
mod scram;
mod secrets;
mod sending;
mod service;
mod service_record;
mod session;
mod settings;
mod sign_in;
mod throttle;
mod totp;
mod unkept;
mod watched;

use std::sync::Arc;

use store::{Read as _, RealmId, Store, StoreError, Tx};

pub use access::{Access, Ended};
pub use account::{Account, NewAccount};
pub use address::{Resolved, ways_to};
pub use addressing::{BlockedMail, Came};
pub use admission::AdmissionLimits;
pub use app_password::{AppPassword, NewAppPassword};
pub use audit::{About, AuditEntry, AuditFilter};
pub use display::{Display, DisplayPart};
pub use dkim::{DkimKey, DkimSeen, DkimState, DkimTurn};
pub use domain::{Domain, DomainAddresses, MtaSts, check_domain};
pub use error::{AuthError, DirectoryError, Result};
pub use history::{NewSignIn, SignIn};
pub use ids::{AccountId, AccountRealm, AppPasswordId, PasskeyId, Role, SessionId};
pub use invariants::DirectoryInvariants;
pub use locked::Locked;
pub use login::{Login, LoginAttempt, Secret};
pub use mask::{MAX_MASK_NAME_BYTES, Mask, MaskKey, count_mask_in, looks_masked};
pub use own_alias::OwnAddresses;
pub use part::{DirectoryPart, IDENTITY, SETTINGS};
pub use passkey::{MAX_PASSKEY_NAME_BYTES, MAX_PASSKEYS, NewPasskey, Passkey, PasskeyAnswer, SecondSteps};
pub use password_rule::{check_password, check_password_of_operator};
pub use relay_submission::RelayVerifier;
pub use remember::Remember;
pub use salvage::{
    ListedAccount, SalvagedAccount, account_in_record, account_record_key, is_account_record, listed, listed_accounts,
    listed_by_address, salvaged_account,
};
pub use schema::{Identity, Settings};
pub use scram::ScramAttempt;
pub use secrets::{
    KeyFileError, KeyId, Keyring, Keys, MAX_KEY_FILE_BYTES, MAX_KEYS, SealError, SecretsReport, SecretsRules,
    SecretsSealed, keys_in_use, secrets_in,
};
pub use sending::{OwnLimits, Sending, Stopped};
pub use service::{Scopes, Service};
pub use service_record::{MAX_SERVICE_NAME_BYTES, MAX_SERVICE_RECORD_BYTES, ServiceChange, ServiceEntry};
pub use session::{CONFIRMED_FOR_MS, Session};
pub use settings::{MAX_COPIES_BYTES, MAX_IDENTITIES, MAX_SHORT_BYTES, MAX_SIGNATURE_BYTES};
pub use sign_in::{SIGN_INS_FOR_MS, SignInResult};
pub use throttle::ThrottleLimits;
pub use totp::TotpEnrolment;

/// Runs in the commit that makes an account: others put there what every account has (its standard mailboxes).
pub type OnCreate = Arc<dyn Fn(&mut Tx<'_>, AccountId) -> Result<(), StoreError> + Send + Sync>;

/// How a directory is set up.
#[derive(Clone, Default)]
pub struct DirectoryOptions {
    /// The name that mail servers and clients find this service by: for DNS records. Default `localhost`.
    pub hostname: String,
    /// See [`OnCreate`].
    pub on_create: Option<OnCreate>,
    /// How fast logins may be guessed.
    pub throttle: ThrottleLimits,
    /// How many passwords are hashed at once, and how many logins wait.
    pub admission: AdmissionLimits,
    /// How verified logins are remembered.
    pub remember: Remember,
    /// What secrets are sealed under.
    pub keys: Arc<Keys>,
    /// How many addresses people may make themselves.
    pub own_addresses: OwnAddresses,
}

/// The directory of a store. Cheap to clone.
#[derive(Clone)]
pub struct Directory {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    hostname: String,
    on_create: Option<OnCreate>,
    /// Keys the hashes of tokens and app passwords.
    server_key: [u8; 32],
    hashing: admission::Admission,
    remembered: remember::Remembered,
    logins: login_rate::LoginRate,
    noted: noted::History,
    throttle: throttle::Throttle,
    unkept: unkept::Unkept,
    watched: Arc<watched::Watched>,
    secrets: secrets::Secrets,
    own_addresses: OwnAddresses,
}

impl Directory {
    /// The directory in `store`; makes the server's key at the first start.
    ///
    /// # Errors
    /// Those of the store.
    pub fn new(store: Store, options: DirectoryOptions) -> Result<Self> {
        let server_key = server_key(&store)?;
        let remembered = remember::Remembered::open(options.remember, store.clock().now_ms());
        let hostname = if options.hostname.is_empty() { "localhost".to_owned() } else { options.hostname };
        let secrets = secrets::Secrets::new(options.keys, &store.snapshot())?;
        let watched = Arc::default();
        watched::install(&store, &watched);
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                hostname,
                on_create: options.on_create,
                server_key,
                hashing: admission::Admission::new(options.admission),
                remembered,
                logins: login_rate::LoginRate::default(),
                noted: noted::History::default(),
                throttle: throttle::Throttle::new(options.throttle),
                unkept: unkept::Unkept::default(),
                watched,
                secrets,
                own_addresses: options.own_addresses,
            }),
        })
    }

    /// A number that grows with each change of the directory: what was read of it holds as long as it stays.
    pub fn state(&self) -> u64 {
        self.store().watch(store::RealmId::DIRECTORY).borrow().0
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    /// Sessions that could not be written yet.
    fn unkept(&self) -> &unkept::Unkept {
        &self.inner.unkept
    }

    /// The name of this service.
    pub fn hostname(&self) -> &str {
        &self.inner.hostname
    }

    /// The time that commits would carry now, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.inner.store.clock().now_ms()
    }

    /// A keyed hash of a secret that is random enough not to need a slow one.
    fn keyed_hash(&self, purpose: &str, secret: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.inner.server_key);
        hasher.update(purpose.as_bytes());
        hasher.update(&[0]);
        hasher.update(secret);
        *hasher.finalize().as_bytes()
    }

    /// Whether there is no account yet, so that the setup page is shown.
    ///
    /// # Errors
    /// Those of the store.
    pub fn first_run(&self) -> Result<bool> {
        let snapshot = self.store().snapshot();
        let none = snapshot.prefix(RealmId::DIRECTORY, &[schema::ACCOUNT], store::Order::Ascending)?.next();
        Ok(none.transpose()?.is_none())
    }
}

fn server_key(store: &Store) -> Result<[u8; 32]> {
    let read = |value: &[u8]| {
        value.try_into().map_err(|_| DirectoryError::damaged(store::Cause::Decoding, "the server's key".to_owned()))
    };
    if let Some(value) = store.snapshot().get(RealmId::DIRECTORY, schema::SERVER_KEY)? {
        return read(&value);
    }
    let made: [u8; 32] = rand::random();
    store
        .transact(move |tx| {
            if let Some(value) = tx.get(RealmId::DIRECTORY, schema::SERVER_KEY)? {
                return read(&value);
            }
            tx.put(RealmId::DIRECTORY, schema::SERVER_KEY.to_vec(), made.to_vec());
            Ok(made)
        })
        .wait()
}
