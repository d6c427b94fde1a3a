//! The commit log that everything follows, the index derived from it, and the bodies it refers to.
//!
//! * A **realm** is the unit of consistency: one per account, and a few of the system's own.
//! * A **commit** is an atomic set of key writes to one or a few realms. It gets a gapless store-wide [`Seq`], and each
//!   realm it touches a gapless [`RealmSeq`]. It is acknowledged after the log was synced, not before.
//! * The **log** is the truth. It is append-only, checksummed per record and hash-chained. The index that readers query
//!   is derived from it and is caught up from it after a crash.
//! * **Bodies** (messages) are named by the BLAKE3 of their bytes, stored once in append-only packs, verified when read.
//! * Every value in the index is **sealed**, every realm has a running **digest** of its records; every commit
//!   states the digest that must result. Data that does not match is reported and quarantined, never served.
//!
//! What this crate must never do: acknowledge data that is not durable; truncate a log that a witness says must be longer;
//! return bytes that do not match their seal, digest or hash; know the meaning of keys and values.
//!
//! Start reading at [`Store`] for the whole, [`writer`] for how a commit is made, [`log`] for the on-disk format.

mod aside;
mod body;
mod checkpoint;
mod clock;
mod compress;
mod damage;
mod damaged;
mod digest;
pub mod disk;
mod error;
mod fill;
mod follow;
#[doc(hidden)]
pub mod fuzzing;
mod hooks;
mod ids;
mod in_place;
mod index;
mod lock;
pub mod log;
mod maintain;
mod marks;
mod options;
mod partial;
mod past;
mod read;
mod rebuild;
mod record;
mod repair;
mod replica;
mod restore;
mod room;
mod salvage;
mod scrub;
#[cfg(test)]
mod sim;
mod snapshot;
mod staging;
mod store;
mod tx;
mod verify;
mod watchers;
mod witness;
pub mod writer;

pub use aside::AsideBatch;
pub use body::{BodyReader, RESCUE_WAIT, Reclaim, Reclaimed, WantedBody};
pub use checkpoint::Checkpoint;
pub use clock::{Clock, SystemClock};
pub use damage::{Damage, MAX_NAMED_BODIES};
pub use damaged::{Cause, Damaged, Part};
pub use digest::Digest;
pub use error::{ErrorClass, PeerFault, Result, StoreError};
pub use fill::{Filled, LogDonor, fill_log};
pub use follow::Follower;
pub use hooks::{Closed, Derive, OnCommit};
pub use ids::{BodyId, ParseBodyIdError, RealmId, RealmSeq, Seq};
pub use maintain::Dropped;
pub use options::StoreOptions;
pub use partial::Wish;
pub use past::{MAX_PAST_BYTES, Past};
pub use read::{Order, Read, Rows, refers_to};
pub use rebuild::{Rebuilt, rebuild_index};
pub use record::{BODY_REFERENCE, CLOCK_SLACK_MS, Commit, Op, RealmCommit, body_of_key};
pub use repair::{RepairLog, repair, repair_with};
pub use replica::RealmSummary;
pub use restore::{Filler, Restore};
pub use salvage::{SalvageReport, Salvaged, SalvagedRealm, salvaged_commits};
pub use snapshot::Snapshot;
pub use staging::{BodyWriter, StagedBody};
pub use store::{FORMAT, Store};
pub use tx::{MAX_KEY_BYTES, MAX_VALUE_BYTES, Tx};
pub use verify::{
    Invariants, Report, Violation,
    running::{Reading, Told},
    verify,
};
pub use writer::Ticket;
