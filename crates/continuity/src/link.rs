//! How machines that were paired know and reach each other: standbys and relays use the same.
//!
//! Each machine has its own key, and recognizes the other by its certificate's fingerprint. A code, valid for ten minutes,
//! introduces one to the other. Connections are TLS 1.3, given up when nothing moves on them, and carry frames.

mod code;
mod connect;
pub mod frame;
mod keys;
mod patient;
mod strangers;

pub use code::{CODE_FOR, Codes};
pub use connect::{ANSWER_TIMEOUT, Connection, REACH_TIMEOUT, SILENCE, connect, peer_of};
pub use keys::{Fingerprint, Keys, NotACode, PairingCode, Pin};
pub use patient::{Limit, Patient};
pub use strangers::{Place, Strangers};

/// How long a stranger may take to say who it is.
pub const GREETING_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(15);
/// Of what a machine calls itself.
const MAX_NAME_CHARS: usize = 100;

/// What a machine calls itself, as one line for people.
pub fn name_of(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line_for_people() {
        assert_eq!(name_of("two\n\u{1b}[31m"), "two[31m");
        assert_eq!(name_of(&"x".repeat(1_000)).len(), MAX_NAME_CHARS);
    }
}
