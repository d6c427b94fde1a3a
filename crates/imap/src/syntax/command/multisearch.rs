//! ESEARCH, the command (RFC 7377).

use super::Search;

/// A search of several mailboxes at once.
#[derive(Debug, Clone, PartialEq)]
pub struct MultiSearch {
    /// Which mailboxes: those that any of these means. Never empty.
    pub sources: Vec<SearchSource>,
    /// What is looked for. What is found is told by UID.
    pub search: Search,
}

impl MultiSearch {
    /// Whether the selected mailbox is the only one meant.
    pub fn is_of_selected_alone(&self) -> bool {
        self.sources.iter().all(|source| *source == SearchSource::Selected)
    }
}

/// Some mailboxes to search (RFC 7377 section 2.2). Names are as on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants bear the names of the RFC")]
pub enum SearchSource {
    Selected,
    Inboxes,
    Personal,
    Subscribed,
    Subtree(Vec<String>),
    /// The mailbox, and those one level below it.
    SubtreeOne(Vec<String>),
    Mailboxes(Vec<String>),
}
