//! The SMTP doors: receiving from other servers (MX), submission from people's programs, LMTP from another MTA.
//!
//! [`command`] understands lines, [`data`] finds the end of a message; both are pure. [`session`] keeps the state of one
//! connection and asks [`delivery`] about senders and recipients; it says 250 to a message only after delivery says
//! that the message is durable.
//!
//! What this crate must never do: take a line or a message end that is not `CRLF`-clean for one (SMTP smuggling); take
//! what was said before STARTTLS for said under it; hold a message in memory; decide where mail goes.

pub mod command;
pub mod data;
mod door;
mod harvest;
mod options;
mod reply;
mod session;
mod wire;

pub use door::SmtpDoor;
pub use options::{Role, SmtpOptions};
