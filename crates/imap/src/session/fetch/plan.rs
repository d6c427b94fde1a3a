//! What is fetched of each message, and what has to be read for it.

use crate::{session::outcome::Enabled, syntax::FetchItem};

/// How many rows are read at a time when the envelope or structure is needed: some KB each.
pub(super) const ROWS_AT_A_TIME: usize = 64;
/// How many rows are read at a time when flags, dates and sizes are enough.
pub(super) const ENTRIES_AT_A_TIME: usize = 1_000;

/// What is fetched of each message.
pub(super) struct Plan {
    pub items: Vec<FetchItem>,
    pub enabled: Enabled,
    pub needs: Needs,
    /// The view has the flags that the client is to be told. What has changed since is told after the answer.
    pub flags_are_known: bool,
}

/// What has to be read for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Needs {
    /// More than the view knows.
    pub rows: bool,
    /// Envelope, structure or preview.
    pub parsed: bool,
    /// The message itself.
    pub body: bool,
}

impl Needs {
    pub(super) fn rows_at_a_time(self) -> usize {
        if self.parsed { ROWS_AT_A_TIME } else { ENTRIES_AT_A_TIME }
    }
}

impl Plan {
    pub(super) fn new(
        mut items: Vec<FetchItem>,
        fetch_uid: bool,
        changed_since: bool,
        enabled: Enabled,
        seen: bool,
    ) -> Self {
        // What an answer must hold although it was not asked for.
        if (fetch_uid || enabled.qresync) && !enabled.uid_only && !items.contains(&FetchItem::Uid) {
            items.insert(0, FetchItem::Uid);
        }
        let flags = items.contains(&FetchItem::Flags);
        if seen && !flags {
            items.push(FetchItem::Flags);
        }
        let modseq = items.contains(&FetchItem::ModSeq);
        if !modseq && (changed_since || (enabled.condstore && (flags || seen))) {
            items.push(FetchItem::ModSeq);
        }
        let body = items.iter().any(|item| matches!(item, FetchItem::Section(_) | FetchItem::BinarySize(_)));
        let parsed = body
            || items.iter().any(|item| {
                matches!(item, FetchItem::Envelope | FetchItem::Body | FetchItem::BodyStructure | FetchItem::Preview)
            });
        let known = |item: &FetchItem| matches!(item, FetchItem::Uid | FetchItem::Flags | FetchItem::ModSeq);
        let rows = seen || !items.iter().all(known);
        Self { items, enabled, needs: Needs { rows, parsed, body }, flags_are_known: false }
    }
}
