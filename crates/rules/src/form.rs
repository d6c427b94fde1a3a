//! A rule as a form shows it: conditions and actions that can be chosen, without the language behind them.
//!
//! `write.rs` makes commands of a rule, `read.rs` a rule of commands. What can't be shown exactly is not read as a rule: it
//! stays as it is written.

mod alike;
mod commands;
mod pattern;
mod read;
mod types;
mod write;

pub(crate) use alike::alike;
pub(crate) use commands::{list, number, tag, test, text, with};
pub(crate) use read::rule;
pub(crate) use types::{ADDRESS_BOOK, REPLIED, settled_name, settled_text, written_text};
pub use types::{Action, Condition, Folder, How, Join, Of, Rule};
pub(crate) use write::{all_of, command, off};
