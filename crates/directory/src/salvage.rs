//! Who accounts were, from records any of which may be missing.

use prost::Message as _;
use store::{Order, Read, RealmId};

use crate::{
    AccountId, Result,
    schema::{self, AccountRecord, AddressRecord},
};

/// What records tell of an account.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvagedAccount {
    /// Its login address.
    pub address: Option<String>,
    /// It was deleted.
    pub is_deleted: bool,
}

/// Who an account was, as the directory's record of it has it, or else its own.
///
/// # Errors
/// If `read` fails; a record that can't be decoded is passed over.
pub fn salvaged_account<R: Read + ?Sized>(read: &R, id: AccountId) -> Result<SalvagedAccount> {
    let key = [&[schema::ACCOUNT][..], &id.0.to_be_bytes()].concat();
    let record = read.get(RealmId::DIRECTORY, &key)?.and_then(|value| AccountRecord::decode(value).ok());
    if let Some(record) = record {
        return Ok(SalvagedAccount { address: Some(record.address), is_deleted: record.deleted_ms.is_some() });
    }
    for row in read.prefix(id.realm(), &[schema::ACCOUNT_ADDRESS], Order::Ascending)? {
        let (key, value) = row?;
        if AddressRecord::decode(value).is_ok_and(|record| !record.alias) {
            return Ok(SalvagedAccount { address: String::from_utf8(key[1..].to_vec()).ok(), is_deleted: false });
        }
    }
    Ok(SalvagedAccount::default())
}
