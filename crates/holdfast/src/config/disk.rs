//! What is kept on the disk, and what happens when some of it is damaged.

use serde::{Deserialize, Serialize};

use super::{ByteSize, Span};

/// The commit log.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Store {
    /// How long commits, and bodies that nothing refers to, can be restored.
    pub retention: Span,
    /// Memory for cached index blocks.
    pub cache: ByteSize,
    /// Commits and messages are refused if less disk space than this is free.
    pub reserve: ByteSize,
}

impl Default for Store {
    fn default() -> Self {
        Self { retention: Span::days(30), cache: ByteSize::mib(64), reserve: ByteSize::mib(128) }
    }
}

/// What is damaged on this machine, and standbys or archives have.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Repair {
    /// A service that can't start because its log is damaged fetches what is missing from archives that it can read and
    /// from its standbys, and starts then.
    pub at_start: bool,
}

impl Default for Repair {
    fn default() -> Self {
        Self { at_start: true }
    }
}
