//! What is checked when mail arrives at a relay: the sender, as the primary would at that moment, and what hooks of the relay
//! itself say. The findings travel with the message, and the primary asks nobody again.

use std::sync::Arc;

use delivery::{Case, Hearing, Judge};
use dnskit::Resolver;
use inbound::sender::{DnsPatience, Enforce, SenderCheck, SenderOptions};
use relay::{
    Relay,
    list::{Recipients, SenderPolicy},
};

use crate::{config::Config, dns};

/// How the primary has senders checked, for the list that relays get.
pub fn policy(config: &Config) -> SenderPolicy {
    let settings = &config.senders;
    SenderPolicy {
        dmarc: number(settings.dmarc.into()),
        own_domains: number(settings.own_domains.into()),
        trusted_networks: settings.trusted_networks.clone(),
        trusted_sealers: settings.trusted_sealers.clone(),
    }
}

const fn number(enforce: Enforce) -> u32 {
    match enforce {
        Enforce::Observe => 0,
        Enforce::Quarantine => 1,
        Enforce::Reject => 2,
    }
}

/// A number of a newer primary is none of ours: then the primary decides when it gets the message.
const fn numbered(number: u32) -> Enforce {
    match number {
        1 => Enforce::Quarantine,
        2 => Enforce::Reject,
        _ => Enforce::Observe,
    }
}

/// What looks at each message before a relay accepts it.
pub fn judges(config: &Config, relay: &Arc<Relay>) -> Vec<Arc<dyn Judge>> {
    let senders = RelaySenders {
        relay: Arc::clone(relay),
        resolver: dns::resolver(config),
        hostname: config.hostname.clone(),
        patience: DnsPatience::new(config.senders.dns_patience.0),
    };
    let mut judges: Vec<Arc<dyn Judge>> = vec![Arc::new(senders)];
    judges.extend(config.hooks.judges(&config.hostname));
    judges
}

/// The check of senders by the primary's policy as the list has it.
struct RelaySenders {
    relay: Arc<Relay>,
    resolver: Arc<dyn Resolver>,
    hostname: String,
    patience: DnsPatience,
}

impl RelaySenders {
    fn check(&self, list: Arc<Recipients>) -> Option<SenderCheck> {
        let policy = list.senders()?;
        let options = SenderOptions {
            hostname: self.hostname.clone(),
            dmarc: numbered(policy.dmarc),
            own_domains: numbered(policy.own_domains),
            trusted_networks: policy
                .trusted_networks
                .iter()
                .filter_map(|network| network.trim().parse().ok())
                .collect(),
            trusted_sealers: policy.trusted_sealers.clone(),
            patience: self.patience.clone(),
        };
        let is_ours = Arc::new(move |name: &str| list.has_domain(name));
        Some(SenderCheck::at_relay(options, Arc::clone(&self.resolver), is_ours))
    }
}

impl Judge for RelaySenders {
    fn name(&self) -> &'static str {
        "sender"
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        self.check(self.relay.recipients()?)?.begin(case)
    }
}
