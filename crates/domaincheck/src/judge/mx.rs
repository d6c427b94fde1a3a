//! MX: whether mail for the domain comes here (RFC 5321 section 5.1, RFC 7505).

use std::net::IpAddr;

use dnskit::{Kind, Mx, same_network};

use crate::answers::Told;
use crate::case::{Case, Verdict, is_here, missing, own_addresses};
use crate::{State, Wanted};

/// Hosts of one domain that are looked at.
const MAX_HOSTS: usize = 20;

/// What a host that mail goes to is.
enum Leads {
    Here,
    Relay,
    Elsewhere,
}

pub(super) fn judge(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let name = &case.domain.name;
    match case.answers.ask(name, Kind::Mx) {
        Told::Silent(why) => return Verdict::silent(&why),
        Told::NoName => {
            let mut verdict = Verdict::default();
            verdict.fault(
                State::Problem,
                "no-such-domain",
                format!("The domain {name} does not exist in the DNS, so nobody can send mail to it."),
                "Register the domain, or set its name servers at your registrar. Then add the records below.",
            );
            return verdict;
        }
        Told::Nothing | Told::Records(_) => {}
    }
    // A resolver follows it; what stands beside it is lost.
    if let Ok(Some(target)) = case.answers.cname(name) {
        let mut verdict = Verdict::default();
        verdict.fault(
            State::Problem,
            "domain-cname",
            format!("{name} is only another name (CNAME) of {target}. Beside a CNAME there can be no MX, SPF or other records, so the domain can't have mail of its own."),
            format!("Replace the CNAME record of {name} by A and AAAA records (some providers call that ALIAS or flattening). Then add the records below."),
        );
        return verdict;
    }
    let all = case.answers.mx(name).unwrap_or_default();
    if all.is_empty() {
        return missing(case, wanted, "mx-missing");
    }
    let mut verdict = Verdict {
        found: all.iter().map(|mx| format!("{} {}.", mx.preference, mx.host)).collect(),
        ..Verdict::default()
    };
    if all.iter().any(|mx| mx.host.is_empty() || mx.host == ".") {
        verdict.fault(
            State::Problem,
            "mx-null",
            "The MX record says that the domain takes no mail at all.",
            "Replace it by the record below.",
        );
        return verdict;
    }
    let mut ours: Option<u16> = None;
    let mut others: Vec<(&Mx, Leads)> = Vec::new();
    for mx in all.iter().take(MAX_HOSTS) {
        match leads(case, mx, &mut verdict) {
            Some(Leads::Here) => ours = Some(ours.map_or(mx.preference, |before| before.min(mx.preference))),
            Some(other) => others.push((mx, other)),
            None => {}
        }
    }
    compare(ours, &others, &mut verdict);
    if ours.is_some() {
        absent(case, &all, &mut verdict);
    }
    verdict
}

/// Names of this service, and relays, that mail should be able to go to as well.
fn absent(case: &Case<'_>, all: &[Mx], verdict: &mut Verdict) {
    let is_there = |name: &str| all.iter().any(|mx| mx.host.eq_ignore_ascii_case(name.trim_end_matches('.')));
    let join = |names: Vec<&str>| names.join(", ");
    let relays: Vec<&str> = case.service.relays.iter().map(String::as_str).filter(|relay| !is_there(relay)).collect();
    if !relays.is_empty() {
        verdict.fault(
            State::Warning,
            "mx-relay-missing",
            format!(
                "The MX records don't name the relay {}: no mail goes there while this service is down.",
                join(relays)
            ),
            "Add it with a larger number, as below.",
        );
    }
    // A record for another name of this machine counts for all of its names.
    let hostname_is_there = is_there(&case.service.hostname);
    let others = case.service.also_known_as.iter().map(String::as_str).filter(|name| !is_there(name));
    let others: Vec<&str> = others.filter(|_| hostname_is_there).collect();
    if !others.is_empty() {
        verdict.fault(
            State::Advice,
            "mx-other-name",
            format!(
                "The MX records don't name {}: when the DNS of the first name fails, no mail arrives.",
                join(others)
            ),
            "Add the records below.",
        );
    }
}

/// A relay takes mail while this service is down: it needs an address, and in another network.
fn relay(case: &Case<'_>, host: &str, verdict: &mut Verdict) {
    let addresses = match case.answers.addresses(host) {
        Err(why) => return verdict.unanswered(&format!("{host}: {why}")),
        Ok(addresses) => addresses,
    };
    if addresses.is_empty() {
        verdict.fault(
            State::Warning,
            "mx-relay-no-address",
            format!("The relay {host} has no address in the DNS: no mail can go there."),
            "Add an A record for it (and AAAA for IPv6).",
        );
        return;
    }
    let ours = own_addresses(case).unwrap_or_default();
    let near = addresses.iter().find(|one| ours.iter().any(|our| same_network(**one, *our)));
    if let Some(near) = near {
        verdict.fault(
            State::Warning,
            "mx-relay-near",
            format!("The relay {host} ({near}) is in the network of this machine: what takes this service away may take the relay too."),
            "Run the relay at another provider, or at least in another network.",
        );
    }
}

/// Where a host leads; notes what is wrong with it. `None` if that can't be told.
fn leads(case: &Case<'_>, mx: &Mx, verdict: &mut Verdict) -> Option<Leads> {
    let host = &mx.host;
    if host.parse::<IpAddr>().is_ok() {
        verdict.fault(
            State::Problem,
            "mx-address",
            format!(
                "The MX record has the address {host} where a host name must stand; many servers send nothing to it."
            ),
            format!("Write the host name: {}.", case.service.hostname),
        );
        return None;
    }
    match case.answers.cname(host) {
        Ok(Some(target)) => verdict.fault(
            State::Problem,
            "mx-cname",
            format!("The MX record names {host}, which is only another name (CNAME) of {target}; some servers send nothing to it."),
            format!("Name the host itself: {}.", case.service.hostname),
        ),
        Ok(None) => {}
        Err(why) => {
            verdict.unanswered(&format!("{host}: {why}"));
            return None;
        }
    }
    if case.service.is_relay(host) {
        relay(case, host, verdict);
        return Some(Leads::Relay);
    }
    match (case.answers.addresses(host), is_here(case, host)) {
        (Err(why), _) | (_, Err(why)) => {
            verdict.unanswered(&format!("{host}: {why}"));
            None
        }
        (Ok(addresses), _) if addresses.is_empty() => {
            verdict.fault(
                State::Problem,
                "mx-no-address",
                format!("The MX record names {host}, which has no address: mail can't go there."),
                "Add an A record for it, or name another host.",
            );
            // By its name it is meant to lead here.
            case.service.is_named(host).then_some(Leads::Here)
        }
        (_, Ok(true)) => Some(Leads::Here),
        (_, Ok(false)) => Some(Leads::Elsewhere),
    }
}

fn compare(ours: Option<u16>, others: &[(&Mx, Leads)], verdict: &mut Verdict) {
    let names = |all: Vec<&str>| all.join(", ");
    let strangers = |pick: &dyn Fn(u16) -> bool| {
        let of = others.iter().filter(|(mx, leads)| matches!(leads, Leads::Elsewhere) && pick(mx.preference));
        of.map(|(mx, _)| mx.host.as_str()).collect::<Vec<_>>()
    };
    let Some(ours) = ours else {
        if verdict.faults.iter().all(|fault| fault.code.starts_with("mx-relay")) {
            let all = names(others.iter().map(|(mx, _)| mx.host.as_str()).collect());
            verdict.fault(
                State::Problem,
                "mx-elsewhere",
                format!("The MX records lead to {all}, not to this service: mail for the domain does not arrive here."),
                "Replace them by the record below.",
            );
        }
        return;
    };
    let before = strangers(&|preference| preference <= ours);
    if !before.is_empty() {
        verdict.fault(
            State::Problem,
            "mx-stranger-first",
            format!("The MX records also lead to {}, which this service doesn't know, with the same or a smaller number: mail goes there first.", names(before)),
            "Remove them, or give them a larger number. If they pass mail on to this service, list them in domains.relays.",
        );
    }
    let after = strangers(&|preference| preference > ours);
    if !after.is_empty() {
        verdict.fault(
            State::Warning,
            "mx-stranger",
            format!("The MX records also lead to {}, which this service doesn't know. Mail that arrives there while this service is busy may stay there.", names(after)),
            "Remove them, or list them in domains.relays if they pass mail on to this service.",
        );
    }
    let early = others.iter().filter(|(mx, leads)| matches!(leads, Leads::Relay) && mx.preference <= ours);
    let early: Vec<&str> = early.map(|(mx, _)| mx.host.as_str()).collect();
    if !early.is_empty() {
        verdict.fault(
            State::Warning,
            "mx-relay-first",
            format!("The relay {} has the same or a smaller number than this service: mail takes the detour even while this service works.", names(early)),
            format!("Give relays a larger number than {ours}."),
        );
    }
}
