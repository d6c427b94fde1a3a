//! The reads and writes of a group's transactions.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    Order, RealmId, RealmSeq, Result, Rows, StoreError,
    index::{IndexView, Quarantine, RealmState, Space, full_range, unseal},
    partial::Partial,
    read::end_of_prefix,
    record::reference_key,
};

/// Writes by full key (realm, key).
pub(crate) type Writes = BTreeMap<Vec<u8>, Option<Bytes>>;

/// The state that a group's transactions read: the index as it was when the group began, and what the group wrote.
pub(crate) struct Group {
    pub(crate) view: Box<dyn IndexView>,
    pub(crate) quarantine: Arc<Quarantine>,
    pub(crate) partial: Arc<Partial>,
    pub(crate) writes: Writes,
    pub(crate) realms: HashMap<RealmId, RealmState>,
}

impl Group {
    pub(crate) fn get(&self, realm: RealmId, key: &[u8], full: &[u8]) -> Result<Option<Bytes>> {
        if let Some(value) = self.writes.get(full) {
            return Ok(value.clone());
        }
        self.partial.check(&*self.view, realm)?;
        match self.view.get(Space::Records, full)? {
            Some(stored) => self.note(realm, unseal(realm, key, &stored).map(|(_, value)| Some(value))),
            None => Ok(None),
        }
    }

    pub(crate) fn writes_in(&self, full: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> Writes {
        self.writes.range(full.clone()).map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    pub(crate) fn stored(&self, realm: RealmId, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Rows<'_> {
        if let Err(error) = self.partial.check(&*self.view, realm) {
            return Rows::new(std::iter::once(Err(error)));
        }
        let rows = self.view.range(Space::Records, full_range(realm, range), order);
        Rows::new(rows.map(move |row| {
            let (key, stored) = row?;
            let key = key.slice(8..);
            let (_, value) = self.note(realm, unseal(realm, &key, &stored))?;
            Ok((key, value))
        }))
    }

    pub(crate) fn realm_seq(&self, realm: RealmId) -> RealmSeq {
        self.realms.get(&realm).map_or(RealmSeq(0), |state| state.seq)
    }

    /// Whether one of the realms written to refers to a body already.
    pub(crate) fn refers_to(&self, writes: &Writes, body: &crate::BodyId) -> Result<bool> {
        let realms: std::collections::BTreeSet<&[u8]> = writes.keys().map(|full| &full[..8]).collect();
        for realm in realms {
            let start = [realm, &reference_key(body, &[])].concat();
            let end = end_of_prefix(&start);
            if let Some(row) = self.view.range(Space::Records, (Bound::Included(start), end), Order::Ascending).next() {
                row?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn note<T>(&self, realm: RealmId, result: Result<T>) -> Result<T> {
        if let Err(StoreError::Damaged(what)) = &result {
            self.quarantine.put(realm, &what.as_ref().clone().realm(realm));
        }
        result
    }
}
