//! Accounts elsewhere as a part of an account's realm.

use prost::Message as _;
use realm::feed::{Kind, Touched, Write};
use realm::{Found, Keys, Loss, Merged, Merging, RealmPart, Rewindable, SalvageFrom, Work};
use store::{Op, Order, Read as _, RealmId, Snapshot, Store, StoreError, Tx};

use crate::schema::{KINDS, REMOTE, RemoteRecord, SECRET, SEEN, SOURCE, SeenRecord, SourceRecord};
use crate::source::State;
use crate::sources::{clear, sources};

/// Accounts elsewhere, their passwords, and what was fetched from them.
#[derive(Clone, Copy, Debug, Default)]
pub struct FetchingPart;

/// Most unreadable records that a check names.
const MAX_FINDINGS: usize = 10;

fn is_right(key: &[u8], value: &[u8]) -> bool {
    match key.first() {
        Some(&SOURCE) => key.len() == 9 && SourceRecord::decode(value).is_ok(),
        Some(&REMOTE) => key.len() == 25 && RemoteRecord::decode(value).is_ok(),
        Some(&SECRET) => key.len() == 9,
        Some(&SEEN) => key.len() == 26 && SeenRecord::decode(value).is_ok(),
        _ => false,
    }
}

impl RealmPart for FetchingPart {
    fn name(&self) -> &'static str {
        "fetching"
    }

    fn title(&self) -> &'static str {
        "the accounts elsewhere"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0xA4..=0xA7, kinds: &KINDS }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let unsound = realm::unsound_rows(account, snapshot, &KINDS, MAX_FINDINGS, is_right)?;
        let tell = |key: &Vec<u8>| format!("the accounts elsewhere have {key:02x?}, which is no record of them");
        Ok(unsound.iter().map(tell).collect())
    }

    fn rewindable(&self) -> Rewindable<'_> {
        // A rewind keeps newer mail, so what is remembered of it stays. A whole service that is restored goes back with it, and
        // fetches again what it no longer has.
        Rewindable::Never
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        let mut found = FoundSources::default();
        for row in from.read.prefix(from.realm, &[SOURCE], Order::Ascending)? {
            let (key, value) = row?;
            match SourceRecord::decode(value) {
                Ok(record) if key.len() == 9 => found.rows.push((key.to_vec(), record)),
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
            for id in left_over(store, account)? {
                clear(store, account, id).await?;
            }
            Ok(())
        })
    }

    fn loss(&self, op: &Op) -> Option<Loss> {
        (op.value.is_none() && op.key.first() == Some(&SOURCE)).then_some(Loss::one("accounts to fetch from"))
    }

    fn things(&self) -> &'static [Kind] {
        &[]
    }

    fn touches(&self, _: &Write<'_>, _: &mut Touched) -> Result<(), StoreError> {
        Ok(())
    }
}

/// Sources that are gone and of which something is remembered: a crash came in between.
fn left_over(store: &Store, account: RealmId) -> Result<Vec<u64>, StoreError> {
    let snapshot = store.snapshot();
    let there: Vec<u64> = sources(&snapshot, account)?.into_iter().map(|(id, _)| id).collect();
    let mut gone = Vec::new();
    for kind in [REMOTE, SEEN] {
        let mut next = 0u64;
        // One look for each source, not for each message.
        loop {
            let from = [&[kind][..], &next.to_be_bytes()].concat();
            let end = vec![kind + 1];
            let range = (std::ops::Bound::Included(from), std::ops::Bound::Excluded(end));
            let Some(row) = snapshot.range(account, range, Order::Ascending)?.next() else { break };
            let (key, _) = row?;
            let Some(id) = key.get(1..9).and_then(|id| id.try_into().ok()).map(u64::from_be_bytes) else { break };
            if !there.contains(&id) && !gone.contains(&id) {
                gone.push(id);
            }
            let Some(after) = id.checked_add(1) else { break };
            next = after;
        }
    }
    Ok(gone)
}

/// Sources that were salvaged. They come back paused and without their passwords and notes: mail that is here is known by its bytes.
#[derive(Default)]
struct FoundSources {
    rows: Vec<(Vec<u8>, SourceRecord)>,
    unreadable: usize,
}

impl Found for FoundSources {
    fn title(&self) -> String {
        format!("{} accounts to fetch from", self.rows.len())
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unreadable == 0
    }

    fn unreadable(&self) -> Vec<Vec<String>> {
        if self.unreadable == 0 {
            Vec::new()
        } else {
            vec![vec![format!("{} accounts to fetch from", self.unreadable)]]
        }
    }

    fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    fn merge(&self, into: &mut Merging<'_>) -> realm::Result<Merged> {
        let now = sources(&into.store.snapshot(), into.account)?;
        let is_there =
            |record: &SourceRecord| now.iter().any(|(_, other)| other.host == record.host && other.user == record.user);
        let missing: Vec<_> = self.rows.iter().filter(|(_, record)| !is_there(record)).cloned().collect();
        let (count, account) = (missing.len(), into.account);
        if count > 0 && !into.preview {
            into.store
                .transact(move |tx: &mut Tx<'_>| {
                    for (key, record) in missing {
                        if tx.get(account, &key)?.is_none() {
                            let state = State::Refused.number();
                            let error = "enter the password again: it was not recovered".to_owned();
                            let record = SourceRecord { state, error, error_ms: tx.now_ms(), told: true, ..record };
                            tx.put(account, key, record.encode_to_vec());
                        }
                    }
                    Ok::<_, StoreError>(())
                })
                .wait()?;
        }
        let line = format!("{count} accounts to fetch from, without their passwords");
        Ok(Merged { lines: vec![vec![line.clone()]], audit: (count > 0).then_some(line), is_all: true })
    }
}
