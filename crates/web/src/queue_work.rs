//! The act on many messages of the queue that administrators began last: kept beside the site, so that its page shows how far
//! it is.

use std::time::Instant;

/// An act on many messages, as far as it is.
#[derive(Default)]
pub struct Work {
    /// What is done, in words; empty before the first.
    pub what: String,
    /// How many it has changed.
    pub changed: u64,
    /// How many it could not change: they are being delivered at this moment, or were a moment ago.
    pub left: u64,
    /// When it ended, and whether it could not go on.
    pub ended: Option<(Instant, bool)>,
    /// The request that began it has been answered: the page shows it.
    pub is_shown: bool,
}
