//! What the directory keeps in an account's realm, as a part of it: credentials, sessions, addresses, settings, the
//! account's audit trail.

use realm::feed::{Id, Kind, Touched, Write};
use realm::{Found, Keys, Loss, PartError, RealmPart, Rewindable, SalvageFrom, Work};
use store::{Op, RealmId, Snapshot, Store, StoreError};

use crate::{AccountId, DirectoryError, schema};

/// Who the account is.
#[derive(Clone, Copy, Debug, Default)]
pub struct DirectoryPart;

/// Addresses that the account may send from, in the change feed; their id is the address.
pub const IDENTITY: Kind = Kind { number: 6, name: "identity" };
/// Settings, signature included, in the change feed: one record, number 1.
pub const SETTINGS: Kind = Kind { number: 7, name: "settings" };

/// Its kinds of keys.
const KINDS: [u8; 10] = [
    schema::CREDENTIALS[0],
    schema::APP_PASSWORD,
    schema::SESSION,
    schema::SETTINGS[0],
    schema::ACCOUNT_AUDIT,
    schema::ACCOUNT_ADDRESS,
    schema::KNOWN_NETWORK,
    schema::SIGN_IN,
    schema::MASK,
    schema::PASSKEY,
];

impl From<DirectoryError> for PartError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::Store(error) => Self::Store(error),
            other => Self::own(other),
        }
    }
}

impl RealmPart for DirectoryPart {
    fn name(&self) -> &'static str {
        "directory"
    }

    fn title(&self) -> &'static str {
        "credentials and settings"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x01..=0x0A, kinds: &KINDS }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let Some(number) = account.account_number() else { return Ok(Vec::new()) };
        crate::invariants::check_account(AccountId(number), snapshot)
    }

    fn rewindable(&self) -> Rewindable<'_> {
        // An old password would work again, and the audit trail would forget what was done.
        Rewindable::Never
    }

    fn salvage(&self, _: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        // An account is salvaged into one that exists here, with the credentials and addresses that it has here.
        Ok(None)
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        // The audit trail says what was done to the account; its addresses are those of the deleted account's record.
        const GONE: [u8; 8] = [
            schema::CREDENTIALS[0],
            schema::APP_PASSWORD,
            schema::SESSION,
            schema::SETTINGS[0],
            schema::KNOWN_NETWORK,
            schema::SIGN_IN,
            schema::MASK,
            schema::PASSKEY,
        ];
        Box::pin(realm::clear_rows(store, account, &GONE))
    }

    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        // Each sign-in clears away sessions and networks whose time is over.
        Box::pin(async move { Ok(crate::history::clear_expired(store, account).await?) })
    }

    fn loss(&self, _: &Op) -> Option<Loss> {
        None
    }

    fn things(&self) -> &'static [Kind] {
        &[IDENTITY, SETTINGS]
    }

    fn touches(&self, write: &Write<'_>, touched: &mut Touched) -> Result<(), StoreError> {
        match write.key[0] {
            schema::ACCOUNT_ADDRESS => {
                touched.record(IDENTITY, Id::Name(String::from_utf8_lossy(&write.key[1..]).into_owned()), write)
            }
            kind if kind == schema::SETTINGS[0] => touched.record(SETTINGS, 1, write),
            _ => Ok(()),
        }
    }
}
