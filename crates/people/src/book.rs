//! Writing contacts: making, changing, deleting, merging, and taking that back.

use std::collections::BTreeSet;

use prost::Message as _;
use store::{Order, Read, RealmId, Tx};

use crate::edit::Edit;
use crate::groups::{self, join, set_groups};
use crate::merge::{Book, BookGroup, merge};
use crate::pictures;
use crate::receipt::Receipt;
use crate::records::{at_once, hash, holders, load, way_back, write};
use crate::schema::{self, ActRecord, state_of};
use crate::{
    ACT_DAYS, Card, ContactId, GroupId, MAX_ACT_KEY_BYTES, MAX_ROWS_PER_COMMIT, People, PeopleError, Result, ShelfId,
    shelves,
};

/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Someone in the address book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contact {
    /// Which.
    pub id: ContactId,
    /// What is known.
    pub card: Card,
}

impl ActRecord {
    fn receipt(&self, repeated: bool) -> Receipt {
        Receipt {
            note: self.note.clone(),
            contact: (self.contact != 0).then_some(ContactId(self.contact)),
            undoable: (!self.way_back.is_empty() || !self.records.is_empty()) && !self.undone,
            undone: self.undone,
            repeated,
        }
    }
}

impl People {
    /// A contact.
    pub fn contact(&self, account: RealmId, id: ContactId) -> Result<Option<Contact>> {
        let card = schema::load(&self.store.snapshot(), account, &schema::contact(id))?;
        Ok(card.map(|card| Contact { id, card }))
    }

    /// How many contacts there are.
    pub fn count(&self, account: RealmId) -> Result<u32> {
        Ok(state_of(&self.store.snapshot(), account)?.contacts)
    }

    /// Creates a contact, or changes the one with `id`, and sets its groups if `groups` is given. Once for each `act_key`.
    ///
    /// # Errors
    /// Those of [`Card::checked`]; [`PeopleError::NoSuchContact`]; [`PeopleError::TooMany`].
    pub async fn save(
        &self,
        account: RealmId,
        act_key: &[u8],
        id: Option<ContactId>,
        card: Card,
        groups: Option<Vec<GroupId>>,
    ) -> Result<Receipt> {
        self.edit(account, act_key, id, Edit { card, groups, ..Edit::default() }).await
    }

    /// Add someone who wrote: their address to a new contact, unless a contact has it already; that one is then the
    /// answer. Once for each `act_key`.
    ///
    /// # Errors
    /// Those of [`People::save`].
    pub async fn add_sender(&self, account: RealmId, act_key: &[u8], name: &str, address: &str) -> Result<Receipt> {
        let card = Card::of(if name == address { "" } else { name }, address).checked()?;
        self.act(account, act_key, move |tx, act| {
            if let Some(known) = holders(tx, account, &card.addresses[0].address)?.first() {
                act.note = format!("{} is already in your address book.", load(tx, account, *known)?.title());
                act.contact = known.0;
                return Ok(());
            }
            let id = ContactId::random();
            act.note = format!("{} added to your address book.", card.title());
            act.contact = id.0;
            let after = write(tx, account, id, Some(card))?;
            act.way_back.push(way_back(id, None, &[], after));
            Ok(())
        })
        .await
    }

    /// Deletes contacts, and removes them from their groups in the same commit. Missing ones are skipped. Once for each
    /// `act_key`.
    ///
    /// # Errors
    /// [`PeopleError::TooMany`] for more than [`MAX_ROWS_PER_COMMIT`].
    pub async fn delete(&self, account: RealmId, act_key: &[u8], ids: Vec<ContactId>) -> Result<Receipt> {
        at_once(&ids)?;
        self.act(account, act_key, move |tx, act| {
            let mut names = Vec::new();
            for id in ids {
                let Some(card) = schema::load::<Card, _>(tx, account, &schema::contact(id))? else { continue };
                names.push(card.title().to_owned());
                let was_in = groups::of_contact(tx, account, id)?;
                write(tx, account, id, None)?;
                act.way_back.push(way_back(id, Some(card), &was_in, Vec::new()));
            }
            act.note = match names.as_slice() {
                [one] => format!("{one} deleted."),
                more => format!("{} contacts deleted.", more.len()),
            };
            Ok(())
        })
        .await
    }

    /// Merges several contacts: the first gets the others' addresses, numbers, names, notes and groups. Once for each
    /// `act_key`.
    ///
    /// # Errors
    /// [`PeopleError::NothingToMerge`]; the limits, if the result exceeds them.
    pub async fn merge(&self, account: RealmId, act_key: &[u8], ids: Vec<ContactId>) -> Result<Receipt> {
        at_once(&ids)?;
        self.act(account, act_key, move |tx, act| {
            let mut seen = BTreeSet::new();
            let mut cards = Vec::new();
            for id in ids.into_iter().filter(|id| seen.insert(*id)) {
                cards.push((id, load(tx, account, id)?, groups::of_contact(tx, account, id)?));
            }
            let [(first, before, was_in), others @ ..] = cards.as_slice() else {
                return Err(PeopleError::NothingToMerge);
            };
            if others.is_empty() {
                return Err(PeopleError::NothingToMerge);
            }
            let mut card = before.clone();
            for (id, other, groups) in others {
                card.absorb(other);
                write(tx, account, *id, None)?;
                for group in groups {
                    join(tx, account, *group, &[*first])?;
                }
                act.way_back.push(way_back(*id, Some(other.clone()), groups, Vec::new()));
            }
            act.note = format!("{} contacts merged into {}.", cards.len(), card.title());
            act.contact = first.0;
            let after = write(tx, account, *first, Some(card.checked()?))?;
            act.way_back.push(way_back(*first, Some(before.clone()), was_in, after));
            Ok(())
        })
        .await
    }

    /// The result of the act under that key, if it is known.
    pub fn receipt(&self, account: RealmId, act_key: &[u8]) -> Result<Option<Receipt>> {
        let record: Option<ActRecord> = schema::load(&self.store.snapshot(), account, &schema::act(act_key))?;
        Ok(record.map(|record| record.receipt(true)))
    }

    /// Take an act back. Contacts that were changed since stay as they are. Idempotent. `None` if no act is known under
    /// the key.
    pub async fn undo(&self, account: RealmId, act_key: &[u8]) -> Result<Option<Receipt>> {
        let at = schema::act(act_key);
        self.commit(move |tx| {
            let Some(mut act) = schema::load::<ActRecord, _>(tx, account, &at)? else { return Ok(None) };
            if act.undone {
                return Ok(Some(act.receipt(true)));
            }
            for back in std::mem::take(&mut act.records) {
                shelves::take_back(tx, account, back)?;
            }
            for back in std::mem::take(&mut act.way_back) {
                let id = ContactId(back.contact);
                let now: Option<Card> = schema::load(tx, account, &schema::contact(id))?;
                if now.as_ref().map(hash).unwrap_or_default() != back.after {
                    continue;
                }
                write(tx, account, id, back.before.clone())?;
                if back.before.is_none() {
                    continue;
                }
                let is_in = groups::of_contact(tx, account, id)?;
                let mut wanted: Vec<GroupId> = back.groups.iter().copied().map(GroupId).collect();
                wanted.retain(|group| is_in.contains(group) || groups::exists(tx, account, *group).unwrap_or(true));
                set_groups(tx, account, id, &is_in, wanted)?;
            }
            act.undone = true;
            schema::save(tx, account, at, &act);
            Ok(Some(act.receipt(false)))
        })
        .await
    }

    /// Do `work` once for each key.
    pub(crate) async fn act<F>(&self, account: RealmId, act_key: &[u8], work: F) -> Result<Receipt>
    where
        F: FnOnce(&mut Tx<'_>, &mut ActRecord) -> Result<()> + Send + 'static,
    {
        if act_key.is_empty() || act_key.len() > MAX_ACT_KEY_BYTES {
            return Err(PeopleError::TooLong { what: "the key of an act", limit: MAX_ACT_KEY_BYTES });
        }
        let at = schema::act(act_key);
        self.commit(move |tx| {
            if let Some(record) = schema::load::<ActRecord, _>(tx, account, &at)? {
                return Ok(record.receipt(true));
            }
            let mut record = ActRecord { at_ms: tx.now_ms(), ..ActRecord::default() };
            work(tx, &mut record)?;
            // A way back as large as a value may be is none: the act counts, it can only not be undone.
            if record.encoded_len() > store::MAX_VALUE_BYTES {
                record.way_back.clear();
                record.records.clear();
            }
            schema::save(tx, account, at, &record);
            Ok(record.receipt(false))
        })
        .await
    }

    /// A consistent copy of an address book. Blocks; memory grows with the book.
    pub fn book(&self, account: RealmId) -> Result<Book> {
        book_of(&self.store.snapshot(), account)
    }

    /// [`People::book`] within a commit.
    pub fn book_in(tx: &Tx<'_>, account: RealmId) -> Result<Book> {
        book_of(tx, account)
    }

    /// Replaces the address book by `book`, in one commit: for a rewind (see [`crate::merge`]). Unchanged entries are not
    /// written. Returns how many contacts and groups were written or deleted.
    ///
    /// # Errors
    /// The limits. Those on lengths are not applied, because the data was stored before.
    pub fn write_book_in(tx: &mut Tx<'_>, account: RealmId, book: &Book) -> Result<usize> {
        let now = book_of(tx, account)?;
        let mut changed = 0;
        for id in now.groups.keys().filter(|id| !book.groups.contains_key(id)) {
            groups::write(tx, account, *id, None)?;
            changed += 1;
        }
        for id in now.contacts.keys().filter(|id| !book.contacts.contains_key(id)) {
            write(tx, account, *id, None)?;
            changed += 1;
        }
        for (id, card) in book.contacts.iter().filter(|(id, card)| now.contacts.get(id) != Some(card)) {
            let mut card = card.clone();
            pictures::settle(tx, account, &mut card, &book.pictures)?;
            write(tx, account, *id, Some(card))?;
            changed += 1;
        }
        changed += shelves::write_all(tx, account, &book.shelves)?;
        for (id, group) in book.groups.iter().filter(|(id, group)| now.groups.get(id) != Some(group)) {
            groups::write(tx, account, *id, Some(group.clone()))?;
            changed += 1;
        }
        Ok(changed)
    }

    /// Clear away acts past [`ACT_DAYS`]; part of the daily work.
    pub async fn maintain(&self, account: RealmId) -> Result<()> {
        let snapshot = self.store.snapshot();
        let now_ms = self.store.clock().now_ms();
        let mut over = Vec::new();
        for row in snapshot.prefix(account, &[schema::ACT], Order::Ascending)? {
            let (at, value) = row?;
            if schema::decode::<ActRecord>(&at, value)?.at_ms < now_ms - ACT_DAYS * DAY_MS {
                over.push(at.to_vec());
            }
        }
        drop(snapshot);
        self.clear(account, over).await?;
        self.maintain_pictures(account).await
    }

    /// Clear away the address book of an account that is gone for good.
    pub async fn purge(&self, account: RealmId) -> Result<()> {
        let snapshot = self.store.snapshot();
        let mut all = Vec::new();
        // Counts last: a crash in between leaves a smaller book than its counts, and the next run continues.
        for kind in schema::KINDS.into_iter().rev() {
            for row in snapshot.prefix(account, &[kind], Order::Ascending)? {
                all.push(row?.0.to_vec());
            }
        }
        drop(snapshot);
        self.clear(account, all).await
    }

    async fn clear(&self, account: RealmId, keys: Vec<Vec<u8>>) -> Result<()> {
        for step in keys.chunks(10 * MAX_ROWS_PER_COMMIT) {
            let step = step.to_vec();
            self.commit(move |tx| {
                for key in step {
                    tx.delete(account, key);
                }
                Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

impl Book {
    /// Take a stored contact in, in the form that is written today.
    fn take(&mut self, id: ContactId, mut card: Card) {
        for content in card.lift_pictures().0 {
            self.pictures.insert(pictures::hash(&content), content);
        }
        self.contacts.insert(id, card);
    }
}

/// An address book of records any of which may be missing or unreadable; and how many could not be read.
///
/// # Errors
/// If `read` fails.
pub fn salvaged_book<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<(Book, u64)> {
    let (mut book, mut unreadable) = (Book::default(), 0);
    for row in read.prefix(account, &[schema::CONTACT], Order::Ascending)? {
        let (at, value) = row?;
        match (schema::last_number(&at), schema::decode(&at, value)) {
            (Ok(id), Ok(card)) => book.take(ContactId(id), card),
            _ => unreadable += 1,
        }
    }
    for row in read.prefix(account, &[schema::PICTURE], Order::Ascending)? {
        let (at, value) = row?;
        match schema::decode::<schema::PictureRecord>(&at, value) {
            Ok(record) if pictures::hash(&record.content) == at[1..] => {
                book.pictures.insert(at[1..].to_vec(), record.content);
            }
            _ => unreadable += 1,
        }
    }
    for row in read.prefix(account, &[schema::SHELF], Order::Ascending)? {
        let (at, value) = row?;
        match (schema::last_number(&at), schema::decode::<schema::ShelfRecord>(&at, value)) {
            (Ok(id), Ok(shelf)) => _ = book.shelves.insert(ShelfId(id), shelf.name),
            _ => unreadable += 1,
        }
    }
    for row in read.prefix(account, &[schema::GROUP], Order::Ascending)? {
        let (at, value) = row?;
        match (schema::last_number(&at), schema::decode::<schema::GroupRecord>(&at, value)) {
            (Ok(id), Ok(group)) => {
                let members = group.members.into_iter().map(ContactId).collect();
                book.groups.insert(GroupId(id), BookGroup { name: group.name, uid: group.uid, members });
            }
            _ => unreadable += 1,
        }
    }
    Ok((book, unreadable))
}

/// The result of merging a salvaged address book, or its preview.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BookMerged {
    /// New contacts.
    pub contacts: usize,
    /// New groups.
    pub groups: usize,
    /// Contacts and groups that were there and learnt something.
    pub changed: usize,
}

fn merged(salvaged: &Book, now: &Book) -> (Book, BookMerged) {
    let book = merge(&Book::default(), &salvaged.known_as_in(now), now);
    let new = |all: usize, now: usize| all.saturating_sub(now);
    let changed = now.contacts.iter().filter(|(id, card)| book.contacts.get(id) != Some(card)).count()
        + now.groups.iter().filter(|(id, group)| book.groups.get(id) != Some(group)).count();
    let told = BookMerged {
        contacts: new(book.contacts.len(), now.contacts.len()),
        groups: new(book.groups.len(), now.groups.len()),
        changed,
    };
    (book, told)
}

impl People {
    /// Merges an address book that was salvaged into that of an account, in one commit: nothing of either is lost, and
    /// doing it again changes nothing. A contact is the same when its id is, or its vCard UID; a group also when its name
    /// is.
    ///
    /// # Errors
    /// [`PeopleError::TooMany`] beyond the limits; nothing is written then.
    pub async fn merge_salvaged(&self, account: RealmId, salvaged: Book) -> Result<BookMerged> {
        self.commit(move |tx| Self::merge_salvaged_in(tx, account, &salvaged)).await
    }

    /// The same for a blocking thread.
    ///
    /// # Errors
    /// As [`People::merge_salvaged`].
    pub fn merge_salvaged_blocking(&self, account: RealmId, salvaged: Book) -> Result<BookMerged> {
        self.store.transact(move |tx| Self::merge_salvaged_in(tx, account, &salvaged)).wait()
    }

    fn merge_salvaged_in(tx: &mut Tx<'_>, account: RealmId, salvaged: &Book) -> Result<BookMerged> {
        let (book, told) = merged(salvaged, &book_of(tx, account)?);
        if told != BookMerged::default() {
            Self::write_book_in(tx, account, &book)?;
        }
        Ok(told)
    }

    /// A preview of [`People::merge_salvaged`].
    pub fn plan_salvaged(&self, account: RealmId, salvaged: &Book) -> Result<BookMerged> {
        Ok(merged(salvaged, &self.book(account)?).1)
    }
}

pub(crate) fn book_of<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Book> {
    let mut book = Book::default();
    for row in read.prefix(account, &[schema::CONTACT], Order::Ascending)? {
        let (at, value) = row?;
        book.take(ContactId(schema::last_number(&at)?), schema::decode(&at, value)?);
    }
    for group in groups::all(read, account)? {
        book.groups.insert(group.id, group.into());
    }
    for shelf in shelves::all(read, account)? {
        book.shelves.insert(shelf.id, shelf.name);
    }
    Ok(book)
}
