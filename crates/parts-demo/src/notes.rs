//! Notes: text under a number.

use std::collections::BTreeMap;

use realm::feed::{Kind, Touched, Write};
use realm::{Coming, Found, InCommit, Keys, Loss, Merged, Merging, RealmPart, Rewind, Rewindable, SalvageFrom, Work};
use store::{Op, Order, Past, Read, RealmId, Snapshot, Store, StoreError, Tx};

/// `60` number → text.
const KEY: u8 = 0x60;

/// Notes, in the change feed.
pub const NOTE: Kind = Kind { number: 64, name: "note" };

/// Notes. One without text is one that is no longer needed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Notes;

/// The key of a note. Its value is text.
#[must_use]
pub fn note(number: u8) -> Vec<u8> {
    vec![KEY, number]
}

/// All notes of an account, by key.
type All = BTreeMap<Vec<u8>, Vec<u8>>;

fn all<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<All, StoreError> {
    let rows = read.prefix(account, &[KEY], Order::Ascending)?;
    rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec()))).collect()
}

/// Those of `then` that are gone, and those that are different `now`.
fn differing<'a>(then: &'a All, now: &'a All) -> (Vec<&'a Vec<u8>>, Vec<&'a Vec<u8>>) {
    let gone = then.keys().filter(|key| !now.contains_key(*key)).collect();
    let has_it = |key: &Vec<u8>, text: &[u8]| now[key].split(|byte| *byte == b'\n').any(|line| line == text);
    let changed = then.iter().filter(|(key, text)| now.contains_key(*key) && !has_it(key, text)).map(|(key, _)| key);
    (gone, changed.collect())
}

impl RealmPart for Notes {
    fn name(&self) -> &'static str {
        "notes"
    }

    fn title(&self) -> &'static str {
        "the notes"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x60..=0x67, kinds: &[KEY] }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let notes = all(snapshot, account)?;
        let bad = notes.iter().filter(|(_, text)| std::str::from_utf8(text).is_err());
        Ok(bad.map(|(key, _)| format!("the note {key:02x?} is not text")).collect())
    }

    fn rewindable(&self) -> Rewindable<'_> {
        Rewindable::Follows(self)
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        Ok(Some(Box::new(FoundNotes(all(from.read, from.realm)?))))
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, &[KEY]))
    }

    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move {
            let clear = store.transact(move |tx: &mut Tx<'_>| {
                for (key, _) in all(tx, account)?.into_iter().filter(|(_, text)| text.is_empty()) {
                    tx.delete(account, key);
                }
                Ok::<_, StoreError>(())
            });
            Ok(clear.await?)
        })
    }

    fn loss(&self, op: &Op) -> Option<Loss> {
        (op.value.is_none() && op.key.first() == Some(&KEY)).then_some(Loss::one("notes"))
    }

    fn things(&self) -> &'static [Kind] {
        &[NOTE]
    }

    fn touches(&self, write: &Write<'_>, touched: &mut Touched) -> Result<(), StoreError> {
        touched.record(NOTE, u64::from(write.key.get(1).copied().unwrap_or_default()), write)
    }
}

impl Rewind for Notes {
    fn nouns(&self) -> &'static [&'static str] {
        &["note"]
    }

    fn plan(&self, account: RealmId, past: &Past) -> realm::Result<Vec<Coming>> {
        let (then, now) = (all(past, account)?, all(past.now(), account)?);
        let (gone, changed) = differing(&then, &now);
        let names = |keys: Vec<&Vec<u8>>| keys.iter().map(|key| format!("note {}", key[1])).collect();
        Ok(vec![Coming { noun: "note", back: names(gone), completed: names(changed) }])
    }

    fn go_back(&self, account: RealmId, past: &Past) -> realm::Result<InCommit> {
        let then = all(past, account)?;
        Ok(Box::new(move |tx| {
            let now = all(tx, account)?;
            let (gone, changed) = differing(&then, &now);
            for key in &gone {
                tx.put(account, (*key).clone(), then[*key].clone());
            }
            for key in &changed {
                tx.put(account, (*key).clone(), [&now[*key][..], b"\n", &then[*key]].concat());
            }
            Ok((gone.len() + changed.len()) as u64)
        }))
    }

    fn undo(&self, account: RealmId, before: &Past, after: &Past) -> realm::Result<InCommit> {
        let (before, after) = (all(before, account)?, all(after, account)?);
        Ok(Box::new(move |tx| {
            let now = all(tx, account)?;
            let mine = after.iter().filter(|(key, text)| before.get(*key) != Some(text) && now.get(*key) == Some(text));
            let mut count = 0;
            for (key, _) in mine {
                match before.get(key) {
                    Some(text) => tx.put(account, key.clone(), text.clone()),
                    None => tx.delete(account, key.clone()),
                }
                count += 1;
            }
            Ok(count)
        }))
    }
}

/// Notes that were salvaged.
struct FoundNotes(All);

impl Found for FoundNotes {
    fn title(&self) -> String {
        format!("{} notes", self.0.len())
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
        let now = all(&into.store.snapshot(), into.account)?;
        let missing: All =
            self.0.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(k, v)| (k.clone(), v.clone())).collect();
        let (count, account) = (missing.len(), into.account);
        if count > 0 && !into.preview {
            into.store
                .transact(move |tx: &mut Tx<'_>| {
                    for (key, text) in missing {
                        tx.put(account, key, text);
                    }
                    Ok::<_, StoreError>(())
                })
                .wait()?;
        }
        Ok(Merged { lines: vec![vec![format!("{count} notes")]], audit: Some(format!("{count} notes")), is_all: true })
    }
}
