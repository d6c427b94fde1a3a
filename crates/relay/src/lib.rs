//! Backup MX: relays on other machines take mail while the primary is away, and give it back at the pace that the primary
//! sets.
//!
//! * [`Receiver`] is the primary's side: it pairs relays, gives them the list of recipients, and takes their mail.
//! * [`Relay`] is a relay: it keeps what it took in a store of its own, and gives it to the primary.
//! * [`list`]: the signed list of recipients, by which a relay answers at RCPT.
//! * `foreign`: a primary of another make, to which mail is given by SMTP; [`address_file`] and `asking` tell whom it has.
//! * [`agenda`]: what is given next; [`pace`]: how fast. Both are pure.
//!
//! What this crate must never do: tell a client 250 before the message is durable; send a report to a sender, who may be
//! forged; drop a message that nobody has; file a message twice.
//!
//! Start reading at [`wire`] for what the two say to each other, then [`node`] and [`receiver`].

pub mod address_file;
pub mod agenda;
mod asking;
mod foreign;
#[doc(hidden)]
pub mod fuzzing;
mod given;
mod held;
mod keeper;
mod link;
pub mod list;
mod logins;
mod node;
pub mod pace;
mod receiver;
mod session;
mod spool;
mod status;
mod wire;

pub use foreign::ForeignOptions;
pub use held::{HeldMessage, Holding};
pub use node::{Relay, RelayOptions, SMTP_PRIMARY};
pub use receiver::{Gate, Receiver, ReceiverOptions};
pub use status::{Backlog, OfRelay, RelayStatus};

/// For how long a list of recipients is used without hearing of the primary. Afterwards recipients are answered 451.
pub const LIST_FOR: std::time::Duration = std::time::Duration::from_secs(14 * 86_400);
/// For how long a relay keeps what the primary has taken, to offer it again if the primary was restored.
pub const KEEP_GIVEN: std::time::Duration = std::time::Duration::from_secs(7 * 86_400);
/// For how long a relay keeps what the primary has refused for good, unless its operator deletes it.
pub const KEEP_REFUSED: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
/// Undelivered mail that is older raises an alarm. It is never dropped.
pub const HOLD: std::time::Duration = std::time::Duration::from_secs(14 * 86_400);

/// Why something can't be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network, or a file.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] store::StoreError),
    /// The input is not a pairing code.
    #[error(transparent)]
    Code(#[from] continuity::link::NotACode),
    /// The primary says no.
    #[error("the primary refused the connection: {0}")]
    Refused(String),
    /// It can't be done now.
    #[error("{0}")]
    NotNow(String),
}
