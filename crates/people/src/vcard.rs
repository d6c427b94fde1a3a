//! vCard: writes 4.0 (RFC 6350); reads 4.0, 3.0 (RFC 2426) and 2.1, leniently.
//!
//! Properties without a matching field of a contact are stored and exported unchanged. Cards of `KIND:group`, Apple's
//! groups and `CATEGORIES` become groups; on export, groups become cards of their kind, and also categories for
//! programs that don't support groups.

mod write;

use std::borrow::Cow;

use crate::address::{self, Read};
use crate::card::{Address, Card, Phone, canonical};
use crate::incoming::{Incoming, IncomingCard, IncomingGroup};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use write::{Version, Writer, write, write_as};

/// Types that say nothing about which address or number it is.
const PLAIN_TYPES: [&str; 5] = ["internet", "pref", "voice", "x400", "other"];

/// A content line (RFC 6350 section 3.3).
#[derive(Debug, Default)]
pub(crate) struct Line {
    number: usize,
    group: String,
    name: String,
    params: Vec<(String, String)>,
    value: String,
}

/// How far into a line its encoding is looked for, in bytes.
const MAX_HEAD_BYTES: usize = 1000;
/// Most lines of one card that are read; the rest is left out.
const MAX_LINES: usize = 5_000;
/// The deepest nesting of cards that is read; deeper ones are skipped.
const MAX_DEPTH: usize = 4;

/// Reads all cards of a file, including nested ones (AGENT). Never fails: unreadable lines are reported in
/// [`Incoming::problems`].
pub fn read(file: &[u8]) -> Incoming {
    let mut incoming = Incoming::default();
    let file = crate::incoming::utf8(file);
    read_cards(&mut incoming, &file, 0, 0);
    if incoming.cards.is_empty() && incoming.groups.is_empty() && incoming.problems.is_empty() {
        incoming.problem(1, "there is no vCard in this file");
    }
    incoming
}

/// Read the cards of a text that begins after line `before`, and lies `depth` cards deep.
fn read_cards(incoming: &mut Incoming, text: &[u8], before: usize, depth: usize) {
    /// A card that is being read: where it began, and its lines.
    type Open = (usize, Vec<Line>);
    let unfinished = |incoming: &mut Incoming, (begun, lines): Open| {
        incoming.problem(begun, "this card has no END line; everything up to the end of the file was read");
        take(incoming, begun, lines, depth);
    };
    let mut open: Vec<Open> = Vec::new();
    for (number, text) in unfold(text) {
        let number = number + before;
        let Some(line) = content_line(number, &text) else {
            if !open.is_empty() && !text.trim().is_empty() {
                incoming.problem(number, "this is not a vCard line; it was skipped");
            }
            continue;
        };
        let value = line.value.trim();
        if line.name == "BEGIN" && value.eq_ignore_ascii_case("vcard") {
            // One that begins within another belongs to it (vCard 2.1 section 2.4.3); elsewhere the other has lost its end.
            let within = open.last().and_then(|(_, lines)| lines.last()).is_some_and(|line| line.name == "AGENT");
            if (!within || open.len() + depth >= MAX_DEPTH)
                && let Some(before) = open.pop()
            {
                unfinished(incoming, before);
            }
            open.push((number, Vec::new()));
        } else if line.name == "END" && value.eq_ignore_ascii_case("vcard") {
            if let Some((begun, lines)) = open.pop() {
                take(incoming, begun, lines, depth);
            }
        } else if let Some((_, lines)) = open.last_mut() {
            match lines.len() {
                MAX_LINES => incoming
                    .problem(number, &format!("this card has more than {MAX_LINES} lines; the rest was left out")),
                _ if lines.len() > MAX_LINES => continue,
                _ => {}
            }
            lines.push(line);
        }
    }
    while let Some(before) = open.pop() {
        unfinished(incoming, before);
    }
}

/// Lines without their folds, with the number of their first; one at a time.
fn unfold(file: &[u8]) -> impl Iterator<Item = (usize, String)> {
    let mut lines = file.split(|b| *b == b'\n').enumerate().peekable();
    let mut set = encoding_rs::WINDOWS_1252;
    std::iter::from_fn(move || {
        let plain = |line: &'_ [u8]| line.strip_suffix(b"\r").unwrap_or(line).len();
        let (at, first) = lines.next()?;
        let mut line = first[..plain(first)].to_vec();
        loop {
            // Quoted-printable of 2.1 has line ends of its own.
            let soft = line.ends_with(b"=") && is_quoted_printable(&line);
            let next = lines.next_if(|(_, next)| soft || matches!(next.first(), Some(b' ' | b'\t')));
            let Some((_, next)) = next else { break };
            if soft {
                line.pop();
            }
            let next = &next[..plain(next)];
            line.extend_from_slice(if soft { next } else { next.get(1..).unwrap_or_default() });
        }
        if line.ends_with(b"=") && is_quoted_printable(&line) {
            line.pop();
        }
        Some((at + 1, text_of(line, &mut set)))
    })
}

/// Whether the head of a line says so; a head is short.
fn is_quoted_printable(line: &[u8]) -> bool {
    let head = line[..line.len().min(MAX_HEAD_BYTES)].split(|b| *b == b':').next().unwrap_or_default();
    head.windows(16).any(|part| part.eq_ignore_ascii_case(b"QUOTED-PRINTABLE"))
}

/// A line as text: UTF-8 if it can be, else in the set that it names, or that an earlier line named.
fn text_of(line: Vec<u8>, set: &mut &'static encoding_rs::Encoding) -> String {
    let head = line.split(|b| *b == b':').next().unwrap_or_default().to_ascii_uppercase();
    let named = head.split(|b| *b == b';').find_map(|param| param.strip_prefix(b"CHARSET="));
    if let Some(known) = named.and_then(|label| encoding_rs::Encoding::for_label(label.trim_ascii())) {
        *set = known;
        // Its text is ASCII with escapes.
        if known == encoding_rs::ISO_2022_JP {
            return known.decode_without_bom_handling(&line).0.into_owned();
        }
    }
    match String::from_utf8(line) {
        Ok(text) => text,
        Err(error) => {
            let fallback = if **set == *encoding_rs::UTF_8 { encoding_rs::WINDOWS_1252 } else { *set };
            fallback.decode_without_bom_handling(error.as_bytes()).0.into_owned()
        }
    }
}

/// Split at a character that is not within quotes.
fn split_plain(text: &str, at: char) -> Vec<&str> {
    let mut quoted = false;
    text.split(|c: char| {
        quoted ^= c == '"';
        c == at && !quoted
    })
    .collect()
}

pub(crate) fn content_line(number: usize, text: &str) -> Option<Line> {
    let head = *split_plain(text, ':').first()?;
    // A quote that is never closed hides the colon.
    let head = if head.len() == text.len() { text.split(':').next()? } else { head };
    let value = text.get(head.len() + 1..)?;
    let mut parts = split_plain(head, ';').into_iter();
    let name = parts.next()?.trim();
    let (group, name) = name.rsplit_once('.').unwrap_or(("", name));
    let token = |t: &str| t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if name.is_empty() || !token(name) || !token(group) {
        return None;
    }
    let mut line = Line { number, group: group.to_owned(), name: name.to_ascii_uppercase(), ..Line::default() };
    for part in parts.filter(|part| !part.trim().is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or(("", part));
        let bare = match value.to_ascii_uppercase().as_str() {
            "QUOTED-PRINTABLE" | "BASE64" | "B" | "8BIT" | "7BIT" => "ENCODING",
            _ => "TYPE",
        };
        let name = if name.is_empty() { bare.to_owned() } else { name.trim().to_ascii_uppercase() };
        if token(&name) {
            let value = value.chars().filter(|c| !c.is_control()).collect();
            line.params.push((name, value));
        }
    }
    line.value = decoded(&line, value);
    Some(line)
}

/// The value as a line of vCard 4 has it, in UTF-8 and without transfer encoding.
fn decoded(line: &Line, value: &str) -> String {
    let encoding = line.param("ENCODING").to_ascii_uppercase();
    if encoding != "QUOTED-PRINTABLE" {
        return value.chars().filter(|c| *c == '\t' || !c.is_control()).collect();
    }
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        let digits = after.get(..2).filter(|_| *first == b'=').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    let label = line.param("CHARSET");
    let charset = encoding_rs::Encoding::for_label(label.as_bytes()).unwrap_or(encoding_rs::UTF_8);
    let text = match std::str::from_utf8(&bytes) {
        // Nothing else looks like UTF-8 by chance, but for sets that are ASCII with escapes.
        Ok(text) if charset != encoding_rs::ISO_2022_JP => Cow::Borrowed(text),
        _ if charset == encoding_rs::UTF_8 => encoding_rs::WINDOWS_1252.decode_without_bom_handling(&bytes).0,
        _ => charset.decode_without_bom_handling(&bytes).0,
    };
    let text = text.replace("\r\n", "\n").replace('\n', "\\n");
    text.chars().filter(|c| *c == '\t' || !c.is_control()).collect()
}

impl Line {
    /// Its name in capitals.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The name that binds it to others (Apple), as it stands; may be empty.
    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    /// The parameters that don't tell how the value is encoded, as they are written.
    pub(crate) fn other_params(&self) -> String {
        let known = ["ENCODING", "TYPE", "VALUE", "MEDIATYPE", "CHARSET"];
        let others = self.params.iter().filter(|(name, _)| !known.contains(&name.as_str()));
        others.map(|(name, value)| format!(";{name}={value}")).collect()
    }

    /// The value as it stands.
    pub(crate) fn raw_value(&self) -> &str {
        &self.value
    }

    /// The value as one text.
    pub(crate) fn text(&self) -> String {
        unescape(&self.value)
    }

    /// The first value of a parameter, without quotes.
    pub(crate) fn param(&self, name: &str) -> &str {
        self.params.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.trim_matches('"'))
    }

    fn types(&self) -> Vec<String> {
        let types = self.params.iter().filter(|(name, _)| name == "TYPE");
        let types = types.flat_map(|(_, value)| value.trim_matches('"').split(','));
        types.map(|t| t.trim().to_lowercase()).filter(|t| !t.is_empty()).collect()
    }

    fn preferred(&self) -> bool {
        !self.param("PREF").is_empty() || self.types().iter().any(|t| t == "pref")
    }

    /// Which of several it is: its types, or what Apple's label says.
    pub(crate) fn label(&self, labels: &[(String, String)]) -> String {
        if let Some((_, label)) = labels.iter().find(|(group, _)| !group.is_empty() && *group == self.group) {
            return label.clone();
        }
        self.types().into_iter().filter(|t| !PLAIN_TYPES.contains(&t.as_str())).collect::<Vec<_>>().join(", ")
    }

    /// The line as vCard 4 has it.
    fn kept(&self) -> String {
        let mut text = String::new();
        if !self.group.is_empty() {
            text.push_str(&self.group);
            text.push('.');
        }
        text.push_str(&self.name);
        let encoding = self.param("ENCODING").to_ascii_uppercase();
        let binary = matches!(encoding.as_str(), "B" | "BASE64");
        for (name, value) in &self.params {
            if name == "ENCODING" || name == "CHARSET" || binary && name == "TYPE" {
                continue;
            }
            text.push(';');
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text.push(':');
        if binary {
            let kind = self.types().into_iter().find(|t| !PLAIN_TYPES.contains(&t.as_str())).unwrap_or_default();
            let media = match (self.name.as_str(), kind.as_str()) {
                (_, kind) if kind.contains('/') => kind.to_owned(),
                ("PHOTO" | "LOGO", "") => "image/jpeg".to_owned(),
                ("PHOTO" | "LOGO", kind) => format!("image/{kind}"),
                ("SOUND", "") => "audio/basic".to_owned(),
                ("SOUND", kind) => format!("audio/{kind}"),
                _ => "application/octet-stream".to_owned(),
            };
            // Written anew, so that it is base64 whatever it was.
            let plain: String = self.value.chars().filter(|c| !c.is_whitespace()).collect();
            let content = STANDARD.decode(&plain).map_or_else(|_| String::new(), |bytes| STANDARD.encode(bytes));
            text.push_str(&format!("data:{media};base64,{content}"));
        } else {
            text.push_str(&self.value);
        }
        text
    }
}

/// Make a contact or a group of the lines of a card.
fn take(incoming: &mut Incoming, begun: usize, lines: Vec<Line>, depth: usize) {
    let mut entry = Entry::default();
    let labels = labels(&lines);
    let labelled: Vec<String> =
        lines.iter().filter(|line| ["EMAIL", "TEL"].contains(&line.name.as_str())).map(|l| l.group.clone()).collect();
    for line in &lines {
        let text = unescape(&line.value).trim().to_owned();
        let card = &mut entry.card;
        match line.name.as_str() {
            "VERSION" | "PRODID" | "REV" => {}
            "FN" if card.name.is_empty() => card.name = text,
            "FN" => card.other_names.push(text),
            "N" if card.parts.is_empty() => card.parts.clone_from(&line.value),
            "NICKNAME" => card.other_names.extend(split_escaped(&line.value, ',')),
            "EMAIL" => entry.email(incoming, line, &text, &labels),
            "TEL" => entry.phone(line, &text, &labels),
            "ORG" if card.organisation.is_empty() => {
                card.organisation = split_escaped(&line.value, ';').join("; ");
            }
            "NOTE" if card.note.is_empty() => card.note = text,
            "NOTE" => card.note = format!("{}\n\n{text}", card.note),
            "UID" if card.uid.is_empty() => card.uid = text,
            "KIND" | "X-ADDRESSBOOKSERVER-KIND" if text.eq_ignore_ascii_case("group") => entry.is_group = true,
            "MEMBER" | "X-ADDRESSBOOKSERVER-MEMBER" => entry.members.push(text),
            "CATEGORIES" => entry.groups.extend(split_escaped(&line.value, ',')),
            // Somebody else's card, as it stands (vCard 2.1) or as a text (vCard 3.0).
            "AGENT" if line.value.trim().is_empty() => {}
            "AGENT" if is_card(&text) => take_within(incoming, line, &text, depth),
            "X-ABLABEL" if labelled.contains(&line.group) => {}
            _ => card.kept.push(line.kept()),
        }
    }
    entry.finish(incoming, begun);
}

/// A card, as far as it is read.
#[derive(Default)]
struct Entry {
    card: Card,
    groups: Vec<String>,
    members: Vec<String>,
    is_group: bool,
    /// The preferred address, in the form by which it is found.
    preferred: Option<String>,
    preferred_phone: Option<String>,
}

impl Entry {
    /// Takes the line of an address in; what is none is kept as a line.
    fn email(&mut self, incoming: &mut Incoming, line: &Line, text: &str, labels: &[(String, String)]) {
        if text.is_empty() {
            return;
        }
        let Read::Addresses(all) = address::read(text) else {
            let what = format!("\u{201c}{text}\u{201d} isn\u{2019}t an email address; it is kept separately");
            incoming.problem(line.number, &what);
            self.card.kept.push(line.kept());
            return;
        };
        if line.preferred() && self.preferred.is_none() {
            self.preferred = all.first().map(|address| canonical(address));
        }
        let label = line.label(labels);
        self.card.addresses.extend(all.into_iter().map(|address| Address { address, label: label.clone() }));
    }

    /// Takes the line of a phone number in.
    fn phone(&mut self, line: &Line, text: &str, labels: &[(String, String)]) {
        let number = text.strip_prefix("tel:").unwrap_or(text).to_owned();
        if line.preferred() && self.preferred_phone.is_none() {
            self.preferred_phone = Some(number.clone());
        }
        self.card.phones.push(Phone { number, label: line.label(labels) });
    }

    /// Gives the contact or the group to `incoming`.
    fn finish(self, incoming: &mut Incoming, begun: usize) {
        let Self { mut card, groups, members, is_group, preferred, preferred_phone } = self;
        if card.name.is_empty() {
            card.name = name_of_parts(&card.parts);
        }
        if is_group {
            incoming.groups.push(IncomingGroup { line: begun, name: card.name, uid: card.uid, members });
            return;
        }
        // Programs that must have a name write the address there.
        if card.addresses.iter().any(|address| address.address == card.name) {
            card.name.clear();
        }
        if let Some(first) = preferred {
            card.addresses.sort_by_key(|address| canonical(&address.address) != first);
        }
        if let Some(first) = preferred_phone {
            card.phones.sort_by_key(|phone| phone.number != first);
        }
        incoming.take(IncomingCard { line: begun, card, groups, photos: Vec::new() });
    }
}

/// What Apple's lines call the groups of other lines.
pub(crate) fn labels<'a>(lines: impl IntoIterator<Item = &'a Line>) -> Vec<(String, String)> {
    let apple = lines.into_iter().filter(|line| line.name == "X-ABLABEL" && !line.group.is_empty());
    let labels = apple.map(|line| {
        let label = unescape(&line.value);
        let label = label.trim_start_matches("_$!<").trim_end_matches(">!$_").to_owned();
        (line.group.clone(), label)
    });
    labels.collect()
}

/// The parts of a structured value, as text; empty ones too.
pub(crate) fn parts(value: &str, at: char) -> Vec<String> {
    split_at_escaped(value, at).into_iter().map(|part| unescape(part).trim().to_owned()).collect()
}

/// The parts of a name as a [`Card`] has it: family, given, additional names, prefix and suffix.
pub fn name_parts(stored: &str) -> Vec<String> {
    parts(stored, ';')
}

/// The parts of a name, family, given, additional names, prefix and suffix, as a [`Card`] has them; nothing for none.
pub fn parts_of_name(all: &[String; 5]) -> String {
    if all.iter().all(String::is_empty) {
        return String::new();
    }
    all.each_ref().map(|part| escape(&part.replace(['\r', '\n'], " "))).join(";")
}

/// Takes the card that stands within another one's line.
fn take_within(incoming: &mut Incoming, line: &Line, text: &str, depth: usize) {
    if depth + 1 < MAX_DEPTH {
        read_cards(incoming, text.as_bytes(), line.number - 1, depth + 1);
    } else {
        incoming.problem(line.number, "cards are nested too deeply here; this one was skipped");
    }
}

fn is_card(text: &str) -> bool {
    text.get(..11).is_some_and(|start| start.eq_ignore_ascii_case("BEGIN:VCARD"))
}

/// `Family;Given;Additional;Prefixes;Suffixes` as it is said.
pub(crate) fn name_of_parts(parts: &str) -> String {
    let parts: Vec<String> = split_at_escaped(parts, ';').iter().map(|part| unescape(part).trim().to_owned()).collect();
    let said = [3, 1, 2, 0, 4].into_iter().filter_map(|at| parts.get(at)).filter(|part| !part.is_empty());
    said.cloned().collect::<Vec<_>>().join(" ")
}

/// The text of a value (RFC 6350 section 3.4).
fn unescape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n' | 'N') => text.push('\n'),
                Some(c) => text.push(c),
                None => text.push('\\'),
            },
            (c, false) => text.push(c),
        }
    }
    text
}

/// Split at a character that is not escaped; what is between stays as it is.
fn split_at_escaped(value: &str, at: char) -> Vec<&str> {
    let mut escaped = false;
    value
        .split(|c: char| {
            let literal = std::mem::replace(&mut escaped, false);
            escaped = c == '\\' && !literal;
            c == at && !literal
        })
        .collect()
}

/// The texts of a list, without empty ones.
fn split_escaped(value: &str, at: char) -> Vec<String> {
    let texts = split_at_escaped(value, at).into_iter().map(|part| unescape(part).trim().to_owned());
    texts.filter(|text| !text.is_empty()).collect()
}

pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | ',' | ';' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out
}
