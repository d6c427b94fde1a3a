//! The rules of accounts: Sieve scripts by name, which of them is active, and what scripts remember about people and messages.
//!
//! [`Rules`] reads and changes them; [`Book`] is a script as a page shows it, made of [`Rule`]s and what was written by hand.
//! [`RulesPart`] is their part of the account's realm. A script is checked before it is kept, so
//! the active one always runs. Start reading at `scripts.rs`.
//!
//! This crate runs no script and delivers nothing: `inbound` has the judge that does.

mod book;
mod edits;
mod form;
mod part;
mod schema;
mod scripts;
#[cfg(test)]
mod tests;
mod vacation;

pub use book::{Book, Clash, Part, Shown};
pub use edits::{Current, Edit, LastEdit, version};
pub use form::{Action, Condition, Folder, How, Join, Of, Rule};
pub use part::RulesPart;
pub use scripts::{
    MAX_NAME_BYTES, MAX_SCRIPTS, MAX_TOTAL_BYTES, Rules, RulesError, ScriptSummary, capabilities, check, duplicate_key,
    vacation_key,
};
pub use vacation::{DEFAULT_DAYS, Day, OwnReply, Vacation};
