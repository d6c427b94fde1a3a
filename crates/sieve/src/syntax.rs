//! The generic grammar (RFC 5228 section 8.2): a script as a tree of commands, before it is known what they mean.
//!
//! [`Syntax`] keeps the comments before each command, and writes itself back as a script (`Display`), so that a page can
//! read a script, change a rule and write it again.

mod parser;
mod print;

use std::ops::Range;

use crate::error::{Position, Problems};

/// A script as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Syntax {
    /// Its commands.
    pub commands: Vec<Node>,
    /// Comments after the last command.
    pub comments: Vec<String>,
}

/// A command or test.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name, as written.
    pub name: String,
    /// Where it stands.
    pub at: Position,
    /// Lines of comment before it.
    pub comments: Vec<String>,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Its tests.
    pub tests: Vec<Node>,
    /// Whether the tests stand in parentheses.
    pub in_parentheses: bool,
    /// Its block.
    pub block: Option<Vec<Node>>,
    /// Comments before the end of its block.
    pub last_comments: Vec<String>,
}

/// An argument with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Where it stands.
    pub at: Position,
    /// What it is.
    pub value: Literal,
}

/// What an argument can be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// A tag, without its colon.
    Tag(String),
    /// A number.
    Number(u64),
    /// One string.
    Text(String),
    /// A list of strings in brackets.
    List(Vec<String>),
}

/// Where a command stands that is in no block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// From its name to its end, in bytes of the script.
    pub bytes: Range<usize>,
    /// Whether there are comments within it.
    pub has_comments: bool,
}

impl Syntax {
    /// Reads a script, and tells where each of its commands stands.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_pieces(text: &str) -> Result<(Self, Vec<Piece>), Problems> {
        let mut found = crate::error::Found::default();
        let (syntax, pieces) = parser::read_pieces(text, &mut found);
        if found.problems.is_empty() { Ok((syntax, pieces)) } else { Err(Problems(found.problems)) }
    }

    /// Reads a script. All that is wrong with it is told, not only the first thing.
    ///
    /// # Errors
    /// What is wrong with its grammar.
    pub fn read(text: &str) -> Result<Self, Problems> {
        let mut found = crate::error::Found::default();
        let syntax = Self::read_into(text, &mut found);
        if found.problems.is_empty() { Ok(syntax) } else { Err(Problems(found.problems)) }
    }

    pub(crate) fn read_into(text: &str, found: &mut crate::error::Found) -> Self {
        parser::read(text, found)
    }
}
