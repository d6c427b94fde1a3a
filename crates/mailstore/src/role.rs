//! What a mailbox is for.

use std::fmt;

/// What a mailbox is for: a special-use attribute (RFC 6154). At most one mailbox of an account has each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Where mail arrives. Always the mailbox named INBOX.
    Inbox,
    /// `\Drafts`
    Drafts,
    /// `\Sent`
    Sent,
    /// `\Archive`
    Archive,
    /// `\Junk`
    Junk,
    /// `\Trash`
    Trash,
    /// `\Snoozed` (draft-ietf-extra-email-snooze): its messages go back to INBOX at their times.
    Snoozed,
}

impl Role {
    /// All roles, in the order in which people expect the mailboxes.
    pub const ALL: [Self; 7] =
        [Self::Inbox, Self::Snoozed, Self::Drafts, Self::Sent, Self::Archive, Self::Junk, Self::Trash];
    /// The roles for which each account has a mailbox from the beginning.
    pub const STANDARD: [Self; 6] = [Self::Inbox, Self::Drafts, Self::Sent, Self::Archive, Self::Junk, Self::Trash];

    /// The name that the standard mailbox of this role gets.
    pub fn standard_name(self) -> &'static str {
        match self {
            Self::Inbox => "INBOX",
            Self::Drafts => "Drafts",
            Self::Sent => "Sent",
            Self::Archive => "Archive",
            Self::Junk => "Junk",
            Self::Trash => "Trash",
            Self::Snoozed => "Snoozed",
        }
    }

    /// The IMAP attribute, `\Sent`; INBOX has none.
    pub fn attribute(self) -> Option<&'static str> {
        match self {
            Self::Inbox => None,
            Self::Drafts => Some("\\Drafts"),
            Self::Sent => Some("\\Sent"),
            Self::Archive => Some("\\Archive"),
            Self::Junk => Some("\\Junk"),
            Self::Trash => Some("\\Trash"),
            Self::Snoozed => Some("\\Snoozed"),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.standard_name())
    }
}

impl Role {
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Inbox => 1,
            Self::Drafts => 2,
            Self::Sent => 3,
            Self::Archive => 4,
            Self::Junk => 5,
            Self::Trash => 6,
            Self::Snoozed => 7,
        }
    }

    pub(crate) fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|role| u32::from(role.number()) == number)
    }
}
