//! Secrets that have to be stored so that they can be used (signing keys, secrets of two-step sign-in, SCRAM keys) are sealed
//! under a key that is not in the data folder: a copy of the disk, the log, an archive or a standby doesn't give them away.
//!
//! What is stored as a hash of something random (sessions, app passwords, recovery codes) needs no seal. Each sealed secret is
//! bound to its place ([`Place`]): what it is and whose. Without a key file everything is stored open, as it always was; with
//! one, new secrets are sealed at once and older ones by [`crate::Directory::seal_secrets`].
//!
//! The service runs without the key: see [`crate::Locked`] for what it can't do then.

mod held;
mod keyring;
mod walk;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use doorkit::sasl::ScramSecret;
use parking_lot::RwLock;
use prost::Message as _;
use store::{Read, RealmId, Tx};
use zeroize::Zeroizing;

use crate::{
    AccountId, AppPasswordId, DirectoryError, Result,
    schema::{self, AppPasswordRecord, CredentialsRecord, DkimRecord, SecretsRecord, ServiceRecord, decode},
};

pub use keyring::{KeyFileError, KeyId, Keyring, MAX_KEY_FILE_BYTES, MAX_KEYS, SealError, key_of};
pub use walk::{SecretsReport, SecretsRules, SecretsSealed, secrets_in};

/// The keys at hand.
#[derive(Debug, Default)]
pub enum Keys {
    /// None are configured.
    #[default]
    None,
    /// They were read.
    Ring(Keyring),
    /// They are configured and can't be read: why.
    Unusable(String),
}

impl Keys {
    /// Their ids, the one that seals first.
    pub fn ids(&self) -> Vec<KeyId> {
        self.ring().map(Keyring::ids).unwrap_or_default()
    }

    pub(crate) const fn ring(&self) -> Option<&Keyring> {
        match self {
            Self::Ring(ring) => Some(ring),
            Self::None | Self::Unusable(_) => None,
        }
    }

    pub(crate) fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealError> {
        match self.ring() {
            Some(ring) => ring.open(&place.bytes(), sealed),
            None => Err(SealError::NoKey(key_of(sealed)?)),
        }
    }

    /// The keys that a directory realm's secrets are sealed under and that are not at hand.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn missing<R: Read + ?Sized>(&self, read: &R) -> Result<Vec<KeyId>> {
        let has = |id: &KeyId| self.ring().is_some_and(|ring| ring.has(*id));
        Ok(keys_in_use(read)?.into_iter().filter(|id| !has(id)).collect())
    }

    /// How a new secret is stored now.
    pub(crate) fn mode<R: Read + ?Sized>(&self, read: &R) -> Result<Mode<'_>> {
        Ok(match self {
            Self::Ring(ring) => Mode::Seal(ring),
            Self::Unusable(why) => Mode::Refuse(why.clone()),
            Self::None => match keys_in_use(read)?.first() {
                None => Mode::Open,
                Some(key) => {
                    Mode::Refuse(format!("secrets here are sealed under key {key}, and no key file is configured"))
                }
            },
        })
    }
}

/// How a new secret is stored.
pub(crate) enum Mode<'a> {
    /// As it is: sealing was never turned on.
    Open,
    /// Sealed under the first of these.
    Seal(&'a Keyring),
    /// Not at all: sealing is on, and the key is not at hand.
    Refuse(String),
}

/// What a secret is, and whose: it opens nowhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    Dkim { domain: &'a str, selector: &'a str, kind: u32 },
    Totp(AccountId),
    Scram(AccountId),
    AppScram(AccountId, AppPasswordId),
    Service(&'a str),
    Held(AccountId, u64),
}

impl Place<'_> {
    fn bytes(&self) -> Vec<u8> {
        let account = |id: &AccountId| id.0.to_be_bytes().to_vec();
        let parts: Vec<Vec<u8>> = match self {
            Self::Dkim { domain, selector, kind } => {
                vec![
                    b"dkim".to_vec(),
                    domain.as_bytes().to_vec(),
                    selector.as_bytes().to_vec(),
                    kind.to_be_bytes().to_vec(),
                ]
            }
            Self::Service(name) => vec![b"service".to_vec(), name.as_bytes().to_vec()],
            Self::Held(id, number) => vec![b"held".to_vec(), account(id), number.to_be_bytes().to_vec()],
            Self::Totp(id) => vec![b"totp".to_vec(), account(id)],
            Self::Scram(id) => vec![b"scram".to_vec(), account(id)],
            Self::AppScram(id, app) => vec![b"app scram".to_vec(), account(id), app.0.to_be_bytes().to_vec()],
        };
        let mut all = b"holdfast secret 1".to_vec();
        for part in parts {
            all.extend_from_slice(&(part.len() as u64).to_be_bytes());
            all.extend_from_slice(&part);
        }
        all
    }
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Dkim { domain, selector, .. } => write!(f, "the DKIM key {selector} of {domain}"),
            Self::Service(name) => write!(f, "the service's {name}"),
            Self::Held(id, _) => write!(f, "the password of account {id} at another service"),
            Self::Totp(id) => write!(f, "the two-step secret of account {id}"),
            Self::Scram(id) => write!(f, "the SCRAM keys of account {id}"),
            Self::AppScram(id, app) => write!(f, "the SCRAM keys of app password {} of account {id}", app.0),
        }
    }
}

/// The directory's keys.
#[derive(Default)]
pub(crate) struct Secrets {
    keys: RwLock<Arc<Keys>>,
    /// Something is sealed under a key that is not at hand.
    locked: AtomicBool,
}

impl Secrets {
    pub(crate) fn new(keys: Arc<Keys>, read: &impl Read) -> Result<Self> {
        let locked = !keys.missing(read)?.is_empty();
        Ok(Self { keys: RwLock::new(keys), locked: AtomicBool::new(locked) })
    }

    pub(crate) fn keys(&self) -> Arc<Keys> {
        self.keys.read().clone()
    }

    pub(crate) fn set(&self, keys: Arc<Keys>, read: &impl Read) -> Result<()> {
        let locked = !keys.missing(read)?.is_empty();
        *self.keys.write() = keys;
        self.locked.store(locked, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn is_locked(&self) -> bool {
        self.locked.load(Ordering::Relaxed)
    }
}

/// The keys that something is sealed under, as far as was noted.
///
/// # Errors
/// Those of `read`.
pub fn keys_in_use<R: Read + ?Sized>(read: &R) -> Result<Vec<KeyId>> {
    let Some(value) = read.get(RealmId::DIRECTORY, schema::SECRETS)? else { return Ok(Vec::new()) };
    let record: SecretsRecord = decode("the list of secrets keys", &value)?;
    Ok(record.keys.iter().filter_map(|id| KeyId::from_bytes(id)).collect())
}

/// Notes that something is sealed under a key from now on.
fn note_key_in(tx: &mut Tx<'_>, id: KeyId) -> Result<()> {
    let mut all = keys_in_use(tx)?;
    if !all.contains(&id) {
        all.push(id);
        put_keys_in(tx, &all);
    }
    Ok(())
}

fn put_keys_in(tx: &mut Tx<'_>, all: &[KeyId]) {
    let record = SecretsRecord { keys: all.iter().map(|id| id.as_bytes().to_vec()).collect() };
    tx.put(RealmId::DIRECTORY, schema::SECRETS.to_vec(), record.encode_to_vec());
}

fn seal_in(tx: &mut Tx<'_>, ring: &Keyring, place: &Place<'_>, secret: &[u8]) -> Result<Vec<u8>> {
    note_key_in(tx, ring.first())?;
    Ok(ring.seal(&place.bytes(), secret))
}

/// A secret that is stored open or sealed; none when there is none.
fn secret_of(
    keys: &Keys,
    place: &Place<'_>,
    open: &[u8],
    sealed: &[u8],
) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    match (open.is_empty(), sealed.is_empty()) {
        (_, false) => keys.open(place, sealed).map(Some),
        (false, true) => Ok(Some(Zeroizing::new(open.to_vec()))),
        (true, true) => Ok(None),
    }
}

/// The secret of an account's two-step sign-in.
pub(crate) fn totp(
    keys: &Keys,
    id: AccountId,
    record: &CredentialsRecord,
) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    secret_of(keys, &Place::Totp(id), &record.totp_secret, &record.totp_sealed)
}

/// Puts a new one in.
///
/// # Errors
/// [`DirectoryError::NoSecretsKey`].
pub(crate) fn put_totp_in(
    tx: &mut Tx<'_>,
    keys: &Keys,
    id: AccountId,
    record: &mut CredentialsRecord,
    secret: &[u8],
) -> Result<()> {
    (record.totp_secret, record.totp_sealed) = match keys.mode(tx)? {
        Mode::Open => (secret.to_vec(), Vec::new()),
        Mode::Seal(ring) => (Vec::new(), seal_in(tx, ring, &Place::Totp(id), secret)?),
        Mode::Refuse(why) => return Err(DirectoryError::NoSecretsKey(why)),
    };
    Ok(())
}

/// StoredKey and ServerKey as they are sealed.
fn joined(secret: &ScramSecret) -> Zeroizing<Vec<u8>> {
    Zeroizing::new([&secret.stored_key[..], &secret.server_key].concat())
}

fn parted(joined: &[u8]) -> ScramSecret {
    let (stored, server) = joined.split_at(joined.len() / 2);
    ScramSecret { stored_key: stored.to_vec(), server_key: server.to_vec() }
}

/// The SCRAM keys of an account's password, if it has any that can be opened.
pub(crate) fn scram(keys: &Keys, id: AccountId, record: &CredentialsRecord) -> Option<ScramSecret> {
    let place = Place::Scram(id);
    opened_scram(keys, &place, (&record.scram_stored_key, &record.scram_server_key), &record.scram_sealed)
}

/// Those of an app password.
pub(crate) fn app_scram(
    keys: &Keys,
    (id, app): (AccountId, AppPasswordId),
    record: &AppPasswordRecord,
) -> Option<ScramSecret> {
    let place = Place::AppScram(id, app);
    opened_scram(keys, &place, (&record.scram_stored_key, &record.scram_server_key), &record.scram_sealed)
}

fn opened_scram(
    keys: &Keys,
    place: &Place<'_>,
    (stored_key, server_key): (&[u8], &[u8]),
    sealed: &[u8],
) -> Option<ScramSecret> {
    if !sealed.is_empty() {
        return keys.open(place, sealed).ok().map(|joined| parted(&joined));
    }
    let secret = ScramSecret { stored_key: stored_key.to_vec(), server_key: server_key.to_vec() };
    (!stored_key.is_empty()).then_some(secret)
}

/// Seals the open SCRAM keys of a password that was just set. Without the key they are left out: the password works by the
/// other mechanisms, and with its next login after the key is back they are made.
pub(crate) fn close_scram_in(
    tx: &mut Tx<'_>,
    keys: &Keys,
    id: AccountId,
    record: &mut CredentialsRecord,
) -> Result<()> {
    let mode = keys.mode(tx)?;
    if record.scram_stored_key.is_empty() || matches!(mode, Mode::Open) {
        return Ok(());
    }
    let secret = ScramSecret {
        stored_key: std::mem::take(&mut record.scram_stored_key),
        server_key: std::mem::take(&mut record.scram_server_key),
    };
    if let Mode::Seal(ring) = mode {
        record.scram_sealed = seal_in(tx, ring, &Place::Scram(id), &joined(&secret))?;
    }
    Ok(())
}

/// Seals the open SCRAM keys of an app password that is being made.
///
/// # Errors
/// [`DirectoryError::NoSecretsKey`].
pub(crate) fn close_app_scram_in(
    tx: &mut Tx<'_>,
    keys: &Keys,
    (id, app): (AccountId, AppPasswordId),
    record: &mut AppPasswordRecord,
) -> Result<()> {
    match keys.mode(tx)? {
        Mode::Open => Ok(()),
        Mode::Refuse(why) => Err(DirectoryError::NoSecretsKey(why)),
        Mode::Seal(ring) if record.scram_stored_key.is_empty() => {
            let _ = ring;
            Ok(())
        }
        Mode::Seal(ring) => {
            let secret = ScramSecret {
                stored_key: std::mem::take(&mut record.scram_stored_key),
                server_key: std::mem::take(&mut record.scram_server_key),
            };
            record.scram_sealed = seal_in(tx, ring, &Place::AppScram(id, app), &joined(&secret))?;
            Ok(())
        }
    }
}

fn dkim_place<'a>(domain: &'a str, record: &'a DkimRecord) -> Place<'a> {
    Place::Dkim { domain, selector: &record.selector, kind: record.kind }
}

/// A DKIM key's private part.
pub(crate) fn dkim(keys: &Keys, domain: &str, record: &DkimRecord) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    secret_of(keys, &dkim_place(domain, record), &record.pkcs8, &record.sealed)
}

/// Seals an open DKIM key that was just made.
///
/// # Errors
/// [`DirectoryError::NoSecretsKey`].
pub(crate) fn close_dkim_in(tx: &mut Tx<'_>, keys: &Keys, domain: &str, record: &mut DkimRecord) -> Result<()> {
    match keys.mode(tx)? {
        Mode::Open => Ok(()),
        Mode::Refuse(why) => Err(DirectoryError::NoSecretsKey(why)),
        Mode::Seal(ring) => {
            let secret = Zeroizing::new(std::mem::take(&mut record.pkcs8));
            record.sealed = seal_in(tx, ring, &dkim_place(domain, record), &secret)?;
            Ok(())
        }
    }
}

/// The secret of a record of the service.
pub(crate) fn service(
    keys: &Keys,
    name: &str,
    record: &ServiceRecord,
) -> Result<Option<Zeroizing<Vec<u8>>>, SealError> {
    secret_of(keys, &Place::Service(name), &record.secret, &record.sealed)
}

/// Puts a new one in.
///
/// # Errors
/// [`DirectoryError::NoSecretsKey`].
pub(crate) fn put_service_in(
    tx: &mut Tx<'_>,
    keys: &Keys,
    name: &str,
    record: &mut ServiceRecord,
    secret: &[u8],
) -> Result<()> {
    (record.secret, record.sealed) = match keys.mode(tx)? {
        _ if secret.is_empty() => (Vec::new(), Vec::new()),
        Mode::Open => (secret.to_vec(), Vec::new()),
        Mode::Seal(ring) => (Vec::new(), seal_in(tx, ring, &Place::Service(name), secret)?),
        Mode::Refuse(why) => return Err(DirectoryError::NoSecretsKey(why)),
    };
    Ok(())
}
