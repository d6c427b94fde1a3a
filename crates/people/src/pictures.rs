//! Pictures of contacts: which files are one, how large they may be, and their records.
//!
//! A picture is stored once, under the hash of its bytes; contacts refer to it. What no contact and no act refers to any
//! longer is kept for [`KEEP_DAYS`], so that a rewind within the window finds it, and then cleared away.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use store::{Order, Read, RealmId, Tx};

use crate::card::PictureRef;
use crate::schema::{self, ActRecord, PictureRecord, state_of};
use crate::vcard::{self, Line};
use crate::{Card, ContactId, People, PeopleError, Result};

/// Largest picture, in bytes.
pub const MAX_PICTURE_BYTES: usize = 256 * 1024;
/// Largest width and height of a picture, in pixels.
pub const MAX_PICTURE_SIDE: u32 = 4096;
/// Most pictures of a contact.
pub const MAX_PICTURES: usize = 5;
/// Most bytes of all pictures of an account.
pub const MAX_ALL_PICTURES_BYTES: u64 = 24 << 20;
/// For how many days a picture is kept that nothing refers to: longer than any rewind reaches back.
pub const KEEP_DAYS: i64 = 35;
/// Bytes of the hash under which a picture is stored.
pub const HASH_BYTES: usize = 16;
/// Milliseconds of a day.
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// The bytes of pictures, by hash.
pub type Pictures = BTreeMap<Vec<u8>, Bytes>;

/// Why a file can't be the picture of a contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PictureError {
    /// It is none of the formats that browsers show.
    #[error("the picture is not a JPEG, PNG, GIF or WebP file")]
    Unknown,
    /// It is too large.
    #[error("the picture is too large: the limit is {} KiB", MAX_PICTURE_BYTES / 1024)]
    TooLarge,
    /// It has too many pixels, or none.
    #[error("the picture may have {MAX_PICTURE_SIDE} by {MAX_PICTURE_SIDE} pixels at most")]
    TooManyPixels,
    /// The pictures of the account are as large as they may be.
    #[error("the pictures of this address book have reached their limit of {} MiB", MAX_ALL_PICTURES_BYTES >> 20)]
    Full,
}

/// The media type of a picture, by what its bytes say.
///
/// # Errors
/// If it may not be kept.
pub fn kind_of(bytes: &[u8]) -> Result<&'static str, PictureError> {
    if bytes.len() > MAX_PICTURE_BYTES {
        return Err(PictureError::TooLarge);
    }
    let (kind, (width, height)) = measured(bytes).ok_or(PictureError::Unknown)?;
    let fits = |side: u32| (1..=MAX_PICTURE_SIDE).contains(&side);
    if fits(width) && fits(height) { Ok(kind) } else { Err(PictureError::TooManyPixels) }
}

/// Media type, width and height.
fn measured(bytes: &[u8]) -> Option<(&'static str, (u32, u32))> {
    let at = |from: usize, to: usize| bytes.get(from..to);
    if bytes.starts_with(b"\x89PNG\r\n\x1a\n") && at(12, 16)? == b"IHDR" {
        let number = |from| Some(u32::from_be_bytes(at(from, from + 4)?.try_into().ok()?));
        return Some(("image/png", (number(16)?, number(20)?)));
    }
    let little = |from| Some(u32::from(u16::from_le_bytes(at(from, from + 2)?.try_into().ok()?)));
    if bytes.starts_with(b"GIF87a") || bytes.starts_with(b"GIF89a") {
        return Some(("image/gif", (little(6)?, little(8)?)));
    }
    if bytes.starts_with(b"\xff\xd8\xff") {
        return Some(("image/jpeg", of_jpeg(bytes)?));
    }
    if bytes.starts_with(b"RIFF") && at(8, 12)? == b"WEBP" {
        let three = |from: usize| {
            Some(u32::from_le_bytes([*bytes.get(from)?, *bytes.get(from + 1)?, *bytes.get(from + 2)?, 0]))
        };
        let size = match at(12, 16)? {
            b"VP8X" => (three(24)? + 1, three(27)? + 1),
            b"VP8 " if at(23, 26)? == b"\x9d\x01\x2a" => (little(26)? & 0x3FFF, little(28)? & 0x3FFF),
            b"VP8L" if *bytes.get(20)? == 0x2F => {
                let bits = u32::from_le_bytes(at(21, 25)?.try_into().ok()?);
                ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
            }
            _ => return None,
        };
        return Some(("image/webp", size));
    }
    None
}

/// Width and height in the frame header of a JPEG file.
fn of_jpeg(bytes: &[u8]) -> Option<(u32, u32)> {
    let mut at = 2;
    loop {
        while bytes.get(at)? == &0xFF && bytes.get(at + 1)? == &0xFF {
            at += 1;
        }
        if bytes.get(at)? != &0xFF {
            return None;
        }
        let two = |from: usize| Some(u16::from_be_bytes([*bytes.get(from)?, *bytes.get(from + 1)?]));
        match *bytes.get(at + 1)? {
            0x01 | 0xD0..=0xD8 => at += 2,
            // The picture begins, or ends, without a frame header.
            0xD9 | 0xDA => return None,
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Some((u32::from(two(at + 7)?), u32::from(two(at + 5)?)));
            }
            _ => at += 2 + usize::from(two(at + 2)?.max(2)),
        }
    }
}

/// The hash under which a picture is stored.
pub(crate) fn hash(bytes: &[u8]) -> Vec<u8> {
    blake3::hash(bytes).as_bytes()[..HASH_BYTES].to_vec()
}

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

#[cfg(test)]
mod tests {
    use super::*;

    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0]);
        bytes
    }

    #[test]
    fn a_picture_is_known_by_its_bytes_and_bounded() {
        let gif = b"GIF89a\x10\0\x20\0".to_vec();
        let jpeg = b"\xff\xd8\xff\xe0\0\x04aa\xff\xff\xc2\0\x11\x08\0\x20\0\x10".to_vec();
        let vp8x = b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x1f\0\0".to_vec();
        let vp8 = b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0aaa\x9d\x01\x2a\x10\0\x20\0".to_vec();
        let vp8l = b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x0f\xc0\x07\0".to_vec();
        for (bytes, kind) in [
            (png(16, 32), "image/png"),
            (gif, "image/gif"),
            (jpeg, "image/jpeg"),
            (vp8x, "image/webp"),
            (vp8, "image/webp"),
            (vp8l, "image/webp"),
        ] {
            assert_eq!(measured(&bytes), Some((kind, (16, 32))), "{kind}");
            assert_eq!(kind_of(&bytes), Ok(kind));
            // Cut anywhere, it is none, or the same; nothing panics.
            for end in 0..bytes.len() {
                assert!(measured(&bytes[..end]).is_none_or(|(known, _)| known == kind));
            }
        }
        assert_eq!(kind_of(&png(0, 5)), Err(PictureError::TooManyPixels));
        assert_eq!(kind_of(&png(5, MAX_PICTURE_SIDE + 1)), Err(PictureError::TooManyPixels));
        assert_eq!(kind_of(&png(u32::MAX, u32::MAX)), Err(PictureError::TooManyPixels));
        let large = [png(5, 5), vec![0; MAX_PICTURE_BYTES]].concat();
        assert_eq!(kind_of(&large), Err(PictureError::TooLarge));
        for other in [
            &b"<svg xmlns='http://www.w3.org/2000/svg'/>"[..],
            b"<script>",
            b"",
            b"RIFF",
            b"%PDF-1.4",
            b"\xff\xd8\xff\xd9",
        ] {
            assert_eq!(kind_of(other), Err(PictureError::Unknown));
        }
    }
}
