//! Finding contacts: page by page, by letter, by words, by address, by birthday, and while an address is being typed.

use std::collections::BTreeMap;
use std::ops::Bound;

use jiff::Unit;
use jiff::civil::Date;
use mailkit::fold::loose;
use store::{Order, Read, RealmId};

use crate::schema::{self};
use crate::{Card, Contact, ContactId, GroupId, People, Result, ShelfId, When, groups, records, shelves};

/// Most contacts of one page.
pub const MAX_PAGE: usize = 500;
/// Most letters of the list.
pub const MAX_LETTERS: usize = 100;
/// Longest line of a vCard that is searched in, in bytes.
const MAX_SEARCHED_LINE: usize = 1000;

/// Which contacts are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Those of a book: `Some(None)` is the first.
    pub shelf: Option<Option<ShelfId>>,
    /// Those of a group.
    pub group: Option<GroupId>,
}

/// A birthday that is near.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Birthday {
    /// Whose.
    pub id: ContactId,
    /// Their name.
    pub name: String,
    /// The day on which it is.
    pub on: Date,
    /// How old they become, if the year is known.
    pub turns: Option<i16>,
}

/// The books that there are, to tell which contacts are in the first.
pub(crate) struct Shelves(Vec<u64>);

impl Shelves {
    pub(crate) fn of<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Self> {
        Ok(Self(shelves::all(read, account)?.into_iter().map(|shelf| shelf.id.0).collect()))
    }

    #[expect(clippy::option_option, reason = "without a book all are wanted; without an id it is the first")]
    pub(crate) fn has(&self, wanted: Option<Option<ShelfId>>, card: &Card) -> bool {
        match wanted {
            None => true,
            Some(Some(shelf)) => card.shelf == shelf.0,
            Some(None) => !self.0.contains(&card.shelf),
        }
    }
}

/// Some contacts in the order of the list.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The contacts, by name.
    pub contacts: Vec<Contact>,
    /// There are more: after the last of these.
    pub more: bool,
}

/// Completions of a typed address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Suggestion {
    /// One address of someone.
    Person {
        /// The name; may be empty.
        name: String,
        /// The address.
        address: String,
    },
    /// All members of a group that have an address: names, and the first address of each.
    Group {
        /// The group's name.
        name: String,
        /// Names and addresses.
        members: Vec<(String, String)>,
    },
}

impl People {
    /// Contacts in the order of their names, after that contact, or from the first. Contacts that were deleted since
    /// are passed over.
    pub fn page(&self, account: RealmId, after: Option<ContactId>, limit: usize) -> Result<Page> {
        self.page_of(account, None, after, "", limit)
    }

    /// The same of one book, if asked; and from the first whose name begins with `from`, or comes after it.
    pub fn page_of(
        &self,
        account: RealmId,
        shelf: Option<Option<ShelfId>>,
        after: Option<ContactId>,
        from: &str,
        limit: usize,
    ) -> Result<Page> {
        let snapshot = self.store.snapshot();
        let shelves = Shelves::of(&snapshot, account)?;
        let first = Bound::Included(schema::sorted_from(from));
        let start = match after {
            Some(id) => match schema::load::<Card, _>(&snapshot, account, &schema::contact(id))? {
                Some(card) => Bound::Excluded(schema::sorted(&card, id)),
                None => first,
            },
            None => first,
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let mut page = Page::default();
        for row in snapshot.range(account, (start, Bound::Excluded(vec![schema::SORTED + 1])), Order::Ascending)? {
            let id = ContactId(schema::last_number(&row?.0)?);
            if shelf.is_none() && page.contacts.len() == limit {
                page.more = true;
                break;
            }
            let card = records::load(&snapshot, account, id)?;
            if !shelves.has(shelf, &card) {
                continue;
            }
            if page.contacts.len() == limit {
                page.more = true;
                break;
            }
            page.contacts.push(Contact { id, card });
        }
        Ok(page)
    }

    /// The letters with which names in the list begin, in its order: at most [`MAX_LETTERS`]. Looks at one contact for each.
    pub fn letters(&self, account: RealmId) -> Result<Vec<char>> {
        let snapshot = self.store.snapshot();
        let mut letters = Vec::new();
        let mut start = Bound::Included(vec![schema::SORTED]);
        while letters.len() < MAX_LETTERS {
            let range = (start, Bound::Excluded(vec![schema::SORTED + 1]));
            let Some(row) = snapshot.range(account, range, Order::Ascending)?.next() else { break };
            let key = row?.0;
            let text = String::from_utf8_lossy(&key[1..key.len().min(5)]);
            let Some(letter) = text.chars().next() else { break };
            letters.push(letter);
            // No text has this byte: it comes after all names that begin with the letter.
            let mut over = key[..(1 + letter.len_utf8()).min(key.len())].to_vec();
            over.push(0xFF);
            start = Bound::Excluded(over);
        }
        Ok(letters)
    }

    /// Contacts of which every word of `text` is found somewhere (compared as [`loose`] does), of a group or a book if
    /// asked; by name, at most `limit`, and how many there are in all. Visits all contacts, keeps those that it gives.
    pub fn search(&self, account: RealmId, text: &str, filter: Filter, limit: usize) -> Result<(Vec<Contact>, usize)> {
        let snapshot = self.store.snapshot();
        let shelves = Shelves::of(&snapshot, account)?;
        let words: Vec<String> = loose(text).split_whitespace().map(str::to_owned).collect();
        let mut found: BTreeMap<(String, ContactId), Card> = BTreeMap::new();
        let mut count = 0;
        let mut visit = |id: ContactId, card: Card| {
            if !shelves.has(filter.shelf, &card) {
                return;
            }
            let all = haystack(&card);
            if words.iter().all(|word| all.contains(word.as_str())) {
                count += 1;
                found.insert((card.title().to_lowercase(), id), card);
                if found.len() > limit {
                    found.pop_last();
                }
            }
        };
        if let Some(group) = filter.group {
            for member in groups::all(&snapshot, account)?.into_iter().filter(|g| g.id == group).flat_map(|g| g.members)
            {
                visit(member, records::load(&snapshot, account, member)?);
            }
        } else {
            for row in snapshot.prefix(account, &[schema::CONTACT], Order::Ascending)? {
                let (at, value) = row?;
                visit(ContactId(schema::last_number(&at)?), schema::decode(&at, value)?);
            }
        }
        Ok((found.into_iter().map(|((_, id), card)| Contact { id, card }).collect(), count))
    }

    /// Birthdays from `today` on, within so many days, the next first. Visits all contacts.
    pub fn birthdays(&self, account: RealmId, today: Date, days: i32) -> Result<Vec<Birthday>> {
        let snapshot = self.store.snapshot();
        let mut near = Vec::new();
        for row in snapshot.prefix(account, &[schema::CONTACT], Order::Ascending)? {
            let (at, value) = row?;
            let card: Card = schema::decode(&at, value)?;
            if !card.kept.iter().any(|line| line.contains("BDAY")) {
                continue;
            }
            let Some(When::Day { year, month, day }) = card.further().birthday else { continue };
            let Some(on) = next(today, month, day) else { continue };
            let left = today.until((Unit::Day, on)).map_or(i32::MAX, |span| span.get_days());
            if left <= days {
                let turns = year.map(|year| on.year() - year).filter(|turns| *turns > 0);
                let id = ContactId(schema::last_number(&at)?);
                near.push(Birthday { id, name: card.title().to_owned(), on, turns });
            }
        }
        near.sort_by_cached_key(|birthday| (birthday.on, birthday.name.to_lowercase()));
        Ok(near)
    }

    /// The contacts that have an address, in any case.
    pub fn by_address(&self, account: RealmId, address: &str) -> Result<Vec<ContactId>> {
        records::holders(&self.store.snapshot(), account, address)
    }

    /// What completes `prefix`: groups whose name, and addresses of contacts of whom a name, a word of a name, or the
    /// address begins with it, compared as [`loose`] does; at most `limit`. Visits all contacts.
    pub fn complete(&self, account: RealmId, prefix: &str, limit: usize) -> Result<Vec<Suggestion>> {
        let snapshot = self.store.snapshot();
        let prefix = loose(prefix.trim());
        let begins = |text: &str| {
            let text = loose(text);
            text.starts_with(&prefix)
                || text.split(|c: char| !c.is_alphanumeric()).any(|word| !word.is_empty() && word.starts_with(&prefix))
        };
        let mut found = BTreeMap::new();
        for group in groups::all(&snapshot, account)? {
            if begins(&group.name) {
                let mut members = Vec::new();
                for id in group.members {
                    let card = records::load(&snapshot, account, id)?;
                    if let Some(address) = card.addresses.first() {
                        members.push((card.name.clone(), address.address.clone()));
                    }
                }
                if !members.is_empty() {
                    let name = group.name;
                    found.insert((0, name.to_lowercase(), 0), Suggestion::Group { name, members });
                }
            }
        }
        for row in snapshot.prefix(account, &[schema::CONTACT], Order::Ascending)? {
            let (at, value) = row?;
            let card: Card = schema::decode(&at, value)?;
            let named = begins(&card.name) || card.other_names.iter().any(|name| begins(name));
            for (n, address) in card.addresses.iter().enumerate() {
                if named || begins(&address.address) {
                    let order = format!("{} {}", card.title().to_lowercase(), schema::last_number(&at)?);
                    let person = Suggestion::Person { name: card.name.clone(), address: address.address.clone() };
                    found.insert((1, order, n), person);
                }
            }
            while found.len() > limit {
                found.pop_last();
            }
        }
        Ok(found.into_values().take(limit).collect())
    }
}

/// All text of a contact, folded.
fn haystack(card: &Card) -> String {
    let mut all = loose(&card.name);
    let texts = card.other_names.iter().chain(card.addresses.iter().map(|a| &a.address));
    let texts = texts.chain(card.phones.iter().map(|p| &p.number)).chain([&card.organisation, &card.note]);
    for text in texts {
        all.push('\n');
        all.push_str(&loose(text));
    }
    // Postal addresses and all else that is text.
    for line in card.kept.iter().filter(|line| line.len() <= MAX_SEARCHED_LINE) {
        let (head, value) = line.split_once(':').unwrap_or(("", line));
        if !head.contains("X-ABLABEL") && !value.starts_with("data:") {
            all.push('\n');
            all.push_str(&loose(value));
        }
    }
    all
}

/// The next time that a day of the calendar comes; 29 February is 28 in years without it.
fn next(today: Date, month: i8, day: i8) -> Option<Date> {
    let in_year = |year: i16| Date::new(year, month, day).or_else(|_| Date::new(year, month, 28)).ok();
    in_year(today.year()).filter(|on| *on >= today).or_else(|| in_year(today.year() + 1))
}
