//! Contacts that look like the same person twice.

use std::collections::{BTreeMap, HashMap};

use mailkit::fold::loose;
use store::{Order, Read as _, RealmId};

use crate::card::canonical;
use crate::schema;
use crate::{Card, Contact, ContactId, People, Receipt, Result, records};

/// Most sets of contacts that are looked at together.
pub const MAX_SETS: usize = 100;
/// Most contacts of one set: more under one name or number are a company.
const MAX_OF_A_SET: usize = 20;
/// Digits at the end of a phone number that tell it from others, whatever is written in front.
const PHONE_DIGITS: usize = 9;
/// Fewest digits of a phone number that is somebody's own.
const MIN_PHONE_DIGITS: usize = 7;

/// Sets of contacts that look alike.
#[derive(Clone, Debug, Default)]
pub struct Duplicates {
    /// The contacts of each, the fullest first.
    pub sets: Vec<Vec<Contact>>,
    /// There are more sets than [`MAX_SETS`].
    pub more: bool,
}

/// What two contacts that are one person have in common: an address, the whole name, or a number.
fn marks(card: &Card) -> impl Iterator<Item = String> {
    let addresses = card.addresses.iter().map(|address| format!("a{}", canonical(&address.address)));
    let phones = card.phones.iter().filter_map(|phone| {
        let digits: String = phone.number.chars().filter(char::is_ascii_digit).collect();
        let start = digits.len().saturating_sub(PHONE_DIGITS);
        (digits.len() >= MIN_PHONE_DIGITS).then(|| format!("p{}", &digits[start..]))
    });
    let name = loose(&card.name).split_whitespace().collect::<Vec<_>>().join(" ");
    let name = (!name.is_empty()).then(|| format!("n{name}"));
    addresses.chain(phones).chain(name).collect::<Vec<_>>().into_iter()
}

/// The first of the contacts that are the same as this one.
fn root(of: &mut [usize], mut at: usize) -> usize {
    while of[at] != at {
        of[at] = of[of[at]];
        at = of[at];
    }
    at
}

impl People {
    /// Sets of contacts with the same name, address or phone number, without those that were called different. Visits all
    /// contacts.
    ///
    /// # Errors
    /// Those of reading.
    pub fn duplicates(&self, account: RealmId) -> Result<Duplicates> {
        let snapshot = self.store.snapshot();
        let mut ids: Vec<ContactId> = Vec::new();
        let mut same: Vec<usize> = Vec::new();
        let mut seen: HashMap<[u8; 16], usize> = HashMap::new();
        for row in snapshot.prefix(account, &[schema::CONTACT], Order::Ascending)? {
            let (at, value) = row?;
            let number = ids.len();
            ids.push(ContactId(schema::last_number(&at)?));
            same.push(number);
            for mark in marks(&schema::decode(&at, value)?) {
                let mut key = [0; 16];
                key.copy_from_slice(&blake3::hash(mark.as_bytes()).as_bytes()[..16]);
                let other = *seen.entry(key).or_insert(number);
                let (a, b) = (root(&mut same, number), root(&mut same, other));
                same[a.max(b)] = a.min(b);
            }
        }
        drop(seen);
        let mut sets: BTreeMap<usize, Vec<ContactId>> = BTreeMap::new();
        for (number, id) in ids.into_iter().enumerate() {
            sets.entry(root(&mut same, number)).or_default().push(id);
        }
        let mut found = Duplicates::default();
        for set in sets.into_values().filter(|set| (2..=MAX_OF_A_SET).contains(&set.len())) {
            if snapshot.get(account, &schema::apart(&set))?.is_some() {
                continue;
            }
            if found.sets.len() == MAX_SETS {
                found.more = true;
                break;
            }
            let mut contacts = Vec::new();
            for id in set {
                contacts.push(Contact { id, card: records::load(&snapshot, account, id)? });
            }
            contacts.sort_by_key(|contact| (std::cmp::Reverse(prost::Message::encoded_len(&contact.card)), contact.id));
            found.sets.push(contacts);
        }
        found.sets.sort_by_cached_key(|set| set[0].card.title().to_lowercase());
        Ok(found)
    }

    /// What [`People::merge`] would make of these contacts, the first of which stays.
    ///
    /// # Errors
    /// [`crate::PeopleError::NothingToMerge`], [`crate::PeopleError::NoSuchContact`], and the limits.
    pub fn merged(&self, account: RealmId, ids: &[ContactId]) -> Result<(Vec<Contact>, Card)> {
        records::at_once(ids)?;
        let snapshot = self.store.snapshot();
        let mut contacts: Vec<Contact> = Vec::new();
        for id in ids {
            if !contacts.iter().any(|known| known.id == *id) {
                contacts.push(Contact { id: *id, card: records::load(&snapshot, account, *id)? });
            }
        }
        let [first, others @ ..] = contacts.as_slice() else { return Err(crate::PeopleError::NothingToMerge) };
        if others.is_empty() {
            return Err(crate::PeopleError::NothingToMerge);
        }
        let mut card = first.card.clone();
        for other in others {
            card.absorb(&other.card);
        }
        let card = card.checked()?;
        Ok((contacts, card))
    }

    /// Remember that these contacts are not the same. Once for each `act_key`.
    ///
    /// # Errors
    /// [`crate::PeopleError::TooMany`].
    pub async fn keep_apart(&self, account: RealmId, act_key: &[u8], ids: Vec<ContactId>) -> Result<Receipt> {
        records::at_once(&ids)?;
        self.act(account, act_key, move |tx, act| {
            act.note = "They aren\u{2019}t suggested as duplicates again.".to_owned();
            let key = schema::apart(&ids);
            if tx.get(account, &key)?.is_none() {
                tx.put(account, key.clone(), Vec::new());
                act.records.push(schema::RecordBack { key, before: None, after: Some(Vec::new()) });
            }
            Ok(())
        })
        .await
    }
}
