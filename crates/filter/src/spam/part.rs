//! What the filter keeps of an account as a part of the account's realm.

use prost::Message as _;
use realm::feed::{Kind, Touched, Write};
use realm::{Found, Keys, Loss, Merged, Merging, RealmPart, Rewindable, SalvageFrom, Work};
use store::{Op, Order, Read as _, RealmId, Snapshot, Store, StoreError, Tx};

use super::grams::Grams;
use super::learned::{Spam, SpamError, load};
use super::schema::{KINDS, LEARNED, LearnedRecord, NAME_BYTES, SETTINGS, STATE, SettingsRecord, StateRecord};

/// Level, lists and training of the spam filter.
#[derive(Clone, Copy, Debug, Default)]
pub struct SpamPart;

impl RealmPart for SpamPart {
    fn name(&self) -> &'static str {
        "spam"
    }

    fn title(&self) -> &'static str {
        "the spam filter"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x80..=0x8F, kinds: &KINDS }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let unsound = realm::unsound_rows(account, snapshot, &KINDS, usize::MAX, is_sound)?;
        let finding = |key: Vec<u8>| format!("the spam filter has {key:02x?}, which is no record of it");
        Ok(unsound.into_iter().map(finding).collect())
    }

    fn rewindable(&self) -> Rewindable<'_> {
        // What the user said of a message holds, whatever the mailbox looked like earlier.
        Rewindable::Never
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        let mut found = FoundSpam::default();
        for kind in [SETTINGS, LEARNED] {
            for row in from.read.prefix(from.realm, &[kind], Order::Ascending)? {
                let (key, value) = row?;
                let is_right = match kind {
                    SETTINGS => SettingsRecord::decode(value.clone()).is_ok(),
                    _ => key.len() == 1 + NAME_BYTES && LearnedRecord::decode(value.clone()).is_ok(),
                };
                if is_right {
                    found.rows.push((key.to_vec(), value.to_vec()));
                } else {
                    found.unreadable += 1;
                }
            }
        }
        Ok(Some(Box::new(found)))
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, &KINDS))
    }

    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move {
            match Spam::new(store.clone()).age(account).await {
                Ok(()) => Ok(()),
                Err(SpamError::Store(error)) => Err(error.into()),
                Err(other) => Err(realm::PartError::own(other)),
            }
        })
    }

    fn loss(&self, op: &Op) -> Option<Loss> {
        // Training is forgotten by the user's wish and by age, a thousand records at once.
        (op.value.is_none() && op.key == [SETTINGS]).then_some(Loss::one("spam filter settings"))
    }

    fn things(&self) -> &'static [Kind] {
        &[]
    }

    fn touches(&self, _: &Write<'_>, _: &mut Touched) -> Result<(), StoreError> {
        Ok(())
    }
}

fn is_sound(key: &[u8], value: &[u8]) -> bool {
    match key[0] {
        SETTINGS => key.len() == 1 && SettingsRecord::decode(value).is_ok(),
        STATE => key.len() == 1 && StateRecord::decode(value).is_ok(),
        _ => {
            let is_learned = |record: LearnedRecord| {
                record.features.len().is_multiple_of(4) && Grams::unpacked(&record.grams).is_some()
            };
            key.len() == 1 + NAME_BYTES && LearnedRecord::decode(value).is_ok_and(is_learned)
        }
    }
}

/// What was salvaged, by key.
#[derive(Default)]
struct FoundSpam {
    rows: Vec<(Vec<u8>, Vec<u8>)>,
    unreadable: u64,
}

impl Found for FoundSpam {
    fn title(&self) -> String {
        format!("{} records of the spam filter", self.rows.len())
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unreadable == 0
    }

    fn unreadable(&self) -> Vec<Vec<String>> {
        if self.unreadable == 0 {
            Vec::new()
        } else {
            vec![vec![format!("{} records of the spam filter", self.unreadable)]]
        }
    }

    fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    fn merge(&self, into: &mut Merging<'_>) -> realm::Result<Merged> {
        let snapshot = into.store.snapshot();
        let mut missing = Vec::new();
        for (key, value) in &self.rows {
            if snapshot.get(into.account, key)?.is_none() {
                missing.push((key.clone(), value.clone()));
            }
        }
        let (count, account) = (missing.len(), into.account);
        if count > 0 && !into.preview {
            for some in missing.chunks(500) {
                let some = some.to_vec();
                into.store
                    .transact(move |tx: &mut Tx<'_>| {
                        for (key, value) in some {
                            tx.put(account, key, value);
                        }
                        let mut state: StateRecord = load(tx, account, &[STATE])?.unwrap_or_default();
                        state.revision += 1;
                        tx.put(account, vec![STATE], state.encode_to_vec());
                        Ok::<_, StoreError>(())
                    })
                    .wait()?;
            }
        }
        let verb = if into.preview { "would be added" } else { "added" };
        let line = format!("{count} records of the spam filter {verb}");
        Ok(Merged { lines: vec![vec![line]], audit: None, is_all: true })
    }
}
