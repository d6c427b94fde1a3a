//! A prepared query: texts folded, dates turned into times. Decides with the data known about a message so far.

use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use mailkit::Headline;
use mailkit::stem::Forms;

use super::content::{self, Content, Field};
use super::folding::Folding;
use super::query::SearchQuery;
use crate::schema::DAY_MS;
use crate::{EmailId, Flags, Keyword, MessageEntry, ModSeq, SystemFlag, ThreadId, Uid, UidSet};

/// What is known of a message: always the entry, then what its header tells, then the bytes.
pub(super) struct Known<'a> {
    pub entry: &'a MessageEntry,
    pub headline: Option<&'a Headline>,
    pub content: Option<&'a Content>,
    /// What attached documents say, folded.
    pub documents: Option<&'a str>,
}

/// What a query may ask about.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    /// The text of bodies, not only their headers.
    Text,
    /// The names of attached files.
    Files,
    /// What attached documents say.
    Documents,
    /// Other forms of words.
    Forms,
    /// Something as IMAP finds it.
    Exactly,
    /// Something as people find it.
    Loosely,
}

pub(super) enum Compiled {
    Always,
    And(Vec<Compiled>),
    Or(Vec<Compiled>),
    Not(Box<Compiled>),
    Flag(SystemFlag),
    Keyword(Keyword),
    Uids(UidSet),
    ModSeqAtLeast(ModSeq),
    Larger(u64),
    Smaller(u64),
    /// Internal date from the first moment to before the second.
    Internal(i64, i64),
    /// Put into its mailbox from the first moment to before the second.
    Saved(i64, i64),
    /// Day of `Date:` from the first to before the second.
    Sent(Option<Date>, Option<Date>),
    Field(Field, Folding, String),
    Header(String, Folding, String),
    Body(Folding, String),
    Text(Folding, String),
    /// In what attached documents say.
    Document(String),
    /// Another form of a word, in the subject or also in the text.
    Form(Forms, bool),
    HasAttachment,
    FileName(Folding, String),
    Email(EmailId),
    Thread(ThreadId),
}

/// First moment of a day in UTC.
fn midnight(day: Date) -> i64 {
    TimeZone::UTC.to_timestamp(day.to_datetime(Time::midnight())).map_or(0, jiff::Timestamp::as_millisecond)
}

fn next(day: Date) -> Option<Date> {
    day.tomorrow().ok()
}

impl Compiled {
    pub fn new(query: &SearchQuery, folding: Folding, now_ms: i64) -> Self {
        let list = |queries: &[SearchQuery]| queries.iter().map(|query| Self::new(query, folding, now_ms)).collect();
        let field = |field, text: &str| Self::Field(field, folding, folding.fold(text));
        let ago = |seconds: u64| now_ms.saturating_sub(i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000));
        match query {
            SearchQuery::All => Self::Always,
            SearchQuery::And(queries) => Self::And(list(queries)),
            SearchQuery::Or(queries) => Self::Or(list(queries)),
            SearchQuery::Not(query) => Self::Not(Box::new(Self::new(query, folding, now_ms))),
            SearchQuery::Flag(flag) => Self::Flag(*flag),
            SearchQuery::Keyword(keyword) => Self::Keyword(keyword.clone()),
            SearchQuery::Uids(uids) => Self::Uids(uids.clone()),
            SearchQuery::ModSeqAtLeast(modseq) => Self::ModSeqAtLeast(*modseq),
            SearchQuery::Larger(bytes) => Self::Larger(*bytes),
            SearchQuery::Smaller(bytes) => Self::Smaller(*bytes),
            SearchQuery::Before(day) => Self::Internal(i64::MIN, midnight(*day)),
            SearchQuery::On(day) => Self::Internal(midnight(*day), midnight(*day).saturating_add(DAY_MS)),
            SearchQuery::Since(day) => Self::Internal(midnight(*day), i64::MAX),
            SearchQuery::Received(from, until) => Self::Internal(*from, *until),
            SearchQuery::SavedBefore(day) => Self::Saved(i64::MIN, midnight(*day)),
            SearchQuery::SavedOn(day) => Self::Saved(midnight(*day), midnight(*day).saturating_add(DAY_MS)),
            SearchQuery::SavedSince(day) => Self::Saved(midnight(*day), i64::MAX),
            SearchQuery::SentBefore(day) => Self::Sent(None, Some(*day)),
            SearchQuery::SentOn(day) => Self::Sent(Some(*day), next(*day)),
            SearchQuery::SentSince(day) => Self::Sent(Some(*day), None),
            SearchQuery::Younger(seconds) => Self::Internal(ago(*seconds), i64::MAX),
            SearchQuery::Older(seconds) => Self::Internal(i64::MIN, ago(*seconds).saturating_add(1)),
            SearchQuery::From(text) => field(Field::From, text),
            SearchQuery::To(text) => field(Field::To, text),
            SearchQuery::Cc(text) => field(Field::Cc, text),
            SearchQuery::Bcc(text) => field(Field::Bcc, text),
            SearchQuery::Subject(text) => Self::with_forms(field(Field::Subject, text), folding, (text, false)),
            SearchQuery::Literal(_) | SearchQuery::Fuzzy(_) => match query.within(folding) {
                Some((query, folding)) => Self::new(query, folding, now_ms),
                None => Self::Always,
            },
            SearchQuery::Header { name, contains } => {
                Self::Header(name.to_ascii_lowercase(), folding, folding.fold(contains))
            }
            SearchQuery::Body(text) => Self::with_forms(Self::Body(folding, folding.fold(text)), folding, (text, true)),
            SearchQuery::Text(text) => Self::with_forms(Self::Text(folding, folding.fold(text)), folding, (text, true)),
            SearchQuery::HasAttachment => Self::HasAttachment,
            SearchQuery::FileName(text) => Self::FileName(folding, folding.fold(text)),
            SearchQuery::Email(email) => Self::Email(*email),
            SearchQuery::Thread(thread) => Self::Thread(*thread),
        }
    }

    /// A condition about words, for people also about other forms of them and about documents.
    fn with_forms(plain: Self, folding: Folding, (text, in_text): (&str, bool)) -> Self {
        let mut all = vec![plain];
        if folding == Folding::Loose {
            all.extend(Forms::of(text).map(|forms| Self::Form(forms, in_text)));
        }
        if folding != Folding::Case && in_text {
            all.push(Self::Document(folding.fold(text)));
        }
        if all.len() == 1 { all.remove(0) } else { Self::Or(all) }
    }

    /// Whether it asks about something.
    pub fn asks(&self, what: Asks) -> bool {
        let folded = |folding: Folding| match what {
            Asks::Exactly => folding == Folding::Case,
            Asks::Loosely => folding != Folding::Case,
            _ => false,
        };
        match self {
            Self::And(queries) | Self::Or(queries) => queries.iter().any(|query| query.asks(what)),
            Self::Not(query) => query.asks(what),
            Self::Body(folding, _) | Self::Text(folding, _) => what == Asks::Text || folded(*folding),
            Self::Form(..) => matches!(what, Asks::Text | Asks::Forms | Asks::Loosely),
            Self::Document(_) => what == Asks::Documents,
            Self::FileName(folding, _) => what == Asks::Files || folded(*folding),
            Self::Header(_, folding, _) => folded(*folding),
            _ => false,
        }
    }

    /// Whether of what the header tells the subject is enough.
    pub fn needs_subject_alone(&self) -> bool {
        match self {
            Self::And(queries) | Self::Or(queries) => queries.iter().all(Self::needs_subject_alone),
            Self::Not(query) => query.needs_subject_alone(),
            Self::Field(field, ..) => *field == Field::Subject,
            Self::Sent(..) | Self::Header(..) | Self::Text(..) => false,
            _ => true,
        }
    }

    /// Whether UID, flags and MODSEQ decide it: what a mailbox's shared view has of every message.
    pub fn needs_flags_alone(&self) -> bool {
        match self {
            Self::Always | Self::Flag(_) | Self::Keyword(_) | Self::Uids(_) | Self::ModSeqAtLeast(_) => true,
            Self::And(queries) | Self::Or(queries) => queries.iter().all(Self::needs_flags_alone),
            Self::Not(query) => query.needs_flags_alone(),
            _ => false,
        }
    }

    /// Whether a message matches, for queries that [`Self::needs_flags_alone`].
    pub fn matches_flags(&self, uid: Uid, flags: &Flags, modseq: ModSeq) -> bool {
        match self {
            Self::And(queries) => queries.iter().all(|query| query.matches_flags(uid, flags, modseq)),
            Self::Or(queries) => queries.iter().any(|query| query.matches_flags(uid, flags, modseq)),
            Self::Not(query) => !query.matches_flags(uid, flags, modseq),
            Self::Flag(flag) => flags.contains(*flag),
            Self::Keyword(keyword) => flags.contains_keyword(keyword),
            Self::Uids(uids) => uids.contains(uid),
            Self::ModSeqAtLeast(least) => modseq >= *least,
            Self::Always => true,
            _ => false,
        }
    }

    /// Whether the message matches; `None` if more must be known.
    pub fn verdict(&self, known: &Known<'_>) -> Option<bool> {
        let entry = known.entry;
        Some(match self {
            Self::Always => true,
            Self::And(queries) => return all(queries.iter().map(|query| query.verdict(known))),
            Self::Or(queries) => {
                return all(queries.iter().map(|query| query.verdict(known).map(|yes| !yes))).map(|none| !none);
            }
            Self::Not(query) => !query.verdict(known)?,
            Self::Flag(flag) => entry.flags.contains(*flag),
            Self::Keyword(keyword) => entry.flags.contains_keyword(keyword),
            Self::Uids(uids) => uids.contains(entry.uid),
            Self::ModSeqAtLeast(modseq) => entry.modseq >= *modseq,
            Self::Larger(bytes) => entry.size > *bytes,
            Self::Smaller(bytes) => entry.size < *bytes,
            Self::Internal(from, to) => (*from..*to).contains(&entry.internal_date_ms),
            Self::Saved(from, to) => (*from..*to).contains(&entry.saved_ms.unwrap_or(entry.internal_date_ms)),
            Self::HasAttachment => entry.has_attachment,
            Self::FileName(folding, text) => entry.has_attachment && known.content?.file_name_contains(*folding, text),
            Self::Document(text) => entry.has_attachment && known.documents?.contains(&**text),
            Self::Form(forms, in_text) => known.content?.has_form(forms, *in_text),
            Self::Email(email) => entry.email_id == *email,
            Self::Thread(thread) => entry.thread_id == *thread,
            Self::Sent(from, to) => {
                let day = content::sent_day(known.headline?, entry.internal_date_ms);
                from.is_none_or(|from| day >= from) && to.is_none_or(|to| day < to)
            }
            Self::Field(field, folding, text) => content::field_contains(known.headline?, *field, *folding, text),
            Self::Header(name, folding, text) => {
                match content::listed_header_contains(known.headline?, name, *folding, text) {
                    Some(verdict) => verdict,
                    None => known.content?.header_contains(name, *folding, text),
                }
            }
            Self::Body(folding, text) => known.content?.text_contains(*folding, text),
            Self::Text(folding, text) => {
                if Field::ALL
                    .iter()
                    .any(|field| known.headline.is_some_and(|h| content::field_contains(h, *field, *folding, text)))
                {
                    return Some(true);
                }
                let content = known.content?;
                content.any_header_contains(*folding, text) || content.text_contains(*folding, text)
            }
        })
    }
}

/// Kleene's conjunction: one `false` decides, whatever is unknown.
fn all(verdicts: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut result = Some(true);
    for verdict in verdicts {
        match verdict {
            Some(false) => return Some(false),
            Some(true) => {}
            None => result = None,
        }
    }
    result
}
