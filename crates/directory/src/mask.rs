//! Masked addresses: made for one site each, so that its mail can be told apart and stopped.
//!
//! An address says by itself whose it is, to this service alone: its last letters are a keyed hash of the account and of the
//! letters before them. So it never goes to another account, neither after it was deleted nor after a restore to a time at
//! which it did not exist.

use mailkit::EmailAddress;
use prost::Message as _;
use store::{Order, Read, RealmId, StoreError, Tx};

use crate::{
    AccountId, Directory, DirectoryError, Result,
    address::{self, DETAIL_SEPARATOR},
    letters::LETTERS,
    schema::{self, AddressRecord, MASKED, MaskRecord, decode, domain_key},
};

/// Letters that are random: 60 bits.
const RANDOM_LETTERS: usize = 12;
/// Letters that say whose it is: 30 bits.
const OWNER_LETTERS: usize = 6;
/// The longest name of a masked address.
pub const MAX_MASK_NAME_BYTES: usize = 100;

/// A masked address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    /// The address.
    pub address: String,
    /// What it was made for.
    pub name: String,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: i64,
    /// Messages that came to it.
    pub count: u64,
    /// When the last one came; `None` is never.
    pub last_ms: Option<i64>,
    /// Mail to it is refused.
    pub blocked: bool,
}

/// The local part without its detail.
fn plain_local(address: &str) -> &str {
    let local = address.rsplit_once('@').map_or(address, |(local, _)| local);
    local.split(DETAIL_SEPARATOR).next().unwrap_or(local)
}

/// Whether an address has the form of masked ones. Quick; says nothing about whether there is such a one.
pub fn looks_masked(address: &str) -> bool {
    let local = plain_local(address);
    local.len() == RANDOM_LETTERS + OWNER_LETTERS && local.bytes().all(|b| LETTERS.contains(&b.to_ascii_lowercase()))
}

fn letters(bytes: &[u8], count: usize) -> String {
    bytes.iter().take(count).map(|byte| char::from(LETTERS[usize::from(byte % 32)])).collect()
}

fn key(canonical: &str) -> Vec<u8> {
    [&[schema::MASK][..], canonical.as_bytes()].concat()
}

/// Counts a message that has come to an address of an account, if it is a masked one, in the commit that files it.
///
/// # Errors
/// Those of the store.
pub fn count_mask_in(tx: &mut Tx<'_>, account: AccountId, recipient: &str) -> std::result::Result<(), StoreError> {
    if !looks_masked(recipient) {
        return Ok(());
    }
    let Ok(address) = EmailAddress::parse(recipient) else { return Ok(()) };
    let plain = address.split_detail(DETAIL_SEPARATOR).map_or_else(|| address.clone(), |(plain, _)| plain);
    let at = key(&plain.canonical());
    // A count that can't be read keeps no mail out.
    let Some(mut record) = tx.get(account.realm(), &at)?.and_then(|value| MaskRecord::decode(value).ok()) else {
        return Ok(());
    };
    (record.count, record.last_ms) = (record.count.saturating_add(1), tx.now_ms());
    tx.put(account.realm(), at, record.encode_to_vec());
    Ok(())
}

/// The masked addresses of an account, the newest first.
fn all(reader: &impl Read, account: AccountId) -> Result<Vec<Mask>> {
    let mut masks = Vec::new();
    for row in reader.prefix(account.realm(), &[schema::MASK], Order::Ascending)? {
        let (key, value) = row?;
        let address = String::from_utf8_lossy(&key[1..]).into_owned();
        let record: MaskRecord = decode("a masked address", &value)?;
        let found = address::lookup(reader, &address)?.filter(|found| found.account == account.0);
        masks.extend(found.map(|found| Mask {
            address,
            name: record.name,
            created_ms: record.created_ms,
            count: record.count,
            last_ms: (record.last_ms > 0).then_some(record.last_ms),
            blocked: found.blocked,
        }));
    }
    masks.sort_by(|one, other| (other.created_ms, &other.address).cmp(&(one.created_ms, &one.address)));
    Ok(masks)
}

/// What tells masked addresses of this service from other letters. It tells nothing else: a relay has it, so that it answers
/// for one that was deleted as this machine does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MaskKey {
    /// The key of the letters that say whose an address is.
    pub key: [u8; 32],
    /// All accounts that were ever made have lower numbers.
    pub next_account: u32,
}

impl MaskKey {
    /// Whether a masked address of that form was, is or may once be made for any account but that one.
    pub fn is_mask(&self, canonical: &str, but: Option<AccountId>) -> bool {
        looks_masked(canonical)
            && (1..self.next_account).map(AccountId).any(|id| Some(id) != but && has_owner(&self.key, id, canonical))
    }
}

fn what_is_hashed(account: AccountId, random: &str, domain: &str) -> Vec<u8> {
    [&account.0.to_be_bytes()[..], random.as_bytes(), b"@", domain.as_bytes()].concat()
}

fn owner_letters(key: &[u8; 32], account: AccountId, random: &str, domain: &str) -> String {
    letters(blake3::keyed_hash(key, &what_is_hashed(account, random, domain)).as_bytes(), OWNER_LETTERS)
}

/// The random letters of an address, those that say whose it is, and its domain.
fn parts(canonical: &str) -> Option<(&str, &str, &str)> {
    let (random, owner) = plain_local(canonical).split_at_checked(RANDOM_LETTERS)?;
    Some((random, owner, canonical.rsplit_once('@').map_or("", |(_, domain)| domain)))
}

fn has_owner(key: &[u8; 32], account: AccountId, canonical: &str) -> bool {
    parts(canonical).is_some_and(|(random, owner, domain)| owner_letters(key, account, random, domain) == owner)
}

impl Directory {
    /// What tells masked addresses of this service from other letters.
    ///
    /// # Errors
    /// Those of the store.
    pub fn mask_key(&self) -> Result<MaskKey> {
        let next = self.store().snapshot().get(RealmId::DIRECTORY, schema::NEXT_ACCOUNT)?;
        let next_account = next.and_then(|value| value[..].try_into().ok()).map_or(1, u32::from_le_bytes);
        Ok(MaskKey { key: self.keyed_hash("key of masked addresses", b""), next_account })
    }

    /// Whether an address is a masked one of an account as earlier versions made them, under another key.
    fn is_early_mask_for(&self, account: AccountId, canonical: &str) -> bool {
        let Some((random, owner, domain)) = parts(canonical) else { return false };
        let what = what_is_hashed(account, random, domain);
        letters(&self.keyed_hash("masked address", &what), OWNER_LETTERS) == owner
    }

    /// Whether an address is a masked one of an account, other than `but`: of any that has ever been.
    pub(crate) fn is_mask_of_other(&self, canonical: &str, but: Option<AccountId>) -> Result<bool> {
        if !looks_masked(canonical) {
            return Ok(false);
        }
        let key = self.mask_key()?;
        let mut others = (1..key.next_account).map(AccountId).filter(|id| Some(*id) != but);
        Ok(key.is_mask(canonical, but) || others.any(|id| self.is_early_mask_for(id, canonical)))
    }

    /// Makes a masked address in the domain that the account logs in with.
    ///
    /// # Errors
    /// The name is too long, the account has as many as it may, or it does not exist.
    pub async fn create_mask(&self, id: AccountId, name: &str) -> Result<String> {
        if name.len() > MAX_MASK_NAME_BYTES {
            return Err(DirectoryError::TooLong { what: "the name", limit: MAX_MASK_NAME_BYTES });
        }
        let account = self.account(id)?.ok_or_else(|| DirectoryError::no_account(id))?;
        let domain = account.address.domain().to_owned();
        let random = letters(&rand::random::<[u8; RANDOM_LETTERS]>(), RANDOM_LETTERS);
        let mask_key = self.mask_key()?.key;
        let canonical = format!("{random}{}@{domain}", owner_letters(&mask_key, id, &random, &domain));
        let (name, limit) = (name.trim().to_owned(), self.inner.own_addresses.masked);
        self.store()
            .transact(move |tx| {
                address::live_in(tx, id)?;
                if tx.get(RealmId::DIRECTORY, &domain_key(&domain))?.is_none() {
                    return Err(DirectoryError::NoSuchDomain(domain));
                }
                if all(tx, id)?.len() >= limit {
                    return Err(DirectoryError::TooMany { what: "masked addresses", limit });
                }
                if address::lookup(tx, &canonical)?.is_some() {
                    return Err(DirectoryError::AddressTaken(canonical));
                }
                let record = MaskRecord { name, created_ms: tx.now_ms(), ..MaskRecord::default() };
                tx.put(id.realm(), key(&canonical), record.encode_to_vec());
                let address = AddressRecord { account: id.0, alias: true, origin: MASKED, blocked: false };
                address::put_record_in(tx, &canonical, address);
                Ok(canonical)
            })
            .await
    }

    /// An account's masked addresses, the newest first.
    ///
    /// # Errors
    /// Those of the store.
    pub fn masks(&self, account: AccountId) -> Result<Vec<Mask>> {
        all(&self.store().snapshot(), account)
    }

    /// Has mail to a masked address refused, or not.
    ///
    /// # Errors
    /// It is not one of the account's.
    pub async fn block_mask(&self, id: AccountId, address: &str, blocked: bool) -> Result<()> {
        let canonical = EmailAddress::parse(address)?.canonical();
        self.store()
            .transact(move |tx| {
                let found = own_mask(tx, id, &canonical)?;
                address::put_record_in(tx, &canonical, AddressRecord { blocked, ..found });
                Ok(())
            })
            .await
    }

    /// Deletes a masked address. Nobody else ever gets it.
    ///
    /// # Errors
    /// It is not one of the account's.
    pub async fn delete_mask(&self, id: AccountId, address: &str) -> Result<()> {
        let canonical = EmailAddress::parse(address)?.canonical();
        self.store()
            .transact(move |tx| {
                own_mask(tx, id, &canonical)?;
                address::delete_in(tx, id, &canonical);
                tx.delete(id.realm(), key(&canonical));
                Ok(())
            })
            .await
    }
}

fn own_mask(tx: &Tx<'_>, id: AccountId, canonical: &str) -> Result<AddressRecord> {
    let found = address::lookup(tx, canonical)?;
    found
        .filter(|found| found.account == id.0 && found.origin == MASKED)
        .ok_or_else(|| DirectoryError::NoSuchAccount(canonical.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::looks_masked;

    #[test]
    fn only_letters_of_the_right_number_look_masked() {
        for yes in ["abcdefghijkm234567@x.example", "ABCDEFGHIJKM234567@x.example", "abcdefghijkm234567+a+b@x.example"]
        {
            assert!(looks_masked(yes), "{yes}");
        }
        for no in [
            "",
            "@x.example",
            "anna@x.example",
            "abcdefghijkl234567@x.example",
            "abcdefghijkm2345678@x.example",
            "äbcdefghijkm23456@x.example",
        ] {
            assert!(!looks_masked(no), "{no}");
        }
    }
}
