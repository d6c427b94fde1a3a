//! Shared parts of all protocol crates: listeners with limits, TLS and STARTTLS, SASL exchanges.
//!
//! This crate knows sockets and bytes. It must never know mail, accounts or storage: a [`Listener`] hands out
//! [`Conn`]s, a [`sasl::Exchange`] returns what the client claimed, and the protocol crate decides.
//!
//! Start reading at [`Listener`].

mod certificate;
mod conn;
mod listener;
mod network;
mod patience;
pub mod sasl;
pub mod span;
mod tickets;
mod tls;

pub use certificate::Certificate;
pub use conn::{Conn, Handshake, PlaintextLogins};
pub use listener::{Connections, ListenOptions, Listener, Security, answers_late};
pub use network::network_of;
pub use patience::{PATIENCE, SLOWEST_BYTES_PER_SECOND};
pub use tickets::{Clock, PERIOD as TICKET_PERIOD, TicketKeys};
pub use tls::{Tls, TlsError};
