//! Changes below the store, by a faulty engine or by manual interference.

use std::{ops::Bound, sync::Arc};

use super::{disk::SimDisk, index::SimIndex};
use crate::{
    Order, Part, Read as _, RealmId, Store, StoreError, StoreOptions,
    index::{IndexEngine as _, Space, full_key},
};

const ANNA: RealmId = RealmId::account(1);
const BERT: RealmId = RealmId::account(2);

fn put(store: &Store, realm: RealmId, value: u8) -> Result<(), StoreError> {
    store
        .transact(move |tx| {
            tx.put(realm, b"key".to_vec(), vec![value; 40]);
            Ok(())
        })
        .wait()
}

fn open(index: &Arc<SimIndex>) -> Store {
    let options = StoreOptions { disk: Arc::new(SimDisk::new(1)), ..StoreOptions::default() };
    super::open(options, index.clone()).unwrap()
}

fn stored(index: &SimIndex) -> Vec<u8> {
    index.view().get(Space::Records, &full_key(ANNA, b"key")).unwrap().unwrap().to_vec()
}

fn replace(index: &SimIndex, stored: Vec<u8>) {
    index.apply(vec![(Space::Records, full_key(ANNA, b"key"), Some(stored))]).unwrap();
}

#[test]
fn a_value_that_is_not_what_was_sealed_is_never_given_and_its_realm_alone_is_quarantined() {
    for at in [0, 15, 16, 40] {
        let index = Arc::new(SimIndex::default());
        let store = open(&index);
        put(&store, ANNA, 1).unwrap();
        put(&store, BERT, 1).unwrap();
        let mut changed = stored(&index);
        changed[at] ^= 4;
        replace(&index, changed);
        let snapshot = store.snapshot();
        let got = snapshot.get(ANNA, b"key");
        assert!(
            matches!(&got, Err(StoreError::Damaged(what)) if (what.part, what.realm) == (Part::Record, Some(ANNA))),
            "{got:?}"
        );
        let mut rows = snapshot.range(ANNA, (Bound::Unbounded, Bound::Unbounded), Order::Ascending).unwrap();
        assert!(matches!(rows.next(), Some(Err(StoreError::Damaged { .. }))));
        let read = store.transact(|tx| tx.get(ANNA, b"key")).wait();
        assert!(matches!(read, Err(StoreError::Damaged { .. })), "{read:?}");
        assert!(matches!(put(&store, ANNA, 2), Err(StoreError::Damaged { .. } | StoreError::Quarantined { .. })));
        assert_eq!(store.quarantined().iter().map(|(realm, _)| *realm).collect::<Vec<_>>(), [ANNA]);
        put(&store, BERT, 2).unwrap();
        assert_eq!(store.snapshot().get(BERT, b"key").unwrap().as_deref(), Some(&[2; 40][..]));
    }
}

#[test]
fn a_value_that_went_back_to_an_earlier_one_or_away_is_noticed_by_the_digest() {
    for goes_away in [false, true] {
        let index = Arc::new(SimIndex::default());
        let store = open(&index);
        put(&store, ANNA, 1).unwrap();
        let earlier = stored(&index);
        put(&store, ANNA, 2).unwrap();
        put(&store, BERT, 1).unwrap();
        if goes_away {
            index.apply(vec![(Space::Records, full_key(ANNA, b"key"), None)]).unwrap();
        } else {
            replace(&index, earlier);
        }
        assert!(matches!(store.checkpoint(&|| true), Err(StoreError::Damaged { .. })), "it would be kept as good");
        let report = store.scrub_realm(ANNA, &[], false, &|| true).unwrap();
        assert!(!report.is_sound());
        assert!(store.scrub_realm(BERT, &[], false, &|| true).unwrap().is_sound());
        assert!(matches!(put(&store, ANNA, 3), Err(StoreError::Quarantined { .. })));
        put(&store, BERT, 2).unwrap();
    }
}
