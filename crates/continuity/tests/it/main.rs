//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod archive;
mod forged;
mod rejoin;
mod s3;
mod serving;
mod world;
