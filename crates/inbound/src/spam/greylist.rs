//! Greylisting: a suspicious message from a network that nothing is known of is refused for now. A mail server tries again; what most
//! programs for spam do is go on to the next address.
//!
//! It is never done to mail of known senders, of places that the account or the service has learned of, of private and trusted
//! networks, nor while checks have no answer from the DNS. A retry is recognised by the network, or by the envelope's domain where SPF
//! says that the server may send for it: large providers retry from other networks. Who has retried is not asked to again. What is
//! known here is in memory and bounded; after a restart senders may be asked once more.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use delivery::{Case, Refusal};
use doorkit::Network;
use filter::spam::Origin;
use parking_lot::Mutex;

use super::checked::Checked;

/// Messages that are waited for. Of more the oldest are forgotten.
const MAX_WAITING: usize = 50_000;
/// Networks and domains that have retried. Of more the oldest are forgotten.
const MAX_PASSED: usize = 50_000;
/// After this time a message is not waited for any longer.
const WAITS_MS: i64 = 2 * 86_400_000;
/// How long a network or domain that has retried is not asked again, since its last such message.
const PASSES_MS: i64 = 36 * 86_400_000;

/// Who was asked to try again. Cheap to clone.
#[derive(Clone)]
pub struct Greylist {
    after_ms: i64,
    trusted: Arc<[Network]>,
    known: Arc<Mutex<Known>>,
}

#[derive(Default)]
struct Known {
    /// When a message was refused first.
    waiting: Bounded<[u8; 32]>,
    /// When a place sent a message that was accepted here.
    passed: Bounded<String>,
}

/// What is to become of a suspicious message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// It is refused for now.
    Later,
    /// Its sender has tried again, now or earlier.
    Retried,
    /// Greylisting does not concern it.
    Passed,
}

impl Greylist {
    /// Retries count from `after` on; the trusted networks are never asked.
    pub fn new(after: Duration, trusted: &[Network]) -> Self {
        let after_ms = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
        Self { after_ms, trusted: trusted.into(), known: Arc::default() }
    }

    /// What to answer to a suspicious message of a sender without history.
    pub(super) fn ask(&self, case: &Case, checked: &Checked) -> Asked {
        let origin = &case.envelope.origin;
        let Some(network) = origin.peer.and_then(|peer| self.greylisted(peer)) else { return Asked::Passed };
        if origin.lmtp || origin.relay.is_some() || !checked.is_checked || checked.dns_failed {
            return Asked::Passed;
        }
        let mut places = vec![network];
        places.extend(checked.spf_passed.as_ref().map(|domain| format!("@{domain}")));
        let letters: Vec<[u8; 32]> = places.iter().map(|place| letter(place, case)).collect();
        let now_ms = case.at_ms;
        let mut known = self.known.lock();
        let has_waited = |since: Option<i64>| since.is_some_and(|since| now_ms - since >= self.after_ms);
        let passed = places.iter().any(|place| known.passed.get(place, now_ms, PASSES_MS).is_some())
            || letters.iter().any(|letter| has_waited(known.waiting.get(letter, now_ms, WAITS_MS)));
        if passed {
            for place in places {
                known.passed.set(place, now_ms, MAX_PASSED);
            }
            for letter in &letters {
                known.waiting.remove(letter);
            }
            return Asked::Retried;
        }
        for letter in letters {
            if known.waiting.get(&letter, now_ms, WAITS_MS).is_none() {
                known.waiting.set(letter, now_ms, MAX_WAITING);
            }
        }
        Asked::Later
    }

    /// The network of an address that may be asked to try again.
    fn greylisted(&self, peer: IpAddr) -> Option<String> {
        let peer = peer.to_canonical();
        let network = Origin::network_of(peer)?;
        (!self.trusted.iter().any(|trusted| trusted.contains(peer))).then_some(network)
    }

    /// What is said to the client.
    pub(super) fn refusal(&self) -> Refusal {
        let minutes = (self.after_ms / 60_000).max(1);
        let minutes = if minutes == 1 { "a minute".to_owned() } else { format!("{minutes} minutes") };
        Refusal::new(451, (4, 7, 1), format!("Greylisted: please try again in {minutes}"))
    }

    /// How many messages are waited for, and how many networks and domains have retried.
    pub fn counts(&self) -> (usize, usize) {
        let known = self.known.lock();
        (known.waiting.of.len(), known.passed.of.len())
    }
}

/// A message: who sends it from where to whom.
fn letter(place: &str, case: &Case) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let from = case.envelope.from.as_ref().map(ToString::to_string).unwrap_or_default();
    let mut to: Vec<String> = case.envelope.recipients.iter().map(|one| one.address.to_string()).collect();
    to.sort_unstable();
    for text in [place, &from].into_iter().chain(to.iter().map(String::as_str)) {
        hasher.update(text.to_lowercase().as_bytes());
        hasher.update(&[0]);
    }
    *hasher.finalize().as_bytes()
}

/// Times by key, bounded.
struct Bounded<K> {
    of: HashMap<K, i64>,
}

impl<K> Default for Bounded<K> {
    fn default() -> Self {
        Self { of: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone> Bounded<K> {
    fn get(&self, key: &K, now_ms: i64, holds_ms: i64) -> Option<i64> {
        self.of.get(key).copied().filter(|at_ms| now_ms - at_ms < holds_ms)
    }

    fn set(&mut self, key: K, at_ms: i64, most: usize) {
        if self.of.len() >= most && !self.of.contains_key(&key) {
            // The older half goes: rarely, so that it costs little for each.
            let mut times: Vec<i64> = self.of.values().copied().collect();
            let middle = times.len() / 2;
            let (_, middle, _) = times.select_nth_unstable(middle);
            let middle = *middle;
            self.of.retain(|_, at_ms| *at_ms > middle);
        }
        self.of.insert(key, at_ms);
    }

    fn remove(&mut self, key: &K) {
        self.of.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use delivery::{Envelope, QueueId, Recipient};
    use mailkit::EmailAddress;

    use super::*;

    const MINUTE_MS: i64 = 60_000;
    const DAY_MS: i64 = 86_400_000;

    fn list() -> Greylist {
        Greylist::new(Duration::from_secs(180), &["192.0.2.0/24".parse().unwrap()])
    }

    fn case(peer: &str, from: &str, to: &str, at_ms: i64) -> Case {
        let address = |text: &str| EmailAddress::parse(text).unwrap();
        let envelope = Envelope {
            from: (!from.is_empty()).then(|| address(from)),
            recipients: vec![Recipient::new(address(to))],
            ret: None,
            envid: None,
            body_8bit: false,
            smtputf8: false,
            require_tls: false,
            origin: delivery::Origin { peer: Some(peer.parse().unwrap()), ..delivery::Origin::default() },
        };
        Case { id: QueueId(1), envelope, accounts: vec![None], at_ms }
    }

    fn checked(spf_passed: Option<&str>) -> Checked {
        Checked { is_checked: true, spf_passed: spf_passed.map(ToOwned::to_owned), ..Checked::default() }
    }

    #[test]
    fn a_stranger_is_asked_to_try_again_and_the_first_retry_after_a_while_is_taken() {
        for (first, retry) in [("203.0.113.5", "203.0.113.200"), ("2001:db8:1::1", "2001:db8:1:ffff::9")] {
            for from in ["a@strange.example", ""] {
                let list = list();
                let ask = |peer, at| list.ask(&case(peer, from, "anna@example.org", at), &checked(None));
                assert_eq!(ask(first, 0), Asked::Later);
                assert_eq!(ask(retry, MINUTE_MS), Asked::Later, "too soon");
                assert_eq!(ask(retry, 3 * MINUTE_MS), Asked::Retried, "counted from the first time");
                let other = case(first, "other@else.example", "bert@example.org", 4 * MINUTE_MS);
                assert_eq!(list.ask(&other, &checked(None)), Asked::Retried, "the network has shown that it retries");
                assert_eq!(list.counts(), (0, 1));
                assert_eq!(ask(first, 60 * DAY_MS), Asked::Later, "that was long ago");
            }
        }
    }

    #[test]
    fn another_message_of_the_network_is_no_retry() {
        let list = list();
        let ask = |from, to, at| list.ask(&case("203.0.113.5", from, to, at), &checked(None));
        assert_eq!(ask("a@strange.example", "anna@example.org", 0), Asked::Later);
        assert_eq!(ask("b@strange.example", "anna@example.org", 10 * MINUTE_MS), Asked::Later);
        assert_eq!(ask("a@strange.example", "bert@example.org", 10 * MINUTE_MS), Asked::Later);
        assert_eq!(ask("A@Strange.example", "ANNA@example.org", 10 * MINUTE_MS), Asked::Retried);
    }

    #[test]
    fn a_pool_that_retries_from_other_networks_passes_by_its_spf_domain() {
        let list = list();
        let from = "a@outlook.example";
        let ask = |peer, spf, at| list.ask(&case(peer, from, "anna@example.org", at), &checked(spf));
        assert_eq!(ask("203.0.113.5", Some("outlook.example"), 0), Asked::Later);
        assert_eq!(ask("198.51.100.7", None, 5 * MINUTE_MS), Asked::Later, "anybody could say so");
        assert_eq!(ask("198.51.100.8", Some("outlook.example"), 5 * MINUTE_MS), Asked::Retried);
        assert_eq!(ask("2001:db8:9::1", Some("outlook.example"), 6 * MINUTE_MS), Asked::Retried);
    }

    #[test]
    fn nobody_is_asked_without_checks_or_from_networks_that_say_nothing() {
        let list = list();
        for peer in ["127.0.0.1", "10.0.0.9", "192.0.2.77", "::1", "fd00::1", "::ffff:192.0.2.1"] {
            assert_eq!(
                list.ask(&case(peer, "a@b.example", "anna@example.org", 0), &checked(None)),
                Asked::Passed,
                "{peer}"
            );
        }
        let public = || case("203.0.113.5", "a@b.example", "anna@example.org", 0);
        assert_eq!(list.ask(&public(), &Checked::default()), Asked::Passed, "not checked");
        let silent = Checked { dns_failed: true, ..checked(None) };
        assert_eq!(list.ask(&public(), &silent), Asked::Passed, "the DNS failed");
        let mut lmtp = public();
        lmtp.envelope.origin.lmtp = true;
        let mut relayed = public();
        relayed.envelope.origin.relay = Some(delivery::AtRelay::default());
        for case in [lmtp, relayed] {
            assert_eq!(list.ask(&case, &checked(None)), Asked::Passed, "there is nobody who would retry");
        }
        assert_eq!(list.counts(), (0, 0));
        let refusal = list.refusal();
        assert_eq!((refusal.code, refusal.enhanced), (451, (4, 7, 1)));
        assert!(refusal.text.is_ascii() && refusal.text.contains("try again in 3 minutes"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut times = Bounded::default();
        for number in 0..10_000i64 {
            times.set(number, number, 100);
            assert!(times.of.len() <= 100);
        }
        assert!(times.get(&9_999, 10_000, 100).is_some(), "the newest stays");
        let mut same = Bounded::default();
        (0..1_000i64).for_each(|number| same.set(number, 7, 100));
        assert!(same.of.len() <= 100);
    }
}
