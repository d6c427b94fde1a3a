//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod acts;
mod files;
mod mailboxes;
mod messages;
mod model;
mod prefix;
mod rewind;
mod salvage;
mod searching;
mod snoozing;
mod world;
