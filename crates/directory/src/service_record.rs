//! Records of the service itself, as its certificates: each has a part that anybody may read, and a secret, which is sealed
//! like the secrets of accounts and domains. They are in the directory realm, so that a standby and a restored service have
//! them.

use prost::Message as _;
use store::{Order, Read as _, RealmId};
use zeroize::Zeroizing;

use crate::{
    Directory, DirectoryError, Result, SealError,
    schema::{ServiceRecord, decode, service_key},
    secrets,
};

/// The longest name of a record.
pub const MAX_SERVICE_NAME_BYTES: usize = 300;
/// The largest record, both parts together.
pub const MAX_SERVICE_RECORD_BYTES: usize = 256 * 1024;

/// A record as it was read.
pub struct ServiceEntry {
    /// Its name.
    pub name: String,
    /// What anybody may read.
    pub open: Vec<u8>,
    /// The secret, empty when it has none; an error when it is sealed and the key is not at hand.
    pub secret: Result<Zeroizing<Vec<u8>>, SealError>,
}

/// A change of a record.
pub enum ServiceChange {
    /// The record is to be so.
    Put {
        /// Its name.
        name: String,
        /// What anybody may read.
        open: Vec<u8>,
        /// The secret; empty for none.
        secret: Zeroizing<Vec<u8>>,
    },
    /// The part that anybody may read is to be so; the secret stays as it is.
    PutOpen {
        /// The record's name.
        name: String,
        /// The part.
        open: Vec<u8>,
    },
    /// It is to be gone.
    Remove(
        /// Its name.
        String,
    ),
}

impl ServiceChange {
    fn size(&self) -> (usize, usize) {
        match self {
            Self::Put { name, open, secret } => (name.len(), open.len() + secret.len()),
            Self::PutOpen { name, open } => (name.len(), open.len()),
            Self::Remove(name) => (name.len(), 0),
        }
    }
}

impl Directory {
    /// The records whose names begin with `prefix`, by name.
    ///
    /// # Errors
    /// Those of the store.
    pub fn service_records(&self, prefix: &str) -> Result<Vec<ServiceEntry>> {
        let (snapshot, keys) = (self.store().snapshot(), self.keys());
        snapshot
            .prefix(RealmId::DIRECTORY, &service_key(prefix), Order::Ascending)?
            .map(|row| {
                let (key, value) = row?;
                let name = String::from_utf8_lossy(&key[1..]).into_owned();
                let record: ServiceRecord = decode("a record of the service", &value)?;
                let secret = secrets::service(&keys, &name, &record).map(Option::unwrap_or_default);
                Ok(ServiceEntry { name, open: record.open, secret })
            })
            .collect()
    }

    /// Makes these changes in one commit.
    ///
    /// # Errors
    /// [`DirectoryError::TooLong`], [`DirectoryError::NoSecretsKey`]; those of the store.
    pub async fn change_service_records(&self, changes: Vec<ServiceChange>) -> Result<()> {
        for (name, record) in changes.iter().map(ServiceChange::size) {
            if name > MAX_SERVICE_NAME_BYTES {
                return Err(DirectoryError::TooLong { what: "the record's name", limit: MAX_SERVICE_NAME_BYTES });
            }
            if record > MAX_SERVICE_RECORD_BYTES {
                return Err(DirectoryError::TooLong { what: "the record", limit: MAX_SERVICE_RECORD_BYTES });
            }
        }
        let keys = self.keys();
        self.store()
            .transact(move |tx| {
                tx.keeps_books();
                for change in &changes {
                    match change {
                        ServiceChange::Put { name, open, secret } => {
                            let mut record = ServiceRecord { open: open.clone(), ..ServiceRecord::default() };
                            secrets::put_service_in(tx, &keys, name, &mut record, secret)?;
                            tx.put(RealmId::DIRECTORY, service_key(name), record.encode_to_vec());
                        }
                        ServiceChange::PutOpen { name, open } => {
                            let key = service_key(name);
                            let before = tx.get(RealmId::DIRECTORY, &key)?;
                            let mut record: ServiceRecord = match before {
                                Some(value) => decode("a record of the service", &value)?,
                                None => ServiceRecord::default(),
                            };
                            record.open.clone_from(open);
                            tx.put(RealmId::DIRECTORY, key, record.encode_to_vec());
                        }
                        ServiceChange::Remove(name) => tx.delete(RealmId::DIRECTORY, service_key(name)),
                    }
                }
                Ok::<_, DirectoryError>(())
            })
            .await
    }
}
