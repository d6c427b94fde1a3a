//! The ManageSieve server (RFC 5804): mail programs read, check, keep and activate the Sieve scripts of an account.
//!
//! A script is checked before it is kept, so the active one always runs; what is wrong with one is told with line and column.
//! A reply `OK` covers only what is durable.
//!
//! What this crate must never do: accept a password in plain text unless configured to; announce what is not there; take
//! memory for a script before its size is known to be allowed.
//!
//! Start reading at [`ManageSieveDoor`] for the connection, at [`session`] for the protocol: the session takes lines and
//! literals and returns replies and effects, and knows no sockets.

mod door;
mod frame;
#[doc(hidden)]
pub mod fuzzing;
mod options;
mod reply;
mod request;
mod session;
mod warnings;

pub use door::ManageSieveDoor;
pub use options::ManageSieveOptions;
