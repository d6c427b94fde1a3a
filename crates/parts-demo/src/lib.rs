//! Parts that exist in tests alone, each in one file: [`Notes`] go back in a rewind, a [`Ledger`] never does. They show
//! what a part of an account's realm has to state, and that this is all it takes.

mod ledger;
mod notes;

pub use ledger::{Ledger, PAYMENT, entry};
pub use notes::{NOTE, Notes, note};
