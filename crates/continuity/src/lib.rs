//! Continuity, the purpose of Holdfast: a failure costs minutes. Everything here follows the store's log.
//!
//! * [`archive`]: off-site log and bodies, snapshots, restore.
//! * [`stage`]: the staged return after an outage, the features of each stage, and plans that move through them.
//! * [`standby`]: a second machine that follows, compares, and can take over.
//! * [`link`]: how paired machines know and reach each other.
//! * [`mending`]: fetches replacements for damaged bodies from other machines and archives.
//! * [`estimate`]: progress and remaining time of a first copy.
//! * [`down_page`]: the "service unavailable" page.
//!
//! What this crate must never do: delay a commit that it was not asked to hold; call something a backup that was not
//! read back; replace damaged data without keeping it; become the primary on its own.

pub mod archive;
pub mod down_page;
mod durable;
pub mod estimate;
pub mod link;
pub mod mending;
pub mod rewind;
pub mod stage;
pub mod standby;

pub use durable::replace as replace_file;
