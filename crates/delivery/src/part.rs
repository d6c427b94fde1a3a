//! Receipts of what an account sent, as a part of its realm.

use prost::Message as _;
use realm::feed::{Kind, Touched, Write, damaged};
use realm::{Found, Keys, Loss, PartError, RealmPart, Rewindable, SalvageFrom, Work};
use store::{Op, RealmId, Snapshot, Store, StoreError};

use crate::schema::{self, ACCOUNT_KEYS, ReceiptRecord};
use crate::{DeliveryError, receipts};

/// Receipts: what became of each Send.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReceiptsPart;

/// Submissions, in the change feed; their id is the queue's.
pub const SUBMISSION: Kind = Kind { number: 8, name: "submission" };

/// Findings reported of one account.
const MAX_FINDINGS: usize = 100;

impl From<DeliveryError> for PartError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Store(error) => Self::Store(error),
            other => Self::own(other),
        }
    }
}

impl RealmPart for ReceiptsPart {
    fn name(&self) -> &'static str {
        "receipts"
    }

    fn title(&self) -> &'static str {
        "receipts of sent messages"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x40..=0x47, kinds: &[ACCOUNT_KEYS] }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let unsound = realm::unsound_rows(account, snapshot, &[ACCOUNT_KEYS], MAX_FINDINGS, is_sound)?;
        let tell = |key: &Vec<u8>| format!("the receipt at {:02x?} can't be decoded", &key[..key.len().min(32)]);
        Ok(unsound.iter().map(tell).collect())
    }

    fn rewindable(&self) -> Rewindable<'_> {
        // What was sent was sent: without its receipt the same Send would send it again.
        Rewindable::Never
    }

    fn salvage(&self, _: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        // A receipt is salvaged with the queued message that it is of.
        Ok(None)
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, &[ACCOUNT_KEYS]))
    }

    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move { Ok(receipts::forget_receipts(store, account).await?) })
    }

    fn loss(&self, _: &Op) -> Option<Loss> {
        None
    }

    fn things(&self) -> &'static [Kind] {
        &[SUBMISSION]
    }

    fn touches(&self, write: &Write<'_>, touched: &mut Touched) -> Result<(), StoreError> {
        if write.key.get(1) != Some(&b'r') {
            return Ok(());
        }
        let record = write.value.cloned().map_or_else(|| write.before(), |value| Ok(Some(value)))?;
        let Some(record) = record else { return Ok(()) };
        let Ok(receipt) = ReceiptRecord::decode(record) else {
            return Err(damaged(write.account, write.key));
        };
        touched.record(SUBMISSION, receipt.id, write)
    }
}

/// Whether a row is as this version writes it.
fn is_sound(key: &[u8], value: &[u8]) -> bool {
    match key.get(1) {
        Some(b'r') => ReceiptRecord::decode(value).is_ok(),
        Some(b't') => schema::receipt_expiry_key_parts(key).is_some(),
        _ => false,
    }
}
