//! What reports about a domain add up to, as an owner understands it: who sends in its name, and who could not reach it safely.

mod advice;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::dmarc::{Disposition, Row};
use crate::{Kept, Reporter, Says, organisation_of};

pub use advice::{Advice, tls_advice};

/// Most sources that are told apart; those with the fewest messages are one.
pub const MAX_SOURCES: usize = 100;
/// Addresses of a source that are named.
const MAX_ADDRESSES: usize = 8;
/// Signing domains of a source that are named.
const MAX_SIGNERS: usize = 5;
/// Failures of TLS that are told apart.
const MAX_FAILURES: usize = 100;
const DAY_SECONDS: i64 = 86_400;

/// The service itself, so that its own mail is known in reports.
#[derive(Clone, Debug, Default)]
pub struct Own {
    /// Its names.
    pub hosts: Vec<String>,
    /// Its public addresses.
    pub addresses: Vec<IpAddr>,
}

impl Own {
    fn is(&self, row: &Row) -> bool {
        row.source.is_some_and(|ip| self.addresses.contains(&ip))
            || self.hosts.iter().any(|host| host.eq_ignore_ascii_case(&row.name))
    }
}

/// Who sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is called: the organisation of its addresses' names, else their network.
    pub name: String,
    /// It is this service.
    pub own: bool,
    /// All messages.
    pub messages: u64,
    /// Those that DMARC proved.
    pub passed: u64,
    /// Those that went to Spam because of it.
    pub quarantined: u64,
    /// Those that were refused because of it.
    pub refused: u64,
    /// Some of its addresses, as text, those with the most messages first.
    pub addresses: Vec<String>,
    /// How many addresses it has.
    pub address_count: usize,
    /// Domains whose signatures its messages had.
    pub signers: Vec<String>,
    /// What to do about it.
    pub advice: Advice,
}

/// Messages of a day.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// The day, counted from 1970 (UTC).
    pub day: u32,
    /// Messages that DMARC proved.
    pub passed: u64,
    /// Messages that it did not.
    pub failed: u64,
}

/// A way in which TLS failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFailure {
    /// Who could not deliver safely.
    pub reporter: String,
    /// The kind, by RFC 8460 section 4.3.
    pub kind: String,
    /// The host of ours that it was about; may be empty.
    pub host: String,
    /// How often.
    pub count: u64,
    /// What the last report says besides.
    pub text: String,
}

/// What TLS reports add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSummary {
    /// How many reports there are.
    pub reports: u64,
    /// Connections that were as demanded.
    pub successes: u64,
    /// Those that were not.
    pub failures: u64,
    /// In which ways, those that happened most often first.
    pub details: Vec<TlsFailure>,
}

/// What reports about a domain add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Verified DMARC reports in it.
    pub reports: u64,
    /// Who sent reports, and how many: those with the most first.
    pub reporters: Vec<(String, u64)>,
    /// Reports that are not verified: nothing else of them is in here.
    pub unverified: u64,
    /// All messages.
    pub messages: u64,
    /// Those that DMARC proved.
    pub passed: u64,
    /// Messages of which reports gave, or had room for, no more than their number.
    pub unlisted: u64,
    /// The policy that the newest report found; empty if none says.
    pub policy: String,
    /// Day by day, without gaps, the oldest first.
    pub days: Vec<Day>,
    /// Who sends, those with the most messages first.
    pub sources: Vec<Source>,
    /// TLS.
    pub tls: TlsSummary,
}

#[derive(Default)]
struct Gathered<'a> {
    own: bool,
    messages: u64,
    passed: u64,
    quarantined: u64,
    refused: u64,
    addresses: BTreeMap<IpAddr, u64>,
    signers: BTreeSet<&'a str>,
    rows: Vec<&'a Row>,
}

/// Adds up the reports whose time began in the last `days` days before `today`, today included.
pub fn of(kept: &[Kept], today: u32, days: u32, own: &Own) -> Summary {
    let first = today.saturating_sub(days.saturating_sub(1));
    let mut summary =
        Summary { days: (first..=today).map(|day| Day { day, ..Day::default() }).collect(), ..Summary::default() };
    let (mut sources, mut reporters, mut newest) = (BTreeMap::new(), BTreeMap::<&str, u64>::new(), i64::MIN);
    let mut failures: BTreeMap<(String, String, String), (u64, String)> = BTreeMap::new();
    for report in kept {
        let day = u32::try_from(report.begin.div_euclid(DAY_SECONDS)).unwrap_or(0);
        if !(first..=today).contains(&day) {
            continue;
        }
        let Reporter::Verified(reporter) = &report.reporter else {
            summary.unverified += 1;
            continue;
        };
        match &report.says {
            Says::Dmarc { rows, unread, policy } => {
                summary.reports += 1;
                *reporters.entry(reporter).or_default() += 1;
                if report.begin >= newest && !policy.is_empty() {
                    (newest, summary.policy) = (report.begin, policy.clone());
                }
                summary.add_rows(rows, *unread, (day - first) as usize);
                for row in rows {
                    gather(&mut sources, row, own);
                }
            }
            Says::Tls(policies) => {
                summary.tls.reports += 1;
                for policy in policies {
                    summary.tls.successes += policy.successes;
                    summary.tls.failures += policy.failures;
                    for detail in &policy.details {
                        let key = (reporter.clone(), detail.kind.clone(), detail.host.clone());
                        let entry = failures.entry(key).or_default();
                        *entry = (entry.0 + detail.count, detail.text.clone());
                    }
                }
            }
        }
    }
    summary.reporters = reporters.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    summary.reporters.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    summary.sources = listed(sources);
    let failure = |((reporter, kind, host), (count, text))| TlsFailure { reporter, kind, host, count, text };
    summary.tls.details = failures.into_iter().map(failure).collect();
    summary.tls.details.sort_by_key(|detail| std::cmp::Reverse(detail.count));
    summary.tls.details.truncate(MAX_FAILURES);
    summary
}

impl Summary {
    fn add_rows(&mut self, rows: &[Row], unread: u64, day: usize) {
        self.unlisted += unread;
        self.messages += unread;
        for row in rows {
            self.messages += row.count;
            let day = &mut self.days[day];
            if row.passes() {
                self.passed += row.count;
                day.passed += row.count;
            } else {
                day.failed += row.count;
            }
        }
    }
}

fn gather<'a>(sources: &mut BTreeMap<String, Gathered<'a>>, row: &'a Row, own: &Own) {
    let is_own = own.is(row);
    let name = match (is_own, row.name.as_str(), row.source) {
        (true, ..) => "this service".to_owned(),
        (_, "", Some(ip)) => network(ip),
        (_, "", None) => "unknown".to_owned(),
        (_, name, _) => organisation_of(name),
    };
    let source = sources.entry(name).or_default();
    source.own |= is_own;
    source.messages += row.count;
    match row.disposition {
        _ if row.passes() => source.passed += row.count,
        Disposition::None => {}
        Disposition::Quarantine => source.quarantined += row.count,
        Disposition::Reject => source.refused += row.count,
    }
    if let Some(ip) = row.source {
        *source.addresses.entry(ip).or_default() += row.count;
    }
    let signed = row.dkim_results.iter().filter(|result| result.result == "pass" && !result.domain.is_empty());
    source.signers.extend(signed.map(|result| result.domain.as_str()));
    source.rows.push(row);
}

fn listed(sources: BTreeMap<String, Gathered<'_>>) -> Vec<Source> {
    let mut listed: Vec<Source> = sources.into_iter().map(|(name, gathered)| gathered.source(name)).collect();
    listed.sort_by_key(|source| std::cmp::Reverse((source.own, source.messages)));
    if listed.len() > MAX_SOURCES {
        let rest = listed.split_off(MAX_SOURCES - 1);
        let sum = |of: fn(&Source) -> u64| rest.iter().map(of).sum::<u64>();
        listed.push(Source {
            name: format!("{} others", rest.len()),
            own: false,
            messages: sum(|one| one.messages),
            passed: sum(|one| one.passed),
            quarantined: sum(|one| one.quarantined),
            refused: sum(|one| one.refused),
            addresses: Vec::new(),
            address_count: rest.iter().map(|one| one.address_count).sum(),
            signers: Vec::new(),
            advice: Advice::Mixed,
        });
    }
    listed
}

impl Gathered<'_> {
    fn source(self, name: String) -> Source {
        let mut addresses: Vec<(IpAddr, u64)> = self.addresses.into_iter().collect();
        addresses.sort_by_key(|(ip, count)| (std::cmp::Reverse(*count), *ip));
        Source {
            advice: Advice::of(&self.rows, self.own),
            name,
            own: self.own,
            messages: self.messages,
            passed: self.passed,
            quarantined: self.quarantined,
            refused: self.refused,
            address_count: addresses.len(),
            addresses: addresses.iter().take(MAX_ADDRESSES).map(|(ip, _)| ip.to_string()).collect(),
            signers: self.signers.into_iter().take(MAX_SIGNERS).map(ToOwned::to_owned).collect(),
        }
    }
}

/// The network of an address that has no name.
fn network(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let bits = ip.to_bits() & !u128::from(u64::MAX);
            format!("{}/64", std::net::Ipv6Addr::from_bits(bits))
        }
    }
}
