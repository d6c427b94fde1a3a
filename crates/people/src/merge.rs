//! Two versions of an address book that grew apart, made one.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hash;

use crate::card::{Address, Card, Phone, canonical, joined};
use crate::image::Pictures;
use crate::{ContactId, GroupId, ShelfId};

/// All of an address book.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Book {
    /// The contacts.
    pub contacts: BTreeMap<ContactId, Card>,
    /// The groups.
    pub groups: BTreeMap<GroupId, BookGroup>,
    /// The names of the books beside the first.
    pub shelves: BTreeMap<ShelfId, String>,
    /// Bytes of pictures that may not be stored where this is written.
    pub pictures: Pictures,
}

/// A group of a [`Book`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BookGroup {
    /// Its name.
    pub name: String,
    /// vCard UID.
    pub uid: String,
    /// Its members.
    pub members: BTreeSet<ContactId>,
}

impl Book {
    /// This book with the ids that another one has for the same contacts and groups: those of the same vCard UID, and
    /// groups of the same name.
    pub(crate) fn known_as_in(&self, other: &Self) -> Self {
        let by_uid: BTreeMap<&str, ContactId> = other
            .contacts
            .iter()
            .filter(|(_, card)| !card.uid.is_empty())
            .map(|(id, card)| (&*card.uid, *id))
            .collect();
        let mut ids: BTreeMap<ContactId, ContactId> = BTreeMap::new();
        // None is given to two.
        let mut taken = BTreeSet::new();
        for (id, card) in self.contacts.iter().filter(|(id, _)| !other.contacts.contains_key(id)) {
            if let Some(known) = by_uid.get(&*card.uid).filter(|known| !self.contacts.contains_key(known))
                && taken.insert(known.0)
            {
                ids.insert(*id, *known);
            }
        }
        let id_of = |id: &ContactId| ids.get(id).copied().unwrap_or(*id);
        let mut book = Self { pictures: self.pictures.clone(), ..Self::default() };
        let moved = book.take_shelves(self, other);
        for (id, card) in &self.contacts {
            book.contacts.entry(id_of(id)).or_insert_with(|| on_shelf(card, &moved));
        }
        let mut taken_groups = BTreeSet::new();
        for (id, group) in &self.groups {
            let same = |(_, known): &(&GroupId, &BookGroup)| {
                !known.uid.is_empty() && known.uid == group.uid
                    || known.name.to_lowercase() == group.name.to_lowercase()
            };
            let known = other.groups.iter().find(same).map(|(known, _)| *known);
            let known =
                known.filter(|_| !other.groups.contains_key(id)).filter(|known| !self.groups.contains_key(known));
            let known = known.filter(|known| taken_groups.insert(known.0));
            let members = group.members.iter().map(id_of).collect();
            // The group that is there keeps its name and UID.
            let group = match known.and_then(|known| other.groups.get(&known)) {
                Some(known) => BookGroup { name: known.name.clone(), uid: known.uid.clone(), members },
                None => BookGroup { members, ..group.clone() },
            };
            book.groups.entry(known.unwrap_or(*id)).or_insert(group);
        }
        book
    }
}

impl Book {
    /// Take the books of `from` in; one that `other` has under that name, and `from` has not, is that one. Gives the new ids.
    pub(crate) fn take_shelves(&mut self, from: &Self, other: &Self) -> BTreeMap<ShelfId, ShelfId> {
        let mut moved = BTreeMap::new();
        for (id, name) in &from.shelves {
            let same = |(known, held): &(&ShelfId, &String)| {
                !from.shelves.contains_key(known) && held.to_lowercase() == name.to_lowercase()
            };
            let same = other.shelves.iter().find(same).filter(|_| !other.shelves.contains_key(id));
            match same {
                Some((known, held)) => {
                    moved.insert(*id, *known);
                    self.shelves.insert(*known, held.clone());
                }
                None => _ = self.shelves.insert(*id, name.clone()),
            }
        }
        moved
    }
}

/// A card in the book that is the same under another id.
pub(crate) fn on_shelf(card: &Card, moved: &BTreeMap<ShelfId, ShelfId>) -> Card {
    let shelf = moved.get(&ShelfId(card.shelf)).map_or(card.shelf, |shelf| shelf.0);
    Card { shelf, ..card.clone() }
}

/// Merge `old` and `now`, which both came from `base`.
///
/// * What only one side changed is as that side has it; that includes what it made and what it deleted.
/// * What both changed keeps both values: lists and groups hold what either holds, the other name becomes another
///   name, organisations and notes stand one after the other. Of the label of an address, of which there is one, that
///   of `now` is kept.
/// * What one side deleted and the other changed stays.
/// * Members of groups are contacts of the result.
///
/// `merge(base, old, &merge(base, old, now))` is `merge(base, old, now)`: doing it twice changes nothing. With an empty
/// `base` nothing of either side is lost.
#[must_use]
pub fn merge(base: &Book, old: &Book, now: &Book) -> Book {
    let pictures = old.pictures.iter().chain(&now.pictures);
    let mut merged =
        Book { pictures: pictures.map(|(hash, bytes)| (hash.clone(), bytes.clone())).collect(), ..Book::default() };
    for id in old.shelves.keys().chain(now.shelves.keys()) {
        let of = |book: &'_ Book| book.shelves.get(id).cloned();
        let names =
            |base: &String, old: &String, now: &String| text(base, old, now, |old, now| beside(now, old, " / "));
        if let Some(name) = one(of(base), of(old), of(now), PartialEq::eq, names) {
            merged.shelves.insert(*id, name);
        }
    }
    for id in old.contacts.keys().chain(now.contacts.keys()) {
        let of = |book: &'_ Book| book.contacts.get(id).cloned();
        if let Some(card) = one(of(base), of(old), of(now), PartialEq::eq, merge_cards) {
            merged.contacts.insert(*id, card);
        }
    }
    for id in old.groups.keys().chain(now.groups.keys()) {
        // Compared by who is left: a group that only lost deleted contacts has not been changed by anyone.
        let of = |book: &'_ Book| {
            let mut group = book.groups.get(id).cloned()?;
            group.members.retain(|member| merged.contacts.contains_key(member));
            Some(group)
        };
        if let Some(group) = one(of(base), of(old), of(now), PartialEq::eq, merge_groups) {
            merged.groups.insert(*id, group);
        }
    }
    merged
}

/// One thing that is there or not, on each side.
fn one<T: Clone + Default>(
    base: Option<T>,
    old: Option<T>,
    now: Option<T>,
    same: impl Fn(&T, &T) -> bool,
    both: impl Fn(&T, &T, &T) -> T,
) -> Option<T> {
    let unchanged = |side: &T| base.as_ref().is_some_and(|base| same(base, side));
    match (&old, &now) {
        (Some(old), Some(now)) => Some(both(&base.clone().unwrap_or_default(), old, now)),
        (Some(side), None) | (None, Some(side)) => (!unchanged(side)).then(|| side.clone()),
        (None, None) => None,
    }
}

fn merge_cards(base: &Card, old: &Card, now: &Card) -> Card {
    let mut merged = Card {
        name: String::new(),
        other_names: list(&base.other_names, &old.other_names, &now.other_names, String::clone),
        addresses: list(&base.addresses, &old.addresses, &now.addresses, |a| canonical(&a.address)),
        phones: list(&base.phones, &old.phones, &now.phones, |p| p.number.clone()),
        organisation: text(&base.organisation, &old.organisation, &now.organisation, |old, now| beside(now, old, ", ")),
        note: text(&base.note, &old.note, &now.note, |old, now| joined(now, old)),
        uid: text(&base.uid, &old.uid, &now.uid, |_, now| now.to_owned()),
        parts: String::new(),
        kept: list(&base.kept, &old.kept, &now.kept, String::clone),
        pictures: list(&base.pictures, &old.pictures, &now.pictures, |picture| picture.hash.clone()),
        shelf: if now.shelf == base.shelf { old.shelf } else { now.shelf },
    };
    merged.name = text(&base.name, &old.name, &now.name, |_, now| now.to_owned());
    if old.name != now.name && merged.name == now.name && old.name != base.name && !old.name.is_empty() {
        merged.other_names.push(old.name.clone());
        let mut seen = BTreeSet::new();
        merged.other_names.retain(|name| seen.insert(name.clone()));
    }
    // The parts belong to the name that they came with.
    merged.parts = if merged.name == now.name && now.name != old.name {
        now.parts.clone()
    } else if merged.name == old.name && now.name != old.name {
        old.parts.clone()
    } else {
        text(&base.parts, &old.parts, &now.parts, |_, now| now.to_owned())
    };
    let label = |base: Option<&str>, old: Option<&str>, now: Option<&str>| match (old, now) {
        (Some(old), Some(now)) if Some(now) == base => old.to_owned(),
        (_, Some(now)) => now.to_owned(),
        (old, None) => old.unwrap_or_default().to_owned(),
    };
    for address in &mut merged.addresses {
        let of = |card: &'_ Card| -> Option<String> {
            let key = canonical(&address.address);
            card.addresses.iter().find(|a: &&Address| canonical(&a.address) == key).map(|a| a.label.clone())
        };
        address.label = label(of(base).as_deref(), of(old).as_deref(), of(now).as_deref());
    }
    for phone in &mut merged.phones {
        let of = |card: &'_ Card| -> Option<String> {
            card.phones.iter().find(|p: &&Phone| p.number == phone.number).map(|p| p.label.clone())
        };
        phone.label = label(of(base).as_deref(), of(old).as_deref(), of(now).as_deref());
    }
    merged
}

fn merge_groups(base: &BookGroup, old: &BookGroup, now: &BookGroup) -> BookGroup {
    let all: Vec<ContactId> = old.members.union(&now.members).copied().collect();
    BookGroup {
        name: text(&base.name, &old.name, &now.name, |old, now| beside(now, old, " / ")),
        uid: text(&base.uid, &old.uid, &now.uid, |_, now| now.to_owned()),
        members: all
            .into_iter()
            .filter(|one| keeps(base.members.contains(one), old.members.contains(one), now.members.contains(one)))
            .collect(),
    }
}

/// Whether a thing of a set stays.
const fn keeps(base: bool, old: bool, now: bool) -> bool {
    if base { old && now } else { old || now }
}

/// A text: what one side changed, or else what `both` makes of two changes.
fn text(base: &str, old: &str, now: &str, both: impl Fn(&str, &str) -> String) -> String {
    if old == now || old == base {
        now.to_owned()
    } else if now == base {
        old.to_owned()
    } else {
        // Never what both went away from: merging again would take that for a side that did nothing.
        Some(both(old, now)).filter(|joined| joined != base).unwrap_or_else(|| both(now, old))
    }
}

fn beside(mine: &str, other: &str, between: &str) -> String {
    if mine.contains(other) {
        mine.to_owned()
    } else if other.contains(mine) {
        other.to_owned()
    } else {
        format!("{mine}{between}{other}")
    }
}

/// A list whose things are told apart by `key`: those of `now` first, in its order.
fn list<T: Clone, K: Hash + Ord>(base: &[T], old: &[T], now: &[T], key: impl Fn(&T) -> K) -> Vec<T> {
    let keys = |all: &[T]| all.iter().map(&key).collect::<BTreeSet<K>>();
    let (in_base, in_old, in_now) = (keys(base), keys(old), keys(now));
    let mut seen = BTreeSet::new();
    now.iter()
        .chain(old)
        .filter(|one| {
            let key = key(one);
            keeps(in_base.contains(&key), in_old.contains(&key), in_now.contains(&key)) && seen.insert(key)
        })
        .cloned()
        .collect()
}
