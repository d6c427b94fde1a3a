//! Keys and records: `98` which script is active, `98 01` the last edit by a page, `99` name → script, `9A` hash → a reply
//! that was sent, `9B` hash → a message that was seen.

use store::{BodyId, MAX_KEY_BYTES};

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

/// What follows [`STATE`] in the key of the last edit.
pub(crate) const LAST_EDIT: [u8; 2] = [STATE, 1];

/// The last edit by a page, and what it was before: it can be taken back.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct LastEditRecord {
    /// Which edit.
    #[prost(bytes = "vec", tag = "1")]
    pub key: Vec<u8>,
    /// The script.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Its text before; absent if there was none.
    #[prost(string, optional, tag = "3")]
    pub before: Option<String>,
    /// Which script was active before.
    #[prost(string, tag = "4")]
    pub active_before: String,
    /// The version that the edit made.
    #[prost(string, tag = "5")]
    pub made: String,
    /// What was done, as a sentence.
    #[prost(string, tag = "6")]
    pub note: String,
    /// It was taken back.
    #[prost(bool, tag = "7")]
    pub undone: bool,
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
    /// Its name, where that is too long for the key; else empty.
    #[prost(string, tag = "3")]
    pub long_name: String,
}

/// What is remembered until a time.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct UntilRecord {
    /// Milliseconds since 1970 UTC.
    #[prost(int64, tag = "1")]
    pub until_ms: i64,
}

/// What begins a key that has a hash in place of a name: no name begins with it.
const HASHED: u8 = 0xFF;

/// Whether a name is too long to be in a key.
pub(crate) const fn is_long(name: &str) -> bool {
    name.len() >= MAX_KEY_BYTES
}

/// The key of a script.
pub(crate) fn script_key(name: &str) -> Vec<u8> {
    if is_long(name) {
        return [&[SCRIPT, HASHED], &BodyId::of(name.as_bytes()).as_bytes()[..16]].concat();
    }
    [&[SCRIPT], name.as_bytes()].concat()
}

/// The name of the script that has this key and record, if they belong to each other.
pub(crate) fn name_of(key: &[u8], record: &ScriptRecord) -> Option<String> {
    let name = if record.long_name.is_empty() { std::str::from_utf8(key.get(1..)?).ok()? } else { &record.long_name };
    (script_key(name) == key).then(|| name.to_owned())
}
