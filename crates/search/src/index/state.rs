//! What is known of an account's index: its segments, and what of the account is in them.

use prost::Message;
use realm::feed::Position;

/// Version of all that is kept. Another one is built anew.
pub const VERSION: u32 = 2;

/// How far an index is, and what it has. Written in one batch with what it says.
#[derive(Clone, PartialEq, Message)]
pub struct State {
    /// [`VERSION`].
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// Where in the account's change feed it is.
    #[prost(string, tag = "2")]
    pub position: String,
    /// While it is built: messages from this one on were there at that position, and are not in it yet.
    #[prost(uint64, optional, tag = "3")]
    pub missing_from: Option<u64>,
    /// No message after this one was looked at.
    #[prost(uint64, tag = "4")]
    pub high: u64,
    /// The number of the next segment.
    #[prost(uint32, tag = "5")]
    pub next_segment: u32,
    /// The segments, by age.
    #[prost(message, repeated, tag = "6")]
    pub segments: Vec<Segment>,
    /// Messages that could not be read, or say too much: each search has to look at them.
    #[prost(uint64, repeated, tag = "7")]
    pub unread: Vec<u64>,
    /// How many of the messages in it are gone.
    #[prost(uint64, tag = "8")]
    pub gone: u64,
    /// The languages of its messages ([`mailkit::stem::Language::bit`]).
    #[prost(uint64, tag = "9")]
    pub languages: u64,
    /// Documents in its messages that could not be read, or not to their end.
    #[prost(uint64, tag = "10")]
    pub unread_documents: u64,
}

/// A part of an index that is not changed any more.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Segment {
    /// Its number.
    #[prost(uint32, tag = "1")]
    pub number: u32,
    /// How many messages it is of.
    #[prost(uint64, tag = "2")]
    pub messages: u64,
    /// The first of them: postings count from there.
    #[prost(uint64, tag = "3")]
    pub base: u64,
    /// The last of them.
    #[prost(uint64, tag = "4")]
    pub last: u64,
    /// Size of its blocks.
    #[prost(uint64, tag = "5")]
    pub bytes: u64,
    /// How many blocks of terms it has.
    #[prost(uint32, tag = "6")]
    pub blocks: u32,
}

impl State {
    /// Of an index that has nothing, of an account with messages.
    pub fn new(position: Position, next_segment: u32) -> Self {
        Self {
            version: VERSION,
            position: position.to_string(),
            missing_from: Some(0),
            next_segment,
            ..Self::default()
        }
    }

    /// Its place in the change feed.
    pub fn position(&self) -> Option<Position> {
        self.position.parse().ok()
    }

    /// How many messages it has, those that are gone among them.
    pub fn messages(&self) -> u64 {
        self.segments.iter().map(|segment| segment.messages).sum()
    }
}

impl Segment {
    /// Segments of one level are merged into one of a higher one.
    pub fn level(&self) -> u32 {
        self.messages.checked_ilog(4).unwrap_or_default()
    }
}
