//! `[incoming]`: how much mail strangers may give within an hour.

use doorkit::Network;
use serde::{Deserialize, Serialize};
use smtp::IntakeLimits;

use super::ByteSize;

/// How much mail strangers may give within an hour; 0 is unlimited.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Incoming {
    /// Messages from one network (an IPv4 /24, an IPv6 /64).
    pub messages_per_network: u64,
    /// Their size in all.
    pub bytes_per_network: ByteSize,
    /// Messages to one account.
    pub messages_per_recipient: u64,
    /// Their size in all.
    pub bytes_per_recipient: ByteSize,
    /// Networks without these limits.
    pub trusted_networks: Vec<String>,
    /// Servers of another make that keep mail for this one while it is away (backup MX).
    pub backup_mx: Vec<String>,
}

impl Default for Incoming {
    fn default() -> Self {
        let IntakeLimits {
            messages_per_network,
            bytes_per_network,
            messages_per_recipient,
            bytes_per_recipient,
            trusted,
        } = IntakeLimits::default();
        Self {
            messages_per_network,
            bytes_per_network: ByteSize(bytes_per_network),
            messages_per_recipient,
            bytes_per_recipient: ByteSize(bytes_per_recipient),
            trusted_networks: trusted.iter().map(ToString::to_string).collect(),
            backup_mx: Vec::new(),
        }
    }
}

impl Incoming {
    /// The networks that are none, each with its key.
    pub fn wrong_networks(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let trusted = self.trusted_networks.iter().map(|text| ("incoming.trusted_networks", text));
        let backups = self.backup_mx.iter().map(|text| ("incoming.backup_mx", text));
        trusted.chain(backups).filter(|(_, text)| text.parse::<Network>().is_err())
    }

    /// The servers that keep mail for this one.
    pub fn backups(&self) -> impl Iterator<Item = Network> {
        self.backup_mx.iter().filter_map(|text| text.parse().ok())
    }

    /// As the listener has them.
    pub fn limits(&self) -> IntakeLimits {
        IntakeLimits {
            messages_per_network: self.messages_per_network,
            bytes_per_network: self.bytes_per_network.0,
            messages_per_recipient: self.messages_per_recipient,
            bytes_per_recipient: self.bytes_per_recipient.0,
            trusted: self.trusted_networks.iter().filter_map(|text| text.parse().ok()).collect(),
        }
    }
}
