//! Records of who signs in, and with what.

use prost::Message;

/// A browser that is signed in.
#[derive(Clone, PartialEq, Message)]
pub struct SessionRecord {
    /// When it began.
    #[prost(int64, tag = "1")]
    pub created_ms: i64,
    /// When it was last seen; written at most every ten minutes.
    #[prost(int64, tag = "2")]
    pub seen_ms: i64,
    /// The client's address.
    #[prost(string, tag = "3")]
    pub peer: String,
    /// The browser's name.
    #[prost(string, tag = "4")]
    pub agent: String,
    /// When the password was last asked for again, and was right. 0 is never.
    #[prost(int64, tag = "5")]
    pub confirmed_ms: i64,
    /// The passkey that it began with ([`crate::PasskeyId`]), if one was used.
    #[prost(bytes = "vec", tag = "6")]
    pub passkey: Vec<u8>,
}

/// A passkey. Holds no secret: the private key is with its owner.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PasskeyRecord {
    /// The credential's id.
    #[prost(bytes = "vec", tag = "1")]
    pub credential: Vec<u8>,
    /// The public key, as COSE has it.
    #[prost(bytes = "vec", tag = "2")]
    pub key: Vec<u8>,
    /// The name given by its owner.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The domain that it is for.
    #[prost(string, tag = "4")]
    pub rp_id: String,
    /// The signature counter when it was last used; 0: it has none.
    #[prost(uint32, tag = "5")]
    pub counter: u32,
    /// When it was made, in milliseconds since 1970.
    #[prost(int64, tag = "6")]
    pub created_ms: i64,
    /// When it was last used; to the hour where it has no counter. 0 is never.
    #[prost(int64, tag = "7")]
    pub last_used_ms: i64,
    /// It signs in without the password.
    #[prost(bool, tag = "8")]
    pub alone: bool,
    /// It is kept in more than one place.
    #[prost(bool, tag = "9")]
    pub backed_up: bool,
    /// What browsers reach it by.
    #[prost(string, repeated, tag = "10")]
    pub transports: Vec<String>,
}

/// A network that an account has been logged in to from.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct KnownRecord {
    /// When first, in milliseconds since 1970.
    #[prost(int64, tag = "1")]
    pub first_ms: i64,
    /// When last; written at most once a day.
    #[prost(int64, tag = "2")]
    pub last_ms: i64,
    /// What the browsers there call themselves.
    #[prost(string, repeated, tag = "3")]
    pub browsers: Vec<String>,
}

/// Sign-ins of one day that are the same but for the time.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct SignInRecord {
    /// The protocol: as [`crate::Service`] counts them; 0 is several.
    #[prost(uint32, tag = "1")]
    pub service: u32,
    /// How they ended: as [`crate::SignInResult`] counts them.
    #[prost(uint32, tag = "2")]
    pub result: u32,
    /// The first, in milliseconds since 1970.
    #[prost(int64, tag = "3")]
    pub first_ms: i64,
    /// The last.
    #[prost(int64, tag = "4")]
    pub last_ms: i64,
    /// How many.
    #[prost(uint64, tag = "5")]
    pub count: u64,
    /// The client's last address; empty: several networks.
    #[prost(string, tag = "6")]
    pub peer: String,
    /// What the programs call themselves.
    #[prost(string, repeated, tag = "7")]
    pub programs: Vec<String>,
    /// The app password's name, if it was one.
    #[prost(string, optional, tag = "8")]
    pub app_password: Option<String>,
    /// The network or the program had not signed in before.
    #[prost(bool, tag = "9")]
    pub new: bool,
    /// The owner knows it.
    #[prost(bool, tag = "10")]
    pub known: bool,
}

/// An account's history of sign-ins as a whole.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct HistoryRecord {
    /// Since when there is one, in milliseconds since 1970.
    #[prost(int64, tag = "1")]
    pub since_ms: i64,
    /// When its owner was last told of a new mail program or network.
    #[prost(int64, tag = "2")]
    pub told_ms: i64,
}
