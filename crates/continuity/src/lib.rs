//! What Holdfast exists for: that a bad night costs minutes. Everything here follows the store's log.
//!
//! * [`archive`]: the log and the bodies shipped elsewhere as they come, snapshots, restore.
//! * [`stage`]: coming back in stages, what is on in each, and plans that move through them.
//! * [`standby`]: a second machine that follows, compares, and can take over.
//! * [`mending`]: what is damaged here, from whoever has it.
//! * [`down_page`]: the page that people see while the service is not there.
//!
//! What this crate must never do: stand in the way of a commit that it was not asked to hold; call something a backup
//! that was not read back; replace what is damaged without keeping it; decide by itself to become the primary.

pub mod archive;
pub mod down_page;
mod durable;
pub mod mending;
pub mod rewind;
pub mod stage;
pub mod standby;
