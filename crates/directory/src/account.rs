//! Accounts.

use mailkit::EmailAddress;
use prost::Message as _;
use store::{Order, Read, RealmId, Tx};

use crate::ids::{AccountId, Role};
use crate::{
    Directory, DirectoryError, Result, check_password, check_password_of_operator, password,
    schema::{self, AccountRecord, CredentialsRecord, account_key, address_key, decode},
    secrets,
};

/// The longest name of an account.
const MAX_NAME_BYTES: usize = 200;

/// What everybody here knows: no password is made of it.
const SERVICE: &str = "holdfast";

/// An account to make.
#[derive(Clone)]
pub struct NewAccount {
    /// Its login; the domain must be one of ours.
    pub address: EmailAddress,
    /// The name people see.
    pub name: String,
    /// Its password.
    pub password: String,
    /// What it may do.
    pub role: Role,
    /// Bytes it may use; 0 is unlimited.
    pub quota_bytes: u64,
}

/// An account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its number.
    pub id: AccountId,
    /// Its login.
    pub address: EmailAddress,
    /// The name people see.
    pub name: String,
    /// What it may do.
    pub role: Role,
    /// Whether it may log in.
    pub enabled: bool,
    /// Bytes it may use; 0 is unlimited.
    pub quota_bytes: u64,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// Its password was set by an administrator, and its owner has to choose another on the web first of all.
    pub must_change_password: bool,
}

impl Account {
    fn from_record(id: AccountId, record: AccountRecord) -> Result<Option<Self>> {
        if record.deleted_ms.is_some() {
            return Ok(None);
        }
        let address = EmailAddress::parse(&record.address)
            .map_err(|_| DirectoryError::damaged(store::Cause::Decoding, format!("the address of account {id}")))?;
        Ok(Some(Self {
            id,
            address,
            role: role_of(&record),
            name: record.name,
            enabled: !record.disabled,
            quota_bytes: record.quota_bytes,
            created_ms: record.created_ms,
            must_change_password: record.must_change_password,
        }))
    }
}

pub(crate) const fn role_of(record: &AccountRecord) -> Role {
    if record.role == 1 { Role::Admin } else { Role::User }
}

pub(crate) fn record(reader: &(impl Read + ?Sized), id: AccountId) -> Result<Option<AccountRecord>> {
    reader.get(RealmId::DIRECTORY, &account_key(id))?.map(|value| decode(&format!("account {id}"), &value)).transpose()
}

pub(crate) fn live_record(reader: &impl Read, id: AccountId) -> Result<AccountRecord> {
    record(reader, id)?.filter(|record| record.deleted_ms.is_none()).ok_or_else(|| DirectoryError::no_account(id))
}

impl Directory {
    /// Creates an account, in one commit with the additions of [`crate::OnCreate`]. Hashes the password first.
    ///
    /// # Errors
    /// The address is in use, its domain is not local, or the password is not acceptable.
    pub async fn create_account(&self, new: NewAccount) -> Result<AccountId> {
        self.check_new_password(&new.password, &new.address.to_string(), &new.name)?;
        self.make_account(new).await
    }

    /// The same for an operator on the command line, who may choose a more common password than others. Also returns
    /// whether it is one.
    pub async fn create_account_as_operator(&self, new: NewAccount) -> Result<(AccountId, bool)> {
        let common = check_password_of_operator(
            &new.password,
            &[&new.address.to_string(), &new.name, &self.inner.hostname, SERVICE],
        )?;
        Ok((self.make_account(new).await?, common))
    }

    async fn make_account(&self, new: NewAccount) -> Result<AccountId> {
        new.address.check_own()?;
        if self.is_mask_of_other(&new.address.canonical(), None)? {
            return Err(DirectoryError::AddressTaken(new.address.to_string()));
        }
        if new.name.len() > MAX_NAME_BYTES {
            return Err(DirectoryError::TooLong { what: "the name", limit: MAX_NAME_BYTES });
        }
        let mut credentials = password::hash(&self.inner.hashing, new.password, None, self.now_ms()).await?;
        let this = self.clone();
        let NewAccount { address, name, role, quota_bytes, .. } = new;
        self.store()
            .transact(move |tx| {
                let id = create_account_in(tx, &address, name, role, quota_bytes)?;
                secrets::close_scram_in(tx, &this.keys(), id, &mut credentials)?;
                tx.put(id.realm(), schema::CREDENTIALS.to_vec(), credentials.encode_to_vec());
                if let Some(on_create) = &this.inner.on_create {
                    on_create(tx, id)?;
                }
                Ok(id)
            })
            .await
    }

    /// An account, unless it was deleted or never was.
    ///
    /// # Errors
    /// Those of the store.
    pub fn account(&self, id: AccountId) -> Result<Option<Account>> {
        match record(&self.store().snapshot(), id)? {
            Some(record) => Account::from_record(id, record),
            None => Ok(None),
        }
    }

    /// The account with this login.
    ///
    /// # Errors
    /// Those of the store.
    pub fn account_by_address(&self, address: &EmailAddress) -> Result<Option<Account>> {
        match crate::address::lookup(&self.store().snapshot(), &address.canonical())? {
            Some(found) => self.account(AccountId(found.account)),
            None => Ok(None),
        }
    }

    /// All accounts, by number.
    ///
    /// # Errors
    /// Those of the store.
    pub fn accounts(&self) -> Result<Vec<Account>> {
        let snapshot = self.store().snapshot();
        let mut accounts = Vec::new();
        for row in snapshot.prefix(RealmId::DIRECTORY, &[schema::ACCOUNT], Order::Ascending)? {
            let (key, value) = row?;
            let number = key[1..]
                .try_into()
                .map_err(|_| DirectoryError::damaged(store::Cause::Decoding, "an account's key".to_owned()))?;
            let id = AccountId(u32::from_be_bytes(number));
            accounts.extend(Account::from_record(id, decode("an account", &value)?)?);
        }
        Ok(accounts)
    }

    /// Bytes an account may use; `None` is unlimited. Quick: for use inside commits.
    pub fn quota_limit(&self, id: AccountId) -> Option<u64> {
        let record = record(&self.store().snapshot(), id).ok()??;
        (record.quota_bytes > 0).then_some(record.quota_bytes)
    }

    async fn change<F>(&self, id: AccountId, change: F) -> Result<()>
    where
        F: FnOnce(&mut Tx<'_>, &mut AccountRecord) -> Result<()> + Send + 'static,
    {
        self.store()
            .transact(move |tx| {
                let mut record = live_record(tx, id)?;
                change(tx, &mut record)?;
                tx.put(RealmId::DIRECTORY, account_key(id), record.encode_to_vec());
                Ok(())
            })
            .await
    }

    /// Sets a password; ends the account's web sessions and forgets verified logins.
    ///
    /// # Errors
    /// The account does not exist, or the password is not acceptable.
    pub async fn set_password(&self, id: AccountId, password: &str) -> Result<()> {
        self.set_password_that(id, password, false).await
    }

    /// The same for a password that its owner has to change, as soon as they sign in on the web.
    ///
    /// # Errors
    /// As [`Self::set_password`].
    pub async fn set_temporary_password(&self, id: AccountId, password: &str) -> Result<()> {
        self.set_password_that(id, password, true).await
    }

    async fn set_password_that(&self, id: AccountId, password: &str, is_temporary: bool) -> Result<()> {
        let account = self.account(id)?.ok_or_else(|| DirectoryError::no_account(id))?;
        self.check_new_password(password, &account.address.to_string(), &account.name)?;
        self.replace_password(id, password, is_temporary).await
    }

    /// Whether a new password would do for the owner of an address and a name.
    ///
    /// # Errors
    /// [`DirectoryError::BadPassword`] with the reason.
    pub fn check_new_password(&self, password: &str, address: &str, name: &str) -> Result<()> {
        check_password(password, &[address, name, &self.inner.hostname, SERVICE])
    }

    /// The same for an operator at the command line, as [`Self::create_account_as_operator`].
    pub async fn set_password_as_operator(&self, id: AccountId, password: &str, is_temporary: bool) -> Result<bool> {
        let account = self.account(id)?.ok_or_else(|| DirectoryError::no_account(id))?;
        let common = check_password_of_operator(
            password,
            &[&account.address.to_string(), &account.name, &self.inner.hostname, SERVICE],
        )?;
        self.replace_password(id, password, is_temporary).await?;
        Ok(common)
    }

    async fn replace_password(&self, id: AccountId, password: &str, is_temporary: bool) -> Result<()> {
        // App passwords keep using the same salt.
        let before = crate::schema::credentials(&self.store().snapshot(), id)?;
        let scram = before.as_ref().and_then(CredentialsRecord::scram_salt);
        let new = password::hash(&self.inner.hashing, password.to_owned(), scram, self.now_ms()).await?;
        self.forget_logins(id);
        let keys = self.keys();
        self.store()
            .transact(move |tx| {
                let mut record = live_record(tx, id)?;
                if record.must_change_password != is_temporary {
                    record.must_change_password = is_temporary;
                    tx.put(RealmId::DIRECTORY, account_key(id), record.encode_to_vec());
                }
                let mut credentials = crate::schema::credentials(tx, id)?.unwrap_or_default();
                (credentials.hash, credentials.salt) = (new.hash, new.salt);
                (credentials.memory_kib, credentials.passes) = (new.memory_kib, new.passes);
                (credentials.scram_salt, credentials.scram_iterations) = (new.scram_salt, new.scram_iterations);
                (credentials.scram_stored_key, credentials.scram_server_key) =
                    (new.scram_stored_key, new.scram_server_key);
                credentials.scram_sealed.clear();
                secrets::close_scram_in(tx, &keys, id, &mut credentials)?;
                credentials.changed_ms = tx.now_ms();
                tx.put(id.realm(), schema::CREDENTIALS.to_vec(), credentials.encode_to_vec());
                crate::session::end_all_in(tx, id, None)
            })
            .await?;
        self.forget_logins(id);
        Ok(())
    }

    /// Lets an account log in, or not.
    ///
    /// # Errors
    /// The account does not exist, or is the last administrator.
    pub async fn set_enabled(&self, id: AccountId, enabled: bool) -> Result<()> {
        self.forget_logins(id);
        self.change(id, move |tx, record| {
            if !enabled {
                keep_an_admin(tx, id)?;
                crate::session::end_all_in(tx, id, None)?;
            }
            record.disabled = !enabled;
            Ok(())
        })
        .await?;
        self.forget_logins(id);
        Ok(())
    }

    /// Sets the name people see.
    ///
    /// # Errors
    /// The account does not exist.
    pub async fn set_name(&self, id: AccountId, name: &str) -> Result<()> {
        if name.len() > MAX_NAME_BYTES {
            return Err(DirectoryError::TooLong { what: "the name", limit: MAX_NAME_BYTES });
        }
        let name = name.to_owned();
        self.change(id, move |_, record| {
            record.name = name;
            Ok(())
        })
        .await
    }

    /// Sets what an account may do.
    ///
    /// # Errors
    /// The account does not exist, or is the last administrator.
    pub async fn set_role(&self, id: AccountId, role: Role) -> Result<()> {
        self.change(id, move |tx, record| {
            if role == Role::User {
                keep_an_admin(tx, id)?;
            }
            record.role = u32::from(role == Role::Admin);
            Ok(())
        })
        .await
    }

    /// Whether relays may take mail that an account sends while this machine is away: they get what recognises its app
    /// passwords.
    ///
    /// # Errors
    /// The account does not exist.
    pub async fn set_sends_by_relay(&self, id: AccountId, allowed: bool) -> Result<()> {
        self.change(id, move |_, record| {
            record.sends_by_relay = allowed;
            Ok(())
        })
        .await
    }

    /// Sets the bytes an account may use; 0 is unlimited.
    ///
    /// # Errors
    /// The account does not exist.
    pub async fn set_quota(&self, id: AccountId, bytes: u64) -> Result<()> {
        self.change(id, move |_, record| {
            record.quota_bytes = bytes;
            Ok(())
        })
        .await
    }

    /// Deletes an account: its addresses stop at once, and nobody can log in; its data is kept for the retention time.
    ///
    /// # Errors
    /// The account does not exist, or is the last administrator.
    pub async fn delete_account(&self, id: AccountId) -> Result<()> {
        self.forget_logins(id);
        self.change(id, move |tx, record| {
            keep_an_admin(tx, id)?;
            for canonical in crate::address::addresses_in(tx, id)? {
                crate::address::delete_in(tx, id, &canonical);
            }
            crate::session::end_all_in(tx, id, None)?;
            record.deleted_ms = Some(tx.now_ms());
            Ok(())
        })
        .await?;
        self.forget_logins(id);
        Ok(())
    }

    /// The accounts that were deleted before a time (milliseconds since 1970) and whose data is still there.
    pub fn deleted_accounts(&self, before_ms: i64) -> Result<Vec<AccountId>> {
        let snapshot = self.store().snapshot();
        let mut deleted = Vec::new();
        for row in snapshot.prefix(RealmId::DIRECTORY, &[schema::ACCOUNT], Order::Ascending)? {
            let (key, value) = row?;
            let number = key[1..]
                .try_into()
                .map_err(|_| DirectoryError::damaged(store::Cause::Decoding, "an account's key".to_owned()))?;
            let record: AccountRecord = decode("an account", &value)?;
            if !record.purged && record.deleted_ms.is_some_and(|deleted_ms| deleted_ms < before_ms) {
                deleted.push(AccountId(u32::from_be_bytes(number)));
            }
        }
        Ok(deleted)
    }

    /// Whether an account was deleted before a moment, in milliseconds since 1970, as far as can be read.
    pub fn was_deleted_before(reader: &impl Read, account: AccountId, before_ms: i64) -> bool {
        let known = record(reader, account).ok().flatten();
        known.and_then(|record| record.deleted_ms).is_some_and(|deleted_ms| deleted_ms < before_ms)
    }

    /// The account that a write to the directory realm deletes, if it does. What is written later of an account that is
    /// deleted does not count.
    pub fn deleted_by(key: &[u8], value: Option<&[u8]>) -> Option<AccountId> {
        let number = key.strip_prefix(&[schema::ACCOUNT])?.try_into().ok()?;
        let is_deleted = match value {
            None => true,
            Some(value) => {
                let record: AccountRecord = decode("an account", value).ok()?;
                record.deleted_ms.is_some() && !record.purged
            }
        };
        is_deleted.then(|| AccountId(u32::from_be_bytes(number)))
    }

    /// The deleted accounts whose data is still there, with their logins and when they were deleted (milliseconds since
    /// 1970), the last one first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn deleted(&self) -> Result<Vec<(AccountId, String, i64)>> {
        let snapshot = self.store().snapshot();
        let mut all = Vec::new();
        for id in self.deleted_accounts(i64::MAX)? {
            let Some(record) = record(&snapshot, id)? else { continue };
            all.extend(record.deleted_ms.map(|deleted_ms| (id, record.address, deleted_ms)));
        }
        all.sort_by_key(|(id, _, deleted_ms)| (std::cmp::Reverse(*deleted_ms), *id));
        Ok(all)
    }

    /// The deleted account that had this login, with when it was deleted (milliseconds since 1970), as long as its data
    /// is there; the last one that was deleted, if there are several.
    ///
    /// # Errors
    /// Those of the store.
    pub fn deleted_account(&self, login: &EmailAddress) -> Result<Option<(AccountId, i64)>> {
        let canonical = login.canonical();
        let is_it = |address: &str| EmailAddress::parse(address).is_ok_and(|address| address.canonical() == canonical);
        let found = self.deleted()?.into_iter().find(|(_, address, _)| is_it(address));
        Ok(found.map(|(id, _, deleted_ms)| (id, deleted_ms)))
    }

    /// Restores a deleted account: its login and password, its other addresses from right before the deletion, its mail and
    /// everything else still in its realm. Returns the addresses that now belong to others and are not restored.
    ///
    /// # Errors
    /// The account is not deleted or was purged, or that moment is no longer kept; its login is in use, or its domain was
    /// removed: then nothing is changed.
    pub async fn bring_back(&self, id: AccountId, deleted_ms: i64) -> Result<Vec<String>> {
        let store = self.store().clone();
        let past = tokio::task::spawn_blocking(move || store.realm_at(id.realm(), deleted_ms - 1)).await;
        let past =
            past.map_err(|error| store::StoreError::Panicked(format!("reading the past of {id}: {error}")))??;
        self.bring_back_account(id, &past).await
    }

    /// [`Self::bring_back`] with a `past` that is at hand, such as an archive's.
    ///
    /// # Errors
    /// Those of [`Self::bring_back`].
    pub async fn bring_back_account(&self, id: AccountId, past: &store::Past) -> Result<Vec<String>> {
        let mut addresses = Vec::new();
        for canonical in crate::address::addresses_in(past, id)? {
            let at = schema::account_address_key(&canonical);
            let stored = past.get(id.realm(), &at)?.unwrap_or_default();
            addresses.push((canonical, decode::<schema::AddressRecord>("an address", &stored)?));
        }
        // The login first: without it there is no account.
        addresses.sort_by_key(|(_, record)| record.alias);
        self.forget_logins(id);
        self.store()
            .transact(move |tx| {
                let found = record(tx, id)?.filter(|record| record.deleted_ms.is_some() && !record.purged);
                let mut record = found.ok_or_else(|| DirectoryError::no_account(id))?;
                let mut taken = Vec::new();
                for (canonical, stored) in addresses {
                    let alias = stored.alias;
                    let domain = canonical.rsplit_once('@').map_or("", |(_, domain)| domain);
                    if tx.get(RealmId::DIRECTORY, &schema::domain_key(domain))?.is_none() {
                        if !alias {
                            return Err(DirectoryError::NoSuchDomain(domain.to_owned()));
                        }
                        taken.push(canonical);
                    } else if crate::address::lookup(tx, &canonical)?.is_some() {
                        if !alias {
                            return Err(DirectoryError::AddressTaken(canonical));
                        }
                        taken.push(canonical);
                    } else {
                        let own = schema::AddressRecord { account: id.0, ..stored };
                        crate::address::put_record_in(tx, &canonical, own);
                    }
                }
                record.deleted_ms = None;
                tx.put(RealmId::DIRECTORY, account_key(id), record.encode_to_vec());
                Ok(taken)
            })
            .await
    }

    /// Notes that a deleted account's data has been cleared away; forgets its credentials.
    pub async fn mark_purged(&self, id: AccountId) -> Result<()> {
        self.store()
            .transact(move |tx| {
                let Some(mut record) = record(tx, id)?.filter(|record| record.deleted_ms.is_some()) else {
                    return Err(DirectoryError::no_account(id));
                };
                const GONE: [u8; 6] = [
                    schema::CREDENTIALS[0],
                    schema::APP_PASSWORD,
                    schema::SESSION,
                    schema::KNOWN_NETWORK,
                    schema::SIGN_IN,
                    schema::MASK,
                ];
                for kind in GONE {
                    let rows: Vec<_> = tx.prefix(id.realm(), &[kind], Order::Ascending)?.collect::<Result<_, _>>()?;
                    for (key, _) in rows {
                        tx.delete(id.realm(), key.to_vec());
                    }
                }
                record.purged = true;
                tx.put(RealmId::DIRECTORY, account_key(id), record.encode_to_vec());
                Ok(())
            })
            .await
    }
}

fn create_account_in(
    tx: &mut Tx<'_>,
    address: &EmailAddress,
    name: String,
    role: Role,
    quota_bytes: u64,
) -> Result<AccountId> {
    let canonical = address.canonical();
    if tx.get(RealmId::DIRECTORY, &schema::domain_key(address.domain()))?.is_none() {
        return Err(DirectoryError::NoSuchDomain(address.domain().to_owned()));
    }
    if tx.get(RealmId::DIRECTORY, &address_key(&canonical))?.is_some() {
        return Err(DirectoryError::AddressTaken(address.to_string()));
    }
    let number =
        match tx.get(RealmId::DIRECTORY, schema::NEXT_ACCOUNT)? {
            Some(value) => u32::from_le_bytes(value[..].try_into().map_err(|_| {
                DirectoryError::damaged(store::Cause::Decoding, "the next account's number".to_owned())
            })?),
            None => 1,
        };
    let id = AccountId(number);
    let record = AccountRecord {
        address: address.to_string(),
        name,
        role: u32::from(role == Role::Admin),
        disabled: false,
        deleted_ms: None,
        quota_bytes,
        created_ms: tx.now_ms(),
        purged: false,
        sending: None,
        sends_by_relay: false,
        must_change_password: false,
    };
    tx.put(RealmId::DIRECTORY, schema::NEXT_ACCOUNT.to_vec(), (number + 1).to_le_bytes().to_vec());
    tx.put(RealmId::DIRECTORY, account_key(id), record.encode_to_vec());
    crate::address::put_in(tx, id, &canonical, false);
    Ok(id)
}

/// Refuses to remove the last administrator who can log in.
fn keep_an_admin(tx: &Tx<'_>, leaving: AccountId) -> Result<()> {
    if record(tx, leaving)?.is_none_or(|record| record.role != 1) {
        return Ok(());
    }
    for row in tx.prefix(RealmId::DIRECTORY, &[schema::ACCOUNT], Order::Ascending)? {
        let (key, value) = row?;
        let other: AccountRecord = decode("an account", &value)?;
        if key[1..] != leaving.0.to_be_bytes() && other.role == 1 && !other.disabled && other.deleted_ms.is_none() {
            return Ok(());
        }
    }
    Err(DirectoryError::LastAdmin)
}
