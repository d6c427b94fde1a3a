//! The layout of a realm's records in the index: keys prefixed with the realm, values with their seal.

use std::ops::Bound;

use bytes::Bytes;

use crate::{
    Cause, Damaged, Part, RealmId, Result,
    digest::{SEAL_BYTES, Seal},
    read::end_of_prefix,
};

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
    Err(Damaged::new(Part::Record, Cause::Checksum).realm(realm).key(key).into())
}

/// A value with its seal in front.
pub(crate) fn sealed(seal: Seal, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(SEAL_BYTES + value.len());
    stored.extend_from_slice(&seal.to_bytes());
    stored.extend_from_slice(value);
    stored
}
