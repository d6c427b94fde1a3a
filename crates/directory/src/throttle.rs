//! How fast logins may be guessed.
//!
//! Failures are counted by login and by network, each in a window of its own. A login over its limit is refused only to
//! networks from which it did not recently log in well, so that nobody can be locked out by somebody else's guessing.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use doorkit::network_of;
use parking_lot::Mutex;

/// Limits of failed logins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ThrottleLimits {
    /// Failures of one login, from all networks, before it is refused for the rest of the window. Default 20.
    pub per_login: u32,
    /// Failures from one network, for all logins, before it is refused. Default 50.
    pub per_network: u32,
    /// How long a failure counts. Default 15 minutes.
    pub window: Duration,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        Self { per_login: 20, per_network: 50, window: Duration::from_secs(15 * 60) }
    }
}

/// Entries kept; more means an attack from everywhere, and the oldest go.
const MAX_ENTRIES: usize = 100_000;
/// How long a network stays known to a login after a login that was right.
const KNOWN_FOR: Duration = Duration::from_secs(24 * 3600);

#[derive(Clone, Copy)]
struct Failures {
    since: Instant,
    count: u32,
}

pub(crate) struct Throttle {
    limits: ThrottleLimits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    logins: HashMap<String, Failures>,
    networks: HashMap<IpAddr, Failures>,
    known: HashMap<(String, IpAddr), Instant>,
}

impl Throttle {
    pub(crate) fn new(limits: ThrottleLimits) -> Self {
        Self { limits, state: Mutex::default() }
    }

    /// How long to wait, if this attempt must not be looked at.
    pub(crate) fn check(&self, login: &str, peer: IpAddr) -> Option<Duration> {
        let network = network_of(peer);
        let now = Instant::now();
        let state = self.state.lock();
        let over = |failures: Option<&Failures>, limit: u32| {
            let failures = failures?;
            let left = self.limits.window.checked_sub(now.duration_since(failures.since))?;
            (failures.count >= limit).then_some(left)
        };
        let known =
            state.known.get(&(login.to_owned(), network)).is_some_and(|seen| now.duration_since(*seen) < KNOWN_FOR);
        let by_login = if known { None } else { over(state.logins.get(login), self.limits.per_login) };
        over(state.networks.get(&network), self.limits.per_network).max(by_login)
    }

    pub(crate) fn failed(&self, login: &str, peer: IpAddr) {
        let now = Instant::now();
        let window = self.limits.window;
        let mut state = self.state.lock();
        let count = |failures: &mut Failures| {
            if now.duration_since(failures.since) >= window {
                *failures = Failures { since: now, count: 0 };
            }
            failures.count += 1;
        };
        let fresh = Failures { since: now, count: 0 };
        count(state.logins.entry(login.to_owned()).or_insert(fresh));
        count(state.networks.entry(network_of(peer)).or_insert(fresh));
        if state.logins.len() > MAX_ENTRIES {
            state.logins.retain(|_, failures| now.duration_since(failures.since) < window / 4);
        }
        if state.networks.len() > MAX_ENTRIES {
            state.networks.retain(|_, failures| now.duration_since(failures.since) < window / 4);
        }
    }

    pub(crate) fn succeeded(&self, login: &str, peer: IpAddr) {
        let now = Instant::now();
        let mut state = self.state.lock();
        if state.known.len() > MAX_ENTRIES {
            state.known.retain(|_, seen| now.duration_since(*seen) < KNOWN_FOR / 24);
        }
        state.known.insert((login.to_owned(), network_of(peer)), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(ThrottleLimits { per_login: 3, per_network: 5, window: Duration::from_secs(60) })
    }

    #[test]
    fn a_login_is_refused_after_its_failures_but_not_where_its_owner_is_known() {
        let throttle = throttle();
        let (attacker, owner): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        throttle.succeeded("anna", owner);
        for _ in 0..3 {
            assert_eq!(throttle.check("anna", attacker), None);
            throttle.failed("anna", attacker);
        }
        assert!(throttle.check("anna", attacker).is_some());
        assert_eq!(throttle.check("anna", owner), None);
        assert_eq!(throttle.check("bert", attacker), None);
    }

    #[test]
    fn a_network_that_tries_many_logins_is_refused_and_success_does_not_clear_it() {
        let throttle = throttle();
        let attacker: IpAddr = "2001:db8::1".parse().unwrap();
        for number in 0..5 {
            throttle.failed(&format!("user{number}"), attacker);
        }
        throttle.succeeded("own", attacker);
        assert!(throttle.check("other", "2001:db8::9".parse().unwrap()).is_some());
    }
}
