//! What a contact has beyond names, addresses and numbers: postal addresses, websites, chat, birthday, title.
//!
//! It is stored as the lines of a vCard ([`Card::kept`]), so that nothing is lost that only other programs understand.
//! Here these lines are read into fields, and written again where a field was changed; a line whose field stays the same
//! stays as it is, byte for byte.

use jiff::civil::Date;

use crate::Card;
use crate::vcard::{self, Line, escape};

/// Most postal addresses, websites or chat addresses of a contact that are read and written as fields.
pub const MAX_OF_A_KIND: usize = 50;
/// Years that stand for none, in programs that must have one.
const NO_YEAR: [i16; 3] = [1604, 0, 1];
/// The years of the calendar that a birthday may have.
const YEARS: std::ops::RangeInclusive<i16> = 1..=9999;

/// The fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Further {
    /// TITLE: what they do.
    pub title: String,
    /// How the given name is spoken or sorted (Apple's and Google's X-PHONETIC-FIRST-NAME).
    pub phonetic_given: String,
    /// The same of the family name.
    pub phonetic_family: String,
    /// BDAY.
    pub birthday: Option<When>,
    /// ANNIVERSARY.
    pub anniversary: Option<When>,
    /// ADR.
    pub postal: Vec<Postal>,
    /// URL.
    pub websites: Vec<Labelled>,
    /// IMPP.
    pub chats: Vec<Labelled>,
}

/// A text with its label.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labelled {
    /// The text.
    pub text: String,
    /// `home`, `work`, anything or nothing.
    pub label: String,
}

/// A postal address (RFC 6350 section 6.3.1).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Postal {
    /// `home`, `work`, anything or nothing.
    pub label: String,
    /// Post office box, apartment or suite, street, city, region, postal code, country.
    pub parts: [String; 7],
}

/// A day of the calendar, or a text that tells when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum When {
    /// A day, with or without its year.
    Day {
        /// The year, if it is known.
        year: Option<i16>,
        /// From 1.
        month: i8,
        /// From 1.
        day: i8,
    },
    /// Anything else, as it stands.
    Text(String),
}

impl When {
    /// A day that there is.
    pub fn day(year: Option<i16>, month: i8, day: i8) -> Option<Self> {
        // A leap year has all days.
        let fits = year.is_none_or(|year| YEARS.contains(&year)) && Date::new(year.unwrap_or(2000), month, day).is_ok();
        fits.then_some(Self::Day { year, month, day })
    }

    /// A date as vCards have it (RFC 6350 section 4.3.1).
    pub fn read(text: &str) -> Self {
        let date = text.trim().split(['T', ' ']).next().unwrap_or_default();
        let digits: String = date.chars().filter(char::is_ascii_digit).collect();
        let number = |from: usize, to: usize| digits.get(from..to).and_then(|text| text.parse::<i16>().ok());
        let small = |from, to| number(from, to).and_then(|number| i8::try_from(number).ok());
        let bare = date.chars().all(|c| c.is_ascii_digit() || c == '-');
        let read = match (bare, date.starts_with("--"), digits.len()) {
            (true, true, 4) => small(0, 2).zip(small(2, 4)).and_then(|(month, day)| Self::day(None, month, day)),
            (true, false, 8) => {
                let year = number(0, 4).filter(|year| !NO_YEAR.contains(year));
                small(4, 6).zip(small(6, 8)).and_then(|(month, day)| Self::day(year, month, day))
            }
            _ => None,
        };
        read.unwrap_or_else(|| Self::Text(text.trim().to_owned()))
    }

    /// `1970-11-23`, `--11-23`, or the text.
    pub fn plain(&self) -> String {
        match self {
            Self::Day { year: Some(year), month, day } => format!("{year:04}-{month:02}-{day:02}"),
            Self::Day { year: None, month, day } => format!("--{month:02}-{day:02}"),
            Self::Text(text) => text.clone(),
        }
    }

    /// In words: `23 November 1970`, `23 November`, or the text.
    pub fn words(&self) -> String {
        match self {
            Self::Day { year, month, day } => {
                let form = if year.is_some() { "%-d %B %Y" } else { "%-d %B" };
                Date::new(year.unwrap_or(2000), *month, *day)
                    .map_or_else(|_| self.plain(), |date| date.strftime(form).to_string())
            }
            Self::Text(text) => text.clone(),
        }
    }

    fn line(&self, name: &str) -> String {
        match self {
            Self::Day { year: Some(year), month, day } => format!("{name}:{year:04}{month:02}{day:02}"),
            Self::Day { year: None, month, day } => format!("{name}:--{month:02}{day:02}"),
            Self::Text(text) => format!("{name};VALUE=text:{}", escape(text)),
        }
    }
}

impl Postal {
    /// The lines of an envelope.
    pub fn envelope(&self) -> String {
        let [post_box, further, street, city, region, code, country] = &self.parts;
        let town = [code, city].into_iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        let one_line = |text: &String| text.replace('\n', ", ");
        let all = [
            one_line(post_box),
            one_line(further),
            street.clone(),
            one_line(&town),
            one_line(region),
            one_line(country),
        ];
        all.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.parts.iter().all(String::is_empty)
    }
}

/// A kind of field, and so of line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// TITLE or ROLE: what they do.
    Title,
    /// X-PHONETIC-FIRST-NAME.
    PhoneticGiven,
    /// X-PHONETIC-LAST-NAME.
    PhoneticFamily,
    /// BDAY.
    Birthday,
    /// ANNIVERSARY.
    Anniversary,
    /// ADR: where letters on paper go.
    Postal,
    /// URL.
    Web,
    /// IMPP and its like: where they are reached besides.
    Chat,
}

/// Properties of chat services from before IMPP.
const SERVICES: [&str; 10] =
    ["AIM", "JABBER", "SKYPE", "SKYPE-USERNAME", "ICQ", "MSN", "YAHOO", "GTALK", "GOOGLE-TALK", "QQ"];

/// A line of a vCard that is a field.
pub(crate) struct Field {
    pub kind: Kind,
    pub label: String,
    /// What it says: equal for lines that say the same.
    pub text: String,
    pub postal: Option<Postal>,
    pub when: Option<When>,
}

/// The field that a line is. `labels` are those that Apple's lines give.
pub(crate) fn field(line: &Line, labels: &[(String, String)]) -> Option<Field> {
    let mut label = line.label(labels);
    let day = |name: &str, label: &str| {
        name == "X-ABDATE" && label.eq_ignore_ascii_case("anniversary")
            || ["ANNIVERSARY", "X-ANNIVERSARY", "X-EVOLUTION-ANNIVERSARY", "X-KADDRESSBOOK-X-ANNIVERSARY"]
                .contains(&name)
    };
    let kind = match line.name() {
        "TITLE" | "ROLE" => Kind::Title,
        "X-PHONETIC-FIRST-NAME" => Kind::PhoneticGiven,
        "X-PHONETIC-LAST-NAME" => Kind::PhoneticFamily,
        "BDAY" => Kind::Birthday,
        name if day(name, &label) => {
            label.clear();
            Kind::Anniversary
        }
        "ADR" => Kind::Postal,
        "URL" => Kind::Web,
        "IMPP" => Kind::Chat,
        name => {
            let service = name.strip_prefix("X-").filter(|service| SERVICES.contains(service))?;
            label = service.trim_end_matches("-USERNAME").to_lowercase();
            Kind::Chat
        }
    };
    let mut field = Field { kind, label, text: line.text().trim().to_owned(), postal: None, when: None };
    match kind {
        Kind::Postal => {
            let mut parts = vcard::parts(line.raw_value(), ';').into_iter();
            let mut postal = Postal { label: field.label.clone(), parts: Default::default() };
            postal.parts = postal.parts.map(|_| parts.next().unwrap_or_default());
            field.text = postal.parts.join("\u{1f}");
            if postal.is_empty() {
                field.text = line.param("LABEL").replace("\\n", "\n").replace("\\N", "\n");
            }
            field.postal = Some(postal);
        }
        Kind::Birthday | Kind::Anniversary => {
            let when = When::read(&field.text);
            field.text = when.plain();
            field.when = Some(when);
        }
        _ => {}
    }
    Some(field)
}

impl Field {
    /// As lines of text, for people.
    pub fn shown(&self) -> String {
        match (&self.postal, &self.when) {
            (Some(postal), _) if !postal.is_empty() => postal.envelope(),
            (_, Some(when)) => when.words(),
            _ => self.text.clone(),
        }
    }
}

/// A field as it shall be: what it says, its label, and its line without a label.
struct Wanted {
    text: String,
    label: String,
    name: &'static str,
    params: &'static str,
    value: String,
}

impl Card {
    /// The lines beyond the fields of [`Card`], read.
    pub(crate) fn lines(&self) -> (Vec<Option<Line>>, Vec<(String, String)>) {
        let lines: Vec<Option<Line>> = self.kept.iter().map(|line| vcard::content_line(0, line)).collect();
        let labels = vcard::labels(lines.iter().flatten());
        (lines, labels)
    }

    /// The fields.
    pub fn further(&self) -> Further {
        let (lines, labels) = self.lines();
        let mut further = Further::default();
        for (line, field) in lines.iter().flatten().filter_map(|line| Some((line, field(line, &labels)?))) {
            let single = match field.kind {
                // A role is not a title; it stays what it is.
                Kind::Title if line.name() == "TITLE" => Some(&mut further.title),
                Kind::PhoneticGiven => Some(&mut further.phonetic_given),
                Kind::PhoneticFamily => Some(&mut further.phonetic_family),
                _ => None,
            };
            if let Some(single) = single.filter(|single| single.is_empty()) {
                *single = field.text;
                continue;
            }
            let labelled = Labelled { text: field.text, label: field.label };
            match field.kind {
                Kind::Birthday if further.birthday.is_none() && !labelled.text.is_empty() => {
                    further.birthday = field.when;
                }
                Kind::Anniversary if further.anniversary.is_none() && !labelled.text.is_empty() => {
                    further.anniversary = field.when;
                }
                Kind::Postal => further.postal.extend(field.postal.filter(|postal| !postal.is_empty())),
                Kind::Web if !labelled.text.is_empty() => further.websites.push(labelled),
                Kind::Chat if !labelled.text.is_empty() => further.chats.push(labelled),
                _ => {}
            }
        }
        further.postal.truncate(MAX_OF_A_KIND);
        further.websites.truncate(MAX_OF_A_KIND);
        further.chats.truncate(MAX_OF_A_KIND);
        further
    }

    /// Make the fields these. Lines that say the same as before stay as they are; so do all lines of other kinds.
    pub fn set_further(&mut self, further: &Further) {
        let text = |name: &'static str, text: &str| {
            let text = text.trim().to_owned();
            (!text.is_empty()).then(|| Wanted { value: escape(&text), text, label: String::new(), name, params: "" })
        };
        let when = |name: &'static str, when: &Option<When>| {
            let when = when.as_ref().filter(|when| !when.plain().is_empty())?;
            let line = when.line(name);
            let (_, value) = line.split_once(':')?;
            let params = if matches!(when, When::Text(_)) { ";VALUE=text" } else { "" };
            Some(Wanted { text: when.plain(), label: String::new(), name, params, value: value.to_owned() })
        };
        let labelled = |name: &'static str, all: &[Labelled]| {
            let all = all
                .iter()
                .filter_map(|one| Some(Wanted { label: one.label.trim().to_owned(), ..text(name, &one.text)? }));
            all.collect::<Vec<_>>()
        };
        let postal = further.postal.iter().filter(|postal| !postal.is_empty()).map(|postal| {
            let parts = postal.parts.each_ref().map(|part| part.replace("\r\n", "\n").trim().to_owned());
            let value = parts.each_ref().map(|part| escape(part)).join(";");
            Wanted { text: parts.join("\u{1f}"), label: postal.label.trim().to_owned(), name: "ADR", params: "", value }
        });
        self.set_kind(Kind::Title, true, text("TITLE", &further.title).into_iter().collect());
        self.set_kind(
            Kind::PhoneticGiven,
            true,
            text("X-PHONETIC-FIRST-NAME", &further.phonetic_given).into_iter().collect(),
        );
        self.set_kind(
            Kind::PhoneticFamily,
            true,
            text("X-PHONETIC-LAST-NAME", &further.phonetic_family).into_iter().collect(),
        );
        self.set_kind(Kind::Birthday, true, when("BDAY", &further.birthday).into_iter().collect());
        self.set_kind(Kind::Anniversary, true, when("ANNIVERSARY", &further.anniversary).into_iter().collect());
        self.set_kind(Kind::Postal, false, postal.collect());
        self.set_kind(Kind::Web, false, labelled("URL", &further.websites));
        self.set_kind(Kind::Chat, false, labelled("IMPP", &further.chats));
    }

    /// Make the lines of a kind say what is wanted, in that order. Of a `single` kind only the first counts: others, which
    /// two versions of a contact left, are looked at once it is gone.
    fn set_kind(&mut self, kind: Kind, single: bool, wanted: Vec<Wanted>) {
        let (lines, labels) = self.lines();
        let mut old: Vec<(usize, String, String, String)> = Vec::new();
        for (at, line) in lines.iter().enumerate().filter_map(|(at, line)| Some((at, line.as_ref()?))) {
            let Some(field) = field(line, &labels) else { continue };
            let is_role = line.name() == "ROLE";
            let says = field.postal.as_ref().map_or_else(|| !field.text.is_empty(), |postal| !postal.is_empty());
            let counts = !single || old.is_empty();
            if field.kind == kind && says && !is_role && counts {
                old.push((at, field.text, field.label, line.group().to_owned()));
            }
        }
        old.truncate(if single { 1 } else { MAX_OF_A_KIND });
        let place = old.first().map_or(self.kept.len(), |(at, ..)| *at);
        let mut new: Vec<String> = Vec::new();
        let mut stays = vec![false; old.len()];
        for one in wanted {
            let same = old.iter().zip(&stays).position(|((_, text, label, _), stays)| {
                !stays && *text == one.text && (*label == one.label || single)
            });
            if let Some(same) = same {
                stays[same] = true;
                new.push(self.kept[old[same].0].clone());
            } else {
                new.extend(self.written(&one, &new));
            }
        }
        let gone: Vec<usize> = old.iter().map(|(at, ..)| *at).collect();
        // The label of a line that is gone goes with it.
        let orphans: Vec<&String> =
            old.iter().zip(&stays).filter(|(_, stays)| !**stays).map(|((.., group), _)| group).collect();
        let mut kept = Vec::with_capacity(self.kept.len() + new.len());
        for (at, text) in std::mem::take(&mut self.kept).into_iter().enumerate() {
            if at == place {
                kept.append(&mut new);
            }
            let line = lines.get(at).and_then(Option::as_ref);
            let is_label = line.is_some_and(|line| {
                line.name() == "X-ABLABEL" && orphans.iter().any(|group| !group.is_empty() && *group == line.group())
            });
            if !gone.contains(&at) && !is_label {
                kept.push(text);
            }
        }
        kept.append(&mut new);
        self.kept = kept;
    }

    /// The lines of a field, its label as types if it is made of such, else beside it as Apple writes it.
    fn written(&self, one: &Wanted, others: &[String]) -> Vec<String> {
        let types: Vec<&str> = one.label.split(',').map(str::trim).filter(|t| !t.is_empty()).collect();
        let token = |t: &&str| t.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if types.iter().all(token) && types.join(", ") == one.label {
            let types = if types.is_empty() { String::new() } else { format!(";TYPE={}", types.join(",")) };
            return vec![format!("{}{}{types}:{}", one.name, one.params, one.value)];
        }
        let group = free_group(self.kept.iter().chain(others));
        vec![
            format!("{group}.{}{}:{}", one.name, one.params, one.value),
            format!("{group}.X-ABLabel:{}", escape(&one.label)),
        ]
    }

    /// Take in the lines of another card that this one has not, nor any that says the same. Lines that belong together
    /// stay together, under a name that nothing here has.
    pub(crate) fn absorb_lines(&mut self, other: &Self) {
        let (lines, labels) = other.lines();
        let mut groups: Vec<(&str, Vec<usize>)> = Vec::new();
        for (at, line) in lines.iter().enumerate() {
            let group = line.as_ref().map_or("", |line| line.group());
            match groups.iter_mut().find(|(known, _)| !group.is_empty() && *known == group) {
                Some((_, all)) => all.push(at),
                None => groups.push((group, vec![at])),
            }
        }
        for (group, all) in groups {
            let bare = |text: &str| {
                text.strip_prefix(group).and_then(|rest| rest.strip_prefix('.')).unwrap_or(text).to_owned()
            };
            let known = if group.is_empty() {
                all.iter().all(|at| self.kept.contains(&other.kept[*at]))
            } else {
                self.has_group(&all.iter().map(|at| bare(&other.kept[*at])).collect::<Vec<_>>())
            };
            let told = all.iter().filter_map(|at| lines[*at].as_ref()).filter(|line| line.name() != "X-ABLABEL");
            let mut told = told.map(|line| field(line, &labels).is_some_and(|field| self.says(&field))).peekable();
            if known || told.peek().is_some() && told.all(|says| says) {
                continue;
            }
            let taken = self.kept.iter().any(|line| group_of(line) == group);
            let name = if taken && !group.is_empty() { free_group(self.kept.iter()) } else { group.to_owned() };
            for at in all {
                let line = &other.kept[at];
                self.kept.push(if name == group { line.clone() } else { format!("{name}.{}", bare(line)) });
            }
        }
    }

    /// Whether a group of lines has all these, which are without its name.
    fn has_group(&self, bare: &[String]) -> bool {
        let groups = self.kept.iter().map(|line| group_of(line)).filter(|group| !group.is_empty());
        groups.into_iter().any(|group| {
            bare.iter().all(|line| {
                self.kept
                    .iter()
                    .any(|mine| mine.strip_prefix(group).and_then(|rest| rest.strip_prefix('.')) == Some(line))
            })
        })
    }

    /// Whether a line says that already.
    fn says(&self, wanted: &Field) -> bool {
        let (lines, labels) = self.lines();
        let same = |known: Field| known.kind == wanted.kind && known.text == wanted.text;
        lines.iter().flatten().any(|line| field(line, &labels).is_some_and(same))
    }
}

/// The name in front of a line that binds it to others.
fn group_of(line: &str) -> &str {
    let name = line.split([':', ';']).next().unwrap_or_default();
    name.rsplit_once('.').map_or("", |(group, _)| group)
}

/// A name for lines that belong together which no line has.
fn free_group<'a>(lines: impl Iterator<Item = &'a String> + Clone) -> String {
    let taken = |name: &str| lines.clone().any(|line| group_of(line) == name);
    // Among one name more than there are lines one is free.
    let most = lines.clone().count() + 1;
    (1..=most).map(|number| format!("item{number}")).find(|name| !taken(name)).unwrap_or_default()
}
