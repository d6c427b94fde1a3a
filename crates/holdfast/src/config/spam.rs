//! `[spam]`: the spam filter of the service.

use inbound::spam::MAX_DNS_LISTS;
use serde::{Deserialize, Serialize};

use super::finding::Finding;

/// The spam filter of the service.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Spam {
    /// DNS lists that are asked about the networks that mail comes from.
    pub dns_lists: Vec<String>,
}

impl Spam {
    pub(super) fn mistakes(&self, all: &mut Vec<Finding>) {
        for list in &self.dns_lists {
            if mailkit::address::normal_domain(list.trim_end_matches('.')).is_err() {
                let remedy = "write lists as \"list.example.org\"";
                all.push(Finding::new("spam.dns_lists", format!("{list:?} is not a domain"), remedy));
            }
        }
        if self.dns_lists.len() > MAX_DNS_LISTS {
            let remedy = format!("remove some: each message is asked about at most {MAX_DNS_LISTS}");
            all.push(Finding::new("spam.dns_lists", "are too many", remedy));
        }
    }
}
