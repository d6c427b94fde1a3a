//! Reputation: what became of earlier mail from the same domain, with the same domain's signature, and from the same network.
//!
//! It is made of what accounts learned, so nothing can disagree with it. It ages: what is [`HALF_LIFE_MS`] old counts half. Each account
//! has its own; what is missing in it is filled up by that of the service, which is made of several accounts or not at all.

use std::collections::HashMap;
use std::net::IpAddr;

use super::kind::Kind;
use super::schema::LearnedRecord;

/// After this time a message counts half.
const HALF_LIFE_MS: f64 = 60.0 * 86_400_000.0;
/// Most domains and networks that an account has a reputation of.
const MAX_PLACES: usize = 20_000;
/// Most that the service has one of.
const MAX_SHARED_PLACES: usize = 200_000;
/// What one account adds at most to a place of the service, for each kind.
const MAX_OF_ACCOUNT: f32 = 3.0;
/// Accounts that have to know a place.
const MIN_ACCOUNTS: u32 = 2;
/// Messages at which half of the weight is reached.
const HALF_AT: f64 = 3.0;
/// What reading and keeping a message counts beside the user's word.
const OF_CONDUCT: f32 = 0.5;
/// Most signatures of a message that count.
pub(super) const MAX_SIGNERS: usize = 4;
/// Longest name of a domain.
const MAX_NAME_BYTES: usize = 253;

/// Where a message comes from, as far as that was checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Domains whose signatures are right, in lower case.
    pub signers: Vec<String>,
    /// The network: see [`Origin::network_of`].
    pub network: Option<String>,
    /// The domain in From does not confirm the message.
    pub is_forged: bool,
}

impl Origin {
    /// The network of an address of the Internet: 24 bits of an IPv4 address, 48 of an IPv6 address. Addresses of other kinds say
    /// nothing about who sends: `None`.
    pub fn network_of(address: IpAddr) -> Option<String> {
        match address.to_canonical() {
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                let other = v4.is_private() || v4.is_loopback() || v4.is_link_local() || v4.is_unspecified();
                (!(other || a == 100 && b & 0xC0 == 64)).then(|| format!("{a}.{b}.{c}.0/24"))
            }
            IpAddr::V6(v6) => {
                let [a, b, c, ..] = v6.segments();
                (a & 0xE000 == 0x2000).then(|| format!("{a:x}:{b:x}:{c:x}::/48"))
            }
        }
    }

    /// With a signature of a domain, if it counts.
    pub fn add_signer(&mut self, domain: &str) {
        let domain = domain.trim_end_matches('.').to_ascii_lowercase();
        let is_name = (1..=MAX_NAME_BYTES).contains(&domain.len());
        if is_name && self.signers.len() < MAX_SIGNERS && !self.signers.contains(&domain) {
            self.signers.push(domain);
        }
    }
}

/// What has a reputation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    Domain(&'a str),
    Signer(&'a str),
    Network(&'a str),
}

impl Place<'_> {
    fn key(self) -> String {
        match self {
            Self::Domain(name) => format!("d {name}"),
            Self::Signer(name) => format!("s {name}"),
            Self::Network(name) => format!("n {name}"),
        }
    }
}

/// What became of the mail of a place, in messages; older ones count less.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    spam: f32,
    wanted: f32,
}

impl Standing {
    /// From -1 (all is wanted) to 1 (all is spam), and how far that is known, from 0 to 1.
    fn says(self) -> (f64, f64) {
        let (spam, wanted) = (f64::from(self.spam), f64::from(self.wanted));
        let all = spam + wanted;
        if all <= 0.0 { (0.0, 0.0) } else { ((spam - wanted) / all, all / (all + HALF_AT)) }
    }
}

/// Reputations of domains and networks.
#[derive(Clone, Debug, Default)]
pub struct Reputation {
    of: HashMap<String, Standing>,
}

impl Reputation {
    /// How many domains and networks have one.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// With a message that was learned.
    pub(super) fn add(&mut self, record: &LearnedRecord, now_ms: i64) {
        let Some(kind) = Kind::from_number(record.kind) else { return };
        let age_ms = now_ms.saturating_sub(record.at_ms).max(0) as f64;
        let weight = 0.5f64.powf(age_ms / HALF_LIFE_MS) as f32 * if record.by_user { 1.0 } else { OF_CONDUCT };
        // A forged message is no act of the domain that it names.
        let domain = record.sender.rsplit_once('@').map(|(_, domain)| domain).filter(|_| !record.is_forged);
        let places = domain
            .map(Place::Domain)
            .into_iter()
            .chain(record.signers.iter().take(MAX_SIGNERS).map(|signer| Place::Signer(signer)))
            .chain(Some(record.network.as_str()).filter(|network| !network.is_empty()).map(Place::Network));
        for place in places {
            let key = place.key();
            if key.len() > MAX_NAME_BYTES + 2 || (self.of.len() >= MAX_PLACES && !self.of.contains_key(&key)) {
                continue;
            }
            let standing = self.of.entry(key).or_default();
            match kind {
                Kind::Spam => standing.spam += weight,
                Kind::Wanted => standing.wanted += weight,
            }
        }
    }

    /// Whether anything is known of a place.
    pub(super) fn knows(&self, place: Place<'_>) -> bool {
        self.of.contains_key(&place.key())
    }

    /// From -1 (good) to 1 (bad): one's own, filled up by that of the service.
    pub(super) fn of(&self, service: &Self, place: Place<'_>) -> f64 {
        let key = place.key();
        let says = |reputation: &Self| reputation.of.get(&key).copied().unwrap_or_default().says();
        let ((own, known), (others, by_others)) = (says(self), says(service));
        own * known + others * by_others * (1.0 - known)
    }
}

/// Reputations of several accounts.
#[derive(Debug, Default)]
pub(super) struct Together {
    of: HashMap<String, (u32, Standing)>,
}

impl Together {
    /// With those of one more account.
    pub(super) fn add(&mut self, one: &Reputation) {
        for (key, standing) in &one.of {
            if self.of.len() >= MAX_SHARED_PLACES && !self.of.contains_key(key) {
                continue;
            }
            let (accounts, sum) = self.of.entry(key.clone()).or_default();
            *accounts += 1;
            sum.spam += standing.spam.min(MAX_OF_ACCOUNT);
            sum.wanted += standing.wanted.min(MAX_OF_ACCOUNT);
        }
    }

    /// What several accounts know.
    pub(super) fn of_several(self) -> Reputation {
        let several = self.of.into_iter().filter(|(_, (accounts, _))| *accounts >= MIN_ACCOUNTS);
        Reputation { of: several.map(|(key, (_, sum))| (key, sum)).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: i64 = 86_400_000;

    fn record(spam: bool, by_user: bool, sender: &str, at_ms: i64) -> LearnedRecord {
        LearnedRecord {
            kind: if spam { 1 } else { 2 },
            by_user,
            at_ms,
            sender: sender.to_owned(),
            signers: vec!["mailer.example".to_owned()],
            network: "203.0.113.0/24".to_owned(),
            ..LearnedRecord::default()
        }
    }

    fn place(name: &str) -> Place<'_> {
        Place::Domain(name)
    }

    #[test]
    fn a_network_is_24_or_48_bits_of_a_public_address() {
        for (address, network) in [
            ("203.0.113.77", Some("203.0.113.0/24")),
            ("::ffff:203.0.113.77", Some("203.0.113.0/24")),
            ("2001:db8:1:2::3", Some("2001:db8:1::/48")),
            ("127.0.0.1", None),
            ("10.1.2.3", None),
            ("192.168.7.1", None),
            ("172.16.0.1", None),
            ("100.64.1.1", None),
            ("169.254.1.1", None),
            ("::1", None),
            ("fd00::1", None),
            ("fe80::1", None),
        ] {
            assert_eq!(Origin::network_of(address.parse().unwrap()).as_deref(), network, "{address}");
        }
    }

    #[test]
    fn reputation_follows_from_mail_ages_and_mixed_mail_says_nothing() {
        let (now, none) = (1_000 * DAY_MS, Reputation::default());
        let of = |records: &[LearnedRecord], what: Place<'_>| {
            let mut own = Reputation::default();
            for record in records {
                own.add(record, now);
            }
            own.of(&none, what)
        };
        let bad: Vec<_> = (0..6).map(|_| record(true, true, "a@bad.example", now)).collect();
        let places = [place("bad.example"), Place::Signer("mailer.example"), Place::Network("203.0.113.0/24")];
        for what in places {
            assert!(of(&bad, what) > 0.5, "{what:?}");
        }
        assert!(of(&bad[..1], places[0]) < 0.3, "one message is not much");
        let good: Vec<_> = (0..6).map(|_| record(false, true, "a@bad.example", now)).collect();
        assert!(of(&good, places[0]) < -0.5);
        assert!(of(&[bad.clone(), good.clone()].concat(), places[0]).abs() < 0.01, "a large provider");
        let old: Vec<_> = (0..6).map(|_| record(true, true, "a@bad.example", now - 400 * DAY_MS)).collect();
        assert!(of(&old, places[0]) < 0.1, "what is long ago");
        let kept: Vec<_> = (0..6).map(|_| record(false, false, "a@bad.example", now)).collect();
        assert!(of(&kept, places[0]) > of(&good, places[0]), "a word counts more than conduct");
        let forged: Vec<_> = bad.iter().cloned().map(|one| LearnedRecord { is_forged: true, ..one }).collect();
        assert!(of(&forged, places[0]).abs() < f64::EPSILON && of(&forged, places[2]) > 0.5);
        assert!(of(&bad, place("other.example")).abs() < f64::EPSILON);
    }

    #[test]
    fn the_services_counts_where_ones_own_is_missing_and_needs_several_accounts() {
        let now = 1_000 * DAY_MS;
        let mut one = Reputation::default();
        (0..50).for_each(|_| one.add(&record(true, true, "a@bad.example", now), now));
        let mut together = Together::default();
        together.add(&one);
        assert!(together.of_several().is_empty(), "one account alone is no service");
        let mut together = Together::default();
        together.add(&one);
        together.add(&one);
        let service = together.of_several();
        let nobody = Reputation::default();
        let by_others = nobody.of(&service, place("bad.example"));
        assert!(by_others > 0.5);
        let mut own = Reputation::default();
        (0..20).for_each(|_| own.add(&record(false, true, "a@bad.example", now), now));
        assert!(own.of(&service, place("bad.example")) < -0.5, "one's own overrules it");
        assert!(service.knows(place("bad.example")) && !nobody.knows(place("bad.example")));
    }

    #[test]
    fn places_are_bounded() {
        let mut own = Reputation::default();
        for number in 0..MAX_PLACES + 10 {
            own.add(&record(true, true, &format!("a@{number}.example"), 0), 0);
        }
        own.add(&record(true, true, &format!("a@{}", "x".repeat(5_000)), 0), 0);
        assert!(own.len() <= MAX_PLACES);
        let mut origin = Origin::default();
        (0..50).for_each(|number| origin.add_signer(&format!("S{number}.example.")));
        origin.add_signer(&"x".repeat(300));
        assert_eq!(origin.signers, ["s0.example", "s1.example", "s2.example", "s3.example"]);
    }
}
