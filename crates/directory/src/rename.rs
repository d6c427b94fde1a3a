//! An account's login becomes another address. Its number stays, and with it mail, password, sessions and app passwords.

use mailkit::EmailAddress;
use prost::Message as _;
use store::{Read as _, RealmId};

use crate::{
    AccountId, Directory, DirectoryError, Result,
    address::{MAX_ADDRESSES, count_in, delete_in, lookup, put_in},
    schema::{AccountRecord, account_key, decode, domain_key},
};

impl Directory {
    /// Changes an account's login to a free address or one of its own. With `keep_old`, the old address becomes an alias.
    /// Passwords, sessions and app passwords are unchanged; one commit.
    ///
    /// # Errors
    /// The account does not exist; the address is taken, or its domain is not ours; the account has as many addresses as
    /// it may.
    pub async fn rename_account(&self, id: AccountId, new: &EmailAddress, keep_old: bool) -> Result<()> {
        let (canonical, domain) = (new.canonical(), new.domain().to_owned());
        if self.is_mask_of_other(&canonical, None)? {
            return Err(DirectoryError::AddressTaken(canonical));
        }
        self.store()
            .transact(move |tx| {
                let stored = tx.get(RealmId::DIRECTORY, &account_key(id))?;
                let stored = stored.map(|value| decode::<AccountRecord>("an account", &value)).transpose()?;
                let mut record = stored
                    .filter(|record| record.deleted_ms.is_none())
                    .ok_or_else(|| DirectoryError::no_account(id))?;
                if tx.get(RealmId::DIRECTORY, &domain_key(&domain))?.is_none() {
                    return Err(DirectoryError::NoSuchDomain(domain));
                }
                let old = EmailAddress::parse(&record.address)
                    .map_err(|_| {
                        DirectoryError::damaged(store::Cause::Decoding, format!("the address of account {id}"))
                    })?
                    .canonical();
                let found = lookup(tx, &canonical)?;
                if found.as_ref().is_some_and(|found| found.account != id.0) {
                    return Err(DirectoryError::AddressTaken(canonical));
                }
                if old != canonical {
                    if keep_old {
                        if found.is_none() && count_in(tx, id)? >= MAX_ADDRESSES {
                            return Err(DirectoryError::TooMany { what: "addresses", limit: MAX_ADDRESSES });
                        }
                        put_in(tx, id, &old, true);
                    } else {
                        delete_in(tx, id, &old);
                    }
                    put_in(tx, id, &canonical, false);
                }
                record.address = canonical;
                tx.put(RealmId::DIRECTORY, account_key(id), record.encode_to_vec());
                Ok(())
            })
            .await
    }
}
