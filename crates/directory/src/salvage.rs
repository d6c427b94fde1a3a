//! Recovers account data from records any of which may be missing.

use mailkit::EmailAddress;
use prost::Message as _;
use store::{Order, Read, RealmId};

use crate::{
    AccountId, Result,
    schema::{self, AccountRecord, AddressRecord},
};

/// Recovered data of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvagedAccount {
    /// Its login address.
    pub address: Option<String>,
    /// It was deleted.
    pub is_deleted: bool,
}

/// The key of the directory's record of an account.
pub fn account_record_key(id: AccountId) -> Vec<u8> {
    schema::account_key(id)
}

/// Whether a key of the directory realm is that of such a record.
pub fn is_account_record(key: &[u8]) -> bool {
    schema::account_of_key(key).is_some()
}

/// Who an account was, from the directory's record of it; none when that can't be decoded.
pub fn account_in_record(value: &[u8]) -> Option<SalvagedAccount> {
    let record = AccountRecord::decode(value).ok()?;
    Some(SalvagedAccount { address: Some(record.address), is_deleted: record.deleted_ms.is_some() })
}

/// Who an account was, as the directory's record of it has it, or else its own.
///
/// # Errors
/// If `read` fails; a record that can't be decoded is passed over.
pub fn salvaged_account<R: Read + ?Sized>(read: &R, id: AccountId) -> Result<SalvagedAccount> {
    let record = read.get(RealmId::DIRECTORY, &account_record_key(id))?;
    if let Some(account) = record.and_then(|value| account_in_record(&value)) {
        return Ok(account);
    }
    for row in read.prefix(id.realm(), &[schema::ACCOUNT_ADDRESS], Order::Ascending)? {
        let (key, value) = row?;
        if AddressRecord::decode(value).is_ok_and(|record| !record.alias) {
            return Ok(SalvagedAccount { address: String::from_utf8(key[1..].to_vec()).ok(), is_deleted: false });
        }
    }
    Ok(SalvagedAccount::default())
}

/// An account as a directory realm has it, be it this store's or another's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedAccount {
    /// Its number.
    pub id: AccountId,
    /// Its login.
    pub address: String,
    /// The name people see.
    pub name: String,
    /// Bytes it may use; 0 is unlimited.
    pub quota_bytes: u64,
    /// When it was made, in milliseconds since 1970: with the number that tells one account from all others.
    pub created_ms: i64,
    /// When it was deleted, in milliseconds since 1970.
    pub deleted_ms: Option<i64>,
    /// Its mail has been cleared away.
    pub purged: bool,
}

impl ListedAccount {
    fn of(id: AccountId, record: AccountRecord) -> Self {
        let AccountRecord { address, name, quota_bytes, created_ms, deleted_ms, purged, .. } = record;
        Self { id, address, name, quota_bytes, created_ms, deleted_ms, purged }
    }

    /// Whether another directory's account is this one.
    pub fn is(&self, other: &Self) -> bool {
        (self.id, self.created_ms) == (other.id, other.created_ms)
    }
}

/// The accounts of a directory realm, by number, the deleted ones too.
///
/// # Errors
/// If `read` fails; a record that can't be decoded is passed over.
pub fn listed_accounts<R: Read + ?Sized>(read: &R) -> Result<Vec<ListedAccount>> {
    let mut all = Vec::new();
    for row in read.prefix(RealmId::DIRECTORY, &[schema::ACCOUNT], Order::Ascending)? {
        let (key, value) = row?;
        if let (Some(id), Ok(record)) = (schema::account_of_key(&key), AccountRecord::decode(value)) {
            all.push(ListedAccount::of(id, record));
        }
    }
    Ok(all)
}

/// Whom an address led to, as a login or as another address of an account that was not deleted.
///
/// # Errors
/// Those of `read`.
pub fn listed_by_address<R: Read + ?Sized>(read: &R, address: &EmailAddress) -> Result<Option<ListedAccount>> {
    let Some(found) = read.get(RealmId::DIRECTORY, &schema::address_key(&address.canonical()))? else {
        return Ok(None);
    };
    let Ok(found) = AddressRecord::decode(found) else { return Ok(None) };
    listed(read, AccountId(found.account))
}

/// An account by its number, also when it was deleted.
///
/// # Errors
/// Those of `read`.
pub fn listed<R: Read + ?Sized>(read: &R, id: AccountId) -> Result<Option<ListedAccount>> {
    let record = read.get(RealmId::DIRECTORY, &account_record_key(id))?;
    Ok(record.and_then(|value| AccountRecord::decode(value).ok()).map(|record| ListedAccount::of(id, record)))
}
