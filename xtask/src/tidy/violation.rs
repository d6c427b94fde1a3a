//! A rule that is broken somewhere.

use std::path::PathBuf;

/// A rule that is broken somewhere.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Violation {
    /// Below the root of the repository.
    pub file: PathBuf,
    pub line: usize,
    pub rule: &'static str,
    /// What is wrong, and what to do.
    pub what: String,
}
