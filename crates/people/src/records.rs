//! The record of a contact: reading it, finding it by its keys, writing it with them, and what an act notes to take it
//! back.

use prost::Message as _;
use store::{Order, Read, RealmId, Tx};

use crate::groups::{self, leave};
use crate::ids::fresh_uid;
use crate::pictures;
use crate::schema::{self, WayBack, state_of};
use crate::{Card, ContactId, GroupId, MAX_CONTACTS, MAX_ROWS_PER_COMMIT, PeopleError, Result};

pub(crate) fn at_once(ids: &[ContactId]) -> Result<()> {
    if ids.len() > MAX_ROWS_PER_COMMIT {
        return Err(PeopleError::TooMany { what: "contacts at once", limit: MAX_ROWS_PER_COMMIT as u64 });
    }
    Ok(())
}

pub(crate) fn load<R: Read + ?Sized>(read: &R, account: RealmId, id: ContactId) -> Result<Card> {
    schema::load(read, account, &schema::contact(id))?.ok_or(PeopleError::NoSuchContact)
}

/// The contacts that have an address.
pub(crate) fn holders<R: Read + ?Sized>(read: &R, account: RealmId, address: &str) -> Result<Vec<ContactId>> {
    numbers(read, account, &schema::address_prefix(address))
}

/// The contacts at the end of the keys that begin with `prefix`.
pub(crate) fn numbers<R: Read + ?Sized>(read: &R, account: RealmId, prefix: &[u8]) -> Result<Vec<ContactId>> {
    let mut found = Vec::new();
    for row in read.prefix(account, prefix, Order::Ascending)? {
        found.push(ContactId(schema::last_number(&row?.0)?));
    }
    Ok(found)
}

pub(crate) fn hash(card: &Card) -> Vec<u8> {
    blake3::hash(&card.encode_to_vec()).as_bytes()[..16].to_vec()
}

pub(crate) fn way_back(id: ContactId, before: Option<Card>, groups: &[GroupId], after: Vec<u8>) -> WayBack {
    WayBack { contact: id.0, before, groups: groups.iter().map(|group| group.0).collect(), after }
}

/// Writes a contact with its lookup keys, or deletes it with its memberships. Returns the hash of the written record.
pub(crate) fn write(tx: &mut Tx<'_>, account: RealmId, id: ContactId, card: Option<Card>) -> Result<Vec<u8>> {
    let at = schema::contact(id);
    let old: Option<Card> = schema::load(tx, account, &at)?;
    for key in old.iter().flat_map(|old| schema::indexes(id, old)) {
        tx.delete(account, key);
    }
    let mut written = Vec::new();
    let card = match card {
        Some(mut card) => {
            pictures::lift_in(tx, account, &mut card)?;
            Some(card)
        }
        None => None,
    };
    let mut state = state_of(tx, account)?;
    match card {
        Some(mut card) => {
            if old.is_none() {
                if state.contacts >= MAX_CONTACTS {
                    return Err(PeopleError::TooMany { what: "contacts", limit: u64::from(MAX_CONTACTS) });
                }
                state.contacts += 1;
            }
            if card.uid.is_empty() {
                card.uid = fresh_uid();
            }
            for key in schema::indexes(id, &card) {
                tx.put(account, key, Vec::new());
            }
            written = hash(&card);
            schema::save(tx, account, at, &card);
        }
        None if old.is_some() => {
            for group in groups::of_contact(tx, account, id)? {
                leave(tx, account, group, &[id])?;
            }
            state.contacts = state.contacts.saturating_sub(1);
            tx.delete(account, at);
        }
        None => {}
    }
    schema::save(tx, account, schema::state(), &state);
    Ok(written)
}
