//! Sending to other servers: choosing hosts, speaking SMTP, interpreting replies.
//!
//! [`transaction`] and [`reply`] implement the protocol without sockets; [`connection`] carries it over TCP and TLS;
//! [`hosts`] finds the hosts to connect to; [`security`] says what is demanded of the way there ([`dane`], [`sts`]) and
//! [`tally`] counts what became of it; [`pool`] keeps connections for the next message.

pub mod attempt;
pub mod connection;
pub mod dane;
pub mod hosts;
pub mod https;
pub mod pool;
pub mod problem;
pub mod reply;
pub mod security;
pub mod sts;
pub mod tally;
pub mod tls;
pub mod transaction;
pub mod wire;

pub use reply::Reply;
