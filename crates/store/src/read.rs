//! Reading: one trait for snapshots and transactions, so that domain reads are written once.

use std::ops::Bound;

use bytes::Bytes;

use crate::{BodyId, RealmId, RealmSeq, Result, record::reference_key};

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
    /// Rows that are in order.
    pub fn new(rows: impl Iterator<Item = Result<(Bytes, Bytes)>> + 'a) -> Self {
        Self(Box::new(rows))
    }
}

impl Iterator for Rows<'_> {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next()
    }
}

/// Read access: a [`Snapshot`], or a transaction that sees its own writes.
pub trait Read {
    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the stored value does not match its seal; the realm is then quarantined.
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

/// Whether a record of a realm refers to a body.
///
/// # Errors
/// Those of reading.
pub fn refers_to<R: Read + ?Sized>(read: &R, realm: RealmId, body: &BodyId) -> Result<bool> {
    let key = reference_key(body, &[]);
    Ok(read.prefix(realm, &key, Order::Ascending)?.next().transpose()?.is_some())
}
