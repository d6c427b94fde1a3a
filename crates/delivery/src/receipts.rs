//! Receipts of submissions: read by their keys, and forgotten when their time is over.

use directory::AccountId;
use prost::Message as _;
use store::{Order, Read, RealmId, Store, Tx};

use crate::schema::{self, ReceiptRecord};
use crate::{DeliveryError, Result};

/// Old receipts that one Send clears away at most.
const RECEIPTS_FORGOTTEN_PER_COMMIT: usize = 16;

/// What came of a submission, by its key.
pub fn load_receipt<R: Read + ?Sized>(read: &R, account: AccountId, key: &[u8]) -> Result<Option<ReceiptRecord>> {
    let Some(bytes) = read.get(account.realm(), &schema::receipt_key(key))? else { return Ok(None) };
    let damaged = |e: prost::DecodeError| {
        DeliveryError::damaged(store::Cause::Decoding, format!("a receipt of account {}: {e}", account.0))
    };
    ReceiptRecord::decode(bytes).map(Some).map_err(damaged)
}

/// Forgets all receipts of an account whose time is over, step by step.
pub async fn forget_receipts(store: &Store, realm: RealmId) -> Result<()> {
    let now_ms = store.clock().now_ms();
    let is_due = |store: &Store| -> Result<bool> {
        let snapshot = store.snapshot();
        let first = snapshot.prefix(realm, &schema::RECEIPT_EXPIRY_PREFIX, Order::Ascending)?.next().transpose()?;
        let when = first.and_then(|(key, _)| Some(schema::receipt_expiry_key_parts(&key)?.0));
        Ok(when.is_some_and(|when| when <= now_ms))
    };
    while is_due(store)? {
        store
            .transact(move |tx| {
                tx.clears(realm);
                tx.keeps_books();
                forget_receipts_in(tx, realm, now_ms)
            })
            .await?;
    }
    Ok(())
}

/// The same for some of them, in a commit.
pub fn forget_receipts_in(tx: &mut Tx<'_>, realm: RealmId, now_ms: i64) -> Result<()> {
    let mut old = Vec::new();
    for row in tx.prefix(realm, &schema::RECEIPT_EXPIRY_PREFIX, Order::Ascending)? {
        let (key, _) = row?;
        match schema::receipt_expiry_key_parts(&key) {
            Some((when, name)) if when <= now_ms && old.len() < RECEIPTS_FORGOTTEN_PER_COMMIT => {
                old.push((key.to_vec(), schema::receipt_key(name)));
            }
            _ => break,
        }
    }
    for (expiry, receipt) in old {
        tx.delete(realm, expiry);
        tx.delete(realm, receipt);
    }
    Ok(())
}
