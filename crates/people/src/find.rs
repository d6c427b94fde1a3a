//! Finding contacts: page by page, by words, by address, and while an address is being typed.

use std::collections::BTreeMap;
use std::ops::Bound;

use mailkit::fold::loose;
use store::{Order, Read, RealmId};

use crate::schema::{self};
use crate::{Card, Contact, ContactId, GroupId, People, Result, book, groups};

/// Most contacts of one page.
pub const MAX_PAGE: usize = 500;

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
    /// Contacts in the order of their names, after that contact, or from the first; `None` in `page.contacts` never
    /// happens: what is deleted meanwhile is passed over.
    pub fn page(&self, account: RealmId, after: Option<ContactId>, limit: usize) -> Result<Page> {
        let snapshot = self.store.snapshot();
        let start = match after {
            Some(id) => match schema::load::<Card, _>(&snapshot, account, &schema::contact(id))? {
                Some(card) => Bound::Excluded(schema::sorted(&card, id)),
                None => Bound::Included(vec![schema::SORTED]),
            },
            None => Bound::Included(vec![schema::SORTED]),
        };
        let limit = limit.clamp(1, MAX_PAGE);
        let mut page = Page::default();
        for row in snapshot.range(account, (start, Bound::Excluded(vec![schema::SORTED + 1])), Order::Ascending)? {
            if page.contacts.len() == limit {
                page.more = true;
                break;
            }
            let id = ContactId(schema::last_number(&row?.0)?);
            page.contacts.push(Contact { id, card: book::load(&snapshot, account, id)? });
        }
        Ok(page)
    }

    /// Contacts of which every word of `text` is found somewhere (compared as [`loose`] does), of one group if asked; by name, at most `limit`, and
    /// how many there are in all. Visits all contacts.
    pub fn search(
        &self,
        account: RealmId,
        text: &str,
        group: Option<GroupId>,
        limit: usize,
    ) -> Result<(Vec<Contact>, usize)> {
        let snapshot = self.store.snapshot();
        let words: Vec<String> = loose(text).split_whitespace().map(str::to_owned).collect();
        let mut found = Vec::new();
        let visit = |id: ContactId, card: Card, found: &mut Vec<(String, Contact)>| {
            let all = haystack(&card);
            if words.iter().all(|word| all.contains(word.as_str())) {
                found.push((card.title().to_lowercase(), Contact { id, card }));
            }
        };
        if let Some(group) = group {
            for member in groups::all(&snapshot, account)?.into_iter().filter(|g| g.id == group).flat_map(|g| g.members)
            {
                visit(member, book::load(&snapshot, account, member)?, &mut found);
            }
        } else {
            for row in snapshot.prefix(account, &[schema::CONTACT], Order::Ascending)? {
                let (at, value) = row?;
                visit(ContactId(schema::last_number(&at)?), schema::decode(&at, value)?, &mut found);
            }
        }
        found.sort_by(|a, b| a.0.cmp(&b.0).then(a.1.id.cmp(&b.1.id)));
        let count = found.len();
        Ok((found.into_iter().take(limit).map(|(_, contact)| contact).collect(), count))
    }

    /// The contacts that have an address, in any case.
    pub fn by_address(&self, account: RealmId, address: &str) -> Result<Vec<ContactId>> {
        book::holders(&self.store.snapshot(), account, address)
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
                    let card = book::load(&snapshot, account, id)?;
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
    all
}
