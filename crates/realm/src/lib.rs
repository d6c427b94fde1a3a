//! What lives in an account's realm, and what has to be done with it.
//!
//! Mail, people, credentials and settings, receipts: each is a [`RealmPart`], which states its keys and does its duties
//! ([`RealmPart`] lists them). The program builds one list of them, [`Parts`]; verify, the daily upkeep, the purge of a
//! deleted account, rewind, salvage and the tripwires of a standby go through that list and know no part by name. A part
//! that forgets a duty doesn't compile. What commits do to an account is noted in its change feed ([`feed`]).
//!
//! What this crate must never do: know what a part's records mean.
//!
//! Start reading at [`RealmPart`].

mod error;
pub mod feed;
mod part;
mod parts;
mod rewind;
mod salvage;

pub use error::{PartError, Result};
pub use part::{Keys, Loss, RealmPart, Work, clear_rows, unsound_rows};
pub use parts::Parts;
pub use rewind::{Coming, InCommit, Rewind, Rewindable};
pub use salvage::{Found, Merged, Merging, SalvageFrom};
