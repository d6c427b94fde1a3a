//! `holdfast forward`: where an account's mail is forwarded to.

use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// `holdfast forward …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum ForwardCommand {
    /// List where an account's mail is forwarded to.
    List {
        /// The account's address.
        address: String,
    },
    /// Forward an account's mail to an address too. It gets a message with a link; mail is forwarded once the link was used. For
    /// an address that is paused: forward again.
    Add {
        /// The account's address.
        address: String,
        /// Where to.
        target: String,
    },
    /// End the forwarding to an address.
    Remove {
        /// The account's address.
        address: String,
        /// Where to.
        target: String,
    },
    /// Set whether a copy of what is forwarded stays in the account.
    Copy {
        /// The account's address.
        address: String,
        /// Whether it does.
        copy: KeepCopy,
    },
}

/// Whether a copy stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum KeepCopy {
    /// It does.
    Keep,
    /// It does not. What can't be forwarded stays all the same.
    Drop,
}
