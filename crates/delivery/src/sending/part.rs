//! What an account has sent, as a part of its realm.

use realm::feed::{Kind, Touched, Write};
use realm::{Found, Keys, Loss, RealmPart, Rewindable, SalvageFrom, Work};
use store::{Op, RealmId, Snapshot, Store, StoreError, Tx};

use super::usage::{self, BUCKET, DAY, WRITTEN};
use crate::quota_notice::QUOTA_TOLD;
use crate::{DeliveryError, Result};

/// How much an account has sent, and to whom it has written.
#[derive(Clone, Copy, Debug, Default)]
pub struct SendingPart;

const KINDS: [u8; 4] = [BUCKET, WRITTEN, DAY, QUOTA_TOLD];
/// Findings reported of one account.
const MAX_FINDINGS: usize = 100;
/// Rows that one commit of the upkeep deletes.
const ROWS_PER_COMMIT: usize = 500;

impl RealmPart for SendingPart {
    fn name(&self) -> &'static str {
        "sending"
    }

    fn title(&self) -> &'static str {
        "the count of sent messages"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x48..=0x4F, kinds: &KINDS }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let unsound = realm::unsound_rows(account, snapshot, &KINDS, MAX_FINDINGS, usage::is_sound)?;
        let tell = |key: &Vec<u8>| format!("the count at {:02x?} can't be decoded", &key[..key.len().min(32)]);
        Ok(unsound.iter().map(tell).collect())
    }

    fn rewindable(&self) -> Rewindable<'_> {
        // What was sent was sent: a rewind gives nobody another day's share.
        Rewindable::Never
    }

    fn salvage(&self, _: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        // A day later it would be forgotten.
        Ok(None)
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, &KINDS))
    }

    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move { Ok(forget(store, account).await?) })
    }

    fn loss(&self, _: &Op) -> Option<Loss> {
        None
    }

    fn things(&self) -> &'static [Kind] {
        &[]
    }

    fn touches(&self, _: &Write<'_>, _: &mut Touched) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Forgets what no limit looks at any more.
async fn forget(store: &Store, account: RealmId) -> Result<()> {
    let now_ms = store.clock().now_ms();
    loop {
        let keys = usage::past(&store.snapshot(), account, now_ms, ROWS_PER_COMMIT)?;
        let count = keys.len();
        if count == 0 {
            return Ok(());
        }
        store
            .transact(move |tx: &mut Tx<'_>| {
                tx.clears(account);
                tx.keeps_books();
                for key in keys {
                    tx.delete(account, key);
                }
                Ok::<_, DeliveryError>(())
            })
            .await?;
        if count < ROWS_PER_COMMIT {
            return Ok(());
        }
    }
}
