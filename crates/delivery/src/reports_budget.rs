//! Limits on reports about incoming mail: its sender may be forged, and then a report is unwanted mail from this
//! server.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

/// The time over which reports are counted.
const WINDOW_MS: i64 = 60 * 60 * 1000;

/// Destinations and networks remembered at most; when there are more, no further one gets a report within the window.
const MAX_KEPT: usize = 20_000;

/// Reports made within the present window, by destination and by network. It is in memory only: a restart begins anew.
#[derive(Default)]
pub struct ReportsBudget {
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    began_ms: i64,
    counts: HashMap<String, u32>,
}

impl ReportsBudget {
    /// Takes one report for each of the keys, if all of them have one left of their limit.
    pub fn take(&self, now_ms: i64, keys: &[(String, u32)]) -> bool {
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        if !(window.began_ms..window.began_ms + WINDOW_MS).contains(&now_ms) {
            *window = Window { began_ms: now_ms, counts: HashMap::new() };
        }
        let left = |(key, limit): &(String, u32)| match window.counts.get(key) {
            Some(count) => count < limit,
            None => *limit > 0 && window.counts.len() + keys.len() <= MAX_KEPT,
        };
        let granted = keys.iter().all(left);
        if granted {
            for (key, _) in keys {
                *window.counts.entry(key.clone()).or_default() += 1;
            }
        }
        granted
    }
}

/// The network of an address, as limits count it: /24 or /64.
pub fn network(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_destination_and_each_network_has_its_limit_in_an_hour() {
        let budget = ReportsBudget::default();
        let keys = |to: &str, from: &str| [(to.to_owned(), 2), (from.to_owned(), 3)];
        assert!(budget.take(1, &keys("a", "n")) && budget.take(2, &keys("a", "n")));
        assert!(!budget.take(3, &keys("a", "n")), "the destination has had its two");
        assert!(budget.take(4, &keys("b", "n")));
        assert!(!budget.take(5, &keys("c", "n")), "the network has had its three");
        assert!(budget.take(6, &keys("c", "m")));
        assert!(budget.take(1 + WINDOW_MS, &keys("a", "n")), "an hour later");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let budget = ReportsBudget::default();
        let granted = (0..MAX_KEPT + 10).filter(|n| budget.take(1, &[(n.to_string(), 1)])).count();
        assert_eq!(granted, MAX_KEPT);
    }

    #[test]
    fn networks_are_told_as_limits_count_them() {
        assert_eq!(network([192, 0, 2, 7].into()), "192.0.2.0/24");
        assert_eq!(network("::ffff:192.0.2.7".parse().unwrap()), "192.0.2.0/24");
        assert_eq!(network("2001:db8:1:2:3::4".parse().unwrap()), "2001:db8:1:2::/64");
    }
}
