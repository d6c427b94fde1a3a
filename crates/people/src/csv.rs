//! CSV as Google, Outlook, Thunderbird and spreadsheets write it, found by the names of the columns in any of many
//! languages; and out in a form that all of them read, which is Google's.

mod columns;

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::address::{self, Read};
use crate::card::{Address, Card, Phone};
use crate::incoming::{Incoming, IncomingCard};
use crate::merge::Book;
use columns::Column;

/// Most columns that are looked at.
const MAX_COLUMNS: usize = 400;
/// What stands between several values of one field, as Google writes them.
const SEVERAL: &str = " ::: ";

/// Reads a table. Never fails: unreadable lines are reported in [`Incoming::problems`].
pub fn read(file: &[u8]) -> Incoming {
    let mut incoming = Incoming::default();
    let file = crate::incoming::utf8(file);
    let text = decoded(&file);
    let (text, said) = separator(&text);
    let head = text.lines().next().unwrap_or_default();
    let counted = [b',', b';', b'\t', b'|'].into_iter().max_by_key(|d| head.bytes().filter(|b| b == d).count());
    let delimiter = said.or(counted);
    let mut rows = csv::ReaderBuilder::new()
        .delimiter(delimiter.unwrap_or(b','))
        .flexible(true)
        .has_headers(false)
        .from_reader(text.as_bytes());
    let mut columns: Option<Vec<Column>> = None;
    let mut row = csv::StringRecord::new();
    loop {
        match rows.read_record(&mut row) {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                incoming.problem(rows.position().line() as usize, &error.to_string());
                break;
            }
        }
        let line = row.position().map_or(0, |position| position.line() as usize);
        let Some(columns) = &columns else {
            let found: Vec<Column> = row.iter().take(MAX_COLUMNS).map(Column::of).collect();
            if !found.iter().any(Column::says_who) {
                let what = "the first line names no column that holds names or addresses, such as \u{201c}Name\u{201d} \
                            or \u{201c}E-mail Address\u{201d}";
                incoming.problem(line, what);
                return incoming;
            }
            columns = Some(found);
            continue;
        };
        take(&mut incoming, line, columns, &row);
    }
    if columns.is_none() {
        incoming.problem(1, "the file is empty");
    }
    incoming
}

/// The file as text. One that is not UTF-8 is in the character set of some Windows: the one in which most columns have a
/// name that is known, and of these the one in which fewest letters are signs.
fn decoded(file: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(file) {
        return Cow::Borrowed(text);
    }
    let sets = [
        encoding_rs::WINDOWS_1252,
        encoding_rs::WINDOWS_1250,
        encoding_rs::WINDOWS_1251,
        encoding_rs::WINDOWS_1253,
        encoding_rs::WINDOWS_1254,
        encoding_rs::SHIFT_JIS,
        encoding_rs::GBK,
        encoding_rs::BIG5,
        encoding_rs::EUC_KR,
    ];
    let sample = &file[..file.len().min(1 << 16)];
    let head = &sample[..sample.iter().position(|b| *b == b'\n').unwrap_or(sample.len())];
    let known = |set: &'static encoding_rs::Encoding| {
        let (head, wrong) = set.decode_without_bom_handling(head);
        let cells = head.split([',', ';', '\t']).map(|cell| Column::of(cell.trim().trim_matches('"')));
        let columns = cells.filter(|column| !matches!(column, Column::Other(_))).count();
        // In a wrong set some letters are signs.
        let signs =
            set.decode_without_bom_handling(sample).0.chars().filter(|c| !c.is_ascii() && !c.is_alphabetic()).count();
        (!wrong, columns, std::cmp::Reverse(signs))
    };
    // Of those alike, the last would win: the commonest set comes first.
    let best = sets.into_iter().rev().max_by_key(|set| known(set)).unwrap_or(encoding_rs::WINDOWS_1252);
    best.decode_without_bom_handling(file).0
}

/// Removes the line that tells Excel the separator of columns: `sep=;`.
fn separator(text: &str) -> (&str, Option<u8>) {
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let first = first.trim_end_matches('\r').trim_matches('"');
    match first.get(..4).filter(|start| start.eq_ignore_ascii_case("sep=")) {
        Some(_) => (rest, first.as_bytes().get(4).copied().or(Some(b'\t'))),
        None => (text, None),
    }
}

fn take(incoming: &mut Incoming, line: usize, columns: &[Column], row: &csv::StringRecord) {
    let mut card = Card::default();
    let mut parts: [&str; 5] = [""; 5];
    let mut groups = Vec::new();
    let mut notes = String::new();
    let mut note = |text: &str| {
        if !notes.is_empty() {
            notes.push('\n');
        }
        notes.push_str(text);
    };
    let label = |wanted: &Column| label(columns, row, wanted);
    for (column, value) in columns.iter().zip(row) {
        let value = as_meant(value.trim());
        if value.is_empty() || columns::is_no_date(value) {
            continue;
        }
        let several = || value.split(SEVERAL).map(str::trim).filter(|one| !one.is_empty());
        match column {
            Column::Name => value.clone_into(&mut card.name),
            Column::Part(at) => parts[*at] = value,
            Column::OtherName => card.other_names.extend(several().map(str::to_owned)),
            Column::Address(number) => {
                let label = label(&Column::AddressLabel(number.clone()));
                for address in several() {
                    match address::read(address) {
                        Read::Addresses(all) => card
                            .addresses
                            .extend(all.into_iter().map(|address| Address { address, label: label.clone() })),
                        Read::Internal => {}
                        Read::No => {
                            incoming.problem(
                                line,
                                &format!(
                                    "\u{201c}{address}\u{201d} isn\u{2019}t an email address; it is kept in the note"
                                ),
                            );
                            note(&format!("E-mail: {address}"));
                        }
                    }
                }
            }
            Column::Phone(number, known) => {
                let own = if known.is_empty() { label(&Column::PhoneLabel(number.clone())) } else { String::new() };
                let label = if known.is_empty() { own } else { (*known).to_owned() };
                card.phones.extend(several().map(|number| Phone { number: number.to_owned(), label: label.clone() }));
            }
            Column::Organisation => value.clone_into(&mut card.organisation),
            Column::Note => note(value),
            Column::Groups => {
                let all = several().flat_map(|one| one.split(';'));
                groups.extend(all.map(|name| name.trim().trim_start_matches("* ").to_owned()));
            }
            Column::Uid => value.clone_into(&mut card.uid),
            Column::AddressLabel(_) | Column::PhoneLabel(_) | Column::Passed => {}
            Column::Other(name) if name.is_empty() => {}
            Column::Other(name) => note(&format!("{name}: {value}")),
        }
    }
    set_parts(&mut card, parts);
    card.note = notes;
    if card == Card::default() && groups.is_empty() {
        return;
    }
    incoming.take(IncomingCard { line, card, groups });
}

/// The label that a row gives in the column `wanted`.
fn label(columns: &[Column], row: &csv::StringRecord, wanted: &Column) -> String {
    let at = columns.iter().position(|column| column == wanted);
    let text = at.and_then(|at| row.get(at)).unwrap_or_default().trim();
    let text = text.trim_start_matches("* ").to_lowercase();
    // Outlook says there in which way mail goes.
    if matches!(&*text, "other" | "smtp" | "ex" | "x400" | "mapipdl" | "fax") { String::new() } else { text }
}

/// Keeps the parts of a name, and makes a name of them where there is none.
fn set_parts(card: &mut Card, parts: [&str; 5]) {
    if parts.iter().all(|part| part.is_empty()) {
        return;
    }
    if card.name.is_empty() {
        let said = [3, 1, 2, 0, 4].map(|at| parts[at]);
        card.name = said.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    }
    let escaped = parts.map(|part| part.replace('\\', "\\\\").replace(';', "\\;").replace(',', "\\,"));
    card.parts = escaped.map(|part| part.replace(['\r', '\n'], " ")).join(";");
}

/// Whether a spreadsheet would treat a cell as a formula. Names are untrusted: 'add sender' stores the sender's own name.
/// Numbers such as `+30 210…` and `-7` are not formulas.
fn is_formula(cell: &str) -> bool {
    let cell = cell.trim_start_matches('\'');
    match cell.chars().next() {
        Some('=' | '@' | '\t' | '\r') => true,
        Some('+' | '-') => !cell[1..].chars().all(|c| c.is_ascii_digit() || " ()-./".contains(c)),
        _ => false,
    }
}

/// A cell that every spreadsheet treats as text: the leading apostrophe is their own mark for it.
fn as_text(cell: &str) -> Cow<'_, str> {
    if is_formula(cell) { format!("'{cell}").into() } else { cell.into() }
}

/// A cell without that mark.
fn as_meant(cell: &str) -> &str {
    cell.strip_prefix('\'').filter(|rest| is_formula(rest)).unwrap_or(cell)
}

/// Write the contacts of a book as a table: one line a contact, as many columns as the fullest of them needs.
pub fn write(book: &Book) -> Vec<u8> {
    let most = |count: fn(&Card) -> usize| book.contacts.values().map(count).max().unwrap_or_default();
    let (addresses, phones) = (most(|card| card.addresses.len()), most(|card| card.phones.len()));
    let mut out = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
    let mut head: Vec<String> =
        ["Name", "Nickname", "Organization Name", "Notes", "Labels", "UID"].map(str::to_owned).to_vec();
    for (what, count) in [("E-mail", addresses), ("Phone", phones)] {
        for at in 1..=count {
            head.push(format!("{what} {at} - Label"));
            head.push(format!("{what} {at} - Value"));
        }
    }
    // Writing to memory does not fail.
    let _ = out.write_record(&head);
    for (id, card) in &book.contacts {
        let mut groups = String::new();
        for group in book.groups.values().filter(|group| group.members.contains(id)) {
            let _ = write!(groups, "{}{}", if groups.is_empty() { "" } else { SEVERAL }, group.name);
        }
        let mut row = vec![
            card.name.clone(),
            card.other_names.join(SEVERAL),
            card.organisation.clone(),
            card.note.clone(),
            groups,
            card.uid.clone(),
        ];
        for at in 0..addresses {
            let one = card.addresses.get(at);
            row.push(one.map(|a| a.label.clone()).unwrap_or_default());
            row.push(one.map(|a| a.address.clone()).unwrap_or_default());
        }
        for at in 0..phones {
            let one = card.phones.get(at);
            row.push(one.map(|p| p.label.clone()).unwrap_or_default());
            row.push(one.map(|p| p.number.clone()).unwrap_or_default());
        }
        let _ = out.write_record(row.iter().map(|cell| as_text(cell).into_owned()));
    }
    out.into_inner().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_for_excel_names_the_separator() {
        for (text, rest, said) in [
            ("sep=;\r\nName;Mail", "Name;Mail", Some(b';')),
            ("SEP=|\nName", "Name", Some(b'|')),
            ("\"sep=,\"\r\nName", "Name", Some(b',')),
            ("sep=\nName", "Name", Some(b'\t')),
            ("Name;sep=", "Name;sep=", None),
            ("", "", None),
        ] {
            assert_eq!(separator(text), (rest, said), "{text}");
        }
    }

    #[test]
    fn no_cell_is_a_formula_and_every_cell_is_read_as_it_was() {
        for cell in ["=HYPERLINK(\"https://evil.example\")", "@SUM(1)", "+1+cmd|' /C calc'!A0", "-2+3", "'=1", "''@x"] {
            let written = as_text(cell);
            assert!(written.starts_with('\''), "{cell}");
            assert_eq!(as_meant(&written), cell);
        }
        for cell in ["Ann", "+30 210 123-4567", "-7", "O'Neill", "'tis", "", "a=b"] {
            assert_eq!(as_text(cell), cell);
            assert_eq!(as_meant(cell), cell);
        }
    }
}
