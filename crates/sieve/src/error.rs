//! What can be wrong with a script, and with a run.

use std::fmt;

/// A place in a script. Both count from 1; columns are characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column.
    pub column: u32,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// One thing that is wrong with a script.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {text}")]
pub struct Problem {
    /// Where.
    pub at: Position,
    /// What, and what to write instead.
    pub text: String,
}

/// Why a script can't be used: at least one [`Problem`], in the script's order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Problems(pub Vec<Problem>);

/// Why a run ended before the script did. What the script did until then does not count: the message is kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at}: {text}")]
pub struct RunError {
    /// The command.
    pub at: Position,
    /// What went wrong.
    pub text: String,
}

/// Gathers problems, up to [`crate::limits::MAX_PROBLEMS`].
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub problems: Vec<Problem>,
}

impl Found {
    pub fn add(&mut self, at: Position, text: impl Into<String>) {
        if self.problems.len() < crate::limits::MAX_PROBLEMS {
            self.problems.push(Problem { at, text: text.into() });
        }
    }
}
