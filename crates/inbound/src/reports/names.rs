//! The confirmed names of the addresses in a report, so that its owner reads names.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ::reports::dmarc::Row;
use dnskit::Resolver;
use filter::sender::iprev;
use parking_lot::Mutex;
use tokio::task::JoinSet;

/// Addresses of one report that are asked about: those with the most messages.
const MAX_ASKED: usize = 40;
/// How long all of them may take; what has no answer then is shown by its network.
const PATIENCE: Duration = Duration::from_secs(2);
/// Names that are remembered.
const MAX_KNOWN: usize = 5_000;

/// Asks for names, and remembers them.
pub struct Names {
    resolver: Arc<dyn Resolver>,
    known: Mutex<HashMap<IpAddr, String>>,
}

impl Names {
    /// Asks `resolver`.
    pub fn new(resolver: Arc<dyn Resolver>) -> Self {
        Self { resolver, known: Mutex::default() }
    }

    /// Gives rows the names of their sources, as far as they are found in time.
    pub async fn give(&self, rows: &mut [Row]) {
        let mut counts: HashMap<IpAddr, u64> = HashMap::new();
        for row in rows.iter() {
            if let Some(ip) = row.source.filter(|ip| !self.known.lock().contains_key(ip)) {
                *counts.entry(ip).or_default() += row.count;
            }
        }
        let mut wanted: Vec<(IpAddr, u64)> = counts.into_iter().collect();
        wanted.sort_by_key(|(ip, count)| (std::cmp::Reverse(*count), *ip));
        let mut asked = JoinSet::new();
        for (ip, _) in wanted.into_iter().take(MAX_ASKED) {
            let resolver = Arc::clone(&self.resolver);
            asked.spawn(async move { (ip, iprev::check(ip, &*resolver).await.name) });
        }
        let all = async {
            while let Some(answer) = asked.join_next().await {
                if let Ok((ip, Some(name))) = answer {
                    let mut known = self.known.lock();
                    if known.len() >= MAX_KNOWN {
                        known.clear();
                    }
                    known.insert(ip, name);
                }
            }
        };
        let _ = tokio::time::timeout(PATIENCE, all).await;
        let known = self.known.lock();
        for row in rows {
            if let Some(name) = row.source.and_then(|ip| known.get(&ip)) {
                row.name.clone_from(name);
            }
        }
    }
}
