//! The arguments of metadata commands.

use mailstore::{EntryName, MetadataDepth};

/// GETMETADATA (RFC 5464 section 4.2).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GetMetadata {
    /// The mailbox, as on the wire; empty for the server.
    pub mailbox: String,
    /// Which entries.
    pub entries: Vec<EntryName>,
    /// How far below them.
    pub depth: MetadataDepth,
    /// Longer values are left out.
    pub max_size: Option<u32>,
}
