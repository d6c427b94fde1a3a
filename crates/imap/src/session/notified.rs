//! What a client is told without being asked.

use std::collections::{BTreeMap, BTreeSet};

use mailstore::{Mailbox, MailboxId, MailboxName, MetadataMarks, Watch};

use crate::syntax::{FetchItem, NotifyEvents};

/// What a client wants to be told, and what it was told last.
pub(super) struct Notified {
    /// The first group that matches a mailbox counts for it.
    pub groups: Vec<(Filter, NotifyEvents)>,
    /// The selected mailbox is told of at once.
    pub selected: Option<SelectedEvents>,
    pub changes: Watch,
    pub mailboxes: BTreeMap<MailboxId, Mailbox>,
    pub subscriptions: BTreeSet<MailboxName>,
    /// Empty as long as nobody wants to hear of metadata.
    pub metadata: MetadataMarks,
}

/// What is told of the selected mailbox, and how.
pub(super) struct SelectedEvents {
    /// Expunges, too.
    pub expunges: bool,
    /// What is fetched of new messages.
    pub fetch: Vec<FetchItem>,
}

/// Which mailboxes a group is about.
pub(super) enum Filter {
    Inbox,
    All,
    Subscribed,
    Subtrees(Vec<MailboxName>),
    Named(Vec<MailboxName>),
}

impl Filter {
    pub(super) fn matches(&self, name: &MailboxName, is_subscribed: bool) -> bool {
        match self {
            Self::Inbox => name.is_inbox(),
            Self::All => true,
            Self::Subscribed => is_subscribed,
            Self::Named(names) => names.contains(name),
            Self::Subtrees(tops) => {
                tops.contains(name) || name.ancestors().into_iter().any(|above| tops.contains(&above))
            }
        }
    }
}

impl Notified {
    pub(super) fn events(&self, name: &MailboxName, is_subscribed: bool) -> Option<&NotifyEvents> {
        self.groups.iter().find(|(filter, _)| filter.matches(name, is_subscribed)).map(|(_, events)| events)
    }

    pub(super) fn wants_metadata(&self) -> bool {
        let wants = |events: &NotifyEvents| events.mailbox_metadata_change || events.server_metadata_change;
        self.groups.iter().any(|(_, events)| wants(events))
    }

    /// To wait by, with [`changed`].
    pub(super) fn changes(&self) -> Watch {
        self.changes.clone()
    }
}

/// Waits until something changes.
pub(super) async fn changed(changes: &mut Watch) {
    if !changes.changed().await {
        // The store is stopping, which the connection hears from elsewhere.
        std::future::pending::<()>().await;
    }
}
