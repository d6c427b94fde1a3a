//! The texts of a message that a query looks into, folded so that spellings of the same words compare equal.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use mailkit::headers::{decode_text_or, unfold};
use mailkit::parsed::{Address, DisplayAddress};
use mailkit::{Headline, Parsed};

use super::compiled::Compiled;
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

/// How text is made comparable before it is searched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Folding {
    /// Case alone is disregarded: what IMAP promises (RFC 9051 §6.4.4).
    #[default]
    Case,
    /// Accents, width, ligatures, soft hyphens and line breaks are disregarded too: for people ([`mailkit::fold::loose`]).
    Loose,
}

impl Folding {
    pub(super) fn fold(self, text: &str) -> String {
        match self {
            Self::Case => mailkit::fold::casemap(text),
            Self::Loose => mailkit::fold::loose(text),
        }
    }

    /// Whether `text` contains `folded`.
    fn contains(self, text: &str, folded: &str) -> bool {
        folded.is_empty() || self.fold(text).contains(folded)
    }
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

/// What only the bytes of a message tell.
pub(super) struct Content {
    /// Names in lower case, and values decoded and folded.
    headers: Vec<(String, String)>,
    /// Decoded, folded text of the body.
    text: String,
    /// Folded names of attached files, where they are asked about: containers are opened for them.
    files: Vec<String>,
}

impl Content {
    /// Read the header of a message and as much of the rest as the query asks about.
    pub fn read(body: &mut BodyReader, parsed: &Parsed, query: &Compiled, folding: Folding) -> Result<Self> {
        let with_text = query.needs_text();
        let wanted =
            if with_text || query.needs_files() { parsed.size.min(MAX_SEARCHED_BYTES) } else { parsed.root.body_start };
        let raw = body.read_range(0, usize::try_from(wanted).unwrap_or(usize::MAX))?;
        let header = &raw[..raw.len().min(usize::try_from(parsed.root.body_start).unwrap_or(usize::MAX))];
        let headers = mailkit::headers::fields(header).map(|field| {
            let value = decode_text_or(&unfold(field.value), parsed.header_hint());
            (String::from_utf8_lossy(field.name).to_ascii_lowercase(), folding.fold(&value))
        });
        let headers = headers.collect();
        let text = if with_text { folding.fold(&mailkit::display::search_text(&raw, parsed)) } else { String::new() };
        let files = if query.needs_files() { mailkit::display::files(&raw, parsed) } else { Vec::new() };
        let files = files.iter().map(|file| folding.fold(&file.name)).collect();
        Ok(Self { headers, text, files })
    }

    /// All that a query can ask about, not folded: the header, the text, the names of files.
    pub fn texts(body: &mut BodyReader, parsed: &Parsed) -> Result<(String, String, String)> {
        let wanted = parsed.size.min(MAX_SEARCHED_BYTES);
        let raw = body.read_range(0, usize::try_from(wanted).unwrap_or(usize::MAX))?;
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
        Ok((fields, mailkit::display::search_text(&raw, parsed), files.join("\n")))
    }

    /// Whether a field of that (lower-case) name contains `folded`.
    pub fn header_contains(&self, name: &str, folded: &str) -> bool {
        self.headers.iter().any(|(field, value)| field == name && value.contains(folded))
    }

    /// Whether any field contains `folded`, in name or value.
    pub fn any_header_contains(&self, folded: &str) -> bool {
        self.headers.iter().any(|(name, value)| value.contains(folded) || name.contains(folded))
    }

    /// Whether the name of an attached file contains `folded`.
    pub fn file_name_contains(&self, folded: &str) -> bool {
        self.files.iter().any(|name| name.contains(folded))
    }

    /// Whether the text contains `folded`.
    pub fn text_contains(&self, folded: &str) -> bool {
        self.text.contains(folded)
    }
}
