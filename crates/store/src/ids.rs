//! Identifiers.

use std::{fmt, str::FromStr};

/// A unit of consistency: an account's data, or one of the system's own sets.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealmId(u64);

impl RealmId {
    /// Data looked up across accounts: logins, addresses, domains.
    pub const DIRECTORY: Self = Self(1);
    /// Mail on its way out.
    pub const QUEUE: Self = Self(2);
    /// Incidents and their followers.
    pub const STATUS: Self = Self(3);
    /// Reports about hosted domains, and what is to be reported about others.
    pub const REPORTS: Self = Self(4);
    const FIRST_ACCOUNT: u64 = 1 << 32;

    /// The realm of an account.
    pub const fn account(number: u32) -> Self {
        Self(Self::FIRST_ACCOUNT + number as u64)
    }

    /// The account's number, when the realm is an account's.
    pub const fn account_number(self) -> Option<u32> {
        match self.0.checked_sub(Self::FIRST_ACCOUNT) {
            Some(number) if number <= u32::MAX as u64 => Some(number as u32),
            _ => None,
        }
    }

    /// The realm of a number that stood in a stored record.
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }

    /// The number that stands in stored records.
    pub const fn raw(self) -> u64 {
        self.0
    }
}

impl fmt::Display for RealmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::DIRECTORY => f.write_str("directory"),
            Self::QUEUE => f.write_str("queue"),
            Self::STATUS => f.write_str("status"),
            Self::REPORTS => f.write_str("reports"),
            other => match other.account_number() {
                Some(number) => write!(f, "account {number}"),
                None => write!(f, "realm {}", self.0),
            },
        }
    }
}

impl fmt::Debug for RealmId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A commit's place in the store's log: 1 is the first, 0 is "none yet".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub u64);

/// A commit's place among those of one realm: 1 is the first, 0 is "none yet".
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RealmSeq(pub u64);

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RealmSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a body: the BLAKE3 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BodyId([u8; 32]);

impl BodyId {
    /// The name of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// The 32 bytes of the name.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// A name from its 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for BodyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for BodyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Not 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a body id must have 64 hexadecimal digits")]
pub struct ParseBodyIdError;

impl FromStr for BodyId {
    type Err = ParseBodyIdError;

    fn from_str(text: &str) -> Result<Self, ParseBodyIdError> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return Err(ParseBodyIdError);
        }
        let value = |digit: u8| char::from(digit).to_digit(16).ok_or(ParseBodyIdError);
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (value(pair[0])? * 16 + value(pair[1])?) as u8;
        }
        Ok(Self(bytes))
    }
}
