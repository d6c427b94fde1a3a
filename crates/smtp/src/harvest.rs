//! Slows down address harvesting: clients that try one unknown recipient after another wait longer and longer.
//!
//! A few unknown recipients are normal. After those, each refusal is delayed, so that a network learns about one address
//! per [`PACE`], no matter how many connections it opens; if the delay would exceed [`LONGEST_WAIT`], the connection is
//! closed. Recipients that exist are always accepted without delay.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use doorkit::network_of;
use parking_lot::Mutex;

/// Unknown recipients of a network that are refused at once.
const FREE: u32 = 3;
/// After the free ones, one refusal per this time; each such interval also earns one free refusal back.
const PACE: Duration = Duration::from_secs(2);
/// The longest delay of a refusal.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// Networks to keep track of; above this number (a distributed attack), those that tried the least are dropped.
const MAX_NETWORKS: usize = 50_000;

/// Unknown recipients tried by each network.
#[derive(Debug, Default)]
pub(crate) struct Harvest {
    /// Until when each network is in debt.
    networks: Mutex<HashMap<IpAddr, Instant>>,
}

impl Harvest {
    /// Records an unknown recipient. Returns how long to delay the refusal, or `None` to close the connection.
    pub(crate) fn unknown(&self, peer: IpAddr) -> Option<Duration> {
        self.unknown_at(peer, Instant::now())
    }

    fn unknown_at(&self, peer: IpAddr, now: Instant) -> Option<Duration> {
        let mut networks = self.networks.lock();
        if networks.len() >= MAX_NETWORKS {
            networks.retain(|_, until| *until > now);
        }
        if networks.len() >= MAX_NETWORKS {
            networks.retain(|_, until| *until > now + PACE * FREE);
        }
        let until = networks.entry(network_of(peer)).or_insert(now);
        let wait = until.saturating_duration_since(now).saturating_sub(PACE * (FREE - 1));
        if wait > LONGEST_WAIT {
            return None;
        }
        *until = (*until).max(now) + PACE;
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, number])
    }

    #[test]
    fn after_the_third_unknown_recipient_a_network_waits_whatever_its_connections() {
        let (harvest, now) = (Harvest::default(), Instant::now());
        let waits: Vec<_> = (0..9).map(|_| harvest.unknown_at(peer(1), now)).collect();
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        assert_eq!(waits[..8], [0, 0, 0, 2, 4, 6, 8, 10].map(|s| if s > 8 { None } else { seconds(s) }));
        assert_eq!(waits[8], None);
        assert_eq!(harvest.unknown_at(peer(2), now), seconds(0), "another network is not concerned");
        assert_eq!(
            harvest.unknown_at(peer(1), now + Duration::from_secs(60)),
            seconds(0),
            "after a while all is forgotten"
        );
    }

    #[test]
    fn a_network_learns_of_so_many_addresses_in_an_hour() {
        let (harvest, begun) = (Harvest::default(), Instant::now());
        // A hundred connections that ask again as soon as they may.
        let mut next = vec![begun; 100];
        let mut learned = 0;
        while let Some((who, now)) = next.iter().copied().enumerate().min_by_key(|(_, at)| *at)
            && now < begun + Duration::from_secs(3600)
        {
            next[who] = match harvest.unknown_at(peer(1), now) {
                Some(wait) => {
                    learned += 1;
                    now + wait + Duration::from_millis(1)
                }
                None => now + Duration::from_secs(1),
            };
        }
        assert!((1_700..=1_810).contains(&learned), "{learned}");
    }
}
