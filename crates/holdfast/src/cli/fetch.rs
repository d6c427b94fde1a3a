//! `holdfast account fetch`: mail from accounts elsewhere.

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// `holdfast account fetch …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum FetchCommand {
    /// Fetch mail from an account elsewhere: once, or again and again with --keep. Prompts for the password there, or reads it
    /// from standard input.
    Add(FetchAddArgs),
    /// List the accounts elsewhere, and how fetching from them goes.
    List {
        /// The account's address.
        address: String,
    },
    /// Fetch now, and wait until it is done. Exits with 1 if it ended early.
    Run {
        /// The account's address.
        address: String,
        /// Only this one: its number from `list`.
        id: Option<u64>,
    },
    /// Pause fetching from an account elsewhere.
    Pause {
        /// The account's address.
        address: String,
        /// Its number from `list`.
        id: u64,
    },
    /// Go on with an account elsewhere that is paused or done.
    Resume {
        /// The account's address.
        address: String,
        /// Its number from `list`.
        id: u64,
    },
    /// Change the password that is used elsewhere, and go on.
    Passwd {
        /// The account's address.
        address: String,
        /// Its number from `list`.
        id: u64,
        /// The password once it is known.
        #[arg(skip)]
        password: String,
    },
    /// Remove an account elsewhere. Mail that was fetched stays.
    Remove {
        /// The account's address.
        address: String,
        /// Its number from `list`.
        id: u64,
    },
}

/// `holdfast account fetch add …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct FetchAddArgs {
    /// The account's address here.
    pub address: String,
    /// The user name there, mostly an address.
    pub user: String,
    /// The server. Default: found by the domain of USER.
    #[arg(long)]
    pub host: Option<String>,
    /// Its port. Default: the usual one.
    #[arg(long)]
    pub port: Option<u16>,
    /// The protocol. POP3 has the inbox alone, without flags and dates.
    #[arg(long, value_enum)]
    pub protocol: Option<FetchProtocol>,
    /// How the connection is secured.
    #[arg(long, value_enum)]
    pub security: Option<FetchSecurity>,
    /// Fetch new mail again and again, not once.
    #[arg(long)]
    pub keep: bool,
    /// Fetch the inbox alone.
    #[arg(long)]
    pub inbox_only: bool,
    /// New mail in the inbox goes through the account's rules.
    #[arg(long, requires = "keep")]
    pub rules: bool,
    /// Delete there what was fetched.
    #[arg(long)]
    pub delete: bool,
    /// The password once it is known.
    #[arg(skip)]
    pub password: String,
}

/// A protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum FetchProtocol {
    /// All mailboxes.
    Imap,
    /// The inbox.
    Pop3,
}

/// How a connection is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum FetchSecurity {
    /// TLS from the first byte.
    Tls,
    /// TLS from the STARTTLS command on.
    Starttls,
    /// Plain text, where `fetch.allow_plaintext` allows it.
    Plain,
}

impl FetchCommand {
    /// Whether it changes people's data.
    pub const fn acts(&self) -> bool {
        !matches!(self, Self::List { .. })
    }
}
