//! `holdfast spam`: the spam filter of an account.

use std::path::PathBuf;

use clap::Subcommand;
use filter::spam::Level;
use serde::{Deserialize, Serialize};

/// `holdfast spam …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum SpamCommand {
    /// Show an account's level, its lists, and how much it has taught the filter.
    Show {
        /// The account's address; `@example.org` for the lists of a domain, `@` for those of the service.
        address: String,
    },
    /// Change the level: off, relaxed, normal, strict, or known (only senders the account knows).
    Level {
        /// The account's address.
        address: String,
        /// The level.
        #[arg(value_parser = level)]
        level: String,
    },
    /// Always accept mail from a sender: an address or a domain.
    Allow {
        /// The account's address; `@example.org` for a domain, `@` for the service.
        address: String,
        /// The sender's address, or a domain.
        sender: String,
    },
    /// Always send mail from a sender to Spam: an address or a domain.
    Block {
        /// The account's address; `@example.org` for a domain, `@` for the service.
        address: String,
        /// The sender's address, or a domain.
        sender: String,
    },
    /// Take a sender off both lists.
    Unlist {
        /// The account's address; `@example.org` for a domain, `@` for the service.
        address: String,
        /// The sender's address, or a domain.
        sender: String,
    },
    /// Set after how many days mail in Spam is deleted.
    EmptyAfter {
        /// The account's address.
        address: String,
        /// Days, 1 to 3650, or `never`.
        days: String,
    },
    /// Teach the filter with messages, each in a file of its own.
    Train {
        /// The account's address.
        address: String,
        /// The messages are spam.
        #[arg(long, required_unless_present = "ham")]
        spam: bool,
        /// The messages are wanted.
        #[arg(long, conflicts_with = "spam")]
        ham: bool,
        /// The files.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Choose whether what the account teaches also helps to judge mail of the other accounts.
    Share {
        /// The account's address.
        address: String,
        /// `on` (the default) or `off`.
        #[arg(value_parser = ["on", "off"])]
        share: String,
    },
    /// Forget everything the account has taught the filter.
    Reset {
        /// The account's address.
        address: String,
    },
    /// Show the DNS lists that are asked about networks, and whether they work.
    DnsLists,
    /// Show how a message would be judged if it came now, with all reasons. DNS is not asked.
    Explain {
        /// The account's address.
        address: String,
        /// The message.
        file: PathBuf,
    },
}

/// Refuses what is no level when the command is typed.
fn level(text: &str) -> Result<String, String> {
    text.parse::<Level>().map(|level| level.to_string()).map_err(|error| error.to_string())
}
