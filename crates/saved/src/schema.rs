//! Keys and records: `A0` id → a saved search, `A1` the searches made last, `A2` the last removed one.

/// Saved searches, by id.
pub(crate) const SAVED: u8 = 0xA0;
/// The searches made last.
pub(crate) const RECENT: u8 = 0xA1;
/// The saved search that was removed last: it can be brought back.
pub(crate) const REMOVED: u8 = 0xA2;
/// All kinds of keys.
pub(crate) const KINDS: [u8; 3] = [SAVED, RECENT, REMOVED];

/// A saved search.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct SavedRecord {
    /// What its owner calls it.
    #[prost(string, tag = "1")]
    pub name: String,
    /// As typed.
    #[prost(string, tag = "2")]
    pub query: String,
    /// Where it stands among the others: the lowest first.
    #[prost(int64, tag = "3")]
    pub position: i64,
}

/// The searches made last.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RecentRecord {
    /// As typed, the last one first.
    #[prost(string, repeated, tag = "1")]
    pub queries: Vec<String>,
}

/// A saved search that was removed.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RemovedRecord {
    /// Its id.
    #[prost(uint64, tag = "1")]
    pub id: u64,
    /// What it was.
    #[prost(message, optional, tag = "2")]
    pub search: Option<SavedRecord>,
    /// It was brought back.
    #[prost(bool, tag = "3")]
    pub undone: bool,
}

/// The key of a saved search.
pub(crate) fn saved_key(id: u64) -> Vec<u8> {
    [&[SAVED][..], &id.to_be_bytes()].concat()
}
