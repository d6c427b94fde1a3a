//! Pictures of contacts: their records, and those that a vCard holds itself.
//!
//! A picture is stored once, under the hash of its bytes; contacts refer to it. What no contact and no act refers to any
//! longer is kept for [`KEEP_DAYS`], so that a rewind within the window finds it, and then cleared away.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use store::{Order, Read, RealmId, Tx};

use crate::card::PictureRef;
pub(crate) use crate::image::hash;
pub use crate::image::{
    HASH_BYTES, MAX_ALL_PICTURES_BYTES, MAX_PICTURE_BYTES, MAX_PICTURE_SIDE, MAX_PICTURES, PictureError, Pictures,
    kind_of,
};
use crate::schema::{self, ActRecord, PictureRecord, state_of};
use crate::vcard::{self, Line};
use crate::{Card, ContactId, People, PeopleError, Result};

/// For how many days a picture is kept that nothing refers to: longer than any rewind reaches back.
pub const KEEP_DAYS: i64 = 35;
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// Whether a line of a vCard is a PHOTO that the card holds itself.
pub(crate) fn is_picture(line: &str) -> bool {
    let (head, value) = line.split_once(':').unwrap_or((line, ""));
    let name = head.split(';').next().unwrap_or_default();
    let name = name.rsplit('.').next().unwrap_or_default();
    name.eq_ignore_ascii_case("PHOTO") && value.get(..5).is_some_and(|start| start.eq_ignore_ascii_case("data:"))
}

/// The bytes in such a line.
fn bytes_in(line: &Line) -> Option<Vec<u8>> {
    let (_, data) = line.raw_value().split_once(";base64,").or_else(|| line.raw_value().split_once("\\;base64\\,"))?;
    let plain: String = data.chars().filter(|c| !c.is_whitespace()).collect();
    STANDARD.decode(plain.as_bytes()).ok()
}

impl Card {
    /// Take the pictures out of the lines of the vCard: their bytes, and why others were left where they are.
    pub(crate) fn lift_pictures(&mut self) -> (Vec<Bytes>, Vec<PictureError>) {
        let (mut lifted, mut refused) = (Vec::new(), Vec::new());
        if !self.kept.iter().any(|line| is_picture(line)) {
            return (lifted, refused);
        }
        let pictures = &mut self.pictures;
        self.kept.retain(|text| {
            let line = Some(text).filter(|text| is_picture(text)).and_then(|text| vcard::content_line(0, text));
            let Some((line, bytes)) = line.and_then(|line| bytes_in(&line).map(|bytes| (line, bytes))) else {
                return true;
            };
            if let Err(error) = kind_of(&bytes) {
                refused.push(error);
                // What is too large for a picture is too large to be kept as a text, too.
                return error != PictureError::TooLarge;
            }
            let hash = hash(&bytes);
            if pictures.iter().any(|known| known.hash == hash) {
                return false;
            }
            if pictures.len() >= MAX_PICTURES {
                return true;
            }
            pictures.push(PictureRef { hash, params: line.other_params() });
            lifted.push(bytes.into());
            false
        });
        (lifted, refused)
    }

    /// Whether there may be a picture: cheap, for lists.
    pub fn has_picture(&self) -> bool {
        !self.pictures.is_empty() || self.kept.iter().any(|line| is_picture(line))
    }
}

/// The record of a picture.
pub(crate) fn load<R: Read + ?Sized>(read: &R, account: RealmId, hash: &[u8]) -> Result<Option<PictureRecord>> {
    schema::load(read, account, &schema::picture(hash))
}

/// Store a picture. `limit` for all of them; one that is there already changes nothing.
pub(crate) fn put(tx: &mut Tx<'_>, account: RealmId, content: Bytes, limit: u64) -> Result<()> {
    let at = schema::picture(&hash(&content));
    if let Some(known) = schema::load::<PictureRecord, _>(tx, account, &at)? {
        if known.unused_since_ms != 0 {
            schema::save(tx, account, at, &PictureRecord { unused_since_ms: 0, ..known });
        }
        return Ok(());
    }
    let mut state = state_of(tx, account)?;
    state.picture_bytes += content.len() as u64;
    if state.picture_bytes > limit {
        return Err(PictureError::Full.into());
    }
    schema::save(tx, account, schema::state(), &state);
    schema::save(tx, account, at, &PictureRecord { content, unused_since_ms: 0 });
    Ok(())
}

/// Store the pictures that a card has in the lines of its vCard.
pub(crate) fn lift_in(tx: &mut Tx<'_>, account: RealmId, card: &mut Card) -> Result<()> {
    for content in card.lift_pictures().0 {
        // It was stored with the contact before: it adds nothing.
        put(tx, account, content, u64::MAX)?;
    }
    Ok(())
}

/// Bring what the pictures of a card need from `pictures`; those that are nowhere are forgotten.
pub(crate) fn settle(tx: &mut Tx<'_>, account: RealmId, card: &mut Card, pictures: &Pictures) -> Result<()> {
    let mut there = Vec::new();
    for picture in std::mem::take(&mut card.pictures) {
        match (load(tx, account, &picture.hash)?, pictures.get(&picture.hash)) {
            (Some(_), _) => there.push(picture),
            (None, Some(content)) => {
                put(tx, account, content.clone(), u64::MAX)?;
                there.push(picture);
            }
            (None, None) => {}
        }
    }
    card.pictures = there;
    Ok(())
}

/// The hashes of all pictures that a contact or the way back of an act needs.
fn needed<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<BTreeSet<Vec<u8>>> {
    let mut needed = BTreeSet::new();
    for row in read.prefix(account, &[schema::CONTACT], Order::Ascending)? {
        let (at, value) = row?;
        needed.extend(schema::decode::<Card>(&at, value)?.pictures.into_iter().map(|picture| picture.hash));
    }
    for row in read.prefix(account, &[schema::ACT], Order::Ascending)? {
        let (at, value) = row?;
        let backs = schema::decode::<ActRecord>(&at, value)?.way_back.into_iter();
        needed.extend(backs.filter_map(|back| back.before).flat_map(|card| card.pictures).map(|picture| picture.hash));
    }
    Ok(needed)
}

/// What upkeep does with pictures: those to mark as used or unused, and those to clear away.
fn changes<R: Read + ?Sized>(read: &R, account: RealmId, now_ms: i64) -> Result<Vec<(Vec<u8>, Option<PictureRecord>)>> {
    let mut rows = read.prefix(account, &[schema::PICTURE], Order::Ascending)?.peekable();
    if rows.peek().is_none() {
        return Ok(Vec::new());
    }
    let needed = needed(read, account)?;
    let mut changes = Vec::new();
    for row in rows {
        let (at, value) = row?;
        let record: PictureRecord = schema::decode(&at, value)?;
        let is_needed = needed.contains(&at[1..]);
        let since = record.unused_since_ms;
        if is_needed == (since != 0) {
            let unused_since_ms = if is_needed { 0 } else { now_ms };
            changes.push((at.to_vec(), Some(PictureRecord { unused_since_ms, ..record })));
        } else if !is_needed && since < now_ms - KEEP_DAYS * DAY_MS {
            changes.push((at.to_vec(), None));
        }
    }
    Ok(changes)
}

impl People {
    /// The first picture of a contact: media type and bytes.
    pub fn picture(&self, account: RealmId, id: ContactId) -> Result<Option<(&'static str, Bytes)>> {
        let snapshot = self.store.snapshot();
        let mut card =
            schema::load::<Card, _>(&snapshot, account, &schema::contact(id))?.ok_or(PeopleError::NoSuchContact)?;
        let content = match card.pictures.first() {
            Some(picture) => load(&snapshot, account, &picture.hash)?.map(|record| record.content),
            None => card.lift_pictures().0.into_iter().next(),
        };
        Ok(content.and_then(|content| kind_of(&content).ok().map(|kind| (kind, content))))
    }

    /// Bytes of all pictures of an account.
    pub fn picture_bytes(&self, account: RealmId) -> Result<u64> {
        Ok(state_of(&self.store.snapshot(), account)?.picture_bytes)
    }

    /// Marks the pictures that nothing refers to, and clears away those marked for [`KEEP_DAYS`].
    pub(crate) async fn maintain_pictures(&self, account: RealmId) -> Result<()> {
        let now_ms = self.store.clock().now_ms();
        if changes(&self.store.snapshot(), account, now_ms)?.is_empty() {
            return Ok(());
        }
        // Looked at again: a contact may have come to need one.
        self.commit(move |tx| {
            let mut state = state_of(tx, account)?;
            for (at, record) in changes(tx, account, now_ms)? {
                match record {
                    Some(record) => schema::save(tx, account, at, &record),
                    None => {
                        let old: Option<PictureRecord> = schema::load(tx, account, &at)?;
                        let freed = old.map_or(0, |old| old.content.len() as u64);
                        state.picture_bytes = state.picture_bytes.saturating_sub(freed);
                        tx.delete(account, at);
                    }
                }
            }
            schema::save(tx, account, schema::state(), &state);
            Ok(())
        })
        .await
    }
}
