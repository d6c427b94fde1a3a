//! Finding messages: an index of each account's words that follows the account.
//!
//! * The index is derived, and local: it lies beside the store's records (`Store::set_aside`), no log and no copy has it,
//!   and it is built again when it is lost, damaged or of another version.
//! * It decides nothing. It tells `mailstore` which messages a search need not look at; those that it leaves are looked at
//!   as always, so answers are the same with it and without ([`mailstore::Narrowing`]).
//! * It follows the account's change feed. What it has not reached yet is among what it leaves, so no answer is stale.
//! * It never delays a commit. It is built in the background, in small batches, each of which is there as a whole or not
//!   at all after a crash; where the disk has no room for it, searches look at more messages.
//!
//! What this crate must never do: rule out a message that matches; end the service because of what a message says.
//!
//! Start reading at [`words`] for how texts are cut, [`Index`] for what is asked, `index::follow` for how it is built.

mod error;
mod index;
pub mod words;

pub use error::{Error, Result};
pub use index::{Followed, Index, Measure};
