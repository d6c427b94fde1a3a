//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod clients;
mod protocol;
mod sessions;
mod world;
