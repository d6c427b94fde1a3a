//! All integration tests of the crate, as one program: linking is most of what a test program costs.

mod admin;
mod bounces;
mod cards;
mod complete;
mod discovery;
mod display;
mod fetching;
mod finding;
mod forwarding;
mod identities;
mod languages;
mod lists;
mod mail;
mod masks;
mod people;
mod replies;
mod rewind;
mod rules;
mod searches;
mod sessions;
mod site;
mod snoozing;
mod vacation;
mod world;
mod writing;
