//! A consistent view of all realms at one commit.

use std::{ops::Bound, sync::Arc};

use bytes::Bytes;

use crate::{
    Digest, Order, Read, RealmId, RealmSeq, Result, Rows, Seq, StoreError,
    index::{IndexView, Quarantine, RealmState, Space, full_key, full_range, is_empty_range, meta, unseal},
    log::Chain,
    partial::Partial,
};

/// A consistent view of all realms at one commit. Cheap to take; holding one for long keeps old index files around.
pub struct Snapshot {
    view: Box<dyn IndexView>,
    /// Where what is damaged is noted; nowhere in what is only looked at.
    quarantine: Option<Arc<Quarantine>>,
    /// In a store that is still being restored.
    partial: Option<Arc<Partial>>,
}

impl Snapshot {
    pub(crate) const fn new(
        view: Box<dyn IndexView>,
        quarantine: Arc<Quarantine>,
        partial: Option<Arc<Partial>>,
    ) -> Self {
        Self { view, quarantine: Some(quarantine), partial }
    }

    /// Of an index that no store is open on.
    pub(crate) const fn of_index(view: Box<dyn IndexView>) -> Self {
        Self { view, quarantine: None, partial: None }
    }

    fn check_there(&self, realm: RealmId) -> Result<()> {
        self.partial.as_ref().map_or(Ok(()), |partial| partial.check(&*self.view, realm))
    }

    pub(crate) fn view(&self) -> &dyn IndexView {
        &*self.view
    }

    /// The last commit that this snapshot holds.
    pub fn seq(&self) -> Result<Seq> {
        Ok(meta::applied(&*self.view)?.0)
    }

    /// The log's chain at that commit.
    pub fn chain(&self) -> Result<Chain> {
        Ok(meta::applied(&*self.view)?.1)
    }

    /// Which primary's commits these are: goes up at each restore and promotion.
    pub fn epoch(&self) -> Result<u64> {
        meta::epoch(&*self.view)
    }

    /// A note stored by [`crate::Store::set_notes`].
    pub fn note_of(&self, space: &str, key: &[u8]) -> Result<Option<Bytes>> {
        meta::read(&*self.view, &meta::note_key(space, key))
    }

    /// The digest that the realm's last commit states.
    pub fn digest(&self, realm: RealmId) -> Result<Digest> {
        Ok(meta::realm_state(&*self.view, realm)?.digest)
    }

    /// Commit and digest of a realm.
    pub(crate) fn realm_state(&self, realm: RealmId) -> Result<RealmState> {
        meta::realm_state(&*self.view, realm)
    }

    /// The realms that have commits.
    pub fn realms(&self) -> Result<Vec<RealmId>> {
        Ok(meta::realm_states(&*self.view)?.into_iter().map(|(realm, _)| realm).collect())
    }

    /// Quarantines the realm when the result says that it is damaged.
    pub(crate) fn note<T>(&self, realm: RealmId, result: Result<T>) -> Result<T> {
        if let (Err(StoreError::Damaged(what)), Some(quarantine)) = (&result, &self.quarantine) {
            quarantine.put(realm, &what.as_ref().clone().realm(realm));
        }
        result
    }
}

impl Read for Snapshot {
    fn get(&self, realm: RealmId, key: &[u8]) -> Result<Option<Bytes>> {
        self.check_there(realm)?;
        let value = self
            .view
            .get(Space::Records, &full_key(realm, key))
            .and_then(|stored| stored.map(|stored| unseal(realm, key, &stored).map(|(_, value)| value)).transpose());
        self.note(realm, value)
    }

    fn range(&self, realm: RealmId, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Result<Rows<'_>> {
        if is_empty_range(&range) {
            return Ok(Rows::new(std::iter::empty()));
        }
        self.check_there(realm)?;
        let rows = self.view.range(Space::Records, full_range(realm, range), order);
        Ok(Rows::new(rows.map(move |row| {
            let row = row.and_then(|(key, stored)| {
                let key = key.slice(8..);
                let (_, value) = unseal(realm, &key, &stored)?;
                Ok((key, value))
            });
            self.note(realm, row)
        })))
    }

    fn realm_seq(&self, realm: RealmId) -> RealmSeq {
        self.note(realm, self.realm_state(realm)).map_or(RealmSeq(0), |state| state.seq)
    }
}
