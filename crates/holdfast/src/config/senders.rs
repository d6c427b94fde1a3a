//! `[senders]`: who really sent a message.

use serde::{Deserialize, Serialize};

use super::{Span, finding::Finding};

/// Who really sent a message.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Senders {
    /// The most that is done because the DMARC policy of an author's domain asks for it.
    pub dmarc: Enforcement,
    /// What is done about mail from strangers whose author is of a domain of this service, without proof.
    pub own_domains: Enforcement,
    /// Networks whose mail is not checked.
    pub trusted_networks: Vec<String>,
    /// Domains whose ARC seals are believed.
    pub trusted_sealers: Vec<String>,
    /// LMTP: the server in front writes `Authentication-Results` in our name.
    pub trust_lmtp: bool,
    /// How long the DNS may take after a message has come.
    pub dns_patience: Span,
}

/// What is done about mail that is not from who it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// It is written above the message.
    Observe,
    /// It goes to Spam.
    Quarantine,
    /// It is refused.
    Reject,
}

impl From<Enforcement> for inbound::sender::Enforce {
    fn from(setting: Enforcement) -> Self {
        match setting {
            Enforcement::Observe => Self::Observe,
            Enforcement::Quarantine => Self::Quarantine,
            Enforcement::Reject => Self::Reject,
        }
    }
}

impl Default for Senders {
    fn default() -> Self {
        Self {
            dmarc: Enforcement::Reject,
            own_domains: Enforcement::Quarantine,
            trusted_networks: vec!["127.0.0.0/8".to_owned(), "::1".to_owned()],
            trusted_sealers: Vec::new(),
            trust_lmtp: false,
            dns_patience: Span::seconds(5),
        }
    }
}

/// Longest patience: the reply to the client waits for it.
const MAX_PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

impl Senders {
    pub(super) fn mistakes(&self, all: &mut Vec<Finding>) {
        for network in &self.trusted_networks {
            if let Err(error) = network.trim().parse::<doorkit::Network>() {
                let remedy = "write networks as \"192.0.2.0/24\" or \"2001:db8::/32\"";
                all.push(Finding::new("senders.trusted_networks", format!("is wrong: {error}"), remedy));
            }
        }
        for sealer in &self.trusted_sealers {
            if mailkit::address::normal_domain(sealer).is_err() {
                let remedy = "write domains as \"lists.example.org\"";
                all.push(Finding::new("senders.trusted_sealers", format!("{sealer:?} is not a domain"), remedy));
            }
        }
        if self.dns_patience.0 > MAX_PATIENCE {
            let remedy = "write at most \"15 seconds\"";
            all.push(Finding::new("senders.dns_patience", "is longer than a sender may have to wait", remedy));
        }
    }
}
