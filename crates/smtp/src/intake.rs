//! How much mail strangers may give within an hour: each network (an IPv4 /24, an IPv6 /64), and to each account.
//!
//! What is counted is kept in memory: after a restart everyone begins anew. A recipient's limit defers only networks that
//! give much, so that a client that floods a mailbox doesn't keep others' mail from it.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use delivery::Refusal;
use directory::AccountId;
use doorkit::Network;
use parking_lot::Mutex;

/// An hour is counted in so many parts.
const PARTS: usize = 6;
const PART: Duration = Duration::from_secs(600);
/// Networks, and accounts, that are kept track of; above it those that gave or got least are forgotten.
const MAX_TRACKED: usize = 50_000;
/// Messages within an hour that a network may always give to a recipient, however much that one gets from others.
const ALWAYS: u64 = 20;

/// The limits within an hour; 0 is unlimited.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IntakeLimits {
    /// Messages from one network. Default 3,000.
    pub messages_per_network: u64,
    /// Bytes from one network. Default 5 GB.
    pub bytes_per_network: u64,
    /// Messages to one account. Default 1,000.
    pub messages_per_recipient: u64,
    /// Bytes to one account. Default 2 GB.
    pub bytes_per_recipient: u64,
    /// Networks without limits: relays of ours, programs on this machine. Default: loopback.
    pub trusted: Vec<Network>,
}

impl Default for IntakeLimits {
    fn default() -> Self {
        Self {
            messages_per_network: 3_000,
            bytes_per_network: 5_000_000_000,
            messages_per_recipient: 1_000,
            bytes_per_recipient: 2_000_000_000,
            trusted: Network::LOOPBACK.to_vec(),
        }
    }
}

/// The network that is counted.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            Ipv4Addr::new(a, b, c, 0).into()
        }
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// What came within the last hour.
#[derive(Debug, Clone, Copy, Default)]
struct Hour {
    /// The part that was counted last, since the beginning.
    part: u64,
    messages: [u64; PARTS],
    bytes: [u64; PARTS],
}

impl Hour {
    /// Forgets the parts that are over.
    fn turn_to(&mut self, part: u64) {
        let over = part.saturating_sub(self.part).min(PARTS as u64);
        for step in 1..=over {
            let at = ((self.part + step) % PARTS as u64) as usize;
            (self.messages[at], self.bytes[at]) = (0, 0);
        }
        self.part = self.part.max(part);
    }

    fn add(&mut self, part: u64, messages: u64, bytes: u64) {
        self.turn_to(part);
        let at = (self.part % PARTS as u64) as usize;
        self.messages[at] += messages;
        self.bytes[at] += bytes;
    }

    fn sums(&self) -> (u64, u64) {
        (self.messages.iter().sum(), self.bytes.iter().sum())
    }
}

/// Counts by key, of which only so many are kept.
#[derive(Debug)]
struct Counts<K>(HashMap<K, Hour>);

impl<K: Hash + Eq + Copy> Counts<K> {
    fn sums(&mut self, key: K, part: u64) -> (u64, u64) {
        self.0.get_mut(&key).map_or((0, 0), |hour| {
            hour.turn_to(part);
            hour.sums()
        })
    }

    fn add(&mut self, key: K, part: u64, messages: u64, bytes: u64) {
        if self.0.len() >= MAX_TRACKED && !self.0.contains_key(&key) {
            self.0.retain(|_, hour| {
                hour.turn_to(part);
                hour.sums() != (0, 0)
            });
            // The smallest half, if all of them are of this hour.
            if self.0.len() >= MAX_TRACKED {
                let mut all: Vec<u64> = self.0.values().map(|hour| hour.sums().0).collect();
                let middle = all.len() / 2;
                let (_, median, _) = all.select_nth_unstable(middle);
                let median = *median;
                self.0.retain(|_, hour| hour.sums().0 > median);
            }
        }
        self.0.entry(key).or_insert(Hour { part, ..Hour::default() }).add(part, messages, bytes);
    }
}

#[derive(Debug)]
struct Tracked {
    networks: Counts<IpAddr>,
    recipients: Counts<AccountId>,
}

/// Counts what strangers give. One for all listeners; cheap to clone.
#[derive(Debug, Clone)]
pub struct Intake {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    limits: IntakeLimits,
    begun: Instant,
    tracked: Mutex<Tracked>,
}

impl Default for Intake {
    fn default() -> Self {
        Self::new(IntakeLimits::default())
    }
}

impl Intake {
    /// Nothing has come yet.
    #[must_use]
    pub fn new(limits: IntakeLimits) -> Self {
        let tracked = Tracked { networks: Counts(HashMap::new()), recipients: Counts(HashMap::new()) };
        Self { inner: Arc::new(Inner { limits, begun: Instant::now(), tracked: Mutex::new(tracked) }) }
    }

    fn part(&self, now: Instant) -> u64 {
        // The first part is not the zeroth: what was before it is over.
        now.duration_since(self.inner.begun).as_secs() / PART.as_secs() + PARTS as u64
    }

    /// Whether a peer has no limits.
    #[must_use]
    pub fn trusts(&self, peer: IpAddr) -> bool {
        self.inner.limits.trusted.iter().any(|network| network.contains(peer))
    }

    /// Whether a network may give another message. A refusal with 421 ends the connection.
    pub(crate) fn may_give(&self, peer: IpAddr) -> Result<(), Refusal> {
        self.may_give_at(peer, Instant::now())
    }

    fn may_give_at(&self, peer: IpAddr, now: Instant) -> Result<(), Refusal> {
        if self.trusts(peer) {
            return Ok(());
        }
        let limits = &self.inner.limits;
        let (messages, bytes) = self.inner.tracked.lock().networks.sums(network(peer), self.part(now));
        if is_over(messages, limits.messages_per_network) {
            metrics::counter!("holdfast_smtp_intake_refused_total", "limit" => "network_messages").increment(1);
            let text = "Too many messages from your network within an hour, try again later";
            return Err(Refusal::new(421, (4, 7, 0), text));
        }
        if is_over(bytes, limits.bytes_per_network) {
            metrics::counter!("holdfast_smtp_intake_refused_total", "limit" => "network_bytes").increment(1);
            let text = "Too much data from your network within an hour, try again later";
            return Err(Refusal::new(450, (4, 7, 1), text));
        }
        Ok(())
    }

    /// Whether a recipient can get another message from a network.
    pub(crate) fn may_receive(&self, peer: IpAddr, account: AccountId, address: &str) -> Result<(), Refusal> {
        self.may_receive_at(peer, account, address, Instant::now())
    }

    fn may_receive_at(&self, peer: IpAddr, account: AccountId, address: &str, now: Instant) -> Result<(), Refusal> {
        if self.trusts(peer) {
            return Ok(());
        }
        let (limits, part) = (&self.inner.limits, self.part(now));
        let mut tracked = self.inner.tracked.lock();
        let (messages, bytes) = tracked.recipients.sums(account, part);
        let is_full = is_over(messages, limits.messages_per_recipient) || is_over(bytes, limits.bytes_per_recipient);
        if !is_full || tracked.networks.sums(network(peer), part).0 < ALWAYS {
            return Ok(());
        }
        drop(tracked);
        metrics::counter!("holdfast_smtp_intake_refused_total", "limit" => "recipient").increment(1);
        let text = format!("<{address}>: this mailbox gets too much mail at the moment, try again later");
        Err(Refusal::new(450, (4, 2, 1), text))
    }

    /// A message came, for these accounts if it was taken.
    pub(crate) fn received(&self, peer: IpAddr, bytes: u64, accounts: &[AccountId]) {
        self.received_at(peer, bytes, accounts, Instant::now());
    }

    fn received_at(&self, peer: IpAddr, bytes: u64, accounts: &[AccountId], now: Instant) {
        if self.trusts(peer) {
            return;
        }
        let part = self.part(now);
        let mut tracked = self.inner.tracked.lock();
        tracked.networks.add(network(peer), part, 1, bytes);
        for account in accounts {
            tracked.recipients.add(*account, part, 1, bytes);
        }
    }
}

const fn is_over(count: u64, limit: u64) -> bool {
    limit > 0 && count >= limit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn intake(messages_per_network: u64, messages_per_recipient: u64) -> Intake {
        Intake::new(IntakeLimits { messages_per_network, messages_per_recipient, ..IntakeLimits::default() })
    }

    fn peer(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    const ANNA: AccountId = AccountId(1);

    #[test]
    fn a_network_gives_so_much_within_an_hour_whatever_its_addresses() {
        let (intake, begun) = (intake(6, 0), Instant::now());
        for number in 0..6 {
            let at = begun + Duration::from_secs(number * 600);
            let from = peer(&format!("192.0.2.{number}"));
            assert_eq!(intake.may_give_at(from, at), Ok(()), "{number}");
            intake.received_at(from, 1, &[ANNA], at);
        }
        let at = begun + Duration::from_secs(3_599);
        assert_eq!(intake.may_give_at(peer("::ffff:192.0.2.77"), at).unwrap_err().code, 421);
        assert_eq!(intake.may_give_at(peer("192.0.3.1"), at), Ok(()), "another network");
        assert_eq!(intake.may_give_at(peer("192.0.2.7"), begun + Duration::from_secs(4_200)), Ok(()), "an hour later");
        assert_eq!(intake.may_give_at(peer("127.0.0.1"), at), Ok(()));
    }

    #[test]
    fn bytes_are_limited_as_messages_are() {
        let limits = IntakeLimits { bytes_per_network: 100, bytes_per_recipient: 50, ..IntakeLimits::default() };
        let (intake, now) = (Intake::new(limits), Instant::now());
        for number in 0..ALWAYS {
            intake.received_at(peer("2001:db8:1:2::1"), 2 * u64::from(number == 0) * 25, &[ANNA], now);
        }
        let (same, other) = (peer("2001:db8:1:2:ffff::9"), peer("2001:db8:1:3::1"));
        assert_eq!(intake.may_receive_at(same, ANNA, "a@x", now).unwrap_err().enhanced, (4, 2, 1));
        assert_eq!(intake.may_receive_at(other, ANNA, "a@x", now), Ok(()), "who gives little is not kept out");
        assert_eq!(intake.may_receive_at(same, AccountId(2), "b@x", now), Ok(()));
        assert_eq!(intake.may_give_at(same, now), Ok(()));
        intake.received_at(same, 50, &[], now);
        assert_eq!(intake.may_give_at(same, now).unwrap_err().enhanced, (4, 7, 1));
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_busiest_stay() {
        let (intake, now) = (intake(2, 0), Instant::now());
        let busy = peer("203.0.113.1");
        intake.received_at(busy, 1, &[], now);
        intake.received_at(busy, 1, &[], now);
        for number in 0..u32::try_from(MAX_TRACKED).unwrap() + 10 {
            intake.received_at(Ipv4Addr::from(0x0A00_0000 + (number << 8)).into(), 1, &[], now);
        }
        assert!(intake.inner.tracked.lock().networks.0.len() <= MAX_TRACKED);
        assert!(intake.may_give_at(busy, now).is_err());
    }
}
