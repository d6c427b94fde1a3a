//! The times of snoozed messages as a part of an account's realm.

use std::collections::BTreeMap;

use prost::Message as _;
use realm::feed::{Kind, Touched, Write};
use realm::{Coming, Found, InCommit, Keys, Loss, RealmPart, Rewind, Rewindable, SalvageFrom, Work};
use store::{Op, Order, Past, Read, RealmId, Snapshot, Store, StoreError, Tx};

use super::{SNOOZE, Snooze};

/// When snoozed messages return. A rewind brings the times of its moment back; of a message that is no longer in the mailbox
/// of snoozed messages a time says nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct SnoozePart;

/// Times by key.
type All = BTreeMap<Vec<u8>, Vec<u8>>;

/// Most unreadable records that a check names.
const MAX_FINDINGS: usize = 10;
const NOUN: &str = "time of a snoozed message";

fn all<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<All, StoreError> {
    let rows = read.prefix(account, &[SNOOZE], Order::Ascending)?;
    rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
}

/// Those of `then` that are gone or different in `now`.
fn differing<'a>(then: &'a All, now: &All) -> Vec<(&'a Vec<u8>, &'a Vec<u8>)> {
    then.iter().filter(|(key, value)| now.get(*key) != Some(*value)).collect()
}

impl RealmPart for SnoozePart {
    fn name(&self) -> &'static str {
        "snooze"
    }

    fn title(&self) -> &'static str {
        "the times of snoozed messages"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0xA8..=0xA9, kinds: &[SNOOZE] }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let is_right = |key: &[u8], value: &[u8]| key.len() == 9 && Snooze::decode(value).is_ok();
        let unsound = realm::unsound_rows(account, snapshot, &[SNOOZE], MAX_FINDINGS, is_right)?;
        Ok(unsound.iter().map(|key| format!("the key {key:02x?} is no time of a snoozed message")).collect())
    }

    fn rewindable(&self) -> Rewindable<'_> {
        Rewindable::Follows(self)
    }

    /// Salvaged messages get new ids: they lie in the mailbox of snoozed messages, without a time.
    fn salvage(&self, _: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        Ok(None)
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, &[SNOOZE]))
    }

    /// A time that says nothing is taken away when it comes.
    fn maintain<'a>(&'a self, _: &'a Store, _: RealmId) -> Work<'a> {
        Box::pin(async { Ok(()) })
    }

    /// A message that returns loses its time: nothing that anyone would miss.
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

impl Rewind for SnoozePart {
    fn nouns(&self) -> &'static [&'static str] {
        &[NOUN]
    }

    fn plan(&self, account: RealmId, past: &Past) -> realm::Result<Vec<Coming>> {
        let (then, now) = (all(past, account)?, all(past.now(), account)?);
        let (back, completed) =
            differing(&then, &now).into_iter().partition::<Vec<_>, _>(|(k, _)| !now.contains_key(*k));
        let named = |rows: Vec<_>| rows.iter().map(|_| String::new()).collect();
        Ok(vec![Coming { noun: NOUN, back: named(back), completed: named(completed) }])
    }

    fn go_back(&self, account: RealmId, past: &Past) -> realm::Result<InCommit> {
        let then = all(past, account)?;
        Ok(Box::new(move |tx| {
            let now = all(tx, account)?;
            // The time of a message that was snoozed since stays.
            let back = differing(&then, &now);
            put_all(tx, account, &back);
            Ok(back.len() as u64)
        }))
    }

    fn undo(&self, account: RealmId, before: &Past, after: &Past) -> realm::Result<InCommit> {
        let (before, after) = (all(before, account)?, all(after, account)?);
        Ok(Box::new(move |tx| {
            let now = all(tx, account)?;
            let mine: Vec<&Vec<u8>> = differing(&after, &before)
                .into_iter()
                .filter(|(key, value)| now.get(*key) == Some(*value))
                .map(|(key, _)| key)
                .collect();
            for key in &mine {
                match before.get(*key) {
                    Some(value) => tx.put(account, (*key).clone(), value.clone()),
                    None => tx.delete(account, (*key).clone()),
                }
            }
            Ok(mine.len() as u64)
        }))
    }
}

fn put_all(tx: &mut Tx<'_>, account: RealmId, rows: &[(&Vec<u8>, &Vec<u8>)]) {
    for (key, value) in rows {
        tx.put(account, (*key).clone(), (*value).clone());
    }
}
