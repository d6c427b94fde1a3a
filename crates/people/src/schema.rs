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
/// All kinds of keys.
pub(crate) const KINDS: [u8; 8] = [STATE, CONTACT, SORTED, ADDRESS, UID, GROUP, MEMBER, ACT];

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

pub(crate) fn member(contact: ContactId, group: GroupId) -> Vec<u8> {
    [&[MEMBER][..], &contact.0.to_be_bytes(), &group.0.to_be_bytes()].concat()
}

pub(crate) fn members_of(contact: ContactId) -> Vec<u8> {
    [&[MEMBER][..], &contact.0.to_be_bytes()].concat()
}

/// The beginning of the list's keys for that name.
pub(crate) fn sorted_prefix(card: &Card) -> Vec<u8> {
    let name: String = card.title().to_lowercase().chars().filter(|c| *c != '\0').collect();
    let name = &name[..name.floor_char_boundary(SORT_BYTES)];
    [&[SORTED][..], name.as_bytes(), &[0]].concat()
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
