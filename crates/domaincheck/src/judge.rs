//! Compares what is wanted with what the DNS has.

mod dkim;
mod dmarc;
mod host;
mod mx;
mod others;
mod sending;
mod servers;
mod sts;

use directory::Domain;
pub use dkim::VANISHED as DKIM_VANISHED;
pub(crate) use dkim::is_there as dkim_is_there;

use crate::case::{Case, Verdict};
use crate::{Answers, Item, Record, Report, Service, Wanted, wanted};

/// Compares all records of a domain. Questions that `answers` has no answer to are noted there; until they are answered the
/// report says that the DNS is silent.
pub fn judge(service: &Service, domain: &Domain, answers: &Answers, now_ms: i64) -> Report {
    let case = Case { service, domain, answers, now_ms, without_wildcards: false };
    let judged = wanted(service, domain).into_iter().map(|wanted| {
        let verdict = unless_wildcard(&case, &wanted);
        (wanted, verdict)
    });
    let mut judged: Vec<(Wanted, Verdict)> = judged.collect();
    dmarc::alignment(&mut judged);
    let items =
        judged.into_iter().filter(|(wanted, verdict)| is_shown(wanted, verdict)).map(|(wanted, verdict)| Item {
            title: wanted.title,
            name: wanted.name,
            kind: wanted.kind.to_owned(),
            purpose: wanted.purpose.to_owned(),
            need: wanted.need,
            elsewhere: wanted.elsewhere,
            wanted: verdict.instead.unwrap_or(wanted.records),
            found: verdict.found,
            faults: verdict.faults,
        });
    Report { domain: domain.name.clone(), checked_ms: now_ms, items: items.collect() }
}

/// Records that are neither there nor ours to say don't make a line.
fn is_shown(wanted: &Wanted, verdict: &Verdict) -> bool {
    !(wanted.records.is_empty() && verdict.found.is_empty() && verdict.faults.is_empty())
}

/// A wildcard record answers where nothing is: what it says is not meant as a record of this name.
fn unless_wildcard(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let verdict = one(case, wanted);
    let may_be = wanted.kind == "TXT" && wanted.record != Record::Spf && !verdict.faults.is_empty();
    if !may_be || !case.is_wildcard(&verdict.found).unwrap_or(false) {
        return verdict;
    }
    let mut without = one(&Case { without_wildcards: true, ..*case }, wanted);
    for fault in &mut without.faults {
        fault.says.push_str(&format!(" What is found there comes from a wildcard record (*.{}).", case.domain.name));
    }
    without.found = verdict.found;
    without
}

fn one(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    match &wanted.record {
        Record::NameServers => servers::judge(case),
        Record::Mx => mx::judge(case, wanted),
        Record::Spf => sending::judge(case, wanted),
        Record::Dkim(selector, _) => dkim::judge(case, wanted, selector),
        Record::Dmarc => dmarc::judge(case, wanted),
        Record::StsRecord => sts::record(case, wanted),
        Record::StsHost => sts::host(case, wanted),
        Record::TlsReports => others::tls_reports(case, wanted),
        Record::Srv(_) => others::srv(case, wanted),
        Record::NotOffered(_) => others::not_offered(case, wanted),
        Record::Discovery(_) => others::discovery(case, wanted),
        Record::Caa => others::caa(case, wanted),
        Record::Addresses => host::addresses(case, wanted),
        Record::Reverse => host::reverse(case),
        Record::Tlsa => host::tlsa(case, wanted),
    }
}
