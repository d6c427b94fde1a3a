//! Forwarding as a part of an account's realm.

use prost::Message as _;
use realm::feed::{Kind, Touched, Write};
use realm::{Found, Keys, Loss, Merged, Merging, RealmPart, Rewindable, SalvageFrom, Work};
use store::{Op, Order, Read as _, RealmId, Snapshot, Store, StoreError, Tx};

use super::{OPTIONS, OptionsRecord, TARGET, TargetRecord};

const KINDS: [u8; 2] = [TARGET, OPTIONS];
/// A request that was not confirmed is forgotten so long after it has expired.
const FORGET_AFTER_MS: i64 = 30 * super::DAY_MS;

/// Where an account's mail is forwarded to.
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardingPart;

fn is_sound(key: &[u8], value: &[u8]) -> bool {
    match key {
        [TARGET, hash @ ..] => hash.len() == 16 && TargetRecord::decode(value).is_ok(),
        [OPTIONS] => OptionsRecord::decode(value).is_ok(),
        _ => false,
    }
}

impl RealmPart for ForwardingPart {
    fn name(&self) -> &'static str {
        "forwarding"
    }

    fn title(&self) -> &'static str {
        "forwarding"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x9C..=0x9F, kinds: &KINDS }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let unsound = realm::unsound_rows(account, snapshot, &KINDS, usize::MAX, is_sound)?;
        let tell = |key: &Vec<u8>| format!("forwarding has {key:02x?}, which is no record of it");
        Ok(unsound.iter().map(tell).collect())
    }

    fn rewindable(&self) -> Rewindable<'_> {
        // Mail never begins to go elsewhere because an account went back to an earlier moment.
        Rewindable::Never
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        let mut found = FoundTargets::default();
        for row in from.read.prefix(from.realm, &[TARGET], Order::Ascending)? {
            let (key, value) = row?;
            match TargetRecord::decode(value) {
                Ok(record) if key.len() == 17 => found.rows.push((key.to_vec(), record)),
                _ => found.unreadable += 1,
            }
        }
        Ok(Some(Box::new(found)))
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, &KINDS))
    }

    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move {
            let before_ms = store.clock().now_ms() - FORGET_AFTER_MS;
            let old = old_requests(store, account, before_ms)?;
            if old.is_empty() {
                return Ok(());
            }
            let forgotten = store.transact(move |tx: &mut Tx<'_>| {
                for key in old {
                    let record = tx.get(account, &key)?.map(TargetRecord::decode);
                    if record.is_some_and(|record| record.is_ok_and(|record| is_old(&record, before_ms))) {
                        tx.delete(account, key);
                    }
                }
                Ok::<_, StoreError>(())
            });
            Ok(forgotten.await?)
        })
    }

    fn loss(&self, _: &Op) -> Option<Loss> {
        // At most a few, which are made again in a minute.
        None
    }

    fn things(&self) -> &'static [Kind] {
        &[]
    }

    fn touches(&self, _: &Write<'_>, _: &mut Touched) -> Result<(), StoreError> {
        Ok(())
    }
}

const fn is_old(record: &TargetRecord, before_ms: i64) -> bool {
    record.confirmed_ms == 0 && record.code_until_ms < before_ms
}

fn old_requests(store: &Store, account: RealmId, before_ms: i64) -> Result<Vec<Vec<u8>>, StoreError> {
    let mut old = Vec::new();
    for row in store.snapshot().prefix(account, &[TARGET], Order::Ascending)? {
        let (key, value) = row?;
        if TargetRecord::decode(value).is_ok_and(|record| is_old(&record, before_ms)) {
            old.push(key.to_vec());
        }
    }
    Ok(old)
}

/// Addresses that were found, by key. They come back unconfirmed: whether their owners still agree is not known.
#[derive(Default)]
struct FoundTargets {
    rows: Vec<(Vec<u8>, TargetRecord)>,
    unreadable: u64,
}

impl Found for FoundTargets {
    fn title(&self) -> String {
        format!("{} addresses that mail is forwarded to", self.rows.len())
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unreadable == 0
    }

    fn unreadable(&self) -> Vec<Vec<String>> {
        if self.unreadable == 0 {
            return Vec::new();
        }
        vec![vec![format!("{} addresses that mail is forwarded to", self.unreadable)]]
    }

    fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    fn merge(&self, into: &mut Merging<'_>) -> realm::Result<Merged> {
        let snapshot = into.store.snapshot();
        let mut missing = Vec::new();
        for (key, record) in &self.rows {
            if snapshot.get(into.account, key)?.is_none() {
                let record = TargetRecord {
                    address: record.address.clone(),
                    added_ms: record.added_ms,
                    ..TargetRecord::default()
                };
                missing.push((key.clone(), record.encode_to_vec()));
            }
        }
        let (count, account) = (missing.len(), into.account);
        if count > 0 && !into.preview {
            let added = into.store.transact(move |tx: &mut Tx<'_>| {
                for (key, value) in missing {
                    tx.put(account, key, value);
                }
                Ok::<_, StoreError>(())
            });
            added.wait()?;
        }
        let verb = if into.preview { "would be added" } else { "added" };
        let line = format!("{count} addresses to forward to {verb}, to be confirmed again");
        Ok(Merged { lines: vec![vec![line]], audit: None, is_all: true })
    }
}
