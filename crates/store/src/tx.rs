//! A transaction: the reads and writes of a closure on the writer thread.

mod group;

use std::{collections::BTreeSet, ops::Bound};

use bytes::Bytes;

use crate::{
    BODY_REFERENCE, BodyId, Order, Read, RealmId, RealmSeq, Result, Rows, StoreError,
    index::{full_key, full_range, is_empty_range, realm_of},
    record::reference_key,
};

pub(crate) use group::{Group, Writes};

/// The longest key, without the realm.
pub const MAX_KEY_BYTES: usize = 512;
/// The longest value.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// A transaction in the making. Reads see all commits before it and its own writes.
pub struct Tx<'a> {
    pub(crate) group: &'a Group,
    pub(crate) writes: Writes,
    pub(crate) bodies: Vec<BodyId>,
    pub(crate) wrong: Option<StoreError>,
    /// Realms that are only cleared away, see [`Tx::clears`].
    pub(crate) clearing: BTreeSet<RealmId>,
    pub(crate) now_ms: i64,
    pub(crate) upkeep: bool,
}

impl<'a> Tx<'a> {
    pub(crate) const fn new(group: &'a Group, now_ms: i64) -> Self {
        Self {
            group,
            writes: Writes::new(),
            bodies: Vec::new(),
            wrong: None,
            clearing: BTreeSet::new(),
            now_ms,
            upkeep: false,
        }
    }

    /// Sets a key. A key or value over its limit fails the whole transaction when the closure returns.
    pub fn put(&mut self, realm: RealmId, key: Vec<u8>, value: Vec<u8>) {
        self.check(realm, &key, value.len());
        self.writes.insert(full_key(realm, &key), Some(value.into()));
    }

    /// Removes a key; does nothing if it does not exist.
    pub fn delete(&mut self, realm: RealmId, key: Vec<u8>) {
        self.check(realm, &key, 0);
        self.writes.insert(full_key(realm, &key), None);
    }

    /// Refers to a body, which is kept as long as the reference exists. `owner` distinguishes several references of a realm
    /// to one body. The transaction fails with [`StoreError::BodyMissing`] if there is no such body.
    pub fn ref_body(&mut self, realm: RealmId, body: &BodyId, owner: &[u8]) {
        self.bodies.push(*body);
        let key = reference_key(body, owner);
        self.check_length(&key);
        self.writes.insert(full_key(realm, &key), Some(Bytes::new()));
    }

    /// Takes a reference away. The body stays for the retention time, then goes unless something else refers to it.
    pub fn unref_body(&mut self, realm: RealmId, body: &BodyId, owner: &[u8]) {
        self.writes.insert(full_key(realm, &reference_key(body, owner)), None);
    }

    /// The [`RealmSeq`] that this commit gets in the realm if it writes to it.
    pub fn next_realm_seq(&self, realm: RealmId) -> RealmSeq {
        RealmSeq(self.realm_seq(realm).0 + 1)
    }

    /// # Errors
    /// [`StoreError::Conflict`] when the realm's last commit is not `expected`.
    pub fn expect_realm_seq(&self, realm: RealmId, expected: RealmSeq) -> Result<()> {
        let found = self.realm_seq(realm);
        if found == expected { Ok(()) } else { Err(StoreError::Conflict { realm, expected, found }) }
    }

    /// What it has written so far, realm by realm, in the order of keys: the new value, or none where a key is removed.
    pub fn writes(&self) -> impl Iterator<Item = (RealmId, &[u8], Option<&Bytes>)> {
        self.writes.iter().map(|(full, value)| (realm_of(full), &full[8..], value.as_ref()))
    }

    /// What a key had before this transaction.
    ///
    /// # Errors
    /// As [`Read::get`].
    pub fn before(&self, realm: RealmId, key: &[u8]) -> Result<Option<Bytes>> {
        self.group.get(realm, key, &full_key(realm, key))
    }

    /// The commit's time in milliseconds since 1970; never before that of the commit before it.
    pub const fn now_ms(&self) -> i64 {
        self.now_ms
    }

    /// Marks this commit as bookkeeping without user data: see [`crate::Commit::upkeep`].
    pub const fn keeps_books(&mut self) {
        self.upkeep = true;
    }

    /// What this transaction writes in the realm clears it away, or keeps the books of that: it may do so in a realm that
    /// is closed (see [`crate::Store::close_realms`]).
    pub fn clears(&mut self, realm: RealmId) {
        self.clearing.insert(realm);
    }

    fn check(&mut self, realm: RealmId, key: &[u8], value_len: usize) {
        debug_assert!(key.first() != Some(&BODY_REFERENCE), "{realm}: 0xFF keys are the store's own");
        self.check_length(key);
        if value_len > MAX_VALUE_BYTES {
            self.wrong = Some(StoreError::TooLarge { what: "a value", found: value_len, limit: MAX_VALUE_BYTES });
        }
    }

    fn check_length(&mut self, key: &[u8]) {
        if key.len() > MAX_KEY_BYTES {
            self.wrong = Some(StoreError::TooLarge { what: "a key", found: key.len(), limit: MAX_KEY_BYTES });
        }
    }
}

impl Read for Tx<'_> {
    fn get(&self, realm: RealmId, key: &[u8]) -> Result<Option<Bytes>> {
        let full = full_key(realm, key);
        match self.writes.get(&full) {
            Some(value) => Ok(value.clone()),
            None => self.group.get(realm, key, &full),
        }
    }

    fn range(&self, realm: RealmId, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Result<Rows<'_>> {
        if is_empty_range(&range) {
            return Ok(Rows::new(std::iter::empty()));
        }
        let full = full_range(realm, range.clone());
        let mut newer: Writes = self.group.writes_in(&full);
        newer.extend(self.writes.range(full).map(|(key, value)| (key.clone(), value.clone())));
        let stored = self.group.stored(realm, range, order);
        Ok(Rows::new(Merged::new(stored, newer, order)))
    }

    fn realm_seq(&self, realm: RealmId) -> RealmSeq {
        self.group.realm_seq(realm)
    }
}

/// Rows of the index with newer writes laid over them.
pub(crate) struct Merged<'a> {
    stored: std::iter::Peekable<Rows<'a>>,
    newer: std::iter::Peekable<Box<dyn Iterator<Item = (Bytes, Option<Bytes>)>>>,
    order: Order,
}

impl<'a> Merged<'a> {
    pub(crate) fn new(stored: Rows<'a>, newer: Writes, order: Order) -> Self {
        let strip = |(key, value): (Vec<u8>, Option<Bytes>)| (Bytes::from(key).slice(8..), value);
        let newer: Box<dyn Iterator<Item = _>> = match order {
            Order::Ascending => Box::new(newer.into_iter().map(strip)),
            Order::Descending => Box::new(newer.into_iter().rev().map(strip)),
        };
        Self { stored: stored.peekable(), newer: newer.peekable(), order }
    }
}

impl Iterator for Merged<'_> {
    type Item = Result<(Bytes, Bytes)>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let Some((newer_key, _)) = self.newer.peek() else { return self.stored.next() };
            let place = match self.stored.peek() {
                Some(Err(_)) => return self.stored.next(),
                Some(Ok((key, _))) => match self.order {
                    Order::Ascending => key.cmp(newer_key),
                    Order::Descending => newer_key.cmp(key),
                },
                None => std::cmp::Ordering::Greater,
            };
            if place.is_lt() {
                return self.stored.next();
            }
            if place.is_eq() {
                self.stored.next();
            }
            if let Some((key, Some(value))) = self.newer.next() {
                return Some(Ok((key, value)));
            }
        }
    }
}
