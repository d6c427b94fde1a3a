//! Searches that an account keeps under a name, and those that it made last.
//!
//! [`SavedSearches`] reads and changes them; [`SavedPart`] is their part of the account's realm. Start reading at
//! `searches.rs`.
//!
//! This crate searches nothing: a query is a text here. What it means is known to the door that it was typed at.

mod part;
mod schema;
mod searches;

pub use part::SavedPart;
pub use searches::{MAX_NAME_CHARS, MAX_QUERY_CHARS, MAX_RECENT, MAX_SAVED, Removed, Saved, SavedError, SavedSearches};
