//! Connections that have not identified themselves yet: there are few places for them, and not for long.

use std::{collections::VecDeque, net::IpAddr, sync::Arc};

use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// Connections at once of those who have not said who they are: in all, and from one network.
const MAX_STRANGERS: usize = 200;
const MAX_STRANGERS_OF_ONE_NETWORK: usize = 8;

/// The places for unidentified connections. If all are used, a new connection replaces the oldest: a standby identifies
/// itself within milliseconds, so nobody can block it by occupying all places silently.
#[derive(Default)]
pub struct Strangers(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    last: u64,
    /// The one who has been there longest first.
    places: VecDeque<(u64, IpAddr, CancellationToken)>,
}

/// A stranger's place, until it is dropped.
pub struct Place {
    strangers: Arc<Strangers>,
    number: u64,
    given_away: CancellationToken,
}

impl Strangers {
    /// A place for someone from `peer`.
    pub fn place(this: &Arc<Self>, peer: IpAddr) -> Place {
        let network = doorkit::network_of(peer);
        let mut taken = this.0.lock();
        let own = taken.places.iter().filter(|(_, other, _)| *other == network).count();
        if own >= MAX_STRANGERS_OF_ONE_NETWORK {
            taken.give_away(|other| *other == network);
        } else if taken.places.len() >= MAX_STRANGERS {
            taken.give_away(|_| true);
        }
        taken.last += 1;
        let (number, given_away) = (taken.last, CancellationToken::new());
        taken.places.push_back((number, network, given_away.clone()));
        drop(taken);
        Place { strangers: this.clone(), number, given_away }
    }
}

impl Taken {
    fn give_away(&mut self, whose: impl Fn(&IpAddr) -> bool) {
        if let Some(at) = self.places.iter().position(|(_, network, _)| whose(network))
            && let Some((_, network, given_away)) = self.places.remove(at)
        {
            tracing::warn!(%network, "too many unauthenticated connections where paired machines connect: closing the oldest");
            given_away.cancel();
        }
    }
}

impl Place {
    /// Resolves when the place was given to someone else.
    pub fn given_away(&self) -> CancellationToken {
        self.given_away.clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.strangers.0.lock().places.retain(|(number, ..)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use super::*;

    #[test]
    fn places_are_few_and_the_newest_stranger_always_has_one() {
        let strangers = Arc::new(Strangers::default());
        let of = |network: u16, host: u16| IpAddr::from(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host));
        let crowd: Vec<Place> = (0..30).map(|host| Strangers::place(&strangers, of(1, host))).collect();
        assert_eq!(strangers.0.lock().places.len(), MAX_STRANGERS_OF_ONE_NETWORK);
        assert!(crowd[0].given_away().is_cancelled() && !crowd[29].given_away().is_cancelled());
        let mut many = Vec::new();
        for network in 2..=60 {
            many.extend((0..8).map(|host| Strangers::place(&strangers, of(network, host))));
        }
        assert_eq!(strangers.0.lock().places.len(), MAX_STRANGERS);
        assert!(crowd[29].given_away().is_cancelled(), "it has been there longest");
        assert!(!many.last().unwrap().given_away().is_cancelled());
        drop((crowd, many));
        assert!(strangers.0.lock().places.is_empty());
    }
}
