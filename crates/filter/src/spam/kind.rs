//! What a message is, and who says so.

/// Spam or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Unwanted.
    Spam,
    /// Wanted.
    Wanted,
}

impl Kind {
    pub(super) fn number(self) -> u32 {
        match self {
            Self::Spam => 1,
            Self::Wanted => 2,
        }
    }

    pub(super) fn from_number(number: u32) -> Option<Self> {
        match number {
            1 => Some(Self::Spam),
            2 => Some(Self::Wanted),
            _ => None,
        }
    }
}

/// Who says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The user: moved it to or from Spam, pressed the button, set a keyword. Counts for ever.
    User,
    /// It follows from what became of the message: read and kept. The user's word overrules it.
    Conduct,
}
