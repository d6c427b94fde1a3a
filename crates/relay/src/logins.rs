//! Sign-ins on a relay, for mail that people send while the primary is away: how many guesses there may be.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::atomic::{AtomicUsize, Ordering},
};

use delivery::Refusal;
use directory::RelayVerifier;
use doorkit::network_of;
use parking_lot::Mutex;

use crate::list::Verifier;

/// Wrong passwords from one network within an hour.
const MAX_WRONG: u32 = 20;
const HOUR_MS: i64 = 3_600_000;
/// Networks that are kept track of.
const MAX_NETWORKS: usize = 20_000;
/// Passwords that wait to be checked: one is checked after the other.
const MAX_WAITING: usize = 32;
/// What is computed for a login that does not exist, so that it takes as long.
const DUMMY: (&[u8], u32) = (b"no such account!", 4_096);

/// Counts wrong passwords.
#[derive(Default)]
pub struct Logins {
    /// By network: how many, and since when.
    wrong: Mutex<HashMap<IpAddr, (u32, i64)>>,
    waiting: AtomicUsize,
    checking: Mutex<()>,
}

/// One that waits; it counts until it is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Logins {
    /// The verifier of a password, if it is right. Slow.
    ///
    /// # Errors
    /// The reply to AUTH.
    pub fn check(
        &self,
        verifiers: &[Verifier],
        password: &str,
        peer: IpAddr,
        now_ms: i64,
    ) -> Result<Verifier, Refusal> {
        let network = network_of(peer);
        if self.has_guessed(network, now_ms) {
            return Err(Refusal::new(454, (4, 7, 0), "Temporary authentication failure: too many failed logins"));
        }
        let waiting = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if waiting >= MAX_WAITING {
            return Err(Refusal::new(454, (4, 7, 0), "Temporary authentication failure: too many logins at once"));
        }
        let found = {
            let _one_at_a_time = self.checking.lock();
            found(verifiers, password)
        };
        found.ok_or_else(|| {
            self.count(network, now_ms);
            Refusal::new(535, (5, 7, 8), "Authentication failed: wrong login or app password")
        })
    }

    fn has_guessed(&self, network: IpAddr, now_ms: i64) -> bool {
        let wrong = self.wrong.lock();
        wrong.get(&network).is_some_and(|(count, since)| *count >= MAX_WRONG && now_ms.saturating_sub(*since) < HOUR_MS)
    }

    fn count(&self, network: IpAddr, now_ms: i64) {
        let mut wrong = self.wrong.lock();
        if wrong.len() >= MAX_NETWORKS && !wrong.contains_key(&network) {
            wrong.retain(|_, (_, since)| now_ms.saturating_sub(*since) < HOUR_MS);
            if wrong.len() >= MAX_NETWORKS {
                // More networks guess than anyone can keep apart.
                wrong.clear();
            }
        }
        let counted = wrong.entry(network).or_insert((0, now_ms));
        if now_ms.saturating_sub(counted.1) >= HOUR_MS {
            *counted = (0, now_ms);
        }
        counted.0 += 1;
    }
}

/// The slow hash is made once for each salt: the app passwords of an account share one, mostly.
fn found(verifiers: &[Verifier], password: &str) -> Option<Verifier> {
    let mut made: Vec<(&[u8], u32, [u8; 32])> = Vec::new();
    if verifiers.is_empty() {
        RelayVerifier::fingerprint_of(password, DUMMY.0, DUMMY.1);
    }
    for verifier in verifiers {
        let known =
            made.iter().find(|(salt, iterations, _)| *salt == verifier.salt && *iterations == verifier.iterations);
        let fingerprint = match known {
            Some((.., fingerprint)) => *fingerprint,
            None => {
                let fingerprint = RelayVerifier::fingerprint_of(password, &verifier.salt, verifier.iterations);
                made.push((&verifier.salt, verifier.iterations, fingerprint));
                fingerprint
            }
        };
        if aws_lc_rs::constant_time::verify_slices_are_equal(&fingerprint, &verifier.fingerprint).is_ok() {
            return Some(verifier.clone());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_right_app_password_lets_in_and_who_guesses_is_stopped_for_an_hour() {
        let verifier = |password: &str, salt: &[u8]| Verifier {
            account: 7,
            salt: salt.to_vec(),
            iterations: 2,
            fingerprint: RelayVerifier::fingerprint_of(password, salt, 2).to_vec(),
        };
        let known = [verifier("abcde-fghij", b"one"), verifier("klmno-pqrst", b"one"), verifier("uvwxy-zabcd", b"two")];
        let logins = Logins::default();
        let (peer, other): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "198.51.100.1".parse().unwrap());
        for (password, expected) in [
            ("abcde-fghij", Some(0)),
            ("klmno pqrst", Some(1)),
            ("uvwxyzabcd", Some(2)),
            ("abcde-fghik", None),
            ("", None),
        ] {
            let found = logins.check(&known, password, peer, 0).ok();
            assert_eq!(found, expected.map(|at: usize| known[at].clone()), "{password}");
        }
        for _ in 2..MAX_WRONG {
            assert_eq!(logins.check(&known, "wrong", peer, 0).unwrap_err().code, 535);
        }
        assert_eq!(logins.check(&known, "abcde-fghij", peer, HOUR_MS - 1).unwrap_err().code, 454);
        assert!(logins.check(&known, "abcde-fghij", other, HOUR_MS - 1).is_ok());
        assert!(logins.check(&known, "abcde-fghij", peer, HOUR_MS).is_ok());
        assert_eq!(logins.check(&[], "abcde-fghij", other, 0).unwrap_err().code, 535, "an account without any");
    }
}
