//! The stored records and their keys in the account's realm.
//!
//! Values are protobuf records (tags are never reused) or empty; numbers in keys are big-endian.
//!
//! | key | value | |
//! |---|---|---|
//! | `50` | [`State`] | the numbers of contacts and groups |
//! | `51` contact | [`Card`](crate::Card) | a contact |
//! | `52` sort name, `00`, contact | – | the order of the list |
//! | `53` address, `00`, contact | – | the contacts with an address |
//! | `54` hash(UID) contact | – | the contact with a vCard UID |
//! | `55` group | [`GroupRecord`] | a group and its members |
//! | `56` contact group | – | the groups of a contact |
//! | `57` hash(act key) | [`ActRecord`] | the result of one user action, and its undo data |
//! | `58` hash(picture) | [`PictureRecord`] | a picture, of however many contacts |
//! | `59` shelf | [`ShelfRecord`] | a book beside the first one |
//! | `5A` hash(contacts) | – | contacts that look alike and are not the same |
//! | `5B` | [`SettingsRecord`] | what is set for the address book |

use bytes::Bytes;
use prost::Message;
use store::{Read, RealmId, Tx};

use crate::card::canonical;
use crate::{Card, ContactId, GroupId, PeopleError, Result};

pub(crate) const STATE: u8 = 0x50;
pub(crate) const CONTACT: u8 = 0x51;
pub(crate) const SORTED: u8 = 0x52;
pub(crate) const ADDRESS: u8 = 0x53;
pub(crate) const UID: u8 = 0x54;
pub(crate) const GROUP: u8 = 0x55;
pub(crate) const MEMBER: u8 = 0x56;
pub(crate) const ACT: u8 = 0x57;
pub(crate) const PICTURE: u8 = 0x58;
pub(crate) const SHELF: u8 = 0x59;
pub(crate) const APART: u8 = 0x5A;
pub(crate) const SETTINGS: u8 = 0x5B;
/// All kinds of keys.
pub(crate) const KINDS: [u8; 12] =
    [STATE, CONTACT, SORTED, ADDRESS, UID, GROUP, MEMBER, ACT, PICTURE, SHELF, APART, SETTINGS];

/// Bytes of a name that decide the order of the list.
const SORT_BYTES: usize = 120;

/// `50`: counts.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct State {
    /// Contacts.
    #[prost(uint32, tag = "1")]
    pub contacts: u32,
    /// Groups.
    #[prost(uint32, tag = "2")]
    pub groups: u32,
    /// Bytes of all pictures.
    #[prost(uint64, tag = "3")]
    pub picture_bytes: u64,
}

/// `58`: a picture.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PictureRecord {
    /// JPEG, PNG, GIF or WebP.
    #[prost(bytes = "bytes", tag = "1")]
    pub content: Bytes,
    /// Since when no contact and no act needs it, milliseconds since 1970 UTC; 0 while one does. Daily upkeep sets it.
    #[prost(int64, tag = "2")]
    pub unused_since_ms: i64,
}

/// `59`: a book beside the first one.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ShelfRecord {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
}

/// `5B`: what is set for the address book.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SettingsRecord {
    /// People written to are not listed and not offered.
    #[prost(bool, tag = "1")]
    pub hides_written: bool,
}

/// `55`: a group.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GroupRecord {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its members' ids, ascending.
    #[prost(fixed64, repeated, tag = "2")]
    pub members: Vec<u64>,
    /// vCard UID.
    #[prost(string, tag = "3")]
    pub uid: String,
}

/// `57`: an act.
#[derive(Clone, PartialEq, Message)]
pub struct ActRecord {
    /// When, milliseconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    pub at_ms: i64,
    /// For people.
    #[prost(string, tag = "2")]
    pub note: String,
    /// The contact it made or changed, if it is one; else 0.
    #[prost(fixed64, tag = "3")]
    pub contact: u64,
    /// It was undone.
    #[prost(bool, tag = "4")]
    pub undone: bool,
    /// The undo data.
    #[prost(message, repeated, tag = "5")]
    pub way_back: Vec<WayBack>,
    /// The undo data of books and groups.
    #[prost(message, repeated, tag = "6")]
    pub records: Vec<RecordBack>,
}

/// How a book or a group was before an act.
#[derive(Clone, PartialEq, Message)]
pub struct RecordBack {
    /// The record's key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The previous record; nothing if it did not exist.
    #[prost(bytes = "vec", optional, tag = "2")]
    pub before: Option<Vec<u8>>,
    /// How the act left it; nothing if gone. What was changed since is not taken back.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub after: Option<Vec<u8>>,
}

/// How one contact was before an act.
#[derive(Clone, PartialEq, Message)]
pub struct WayBack {
    /// Which.
    #[prost(fixed64, tag = "1")]
    pub contact: u64,
    /// The previous state; nothing if it did not exist.
    #[prost(message, optional, tag = "2")]
    pub before: Option<Card>,
    /// The groups it was in.
    #[prost(fixed64, repeated, tag = "3")]
    pub groups: Vec<u64>,
    /// Hash of how the act left it; empty if gone. What was changed since is not taken back.
    #[prost(bytes = "vec", tag = "4")]
    pub after: Vec<u8>,
}

/// Whether a key of an account's realm is a contact's.
pub fn is_contact(key: &[u8]) -> bool {
    key.len() == 9 && key[0] == CONTACT
}

pub(crate) fn state() -> Vec<u8> {
    vec![STATE]
}

pub(crate) fn contact(id: ContactId) -> Vec<u8> {
    [&[CONTACT][..], &id.0.to_be_bytes()].concat()
}

pub(crate) fn group(id: GroupId) -> Vec<u8> {
    [&[GROUP][..], &id.0.to_be_bytes()].concat()
}

pub(crate) fn picture(hash: &[u8]) -> Vec<u8> {
    [&[PICTURE][..], hash].concat()
}

pub(crate) fn shelf(id: u64) -> Vec<u8> {
    [&[SHELF][..], &id.to_be_bytes()].concat()
}

/// The key that says that these contacts, whatever their order, are not the same.
pub(crate) fn apart(contacts: &[ContactId]) -> Vec<u8> {
    let mut ids: Vec<u64> = contacts.iter().map(|id| id.0).collect();
    ids.sort_unstable();
    let bytes: Vec<u8> = ids.into_iter().flat_map(u64::to_be_bytes).collect();
    [&[APART][..], &blake3::hash(&bytes).as_bytes()[..16]].concat()
}

pub(crate) fn settings() -> Vec<u8> {
    vec![SETTINGS]
}

pub(crate) fn member(contact: ContactId, group: GroupId) -> Vec<u8> {
    [&[MEMBER][..], &contact.0.to_be_bytes(), &group.0.to_be_bytes()].concat()
}

pub(crate) fn members_of(contact: ContactId) -> Vec<u8> {
    [&[MEMBER][..], &contact.0.to_be_bytes()].concat()
}

/// The beginning of the list's keys for that name.
pub(crate) fn sorted_prefix(card: &Card) -> Vec<u8> {
    let mut key = sorted_from(card.title());
    key.push(0);
    key
}

/// The beginning of the list's keys for names that begin with that.
pub(crate) fn sorted_from(name: &str) -> Vec<u8> {
    let name: String = name.to_lowercase().chars().filter(|c| *c != '\0').collect();
    let name = &name[..name.floor_char_boundary(SORT_BYTES)];
    [&[SORTED][..], name.as_bytes()].concat()
}

pub(crate) fn sorted(card: &Card, id: ContactId) -> Vec<u8> {
    [&sorted_prefix(card)[..], &id.0.to_be_bytes()].concat()
}

pub(crate) fn address_prefix(address: &str) -> Vec<u8> {
    [&[ADDRESS][..], canonical(address).as_bytes(), &[0]].concat()
}

pub(crate) fn uid_prefix(uid: &str) -> Vec<u8> {
    [&[UID][..], &blake3::hash(uid.as_bytes()).as_bytes()[..16]].concat()
}

pub(crate) fn act(key: &[u8]) -> Vec<u8> {
    [&[ACT][..], &blake3::hash(key).as_bytes()[..16]].concat()
}

/// The keys by which a contact is found.
pub(crate) fn indexes(id: ContactId, card: &Card) -> Vec<Vec<u8>> {
    let with_id = |prefix: Vec<u8>| [&prefix[..], &id.0.to_be_bytes()].concat();
    let addresses = card.addresses.iter().map(|address| with_id(address_prefix(&address.address)));
    [sorted(card, id), with_id(uid_prefix(&card.uid))].into_iter().chain(addresses).collect()
}

/// The number at the end of a key.
pub(crate) fn last_number(key: &[u8]) -> Result<u64> {
    let damaged = || PeopleError::damaged_at(store::Cause::Decoding, key, "its key");
    let at = key.len().checked_sub(8).filter(|at| *at > 0).ok_or_else(damaged)?;
    Ok(u64::from_be_bytes(key[at..].try_into().map_err(|_| damaged())?))
}

/// Read and decode the record at `key`.
pub(crate) fn load<M: Message + Default, R: Read + ?Sized>(
    read: &R,
    account: RealmId,
    key: &[u8],
) -> Result<Option<M>> {
    read.get(account, key)?.map(|value| decode(key, value)).transpose()
}

/// Decode the record that was found at `key`.
pub(crate) fn decode<M: Message + Default>(key: &[u8], value: Bytes) -> Result<M> {
    M::decode(value).map_err(|e| PeopleError::damaged_at(store::Cause::Decoding, key, e))
}

/// Encode and write a record.
pub(crate) fn save<M: Message>(tx: &mut Tx<'_>, account: RealmId, key: Vec<u8>, record: &M) {
    tx.put(account, key, record.encode_to_vec());
}

/// The counts of an account.
pub(crate) fn state_of<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<State> {
    Ok(load(read, account, &state())?.unwrap_or_default())
}
