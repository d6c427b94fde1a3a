//! `[dns]` and `[domains]`: whom to ask, and what the DNS should say of us.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::{Span, finding::Finding};

/// The usual port of DNS servers.
const DNS_PORT: u16 = 53;

/// Whom the DNS is asked.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Dns {
    /// Resolvers, by address, with or without a port. Default: those of the machine.
    pub servers: Vec<String>,
    /// The port on which the checks of domains ask the domains' own name servers; 0: only the resolvers are asked.
    pub authority_port: u16,
}

impl Default for Dns {
    fn default() -> Self {
        Self { servers: Vec::new(), authority_port: DNS_PORT }
    }
}

impl Dns {
    /// The resolvers. Those that can't be read are mistakes of the configuration and were said before.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.servers.iter().filter_map(|text| address(text)).collect()
    }

    /// What is wrong.
    pub(super) fn mistakes(&self, all: &mut Vec<Finding>) {
        for text in self.servers.iter().filter(|text| address(text).is_none()) {
            let remedy = "write an address, such as \"192.0.2.53\" or \"127.0.0.1:5353\"";
            all.push(Finding::new("dns.servers", format!("has \"{text}\", which is not an address"), remedy));
        }
    }
}

fn address(text: &str) -> Option<SocketAddr> {
    text.parse().ok().or_else(|| Some(SocketAddr::new(text.parse::<IpAddr>().ok()?, DNS_PORT)))
}

/// Hosted domains: their checks, and what the DNS should say of this service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Domains {
    /// How often the DNS records of all domains are checked; 0 is only when asked.
    pub check_every: Span,
    /// The age at which DKIM keys are replaced; 0 is never.
    pub new_dkim_keys_every: Span,
    /// Host names of other servers that take mail for this one.
    pub relays: Vec<String>,
    /// The public addresses of this service, where the machine does not have them itself.
    pub addresses: Vec<IpAddr>,
    /// Who issues the certificates, as CAA records name it.
    pub certificate_authority: Option<String>,
}

impl Default for Domains {
    fn default() -> Self {
        Self {
            check_every: Span::hours(1),
            new_dkim_keys_every: Span::days(365),
            relays: Vec::new(),
            addresses: Vec::new(),
            certificate_authority: None,
        }
    }
}
