//! Up to where something is restored.

use std::fmt;

use store::Seq;

/// Up to where something is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum At {
    /// Up to the last commit there is.
    #[default]
    Last,
    /// Up to the last commit that was made then or before, in milliseconds since 1970.
    Moment(i64),
    /// Up to this commit, and with it.
    Commit(Seq),
}

impl At {
    /// The moment, where one is named.
    pub const fn moment_ms(self) -> Option<i64> {
        match self {
            Self::Moment(at_ms) => Some(at_ms),
            Self::Last | Self::Commit(_) => None,
        }
    }

    /// The commit, where one is named.
    pub const fn commit(self) -> Option<Seq> {
        match self {
            Self::Commit(seq) => Some(seq),
            Self::Last | Self::Moment(_) => None,
        }
    }
}

impl From<Option<i64>> for At {
    fn from(at_ms: Option<i64>) -> Self {
        at_ms.map_or(Self::Last, Self::Moment)
    }
}

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("the last commit"),
            Self::Moment(at_ms) => match jiff::Timestamp::from_millisecond(*at_ms) {
                Ok(at) => at.fmt(f),
                Err(_) => f.write_str("no moment"),
            },
            Self::Commit(seq) => write!(f, "commit:{seq}"),
        }
    }
}
