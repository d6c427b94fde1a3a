//! DMARC aggregate reports: what others say about mail in a domain's name (RFC 9990, and RFC 7489 appendix C).

mod mail;
mod write;

use std::net::IpAddr;

pub use mail::{Sending, mail};
pub use write::xml;

use crate::number::{count, domain, seconds, word};
use crate::xml::{Element, tree};
use crate::{NotReadable, unpack};

/// Most rows that are read of one report; of those that follow only the messages are counted.
pub const MAX_ROWS: usize = 10_000;
/// Most results of a kind that are read of one row.
pub const MAX_RESULTS: usize = 20;

/// What became of messages because of DMARC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Disposition {
    /// They were delivered.
    #[default]
    None,
    /// They went to Spam.
    Quarantine,
    /// They were refused.
    Reject,
}

impl Disposition {
    /// Every one, mildest first.
    pub const ALL: [Self; 3] = [Self::None, Self::Quarantine, Self::Reject];

    /// Its word.
    pub const fn code(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quarantine => "quarantine",
            Self::Reject => "reject",
        }
    }

    /// The one of that word; `pass` (RFC 9990) and anything else is [`Self::None`].
    pub fn read(text: &str) -> Self {
        Self::ALL.into_iter().find(|known| text.trim().eq_ignore_ascii_case(known.code())).unwrap_or_default()
    }
}

/// A result for one name.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AuthResult {
    /// The name: the signing domain, or that of the envelope's sender.
    pub domain: String,
    /// Of DKIM, the selector.
    pub selector: String,
    /// The result by RFC 8601: `pass`, `fail`, ….
    pub result: String,
}

/// Messages that are alike.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// Who sent them; `None` if the report does not say it in a way that can be read.
    pub source: Option<IpAddr>,
    /// The confirmed name of that address, where it was looked up; else empty.
    pub name: String,
    /// How many.
    pub count: u64,
    /// What became of them.
    pub disposition: Disposition,
    /// An aligned DKIM signature proves them.
    pub dkim: bool,
    /// An aligned SPF result proves them.
    pub spf: bool,
    /// Why something else was done than the policy asks for: type and comment.
    pub reasons: Vec<(String, String)>,
    /// The domain in From.
    pub header_from: String,
    /// The domain of the envelope's sender; may be empty.
    pub envelope_from: String,
    /// The signatures.
    pub dkim_results: Vec<AuthResult>,
    /// SPF.
    pub spf_results: Vec<AuthResult>,
}

impl Row {
    /// Whether DMARC proves them.
    pub const fn passes(&self) -> bool {
        self.dkim || self.spf
    }
}

/// The policy that was found, as words of the record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// Whose policy it is.
    pub domain: String,
    /// `p`.
    pub p: String,
    /// `sp`; empty if it is not said.
    pub sp: String,
    /// `np`; empty if it is not said.
    pub np: String,
    /// `adkim`: `r` or `s`; empty if it is not said.
    pub adkim: String,
    /// `aspf`: `r` or `s`; empty if it is not said.
    pub aspf: String,
    /// `t=y`.
    pub testing: bool,
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DmarcReport {
    /// What the reporter calls itself.
    pub organisation: String,
    /// Where questions go.
    pub email: String,
    /// What the reporter calls the report.
    pub id: String,
    /// The time that it is about: beginning and end in seconds since 1970; `None` if it does not say.
    pub range: Option<(i64, i64)>,
    /// The policy that was found.
    pub published: Published,
    /// What was seen.
    pub rows: Vec<Row>,
    /// Messages of rows that were not read.
    pub unread: u64,
}

impl DmarcReport {
    /// Reads an attachment: packed or not, of any version of the format, with anything missing that is not needed.
    ///
    /// # Errors
    /// It is no such report, broken, or above a limit.
    pub fn read(attachment: &[u8]) -> Result<Self, NotReadable> {
        Self::read_text(&unpack(attachment)?)
    }

    /// Reads the XML.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_text(text: &str) -> Result<Self, NotReadable> {
        let start = text.find('<').ok_or(NotReadable::NoReport)?;
        let root = tree(&text[start..])?;
        if root.name != "feedback" {
            return Err(NotReadable::NoReport);
        }
        let empty = Element::default();
        let about = root.child("report_metadata").unwrap_or(&empty);
        let mut report = Self {
            organisation: word(about.text_of("org_name")),
            email: word(about.text_of("email")),
            id: word(about.text_of("report_id")),
            range: range(about.child("date_range").unwrap_or(&empty)),
            published: published(root.child("policy_published").unwrap_or(&empty)),
            ..Self::default()
        };
        for record in root.all("record") {
            match row(record) {
                Some(row) if report.rows.len() < MAX_ROWS => report.rows.push(row),
                Some(row) => report.unread += row.count,
                None => {}
            }
        }
        if report.published.domain.is_empty() {
            // What the rows are about, where nothing else says it.
            report.published.domain =
                report.rows.iter().map(|row| row.header_from.clone()).find(|from| !from.is_empty()).unwrap_or_default();
        }
        if report.published.domain.is_empty() {
            return Err(NotReadable::Broken("the report names no domain"));
        }
        Ok(report)
    }

    /// All messages of it.
    pub fn messages(&self) -> u64 {
        self.rows.iter().map(|row| row.count).sum::<u64>() + self.unread
    }
}

/// Beginning and end, where at least one is there.
fn range(element: &Element) -> Option<(i64, i64)> {
    let (begin, end) = (seconds(element.text_of("begin")), seconds(element.text_of("end")));
    let (begin, end) = (begin.or(end)?, end.or(begin)?);
    Some((begin.min(end), begin.max(end)))
}

fn published(element: &Element) -> Published {
    let lower = |name: &str| word(element.text_of(name)).to_ascii_lowercase();
    Published {
        domain: domain(element.text_of("domain")),
        p: lower("p"),
        sp: lower("sp"),
        np: lower("np"),
        adkim: lower("adkim"),
        aspf: lower("aspf"),
        testing: lower("testing") == "y",
    }
}

fn row(record: &Element) -> Option<Row> {
    let empty = Element::default();
    let row = record.child("row")?;
    let evaluated = row.child("policy_evaluated").unwrap_or(&empty);
    // Some write `identities`, as the text of RFC 7489's example does.
    let names = record.child("identifiers").or_else(|| record.child("identities")).unwrap_or(&empty);
    let results = record.child("auth_results").unwrap_or(&empty);
    let passes = |name: &str| evaluated.text_of(name).eq_ignore_ascii_case("pass");
    let reasons = evaluated.all("reason").take(MAX_RESULTS);
    let count = match row.text_of("count") {
        "" => 1,
        text => count(text)?,
    };
    let of = |kind: &str| results.all(kind).take(MAX_RESULTS).map(result).collect();
    Some(Row {
        source: address(row.text_of("source_ip")),
        name: String::new(),
        count,
        disposition: Disposition::read(evaluated.text_of("disposition")),
        dkim: passes("dkim"),
        spf: passes("spf"),
        reasons: reasons.map(|reason| (word(reason.text_of("type")), word(reason.text_of("comment")))).collect(),
        header_from: domain(names.text_of("header_from")),
        envelope_from: domain(names.text_of("envelope_from")),
        dkim_results: of("dkim"),
        spf_results: of("spf"),
    })
}

fn result(element: &Element) -> AuthResult {
    AuthResult {
        domain: domain(element.text_of("domain")),
        selector: word(element.text_of("selector")),
        result: word(element.text_of("result")).to_ascii_lowercase(),
    }
}

/// An address as it comes: in brackets, with a zone, an IPv4 address in IPv6 form.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    let text = text.split('%').next().unwrap_or_default();
    text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical())
}
