//! CSV as Google, Outlook, Thunderbird and spreadsheets write it, found by the names of the columns in any of many
//! languages; and out in a form that all of them read, which is Google's.

mod columns;
mod dates;
mod write;

use std::borrow::Cow;

use crate::address::{self, Read};
use crate::card::{Address, Card, Phone};
use crate::incoming::{Incoming, IncomingCard};
pub use write::write;

use crate::further::{Further, Labelled, MAX_OF_A_KIND, Postal, When};
use columns::{Column, FORMATTED};

/// Longest name of a column that may be known, in bytes.
const MAX_NAME_BYTES: usize = 200;
/// Most columns that are looked at.
const MAX_COLUMNS: usize = 400;
/// Rows that examples are taken from.
const EXAMPLE_ROWS: usize = 50;
/// Examples of a column.
const MAX_EXAMPLES: usize = 3;
/// Longest example, in characters.
const MAX_EXAMPLE_CHARS: usize = 60;
/// What stands between several values of one field, as Google writes them.
const SEVERAL: &str = " ::: ";

/// Reads a table. Never fails: unreadable lines are reported in [`Incoming::problems`].
pub fn read(file: &[u8]) -> Incoming {
    let mut incoming = Incoming::default();
    let file = crate::incoming::utf8(file);
    let text = decoded(&file);
    let (text, said) = separator(&text);
    let mut rows = reader(text, said);
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
        let cells = head
            .split([',', ';', '\t'])
            .filter(|cell| cell.len() <= MAX_NAME_BYTES)
            .take(MAX_COLUMNS)
            .map(|cell| Column::of(cell.trim().trim_matches('"')));
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

/// What the columns of a table were taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guess {
    /// The name of the column.
    pub column: String,
    /// What it holds, in words.
    pub holds: String,
    /// The first cells of it that are not empty.
    pub examples: Vec<String>,
}

/// The columns of a table, what they are taken for, and some of what is in them.
pub fn guesses(file: &[u8]) -> Vec<Guess> {
    let file = crate::incoming::utf8(file);
    let text = decoded(&file);
    let (text, said) = separator(&text);
    let mut rows = reader(text, said);
    let mut row = csv::StringRecord::new();
    if !matches!(rows.read_record(&mut row), Ok(true)) {
        return Vec::new();
    }
    let cut = |cell: &str| cell.trim().chars().take(MAX_EXAMPLE_CHARS).collect::<String>();
    let mut guesses: Vec<Guess> = row
        .iter()
        .take(MAX_COLUMNS)
        .map(|cell| Guess { column: cut(cell), holds: Column::of(cell).called(), examples: Vec::new() })
        .collect();
    for _ in 0..EXAMPLE_ROWS {
        if !matches!(rows.read_record(&mut row), Ok(true)) {
            break;
        }
        for (guess, cell) in guesses.iter_mut().zip(&row) {
            if !cell.trim().is_empty() && guess.examples.len() < MAX_EXAMPLES {
                guess.examples.push(cut(as_meant(cell.trim())));
            }
        }
    }
    guesses
}

/// The rows of a table.
fn reader(text: &str, said: Option<u8>) -> csv::Reader<&[u8]> {
    let head = text.lines().next().unwrap_or_default();
    let counted = [b',', b';', b'\t', b'|'].into_iter().max_by_key(|d| head.bytes().filter(|b| b == d).count());
    let mut reader = csv::ReaderBuilder::new();
    reader.delimiter(said.or(counted).unwrap_or(b',')).flexible(true).has_headers(false);
    reader.from_reader(text.as_bytes())
}

/// Makes a contact of a row.
fn take(incoming: &mut Incoming, line: usize, columns: &[Column], row: &csv::StringRecord) {
    let mut entry = Entry::default();
    let label = |wanted: &Column| label(columns, row, wanted);
    for (column, value) in columns.iter().zip(row) {
        let value = as_meant(value.trim());
        if !value.is_empty() && !columns::is_no_date(value) {
            entry.cell(column, value, &label, &mut |problem| incoming.problem(line, problem));
        }
    }
    let Entry { mut card, parts, groups, notes, more } = entry;
    more.finish(&mut card, |key| label(&Column::PostalLabel(key.to_owned())));
    set_parts(&mut card, parts);
    card.note = notes;
    if card == Card::default() && groups.is_empty() {
        return;
    }
    incoming.take(IncomingCard { line, card, groups, photos: Vec::new() });
}

/// The values of a cell.
fn several(value: &str) -> impl Iterator<Item = &str> {
    value.split(SEVERAL).map(str::trim).filter(|one| !one.is_empty())
}

/// A row, as far as it is read.
#[derive(Default)]
struct Entry<'a> {
    card: Card,
    parts: [&'a str; 5],
    groups: Vec<String>,
    notes: String,
    more: More,
}

impl<'a> Entry<'a> {
    /// Takes a cell in. `label` gives what the row has in another column.
    fn cell(
        &mut self,
        column: &Column,
        value: &'a str,
        label: &dyn Fn(&Column) -> String,
        problem: &mut dyn FnMut(&str),
    ) {
        let (card, more) = (&mut self.card, &mut self.more);
        match column {
            Column::Name => value.clone_into(&mut card.name),
            Column::Part(at) => self.parts[*at] = value,
            Column::OtherName => card.other_names.extend(several(value).map(str::to_owned)),
            Column::Address(number) => self.addresses(value, &label(&Column::AddressLabel(number.clone())), problem),
            Column::Phone(number, known) => {
                let own = if known.is_empty() { label(&Column::PhoneLabel(number.clone())) } else { String::new() };
                let label = if known.is_empty() { own } else { (*known).to_owned() };
                let all = several(value).map(|number| Phone { number: number.to_owned(), label: label.clone() });
                card.phones.extend(all);
            }
            Column::Organisation => value.clone_into(&mut card.organisation),
            Column::Department => value.clone_into(&mut more.department),
            Column::Title => value.clone_into(&mut more.further.title),
            Column::Birthday(order) => more.further.birthday = Some(dates::read(value, *order)),
            Column::BirthPart(part) => value.clone_into(&mut more.birth[*part]),
            Column::Anniversary(order) => more.further.anniversary = Some(dates::read(value, *order)),
            Column::Postal(key, part) => more.postal(key, *part, value),
            Column::Web(number) => {
                let label = label(&Column::WebLabel(number.clone()));
                let all = several(value).map(|text| Labelled { text: text.to_owned(), label: label.clone() });
                more.further.websites.extend(all.take(MAX_OF_A_KIND));
            }
            Column::Note => self.note(value),
            Column::Groups => {
                let all = several(value).flat_map(|one| one.split(';'));
                self.groups.extend(all.map(|name| name.trim().trim_start_matches("* ").to_owned()));
            }
            Column::Uid => value.clone_into(&mut card.uid),
            Column::AddressLabel(_) | Column::PhoneLabel(_) | Column::PostalLabel(_) | Column::WebLabel(_) => {}
            Column::Passed => {}
            Column::Other(name) if name.is_empty() => {}
            Column::Other(name) => self.note(&format!("{name}: {value}")),
        }
    }

    /// Takes mail addresses in; what is none goes into the note.
    fn addresses(&mut self, value: &str, label: &str, problem: &mut dyn FnMut(&str)) {
        for address in several(value) {
            match address::read(address) {
                Read::Addresses(all) => {
                    let all = all.into_iter().map(|address| Address { address, label: label.to_owned() });
                    self.card.addresses.extend(all);
                }
                Read::Internal => {}
                Read::No => {
                    problem(&format!(
                        "\u{201c}{address}\u{201d} isn\u{2019}t an email address; it is kept in the note"
                    ));
                    self.note(&format!("E-mail: {address}"));
                }
            }
        }
    }

    /// Adds to the note.
    fn note(&mut self, text: &str) {
        if !self.notes.is_empty() {
            self.notes.push('\n');
        }
        self.notes.push_str(text);
    }
}

/// What a row says beyond names, addresses and numbers.
#[derive(Default)]
struct More {
    further: Further,
    department: String,
    /// Year, month and day.
    birth: [String; 3],
    postal: Vec<(String, [String; FORMATTED + 1])>,
}

impl More {
    fn postal(&mut self, key: &str, part: usize, value: &str) {
        let at = self.postal.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
            self.postal.push((key.to_owned(), Default::default()));
            self.postal.len() - 1
        });
        let part = &mut self.postal[at].1[part];
        if !part.is_empty() {
            part.push('\n');
        }
        part.push_str(value);
    }

    fn finish(mut self, card: &mut Card, label: impl Fn(&str) -> String) {
        if !self.department.is_empty() {
            let between = if card.organisation.is_empty() { "" } else { "; " };
            card.organisation = format!("{}{between}{}", card.organisation, self.department);
        }
        let number = |text: &str| text.parse::<i16>().ok();
        let small = |text: &str| number(text).and_then(|number| i8::try_from(number).ok());
        if let (None, Some((month, day))) = (&self.further.birthday, small(&self.birth[1]).zip(small(&self.birth[2]))) {
            self.further.birthday = When::day(number(&self.birth[0]), month, day);
        }
        for (key, parts) in self.postal.into_iter().take(MAX_OF_A_KIND) {
            let [post_box, extended, street, city, region, code, country, whole] = parts;
            let mut postal =
                Postal { parts: [post_box, extended, street, city, region, code, country], label: key.clone() };
            if postal.is_empty() {
                postal.parts[2] = whole;
            }
            postal.label = match &*key {
                "home" | "work" => key,
                number if number.bytes().all(|b| b.is_ascii_digit()) => label(number),
                _ => String::new(),
            };
            self.further.postal.push(postal);
        }
        card.set_further(&self.further);
    }
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
