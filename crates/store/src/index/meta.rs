//! The index's own metadata: records of the `Meta` space, each followed by its checksum.

use std::ops::Bound;

use bytes::Bytes;

use super::{IndexView, Space};
use crate::{Cause, Damaged, Digest, Order, Part, RealmId, RealmSeq, Result, Seq, log::Chain, read::end_of_prefix};

const APPLIED: &[u8] = b"applied";
const FIRST: &[u8] = b"first";
const ABSENT: u8 = b'w';
const QUARANTINE: u8 = b'q';
const REALM: u8 = b'r';
const CURSOR: &[u8] = b"cursor/";
const NOTE: u8 = b'n';
const EPOCH: &[u8] = b"epoch";
pub(crate) const BODY: u8 = b'b';
pub(crate) const PACKED: &[u8] = b"packed";
const PACK: u8 = b'k';

/// A realm's last commit and the digest it states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RealmState {
    pub seq: RealmSeq,
    pub digest: Digest,
}

pub(crate) type Write = (Space, Vec<u8>, Option<Vec<u8>>);

/// A write of a meta record.
pub(crate) fn write(key: Vec<u8>, mut value: Vec<u8>) -> Write {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&key), &value);
    value.extend_from_slice(&crc.to_le_bytes());
    (Space::Meta, key, Some(value))
}

/// A write of what a follower keeps aside.
pub(crate) fn write_aside(key: Vec<u8>, value: Vec<u8>) -> Write {
    let (_, key, value) = write(key, value);
    (Space::Aside, key, value)
}

/// A meta record's value, checked.
pub(crate) fn checked(key: &[u8], stored: &Bytes) -> Result<Bytes> {
    let Some(end) = stored.len().checked_sub(4) else {
        return Err(Damaged::new(Part::IndexEntry, Cause::Length).key(key).into());
    };
    let crc = crc32c::crc32c_append(crc32c::crc32c(key), &stored[..end]);
    if stored[end..] != crc.to_le_bytes() {
        return Err(Damaged::new(Part::IndexEntry, Cause::Checksum).key(key).into());
    }
    Ok(stored.slice(..end))
}

pub(crate) fn read(view: &dyn IndexView, key: &[u8]) -> Result<Option<Bytes>> {
    view.get(Space::Meta, key)?.map(|stored| checked(key, &stored)).transpose()
}

fn number(key: &[u8], value: &[u8]) -> Result<u64> {
    let bytes = value.try_into().map_err(|_| Damaged::new(Part::IndexEntry, Cause::Decoding).key(key))?;
    Ok(u64::from_le_bytes(bytes))
}

/// The last commit that the index holds, and the log's chain there.
pub(crate) fn applied(view: &dyn IndexView) -> Result<(Seq, Chain)> {
    let Some(value) = read(view, APPLIED)? else { return Ok((Seq(0), Chain::default())) };
    let parts = value.split_at_checked(8).and_then(|(seq, chain)| Some((seq, Chain::try_from(chain).ok()?)));
    let (seq, chain) = parts.ok_or_else(|| Damaged::new(Part::IndexEntry, Cause::Decoding).key(APPLIED))?;
    Ok((Seq(number(APPLIED, seq)?), chain))
}

pub(crate) fn set_applied(seq: Seq, chain: &Chain) -> Write {
    write(APPLIED.to_vec(), [&seq.0.to_le_bytes()[..], chain].concat())
}

/// The commit with which the log should begin, at the latest: those before it were dropped on purpose.
pub(crate) fn first(view: &dyn IndexView) -> Result<Seq> {
    read(view, FIRST)?.map_or(Ok(Seq(1)), |value| number(FIRST, &value).map(Seq))
}

pub(crate) fn set_first(seq: Seq) -> Write {
    write(FIRST.to_vec(), seq.0.to_le_bytes().to_vec())
}

/// The epoch of the last commit; 1 before there is any.
pub(crate) fn epoch(view: &dyn IndexView) -> Result<u64> {
    read(view, EPOCH)?.map_or(Ok(1), |value| number(EPOCH, &value))
}

pub(crate) fn set_epoch(epoch: u64) -> Write {
    write(EPOCH.to_vec(), epoch.to_le_bytes().to_vec())
}

pub(crate) fn note_key(space: &str, key: &[u8]) -> Vec<u8> {
    [&[NOTE], space.as_bytes(), &[0], key].concat()
}

/// The notes of a space whose keys begin with `prefix`.
pub(crate) fn notes<T>(
    view: &dyn IndexView,
    space: &str,
    prefix: &[u8],
    parse: impl Fn(&[u8], &[u8]) -> Result<T>,
) -> Result<Vec<T>> {
    prefixed(view, &note_key(space, prefix), parse)
}

fn pack_key(number: u32) -> Vec<u8> {
    [&[PACK][..], &number.to_be_bytes()].concat()
}

/// The closed packs and their sizes.
pub(crate) fn pack_bytes(view: &dyn IndexView) -> Result<Vec<(u32, u64)>> {
    prefixed(view, &[PACK], |key, value| {
        let number = key[1..].try_into().map_err(|_| Damaged::new(Part::IndexEntry, Cause::Decoding).key(key))?;
        Ok((u32::from_be_bytes(number), self::number(key, value)?))
    })
}

pub(crate) fn set_pack_bytes(number: u32, bytes: u64) -> Write {
    write(pack_key(number), bytes.to_le_bytes().to_vec())
}

pub(crate) fn forget_pack(number: u32) -> Write {
    (Space::Meta, pack_key(number), None)
}

fn absent_key(realm: RealmId) -> Vec<u8> {
    [&[ABSENT][..], &realm.raw().to_be_bytes()].concat()
}

/// Whether the realm's records are still to come.
pub(crate) fn is_absent(view: &dyn IndexView, realm: RealmId) -> Result<bool> {
    Ok(read(view, &absent_key(realm))?.is_some_and(|value| value.is_empty()))
}

/// The realms that not everyone may use yet, and whether their records are there.
pub(crate) fn absent(view: &dyn IndexView) -> Result<Vec<(RealmId, bool)>> {
    prefixed(view, &[ABSENT], |key, value| Ok((realm_of(key)?, !value.is_empty())))
}

pub(crate) fn set_absent(realm: RealmId, has_records: bool) -> Write {
    write(absent_key(realm), if has_records { vec![1] } else { Vec::new() })
}

pub(crate) fn set_present(realm: RealmId) -> Write {
    (Space::Meta, absent_key(realm), None)
}

fn quarantine_key(realm: RealmId) -> Vec<u8> {
    let mut key = vec![QUARANTINE];
    key.extend_from_slice(&realm.raw().to_be_bytes());
    key
}

pub(crate) fn quarantined(view: &dyn IndexView) -> Result<Vec<(RealmId, Damaged)>> {
    prefixed(view, &[QUARANTINE], |key, value| Ok((realm_of(key)?, Damaged::from_note(value))))
}

pub(crate) fn set_quarantined(realm: RealmId, reason: &Damaged) -> Write {
    write(quarantine_key(realm), reason.to_note())
}

pub(crate) fn release(realm: RealmId) -> Write {
    (Space::Meta, quarantine_key(realm), None)
}

fn realm_key(realm: RealmId) -> Vec<u8> {
    let mut key = vec![REALM];
    key.extend_from_slice(&realm.raw().to_be_bytes());
    key
}

fn state(key: &[u8], value: &[u8]) -> Result<RealmState> {
    let parts = value.split_at_checked(8).and_then(|(seq, digest)| Some((seq, Digest::from_bytes(digest)?)));
    let Some((seq, digest)) = parts else {
        return Err(Damaged::new(Part::IndexEntry, Cause::Decoding).key(key).into());
    };
    Ok(RealmState { seq: RealmSeq(number(key, seq)?), digest })
}

pub(crate) fn realm_state(view: &dyn IndexView, realm: RealmId) -> Result<RealmState> {
    let key = realm_key(realm);
    read(view, &key)?.map_or(Ok(RealmState::default()), |value| state(&key, &value))
}

pub(crate) fn set_realm_state(realm: RealmId, state: RealmState) -> Write {
    let mut value = state.seq.0.to_le_bytes().to_vec();
    value.extend_from_slice(&state.digest.to_bytes());
    write(realm_key(realm), value)
}

fn prefixed<T>(view: &dyn IndexView, prefix: &[u8], parse: impl Fn(&[u8], &[u8]) -> Result<T>) -> Result<Vec<T>> {
    view.range(Space::Meta, (Bound::Included(prefix.to_vec()), end_of_prefix(prefix)), Order::Ascending)
        .map(|row| {
            let (key, stored) = row?;
            parse(&key, &checked(&key, &stored)?)
        })
        .collect()
}

pub(crate) fn realm_states(view: &dyn IndexView) -> Result<Vec<(RealmId, RealmState)>> {
    prefixed(view, &[REALM], |key, value| Ok((realm_of(key)?, state(key, value)?)))
}

/// The realm that a key's bytes after the first name.
fn realm_of(key: &[u8]) -> Result<RealmId> {
    let raw = key[1..].try_into().map_err(|_| Damaged::new(Part::IndexEntry, Cause::Decoding).key(key))?;
    Ok(RealmId::from_raw(u64::from_be_bytes(raw)))
}

/// The realms that there is a state of, whether or not it can be read.
pub(crate) fn realm_keys(view: &dyn IndexView) -> Vec<RealmId> {
    let range = (Bound::Included(vec![REALM]), end_of_prefix(&[REALM]));
    let rows = view.range(Space::Meta, range, Order::Ascending);
    let read = rows.map_while(|row| row.inspect_err(|error| tracing::error!(%error, "could not list all realms")).ok());
    read.filter_map(|(key, _)| realm_of(&key).ok()).collect()
}

pub(crate) fn cursors(view: &dyn IndexView) -> Result<Vec<(String, Seq)>> {
    prefixed(view, CURSOR, |key, value| {
        Ok((String::from_utf8_lossy(&key[CURSOR.len()..]).into_owned(), Seq(number(key, value)?)))
    })
}

pub(crate) fn cursor(name: &str, seq: Seq) -> Write {
    write([CURSOR, name.as_bytes()].concat(), seq.0.to_le_bytes().to_vec())
}
