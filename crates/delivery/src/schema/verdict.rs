//! What was decided about a message before it was taken.

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
