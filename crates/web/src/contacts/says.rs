//! What a contact says, for people: in a line, in rows, and as somebody to write to.

use mailkit::{EmailAddress, NamedAddress};
use people::{Card, Contact, ContactId, Detail, DetailKind};

use crate::text::avatar;

/// A line of the list.
pub struct Line {
    pub id: ContactId,
    pub name: String,
    pub details: String,
    pub initial: String,
    pub hue: &'static str,
    pub picture: bool,
}

impl Line {
    pub fn of(contact: &Contact) -> Self {
        let card = &contact.card;
        let address = card.addresses.first().map_or("", |address| address.address.as_str());
        let (initial, hue) = avatar(card.title(), address);
        let further = match card.addresses.len() {
            0 | 1 => String::new(),
            n => format!(" and {} more", n - 1),
        };
        let details = if address.is_empty() {
            card.phones.first().map(|phone| phone.number.clone()).unwrap_or_default()
        } else {
            format!("{address}{further}")
        };
        Self { id: contact.id, name: card.title().to_owned(), details, initial, hue, picture: card.has_picture() }
    }
}

/// The name and first address of a contact.
pub fn named(contact: &Contact) -> Option<NamedAddress> {
    let address = EmailAddress::parse(&contact.card.addresses.first()?.address).ok()?;
    Some(NamedAddress { name: contact.card.name.clone(), address })
}

/// What they do, and where.
pub fn position(card: &Card, details: &[Detail]) -> String {
    let titles = details.iter().filter(|detail| detail.kind == DetailKind::Title).map(|detail| detail.text.clone());
    let all = titles.chain([card.organisation.clone()]).filter(|text| !text.is_empty());
    all.collect::<Vec<_>>().join(", ")
}

/// What a detail is called on the page.
pub fn called(kind: DetailKind) -> &'static str {
    match kind {
        DetailKind::Postal => "Postal address",
        DetailKind::Birthday => "Birthday",
        DetailKind::Anniversary => "Anniversary",
        DetailKind::Title => "Title",
        DetailKind::Web => "Website",
        DetailKind::Chat => "Chat",
        DetailKind::PhoneticGiven | DetailKind::PhoneticFamily => "Phonetic name",
    }
}

/// What a card says, for people.
pub fn rows(card: &Card) -> Vec<(String, Vec<String>)> {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    let mut put = |what: &str, value: String| {
        if value.is_empty() {
            return;
        }
        match rows.iter_mut().find(|(known, _)| known == what) {
            Some((_, values)) => values.push(value),
            None => rows.push((what.to_owned(), vec![value])),
        }
    };
    let labelled =
        |text: &str, label: &str| if label.is_empty() { text.to_owned() } else { format!("{text} ({label})") };
    put("Name", card.name.clone());
    put("Other names", card.other_names.join(", "));
    put("Organisation", card.organisation.clone());
    for address in &card.addresses {
        put("Email", labelled(&address.address, &address.label));
    }
    for phone in &card.phones {
        put("Phone", labelled(&phone.number, &phone.label));
    }
    for detail in card.details() {
        let what = if detail.kind == DetailKind::Title { "Title" } else { called(detail.kind) };
        put(what, labelled(&detail.text, &detail.label));
    }
    put("Notes", card.note.clone());
    rows
}
