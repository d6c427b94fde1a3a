//! Secrets that other parts of an account need, such as the password of an account elsewhere.

use prost::Message as _;
use store::{Read, Tx};
use zeroize::Zeroizing;

use super::{Mode, Place, seal_in, secret_of};
use crate::schema::{HeldSecretRecord, decode, held_secret_key};
use crate::{AccountId, Directory, DirectoryError, Result, SealError};

impl Directory {
    /// Keeps a secret of an account under a number, sealed if secrets are. The account must be there and not deleted.
    ///
    /// # Errors
    /// [`DirectoryError::NoSecretsKey`]; those of reading.
    pub fn hold_secret_in(&self, tx: &mut Tx<'_>, account: AccountId, number: u64, secret: &[u8]) -> Result<()> {
        let mut record = HeldSecretRecord::default();
        match self.keys().mode(tx)? {
            Mode::Open => record.secret = secret.to_vec(),
            Mode::Seal(ring) => record.sealed = seal_in(tx, ring, &Place::Held(account, number), secret)?,
            Mode::Refuse(why) => return Err(DirectoryError::NoSecretsKey(why)),
        }
        tx.put(account.realm(), held_secret_key(number), record.encode_to_vec());
        Ok(())
    }

    /// Forgets such a secret.
    pub fn forget_secret_in(&self, tx: &mut Tx<'_>, account: AccountId, number: u64) {
        tx.delete(account.realm(), held_secret_key(number));
    }

    /// Such a secret; `None` if there is none. The inner error: it is sealed and can't be opened now.
    ///
    /// # Errors
    /// Those of reading.
    pub fn held_secret(
        &self,
        account: AccountId,
        number: u64,
    ) -> Result<Result<Option<Zeroizing<Vec<u8>>>, SealError>> {
        let Some(value) = self.store().snapshot().get(account.realm(), &held_secret_key(number))? else {
            return Ok(Ok(None));
        };
        let record: HeldSecretRecord = decode("a held secret", &value)?;
        Ok(secret_of(&self.keys(), &Place::Held(account, number), &record.secret, &record.sealed))
    }
}

/// The held secrets of an account, by number.
pub(super) fn held<R: Read + ?Sized>(read: &R, account: AccountId) -> Result<Vec<(u64, HeldSecretRecord)>> {
    let mut out = Vec::new();
    for row in read.prefix(account.realm(), &[crate::schema::HELD_SECRET], store::Order::Ascending)? {
        let (key, value) = row?;
        let Ok(number) = <[u8; 8]>::try_from(&key[1..]) else { continue };
        out.push((u64::from_be_bytes(number), decode("a held secret", &value)?));
    }
    Ok(out)
}
