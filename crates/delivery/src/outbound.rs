//! Sending to other servers: choosing hosts, speaking SMTP, interpreting replies.
//!
//! [`transaction`] and [`reply`] implement the protocol without sockets; [`connection`] carries it over TCP and TLS;
//! [`hosts`] finds the hosts to connect to; [`pool`] keeps connections for the next message.

pub mod attempt;
pub mod connection;
pub mod hosts;
pub mod pool;
pub mod reply;
pub mod tls;
pub mod transaction;
pub mod wire;

pub use reply::Reply;
