//! Shared parts of all protocol crates: listeners with limits, TLS and STARTTLS, buffered connections
//! that read lines, SASL exchanges.
//!
//! This crate knows sockets and bytes. It must never know mail, accounts or storage: a [`Listener`] hands out
//! [`Conn`]s, a [`sasl::Exchange`] returns what the client claimed, and the protocol crate decides.
//!
//! Start reading at [`Listener`], then [`Wire`].

mod certificate;
mod conn;
mod deflate;
mod listener;
mod named;
mod network;
mod patience;
mod reach;
pub mod sasl;
mod signed;
pub mod span;
mod tickets;
mod tls;
mod verify;
pub mod wire;

pub use certificate::Certificate;
pub use conn::{Conn, Handshake, PlaintextLogins};
pub use listener::{Connections, ListenOptions, Listener, Security, answers_late};
pub use named::{ACME_TLS_ALPN, ChallengeAnswer, Presented};
pub use network::{Network, NotANetwork, network_of};
pub use patience::{PATIENCE, SLOWEST_BYTES_PER_SECOND};
pub use reach::Reach;
pub use tickets::{Clock, PERIOD as TICKET_PERIOD, TicketKeys};
pub use tls::{Tls, TlsError};
pub use verify::{CertificateCheck, Seen};
pub use wire::Wire;
