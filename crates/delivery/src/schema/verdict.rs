//! What was decided about a message before it was taken.

use mailstore::Snooze;

/// What was decided about a recipient here when the message came. The default decides nothing.
#[derive(Clone, PartialEq, prost::Message)]
pub struct VerdictRecord {
    /// It is filed in the mailbox of this role, by the role's standard name.
    #[prost(string, tag = "1")]
    pub role: String,
    /// Or in the mailbox of this name.
    #[prost(string, tag = "2")]
    pub mailbox: String,
    /// With these flags.
    #[prost(string, repeated, tag = "3")]
    pub flags: Vec<String>,
    /// Header lines that are put above it.
    #[prost(string, tag = "4")]
    pub headers: String,
    /// It is not taken, and its sender is told.
    #[prost(message, optional, tag = "5")]
    pub refusal: Option<RefusalRecord>,
    /// Why, for people.
    #[prost(string, tag = "6")]
    pub reason: String,
    /// It is sent on to these addresses in the commit that files it.
    #[prost(string, repeated, tag = "7")]
    pub forwards: Vec<String>,
    /// No copy is filed.
    #[prost(bool, tag = "8")]
    pub no_copy: bool,
    /// Further copies.
    #[prost(message, repeated, tag = "9")]
    pub copies: Vec<FurtherRecord>,
    /// Messages that are sent in the commit that files it.
    #[prost(message, repeated, tag = "10")]
    pub replies: Vec<ReplyRecord>,
    /// What the account remembers from that commit on.
    #[prost(message, repeated, tag = "11")]
    pub marks: Vec<MarkRecord>,
    /// A mailbox that is named and missing is made.
    #[prost(bool, tag = "12")]
    pub create: bool,
    /// The message as rules changed it.
    #[prost(message, repeated, tag = "13")]
    pub versions: Vec<VersionRecord>,
    /// Which of them is filed; 0 is the message as it came.
    #[prost(uint32, tag = "14")]
    pub version: u32,
    /// Changed messages that are sent on.
    #[prost(message, repeated, tag = "15")]
    pub changed_forwards: Vec<ChangedForwardRecord>,
    /// It is snoozed: when it returns.
    #[prost(message, optional, tag = "16")]
    pub snooze: Option<Snooze>,
    /// The message is counted on the masked address that it came to.
    #[prost(bool, tag = "17")]
    pub counted: bool,
}

/// A changed message in a [`VerdictRecord`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct VersionRecord {
    /// What it is made of.
    #[prost(message, repeated, tag = "1")]
    pub pieces: Vec<PieceRecord>,
    /// It is another message, of which the old one is a part at most.
    #[prost(bool, tag = "2")]
    pub is_rebuilt: bool,
    /// How many bytes that pieces count from are header fields added here.
    #[prost(uint64, tag = "3")]
    pub added_bytes: u64,
}

/// A piece of a changed message: a text, or bytes of the message as it came below the fields added here.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PieceRecord {
    /// The first byte.
    #[prost(uint64, tag = "1")]
    pub from: u64,
    /// The one behind the last.
    #[prost(uint64, tag = "2")]
    pub to: u64,
    /// The text, if it is one.
    #[prost(bytes = "vec", tag = "3")]
    pub text: Vec<u8>,
}

/// To whom a changed message is sent on.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChangedForwardRecord {
    /// The address.
    #[prost(string, tag = "1")]
    pub address: String,
    /// Which version, counted from 1.
    #[prost(uint32, tag = "2")]
    pub version: u32,
}

/// A further copy in a [`VerdictRecord`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FurtherRecord {
    /// By the role's standard name.
    #[prost(string, tag = "1")]
    pub role: String,
    /// Or by the mailbox's name.
    #[prost(string, tag = "2")]
    pub mailbox: String,
    /// Its flags.
    #[prost(string, repeated, tag = "3")]
    pub flags: Vec<String>,
    /// Which version of the message; 0 is the message as it came.
    #[prost(uint32, tag = "4")]
    pub version: u32,
    /// It is snoozed: when it returns.
    #[prost(message, optional, tag = "5")]
    pub snooze: Option<Snooze>,
}

/// A message that a [`VerdictRecord`] has sent.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ReplyRecord {
    /// To whom.
    #[prost(string, repeated, tag = "1")]
    pub to: Vec<String>,
    /// Who signs it.
    #[prost(string, tag = "2")]
    pub author: String,
    /// The message.
    #[prost(bytes = "vec", tag = "3")]
    pub message: Vec<u8>,
    /// Only if this is not remembered; it is from then on.
    #[prost(message, optional, tag = "4")]
    pub once: Option<MarkRecord>,
    /// A copy is filed in the account when it is sent.
    #[prost(message, optional, tag = "5")]
    pub copy: Option<FurtherRecord>,
    /// The mailbox of that copy is made if it is missing.
    #[prost(bool, tag = "6")]
    pub create: bool,
}

/// What an account remembers, under a key of its rules.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MarkRecord {
    /// The whole key.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// How long, milliseconds since 1970 UTC.
    #[prost(int64, tag = "2")]
    pub until_ms: i64,
}

/// A refusal in a [`VerdictRecord`].
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct RefusalRecord {
    /// Reply code.
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// Enhanced code: class.
    #[prost(uint32, tag = "2")]
    pub class: u32,
    /// Subject.
    #[prost(uint32, tag = "3")]
    pub subject: u32,
    /// Detail.
    #[prost(uint32, tag = "4")]
    pub detail: u32,
    /// What the sender reads.
    #[prost(string, tag = "5")]
    pub text: String,
}

/// For whom a message is sent on, and what was known of it.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ForwardedRecord {
    /// The account's own address.
    #[prost(string, tag = "1")]
    pub owner: String,
    /// The sender of the envelope is proved: reports go there, otherwise to the owner.
    #[prost(bool, tag = "2")]
    pub is_proven: bool,
    /// Our results about it, `host; spf=pass …`; empty if it was not looked at.
    #[prost(string, tag = "3")]
    pub results: String,
    /// One of ours wrote it: it is signed, not sealed.
    #[prost(bool, tag = "4")]
    pub of_ours: bool,
}
