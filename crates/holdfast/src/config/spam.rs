//! `[spam]`: the spam filter of the service.

use std::time::Duration;

use inbound::spam::MAX_DNS_LISTS;
use serde::{Deserialize, Serialize};

use super::{Span, finding::Finding};

/// Shortest and longest time that a sender is asked to wait.
const MIN_GREYLIST: Duration = Duration::from_secs(60);
const MAX_GREYLIST: Duration = Duration::from_secs(3_600);

/// The spam filter of the service.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spam {
    /// DNS lists that are asked about the networks that mail comes from.
    pub dns_lists: Vec<String>,
    /// Suspicious mail from networks that nothing is known of is refused for now, until its sender tries again.
    pub greylisting: bool,
    /// From when on a retry is taken.
    pub greylist_for: Span,
}

impl Default for Spam {
    fn default() -> Self {
        Self { dns_lists: Vec::new(), greylisting: true, greylist_for: Span::seconds(180) }
    }
}

impl Spam {
    pub(super) fn mistakes(&self, all: &mut Vec<Finding>) {
        for list in &self.dns_lists {
            if mailkit::address::normal_domain(list.trim_end_matches('.')).is_err() {
                let remedy = "write lists as \"list.example.org\"";
                all.push(Finding::new("spam.dns_lists", format!("{list:?} is not a domain"), remedy));
            }
        }
        if !(MIN_GREYLIST..=MAX_GREYLIST).contains(&self.greylist_for.0) {
            let remedy = "write a time between 1 minute and 1 hour, such as \"3 minutes\"";
            all.push(Finding::new("spam.greylist_for", format!("{} is out of range", self.greylist_for), remedy));
        }
        if self.dns_lists.len() > MAX_DNS_LISTS {
            let remedy = format!("remove some: each message is asked about at most {MAX_DNS_LISTS}");
            all.push(Finding::new("spam.dns_lists", "are too many", remedy));
        }
    }
}
