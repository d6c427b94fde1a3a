//! Rules as a part of an account's realm.

use std::collections::BTreeMap;

use prost::Message as _;
use realm::feed::{Kind, Touched, Write};
use realm::{Coming, Found, InCommit, Keys, Loss, Merged, Merging, RealmPart, Rewind, Rewindable, SalvageFrom, Work};
use store::{Op, Order, Past, Read, RealmId, Snapshot, Store, StoreError, Tx};

use crate::schema::{KINDS, LAST_EDIT, LastEditRecord, SCRIPT, STATE, ScriptRecord, StateRecord, UntilRecord, name_of};
use crate::scripts::Rules;

/// Sieve scripts, which of them is active, and what they remember.
#[derive(Clone, Copy, Debug, Default)]
pub struct RulesPart;

/// Scripts and which is active, by key.
type All = BTreeMap<Vec<u8>, Vec<u8>>;

fn all<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<All, StoreError> {
    let mut out = All::new();
    for kind in [STATE, SCRIPT] {
        for row in read.prefix(account, &[kind], Order::Ascending)? {
            let (key, value) = row?;
            // How to take back the last edit is of no moment but the present.
            if *key != LAST_EDIT {
                out.insert(key.to_vec(), value.to_vec());
            }
        }
    }
    Ok(out)
}

/// What a row is called.
fn name(key: &[u8], value: &[u8]) -> String {
    match ScriptRecord::decode(value).ok().filter(|_| key.first() == Some(&SCRIPT)) {
        Some(record) => format!("script {}", name_of(key, &record).unwrap_or_default()),
        _ => "the choice of the active script".to_owned(),
    }
}

fn is_right(key: &[u8], value: &[u8]) -> bool {
    match key.first() {
        Some(&STATE) if key == LAST_EDIT => LastEditRecord::decode(value).is_ok(),
        Some(&STATE) => key.len() == 1 && StateRecord::decode(value).is_ok(),
        Some(&SCRIPT) => ScriptRecord::decode(value).is_ok_and(|record| name_of(key, &record).is_some()),
        _ => key.len() == 17 && UntilRecord::decode(value).is_ok(),
    }
}

/// The rows of `then` that are gone or different `now`.
fn differing<'a>(then: &'a All, now: &All) -> Vec<(&'a Vec<u8>, &'a Vec<u8>)> {
    then.iter().filter(|(key, value)| now.get(*key) != Some(*value)).collect()
}

impl RealmPart for RulesPart {
    fn name(&self) -> &'static str {
        "rules"
    }

    fn title(&self) -> &'static str {
        "the rules"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x98..=0x9B, kinds: &KINDS }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let mut findings = Vec::new();
        let mut active = None;
        for kind in KINDS {
            for row in snapshot.prefix(account, &[kind], Order::Ascending)? {
                let (key, value) = row?;
                if !is_right(&key, &value) {
                    findings.push(format!("the rules have {key:02x?}, which is no record of them"));
                } else if *key == [STATE] {
                    active = StateRecord::decode(value).ok().map(|state| state.active).filter(|name| !name.is_empty());
                }
            }
        }
        if let Some(name) = active
            && snapshot.get(account, &crate::schema::script_key(&name))?.is_none()
        {
            findings.push(format!("the active script {name:?} is not there"));
        }
        Ok(findings)
    }

    fn rewindable(&self) -> Rewindable<'_> {
        // Scripts go back; whom a reply was sent to and what was seen has happened all the same.
        Rewindable::Follows(self)
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        let rows = all(from.read, from.realm)?;
        let (good, bad): (All, All) = rows.into_iter().partition(|(key, value)| is_right(key, value));
        Ok(Some(Box::new(FoundRules { rows: good, unreadable: bad.len() })))
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, &KINDS))
    }

    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move { Ok(Rules::new(store.clone()).forget_old(account).await?) })
    }

    fn loss(&self, op: &Op) -> Option<Loss> {
        (op.value.is_none() && op.key.first() == Some(&SCRIPT)).then_some(Loss::one("Sieve scripts"))
    }

    fn things(&self) -> &'static [Kind] {
        &[]
    }

    fn touches(&self, _: &Write<'_>, _: &mut Touched) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Rewind for RulesPart {
    fn nouns(&self) -> &'static [&'static str] {
        &["rule"]
    }

    fn plan(&self, account: RealmId, past: &Past) -> realm::Result<Vec<Coming>> {
        let (then, now) = (all(past, account)?, all(past.now(), account)?);
        let (back, completed) =
            differing(&then, &now).into_iter().partition::<Vec<_>, _>(|(key, _)| !now.contains_key(*key));
        let names = |rows: Vec<(&Vec<u8>, &Vec<u8>)>| rows.into_iter().map(|(key, value)| name(key, value)).collect();
        Ok(vec![Coming { noun: "rule", back: names(back), completed: names(completed) }])
    }

    fn go_back(&self, account: RealmId, past: &Past) -> realm::Result<InCommit> {
        let then = all(past, account)?;
        Ok(Box::new(move |tx| {
            let now = all(tx, account)?;
            let rows = differing(&then, &now);
            // Scripts that were written since stay: nothing that someone wrote is lost by going back.
            for (key, value) in &rows {
                tx.put(account, (*key).clone(), (*value).clone());
            }
            Ok(rows.len() as u64)
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

/// Rules that were salvaged.
struct FoundRules {
    rows: All,
    unreadable: usize,
}

impl Found for FoundRules {
    fn title(&self) -> String {
        format!("{} records of the rules", self.rows.len())
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unreadable == 0
    }

    fn unreadable(&self) -> Vec<Vec<String>> {
        if self.unreadable == 0 { Vec::new() } else { vec![vec![format!("{} records of the rules", self.unreadable)]] }
    }

    fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    fn merge(&self, into: &mut Merging<'_>) -> realm::Result<Merged> {
        let now = all(&into.store.snapshot(), into.account)?;
        let missing: All =
            self.rows.iter().filter(|(key, _)| !now.contains_key(*key)).map(|(k, v)| (k.clone(), v.clone())).collect();
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
        Ok(Merged { lines: vec![vec![format!("{count} rules")]], audit: Some(format!("{count} rules")), is_all: true })
    }
}
