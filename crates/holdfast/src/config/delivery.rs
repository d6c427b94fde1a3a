//! `[delivery]`: mail on its way out.

use std::{collections::BTreeMap, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::Span;

/// Mail on its way out.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Delivery {
    /// Send everything that is not local through this server: `host:port`.
    pub smarthost: Option<String>,
    /// Login at the smarthost.
    pub smarthost_user: Option<String>,
    /// File that holds the password for the smarthost (its first line).
    pub smarthost_password_file: Option<PathBuf>,
    /// Fixed routes that go before MX records: domain = `host:port`.
    pub routes: BTreeMap<String, String>,
    /// When undeliverable mail is given back to its sender.
    pub give_up_after: Span,
    /// When the sender gets a delay warning.
    pub warn_after: Span,
    /// Deliveries at once to one destination.
    pub connections_per_destination: usize,
    /// Deliveries at once in all.
    pub connections: usize,
    /// Send to hosts in private networks, too, that the DNS names or an address has in brackets.
    pub private_networks: bool,
    /// The addresses that people may use in `From:`: `own`, also `foreign` ones, or `any`.
    pub header_from: HeaderFrom,
    /// What happens to outgoing mail that can't be signed because the secrets key is missing.
    pub unsigned: UnsignedMail,
}

/// The addresses that an authenticated client may use in `From:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeaderFrom {
    /// The account's own addresses.
    Own,
    /// These, and addresses in domains that are not of this service.
    Foreign,
    /// Anybody.
    Any,
}

/// What happens to outgoing mail whose DKIM keys are sealed under a key that is not at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnsignedMail {
    /// It waits in the queue.
    Defer,
    /// It goes out without a signature.
    Send,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            smarthost: None,
            smarthost_user: None,
            smarthost_password_file: None,
            routes: BTreeMap::new(),
            give_up_after: Span::days(5),
            warn_after: Span::hours(4),
            connections_per_destination: 5,
            connections: 50,
            private_networks: false,
            header_from: HeaderFrom::Own,
            unsigned: UnsignedMail::Defer,
        }
    }
}
