//! Writing the contacts of a book as a table, in columns that Google, and we, know by their names.

use std::collections::BTreeMap;

use super::{SEVERAL, as_text};
use crate::further::{Further, When};
use crate::merge::Book;
use crate::{Card, ContactId, vcard};

/// The parts of a name in the order of the columns, and their places in a vCard.
const PARTS: [(&str, usize); 5] =
    [("Name Prefix", 3), ("First Name", 1), ("Middle Name", 2), ("Last Name", 0), ("Name Suffix", 4)];
/// The parts of a postal address, likewise.
const POSTAL: [(&str, usize); 7] = [
    ("PO Box", 0),
    ("Extended Address", 1),
    ("Street", 2),
    ("City", 3),
    ("Region", 4),
    ("Postal Code", 5),
    ("Country", 6),
];

/// Which columns a book needs.
#[derive(Default)]
struct Columns {
    addresses: usize,
    phones: usize,
    postal: usize,
    websites: usize,
    parts: bool,
    title: bool,
    birthday: bool,
    anniversary: bool,
}

impl Columns {
    fn of(book: &Book) -> Self {
        let mut columns = Self::default();
        for card in book.contacts.values() {
            let further = card.further();
            columns.addresses = columns.addresses.max(card.addresses.len());
            columns.phones = columns.phones.max(card.phones.len());
            columns.postal = columns.postal.max(further.postal.len());
            columns.websites = columns.websites.max(further.websites.len());
            columns.parts |= !card.parts.is_empty();
            columns.title |= !further.title.is_empty();
            columns.birthday |= further.birthday.is_some();
            columns.anniversary |= further.anniversary.is_some();
        }
        columns
    }

    fn head(&self) -> Vec<String> {
        let mut head: Vec<String> =
            ["Name", "Nickname", "Organization Name", "Notes", "Labels", "UID"].map(str::to_owned).to_vec();
        if self.parts {
            head.extend(PARTS.map(|(name, _)| name.to_owned()));
        }
        let single =
            [(self.title, "Organization Title"), (self.birthday, "Birthday"), (self.anniversary, "Anniversary")];
        head.extend(single.iter().filter(|(there, _)| *there).map(|(_, name)| (*name).to_owned()));
        for (what, count) in [("E-mail", self.addresses), ("Phone", self.phones), ("Website", self.websites)] {
            for at in 1..=count {
                head.push(format!("{what} {at} - Label"));
                head.push(format!("{what} {at} - Value"));
            }
        }
        for at in 1..=self.postal {
            head.push(format!("Address {at} - Label"));
            head.extend(POSTAL.map(|(part, _)| format!("Address {at} - {part}")));
        }
        head
    }

    fn row(&self, card: &Card, groups: &[&str]) -> Vec<String> {
        let further = card.further();
        let mut row = vec![
            card.name.clone(),
            card.other_names.join(SEVERAL),
            card.organisation.clone(),
            card.note.clone(),
            groups.join(SEVERAL),
            card.uid.clone(),
        ];
        if self.parts {
            let parts = vcard::parts(&card.parts, ';');
            row.extend(PARTS.map(|(_, at)| parts.get(at).cloned().unwrap_or_default()));
        }
        let Further { title, birthday, anniversary, .. } = &further;
        if self.title {
            row.push(title.clone());
        }
        for (there, when) in [(self.birthday, birthday), (self.anniversary, anniversary)] {
            if there {
                row.push(when.as_ref().map(When::plain).unwrap_or_default());
            }
        }
        let addresses = card.addresses.iter().map(|one| (&one.label, &one.address));
        let phones = card.phones.iter().map(|one| (&one.label, &one.number));
        let websites = further.websites.iter().map(|one| (&one.label, &one.text));
        pairs(&mut row, self.addresses, addresses);
        pairs(&mut row, self.phones, phones);
        pairs(&mut row, self.websites, websites);
        for at in 0..self.postal {
            let postal = further.postal.get(at);
            row.push(postal.map(|postal| postal.label.clone()).unwrap_or_default());
            row.extend(POSTAL.map(|(_, part)| postal.map(|postal| postal.parts[part].clone()).unwrap_or_default()));
        }
        row
    }
}

/// Labels and values, as many as there are columns.
fn pairs<'a>(row: &mut Vec<String>, count: usize, mut all: impl Iterator<Item = (&'a String, &'a String)>) {
    for _ in 0..count {
        let (label, value) = all.next().map(|(label, value)| (label.clone(), value.clone())).unwrap_or_default();
        row.extend([label, value]);
    }
}

/// Write the contacts of a book as a table: one line a contact, as many columns as the fullest of them needs.
pub fn write(book: &Book) -> Vec<u8> {
    let mut groups: BTreeMap<ContactId, Vec<&str>> = BTreeMap::new();
    for group in book.groups.values() {
        for member in &group.members {
            groups.entry(*member).or_default().push(&group.name);
        }
    }
    let columns = Columns::of(book);
    let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    // Writing to memory does not fail.
    let _ = out.write_record(columns.head());
    for (id, card) in &book.contacts {
        let row = columns.row(card, groups.get(id).map_or(&[], Vec::as_slice));
        let _ = out.write_record(row.iter().map(|cell| as_text(cell).into_owned()));
    }
    out.into_inner().unwrap_or_default()
}
