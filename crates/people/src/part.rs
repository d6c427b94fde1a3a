//! The address book as a part of an account's realm.

use realm::feed::{Kind, Touched, Write};
use realm::{
    Coming, Found, InCommit, Keys, Loss, Merged, Merging, PartError, RealmPart, Rewind, Rewindable, SalvageFrom, Work,
};
use store::{Op, Past, RealmId, Snapshot, Store, StoreError};

use crate::{People, PeopleError, merge::Book, schema};

/// The address book.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeoplePart;

/// Contacts, in the change feed.
pub const CONTACT: Kind = Kind { number: 4, name: "contact" };
/// Groups of contacts, in the change feed.
pub const GROUP: Kind = Kind { number: 5, name: "group" };

/// The nouns of its records.
const NOUNS: [&str; 2] = ["contact", "group"];

impl From<PeopleError> for PartError {
    fn from(error: PeopleError) -> Self {
        match error {
            PeopleError::Store(error) => Self::Store(error),
            other => Self::own(other),
        }
    }
}

impl RealmPart for PeoplePart {
    fn name(&self) -> &'static str {
        "people"
    }

    fn title(&self) -> &'static str {
        "the address book"
    }

    fn keys(&self) -> Keys {
        Keys { range: 0x50..=0x5F, kinds: &schema::KINDS }
    }

    fn check(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        match crate::invariants::check_account(snapshot, account) {
            Err(PeopleError::Store(error)) => Err(error),
            Err(error) => Ok(vec![error.to_string()]),
            Ok(findings) => Ok(findings),
        }
    }

    fn rewindable(&self) -> Rewindable<'_> {
        Rewindable::Follows(self)
    }

    fn salvage(&self, from: &SalvageFrom<'_>) -> realm::Result<Option<Box<dyn Found>>> {
        let (book, unreadable) = crate::salvaged_book(from.read, from.realm)?;
        Ok(Some(Box::new(SalvagedBook { book, unreadable })))
    }

    fn purge<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move { Ok(People::new(store.clone()).purge(account).await?) })
    }

    fn maintain<'a>(&'a self, store: &'a Store, account: RealmId) -> Work<'a> {
        Box::pin(async move { Ok(People::new(store.clone()).maintain(account).await?) })
    }

    fn loss(&self, op: &Op) -> Option<Loss> {
        (op.value.is_none() && schema::is_contact(&op.key)).then_some(Loss::one("contacts"))
    }

    fn things(&self) -> &'static [Kind] {
        &[CONTACT, GROUP]
    }

    fn touches(&self, write: &Write<'_>, touched: &mut Touched) -> Result<(), StoreError> {
        match write.key[0] {
            schema::CONTACT => touched.record(CONTACT, write.number(1)?, write),
            schema::GROUP => touched.record(GROUP, write.number(1)?, write),
            _ => Ok(()),
        }
    }
}

impl Rewind for PeoplePart {
    fn nouns(&self) -> &'static [&'static str] {
        &NOUNS
    }

    fn plan(&self, account: RealmId, past: &Past) -> realm::Result<Vec<Coming>> {
        let plan = People::plan_rewind(past, account)?;
        Ok(vec![
            Coming { noun: NOUNS[0], back: plan.back, completed: plan.changed },
            Coming { noun: NOUNS[1], back: plan.groups_back, completed: plan.groups_changed },
        ])
    }

    fn go_back(&self, account: RealmId, past: &Past) -> realm::Result<InCommit> {
        let then = People::book_then(past, account)?;
        Ok(Box::new(move |tx| Ok(People::rewind_in(tx, account, &then)? as u64)))
    }

    fn undo(&self, account: RealmId, before: &Past, after: &Past) -> realm::Result<InCommit> {
        let (before, after) = (People::book_then(before, account)?, People::book_then(after, account)?);
        Ok(Box::new(move |tx| Ok(People::undo_rewind_in(tx, account, &before, &after)? as u64)))
    }
}

/// An address book that was salvaged.
struct SalvagedBook {
    book: Book,
    /// Contacts and groups that could not be read.
    unreadable: u64,
}

impl Found for SalvagedBook {
    fn title(&self) -> String {
        format!("{} contacts", self.book.contacts.len())
    }

    fn is_empty(&self) -> bool {
        self.book.contacts.is_empty() && self.book.groups.is_empty() && self.unreadable == 0
    }

    fn unreadable(&self) -> Vec<Vec<String>> {
        if self.unreadable == 0 {
            return Vec::new();
        }
        vec![vec![format!("{} contacts or groups", self.unreadable)]]
    }

    fn passed_over(&self) -> Vec<String> {
        Vec::new()
    }

    fn merge(&self, into: &mut Merging<'_>) -> realm::Result<Merged> {
        let people = People::new(into.store.clone());
        let merged = if into.preview {
            people.plan_salvaged(into.account, &self.book)?
        } else {
            people.merge_salvaged_blocking(into.account, self.book.clone())?
        };
        let verb = if into.preview { "would be added" } else { "added" };
        let (contacts, groups, changed) = (merged.contacts, merged.groups, merged.changed);
        let line = format!("{contacts} contacts and {groups} groups {verb}, {changed} updated");
        let audit =
            (contacts + groups + changed > 0 && !into.preview).then(|| format!("{} contacts", contacts + changed));
        Ok(Merged { lines: vec![vec![line]], audit, is_all: true })
    }
}
