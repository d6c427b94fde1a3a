//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod bit_flips;
mod checkpoints;
mod classes;
mod common;
mod fill;
mod format;
mod index;
mod limits;
mod model;
mod past;
mod promises;
mod reclaim;
mod replica;
mod restore;
mod salvage;
mod scrub;
mod witnesses;
