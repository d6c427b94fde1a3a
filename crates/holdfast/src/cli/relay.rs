//! Commands for relays.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

/// `holdfast relay …`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct RelayArgs {
    #[command(subcommand)]
    pub command: Option<RelayCommand>,
    /// The primary: HOST:PORT of its listen.relay. Needed once, and when the primary's address changes.
    #[arg(long)]
    pub primary: Option<String>,
    /// The code printed by `holdfast relay pair` on the primary. Needed once.
    #[arg(long)]
    pub code: Option<String>,
    /// The name of this relay. Default: the configured hostname.
    #[arg(long)]
    pub name: Option<String>,
}

/// Commands on relays, or on this relay.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum RelayCommand {
    /// On the primary: print a code that pairs one relay. It is valid for ten minutes.
    Pair,
    /// Show what waits on each relay and how long it takes to clear; on a relay, show its own state. Exits with 1 if there
    /// are alarms.
    Status,
    /// On the primary: list the paired relays.
    List,
    /// On the primary: revoke a relay. Mail that waits there stays there.
    Remove {
        /// The relay's name or fingerprint.
        name: String,
    },
    /// On a relay: list the messages that the primary refused for good, with the reason.
    Held {
        /// List those that wait for the primary instead.
        #[arg(long)]
        waiting: bool,
        /// The highest number of entries to print.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// On a relay: write messages that the primary refused for good into a folder, each as ID.eml. They stay on the relay.
    Export {
        /// The folder. It is created if it doesn't exist.
        dir: PathBuf,
        /// Ids as listed by `relay held`. Default: all.
        ids: Vec<String>,
        /// Write those that wait for the primary instead.
        #[arg(long)]
        waiting: bool,
    },
    /// On a relay: give messages that the primary refused for good to the primary again.
    Retry {
        /// Ids as listed by `relay held`, or `all`.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// On a relay: delete messages that the primary refused for good.
    Drop {
        /// Ids as listed by `relay held`, or `all`.
        #[arg(required = true)]
        ids: Vec<String>,
    },
}
