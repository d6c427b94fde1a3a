//! All stored secrets, one after another: counted, sealed, sealed again under a newer key, opened.

use std::{collections::BTreeMap, sync::Arc};

use mailkit::dkim::{KeyKind, SigningKey};
use parking_lot::Mutex;
use prost::Message as _;
use store::{Invariants, Order, Read, RealmId, Snapshot, StoreError, Tx, Violation};
use zeroize::Zeroizing;

use super::held::held;
use super::{
    KeyId, Keyring, Keys, Place, SealError, dkim_place, joined, key_of, keys_in_use, note_key_in, parted, put_keys_in,
};
use crate::{
    AccountId, AppPasswordId, Directory, DirectoryError, Result,
    salvage::listed_accounts,
    schema::{
        self, AppPasswordRecord, CredentialsRecord, DkimRecord, DomainRecord, HeldSecretRecord, ServiceRecord, decode,
    },
};
use doorkit::sasl::ScramSecret;

/// Secrets that are named one by one; more are counted.
const MAX_NAMED: usize = 50;
/// Transactions that are under way at once.
const AT_ONCE: usize = 64;

/// How the stored secrets are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretsReport {
    /// Stored open.
    pub open: u64,
    /// Sealed, by the key, and can be opened.
    pub sealed: BTreeMap<KeyId, u64>,
    /// Sealed under keys that are not at hand.
    pub missing: BTreeMap<KeyId, u64>,
    /// The first of these.
    pub missing_named: Vec<String>,
    /// How many don't open although their key is at hand: damaged, or moved from another place.
    pub broken: u64,
    /// The first of these, with the reason.
    pub broken_named: Vec<String>,
    /// Accounts that could not be read, for example because they are still being restored.
    pub unread: u64,
}

impl SecretsReport {
    /// How many can't be opened.
    pub fn closed(&self) -> u64 {
        self.missing.values().sum::<u64>() + self.broken
    }

    /// How many are sealed and can be opened.
    pub fn sealed_count(&self) -> u64 {
        self.sealed.values().sum()
    }

    fn add(&mut self, keys: &Keys, place: &Place<'_>, is_open: bool, sealed: &[u8]) {
        if sealed.is_empty() {
            self.open += u64::from(is_open);
            return;
        }
        match (keys.open(place, sealed), key_of(sealed)) {
            (Ok(_), Ok(key)) => *self.sealed.entry(key).or_default() += 1,
            (Err(SealError::NoKey(key)), _) => {
                *self.missing.entry(key).or_default() += 1;
                if self.missing_named.len() < MAX_NAMED {
                    self.missing_named.push(place.to_string());
                }
            }
            (Err(error), _) | (_, Err(error)) => {
                self.broken += 1;
                if self.broken_named.len() < MAX_NAMED {
                    self.broken_named.push(format!("{place}: {error}"));
                }
            }
        }
    }
}

/// How many secrets a pass has changed, and how all of them are then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SecretsSealed {
    /// Changed.
    pub changed: u64,
    /// All.
    pub now: SecretsReport,
}

/// The secrets of a service as its store, or another copy of it, has them.
///
/// # Errors
/// The directory realm can't be read. Accounts that can't be read are counted.
pub fn secrets_in<R: Read + ?Sized>(read: &R, keys: &Keys) -> Result<SecretsReport> {
    let mut report = SecretsReport::default();
    look_at_domains(read, keys, &mut report)?;
    look_at_service(read, keys, &mut report)?;
    for account in listed_accounts(read)?.into_iter().filter(|account| !account.purged) {
        if look_at_account(read, keys, account.id, &mut report).is_err() {
            report.unread += 1;
        }
    }
    Ok(report)
}

fn domains<R: Read + ?Sized>(read: &R) -> Result<Vec<(String, DomainRecord)>> {
    read.prefix(RealmId::DIRECTORY, &[schema::DOMAIN], Order::Ascending)?
        .map(|row| {
            let (key, value) = row?;
            Ok((String::from_utf8_lossy(&key[1..]).into_owned(), decode("a domain", &value)?))
        })
        .collect()
}

fn look_at_domains<R: Read + ?Sized>(read: &R, keys: &Keys, report: &mut SecretsReport) -> Result<()> {
    for (name, record) in domains(read)? {
        for key in &record.dkim {
            report.add(keys, &dkim_place(&name, key), !key.pkcs8.is_empty(), &key.sealed);
        }
    }
    Ok(())
}

fn of_service<R: Read + ?Sized>(read: &R) -> Result<Vec<(String, ServiceRecord)>> {
    read.prefix(RealmId::DIRECTORY, &[schema::SERVICE], Order::Ascending)?
        .map(|row| {
            let (key, value) = row?;
            Ok((String::from_utf8_lossy(&key[1..]).into_owned(), decode("a record of the service", &value)?))
        })
        .collect()
}

fn look_at_service<R: Read + ?Sized>(read: &R, keys: &Keys, report: &mut SecretsReport) -> Result<()> {
    for (name, record) in of_service(read)? {
        report.add(keys, &Place::Service(&name), !record.secret.is_empty(), &record.sealed);
    }
    Ok(())
}

fn look_at_account<R: Read + ?Sized>(read: &R, keys: &Keys, id: AccountId, report: &mut SecretsReport) -> Result<()> {
    if let Some(own) = schema::credentials(read, id)? {
        report.add(keys, &Place::Totp(id), !own.totp_secret.is_empty(), &own.totp_sealed);
        report.add(keys, &Place::Scram(id), !own.scram_stored_key.is_empty(), &own.scram_sealed);
    }
    for (number, record) in held(read, id)? {
        report.add(keys, &Place::Held(id, number), !record.secret.is_empty(), &record.sealed);
    }
    for (app, record) in schema::app_passwords(read, id)? {
        let place = Place::AppScram(id, AppPasswordId(app));
        report.add(keys, &place, !record.scram_stored_key.is_empty(), &record.scram_sealed);
    }
    Ok(())
}

/// Opens every sealed secret when all data is checked: one that does not open with its key is damage. Those whose key is not
/// at hand are counted.
#[derive(Debug, Default)]
pub struct SecretsRules {
    keys: Arc<Keys>,
    found: Mutex<SecretsReport>,
}

impl SecretsRules {
    /// With these keys.
    pub fn new(keys: Arc<Keys>) -> Self {
        Self { keys, found: Mutex::default() }
    }

    /// What was found so far.
    pub fn found(&self) -> SecretsReport {
        self.found.lock().clone()
    }
}

impl Invariants for SecretsRules {
    fn check(&self, realm: RealmId, snapshot: &Snapshot) -> Result<Vec<Violation>, StoreError> {
        let mut found = self.found.lock();
        let before = found.broken_named.len();
        // A record that can't be read is told by other rules.
        match realm.account_number() {
            Some(number) => drop(look_at_account(snapshot, &self.keys, AccountId(number), &mut found)),
            None if realm == RealmId::DIRECTORY => {
                drop(look_at_domains(snapshot, &self.keys, &mut found));
                drop(look_at_service(snapshot, &self.keys, &mut found));
            }
            None => {}
        }
        Ok(found.broken_named[before..].iter().map(|what| Violation { realm, what: what.clone() }).collect())
    }
}

/// What a pass is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    Sealed,
    Open,
}

/// A secret as it is to be stored, open or sealed, if that is another way than it is. What can't be opened stays.
fn turned(
    ring: &Keyring,
    place: &Place<'_>,
    (open, sealed): (&[u8], &[u8]),
    want: Want,
) -> Option<(Zeroizing<Vec<u8>>, Vec<u8>)> {
    let place = place.bytes();
    match want {
        Want::Sealed if sealed.is_empty() && open.is_empty() => None,
        Want::Sealed if sealed.is_empty() => Some((Zeroizing::default(), ring.seal(&place, open))),
        Want::Sealed if key_of(sealed) == Ok(ring.first()) => None,
        Want::Sealed => Some((Zeroizing::default(), ring.seal(&place, &ring.open(&place, sealed).ok()?))),
        Want::Open if sealed.is_empty() => None,
        Want::Open => Some((ring.open(&place, sealed).ok()?, Vec::new())),
    }
}

fn turn_dkim(ring: &Keyring, domain: &str, record: &mut DkimRecord, want: Want) -> bool {
    let kind = if record.kind == 1 { KeyKind::Ed25519 } else { KeyKind::Rsa2048 };
    if record.public.is_empty() && !record.pkcs8.is_empty() {
        let Ok(key) = SigningKey::from_pkcs8(kind, &record.selector, &record.pkcs8) else { return false };
        let Ok(public) = key.public_key() else { return false };
        record.public = public;
    }
    let Some((open, sealed)) = turned(ring, &dkim_place(domain, record), (&record.pkcs8, &record.sealed), want) else {
        return false;
    };
    (record.pkcs8, record.sealed) = (open.to_vec(), sealed);
    true
}

fn turn_scram(
    ring: &Keyring,
    place: &Place<'_>,
    (stored_key, server_key, sealed): (&mut Vec<u8>, &mut Vec<u8>, &mut Vec<u8>),
    want: Want,
) -> bool {
    let open = if stored_key.is_empty() {
        Zeroizing::default()
    } else {
        joined(&ScramSecret { stored_key: stored_key.clone(), server_key: server_key.clone() })
    };
    let Some((open, closed)) = turned(ring, place, (&open, sealed), want) else { return false };
    let secret = parted(&open);
    (*stored_key, *server_key, *sealed) = (secret.stored_key, secret.server_key, closed);
    true
}

fn turn_credentials(ring: &Keyring, id: AccountId, record: &mut CredentialsRecord, want: Want) -> u64 {
    let mut changed = 0;
    if let Some((open, sealed)) = turned(ring, &Place::Totp(id), (&record.totp_secret, &record.totp_sealed), want) {
        (record.totp_secret, record.totp_sealed) = (open.to_vec(), sealed);
        changed += 1;
    }
    let CredentialsRecord { scram_stored_key, scram_server_key, scram_sealed, .. } = record;
    changed + u64::from(turn_scram(ring, &Place::Scram(id), (scram_stored_key, scram_server_key, scram_sealed), want))
}

fn turn_app(ring: &Keyring, place: &Place<'_>, record: &mut AppPasswordRecord, want: Want) -> bool {
    let AppPasswordRecord { scram_stored_key, scram_server_key, scram_sealed, .. } = record;
    turn_scram(ring, place, (scram_stored_key, scram_server_key, scram_sealed), want)
}

fn turn_held(ring: &Keyring, place: &Place<'_>, record: &mut HeldSecretRecord, want: Want) -> bool {
    let Some((open, sealed)) = turned(ring, place, (&record.secret, &record.sealed), want) else { return false };
    (record.secret, record.sealed) = (open.to_vec(), sealed);
    true
}

fn turn_domain_in(tx: &mut Tx<'_>, ring: &Keyring, name: &str, want: Want) -> Result<u64> {
    let key = schema::domain_key(name);
    let Some(value) = tx.get(RealmId::DIRECTORY, &key)? else { return Ok(0) };
    let mut record: DomainRecord = decode("a domain", &value)?;
    let changed = record.dkim.iter_mut().map(|key| u64::from(turn_dkim(ring, name, key, want))).sum();
    if changed > 0 {
        tx.put(RealmId::DIRECTORY, key, record.encode_to_vec());
    }
    Ok(changed)
}

fn turn_service_in(tx: &mut Tx<'_>, ring: &Keyring, name: &str, want: Want) -> Result<u64> {
    let key = schema::service_key(name);
    let Some(value) = tx.get(RealmId::DIRECTORY, &key)? else { return Ok(0) };
    let mut record: ServiceRecord = decode("a record of the service", &value)?;
    let Some((open, sealed)) = turned(ring, &Place::Service(name), (&record.secret, &record.sealed), want) else {
        return Ok(0);
    };
    (record.secret, record.sealed) = (open.to_vec(), sealed);
    tx.put(RealmId::DIRECTORY, key, record.encode_to_vec());
    Ok(1)
}

fn turn_account_in(tx: &mut Tx<'_>, ring: &Keyring, id: AccountId, want: Want) -> Result<u64> {
    let (realm, mut all) = (id.realm(), 0);
    // Those of a deleted account, too: it can be brought back.
    tx.clears(realm);
    if let Some(mut record) = schema::credentials(tx, id)? {
        let changed = turn_credentials(ring, id, &mut record, want);
        if changed > 0 {
            tx.put(realm, schema::CREDENTIALS.to_vec(), record.encode_to_vec());
        }
        all += changed;
    }
    for (app, mut record) in schema::app_passwords(tx, id)? {
        if turn_app(ring, &Place::AppScram(id, AppPasswordId(app)), &mut record, want) {
            tx.put(realm, schema::app_password_key(app), record.encode_to_vec());
            all += 1;
        }
    }
    for (number, mut record) in held(tx, id)? {
        if turn_held(ring, &Place::Held(id, number), &mut record, want) {
            tx.put(realm, schema::held_secret_key(number), record.encode_to_vec());
            all += 1;
        }
    }
    Ok(all)
}

/// Turns a secret of the directory realm; gives how many changed.
type TurnIn = fn(&mut Tx<'_>, &Keyring, &str, Want) -> Result<u64>;

impl Directory {
    /// How the stored secrets are. Reads every account.
    ///
    /// # Errors
    /// Those of the store.
    pub fn secrets(&self) -> Result<SecretsReport> {
        secrets_in(&self.store().snapshot(), &self.keys())
    }

    /// Seals everything that lies open, and seals again under the first key what is sealed under another one at hand. Does
    /// nothing to secrets that are in that state already; can be repeated.
    ///
    /// # Errors
    /// [`DirectoryError::NoSecretsKey`]; those of the store.
    pub async fn seal_secrets(&self) -> Result<SecretsSealed> {
        self.turn_secrets(Want::Sealed).await
    }

    /// Stores everything open again that can be opened. New secrets are sealed as long as a key is in use.
    ///
    /// # Errors
    /// Those of [`Self::seal_secrets`].
    pub async fn unseal_secrets(&self) -> Result<SecretsSealed> {
        self.turn_secrets(Want::Open).await
    }

    async fn turn_secrets(&self, want: Want) -> Result<SecretsSealed> {
        let keys = self.keys();
        let first = match &*keys {
            Keys::Ring(ring) => ring.first(),
            Keys::Unusable(why) => return Err(DirectoryError::NoSecretsKey(why.clone())),
            Keys::None => return Err(DirectoryError::NoSecretsKey("no key file is configured".to_owned())),
        };
        let mut changed = self.turn_directory(&keys, want).await?;
        let (mut under_way, snapshot) = (Vec::new(), self.store().snapshot());
        for account in listed_accounts(&snapshot)?.into_iter().filter(|account| !account.purged) {
            let (id, keys) = (account.id, keys.clone());
            // No commit for what is as it should be; what can't be read is counted at the end.
            if !wants(&snapshot, &keys, id, want).unwrap_or(false) {
                continue;
            }
            under_way.push(self.store().transact(move |tx| {
                let Some(ring) = keys.ring() else { return Ok(0) };
                tx.keeps_books();
                let changed = turn_account_in(tx, ring, id, want)?;
                if changed > 0 && want == Want::Sealed {
                    note_key_in(tx, ring.first())?;
                }
                Ok::<_, DirectoryError>(changed)
            }));
            if under_way.len() == AT_ONCE {
                for one in under_way.drain(..) {
                    changed += one.await?;
                }
            }
        }
        drop(snapshot);
        for one in under_way {
            changed += one.await?;
        }
        let now = self.secrets()?;
        self.note_keys_left(&now, first).await?;
        self.set_keys(self.keys())?;
        Ok(SecretsSealed { changed, now })
    }

    async fn turn_directory(&self, keys: &Arc<Keys>, want: Want) -> Result<u64> {
        let snapshot = self.store().snapshot();
        let domains = domains(&snapshot)?.into_iter().map(|(name, _)| (name, turn_domain_in as TurnIn));
        let service = of_service(&snapshot)?.into_iter().map(|(name, _)| (name, turn_service_in as TurnIn));
        let mut changed = 0;
        for (name, turn_in) in domains.chain(service) {
            let keys = keys.clone();
            let turning = self.store().transact(move |tx| {
                let Some(ring) = keys.ring() else { return Ok(0) };
                let changed = turn_in(tx, ring, &name, want)?;
                if changed > 0 && want == Want::Sealed {
                    note_key_in(tx, ring.first())?;
                }
                Ok::<_, DirectoryError>(changed)
            });
            changed += turning.await?;
        }
        Ok(changed)
    }

    /// Takes the keys off the list that nothing is sealed under any more.
    async fn note_keys_left(&self, now: &SecretsReport, first: KeyId) -> Result<()> {
        if now.unread > 0 || now.broken > 0 {
            return Ok(());
        }
        let used: Vec<KeyId> = now.sealed.keys().chain(now.missing.keys()).copied().collect();
        let stays = move |id: &KeyId| used.contains(id) || (*id == first && !used.is_empty());
        self.store()
            .transact(move |tx| {
                let listed = keys_in_use(tx)?;
                let left: Vec<KeyId> = listed.iter().copied().filter(stays).collect();
                if left != listed {
                    tx.keeps_books();
                    put_keys_in(tx, &left);
                }
                Ok::<_, DirectoryError>(())
            })
            .await
    }
}

/// Whether a pass would change something of an account.
fn wants<R: Read + ?Sized>(read: &R, keys: &Keys, id: AccountId, want: Want) -> Result<bool> {
    let Some(ring) = keys.ring() else { return Ok(false) };
    let own = schema::credentials(read, id)?;
    if own.is_some_and(|mut record| turn_credentials(ring, id, &mut record, want) > 0) {
        return Ok(true);
    }
    let mut others = held(read, id)?.into_iter();
    if others.any(|(number, mut record)| turn_held(ring, &Place::Held(id, number), &mut record, want)) {
        return Ok(true);
    }
    let mut apps = schema::app_passwords(read, id)?.into_iter();
    Ok(apps.any(|(app, mut record)| turn_app(ring, &Place::AppScram(id, AppPasswordId(app)), &mut record, want)))
}
