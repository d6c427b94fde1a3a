//! MTA-STS: the record and the host of the policy that this service serves (RFC 8461).

use directory::MtaSts;

use crate::case::{Case, Verdict, is_here, missing};
use crate::{Policy, State, Wanted};

fn is_record(text: &str) -> bool {
    text.split(';').next().is_some_and(|first| first.trim() == "v=STSv1")
}

fn id(text: &str) -> Option<&str> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs.map(|(tag, value)| (tag.trim(), value.trim())).find(|(tag, _)| *tag == "id").map(|(_, value)| value)
}

pub(super) fn record(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let texts = match case.texts(&wanted.name) {
        Err(why) => return Verdict::silent(&why),
        Ok(texts) => texts,
    };
    let policy = Policy::of(case.service, case.domain.mta_sts);
    let records: Vec<&String> = texts.iter().filter(|text| is_record(text)).collect();
    let mut verdict = Verdict { found: texts.clone(), ..Verdict::default() };
    match records.as_slice() {
        [] if texts.is_empty() => return missing(case, wanted, "sts-missing"),
        [] => verdict.fault(
            State::Warning,
            "sts-typo",
            "The text there is no MTA-STS record: it must begin with v=STSv1.",
            "Replace it by the record below.",
        ),
        [one] if id(one) != Some(policy.id.as_str()) => verdict.fault(
            State::Warning,
            "sts-id",
            "The id in the MTA-STS record is not the one of the policy that this service serves: other servers don't notice that the policy has changed.",
            "Replace it by the record below.",
        ),
        [_] => enforced(case, &policy, &mut verdict),
        _ => verdict.fault(
            State::Problem,
            "sts-two",
            "There are several MTA-STS records; with more than one, other servers ignore all of them.",
            "Leave only the one below.",
        ),
    }
    verdict
}

/// Each host that mail goes to must be in the policy, or others don't deliver to it.
fn enforced(case: &Case<'_>, policy: &Policy, verdict: &mut Verdict) {
    let hosts = match case.answers.mx(&case.domain.name) {
        Err(why) => return verdict.unanswered(&why),
        Ok(hosts) => hosts,
    };
    let not_in: Vec<String> = hosts.into_iter().map(|mx| mx.host).filter(|host| !policy.hosts.contains(host)).collect();
    if not_in.is_empty() {
        return;
    }
    let enforces = case.domain.mta_sts == MtaSts::Enforce;
    let what = if enforces {
        "other servers don't deliver there"
    } else {
        "in the mode enforce other servers would not deliver there"
    };
    verdict.fault(
        if enforces { State::Problem } else { State::Warning },
        "sts-mx",
        format!("The MX records lead to {}, which the MTA-STS policy doesn't name: {what}.", not_in.join(", ")),
        format!("Let the MX records name {} alone; list relays in domains.relays.", policy.hosts.join(", ")),
    );
}

pub(super) fn host(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let addresses = match case.answers.addresses(&wanted.name) {
        Err(why) => return Verdict::silent(&why),
        Ok(addresses) => addresses,
    };
    let announced = case.answers.texts(&format!("_mta-sts.{}", case.domain.name)).is_ok_and(|texts| !texts.is_empty());
    let mut verdict = Verdict { found: addresses.iter().map(ToString::to_string).collect(), ..Verdict::default() };
    if addresses.is_empty() {
        let mut verdict = missing(case, wanted, "sts-host-missing");
        if announced {
            for fault in &mut verdict.faults {
                fault.state = State::Warning;
                fault.says = format!(
                    "The MTA-STS record announces a policy, but {} doesn't exist, so nobody can read it.",
                    wanted.name
                );
            }
        }
        return verdict;
    }
    match is_here(case, &wanted.name) {
        Err(why) => verdict.unanswered(&why),
        Ok(false) => verdict.fault(
            if announced { State::Warning } else { State::Advice },
            "sts-host-elsewhere",
            format!("{} does not lead to this service, which serves the policy.", wanted.name),
            "Replace its records by the one below.",
        ),
        Ok(true) => {
            let covered = case.service.certificate.as_ref().is_none_or(|certificate| certificate.covers(&wanted.name));
            if announced && !covered {
                verdict.fault(
                    State::Warning,
                    "sts-certificate",
                    format!(
                        "The certificate of this service is not for {}: other servers can't read the policy.",
                        wanted.name
                    ),
                    format!("Get a certificate that includes {}.", wanted.name),
                );
            } else if announced {
                served(case, &wanted.name, &mut verdict);
            }
        }
    }
    verdict
}

/// The policy as others read it.
fn served(case: &Case<'_>, host: &str, verdict: &mut Verdict) {
    let policy = Policy::of(case.service, case.domain.mta_sts);
    match case.answers.policy() {
        None => {}
        Some(Ok(served)) => {
            let mut hosts = served.hosts.clone();
            hosts.sort_unstable();
            let mut wanted = policy.hosts.clone();
            wanted.sort_unstable();
            if served.mode != case.domain.mta_sts.name() || hosts != wanted {
                verdict.fault(
                    State::Warning,
                    "sts-policy-other",
                    format!("https://{host} serves another policy than this service has (mode {}, {}).", served.mode, hosts.join(", ")),
                    "See what answers there in place of this service: a proxy, or another web server with a policy of its own.",
                );
            }
        }
        Some(Err(unread)) => verdict.fault(
            if unread.reached { State::Warning } else { State::Advice },
            "sts-policy-unread",
            format!("The policy can't be read over HTTPS: {}.", unread.why.trim_end_matches('.')),
            if unread.reached {
                "Other servers can't read it either: correct what answers there. The certificate must be for that name.".to_owned()
            } else {
                format!(
                    "Open port 443 to this service. If https://{host}/.well-known/mta-sts.txt can be read from other networks, \
                     only this machine can't reach its own public address, and there is nothing to do."
                )
            },
        ),
    }
}
