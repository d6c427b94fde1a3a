//! What to look for.

use jiff::civil::Date;

use super::folding::Folding;

use crate::{EmailId, Keyword, ModSeq, SystemFlag, ThreadId, UidSet};

/// What to look for. Text is compared as a substring, folded as [`Folding`] says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SearchQuery {
    /// Every message.
    All,
    /// All of them.
    And(Vec<SearchQuery>),
    /// At least one of them.
    Or(Vec<SearchQuery>),
    /// The contrary.
    Not(Box<SearchQuery>),
    /// The flag is set.
    Flag(SystemFlag),
    /// The keyword is set.
    Keyword(Keyword),
    /// UID among these. Sequence numbers are the session's: it turns them into UIDs.
    Uids(UidSet),
    /// MODSEQ at least this (RFC 7162 §3.1.5).
    ModSeqAtLeast(ModSeq),
    /// More bytes than this.
    Larger(u64),
    /// Fewer bytes than this.
    Smaller(u64),
    /// Internal date (UTC) before that day.
    Before(Date),
    /// Internal date (UTC) on that day.
    On(Date),
    /// Internal date (UTC) on or after that day.
    Since(Date),
    /// Internal date from the first moment until before the second, in milliseconds since 1970 UTC: days of other time zones.
    Received(i64, i64),
    /// Put into its mailbox (UTC) before that day (RFC 8514); where that is not known, by the internal date.
    SavedBefore(Date),
    /// Put into its mailbox (UTC) on that day.
    SavedOn(Date),
    /// Put into its mailbox (UTC) on or after that day.
    SavedSince(Date),
    /// `Date:` before that day, in the writer's time zone.
    SentBefore(Date),
    /// `Date:` on that day, in the writer's time zone.
    SentOn(Date),
    /// `Date:` on or after that day, in the writer's time zone.
    SentSince(Date),
    /// Internal date at most so many seconds ago (RFC 5032 YOUNGER).
    Younger(u64),
    /// Internal date at least so many seconds ago (RFC 5032 OLDER).
    Older(u64),
    /// In the names and addresses of `From:`.
    From(String),
    /// In `To:`.
    To(String),
    /// In `Cc:`.
    Cc(String),
    /// In `Bcc:`.
    Bcc(String),
    /// In the decoded subject.
    Subject(String),
    /// In the decoded text of that header field; an empty text asks whether the field is there.
    Header {
        /// Name of the field.
        name: String,
        /// What it must contain.
        contains: String,
    },
    /// In the decoded text of the body.
    Body(String),
    /// In header or body.
    Text(String),
    /// The same, of words as they are typed: in a search for people ([`Folding::Loose`]) no other forms of them.
    Literal(Box<SearchQuery>),
    /// The same, found as people find it, whatever the search does elsewhere (RFC 6203 FUZZY).
    Fuzzy(Box<SearchQuery>),
    /// Has an attachment.
    HasAttachment,
    /// In the file name of an attachment.
    FileName(String),
    /// That message (RFC 8474).
    Email(EmailId),
    /// That conversation (RFC 8474).
    Thread(ThreadId),
}

impl SearchQuery {
    /// What is looked for and how, where this is only that: [`SearchQuery::Literal`], [`SearchQuery::Fuzzy`].
    pub fn within(&self, folding: Folding) -> Option<(&Self, Folding)> {
        match self {
            Self::Literal(query) if folding == Folding::Loose => Some((query, Folding::Literal)),
            Self::Literal(query) => Some((query, folding)),
            Self::Fuzzy(query) => Some((query, Folding::Loose)),
            _ => None,
        }
    }
}
