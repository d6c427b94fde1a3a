//! The promises of the delivery crate, through its public face, over real sockets on loopback.

mod admin;
mod bounces;
mod fake;
mod inbound;
mod judging;
mod killed;
mod outbound;
mod resolver;
mod sending;
mod submission;
mod survival;
mod unsigned;
mod world;
