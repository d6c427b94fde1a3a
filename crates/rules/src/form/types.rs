//! What a rule is made of.

use std::borrow::Cow;

use super::pattern::{Shape, shape};

/// The variable that says that a message has got its reply.
pub(crate) const REPLIED: &str = "replied";
/// How often one person gets the same reply of a rule, in days.
pub(crate) const REPLY_DAYS: u64 = 1;
/// The address book as a list (RFC 6134 section 2.6).
pub(crate) const ADDRESS_BOOK: &str = ":addrbook:default";

/// A rule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// What its owner calls it.
    pub name: String,
    /// Whether it is kept but not used.
    pub off: bool,
    /// Which messages.
    pub join: Join,
    /// Empty for every message.
    pub conditions: Vec<Condition>,
    /// What is done, in this order.
    pub actions: Vec<Action>,
}

/// How many of the conditions have to hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Join {
    /// All.
    #[default]
    All,
    /// At least one.
    Any,
    /// There are none: every message.
    Every,
}

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// A text of the message.
    Text {
        /// Which.
        of: Of,
        /// How it is compared.
        how: How,
        /// The contrary.
        not: bool,
        /// With what; one of them is enough.
        values: Vec<String>,
    },
    /// The size of the message.
    Size {
        /// Larger, not smaller.
        over: bool,
        /// In bytes.
        bytes: u64,
    },
    /// Whether a file is attached.
    Attachment(bool),
    /// Whether the sender is in the address book.
    Known(bool),
    /// Whether the message is taken for spam.
    Spam(bool),
}

/// A text of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Of {
    /// The sender.
    From,
    /// To and Cc.
    To,
    /// The subject.
    Subject,
    /// A header field of that name.
    Header(String),
    /// The text.
    Body,
    /// The id of the mailing list.
    List,
    /// The address that it was delivered to.
    Recipient,
}

/// How texts are compared. Case does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Occurs in it.
    Contains,
    /// Is all of it.
    Is,
    /// Is its beginning.
    Begins,
    /// Is its end.
    Ends,
    /// With `*` and `?` for any characters.
    Matches,
}

/// What is done with a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It is marked as read.
    MarkRead,
    /// It gets a star.
    Star,
    /// It gets a label.
    Label(String),
    /// A copy is filed.
    CopyTo(Folder),
    /// It is sent on.
    Forward {
        /// To that address.
        to: String,
        /// And stays here.
        keep: bool,
    },
    /// Its sender gets a reply.
    Reply {
        /// Empty: that of the message.
        subject: String,
        /// The text.
        text: String,
    },
    /// It is filed in a mailbox.
    MoveTo(Folder),
    /// It is put away until the next such time of day, on that day of the week if one is named.
    Snooze {
        /// As `08:00`.
        time: String,
        /// `0` (Sunday) to `6`; empty for any day.
        weekday: String,
    },
    /// It stays in the inbox.
    Keep,
    /// It is refused; its sender is told why.
    Reject(String),
    /// It is deleted; nobody is told.
    Discard,
    /// No further rule is tried.
    Stop,
}

/// A mailbox that messages are filed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Folder {
    /// Its name.
    pub name: String,
    /// Its id: it is found again when it gets another name. Empty if a script names it alone.
    pub id: String,
}

impl Rule {
    /// The rule with what can be said in two ways said in one.
    #[must_use]
    pub fn settled(mut self) -> Self {
        self.name = settled_name(&self.name);
        if self.conditions.is_empty() {
            self.join = Join::Every;
        }
        if self.conditions.len() == 1 || (self.join == Join::Every && !self.conditions.is_empty()) {
            self.join = Join::All;
        }
        self.conditions = self.conditions.into_iter().map(Condition::settled).collect();
        for action in &mut self.actions {
            match action {
                Action::Reply { text, .. } => *text = settled_text(text),
                Action::Reject(text) => *text = settled_text(text),
                _ => {}
            }
        }
        self
    }

    /// Whether the message is refused, which excludes everything else.
    pub fn rejects(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Reject(_)))
    }

    /// Whether the message is thrown away or refused.
    pub(crate) fn ends_mail(&self) -> bool {
        self.actions.iter().any(|action| matches!(action, Action::Reject(_) | Action::Discard))
    }
}

impl Condition {
    /// See [`Rule::settled`].
    #[must_use]
    fn settled(self) -> Self {
        let Self::Text { of, how, not, values } = self else { return self };
        let (how, values) = if how == How::Matches { matching(values) } else { (how, values) };
        let is = |name: &str, of: &str| name.eq_ignore_ascii_case(of);
        let of = match of {
            Of::Header(name) if is(&name, "subject") => Of::Subject,
            Of::Header(name) if is(&name, "list-id") => Of::List,
            Of::Header(name) if is(&name, "from") && how == How::Contains => Of::From,
            of => of,
        };
        Self::Text { of, how, not, values }
    }
}

/// A name in one line.
pub(crate) fn settled_name(name: &str) -> String {
    name.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

/// A text with the line breaks that scripts have, and none at its end.
pub(crate) fn settled_text(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").trim_end().replace('\n', "\r\n")
}

/// A text as a command has it: longer ones end with a line break, so that they are written in lines.
pub(crate) fn written_text(text: &str) -> Cow<'_, str> {
    if text.contains('\n') { Cow::Owned(format!("{text}\r\n")) } else { Cow::Borrowed(text) }
}

/// How the patterns of `:matches` compare: all of them begin so, or end so, or something else.
pub(super) fn matching(patterns: Vec<String>) -> (How, Vec<String>) {
    match shape(&patterns) {
        Shape::Begins(values) => (How::Begins, values),
        Shape::Ends(values) => (How::Ends, values),
        Shape::Other => (How::Matches, patterns),
    }
}
