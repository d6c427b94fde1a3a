//! Rewind: restores the address book to an earlier time, and keeps everything newer.
//!
//! Deleted contacts and groups are restored; contacts changed since then keep both values, the old one first; groups
//! keep their members; newer contacts are kept. Running it twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use store::{Past, RealmId, Tx};

use crate::book::book_of;
use crate::merge::{Book, BookGroup, merge, on_shelf};
use crate::pictures;
use crate::{ContactId, GroupId, People, Result};

/// A preview of a rewind of an address book; nothing is changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookPlan {
    /// Names of restored contacts.
    pub back: Vec<String>,
    /// Names of contacts that keep both values.
    pub changed: Vec<String>,
    /// Names of restored groups.
    pub groups_back: Vec<String>,
    /// Names of groups that get members back, or their name.
    pub groups_changed: Vec<String>,
}

impl BookPlan {
    /// Whether everything is there already.
    pub fn is_empty(&self) -> bool {
        self.back.is_empty() && self.changed.is_empty() && self.groups_back.is_empty() && self.groups_changed.is_empty()
    }
}

/// What an address book is that holds what it was `then` and what it is `now`.
#[must_use]
pub fn brought_back(then: &Book, now: &Book) -> Book {
    // In a merge the last one's values stand first.
    merge(&Book::default(), now, &aligned(then, now))
}

/// `then`, with the ids that the same contacts and groups have `now`: what was deleted and taken in again from a file
/// has another id, and is the same by its UID; a group also by its name.
fn aligned(then: &Book, now: &Book) -> Book {
    let mut by_uid: BTreeMap<&str, ContactId> = BTreeMap::new();
    for (id, card) in now.contacts.iter().filter(|(id, card)| !card.uid.is_empty() && !then.contacts.contains_key(id)) {
        by_uid.entry(&card.uid).or_insert(*id);
    }
    let contact = |id: &ContactId| {
        let same = then.contacts.get(id).filter(|_| !now.contacts.contains_key(id));
        same.and_then(|card| by_uid.get(card.uid.as_str()).copied()).unwrap_or(*id)
    };
    let group = |id: &GroupId, group: &BookGroup| {
        if now.groups.contains_key(id) {
            return *id;
        }
        let name = group.name.to_lowercase();
        let is_same =
            |other: &BookGroup| (!other.uid.is_empty() && other.uid == group.uid) || other.name.to_lowercase() == name;
        let same = now.groups.iter().find(|(other, held)| !then.groups.contains_key(other) && is_same(held));
        same.map_or(*id, |(other, _)| *other)
    };
    let mut book = Book { pictures: then.pictures.clone(), ..Book::default() };
    let moved = book.take_shelves(then, now);
    for (id, card) in &then.contacts {
        book.contacts.entry(contact(id)).or_insert_with(|| on_shelf(card, &moved));
    }
    for (id, held) in &then.groups {
        let members: BTreeSet<ContactId> = held.members.iter().map(contact).collect();
        let at = group(id, held);
        let mut held = BookGroup { members, ..held.clone() };
        if let Some(now) = now.groups.get(&at).filter(|now| now.name.to_lowercase() == held.name.to_lowercase()) {
            held.name.clone_from(&now.name);
        }
        book.groups.entry(at).and_modify(|other| other.members.extend(&held.members)).or_insert(held);
    }
    book
}

impl People {
    /// A preview of restoring the address book of `past`. Blocks; memory grows with the book.
    pub fn plan_rewind(past: &Past, account: RealmId) -> Result<BookPlan> {
        let (then, now) = (book_of(past, account)?, book_of(past.now(), account)?);
        let merged = brought_back(&then, &now);
        let mut plan = BookPlan::default();
        for (id, card) in &merged.contacts {
            match now.contacts.get(id) {
                None => plan.back.push(card.title().to_owned()),
                Some(now) if now != card => plan.changed.push(card.title().to_owned()),
                Some(_) => {}
            }
        }
        for (id, group) in &merged.groups {
            match now.groups.get(id) {
                None => plan.groups_back.push(group.name.clone()),
                Some(now) if now != group => plan.groups_changed.push(group.name.clone()),
                Some(_) => {}
            }
        }
        for names in [&mut plan.back, &mut plan.changed, &mut plan.groups_back, &mut plan.groups_changed] {
            names.sort_by_cached_key(|name| name.to_lowercase());
        }
        Ok(plan)
    }

    /// All of an address book, as it was.
    pub fn book_then(past: &Past, account: RealmId) -> Result<Book> {
        let mut book = book_of(past, account)?;
        let needed: BTreeSet<&Vec<u8>> =
            book.contacts.values().flat_map(|card| &card.pictures).map(|picture| &picture.hash).collect();
        let mut pictures = Vec::new();
        for hash in needed {
            // What is still there need not be brought.
            if pictures::load(past.now(), account, hash)?.is_none()
                && let Some(record) = pictures::load(past, account, hash)?
            {
                pictures.push((hash.clone(), record.content));
            }
        }
        book.pictures.extend(pictures);
        Ok(book)
    }

    /// Bring the address book `then` back. Gives how many contacts and groups were written.
    ///
    /// # Errors
    /// The limits on how many there may be.
    pub fn rewind_in(tx: &mut Tx<'_>, account: RealmId, then: &Book) -> Result<usize> {
        let merged = brought_back(then, &book_of(tx, account)?);
        Self::write_book_in(tx, account, &merged)
    }

    /// Take that back: what the rewind changed, from `before` it to `after` it, becomes what it was, unless it was
    /// changed since.
    ///
    /// # Errors
    /// The limits.
    pub fn undo_rewind_in(tx: &mut Tx<'_>, account: RealmId, before: &Book, after: &Book) -> Result<usize> {
        let merged = merge(after, before, &book_of(tx, account)?);
        Self::write_book_in(tx, account, &merged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::card::PictureRef;
    use crate::{Card, ShelfId};

    fn any(random: &mut impl FnMut(u64) -> u64) -> Book {
        let mut book = Book::default();
        for _ in 0..random(6) {
            let id = ContactId(random(6));
            let mut card = Card::of(&format!("N{}", random(4)), &format!("a{}@x.example", random(5)));
            card.addresses[0].label = format!("L{}", random(3));
            card.note = ["", "one", "two", "one two"][random(4) as usize].to_owned();
            card.organisation = ["", "Org", "Other"][random(3) as usize].to_owned();
            card.other_names = (0..random(3)).map(|_| format!("O{}", random(4))).collect();
            card.parts = ["", "p;q", "r;s"][random(3) as usize].to_owned();
            card.kept = (0..random(3)).map(|_| format!("BDAY:197{}0101", random(3))).collect();
            card.kept.dedup();
            card.pictures = (0..random(3)).map(|n| PictureRef { hash: vec![n as u8], params: String::new() }).collect();
            card.shelf = random(3);
            card.uid = format!("u{}", id.0 + 6 * random(2));
            card.other_names.sort();
            card.other_names.dedup();
            book.contacts.insert(id, card);
        }
        for _ in 0..random(3) {
            book.shelves.insert(ShelfId(1 + random(3)), format!("S{}", random(3)));
        }
        for _ in 0..random(4) {
            let members = book.contacts.keys().copied().filter(|_| random(2) == 0).collect();
            let id = random(4);
            let group = BookGroup { name: format!("G{}", random(3)), uid: format!("g{id}"), members };
            book.groups.insert(GroupId(id), group);
        }
        book
    }

    #[test]
    fn whatever_there_was_comes_back_nothing_since_is_lost_and_twice_is_as_once() {
        let mut state = 88_172_645_463_325_252u64;
        let mut random = move |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below.max(1)
        };
        for round in 0..5_000 {
            let (then, now) = (any(&mut random), any(&mut random));
            let once = brought_back(&then, &now);
            assert_eq!(brought_back(&then, &once), once, "round {round}: {then:#?} {now:#?}");
            let addresses = |book: &Book| -> BTreeSet<String> {
                book.contacts.values().flat_map(|card| &card.addresses).map(|a| a.address.clone()).collect()
            };
            let both: BTreeSet<String> = addresses(&then).union(&addresses(&now)).cloned().collect();
            assert_eq!(addresses(&once), both);
            for (id, group) in &now.groups {
                assert!(group.members.is_subset(&once.groups[id].members), "round {round}");
            }
            let names = |book: &Book| -> BTreeSet<String> {
                let own = book.contacts.values().flat_map(|c| c.other_names.iter().chain([&c.name]));
                own.cloned().collect()
            };
            assert!(names(&then).is_subset(&names(&once)) && names(&now).is_subset(&names(&once)), "round {round}");
            let told =
                |book: &Book| -> BTreeSet<String> { book.contacts.values().flat_map(|c| c.kept.clone()).collect() };
            assert!(told(&then).is_subset(&told(&once)) && told(&now).is_subset(&told(&once)), "round {round}");
            let faces = |book: &Book| -> BTreeSet<Vec<u8>> {
                book.contacts.values().flat_map(|card| &card.pictures).map(|one| one.hash.clone()).collect()
            };
            assert!(faces(&then).is_subset(&faces(&once)) && faces(&now).is_subset(&faces(&once)), "round {round}");
            assert!(now.shelves.keys().all(|shelf| once.shelves.contains_key(shelf)), "round {round}");
            let size = |book: &Book| book.groups.values().map(|group| group.members.len()).max().unwrap_or(0);
            assert!(size(&once) >= size(&then), "round {round}: groups keep members");
        }
    }
}
