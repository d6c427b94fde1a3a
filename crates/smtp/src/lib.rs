//! The SMTP servers: receiving from other servers (MX), submission from mail apps, LMTP from another MTA.
//!
//! [`command`] parses lines, [`data`] finds the end of a message; both are pure. [`session`] keeps the state of one
//! connection and asks [`delivery`] about senders and recipients; it answers 250 to a message only after delivery
//! reports that the message is durable.
//!
//! What this crate must never do: accept a line end or a message end that is not clean `CRLF` (SMTP smuggling); treat
//! commands from before STARTTLS as sent under TLS; hold a message in memory; decide where mail goes.

pub mod command;
pub mod data;
mod door;
mod harvest;
mod intake;
mod line;
mod options;
mod reply;
mod session;

pub use door::SmtpDoor;
pub use intake::{Intake, IntakeLimits};
pub use options::{Role, SmtpOptions};
