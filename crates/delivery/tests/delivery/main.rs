//! The promises of the delivery crate, through its public face, over real sockets on loopback.

mod fake;
mod inbound;
mod world;
