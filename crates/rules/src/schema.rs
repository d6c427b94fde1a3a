//! Keys and records: `98` which script is active, `99` name → script, `9A` hash → a reply that was sent, `9B` hash → a message
//! that was seen.

/// Which script is active.
pub(crate) const STATE: u8 = 0x98;
/// Scripts, by name.
pub(crate) const SCRIPT: u8 = 0x99;
/// Replies that were sent.
pub(crate) const REPLIED: u8 = 0x9A;
/// Messages that were seen (RFC 7352).
pub(crate) const SEEN: u8 = 0x9B;
/// All kinds of keys.
pub(crate) const KINDS: [u8; 4] = [STATE, SCRIPT, REPLIED, SEEN];

/// Which script is active.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct StateRecord {
    /// Its name; empty: none is.
    #[prost(string, tag = "1")]
    pub active: String,
}

/// A script.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ScriptRecord {
    /// Its text.
    #[prost(string, tag = "1")]
    pub text: String,
    /// When it was written, milliseconds since 1970 UTC.
    #[prost(int64, tag = "2")]
    pub changed_ms: i64,
}

/// What is remembered until a time.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UntilRecord {
    /// Milliseconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    pub until_ms: i64,
}

/// The key of a script.
pub(crate) fn script_key(name: &str) -> Vec<u8> {
    [&[SCRIPT], name.as_bytes()].concat()
}
