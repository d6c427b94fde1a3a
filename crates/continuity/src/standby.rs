//! The standby: a second machine that follows the log over TLS, stores it byte for byte, and applies it to its own
//! index, where every commit must produce the digest that it states. So corruption on the primary is detected and does
//! not spread.
//!
//! * [`Primary`] serves standbys next to the other listeners, and holds acknowledgements if configured to.
//! * [`Standby`] follows, resumes after any interruption, applies with a delay and tripwires, compares, and can be
//!   promoted.
//!
//! The two are paired once by a code; from then on each knows the other's key. A promotion raises the epoch that every
//! commit carries; the machine of the previous epoch is told as soon as it can be reached, and stops writing.

mod alone;
mod apply;
mod arrivals;
mod brake;
mod check;
mod compare;
mod connect;
mod copy;
mod error;
mod follow;
#[doc(hidden)]
pub mod fuzzing;
mod intake;
mod lend;
mod mend;
mod primary;
mod promote;
mod rejoin;
mod replica;
mod rules;
mod tripwire;
mod wire;

pub use crate::link::{CODE_FOR, Fingerprint, NotACode, PairingCode};
pub use compare::{Compared, Resynced};
pub use error::Error;
pub use primary::{
    Borrowing, Copying, Mode, Primary, PrimaryOptions, StandbyDonor, StandbyStatus, Waiting, has_standbys,
};
pub use promote::{
    HowToPromote, LeftToDo, Promotion, finish_promotion, loses, primary_answers, promote_folder, promotion_is_finished,
    tell_former, was_promoted,
};
pub use rejoin::Rejoined;
pub use replica::{Ended, Standby, StandbyOptions, Status, StoreOptionsMaker};
pub use rules::Rules;
pub use tripwire::{Deletes, Gone, Tripped, Tripwires};
