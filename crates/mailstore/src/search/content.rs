//! The texts of a message that a query looks into, folded so that spellings of the same words compare equal.

use std::cell::OnceCell;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use mailkit::documents::Documents;
use mailkit::headers::{decode_text_or, unfold};
use mailkit::parsed::{Address, DisplayAddress};
use mailkit::stem::{Forms, Language};
use mailkit::{Headline, Parsed};

use super::compiled::{Asks, Compiled};
use super::folding::Folding;
use crate::{BodyReader, Result};

/// Of a message larger than this only the beginning is searched: what follows are attachments, as good as always.
pub const MAX_SEARCHED_BYTES: u64 = 16 * 1024 * 1024;

/// A header field whose decoded value is part of what was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    From,
    To,
    Cc,
    Bcc,
    Subject,
}

impl Field {
    pub const ALL: [Self; 5] = [Self::From, Self::To, Self::Cc, Self::Bcc, Self::Subject];
}

/// The day written in `Date:`, or the day of arrival if there is none.
pub(super) fn sent_day(headline: &Headline, internal_date_ms: i64) -> Date {
    let written = headline.envelope.date.as_deref().and_then(|date| {
        let days = mailkit::date::written_day(&String::from_utf8_lossy(date))?;
        Date::constant(1970, 1, 1).checked_add(days.days()).ok()
    });
    written.unwrap_or_else(|| {
        let arrived = Timestamp::from_millisecond(internal_date_ms).unwrap_or(Timestamp::UNIX_EPOCH);
        TimeZone::UTC.to_datetime(arrived).date()
    })
}

/// The character set of raw 8-bit header text, if there is such.
fn hint(charset: &str) -> Option<&str> {
    Some(charset).filter(|name| !name.is_empty())
}

/// The texts of a field that [`field_contains`] looks into.
pub(super) fn field_texts(headline: &Headline, field: Field) -> Vec<String> {
    let hint = hint(&headline.header_charset);
    let (people, list) = match field {
        Field::From => (&headline.from, &headline.envelope.from),
        Field::To => (&headline.to, &headline.envelope.to),
        Field::Cc => (&headline.cc, &headline.envelope.cc),
        Field::Bcc => (&headline.bcc, &headline.envelope.bcc),
        Field::Subject => return vec![headline.subject.clone()],
    };
    let people = people.iter().map(|person| format!("{} <{}>", person.name, person.address));
    let groups = list.iter().filter(|address| address.host.is_none()).filter_map(|group| group.mailbox.as_deref());
    people.chain(groups.map(|name| decode_text_or(name, hint))).collect()
}

/// Whether a field contains `folded`. Addresses are searched as `Name <local@domain>`.
pub(super) fn field_contains(headline: &Headline, field: Field, folding: Folding, folded: &str) -> bool {
    let among = |people: &[DisplayAddress]| {
        people.iter().any(|person| match &*person.name {
            "" => folding.contains(&person.address, folded),
            name => folding.contains(&format!("{name} <{}>", person.address), folded),
        })
    };
    let hint = hint(&headline.header_charset);
    // Groups have a name, too (RFC 5322 section 3.4).
    let groups = |list: &[Address]| {
        let names = list.iter().filter(|address| address.host.is_none()).filter_map(|group| group.mailbox.as_deref());
        names.into_iter().any(|name| folding.contains(&decode_text_or(name, hint), folded))
    };
    match field {
        Field::From => among(&headline.from) || groups(&headline.envelope.from),
        Field::To => among(&headline.to) || groups(&headline.envelope.to),
        Field::Cc => among(&headline.cc) || groups(&headline.envelope.cc),
        Field::Bcc => among(&headline.bcc) || groups(&headline.envelope.bcc),
        Field::Subject => folding.contains(&headline.subject, folded),
    }
}

/// Whether a field of that (lower-case) name contains `folded`; `None` if only the bytes of the message tell.
pub(super) fn listed_header_contains(headline: &Headline, name: &str, folding: Folding, folded: &str) -> Option<bool> {
    let listed = headline.listed_header.as_deref()?;
    mailkit::parse::LISTED_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name)).then(|| {
        let hint = hint(&headline.header_charset);
        mailkit::headers::fields(listed)
            .filter(|field| field.is(name))
            .any(|field| folding.contains(&decode_text_or(&unfold(field.value), hint), folded))
    })
}

/// Texts folded in one way.
#[derive(Default)]
struct Folded {
    /// Names in lower case, and values decoded and folded.
    headers: Vec<(String, String)>,
    /// Decoded, folded text of the body.
    text: String,
    /// Folded names of attached files, where they are asked about: containers are opened for them.
    files: Vec<String>,
}

/// What only the bytes of a message tell.
pub(super) struct Content {
    /// For IMAP.
    exact: Option<Folded>,
    /// For people.
    loose: Option<Folded>,
    /// Where other forms of words are asked about: subject and text.
    words: Option<Words>,
}

struct Words {
    subject: String,
    text: String,
    /// Both folded by case.
    folded: OnceCell<(String, String)>,
    languages: OnceCell<Vec<Language>>,
}

/// How much of a message's bytes searches look at.
pub(super) fn searched_bytes(body: &mut BodyReader, parsed: &Parsed) -> Result<prost::bytes::Bytes> {
    let wanted = parsed.size.min(MAX_SEARCHED_BYTES);
    body.read_range(0, usize::try_from(wanted).unwrap_or(usize::MAX))
}

impl Content {
    /// Read the header of a message and as much of the rest as the query asks about.
    pub fn read(body: &mut BodyReader, parsed: &Parsed, query: &Compiled, subject: &str) -> Result<Self> {
        let (with_text, with_files) = (query.asks(Asks::Text), query.asks(Asks::Files));
        let raw = if with_text || with_files {
            searched_bytes(body, parsed)?
        } else {
            let header = parsed.root.body_start.min(MAX_SEARCHED_BYTES);
            body.read_range(0, usize::try_from(header).unwrap_or(usize::MAX))?
        };
        let header = &raw[..raw.len().min(usize::try_from(parsed.root.body_start).unwrap_or(usize::MAX))];
        let text = if with_text { mailkit::display::search_text(&raw, parsed) } else { String::new() };
        let files = if with_files { mailkit::display::files(&raw, parsed) } else { Vec::new() };
        let folded = |folding: Folding| {
            let headers = mailkit::headers::fields(header).map(|field| {
                let value = decode_text_or(&unfold(field.value), parsed.header_hint());
                (String::from_utf8_lossy(field.name).to_ascii_lowercase(), folding.fold(&value))
            });
            let headers = headers.collect();
            Folded {
                headers,
                text: folding.fold(&text),
                files: files.iter().map(|file| folding.fold(&file.name)).collect(),
            }
        };
        let exact = query.asks(Asks::Exactly).then(|| folded(Folding::Case));
        let loose = query.asks(Asks::Loosely).then(|| folded(Folding::Loose));
        let words = query.asks(Asks::Forms).then(|| {
            let (folded, languages) = Default::default();
            Words { subject: subject.to_owned(), text, folded, languages }
        });
        Ok(Self { exact, loose, words })
    }

    /// All that a query can ask about, not folded: the header, the text, the names of files, what documents say.
    pub fn texts(body: &mut BodyReader, parsed: &Parsed) -> Result<(String, String, String, Documents)> {
        let raw = searched_bytes(body, parsed)?;
        let header = &raw[..raw.len().min(usize::try_from(parsed.root.body_start).unwrap_or(usize::MAX))];
        let mut fields = String::with_capacity(header.len());
        for field in mailkit::headers::fields(header) {
            fields.push_str(&String::from_utf8_lossy(field.name));
            fields.push('\n');
            fields.push_str(&decode_text_or(&unfold(field.value), parsed.header_hint()));
            fields.push('\n');
        }
        let files = mailkit::display::files(&raw, parsed);
        let files: Vec<&str> = files.iter().map(|file| &*file.name).collect();
        let documents = mailkit::documents::texts(&raw, parsed);
        Ok((fields, mailkit::display::search_text(&raw, parsed), files.join("\n"), documents))
    }

    fn of(&self, folding: Folding) -> Option<&Folded> {
        if folding == Folding::Case { self.exact.as_ref() } else { self.loose.as_ref() }
    }

    /// Whether a field of that (lower-case) name contains `folded`.
    pub fn header_contains(&self, name: &str, folding: Folding, folded: &str) -> bool {
        let named = |of: &Folded| of.headers.iter().any(|(field, value)| field == name && value.contains(folded));
        self.of(folding).is_some_and(named)
    }

    /// Whether any field contains `folded`, in name or value.
    pub fn any_header_contains(&self, folding: Folding, folded: &str) -> bool {
        let any = |of: &Folded| of.headers.iter().any(|(name, value)| value.contains(folded) || name.contains(folded));
        self.of(folding).is_some_and(any)
    }

    /// Whether the name of an attached file contains `folded`.
    pub fn file_name_contains(&self, folding: Folding, folded: &str) -> bool {
        self.of(folding).is_some_and(|of| of.files.iter().any(|name| name.contains(folded)))
    }

    /// Whether the text contains `folded`.
    pub fn text_contains(&self, folding: Folding, folded: &str) -> bool {
        self.of(folding).is_some_and(|of| of.text.contains(folded))
    }

    /// Whether a form of a word is in the subject, or also in the text.
    pub fn has_form(&self, forms: &Forms, in_text: bool) -> bool {
        let (Some(words), Some(loose)) = (&self.words, &self.loose) else { return false };
        let may_be_in_text = in_text && forms.may_be_in(&loose.text);
        let may_be_in_subject = forms.may_be_in(&Folding::Loose.fold(&words.subject));
        if !may_be_in_text && !may_be_in_subject {
            return false;
        }
        let fold = mailkit::fold::casemap;
        let (subject, text) = words.folded.get_or_init(|| (fold(&words.subject), fold(&words.text)));
        let languages = words.languages.get_or_init(|| languages_of(subject, text));
        may_be_in_subject && forms.are_in(subject, languages) || may_be_in_text && forms.are_in(text, languages)
    }
}

/// The languages of a message, told from its subject and its text, both folded by case.
pub fn languages_of(subject: &str, text: &str) -> Vec<Language> {
    let beginning = &text[..text.floor_char_boundary(1_000)];
    mailkit::stem::languages(&format!("{subject}\n{beginning}"))
}
