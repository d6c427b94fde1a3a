//! What other pages ask of the address book: who somebody is, how they are shown, and what completes an address.

use mailkit::{EmailAddress, NamedAddress};
use people::{Contact, Filter, GroupId, PeopleError, Suggestion};

use super::says::{named, position};
use crate::caller::Caller;
use crate::error::Result;
use crate::listing::count;
use crate::templates::Sender;
use crate::text::avatar;

/// All members of a group, as a field of recipients has them: each with the first address.
pub fn recipients(caller: &Caller, group: &str) -> Result<String> {
    let group: GroupId = group.parse().map_err(|_| PeopleError::NoSuchGroup)?;
    let filter = Filter { group: Some(group), ..Filter::default() };
    let (members, _) = caller.site.people.search(caller.realm, "", filter, people::MAX_MEMBERS)?;
    let all = members.iter().filter_map(named).map(|who| who.to_string());
    Ok(all.collect::<Vec<_>>().join(", "))
}

/// How someone is shown beside their address.
pub struct Face {
    /// The letter in place of a picture.
    pub initial: String,
    /// And its colour.
    pub hue: &'static str,
    /// Where the picture is; empty without one.
    pub picture: String,
    /// The book they are in; empty if they are no contact.
    pub book: String,
}

/// How the owner of an address is shown: with the picture of the contact that has it.
pub fn face(caller: &Caller, name: &str, address: &str) -> Result<Face> {
    let (initial, hue) = avatar(name, address);
    let mut face = Face { initial, hue, picture: String::new(), book: String::new() };
    if !address.contains('@') {
        return Ok(face);
    }
    let people = &caller.site.people;
    let Some(id) = people.by_address(caller.realm, address)?.into_iter().next() else { return Ok(face) };
    let Some(Contact { card, .. }) = people.contact(caller.realm, id)? else { return Ok(face) };
    if card.has_picture() {
        face.picture = format!("/people/{id}/picture");
    }
    let shelves = people.shelves(caller.realm)?;
    let shelf = shelves.into_iter().find(|shelf| shelf.id.0 == card.shelf);
    face.book = shelf.map_or_else(|| people::FIRST.to_owned(), |shelf| shelf.name);
    Ok(face)
}

/// The contact that has an address.
pub fn sender(caller: &Caller, address: &str) -> Result<Option<Sender>> {
    let people = &caller.site.people;
    let Some(id) = people.by_address(caller.realm, address)?.into_iter().next() else { return Ok(None) };
    let Some(Contact { card, .. }) = people.contact(caller.realm, id)? else { return Ok(None) };
    Ok(Some(Sender {
        id,
        name: card.title().to_owned(),
        position: position(&card, &card.details()),
        addresses: card.addresses.iter().map(|address| address.address.clone()).collect(),
        phones: card.phones.iter().map(|phone| phone.number.clone()).collect(),
        picture: card.has_picture(),
    }))
}

/// What the address book offers to complete an address: name, address or what a group holds, and what to put in.
pub fn suggestions(caller: &Caller, prefix: &str, limit: usize) -> Result<Vec<(String, String, String)>> {
    let value = |name: &str, address: &str| match EmailAddress::parse(address) {
        Ok(valid) => NamedAddress { name: name.to_owned(), address: valid }.to_string(),
        Err(_) => address.to_owned(),
    };
    let found = caller.site.people.complete(caller.realm, prefix, limit)?;
    Ok(found
        .into_iter()
        .map(|found| match found {
            Suggestion::Person { name, address } => {
                let value = value(&name, &address);
                (name, address, value)
            }
            Suggestion::Group { name, members } => {
                let all: Vec<String> = members.iter().map(|(name, address)| value(name, address)).collect();
                (name, format!("group, {}", count(members.len() as u32, "member")), all.join(", "))
            }
        })
        .collect())
}
