//! Reading: one trait for snapshots and transactions, so that domain reads are written once.

use std::{ops::Bound, sync::Arc};

use bytes::Bytes;

use crate::{
    Digest, RealmId, RealmSeq, Result, Seq, StoreError,
    digest::{SEAL_BYTES, Seal},
    index::{IndexView, Space},
    partial::Partial,
    store::{Quarantine, RealmState, meta},
};

/// The order of a scan's keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// From the least key.
    Ascending,
    /// From the greatest key.
    Descending,
}

/// The rows of a scan: keys without their realm, values without their seal, each verified as it is met.
pub struct Rows<'a>(Box<dyn Iterator<Item = Result<(Bytes, Bytes)>> + 'a>);

impl<'a> Rows<'a> {
    pub(crate) fn new(rows: impl Iterator<Item = Result<(Bytes, Bytes)>> + 'a) -> Self {
        Self(Box::new(rows))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// What can be read: a [`Snapshot`], or a transaction that sees its own writes.
pub trait Read {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when what is stored does not match its seal; the realm is then quarantined.
    fn get(&self, realm: RealmId, key: &[u8]) -> Result<Option<Bytes>>;

    /// The rows between two keys, lazily. The same errors come as rows.
    fn range(&self, realm: RealmId, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Result<Rows<'_>>;

    /// The last commit of a realm; 0 when it has none.
    fn realm_seq(&self, realm: RealmId) -> RealmSeq;

    /// The rows whose keys begin with `prefix`.
    fn prefix(&self, realm: RealmId, prefix: &[u8], order: Order) -> Result<Rows<'_>> {
        self.range(realm, (Bound::Included(prefix.to_vec()), end_of_prefix(prefix)), order)
    }
}

/// The bound after all keys that begin with `prefix`.
pub(crate) fn end_of_prefix(prefix: &[u8]) -> Bound<Vec<u8>> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xFF {
            end.push(last + 1);
            return Bound::Excluded(end);
        }
    }
    Bound::Unbounded
}

/// The key of a realm's record in the index.
pub(crate) fn full_key(realm: RealmId, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(8 + key.len());
    full.extend_from_slice(&realm.raw().to_be_bytes());
    full.extend_from_slice(key);
    full
}

/// The realm of a full key.
pub(crate) fn realm_of(full: &[u8]) -> RealmId {
    RealmId::from_raw(u64::from_be_bytes(full[..8].try_into().expect("full keys begin with 8 bytes")))
}

/// The bounds of a realm's range in the index.
pub(crate) fn full_range(realm: RealmId, range: (Bound<Vec<u8>>, Bound<Vec<u8>>)) -> (Bound<Vec<u8>>, Bound<Vec<u8>>) {
    let start = match range.0 {
        Bound::Included(key) => Bound::Included(full_key(realm, &key)),
        Bound::Excluded(key) => Bound::Excluded(full_key(realm, &key)),
        Bound::Unbounded => Bound::Included(full_key(realm, &[])),
    };
    let end = match range.1 {
        Bound::Included(key) => Bound::Included(full_key(realm, &key)),
        Bound::Excluded(key) => Bound::Excluded(full_key(realm, &key)),
        Bound::Unbounded => end_of_prefix(&realm.raw().to_be_bytes()),
    };
    (start, end)
}

/// Whether a range holds nothing by its bounds alone (which some engines refuse to be asked).
pub(crate) fn is_empty_range(range: &(Bound<Vec<u8>>, Bound<Vec<u8>>)) -> bool {
    match range {
        (Bound::Included(start), Bound::Included(end)) => start > end,
        (Bound::Included(start) | Bound::Excluded(start), Bound::Excluded(end))
        | (Bound::Excluded(start), Bound::Included(end)) => start >= end,
        _ => false,
    }
}

/// Checks a stored value against its seal and takes the seal off.
pub(crate) fn unseal(realm: RealmId, key: &[u8], stored: &Bytes) -> Result<(Seal, Bytes)> {
    if stored.len() >= SEAL_BYTES {
        let value = stored.slice(SEAL_BYTES..);
        let seal = Seal::of(realm, key, &value);
        if seal.to_bytes() == stored[..SEAL_BYTES] {
            return Ok((seal, value));
        }
    }
    Err(StoreError::damaged(format!("{realm}: the record at key {} does not match its seal", hex(key))))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// All realms as they were at one moment. Cheap to take; holding one for long keeps old index files around.
pub struct Snapshot {
    view: Box<dyn IndexView>,
    quarantine: Arc<Quarantine>,
    /// In a store that is still being restored.
    partial: Option<Arc<Partial>>,
}

impl Snapshot {
    pub(crate) const fn new(
        view: Box<dyn IndexView>,
        quarantine: Arc<Quarantine>,
        partial: Option<Arc<Partial>>,
    ) -> Self {
        Self { view, quarantine, partial }
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

    /// What the log's commits up to that one amount to.
    pub fn chain(&self) -> Result<crate::log::Chain> {
        Ok(meta::applied(&*self.view)?.1)
    }

    /// Which primary's commits these are: goes up at each restore and promotion.
    pub fn epoch(&self) -> Result<u64> {
        meta::epoch(&*self.view)
    }

    /// A fact that [`crate::Store::set_notes`] kept.
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
        if let Err(StoreError::Damaged { what }) = &result {
            self.quarantine.put(realm, what);
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
