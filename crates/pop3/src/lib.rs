//! The POP3 server: RFC 1939, with CAPA and response codes (RFC 2449, RFC 3206), STLS (RFC 2595), SASL (RFC 5034) and
//! UTF8 (RFC 6856).
//!
//! A client sees the messages that were in INBOX when it logged in. Messages that it deletes are removed at QUIT, in
//! commits that are durable before the reply `+OK`; a connection that ends in any other way changes nothing.
//!
//! What this crate must never do: remove anything without QUIT; accept a password in plain text unless configured to;
//! return a message whose bytes do not match its hash.
//!
//! Start reading at [`Pop3Door`] for the connection, at [`session`] for the protocol: the session takes lines and
//! returns replies and effects, and knows no sockets.

mod command;
mod door;
#[doc(hidden)]
pub mod fuzzing;
mod maildrop;
mod options;
mod reply;
mod session;
mod stuffing;

pub use door::Pop3Door;
pub use options::Pop3Options;
