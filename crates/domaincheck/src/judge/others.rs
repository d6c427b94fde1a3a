//! Records that make things better: reports about TLS, how mail programs find the service, and who may issue certificates.

use dnskit::{Caa, Data, Kind, Srv};

use crate::answers::Told;
use crate::case::{Case, Verdict, is_here, missing, when_missing};
use crate::{Need, State, Wanted};

/// Parents of a name that are looked at for CAA records.
const MAX_PARENTS: usize = 8;

/// TLS-RPT (RFC 8460 section 3).
pub(super) fn tls_reports(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let texts = match case.texts(&wanted.name) {
        Err(why) => return Verdict::silent(&why),
        Ok(texts) => texts,
    };
    let is_record = |text: &&String| text.split(';').next().is_some_and(|first| first.trim() == "v=TLSRPTv1");
    let mut verdict = Verdict { found: texts.clone(), ..Verdict::default() };
    match texts.iter().filter(is_record).collect::<Vec<_>>().as_slice() {
        [] if texts.is_empty() => return missing(case, wanted, "tlsrpt-missing"),
        [one] if one.contains("rua=mailto:") || one.contains("rua=https:") => {
            verdict.instead = Some(vec![(*one).clone()]);
        }
        [_] => verdict.fault(
            State::Warning,
            "tlsrpt-address",
            "The TLS-RPT record names no address that reports can go to.",
            "Replace it by the record below.",
        ),
        [] => verdict.fault(
            State::Warning,
            "tlsrpt-typo",
            "The text there is no TLS-RPT record: it must begin with v=TLSRPTv1.",
            "Replace it by the record below.",
        ),
        _ => verdict.fault(
            State::Warning,
            "tlsrpt-two",
            "There are several TLS-RPT records; with more than one, other servers ignore all of them.",
            "Leave only one.",
        ),
    }
    verdict
}

/// SRV (RFC 6186, RFC 8314 section 5).
pub(super) fn srv(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let told = case.answers.ask(&wanted.name, Kind::Srv);
    if let Told::Silent(why) = &told {
        return Verdict::silent(why);
    }
    let found = told.map(|data| if let Data::Srv(srv) = data { Some(srv.clone()) } else { None });
    if found.is_empty() {
        return missing(case, wanted, "srv-missing");
    }
    let shown = |srv: &Srv| format!("{} {} {} {}.", srv.priority, srv.weight, srv.port, srv.host);
    let mut verdict = Verdict { found: found.iter().map(shown).collect(), ..Verdict::default() };
    let port = wanted.records[0].split(' ').nth(2).and_then(|port| port.parse::<u16>().ok()).unwrap_or(0);
    // The smallest number is tried first.
    let first = found.iter().min_by_key(|srv| srv.priority).expect("there is one");
    if first.host.is_empty() {
        verdict.fault(
            State::Warning,
            "srv-none",
            "The record says that there is no such service, but there is.",
            "Replace it by the record below.",
        );
        return verdict;
    }
    match is_here(case, &first.host) {
        Err(why) => verdict.unanswered(&why),
        Ok(true) if first.port == port => {}
        Ok(true) => verdict.fault(
            State::Warning,
            "srv-port",
            format!("The record sends mail apps to port {}; this service listens on port {port}.", first.port),
            "Replace it by the record below.",
        ),
        Ok(false) => verdict.fault(
            State::Warning,
            "srv-elsewhere",
            format!("The record sends mail apps to {}, which is not this service.", first.host),
            "Replace it by the record below.",
        ),
    }
    let is_there = |name: &&str| found.iter().any(|srv| srv.host.eq_ignore_ascii_case(name));
    let absent: Vec<&str> =
        case.service.also_known_as.iter().map(String::as_str).filter(|name| !is_there(name)).collect();
    if verdict.faults.is_empty() && !absent.is_empty() {
        verdict.fault(
            State::Advice,
            "srv-other-name",
            format!(
                "The records don't have {}: mail apps can't go on there when the first name fails.",
                absent.join(", ")
            ),
            "Add the records below.",
        );
    }
    verdict
}

/// A record that is left over from when this service had that listener, or another one did. One that leads elsewhere may be right.
pub(super) fn not_offered(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let told = case.answers.ask(&wanted.name, Kind::Srv);
    let found = told.map(|data| if let Data::Srv(srv) = data { Some(srv.clone()) } else { None });
    let leads_here = |srv: &&Srv| !srv.host.is_empty() && is_here(case, &srv.host) == Ok(true);
    let mut verdict = Verdict::default();
    if let Some(srv) = found.iter().find(leads_here) {
        verdict.found =
            found.iter().map(|srv| format!("{} {} {} {}.", srv.priority, srv.weight, srv.port, srv.host)).collect();
        verdict.fault(
            State::Warning,
            "srv-off",
            format!("The record sends mail apps to port {}, but this service has no such listener.", srv.port),
            "Remove the record, or switch the listener on in the configuration.",
        );
    }
    verdict
}

/// `autoconfig` and `autodiscover`.
pub(super) fn discovery(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let addresses = match case.answers.addresses(&wanted.name) {
        Err(why) => return Verdict::silent(&why),
        Ok(addresses) => addresses,
    };
    if addresses.is_empty() {
        return missing(case, wanted, "discovery-missing");
    }
    let mut verdict = Verdict { found: addresses.iter().map(ToString::to_string).collect(), ..Verdict::default() };
    match is_here(case, &wanted.name) {
        Err(why) => verdict.unanswered(&why),
        Ok(true) => {}
        Ok(false) => verdict.fault(
            State::Warning,
            "discovery-elsewhere",
            format!("{} leads to another server: mail apps take their settings from there.", wanted.name),
            "Replace its records by the one below.",
        ),
    }
    verdict
}

/// CAA (RFC 8659): the records of the name, or else of the nearest parent that has any.
pub(super) fn caa(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let mut verdict = Verdict::default();
    let names = if case.service.web {
        let own = ["mta-sts", "autoconfig", "autodiscover"].map(|label| format!("{label}.{}", case.domain.name));
        own.into_iter().chain(case.service.names().map(str::to_owned)).collect()
    } else {
        case.service.names().map(str::to_owned).collect::<Vec<_>>()
    };
    let mut said = Vec::new();
    for name in names {
        let (at, records) = match relevant(case, &name) {
            Err(why) => {
                verdict.unanswered(&format!("{name}: {why}"));
                continue;
            }
            Ok(Some(found)) => found,
            Ok(None) => continue,
        };
        if said.contains(&at) {
            continue;
        }
        said.push(at.clone());
        verdict.found.extend(records.iter().map(|caa| {
            format!("{at}: {} {} \"{}\"", u8::from(caa.critical) * 128, caa.tag, String::from_utf8_lossy(&caa.value))
        }));
        if let Some(says) = forbids(case, &at, &records) {
            let remedy = match &case.service.authority {
                Some(authority) => format!("Add at {at}: CAA 0 issue \"{authority}\"."),
                None => format!("Add at {at} a CAA record for the authority that issues your certificates."),
            };
            verdict.fault(State::Problem, "caa-forbids", says, remedy);
        }
    }
    if verdict.found.is_empty() && verdict.faults.is_empty() && when_missing(wanted.need) != State::Ok {
        debug_assert_eq!(wanted.need, Need::Optional, "CAA is for those who want it");
    }
    verdict
}

/// The CAA records that count for a name, with the name that has them.
fn relevant(case: &Case<'_>, name: &str) -> Result<Option<(String, Vec<Caa>)>, String> {
    let mut at = name.trim_end_matches('.').to_ascii_lowercase();
    for _ in 0..MAX_PARENTS {
        let told = case.answers.ask(&at, Kind::Caa);
        if let Told::Silent(why) = told {
            return Err(why);
        }
        let found = told.map(|data| if let Data::Caa(caa) = data { Some(caa.clone()) } else { None });
        if !found.is_empty() {
            return Ok(Some((at, found)));
        }
        match at.split_once('.') {
            Some((_, parent)) if parent.contains('.') => at = parent.to_owned(),
            _ => break,
        }
    }
    Ok(None)
}

fn forbids(case: &Case<'_>, at: &str, records: &[Caa]) -> Option<String> {
    let known = ["issue", "issuewild", "iodef", "issuemail", "issuevmc", "contactemail", "contactphone"];
    if let Some(strange) = records.iter().find(|caa| caa.critical && !known.contains(&caa.tag.as_str())) {
        return Some(format!(
            "The CAA records of {at} have a critical tag ({}) that no authority knows: none issues certificates.",
            strange.tag
        ));
    }
    let issue: Vec<String> = records
        .iter()
        .filter(|caa| caa.tag == "issue")
        .map(|caa| {
            String::from_utf8_lossy(&caa.value).split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
        })
        .collect();
    if issue.is_empty() {
        return None;
    }
    match &case.service.authority {
        Some(authority) if issue.contains(&authority.to_ascii_lowercase()) => None,
        Some(authority) => Some(format!(
            "The CAA records of {at} forbid {authority} to issue a certificate, so this service's can't be renewed."
        )),
        None if issue.iter().all(String::is_empty) => {
            Some(format!("The CAA records of {at} forbid every authority to issue a certificate."))
        }
        None => None,
    }
}
