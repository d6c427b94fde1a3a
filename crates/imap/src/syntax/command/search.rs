//! SEARCH, SORT and THREAD as values.

use jiff::civil::Date;
use mailstore::{SortKey, ThreadAlgorithm};

use super::Flag;
use crate::syntax::MessageSet;

/// What a SEARCH wants back (RFC 4731, RFC 5182, RFC 5267).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields bear the names of the RFC")]
pub struct SearchReturn {
    pub min: bool,
    pub max: bool,
    pub all: bool,
    pub count: bool,
    pub save: bool,
    pub partial: Option<Partial>,
    /// A hint that the program will be used again. It changes no answer.
    pub context: bool,
    /// Changes of the result are to be told.
    pub update: bool,
    /// How well each message matches (RFC 6203).
    pub relevancy: bool,
}

/// A stretch of a result, counted from 1 (RFC 9394): `first` is not above `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// The first that is wanted.
    pub first: u32,
    /// The last that is wanted; there may be fewer.
    pub last: u32,
    /// Counted from the end: written with a minus.
    pub from_end: bool,
}

impl Partial {
    /// Which of `len` results it means.
    pub fn within(self, len: usize) -> std::ops::Range<usize> {
        let (first, last) = (self.first as usize - 1, self.last as usize);
        if self.from_end { len.saturating_sub(last)..len.saturating_sub(first) } else { first.min(len)..last.min(len) }
    }
}

/// SEARCH or UID SEARCH.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// UIDs in the answer.
    pub uid: bool,
    /// `RETURN (...)`; `None` for the plain form.
    pub returns: Option<SearchReturn>,
    /// A charset was named where one may be left out.
    pub has_charset: bool,
    /// The charset named, if it is none of ours. The program is not read then.
    pub unknown_charset: Option<String>,
    /// The program.
    pub key: SearchKey,
}

/// SORT or UID SORT (RFC 5256 section 3, RFC 5267 for `RETURN`).
#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    /// In which order.
    pub keys: Vec<SortKey>,
    /// Of which messages, and how they are told.
    pub search: Search,
}

/// THREAD or UID THREAD (RFC 5256 section 3).
#[derive(Debug, Clone, PartialEq)]
pub struct Thread {
    /// How threads are made.
    pub algorithm: ThreadAlgorithm,
    /// Of which messages.
    pub search: Search,
}

/// A search program. `OR` chains and lists are flattened, so depth stays below [`crate::syntax::MAX_DEPTH`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants bear the names of the RFC")]
pub enum SearchKey {
    All,
    And(Vec<SearchKey>),
    Or(Vec<SearchKey>),
    Not(Box<SearchKey>),
    /// Found as people find it (RFC 6203).
    Fuzzy(Box<SearchKey>),
    /// The flag is set.
    Flag(Flag),
    Sequence(MessageSet),
    Uid(MessageSet),
    Header {
        name: String,
        value: String,
    },
    From(String),
    To(String),
    Cc(String),
    Bcc(String),
    Subject(String),
    Body(String),
    Text(String),
    Before(Date),
    On(Date),
    Since(Date),
    SavedBefore(Date),
    SavedOn(Date),
    SavedSince(Date),
    SentBefore(Date),
    SentOn(Date),
    SentSince(Date),
    Larger(u64),
    Smaller(u64),
    /// Seconds (RFC 5032).
    Younger(u32),
    /// Seconds (RFC 5032).
    Older(u32),
    ModSeq(u64),
    EmailId(String),
    ThreadId(String),
}

impl SearchKey {
    /// Whether the program has such a key somewhere. Depth is bounded by the parser.
    pub fn has(&self, wanted: &impl Fn(&Self) -> bool) -> bool {
        match self {
            Self::And(keys) | Self::Or(keys) => keys.iter().any(|key| key.has(wanted)),
            Self::Not(key) | Self::Fuzzy(key) => key.has(wanted),
            key => wanted(key),
        }
    }

    /// Whether a part of the program is fuzzy. Depth is bounded by the parser.
    pub fn is_fuzzy(&self) -> bool {
        match self {
            Self::And(keys) | Self::Or(keys) => keys.iter().any(Self::is_fuzzy),
            Self::Not(key) => key.is_fuzzy(),
            Self::Fuzzy(_) => true,
            _ => false,
        }
    }

    /// The program without what makes it fuzzy.
    #[must_use]
    pub fn exactly(&self) -> Self {
        match self {
            Self::And(keys) => Self::And(keys.iter().map(Self::exactly).collect()),
            Self::Or(keys) => Self::Or(keys.iter().map(Self::exactly).collect()),
            Self::Not(key) => Self::Not(Box::new(key.exactly())),
            Self::Fuzzy(key) => key.exactly(),
            key => key.clone(),
        }
    }
}
