//! `holdfast sieve`: the Sieve scripts of an account.

use std::path::PathBuf;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

/// `holdfast sieve …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum SieveCommand {
    /// List an account's scripts, and which of them is active.
    List {
        /// The account's address.
        address: String,
    },
    /// Print a script.
    Get {
        /// The account's address.
        address: String,
        /// The script's name.
        name: String,
    },
    /// Keep a script under a name, in place of one that has it. It is checked first.
    Put {
        /// The account's address.
        address: String,
        /// The script's name.
        name: String,
        /// The file with the script.
        file: PathBuf,
    },
    /// Make a script the active one.
    Activate {
        /// The account's address.
        address: String,
        /// The script's name.
        #[arg(required_unless_present = "none")]
        name: Option<String>,
        /// No script is active from now on.
        #[arg(long, conflicts_with = "name")]
        none: bool,
    },
    /// Delete a script that is not active.
    Delete {
        /// The account's address.
        address: String,
        /// The script's name.
        name: String,
    },
    /// Give a script another name.
    Rename {
        /// The account's address.
        address: String,
        /// The script's name.
        name: String,
        /// The new name.
        to: String,
    },
    /// Check a script without keeping it: all errors with line and column. Exits with 1 if there are any.
    Check {
        /// The account's address.
        address: String,
        /// The file with the script.
        file: PathBuf,
    },
}
