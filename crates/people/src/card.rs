//! The data of a contact.

use mailkit::EmailAddress;
use prost::Message;

use crate::image::MAX_PICTURES;
use crate::{MAX_ADDRESSES, MAX_KEPT_BYTES, MAX_LINE_BYTES, MAX_NOTE_BYTES, PeopleError, Result};

/// The stored data of a contact; tags are never reused.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Card {
    /// The name people see (vCard FN).
    #[prost(string, tag = "1")]
    pub name: String,
    /// Other names (NICKNAME).
    #[prost(string, repeated, tag = "2")]
    pub other_names: Vec<String>,
    /// Mail addresses, the preferred one first; each once.
    #[prost(message, repeated, tag = "3")]
    pub addresses: Vec<Address>,
    /// Phone numbers; each once.
    #[prost(message, repeated, tag = "4")]
    pub phones: Vec<Phone>,
    /// The organization (ORG), its parts separated by `; `.
    #[prost(string, tag = "5")]
    pub organisation: String,
    /// Notes.
    #[prost(string, tag = "6")]
    pub note: String,
    /// The globally unique id of this person (UID, RFC 6350 section 6.7.6). Never empty once stored.
    #[prost(string, tag = "7")]
    pub uid: String,
    /// The name in its parts as a vCard has it (N), while it belongs to [`Self::name`].
    #[prost(string, tag = "8")]
    pub parts: String,
    /// Other properties of the vCard that the contact came from, one content line each, unfolded.
    #[prost(string, repeated, tag = "9")]
    pub kept: Vec<String>,
    /// Pictures; the first is shown. Their bytes have a record of their own (see [`crate::pictures`]).
    #[prost(message, repeated, tag = "10")]
    pub pictures: Vec<PictureRef>,
    /// The book it is in; 0, and one that there is not, is the first, "Contacts".
    #[prost(fixed64, tag = "11")]
    pub shelf: u64,
}

/// A picture of someone.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct PictureRef {
    /// The beginning of the BLAKE3 hash of its bytes: [`crate::pictures::HASH_BYTES`].
    #[prost(bytes = "vec", tag = "1")]
    pub hash: Vec<u8>,
    /// Parameters of the vCard's line beyond its encoding and type, as they stood: `;X-ABCROP-RECTANGLE=…`.
    #[prost(string, tag = "2")]
    pub params: String,
}

/// A mail address of someone.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Address {
    /// The address, as [`EmailAddress`] writes it.
    #[prost(string, tag = "1")]
    pub address: String,
    /// `home`, `work`, anything or nothing.
    #[prost(string, tag = "2")]
    pub label: String,
}

/// A phone number of someone.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct Phone {
    /// As written.
    #[prost(string, tag = "1")]
    pub number: String,
    /// `cell`, `work`, anything or nothing.
    #[prost(string, tag = "2")]
    pub label: String,
}

impl Card {
    /// Someone with one address.
    pub fn of(name: &str, address: &str) -> Self {
        Self {
            name: name.to_owned(),
            addresses: vec![Address { address: address.to_owned(), label: String::new() }],
            ..Self::default()
        }
    }

    /// The title to show: the name, or else other data.
    pub fn title(&self) -> &str {
        let or = |text: &'_ str| !text.is_empty();
        [Some(self.name.as_str()), self.addresses.first().map(|a| a.address.as_str()), Some(&self.organisation)]
            .into_iter()
            .flatten()
            .chain(self.phones.first().map(|p| p.number.as_str()))
            .find(|text| or(text))
            .unwrap_or_default()
    }

    /// Put into the form that is stored, and check against the limits.
    ///
    /// # Errors
    /// [`PeopleError::Empty`], [`PeopleError::BadAddress`], [`PeopleError::TooMany`], [`PeopleError::TooLong`].
    pub fn checked(mut self) -> Result<Self> {
        for line in [&mut self.name, &mut self.organisation, &mut self.uid].into_iter().chain(&mut self.other_names) {
            *line = one_line(line);
        }
        let name = self.name.clone();
        self.other_names.retain(|other| !other.is_empty() && *other != name);
        dedup(&mut self.other_names, String::clone);
        for address in &mut self.addresses {
            address.label = one_line(&address.label);
            address.address = one_line(&address.address);
        }
        self.addresses.retain(|address| !address.address.is_empty());
        for address in &mut self.addresses {
            match EmailAddress::parse(&address.address) {
                Ok(valid) => address.address = valid.to_string(),
                Err(reason) => {
                    return Err(PeopleError::BadAddress { address: address.address.clone(), reason });
                }
            }
        }
        dedup(&mut self.addresses, |address| canonical(&address.address));
        for phone in &mut self.phones {
            phone.number = one_line(&phone.number);
            phone.label = one_line(&phone.label);
        }
        self.phones.retain(|phone| !phone.number.is_empty());
        dedup(&mut self.phones, |phone| phone.number.clone());
        self.note = self.note.replace("\r\n", "\n").trim_end().to_owned();
        self.note.retain(|c| c == '\n' || c == '\t' || !c.is_control());
        let lines = [&self.name, &self.organisation, &self.uid];
        let lines = lines.into_iter().chain(&self.other_names);
        let lines = lines.chain(self.addresses.iter().map(|a| &a.label));
        let lines = lines.chain(self.phones.iter().flat_map(|p| [&p.label, &p.number]));
        if lines.into_iter().any(|line| line.len() > MAX_LINE_BYTES) || self.parts.len() > 2 * MAX_LINE_BYTES {
            return Err(PeopleError::TooLong { what: "a name, label or number", limit: MAX_LINE_BYTES });
        }
        if self.note.len() > MAX_NOTE_BYTES {
            return Err(PeopleError::TooLong { what: "a note", limit: MAX_NOTE_BYTES });
        }
        if self.kept.iter().map(String::len).sum::<usize>() > MAX_KEPT_BYTES {
            return Err(PeopleError::TooLong { what: "the other data of a vCard", limit: MAX_KEPT_BYTES });
        }
        for (count, what) in [
            (self.addresses.len(), "addresses of a contact"),
            (self.phones.len(), "phone numbers of a contact"),
            (self.other_names.len(), "other names of a contact"),
        ] {
            if count > MAX_ADDRESSES {
                return Err(PeopleError::TooMany { what, limit: MAX_ADDRESSES as u64 });
            }
        }
        dedup(&mut self.pictures, |picture| picture.hash.clone());
        self.pictures.truncate(MAX_PICTURES);
        if self.title().is_empty() {
            return Err(PeopleError::Empty);
        }
        Ok(self)
    }

    /// Take in what another card knows and this one doesn't. Gives whether anything changed.
    pub fn absorb(&mut self, other: &Self) -> bool {
        let before = self.clone();
        // A file that must have a name has what this contact is shown as: no news.
        let shown = self.title().to_owned();
        let name = std::iter::once(&other.name).chain(&other.other_names);
        for name in name.filter(|name| !name.is_empty() && **name != shown) {
            if self.name.is_empty() {
                self.name.clone_from(name);
                self.parts.clone_from(&other.parts);
            } else if self.name != *name && !self.other_names.contains(name) {
                self.other_names.push(name.clone());
            }
        }
        for address in &other.addresses {
            let known = canonical(&address.address);
            match self.addresses.iter_mut().find(|mine| canonical(&mine.address) == known) {
                None => self.addresses.push(address.clone()),
                Some(mine) if mine.label.is_empty() => mine.label.clone_from(&address.label),
                Some(_) => {}
            }
        }
        for phone in &other.phones {
            if !self.phones.iter().any(|mine| mine.number == phone.number) {
                self.phones.push(phone.clone());
            }
        }
        if self.organisation.is_empty() {
            self.organisation.clone_from(&other.organisation);
        } else if !other.organisation.is_empty() && !self.organisation.contains(&other.organisation) {
            self.organisation = format!("{}, {}", self.organisation, other.organisation);
        }
        self.note = joined(&self.note, &other.note);
        self.absorb_lines(other);
        for picture in &other.pictures {
            let known = self.pictures.iter().any(|mine| mine.hash == picture.hash);
            if !known && self.pictures.len() < MAX_PICTURES {
                self.pictures.push(picture.clone());
            }
        }
        *self != before
    }
}

/// Two notes as one: what one holds of the other stands once.
pub(crate) fn joined(mine: &str, other: &str) -> String {
    if mine.contains(other) {
        mine.to_owned()
    } else if other.contains(mine) {
        other.to_owned()
    } else {
        format!("{mine}\n\n{other}")
    }
}

/// The form by which an address is found.
pub(crate) fn canonical(address: &str) -> String {
    EmailAddress::parse(address).map_or_else(|_| address.to_lowercase(), |address| address.canonical())
}

fn one_line(text: &str) -> String {
    let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    text.trim().to_owned()
}

fn dedup<T, K: std::hash::Hash + Eq>(all: &mut Vec<T>, key: impl Fn(&T) -> K) {
    let mut seen = std::collections::HashSet::new();
    all.retain(|one| seen.insert(key(one)));
}
