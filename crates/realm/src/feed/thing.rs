//! What changes are of, and what they are.

/// What a thing is, for those who follow an account. Numbers are stored: they are never used for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kind {
    /// Its number.
    pub number: u8,
    /// Its name, in the singular: `email`.
    pub name: &'static str,
}

/// Which thing of its kind.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Id {
    /// A number.
    Number(u64),
    /// A name: an address.
    Name(String),
}

impl From<u64> for Id {
    fn from(number: u64) -> Self {
        Self::Number(number)
    }
}

/// What happened to a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// It is new.
    Created,
    /// It was there, and is different.
    Updated,
    /// It is gone.
    Destroyed,
}
