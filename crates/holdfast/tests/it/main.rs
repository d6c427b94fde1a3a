//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod archive;
mod clients;
mod crash;
mod large;
mod maintenance;
mod operate;
mod repair;
mod restore;
mod rewind;
mod salvage;
mod secrets;
mod soak;
mod stages;
mod standby;
mod storm;
mod support;
