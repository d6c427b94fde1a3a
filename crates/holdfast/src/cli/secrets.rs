//! `holdfast secrets`: the keys that stored secrets are sealed under.

use std::path::PathBuf;

use clap::Subcommand;
use serde::{Deserialize, Serialize};

/// `holdfast secrets …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum SecretsCommand {
    /// Add a new key to a key file, before those it has; the file is created if it doesn't exist.
    NewKey {
        /// The file. It belongs outside the data folder; keep a copy apart from the backups.
        file: PathBuf,
    },
    /// Show how many secrets are sealed, under which key, and what is missing. Exits with 1 if some can't be opened.
    Status,
    /// Read the key file again and seal everything under its first key: what is stored open, and what is sealed under an older
    /// key. Can be repeated.
    Seal,
    /// Store all secrets open again, to stop using a key file. Remove secrets.key_file from the configuration afterwards.
    Unseal,
}
