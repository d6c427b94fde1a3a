//! The change feed as a part of an account's realm.

use prost::Message as _;
use store::{Op, Order, Read as _, RealmId, RealmSeq, Snapshot, Store, StoreError, Tx};

use super::{FEED, FeedRecord, Kind, MAX_COMMITS, ROW, Touched, Write, damaged, feed_of, row::RowRecord, row_seq};
use crate::{Found, Keys, Loss, RealmPart, Rewindable, SalvageFrom, Work, clear_rows};

/// Most rows that one commit clears away.
const ROWS_PER_COMMIT: usize = 500;

/// The change feed. It stands last in a list of parts: what the others clear away is noted in it.
#[derive(Clone, Copy, Debug, Default)]
pub struct FeedPart;

impl RealmPart for FeedPart {
    fn name(&self) -> &'static str {
        "changes"
    }

    fn title(&self) -> &'static str {
        "the change feed"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x70..=0x7F, kinds: &[FEED, ROW] }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        super::since::check(snapshot, account)
    }

    fn rewindable(&self) -> Rewindable<'_> {
        // A rewind is one more change.
        Rewindable::Never
    }

    fn salvage(&self, _: &SalvageFrom<'_>) -> crate::Result<Option<Box<dyn Found>>> {
        // What is merged is noted here as new.
        Ok(None)
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        // The rows first: a feed without its beginning would be one that is complete.
        Box::pin(clear_rows(store, account, &[ROW, FEED]))
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

/// Clears away rows past the retention time, and those of too many commits ago, the oldest first.
async fn forget(store: &Store, account: RealmId) -> Result<(), StoreError> {
    let retention_ms = i64::try_from(store.retention().as_millis()).unwrap_or(i64::MAX);
    let before_ms = store.clock().now_ms().saturating_sub(retention_ms);
    let snapshot = store.snapshot();
    let too_long_ago = RealmSeq(snapshot.realm_seq(account).0.saturating_sub(MAX_COMMITS));
    let mut old: Vec<RealmSeq> = Vec::new();
    for row in snapshot.prefix(account, &[ROW], Order::Ascending)? {
        let (key, value) = row?;
        let row = RowRecord::decode(value).map_err(|_| damaged(account, &key))?;
        let seq = row_seq(&key).ok_or_else(|| damaged(account, &key))?;
        if row.at_ms >= before_ms && seq > too_long_ago {
            break;
        }
        old.push(seq);
    }
    drop(snapshot);
    for step in old.chunks(ROWS_PER_COMMIT) {
        let step = step.to_vec();
        let forgotten = store.transact(move |tx: &mut Tx<'_>| {
            tx.keeps_books();
            tx.clears(account);
            let feed = feed_of(tx, account)?.unwrap_or_default();
            let last = step.last().map_or(0, |seq| seq.0);
            for seq in step {
                tx.delete(account, super::row_key(seq));
            }
            let feed = FeedRecord { floor: feed.floor.max(last), ..feed };
            tx.put(account, vec![FEED], feed.encode_to_vec());
            Ok::<_, StoreError>(())
        });
        forgotten.await?;
    }
    Ok(())
}
