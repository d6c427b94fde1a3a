//! Addresses: where mail to an address goes, and who may send from it.

use mailkit::EmailAddress;
use prost::Message as _;
use store::{Order, Read, RealmId, Tx};

use crate::{
    AccountId, Directory, DirectoryError, Result,
    schema::{self, AddressRecord, account_address_key, address_key, decode, domain_key},
};

/// What separates an address from its detail: `anna+lists@example.org` reaches `anna@example.org` (RFC 5233).
pub(crate) const DETAIL_SEPARATOR: char = '+';
/// Addresses of one account.
pub(crate) const MAX_ADDRESSES: usize = 200;

/// The target of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// To an account here.
    Account(AccountId),
    /// The domain is local, but the address does not exist.
    NoSuchAddress,
    /// The domain is not ours.
    NoSuchDomain,
}

pub(crate) fn lookup(reader: &impl Read, canonical: &str) -> Result<Option<AddressRecord>> {
    reader
        .get(RealmId::DIRECTORY, &address_key(canonical))?
        .map(|value| decode(&format!("the address {canonical}"), &value))
        .transpose()
}

/// The canonical forms of an account's addresses.
pub(crate) fn addresses_in(reader: &impl Read, id: AccountId) -> Result<Vec<String>> {
    reader
        .prefix(id.realm(), &[schema::ACCOUNT_ADDRESS], Order::Ascending)?
        .map(|row| Ok(String::from_utf8_lossy(&row?.0[1..]).into_owned()))
        .collect()
}

/// The same with their records.
pub(crate) fn records_in(reader: &impl Read, id: AccountId) -> Result<Vec<(String, AddressRecord)>> {
    let mut records = Vec::new();
    for row in reader.prefix(id.realm(), &[schema::ACCOUNT_ADDRESS], Order::Ascending)? {
        let (key, value) = row?;
        let canonical = String::from_utf8_lossy(&key[1..]).into_owned();
        let record = decode(&format!("the address {canonical}"), &value)?;
        records.push((canonical, record));
    }
    Ok(records)
}

/// Addresses that count towards [`MAX_ADDRESSES`]: masked ones have a limit of their own.
pub(crate) fn count_in(reader: &impl Read, id: AccountId) -> Result<usize> {
    Ok(records_in(reader, id)?.iter().filter(|(_, record)| record.origin != schema::MASKED).count())
}

/// Gives an address to an account. It must be free.
pub(crate) fn put_in(tx: &mut Tx<'_>, id: AccountId, canonical: &str, alias: bool) {
    put_record_in(tx, canonical, AddressRecord { account: id.0, alias, ..AddressRecord::default() });
}

/// Writes what an address is.
pub(crate) fn put_record_in(tx: &mut Tx<'_>, canonical: &str, record: AddressRecord) {
    let value = record.encode_to_vec();
    tx.put(RealmId::DIRECTORY, address_key(canonical), value.clone());
    tx.put(AccountId(record.account).realm(), account_address_key(canonical), value);
}

/// That an account is there.
pub(crate) fn live_in(tx: &Tx<'_>, id: AccountId) -> Result<()> {
    let gone = crate::account::record(tx, id)?.is_none_or(|record| record.deleted_ms.is_some());
    if gone { Err(DirectoryError::no_account(id)) } else { Ok(()) }
}

/// Takes an address away from an account.
pub(crate) fn delete_in(tx: &mut Tx<'_>, id: AccountId, canonical: &str) {
    tx.delete(RealmId::DIRECTORY, address_key(canonical));
    tx.delete(id.realm(), account_address_key(canonical));
}

/// The canonical form of what an operator types: an address, or `@domain` for a catch-all.
fn canonical_or_catch_all(text: &str) -> Result<(String, String)> {
    if let Some(domain) = text.strip_prefix('@') {
        let domain = mailkit::address::normal_domain(domain)?;
        return Ok((format!("@{domain}"), domain));
    }
    let address = EmailAddress::parse(text)?;
    Ok((address.canonical(), address.domain().to_owned()))
}

/// Whether servers elsewhere take what an operator wants to make an address.
fn check_own(text: &str) -> Result<()> {
    if !text.starts_with('@') {
        EmailAddress::parse(text)?.check_own()?;
    }
    Ok(())
}

/// Under what an address is looked for, in this order: itself, without its detail (`+…`), the domain's catch-all.
pub fn ways_to(address: &EmailAddress) -> Vec<String> {
    let mut ways = vec![address.canonical()];
    if let Some((plain, _)) = address.split_detail(DETAIL_SEPARATOR) {
        ways.push(plain.canonical());
    }
    ways.push(format!("@{}", address.domain()));
    ways
}

impl Directory {
    /// All addresses with their accounts, in canonical form; catch-alls as `@domain`. Those whose mail is refused have none.
    ///
    /// # Errors
    /// Those of the store.
    pub fn all_addresses(&self) -> Result<Vec<(String, Option<AccountId>)>> {
        let snapshot = self.store().snapshot();
        let mut found = Vec::new();
        for row in snapshot.prefix(RealmId::DIRECTORY, &[schema::ADDRESS], Order::Ascending)? {
            let (key, value) = row?;
            let address = String::from_utf8_lossy(&key[1..]).into_owned();
            let record: AddressRecord = decode(&format!("the address {address}"), &value)?;
            found.push((address, (!record.blocked).then_some(AccountId(record.account))));
        }
        Ok(found)
    }

    /// Adds an address to an account; `@domain` makes it the domain's catch-all.
    ///
    /// # Errors
    /// The address is in use or malformed, the domain is not local, or the account has the most addresses allowed.
    pub async fn add_alias(&self, id: AccountId, alias: &str) -> Result<()> {
        let (canonical, domain) = canonical_or_catch_all(alias)?;
        check_own(alias)?;
        if self.is_mask_of_other(&canonical, None)? {
            return Err(DirectoryError::AddressTaken(canonical));
        }
        self.store()
            .transact(move |tx| {
                live_in(tx, id)?;
                if tx.get(RealmId::DIRECTORY, &domain_key(&domain))?.is_none() {
                    return Err(DirectoryError::NoSuchDomain(domain));
                }
                if lookup(tx, &canonical)?.is_some() {
                    return Err(DirectoryError::AddressTaken(canonical));
                }
                if count_in(tx, id)? >= MAX_ADDRESSES {
                    return Err(DirectoryError::TooMany { what: "addresses", limit: MAX_ADDRESSES });
                }
                put_in(tx, id, &canonical, true);
                Ok(())
            })
            .await
    }

    /// Takes an address away from an account.
    ///
    /// # Errors
    /// The account does not have it, or it is its login.
    pub async fn remove_alias(&self, id: AccountId, alias: &str) -> Result<()> {
        let (canonical, _) = canonical_or_catch_all(alias)?;
        self.store()
            .transact(move |tx| match lookup(tx, &canonical)? {
                Some(record) if record.account == id.0 && record.alias => {
                    delete_in(tx, id, &canonical);
                    Ok(())
                }
                Some(record) if record.account == id.0 => Err(DirectoryError::LoginAddress(canonical)),
                _ => Err(DirectoryError::NoSuchAccount(canonical)),
            })
            .await
    }

    /// The account's addresses, its login first; catch-alls as `@domain`. Without masked addresses that are blocked.
    ///
    /// # Errors
    /// Those of the store.
    pub fn addresses_of(&self, id: AccountId) -> Result<Vec<String>> {
        let snapshot = self.store().snapshot();
        let login = self.account(id)?.map(|account| account.address.canonical());
        let mut addresses = Vec::new();
        for (canonical, record) in records_in(&snapshot, id)? {
            if !record.blocked {
                addresses.push(canonical);
            }
        }
        addresses.sort_by_key(|address| Some(address) != login.as_ref());
        Ok(addresses)
    }

    /// Whether an account may put this address into From and MAIL FROM: mail for it would reach the account.
    ///
    /// # Errors
    /// Those of the store.
    pub fn may_send_as(&self, id: AccountId, address: &EmailAddress) -> Result<bool> {
        Ok(self.resolved(address, false)? == Resolved::Account(id))
    }
}
