//! What a run decided.

use crate::error::Position;
use crate::message::Message;
use crate::snooze::Snooze;

/// What a script does with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Filed in INBOX.
    Keep,
    /// Filed in a mailbox.
    FileInto(Mailbox),
    /// Sent on.
    Redirect(String),
    /// Sent on to all of a list.
    RedirectList(String),
    /// Refused; with `ereject` at the protocol's level alone.
    Reject {
        /// What the sender is told.
        reason: String,
        /// The command was `ereject`.
        ereject: bool,
    },
    /// An automatic reply.
    Vacation(Box<Vacation>),
    /// Put away until a time.
    Snooze(Box<Snooze>),
    /// Someone is told.
    Notify(Box<Notification>),
}

impl Action {
    /// Whether it files the message in INBOX.
    pub fn is_in_inbox(&self) -> bool {
        match self {
            Self::Keep => true,
            Self::FileInto(mailbox) => mailbox.is_inbox(),
            _ => false,
        }
    }
}

/// An action with where and how it was decided.
#[derive(Clone, Debug)]
pub struct Taken {
    /// The command.
    pub at: Position,
    /// The action.
    pub action: Action,
    /// The flags that the copy gets; `None` for those of the end of the run.
    pub flags: Vec<String>,
    /// The message as it was then, if the script had changed it.
    pub message: Option<Message>,
}

/// A mailbox as `fileinto` names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mailbox {
    /// Its name.
    pub name: String,
    /// `:mailboxid`: the mailbox of that id, if there is one.
    pub id: Option<String>,
    /// `:specialuse`: the mailbox with that flag, if there is one.
    pub special_use: Option<String>,
    /// `:create`: it is made if there is none.
    pub create: bool,
}

impl Mailbox {
    /// Whether it is INBOX, in any case of letters.
    pub fn is_inbox(&self) -> bool {
        self.name.eq_ignore_ascii_case("INBOX") && self.id.is_none() && self.special_use.is_none()
    }
}

/// `vacation` (RFC 5230, RFC 6131).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vacation {
    /// The text, or with `mime` a MIME entity.
    pub reason: String,
    /// `:mime`
    pub mime: bool,
    /// `:subject`
    pub subject: Option<String>,
    /// `:from`
    pub from: Option<String>,
    /// `:addresses`: the person's other addresses.
    pub addresses: Vec<String>,
    /// What makes two replies the same: `:handle`, or a text made of the arguments.
    pub handle: String,
    /// Shortest time between two replies to one person, in seconds.
    pub seconds: Option<u64>,
    /// Where a copy of the reply is filed, and with which flags.
    pub fcc: Option<(Mailbox, Vec<String>)>,
}

/// `notify` (RFC 5435).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification {
    /// The method: a URI.
    pub method: String,
    /// `:from`
    pub from: Option<String>,
    /// `:importance`: 1 (high) to 3 (low).
    pub importance: u8,
    /// `:options`
    pub options: Vec<String>,
    /// `:message`
    pub message: Option<String>,
    /// Where a copy is filed, and with which flags.
    pub fcc: Option<(Mailbox, Vec<String>)>,
}

/// What a run came to.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The actions in their order; the implicit keep is the last where it holds.
    pub actions: Vec<Taken>,
    /// How many steps it took.
    pub steps: u64,
}

impl Outcome {
    /// Whether a copy is filed in INBOX or elsewhere.
    pub fn is_filed(&self) -> bool {
        self.actions.iter().any(|taken| matches!(taken.action, Action::Keep | Action::FileInto(_) | Action::Snooze(_)))
    }
}
