//! Relays: backup MX on other machines, and this machine as one for a server of another make.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Finding, units::is_host_and_port};

/// How this machine takes mail back from its relays, and what it does as a relay itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Relay {
    /// Messages of all relays that are taken at once, at most. It begins low, grows while all is well, and halves with trouble.
    /// On a relay of a server of another make: connections to that server.
    pub streams: u32,
    /// Messages of all relays that are taken in a second, at most; 0 is as many as go.
    pub messages_per_second: u32,
    /// Relays take mail that people send with app passwords while the primary is away. Needed on both: on the primary, for the
    /// accounts that allow it, and on the relay, which listens for it then.
    pub submissions: bool,
    /// On a relay: the primary is of another make, and mail is given to it by SMTP at this HOST:PORT.
    pub smtp_primary: Option<String>,
    /// On such a relay: the file with the primary's recipients, one address or `@domain` in each line.
    pub recipients: Option<PathBuf>,
    /// On such a relay: domains about whose other addresses the primary is asked.
    pub ask_domains: Vec<String>,
}

impl Default for Relay {
    fn default() -> Self {
        Self {
            streams: 32,
            messages_per_second: 0,
            submissions: false,
            smtp_primary: None,
            recipients: None,
            ask_domains: Vec::new(),
        }
    }
}

impl Relay {
    pub(super) fn mistakes(&self, all: &mut Vec<Finding>) {
        let has_list = self.recipients.is_some() || !self.ask_domains.is_empty();
        match &self.smtp_primary {
            Some(primary) if !is_host_and_port(primary) => {
                let remedy = "write it as \"mail.example.org:25\"";
                all.push(Finding::new("relay.smtp_primary", "is not host:port", remedy));
            }
            Some(_) if !has_list => {
                let remedy = "set relay.recipients to a file with the addresses, or relay.ask_domains";
                all.push(Finding::new("relay.smtp_primary", "has no recipients", remedy));
            }
            None if has_list => {
                let remedy = "set relay.smtp_primary; a primary of Holdfast sends the list itself";
                all.push(Finding::new("relay.recipients", "is set without relay.smtp_primary", remedy));
            }
            _ => {}
        }
        for domain in &self.ask_domains {
            if mailkit::address::normal_domain(domain).is_err() {
                let message = format!("has \"{domain}\", which is not a domain");
                all.push(Finding::new("relay.ask_domains", message, "write a name such as \"example.org\""));
            }
        }
    }
}
