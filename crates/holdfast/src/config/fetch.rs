//! `[fetch]`: mail from accounts elsewhere.

use std::time::Duration;

use fetching::Policy;
use serde::{Deserialize, Serialize};

use super::{Span, finding::Finding};

/// How often new mail may be looked for.
const INTERVALS: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));
/// Most connections at once.
const MAX_CONNECTIONS: usize = 1_000;
/// Most accounts elsewhere of one account.
const MAX_EACH: usize = 100;

/// Mail from accounts elsewhere.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fetch {
    /// Whether people may fetch mail from accounts elsewhere.
    pub enabled: bool,
    /// Servers in private networks and on this machine may be asked.
    pub allow_private: bool,
    /// Passwords and mail may go in plain text.
    pub allow_plaintext: bool,
    /// Ports that may be asked besides 110, 143, 993 and 995.
    pub ports: Vec<u16>,
    /// Connections at once.
    pub connections: usize,
    /// Accounts elsewhere that one account may have.
    pub accounts: usize,
    /// How often new mail is looked for.
    pub interval: Span,
}

impl Default for Fetch {
    fn default() -> Self {
        Self {
            enabled: true,
            allow_private: false,
            allow_plaintext: false,
            ports: Vec::new(),
            connections: 8,
            accounts: 10,
            interval: Span::seconds(600),
        }
    }
}

impl Fetch {
    /// What it means.
    pub fn policy(&self, max_message_bytes: u64) -> Policy {
        Policy {
            enabled: self.enabled,
            allow_private: self.allow_private,
            allow_plaintext: self.allow_plaintext,
            ports: self.ports.clone(),
            at_once: self.connections,
            each: self.accounts,
            interval: self.interval.0,
            max_message_bytes,
        }
    }

    pub(super) fn mistakes(&self, all: &mut Vec<Finding>) {
        if !(INTERVALS.0..=INTERVALS.1).contains(&self.interval.0) {
            let remedy = "choose 1 minute to 1 day";
            all.push(Finding::new("fetch.interval", format!("{} is not possible", self.interval), remedy));
        }
        for (key, value, most) in
            [("fetch.connections", self.connections, MAX_CONNECTIONS), ("fetch.accounts", self.accounts, MAX_EACH)]
        {
            if !(1..=most).contains(&value) {
                all.push(Finding::new(key, format!("{value} is not possible"), format!("choose 1 to {most}")));
            }
        }
    }
}
