//! The standby: a second machine that follows the log over TLS, keeps it byte for byte, and applies it to an index of
//! its own, where every commit must lead to the digest that it states. What is corrupt on the primary is therefore
//! noticed here, and does not become corrupt here.
//!
//! * [`Primary`] serves standbys beside the doors, and holds acknowledgements where that was asked for.
//! * [`Standby`] follows, resumes after any break, applies with a delay and tripwires, compares, is promoted.
//!
//! The two are paired once by a code that is typed; from then on each knows the other's key. A promotion raises the
//! epoch that every commit carries; the machine that wrote in the one before is told as soon as it is met, and writes no
//! more.

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
mod keys;
mod lend;
mod mend;
mod patient;
mod primary;
mod promote;
mod rejoin;
mod replica;
mod rules;
mod tripwire;
mod wire;

pub use compare::{Compared, Resynced};
pub use error::Error;
pub use keys::{Fingerprint, NotACode, PairingCode};
pub use primary::{CODE_FOR, Mode, Primary, PrimaryOptions, StandbyDonor, StandbyStatus, Waiting};
pub use promote::{
    HowToPromote, LeftToDo, Promotion, finish_promotion, loses, primary_answers, promote_folder, promotion_is_finished,
    tell_former, was_promoted,
};
pub use rejoin::Rejoined;
pub use replica::{Ended, Standby, StandbyOptions, Status, StoreOptionsMaker};
pub use rules::Rules;
pub use tripwire::{Deletes, Gone, Tripped, Tripwires};
