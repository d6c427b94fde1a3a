//! Keys of the index in the store.
//!
//! ```text
//! account(u64) 'm'                        the state
//! account(u64) 's' segment(u32) 'd' term  a block of terms, by its first
//! account(u64) 's' segment(u32) 'f' u32   the first term of a block of terms, by the number of its block of postings
//! account(u64) 's' segment(u32) 'g' u16   in which blocks of terms some grams are
//! account(u64) 's' segment(u32) 'p' u32   a block of postings
//! ```

use store::RealmId;

/// The space of the index among what is set aside.
pub const SPACE: &str = "search";

fn build(account: RealmId, parts: &[&[u8]]) -> Vec<u8> {
    let mut key = account.raw().to_be_bytes().to_vec();
    for part in parts {
        key.extend_from_slice(part);
    }
    key
}

pub fn state(account: RealmId) -> Vec<u8> {
    build(account, &[b"m"])
}

pub fn segments(account: RealmId) -> Vec<u8> {
    build(account, &[b"s"])
}

pub fn segment(account: RealmId, segment: u32) -> Vec<u8> {
    build(account, &[b"s", &segment.to_be_bytes()])
}

pub fn terms(account: RealmId, segment: u32, first: &[u8]) -> Vec<u8> {
    build(account, &[b"s", &segment.to_be_bytes(), b"d", first])
}

pub fn postings(account: RealmId, segment: u32, number: u32) -> Vec<u8> {
    build(account, &[b"s", &segment.to_be_bytes(), b"p", &number.to_be_bytes()])
}

pub fn first(account: RealmId, segment: u32, number: u32) -> Vec<u8> {
    build(account, &[b"s", &segment.to_be_bytes(), b"f", &number.to_be_bytes()])
}

pub fn grams(account: RealmId, segment: u32, row: u16) -> Vec<u8> {
    build(account, &[b"s", &segment.to_be_bytes(), b"g", &row.to_be_bytes()])
}

/// The segment of a key of one.
pub fn segment_of(key: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(key.get(9..13)?.try_into().ok()?))
}
