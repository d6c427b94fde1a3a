//! The promises of the delivery crate, through its public face, over real sockets on loopback.

mod admin;
mod bounces;
mod dane;
mod dnssec;
mod fake;
mod forwarding;
mod inbound;
mod judging;
mod killed;
mod knot;
mod outbound;
mod relayed;
mod resolver;
mod secured;
mod sending;
mod sts;
mod submission;
mod survival;
mod unsigned;
mod world;
