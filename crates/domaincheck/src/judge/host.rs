//! The service's own host: its addresses, their names, and its certificate in the DNS.

use std::net::IpAddr;

use dnskit::{Data, Kind, reverse_name};

use crate::answers::Told;
use crate::case::{Case, Verdict, own_addresses};
use crate::{State, Wanted};

/// Addresses that are looked at.
const MAX_ADDRESSES: usize = 16;

/// Whether others can find a host of that name.
fn is_public(host: &str) -> bool {
    host.contains('.') && host.parse::<IpAddr>().is_err() && !host.ends_with(".localhost")
}

pub(super) fn addresses(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let host = &wanted.name;
    let mut verdict = Verdict::default();
    if !is_public(host) {
        verdict.fault(
            State::Problem,
            "host-local",
            format!("This service calls itself {host}, which nobody else can find."),
            "Set hostname (or also_known_as) in the configuration to full names, such as mail.example.org, and restart the service.",
        );
        return verdict;
    }
    let found = match case.answers.addresses(host) {
        Err(why) => return Verdict::silent(&why),
        Ok(found) => found,
    };
    verdict.found = found.iter().map(ToString::to_string).collect();
    if found.is_empty() {
        verdict.fault(
            State::Problem,
            "host-missing",
            format!("{host} has no address in the DNS, so nobody can connect to this service."),
            "Add an A record (and AAAA for IPv6) with the public address of this machine.",
        );
        return verdict;
    }
    let known = &case.service.addresses;
    let strange: Vec<String> =
        found.iter().filter(|address| !known.contains(address)).map(ToString::to_string).collect();
    let all_strange = strange.len() == found.len();
    if !known.is_empty() && !strange.is_empty() {
        let ours = known.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let state = if all_strange { State::Problem } else { State::Warning };
        verdict.fault(
            state,
            "host-address",
            format!("{host} has the address {}, but the addresses of this machine are {ours}.", strange.join(", ")),
            "Correct the A and AAAA records. If this machine is behind another address (NAT), list that in domains.addresses.",
        );
    }
    let lacking: Vec<String> =
        known.iter().filter(|address| !found.contains(address)).map(ToString::to_string).collect();
    if !lacking.is_empty() && !all_strange {
        verdict.fault(
            State::Advice,
            "host-address-missing",
            format!("This machine also has the address {}, which the DNS doesn't have for {host}.", lacking.join(", ")),
            "Add it as an A record (AAAA for IPv6) if mail leaves from there; otherwise list the right ones in domains.addresses.",
        );
    }
    if let Some(cname) = case.answers.cname(host).ok().flatten() {
        verdict.fault(
            State::Problem,
            "host-cname",
            format!("{host} is only another name (CNAME) of {cname}; a mail server's name needs addresses of its own."),
            format!("Replace the CNAME record of {} by A and AAAA records.", wanted.name),
        );
    }
    verdict
}

/// PTR: the name of each address leads back to it.
pub(super) fn reverse(case: &Case<'_>) -> Verdict {
    let host = &case.service.hostname;
    let mut verdict = Verdict::default();
    if !is_public(host) {
        return verdict;
    }
    let addresses = match own_addresses(case) {
        Err(why) => return Verdict::silent(&why),
        Ok(addresses) => addresses,
    };
    for address in addresses.into_iter().take(MAX_ADDRESSES) {
        name_of(case, address, &mut verdict);
    }
    verdict
}

fn name_of(case: &Case<'_>, address: IpAddr, verdict: &mut Verdict) {
    let host = &case.service.hostname;
    let told = case.answers.ask(&reverse_name(address), Kind::Ptr);
    if let Told::Silent(why) = &told {
        verdict.unanswered(&format!("{address}: {why}"));
        return;
    }
    let names = told.map(|data| if let Data::Name(name) = data { Some(name.clone()) } else { None });
    let remedy = format!(
        "Ask the provider of the address to set its reverse DNS to {host}; it is a setting of the machine or address there."
    );
    if names.is_empty() {
        verdict.fault(
            State::Problem,
            "ptr-missing",
            format!("The address {address} has no name (reverse DNS): many servers refuse mail from it."),
            remedy,
        );
        return;
    }
    verdict.found.extend(names.iter().map(|name| format!("{address} {name}.")));
    let mut leads_back = false;
    for name in names.iter().take(4) {
        match case.answers.addresses(name) {
            Ok(found) => leads_back |= found.contains(&address),
            Err(why) => return verdict.unanswered(&format!("{name}: {why}")),
        }
    }
    let names_text = names.join(", ");
    if !leads_back {
        verdict.fault(
            State::Problem,
            "ptr-forward",
            format!("The name of the address {address} is {names_text}, but that name doesn't lead back to the address: many servers refuse mail from it."),
            remedy,
        );
    } else if !names.iter().any(|name| case.service.is_named(name)) {
        verdict.fault(
            State::Warning,
            "ptr-other",
            format!("The name of the address {address} is {names_text}, but this service greets others as {host}: some servers doubt that."),
            remedy,
        );
    }
}

/// TLSA: a wrong one makes other servers refuse to deliver (RFC 7672).
pub(super) fn tlsa(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let mut verdict = Verdict::default();
    let told = case.answers.ask(&wanted.name, Kind::Tlsa);
    if let Told::Silent(why) = &told {
        return Verdict::silent(why);
    }
    let found = told.map(|data| if let Data::Tlsa(tlsa) = data { Some(tlsa.clone()) } else { None });
    if found.is_empty() {
        return verdict;
    }
    let hex = |bytes: &[u8]| hex::encode(bytes);
    let shown = found.iter().map(|one| format!("{} {} {} {}", one.usage, one.selector, one.matching, hex(&one.data)));
    verdict.found = shown.collect();
    let digest =
        case.service.certificate.as_ref().map(|certificate| certificate.key_digest.as_str()).unwrap_or_default();
    // Others (DANE-TA, whole certificates) can't be compared with the key's digest alone.
    let comparable = |usage: u8, selector: u8, matching: u8| (usage, selector, matching) == (3, 1, 1);
    let all_comparable = found.iter().all(|one| comparable(one.usage, one.selector, one.matching));
    let fits = found.iter().any(|one| comparable(one.usage, one.selector, one.matching) && hex(&one.data) == digest);
    if !fits && all_comparable {
        verdict.fault(
            State::Problem,
            "tlsa-other",
            "The TLSA record is of another key than the certificate in use: servers that check it (DANE) don't deliver.",
            "Replace it by the record below, or remove it.",
        );
    }
    verdict
}
