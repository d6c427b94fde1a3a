//! A ledger: what it says has happened, and stays.

use realm::feed::{Kind, Touched, Write};
use realm::{Found, Keys, Loss, Merged, Merging, RealmPart, Rewindable, SalvageFrom, Work};
use store::{Op, Order, Read as _, RealmId, Snapshot, Store, StoreError, Tx};

/// `68` number → amount.
const KEY: u8 = 0x68;

/// Payments, in the change feed.
pub const PAYMENT: Kind = Kind { number: 65, name: "payment" };

/// Payments.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ledger;

/// The key of an entry. Its value is an amount, 8 bytes.
#[must_use]
pub fn entry(number: u8) -> Vec<u8> {
    vec![KEY, number]
}

impl RealmPart for Ledger {
    fn name(&self) -> &'static str {
        "ledger"
    }

    fn title(&self) -> &'static str {
        "the ledger"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x68..=0x6F, kinds: &[KEY] }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let mut findings = Vec::new();
        for (row, due) in snapshot.prefix(account, &[KEY], Order::Ascending)?.zip(1u8..) {
            let (key, value) = row?;
            if key[..] != entry(due) || value.len() != 8 {
                findings.push(format!("the ledger has {key:02x?} where entry {due} is due"));
            }
        }
        Ok(findings)
    }

    fn rewindable(&self) -> Rewindable<'_> {
        Rewindable::Never
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        let mut entries = Vec::new();
        for row in from.read.prefix(from.realm, &[KEY], Order::Ascending)? {
            let (key, value) = row?;
            entries.push((key.to_vec(), value.to_vec()));
        }
        Ok(Some(Box::new(FoundEntries(entries))))
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, &[KEY]))
    }

    fn maintain<'a>(&'a self, _: &'a Store, _: RealmId) -> Work<'a> {
        // Nothing of it is ever no longer needed.
        Box::pin(std::future::ready(Ok(())))
    }

    fn loss(&self, op: &Op) -> Option<Loss> {
        (op.value.is_none() && op.key.first() == Some(&KEY)).then_some(Loss::one("ledger entries"))
    }

    fn things(&self) -> &'static [Kind] {
        &[PAYMENT]
    }

    fn touches(&self, write: &Write<'_>, touched: &mut Touched) -> Result<(), StoreError> {
        touched.record(PAYMENT, u64::from(write.key.get(1).copied().unwrap_or_default()), write)
    }
}

/// Entries that were salvaged, by key.
struct FoundEntries(Vec<(Vec<u8>, Vec<u8>)>);

impl Found for FoundEntries {
    fn title(&self) -> String {
        format!("{} ledger entries", self.0.len())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn unreadable(&self) -> Vec<Vec<String>> {
        Vec::new()
    }

    fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    fn merge(&self, into: &mut Merging<'_>) -> realm::Result<Merged> {
        let snapshot = into.store.snapshot();
        let mut missing = Vec::new();
        for (key, value) in &self.0 {
            if snapshot.get(into.account, key)?.is_none() {
                missing.push((key.clone(), value.clone()));
            }
        }
        let (count, account) = (missing.len(), into.account);
        if count > 0 && !into.preview {
            into.store
                .transact(move |tx: &mut Tx<'_>| {
                    for (key, value) in missing {
                        tx.put(account, key, value);
                    }
                    Ok::<_, StoreError>(())
                })
                .wait()?;
        }
        Ok(Merged { lines: vec![vec![format!("{count} ledger entries")]], audit: None, is_all: true })
    }
}
