//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod any_bytes;
mod book;
mod cards;
