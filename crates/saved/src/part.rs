//! Saved searches as a part of an account's realm.

use std::collections::BTreeMap;

use prost::Message as _;
use realm::feed::{Kind, Touched, Write};
use realm::{Coming, Found, InCommit, Keys, Loss, Merged, Merging, RealmPart, Rewind, Rewindable, SalvageFrom, Work};
use store::{Op, Order, Past, Read, RealmId, Snapshot, Store, StoreError, Tx};

use crate::schema::{KINDS, RECENT, REMOVED, RecentRecord, RemovedRecord, SAVED, SavedRecord, saved_key};

/// Saved searches, and the searches made last.
#[derive(Clone, Copy, Debug, Default)]
pub struct SavedPart;

/// Saved searches by key. The searches made last are of no moment but the present.
type All = BTreeMap<Vec<u8>, Vec<u8>>;

/// Most unreadable records that a check names.
const MAX_FINDINGS: usize = 10;

fn all<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<All, StoreError> {
    let mut out = All::new();
    for row in read.prefix(account, &[SAVED], Order::Ascending)? {
        let (key, value) = row?;
        out.insert(key.to_vec(), value.to_vec());
    }
    Ok(out)
}

fn is_right(key: &[u8], value: &[u8]) -> bool {
    match key.first() {
        Some(&SAVED) => key.len() == 9 && SavedRecord::decode(value).is_ok(),
        Some(&RECENT) => key.len() == 1 && RecentRecord::decode(value).is_ok(),
        Some(&REMOVED) => key.len() == 1 && RemovedRecord::decode(value).is_ok(),
        _ => false,
    }
}

/// What a saved search is called.
fn name(value: &[u8]) -> String {
    SavedRecord::decode(value).map(|record| record.name).unwrap_or_default()
}

impl RealmPart for SavedPart {
    fn name(&self) -> &'static str {
        "saved"
    }

    fn title(&self) -> &'static str {
        "the saved searches"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0xA0..=0xA3, kinds: &KINDS }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let unsound = realm::unsound_rows(account, snapshot, &KINDS, MAX_FINDINGS, is_right)?;
        Ok(unsound
            .iter()
            .map(|key| format!("the saved searches have {key:02x?}, which is no record of them"))
            .collect())
    }

    fn rewindable(&self) -> Rewindable<'_> {
        Rewindable::Follows(self)
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        let rows = all(from.read, from.realm)?;
        let (good, bad): (All, All) = rows.into_iter().partition(|(key, value)| is_right(key, value));
        Ok(Some(Box::new(FoundSearches { rows: good, unreadable: bad.len() })))
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(realm::clear_rows(store, account, &KINDS))
    }

    fn maintain<'a>(&'a self, _: &'a Store, _: RealmId) -> Work<'a> {
        Box::pin(async { Ok(()) })
    }

    fn loss(&self, op: &Op) -> Option<Loss> {
        (op.value.is_none() && op.key.first() == Some(&SAVED)).then_some(Loss::one("saved searches"))
    }

    fn things(&self) -> &'static [Kind] {
        &[]
    }

    fn touches(&self, _: &Write<'_>, _: &mut Touched) -> Result<(), StoreError> {
        Ok(())
    }
}

impl Rewind for SavedPart {
    fn nouns(&self) -> &'static [&'static str] {
        &["saved search"]
    }

    fn plan(&self, account: RealmId, past: &Past) -> realm::Result<Vec<Coming>> {
        let (then, now) = (all(past, account)?, all(past.now(), account)?);
        let differing = then.iter().filter(|(key, value)| now.get(*key) != Some(*value));
        let (back, completed) = differing.partition::<Vec<_>, _>(|(key, _)| !now.contains_key(*key));
        let names = |rows: Vec<(&Vec<u8>, &Vec<u8>)>| rows.into_iter().map(|(_, value)| name(value)).collect();
        Ok(vec![Coming { noun: "saved search", back: names(back), completed: names(completed) }])
    }

    fn go_back(&self, account: RealmId, past: &Past) -> realm::Result<InCommit> {
        let then = all(past, account)?;
        Ok(Box::new(move |tx| {
            let now = all(tx, account)?;
            let mut count = 0;
            // What was saved since stays.
            for (key, value) in then.iter().filter(|(key, value)| now.get(*key) != Some(*value)) {
                tx.put(account, key.clone(), value.clone());
                count += 1;
            }
            Ok(count)
        }))
    }

    fn undo(&self, account: RealmId, before: &Past, after: &Past) -> realm::Result<InCommit> {
        let (before, after) = (all(before, account)?, all(after, account)?);
        Ok(Box::new(move |tx| {
            let now = all(tx, account)?;
            let mine = after.iter().filter(|(key, it)| before.get(*key) != Some(it) && now.get(*key) == Some(it));
            let mut count = 0;
            for (key, _) in mine {
                match before.get(key) {
                    Some(value) => tx.put(account, key.clone(), value.clone()),
                    None => tx.delete(account, key.clone()),
                }
                count += 1;
            }
            Ok(count)
        }))
    }
}

/// Those of `wanted` that are not `here`: the two may have given one id to different searches, so that one of them gets the
/// next free id.
fn missing(wanted: &All, here: &All) -> All {
    let said = |value: &[u8]| SavedRecord::decode(value).map(|record| (record.name, record.query)).ok();
    let known: Vec<_> = here.values().filter_map(|value| said(value)).collect();
    let id_of = |key: &Vec<u8>| key.get(1..).and_then(|id| id.try_into().ok()).map_or(0, u64::from_be_bytes);
    let mut last = here.keys().chain(wanted.keys()).map(id_of).max().unwrap_or(0);
    let mut missing = All::new();
    for (key, value) in wanted.iter().filter(|(_, value)| said(value).is_some_and(|it| !known.contains(&it))) {
        let key = if here.contains_key(key) {
            last += 1;
            saved_key(last)
        } else {
            key.clone()
        };
        missing.insert(key, value.clone());
    }
    missing
}

/// Searches that were salvaged.
struct FoundSearches {
    rows: All,
    unreadable: usize,
}

impl Found for FoundSearches {
    fn title(&self) -> String {
        format!("{} saved searches", self.rows.len())
    }

    fn is_empty(&self) -> bool {
        self.rows.is_empty() && self.unreadable == 0
    }

    fn unreadable(&self) -> Vec<Vec<String>> {
        if self.unreadable == 0 { Vec::new() } else { vec![vec![format!("{} saved searches", self.unreadable)]] }
    }

    fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    fn merge(&self, into: &mut Merging<'_>) -> realm::Result<Merged> {
        let account = into.account;
        let wanted = self.rows.clone();
        let count = if into.preview {
            missing(&wanted, &all(&into.store.snapshot(), account)?).len()
        } else {
            into.store
                .transact(move |tx: &mut Tx<'_>| {
                    let missing = missing(&wanted, &all(tx, account)?);
                    for (key, value) in &missing {
                        tx.put(account, key.clone(), value.clone());
                    }
                    Ok::<_, StoreError>(missing.len())
                })
                .wait()?
        };
        let line = format!("{count} saved searches");
        Ok(Merged { lines: vec![vec![line.clone()]], audit: Some(line), is_all: true })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};

    use store::{Clock, StoreOptions};

    use super::*;
    use crate::SavedSearches;

    const HERE: u32 = 7;

    #[derive(Default)]
    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now_ms(&self) -> i64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    struct World {
        store: Store,
        saved: SavedSearches,
        hand: Arc<Hand>,
        _dir: tempfile::TempDir,
    }

    impl World {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let hand = Arc::new(Hand(AtomicI64::new(1_795_000_000_000)));
            let options = StoreOptions { clock: hand.clone(), ..StoreOptions::default() };
            let store = Store::open(dir.path(), options).unwrap();
            Self { saved: SavedSearches::new(store.clone()), store, hand, _dir: dir }
        }

        /// Lets a second pass; gives the moment before it.
        fn tick(&self) -> i64 {
            self.hand.0.fetch_add(1_000, Ordering::SeqCst)
        }

        /// Names and queries, in their order.
        fn list(&self, account: RealmId) -> Vec<(String, String)> {
            self.saved.list(account).unwrap().into_iter().map(|saved| (saved.name, saved.query)).collect()
        }

        async fn done(&self, act: InCommit) -> u64 {
            self.store.transact(move |tx| act(tx)).await.unwrap()
        }
    }

    fn named(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, query)| ((*name).to_owned(), (*query).to_owned())).collect()
    }

    #[tokio::test]
    async fn a_rewind_brings_searches_back_as_they_were_and_can_be_taken_back() {
        let (world, part) = (World::new(), SavedPart);
        let account = RealmId::account(HERE);
        let kept = world.saved.save(account, "kept", "is:unread").await.unwrap();
        let gone = world.saved.save(account, "gone", "from:bob").await.unwrap();
        let changed = world.saved.save(account, "changed", "tides").await.unwrap();
        let moment = world.tick();
        world.saved.remove(account, gone).await.unwrap();
        world.saved.change(account, changed, "changed", "other").await.unwrap();
        world.saved.save(account, "new", "new").await.unwrap();
        let before = world.tick();

        let past = world.store.realm_at(account, moment).unwrap();
        let [coming] = &part.plan(account, &past).unwrap()[..] else { panic!("one kind of thing") };
        assert_eq!(
            (coming.noun, &coming.back[..], &coming.completed[..]),
            ("saved search", &["gone".to_owned()][..], &["changed".to_owned()][..])
        );
        assert_eq!(world.done(part.go_back(account, &past).unwrap()).await, 2);
        let all = named(&[("kept", "is:unread"), ("gone", "from:bob"), ("changed", "tides"), ("new", "new")]);
        let mut found = world.list(account);
        found.sort();
        let mut wanted = all.clone();
        wanted.sort();
        assert_eq!(found, wanted);
        let after = world.tick();
        // Once more changes nothing.
        let past = world.store.realm_at(account, moment).unwrap();
        assert_eq!(world.done(part.go_back(account, &past).unwrap()).await, 0);
        assert!(
            part.plan(account, &past)
                .unwrap()
                .iter()
                .all(|coming| coming.back.is_empty() && coming.completed.is_empty())
        );

        // What was changed since by hand stays when it is taken back.
        world.saved.change(account, changed, "changed", "by hand").await.unwrap();
        let (before, after) =
            (world.store.realm_at(account, before).unwrap(), world.store.realm_at(account, after).unwrap());
        assert_eq!(world.done(part.undo(account, &before, &after).unwrap()).await, 1);
        let mut found = world.list(account);
        found.sort();
        assert_eq!(found, named(&[("changed", "by hand"), ("kept", "is:unread"), ("new", "new")]));
        assert!(world.saved.list(account).unwrap().iter().any(|saved| saved.id == kept));
        assert!(part.check(account, &world.store.snapshot()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn salvage_brings_what_is_missing_and_says_what_can_not_be_read() {
        let (lost, here, part) = (World::new(), World::new(), SavedPart);
        let account = RealmId::account(HERE);
        lost.saved.save(account, "lost", "from:bob").await.unwrap();
        lost.saved.save(account, "too", "tides").await.unwrap();
        let broken = [&[SAVED][..], b"short"].concat();
        let write = move |tx: &mut Tx<'_>| {
            tx.put(account, broken.clone(), b"\xff\xff".to_vec());
            Ok::<_, StoreError>(())
        };
        lost.store.transact(write).await.unwrap();
        here.saved.save(account, "here", "is:starred").await.unwrap();
        assert_eq!(part.check(account, &lost.store.snapshot()).unwrap().len(), 1);

        let read = lost.store.snapshot();
        let from = SalvageFrom {
            read: &read,
            realm: account,
            same_ids: None,
            is_part: false,
            keeps_deleted: false,
            store: &here.store,
        };
        let found = part.salvage(&from).unwrap().unwrap();
        assert!(!found.is_empty() && found.unreadable().len() == 1);
        let store = here.store.clone();
        let counts = tokio::task::spawn_blocking(move || {
            let merge = |preview| {
                let mut progress = |_: &str, _: u64, _: u64| ();
                let body = |_: &store::BodyId| Ok(None);
                let mut into = Merging { store: &store, account, preview, body: &body, progress: &mut progress };
                found.merge(&mut into).unwrap();
                SavedSearches::new(store.clone()).list(account).unwrap().len()
            };
            [merge(true), merge(false), merge(false)]
        });
        assert_eq!(counts.await.unwrap(), [1, 3, 3], "a preview does nothing, and twice is once");
        assert!(here.list(account).contains(&("lost".to_owned(), "from:bob".to_owned())));
    }
}
