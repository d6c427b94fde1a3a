//! The consistency rules of an account's address book, checked by counting everything again: part of `holdfast verify`.

use std::collections::BTreeSet;

use store::{Order, Read, RealmId};

use crate::Result;
use crate::pictures;
use crate::schema::{self, State};
use crate::{book::book_of, schema::state_of};

/// Findings reported of one account.
pub const MAX_FINDINGS: usize = 100;

/// Checks all rules of an account's address book. Returns the violations, each a sentence.
///
/// * Contacts are found by name, addresses and UID, and nothing else is found by them.
/// * Every member of a group is a contact and knows the group; every membership is in its group.
/// * Pictures of contacts are there, and are what their keys say.
/// * Counts equal what is counted.
///
/// # Errors
/// If the store can not be read, or a record can not be decoded.
pub fn check_account<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Vec<String>> {
    let book = book_of(read, account)?;
    let mut findings = Vec::new();
    let mut wanted: BTreeSet<Vec<u8>> = BTreeSet::new();
    for (id, card) in &book.contacts {
        wanted.extend(schema::indexes(*id, card));
    }
    for (id, group) in &book.groups {
        for member in &group.members {
            if !book.contacts.contains_key(member) {
                findings.push(format!("{member} is in group {id}, but is not a contact"));
            }
            wanted.insert(schema::member(*member, *id));
        }
    }
    for kind in [schema::SORTED, schema::ADDRESS, schema::UID, schema::MEMBER] {
        for row in read.prefix(account, &[kind], Order::Ascending)? {
            let (key, _) = row?;
            if !wanted.remove(&key[..]) {
                findings.push(format!("the key {key:02x?} of the address book leads to nothing that has it"));
            }
        }
    }
    findings.extend(wanted.iter().map(|key| format!("the key {key:02x?} of the address book is missing")));
    let mut picture_bytes = 0;
    let mut pictures = BTreeSet::new();
    for row in read.prefix(account, &[schema::PICTURE], Order::Ascending)? {
        let (key, value) = row?;
        let record: schema::PictureRecord = schema::decode(&key, value)?;
        picture_bytes += record.content.len() as u64;
        if pictures::hash(&record.content) != key[1..] {
            findings.push(format!("the picture {key:02x?} is not what its key says"));
        }
        pictures.insert(key[1..].to_vec());
    }
    for (id, card) in &book.contacts {
        let missing = |hash: &Vec<u8>| !pictures.contains(hash) && !book.pictures.contains_key(hash);
        if card.pictures.iter().any(|picture| missing(&picture.hash)) {
            findings.push(format!("a picture of {id} is missing"));
        }
    }
    let counted = State { picture_bytes, contacts: book.contacts.len() as u32, groups: book.groups.len() as u32 };
    let stored = state_of(read, account)?;
    if stored != counted {
        findings.push(format!("the address book: stored {stored:?}, counted {counted:?}"));
    }
    findings.truncate(MAX_FINDINGS);
    Ok(findings)
}
