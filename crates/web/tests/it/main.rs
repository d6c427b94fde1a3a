//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod mail;
mod people;
mod rewind;
mod site;
mod world;
