//! SPF records as their owner sees them (RFC 7208): what is wrong with one, how many lookups it costs, and whom it lets send.
//!
//! This is no check of a message: all branches are followed to count what they cost. Terms with macros depend on the message
//! and are only counted.

use std::net::IpAddr;

use dnskit::Kind;

use crate::answers::{Answers, Told};

/// Most terms that need a lookup (section 4.6.4).
pub const MAX_LOOKUPS: usize = 10;
/// Records nested in one another, at most.
const MAX_DEPTH: usize = 12;
/// Hosts of one `mx` term, at most (section 4.6.4).
const MAX_MX: usize = 10;
/// Records looked at in all, at most.
const MAX_RECORDS: usize = 40;

/// What a term says of those whom it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Qualifier {
    /// They may send.
    Pass,
    /// They may not.
    Fail,
    /// They should not.
    SoftFail,
    /// Nothing.
    Neutral,
}

/// What a record does for our addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// Terms that need a lookup, in all branches.
    pub lookups: usize,
    /// The addresses that it lets send.
    pub passed: Vec<IpAddr>,
    /// What is wrong with it or with those that it includes: codes and words.
    pub faults: Vec<(&'static str, String)>,
    /// Names that were not answered, with the reason.
    pub silent: Vec<String>,
    /// There are terms with macros, so that nothing sure can be said about whom it lets send.
    pub depends: bool,
    /// What it says at its end.
    pub all: Option<Qualifier>,
}

/// Whether a text is meant as an SPF record: `v=spf1`, then a space or nothing.
pub fn is_record(text: &str) -> bool {
    let Some(start) = text.get(..6) else { return false };
    start.eq_ignore_ascii_case("v=spf1") && matches!(text.as_bytes().get(6), None | Some(b' '))
}

/// Looks at the record of `domain`, for the addresses that should be allowed to send.
pub fn look(answers: &Answers, domain: &str, record: &str, addresses: &[IpAddr]) -> Found {
    let mut look = Look { answers, found: Found::default(), records: 0 };
    let passed = look.record(domain, record, addresses, 0);
    look.found.passed = passed;
    look.found
}

struct Look<'a> {
    answers: &'a Answers,
    found: Found,
    records: usize,
}

/// The addresses that a term matches.
type Matched = Vec<IpAddr>;

impl Look<'_> {
    /// The addresses that a record lets send.
    fn record(&mut self, domain: &str, record: &str, addresses: &[IpAddr], depth: usize) -> Matched {
        self.records += 1;
        let (mut left, mut passed) = (addresses.to_vec(), Vec::new());
        let mut redirect = None;
        let mut ended = false;
        for term in record.split_ascii_whitespace().skip(1) {
            if let Some((name, value)) = modifier(term) {
                if name.eq_ignore_ascii_case("redirect") {
                    redirect = Some(value.to_owned());
                }
                continue;
            }
            if ended {
                self.fault("spf-after-all", format!("{term} stands after \u{201c}all\u{201d}, so it has no effect"));
                continue;
            }
            let (qualifier, rest) = qualified(term);
            let matched = self.term(domain, rest, &left, depth);
            left.retain(|address| !matched.contains(address));
            if qualifier == Qualifier::Pass {
                passed.extend(matched);
            }
            if rest.eq_ignore_ascii_case("all") {
                ended = true;
                if depth == 0 {
                    self.found.all = Some(qualifier);
                }
            }
        }
        match redirect.filter(|_| !ended) {
            Some(target) => {
                self.found.lookups += 1;
                passed.extend(self.nested(&target, &left, depth, depth == 0));
            }
            None if !ended && depth == 0 => self.fault(
                "spf-no-all",
                "the SPF record has no end: without \u{201c}-all\u{201d} or \u{201c}~all\u{201d} it forbids nobody anything".to_owned(),
            ),
            None => {}
        }
        passed
    }

    fn term(&mut self, domain: &str, term: &str, addresses: &[IpAddr], depth: usize) -> Matched {
        let split = term.find([':', '/']).unwrap_or(term.len());
        let (name, rest) = term.split_at(split);
        let value = rest.strip_prefix(':').unwrap_or(rest);
        match name.to_ascii_lowercase().as_str() {
            "all" if rest.is_empty() => addresses.to_vec(),
            "ip4" | "ip6" => self.network(term, value, name.ends_with('4'), addresses),
            "a" | "mx" => {
                self.found.lookups += 1;
                self.hosts(domain, name.eq_ignore_ascii_case("mx"), rest, addresses)
            }
            "include" if !value.is_empty() => {
                self.found.lookups += 1;
                self.nested(value, addresses, depth, false)
            }
            "exists" if !value.is_empty() => {
                self.found.lookups += 1;
                self.found.depends = true;
                Vec::new()
            }
            "ptr" => {
                self.found.lookups += 1;
                self.found.depends = true;
                self.fault(
                    "spf-ptr",
                    "the SPF record uses \u{201c}ptr\u{201d}, which is slow and which many servers ignore".to_owned(),
                );
                Vec::new()
            }
            _ => {
                self.fault(
                    "spf-syntax",
                    format!("other servers don't understand \u{201c}{term}\u{201d} and ignore the whole record"),
                );
                Vec::new()
            }
        }
    }

    fn network(&mut self, term: &str, value: &str, four: bool, addresses: &[IpAddr]) -> Matched {
        let (address, length) = value.split_once('/').unwrap_or((value, if four { "32" } else { "128" }));
        let parsed = (address.parse::<IpAddr>(), length.parse::<u8>());
        match parsed {
            (Ok(network), Ok(length)) if network.is_ipv4() == four && length <= if four { 32 } else { 128 } => {
                addresses.iter().copied().filter(|address| within(*address, network, length)).collect()
            }
            _ => {
                let what = if four { "an IPv4 address" } else { "an IPv6 address" };
                self.fault(
                    "spf-syntax",
                    format!("\u{201c}{term}\u{201d} is not {what}, so other servers ignore the whole record"),
                );
                Vec::new()
            }
        }
    }

    /// `a` and `mx`, with a name or the domain's own, and with lengths of networks.
    fn hosts(&mut self, domain: &str, by_mx: bool, rest: &str, addresses: &[IpAddr]) -> Matched {
        let (name, lengths) = rest.split_once('/').unwrap_or((rest, ""));
        let name = name.strip_prefix(':').filter(|name| !name.is_empty()).unwrap_or(domain);
        if name.contains('%') {
            self.found.depends = true;
            return Vec::new();
        }
        let (four, six) =
            lengths.split_once("//").unwrap_or((lengths.split_once('/').map_or(lengths, |(four, _)| four), ""));
        let (four, six) = (four.parse().unwrap_or(32u8).min(32), six.parse().unwrap_or(128u8).min(128));
        let hosts = if by_mx {
            match self.answers.mx(name) {
                Ok(found) => found.into_iter().map(|mx| mx.host).take(MAX_MX).collect(),
                Err(why) => {
                    self.silent(name, &why);
                    Vec::new()
                }
            }
        } else {
            vec![name.to_owned()]
        };
        let mut matched = Vec::new();
        for host in hosts.iter().filter(|host| !host.is_empty()) {
            match self.answers.addresses(host) {
                Ok(found) => {
                    let is_one = |ours: &IpAddr| {
                        found.iter().any(|one| {
                            one.is_ipv4() == ours.is_ipv4()
                                && within(*ours, *one, if ours.is_ipv4() { four } else { six })
                        })
                    };
                    matched.extend(addresses.iter().copied().filter(is_one));
                }
                Err(why) => self.silent(host, &why),
            }
        }
        matched.sort_unstable();
        matched.dedup();
        matched
    }

    /// `include` and `redirect`.
    fn nested(&mut self, target: &str, addresses: &[IpAddr], depth: usize, is_end: bool) -> Matched {
        if target.contains('%') {
            self.found.depends = true;
            return Vec::new();
        }
        if depth + 1 >= MAX_DEPTH || self.records >= MAX_RECORDS {
            self.fault("spf-deep", format!("the record includes others without end, the last one {target}"));
            return Vec::new();
        }
        if let Told::Silent(why) = self.answers.ask(target, Kind::Txt) {
            self.silent(target, &why);
            return Vec::new();
        }
        let texts = self.answers.texts(target).unwrap_or_default();
        let records: Vec<&String> = texts.iter().filter(|text| is_record(text)).collect();
        match records.as_slice() {
            [one] => {
                let passed = self.record(target, one, addresses, depth + 1);
                if is_end {
                    let last =
                        one.split_ascii_whitespace().map(qualified).find(|(_, term)| term.eq_ignore_ascii_case("all"));
                    self.found.all = last.map(|(qualifier, _)| qualifier);
                }
                passed
            }
            [] => {
                self.fault(
                    "spf-include",
                    format!("the SPF record refers to {target}, which has none: other servers ignore the whole record"),
                );
                Vec::new()
            }
            _ => {
                self.fault(
                    "spf-include",
                    format!(
                        "the SPF record refers to {target}, which has several: other servers ignore the whole record"
                    ),
                );
                Vec::new()
            }
        }
    }

    fn fault(&mut self, code: &'static str, says: String) {
        if !self.found.faults.iter().any(|(_, there)| *there == says) {
            self.found.faults.push((code, says));
        }
    }

    fn silent(&mut self, name: &str, why: &str) {
        self.found.silent.push(format!("{name}: {why}"));
    }
}

/// `name=value`, where the name is one.
fn modifier(term: &str) -> Option<(&str, &str)> {
    let (name, value) = term.split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    is_name.then_some((name, value))
}

fn qualified(term: &str) -> (Qualifier, &str) {
    match term.as_bytes().first() {
        Some(b'+') => (Qualifier::Pass, &term[1..]),
        Some(b'-') => (Qualifier::Fail, &term[1..]),
        Some(b'~') => (Qualifier::SoftFail, &term[1..]),
        Some(b'?') => (Qualifier::Neutral, &term[1..]),
        _ => (Qualifier::Pass, term),
    }
}

/// Whether an address is in a network.
fn within(address: IpAddr, network: IpAddr, length: u8) -> bool {
    match (address.to_canonical(), network.to_canonical()) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(u32::from(32 - length.min(32))).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(u32::from(128 - length.min(128))).unwrap_or(0);
            a.to_bits() & mask == b.to_bits() & mask
        }
        _ => false,
    }
}

/// The records in one, with `mx` in it: what to paste instead.
pub fn corrected(records: &[String], add: &str) -> String {
    let mut terms: Vec<String> = Vec::new();
    let mut end = None;
    for term in records.iter().flat_map(|record| record.split_ascii_whitespace().skip(1)) {
        let (_, rest) = qualified(term);
        if rest.eq_ignore_ascii_case("all") {
            end.get_or_insert_with(|| term.to_owned());
        } else if !terms.iter().any(|there| there.eq_ignore_ascii_case(term)) {
            terms.push(term.to_owned());
        }
    }
    if !add.is_empty() && !terms.iter().any(|there| there.eq_ignore_ascii_case(add)) {
        terms.insert(0, add.to_owned());
    }
    let redirects = terms.iter().any(|term| term.to_ascii_lowercase().starts_with("redirect="));
    let end = end.or_else(|| (!redirects).then(|| "-all".to_owned()));
    let all = std::iter::once("v=spf1".to_owned()).chain(terms).chain(end);
    all.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_from_other_texts() {
        for good in ["v=spf1", "v=spf1 -all", "V=SPF1 mx"] {
            assert!(is_record(good), "{good}");
        }
        for other in ["", "v=spf", "v=spf10 mx", "v=spf1mx", " v=spf1 mx", "\"v=spf1 mx\"", "spf2.0/pra mx", "äöüäöü"]
        {
            assert!(!is_record(other), "{other}");
        }
    }

    #[test]
    fn addresses_are_in_networks() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(within(ip("192.0.2.77"), ip("192.0.2.0"), 24) && !within(ip("192.0.3.1"), ip("192.0.2.0"), 24));
        assert!(within(ip("1.2.3.4"), ip("9.9.9.9"), 0) && within(ip("2001:db8::1"), ip("2001:db8::"), 32));
        assert!(within(ip("::ffff:192.0.2.1"), ip("192.0.2.1"), 32) && !within(ip("::1"), ip("0.0.0.0"), 0));
    }

    #[test]
    fn two_records_become_one() {
        for (records, add, one) in [
            (&["v=spf1 include:a.example ~all", "v=spf1 mx -all"][..], "", "v=spf1 include:a.example mx ~all"),
            (&["v=spf1 include:a.example ~all"], "mx", "v=spf1 mx include:a.example ~all"),
            (&["v=spf1 mx"], "mx", "v=spf1 mx -all"),
            (&["v=spf1 redirect=a.example"], "mx", "v=spf1 mx redirect=a.example"),
        ] {
            let records: Vec<String> = records.iter().map(|record| (*record).to_owned()).collect();
            assert_eq!(corrected(&records, add), one);
        }
    }
}
