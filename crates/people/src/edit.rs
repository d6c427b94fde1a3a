//! Changing a contact in a form: all of its fields, its picture, its groups and its book, unless someone else changed it
//! since the form was made.

use bytes::Bytes;
use store::{Read, RealmId};

use crate::further::Further;
use crate::groups::{self, set_groups};
use crate::pictures::{self, MAX_ALL_PICTURES_BYTES};
use crate::records::{hash, load, way_back, write};
use crate::schema;
use crate::vcard::{name_of_parts, parts};
use crate::{Card, ContactId, GroupId, People, PeopleError, Receipt, Result, ShelfId, card::PictureRef};

/// What becomes of the picture.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum PictureChange {
    /// It stays.
    #[default]
    Keep,
    /// The one that is shown goes.
    Remove,
    /// This one is shown.
    Set(Bytes),
}

/// A contact as it shall be.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// Names, addresses, numbers, organisation and note. With [`Self::further`] also the parts of the name.
    pub card: Card,
    /// The other fields; without them all stay as they are.
    pub further: Option<Further>,
    /// The picture.
    pub picture: PictureChange,
    /// The groups; without them all stay.
    pub groups: Option<Vec<GroupId>>,
    /// The book, or the first; without it the contact stays where it is.
    pub shelf: Option<Option<ShelfId>>,
    /// [`People::version`] of the contact that the caller saw. If it has another one now, nothing is written.
    pub seen: Option<String>,
}

/// What a contact is now, in a word that changes with it.
fn version_of<R: Read + ?Sized>(read: &R, account: RealmId, id: ContactId, card: &Card) -> Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&hash(card));
    for group in groups::of_contact(read, account, id)? {
        hasher.update(&group.0.to_be_bytes());
    }
    Ok(hasher.finalize().to_hex()[..32].to_owned())
}

impl People {
    /// What a contact is now, in a word that changes whenever it or its groups do. `None` if there is no such contact.
    pub fn version(&self, account: RealmId, id: ContactId) -> Result<Option<String>> {
        let snapshot = self.store.snapshot();
        let card: Option<Card> = schema::load(&snapshot, account, &schema::contact(id))?;
        card.map(|card| version_of(&snapshot, account, id, &card)).transpose()
    }

    /// Creates a contact, or changes the one with `id`. Once for each `act_key`.
    ///
    /// # Errors
    /// Those of [`Card::checked`]; [`PeopleError::NoSuchContact`]; [`PeopleError::Changed`] if it is not what the caller
    /// saw; [`PeopleError::Picture`]; [`PeopleError::NoSuchBook`]; [`PeopleError::TooMany`].
    pub async fn edit(&self, account: RealmId, act_key: &[u8], id: Option<ContactId>, edit: Edit) -> Result<Receipt> {
        if let PictureChange::Set(bytes) = &edit.picture {
            pictures::kind_of(bytes)?;
        }
        self.act(account, act_key, move |tx, act| {
            let before = match id {
                Some(id) => Some(load(tx, account, id)?),
                None => None,
            };
            let id = id.unwrap_or_else(ContactId::random);
            if let (Some(before), Some(seen)) = (&before, &edit.seen)
                && version_of(tx, account, id, before)? != *seen
            {
                return Err(PeopleError::Changed);
            }
            if let Some(shelf) = edit.shelf.flatten() {
                crate::shelves::name_of(tx, account, Some(shelf))?;
            }
            let mut base = before.clone();
            if let Some(base) = &mut base {
                pictures::lift_in(tx, account, base)?;
            }
            let mut card = changed(base.as_ref(), &edit);
            if let PictureChange::Set(bytes) = &edit.picture {
                pictures::put(tx, account, bytes.clone(), MAX_ALL_PICTURES_BYTES)?;
                set_picture(&mut card, bytes);
            }
            let card = card.checked()?;
            act.note = format!("{} saved.", card.title());
            act.contact = id.0;
            let was_in = groups::of_contact(tx, account, id)?;
            let after = write(tx, account, id, Some(card))?;
            if let Some(groups) = edit.groups {
                set_groups(tx, account, id, &was_in, groups)?;
            }
            act.way_back.push(way_back(id, before, &was_in, after));
            Ok(())
        })
        .await
    }
}

/// The card that comes out.
fn changed(before: Option<&Card>, edit: &Edit) -> Card {
    let mut card = edit.card.clone();
    if let Some(before) = before {
        card.uid.clone_from(&before.uid);
        card.kept.clone_from(&before.kept);
        card.pictures.clone_from(&before.pictures);
        card.shelf = before.shelf;
    }
    if let Some(shelf) = edit.shelf {
        card.shelf = crate::shelves::number(shelf);
    }
    match &edit.further {
        Some(further) => {
            card.set_further(further);
            name(before, &mut card);
        }
        // The parts belong to the name that they came with.
        None => {
            card.parts = before.filter(|before| before.name == card.name).map(|b| b.parts.clone()).unwrap_or_default();
        }
    }
    if edit.picture == PictureChange::Remove && !card.pictures.is_empty() {
        card.pictures.remove(0);
    }
    card
}

/// Make name and parts agree: the parts as they were where they say the same, the name made of them where it was, or
/// where there is none.
fn name(before: Option<&Card>, card: &mut Card) {
    let same = |a: &str, b: &str| {
        let trimmed = |text: &str| {
            let mut all = parts(text, ';');
            all.resize(5, String::new());
            all
        };
        trimmed(a) == trimmed(b)
    };
    if same(&card.parts, "") {
        card.parts.clear();
    }
    let made = name_of_parts(&card.parts);
    match before {
        Some(before) if same(&card.parts, &before.parts) => card.parts.clone_from(&before.parts),
        Some(before) if card.name == before.name && before.name == name_of_parts(&before.parts) && !made.is_empty() => {
            card.name.clone_from(&made);
        }
        _ => {}
    }
    // A name that was typed beside parts that did not change is not what these say any longer.
    if let Some(before) = before
        && card.name != before.name
        && !card.name.is_empty()
        && card.parts == before.parts
        && before.name == name_of_parts(&before.parts)
    {
        card.parts.clear();
    }
    if card.name.trim().is_empty() {
        card.name = made;
    }
}

/// Show this picture; the one that was shown goes.
fn set_picture(card: &mut Card, bytes: &Bytes) {
    let hash = pictures::hash(bytes);
    if !card.pictures.is_empty() {
        card.pictures.remove(0);
    }
    card.pictures.retain(|picture| picture.hash != hash);
    card.pictures.insert(0, PictureRef { hash, params: String::new() });
}
