//! The books of an account: the first, "Contacts", which is always there, and others that people make.
//!
//! A contact is in one book. [`crate::merge::Book`] is all of them together. Deleting a book deletes nobody: who was in it
//! is in the first one then, and back in it when the deletion is undone.

use store::{Order, Read, RealmId, Tx};

use crate::groups::checked;
use crate::schema::{self, RecordBack, ShelfRecord};
use crate::{Card, ContactId, MAX_SHELVES, People, PeopleError, Receipt, Result, ShelfId, ids, records};

/// The name of the first book, which has no record.
pub const FIRST: &str = "Contacts";

/// A book beside the first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shelf {
    /// Which.
    pub id: ShelfId,
    /// Its name.
    pub name: String,
}

impl People {
    /// All books beside the first, by name.
    pub fn shelves(&self, account: RealmId) -> Result<Vec<Shelf>> {
        let mut shelves = all(&self.store.snapshot(), account)?;
        shelves.sort_by_cached_key(|shelf| shelf.name.to_lowercase());
        Ok(shelves)
    }

    /// Make a book, and move these contacts into it. Once for each `act_key`.
    ///
    /// # Errors
    /// [`PeopleError::NoName`], [`PeopleError::BookExists`], [`PeopleError::TooMany`].
    pub async fn create_shelf(&self, account: RealmId, act_key: &[u8], name: &str) -> Result<Receipt> {
        let name = checked(name)?;
        self.act(account, act_key, move |tx, act| {
            free(tx, account, &name, None)?;
            if all(tx, account)?.len() >= MAX_SHELVES {
                return Err(PeopleError::TooMany { what: "address books", limit: MAX_SHELVES as u64 });
            }
            act.note = format!("Address book {name} created.");
            let key = schema::shelf(ShelfId::random().0);
            act.records.push(change(tx, account, key, Some(ShelfRecord { name }))?);
            Ok(())
        })
        .await
    }

    /// Rename a book. Once for each `act_key`.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchBook`], [`PeopleError::NoName`], [`PeopleError::BookExists`].
    pub async fn rename_shelf(&self, account: RealmId, act_key: &[u8], id: ShelfId, name: &str) -> Result<Receipt> {
        let name = checked(name)?;
        self.act(account, act_key, move |tx, act| {
            let shelf = load(tx, account, id)?;
            free(tx, account, &name, Some(id))?;
            act.note = format!("{} is now called {name}.", shelf.name);
            act.records.push(change(tx, account, schema::shelf(id.0), Some(ShelfRecord { name }))?);
            Ok(())
        })
        .await
    }

    /// Delete a book; who is in it is in the first one then. Once for each `act_key`.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchBook`].
    pub async fn delete_shelf(&self, account: RealmId, act_key: &[u8], id: ShelfId) -> Result<Receipt> {
        self.act(account, act_key, move |tx, act| {
            let shelf = load(tx, account, id)?;
            act.note = format!("Address book {} deleted. Its contacts are in {FIRST}.", shelf.name);
            act.records.push(change(tx, account, schema::shelf(id.0), None)?);
            Ok(())
        })
        .await
    }

    /// Move contacts into a book, or into the first. Missing ones are skipped. Once for each `act_key`.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchBook`], [`PeopleError::TooMany`] for more than [`crate::MAX_ROWS_PER_COMMIT`].
    pub async fn move_to(
        &self,
        account: RealmId,
        act_key: &[u8],
        ids: Vec<ContactId>,
        to: Option<ShelfId>,
    ) -> Result<Receipt> {
        records::at_once(&ids)?;
        self.act(account, act_key, move |tx, act| {
            let name = name_of(tx, account, to)?;
            let mut moved = 0;
            for id in ids {
                let Some(card) = schema::load::<Card, _>(tx, account, &schema::contact(id))? else { continue };
                let was_in = crate::groups::of_contact(tx, account, id)?;
                let after = Card { shelf: number(to), ..card.clone() };
                let after = records::write(tx, account, id, Some(after))?;
                act.way_back.push(records::way_back(id, Some(card), &was_in, after));
                moved += 1;
            }
            act.note = format!("{} moved to {name}.", counted(moved));
            Ok(())
        })
        .await
    }

    /// Copy contacts into a book, or into the first: the copies are contacts of their own. Once for each `act_key`.
    ///
    /// # Errors
    /// [`PeopleError::NoSuchBook`], [`PeopleError::TooMany`].
    pub async fn copy_to(
        &self,
        account: RealmId,
        act_key: &[u8],
        ids: Vec<ContactId>,
        to: Option<ShelfId>,
    ) -> Result<Receipt> {
        records::at_once(&ids)?;
        self.act(account, act_key, move |tx, act| {
            let name = name_of(tx, account, to)?;
            let mut copied = 0;
            for id in ids {
                let Some(card) = schema::load::<Card, _>(tx, account, &schema::contact(id))? else { continue };
                let copy = Card { shelf: number(to), uid: ids::fresh_uid(), ..card };
                let id = ContactId::random();
                let after = records::write(tx, account, id, Some(copy))?;
                act.way_back.push(records::way_back(id, None, &[], after));
                copied += 1;
            }
            act.note = format!("{} copied to {name}.", counted(copied));
            Ok(())
        })
        .await
    }

    /// Whether people written to are kept out of the lists.
    pub fn hides_written(&self, account: RealmId) -> Result<bool> {
        let settings: Option<schema::SettingsRecord> =
            schema::load(&self.store.snapshot(), account, &schema::settings())?;
        Ok(settings.is_some_and(|settings| settings.hides_written))
    }

    /// Set [`People::hides_written`].
    ///
    /// # Errors
    /// Those of the store.
    pub async fn set_hides_written(&self, account: RealmId, hides_written: bool) -> Result<()> {
        self.commit(move |tx| {
            schema::save(tx, account, schema::settings(), &schema::SettingsRecord { hides_written });
            Ok(())
        })
        .await
    }
}

fn counted(count: usize) -> String {
    if count == 1 { "1 contact".to_owned() } else { format!("{count} contacts") }
}

/// The number that a card has for a book.
pub(crate) fn number(shelf: Option<ShelfId>) -> u64 {
    shelf.map_or(0, |shelf| shelf.0)
}

pub(crate) fn all<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Vec<Shelf>> {
    let mut shelves = Vec::new();
    for row in read.prefix(account, &[schema::SHELF], Order::Ascending)? {
        let (at, value) = row?;
        let record: ShelfRecord = schema::decode(&at, value)?;
        shelves.push(Shelf { id: ShelfId(schema::last_number(&at)?), name: record.name });
    }
    Ok(shelves)
}

fn load<R: Read + ?Sized>(read: &R, account: RealmId, id: ShelfId) -> Result<ShelfRecord> {
    schema::load(read, account, &schema::shelf(id.0))?.ok_or(PeopleError::NoSuchBook)
}

/// The name of a book, or of the first.
pub(crate) fn name_of<R: Read + ?Sized>(read: &R, account: RealmId, shelf: Option<ShelfId>) -> Result<String> {
    shelf.map_or_else(|| Ok(FIRST.to_owned()), |shelf| Ok(load(read, account, shelf)?.name))
}

fn free(tx: &Tx<'_>, account: RealmId, name: &str, but: Option<ShelfId>) -> Result<()> {
    let same = |shelf: &Shelf| shelf.name.to_lowercase() == name.to_lowercase() && Some(shelf.id) != but;
    match all(tx, account)?.into_iter().find(same) {
        Some(shelf) => Err(PeopleError::BookExists(shelf.name)),
        None if name.eq_ignore_ascii_case(FIRST) => Err(PeopleError::BookExists(FIRST.to_owned())),
        None => Ok(()),
    }
}

/// Write a record, or delete it: with the way back.
fn change(tx: &mut Tx<'_>, account: RealmId, key: Vec<u8>, record: Option<ShelfRecord>) -> Result<RecordBack> {
    let before = tx.get(account, &key)?.map(|value| value.to_vec());
    let after = record.map(|record| prost::Message::encode_to_vec(&record));
    match &after {
        Some(after) => tx.put(account, key.clone(), after.clone()),
        None => tx.delete(account, key.clone()),
    }
    Ok(RecordBack { key, before, after })
}

/// Take the change of a book or a group back, unless it was changed since.
pub(crate) fn take_back(tx: &mut Tx<'_>, account: RealmId, back: RecordBack) -> Result<()> {
    let now = tx.get(account, &back.key)?.map(|value| value.to_vec());
    if now != back.after {
        return Ok(());
    }
    if back.key.first() == Some(&schema::GROUP) {
        return crate::groups::restore(tx, account, &back.key, back.before);
    }
    match back.before {
        Some(before) => tx.put(account, back.key, before),
        None => tx.delete(account, back.key),
    }
    Ok(())
}

/// Write all books as `wanted` has them. Gives how many changed.
pub(crate) fn write_all(
    tx: &mut Tx<'_>,
    account: RealmId,
    wanted: &std::collections::BTreeMap<ShelfId, String>,
) -> Result<usize> {
    let now = all(tx, account)?;
    let mut changed = 0;
    for gone in now.iter().filter(|shelf| !wanted.contains_key(&shelf.id)) {
        tx.delete(account, schema::shelf(gone.id.0));
        changed += 1;
    }
    for (id, name) in wanted {
        if !now.iter().any(|shelf| shelf.id == *id && shelf.name == *name) {
            schema::save(tx, account, schema::shelf(id.0), &ShelfRecord { name: name.clone() });
            changed += 1;
        }
    }
    Ok(changed)
}
