//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod acme;
mod archive;
mod clients;
mod crash;
mod domains;
mod fetch;
mod finding;
mod forwarding;
mod full;
mod http2;
mod large;
mod maintenance;
mod operate;
mod partition;
#[path = "../../../certificates/tests/it/pebble.rs"]
mod pebble;
mod programs;
mod relay;
mod repair;
mod reports;
mod restore;
mod rewind;
mod salvage;
mod secrets;
mod senders;
mod sieve;
mod soak;
mod spam;
mod stages;
mod standby;
mod storm;
mod support;
