//! Reads, scans and transactions against a plain map.

use std::{collections::BTreeMap, ops::Bound};

use proptest::prelude::*;
use store::{Order, Read, RealmId, RealmSeq, Store, StoreError, StoreOptions};

const REALMS: [RealmId; 3] = [RealmId::DIRECTORY, RealmId::account(1), RealmId::account(u32::MAX)];

type Model = BTreeMap<(RealmId, Vec<u8>), Vec<u8>>;
type Range = (Bound<Vec<u8>>, Bound<Vec<u8>>);

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Vec<u8>, Vec<u8>),
    Delete(usize, Vec<u8>),
    Get(usize, Vec<u8>),
    Range(usize, Range, bool),
    Prefix(usize, Vec<u8>, bool),
}

#[derive(Debug, Clone)]
struct Transaction {
    steps: Vec<Step>,
    fails: bool,
}

/// Short keys of few bytes, so that they meet; the greatest bytes among them, where prefixes end.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(prop::sample::select(vec![0_u8, 1, 7, 0xFE]), 0..4)
}

fn bound() -> impl Strategy<Value = Bound<Vec<u8>>> {
    prop_oneof![key().prop_map(Bound::Included), key().prop_map(Bound::Excluded), Just(Bound::Unbounded)]
}

fn step() -> impl Strategy<Value = Step> {
    let realm = || 0..REALMS.len();
    prop_oneof![
        4 => (realm(), key(), prop::collection::vec(any::<u8>(), 0..40)).prop_map(|(r, k, v)| Step::Put(r, k, v)),
        2 => (realm(), key()).prop_map(|(r, k)| Step::Delete(r, k)),
        1 => (realm(), key()).prop_map(|(r, k)| Step::Get(r, k)),
        2 => (realm(), (bound(), bound()), any::<bool>()).prop_map(|(r, range, up)| Step::Range(r, range, up)),
        1 => (realm(), key(), any::<bool>()).prop_map(|(r, k, up)| Step::Prefix(r, k, up)),
    ]
}

fn transactions() -> impl Strategy<Value = Vec<Transaction>> {
    let one = (prop::collection::vec(step(), 1..12), prop::bool::weighted(0.2))
        .prop_map(|(steps, fails)| Transaction { steps, fails });
    prop::collection::vec(one, 1..20)
}

fn is_in(range: &Range, key: &[u8]) -> bool {
    let after = match &range.0 {
        Bound::Included(start) => key >= start.as_slice(),
        Bound::Excluded(start) => key > start.as_slice(),
        Bound::Unbounded => true,
    };
    after
        && match &range.1 {
            Bound::Included(end) => key <= end.as_slice(),
            Bound::Excluded(end) => key < end.as_slice(),
            Bound::Unbounded => true,
        }
}

fn expected(model: &Model, realm: RealmId, which: impl Fn(&[u8]) -> bool, up: bool) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut rows: Vec<_> = model
        .iter()
        .filter(|((found, key), _)| *found == realm && which(key))
        .map(|((_, key), value)| (key.clone(), value.clone()))
        .collect();
    if !up {
        rows.reverse();
    }
    rows
}

fn rows(rows: store::Rows<'_>) -> Vec<(Vec<u8>, Vec<u8>)> {
    rows.map(|row| row.map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap()).collect()
}

fn order(up: bool) -> Order {
    if up { Order::Ascending } else { Order::Descending }
}

/// What a reading step gives must be what the model gives.
fn look(read: &dyn Read, model: &Model, step: &Step) -> Result<(), String> {
    let (found, expected) = match step {
        Step::Get(realm, key) => {
            let found = read.get(REALMS[*realm], key).unwrap().map(|value| value.to_vec());
            let expected = model.get(&(REALMS[*realm], key.clone())).cloned();
            return (found == expected).then_some(()).ok_or_else(|| format!("{step:?}: {found:?}, not {expected:?}"));
        }
        Step::Range(realm, range, up) => (
            rows(read.range(REALMS[*realm], range.clone(), order(*up)).unwrap()),
            expected(model, REALMS[*realm], |key| is_in(range, key), *up),
        ),
        Step::Prefix(realm, prefix, up) => (
            rows(read.prefix(REALMS[*realm], prefix, order(*up)).unwrap()),
            expected(model, REALMS[*realm], |key| key.starts_with(prefix), *up),
        ),
        Step::Put(..) | Step::Delete(..) => return Ok(()),
    };
    (found == expected).then_some(()).ok_or_else(|| format!("{step:?}: {found:?}, not {expected:?}"))
}

fn everything(read: &dyn Read, model: &Model) -> Result<(), String> {
    for realm in 0..REALMS.len() {
        for up in [true, false] {
            look(read, model, &Step::Range(realm, (Bound::Unbounded, Bound::Unbounded), up))?;
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_store_reads_like_a_map(all in transactions()) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        let mut model = Model::new();
        let mut seqs = [0_u64; REALMS.len()];
        // Snapshots keep what they saw.
        let mut kept = Vec::new();
        for transaction in all {
            kept.push((store.snapshot(), model.clone()));
            let (before, mine) = (model.clone(), transaction.clone());
            let outcome: Result<Model, StoreError> = store
                .transact(move |tx| {
                    let mut model = before;
                    for step in &mine.steps {
                        match step {
                            Step::Put(realm, key, value) => {
                                tx.put(REALMS[*realm], key.clone(), value.clone());
                                model.insert((REALMS[*realm], key.clone()), value.clone());
                            }
                            Step::Delete(realm, key) => {
                                tx.delete(REALMS[*realm], key.clone());
                                model.remove(&(REALMS[*realm], key.clone()));
                            }
                            reading => look(tx, &model, reading).unwrap(),
                        }
                    }
                    if mine.fails {
                        return Err(StoreError::Full);
                    }
                    Ok(model)
                })
                .wait();
            match outcome {
                Ok(after) => {
                    model = after;
                    for (number, seq) in seqs.iter_mut().enumerate() {
                        let writes = |step: &Step| {
                            matches!(step, Step::Put(realm, ..) | Step::Delete(realm, _) if *realm == number)
                        };
                        *seq += u64::from(transaction.steps.iter().any(writes));
                    }
                }
                Err(StoreError::Full) => prop_assert!(transaction.fails),
                Err(error) => return Err(TestCaseError::fail(error.to_string())),
            }
            let snapshot = store.snapshot();
            for (number, seq) in seqs.iter().enumerate() {
                prop_assert_eq!(snapshot.realm_seq(REALMS[number]), RealmSeq(*seq));
            }
            for step in &transaction.steps {
                look(&snapshot, &model, step).map_err(TestCaseError::fail)?;
            }
        }
        for (snapshot, model) in &kept {
            everything(snapshot, model).map_err(TestCaseError::fail)?;
        }
        drop(kept);
        store.close();
        drop(store);
        let store = Store::open(dir.path(), StoreOptions::default()).unwrap();
        everything(&store.snapshot(), &model).map_err(TestCaseError::fail)?;
    }
}
