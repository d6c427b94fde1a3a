//! SPF: whether others believe that this service sends for the domain.

use crate::case::{Case, Verdict, missing, own_addresses};
use crate::spf::{self, Qualifier, is_record};
use crate::{State, Wanted};

pub(super) fn judge(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let name = &case.domain.name;
    let texts = match case.answers.texts(name) {
        Err(why) => return Verdict::silent(&why),
        Ok(texts) => texts,
    };
    let records: Vec<String> = texts.iter().filter(|text| is_record(text)).cloned().collect();
    if records.is_empty() {
        return none(case, wanted, &texts);
    }
    let mut verdict = Verdict { found: records.clone(), ..Verdict::default() };
    if records.len() > 1 {
        let one = spf::corrected(&records, "mx");
        verdict.fault(
            State::Problem,
            "spf-two",
            format!("There are {} SPF records; with more than one, other servers ignore all of them.", records.len()),
            "Replace all of them by the one below, which has the contents of all.",
        );
        verdict.instead = Some(vec![one]);
        return verdict;
    }
    let record = &records[0];
    let addresses = match senders(case) {
        Err(why) => {
            verdict.unanswered(&why);
            return verdict;
        }
        Ok(addresses) => addresses,
    };
    let found = spf::look(case.answers, name, record, &addresses);
    told(case, record, &found, &addresses, &mut verdict);
    if verdict.instead.is_none() {
        // The owner's own record is good as it is.
        verdict.instead = Some(vec![record.clone()]);
    }
    verdict
}

/// The addresses that mail of the domain leaves from.
fn senders(case: &Case<'_>) -> Result<Vec<std::net::IpAddr>, String> {
    match &case.service.smarthost {
        Some(host) => match host.parse() {
            Ok(address) => Ok(vec![address]),
            Err(_) => case.answers.addresses(host),
        },
        None => own_addresses(case),
    }
}

fn none(case: &Case<'_>, wanted: &Wanted, texts: &[String]) -> Verdict {
    let similar = |text: &&String| {
        let plain = text.trim_matches(['"', '\'', ' ', '\u{201c}', '\u{201d}']).to_ascii_lowercase();
        plain.starts_with("v=spf")
            || plain.starts_with("spf1")
            || plain.starts_with("v =spf")
            || plain.starts_with("v= spf")
    };
    let Some(text) = texts.iter().find(similar) else { return missing(case, wanted, "spf-missing") };
    let mut verdict = Verdict { found: vec![text.clone()], ..Verdict::default() };
    verdict.fault(
        State::Problem,
        "spf-typo",
        "There is a text that looks like an SPF record, but other servers don't take it for one: it must begin with \u{201c}v=spf1 \u{201d}, without quotes or spaces before it.",
        "Replace it by the record below.",
    );
    verdict
}

fn told(case: &Case<'_>, record: &str, found: &spf::Found, addresses: &[std::net::IpAddr], verdict: &mut Verdict) {
    for (code, says) in &found.faults {
        let broken = matches!(*code, "spf-syntax" | "spf-include" | "spf-deep");
        let state = if broken { State::Problem } else { State::Warning };
        verdict.fault(state, code, capitalised(says), "Correct the record at this place.");
        if *code == "spf-no-all" {
            verdict.instead = Some(vec![spf::corrected(&[record.to_owned()], "")]);
        }
    }
    if found.lookups > spf::MAX_LOOKUPS {
        verdict.fault(
            State::Problem,
            "spf-lookups",
            format!("The SPF record costs {} DNS lookups; with more than {} other servers ignore it.", found.lookups, spf::MAX_LOOKUPS),
            "Remove what is not needed any more, or replace \u{201c}include\u{201d}, \u{201c}a\u{201d} and \u{201c}mx\u{201d} by the addresses themselves (ip4:…, ip6:…).",
        );
    }
    if found.all == Some(Qualifier::Pass) {
        verdict.fault(
            State::Problem,
            "spf-all",
            "The SPF record allows everyone in the world to send as this domain (\u{201c}+all\u{201d}).",
            "Write \u{201c}-all\u{201d} at its end.",
        );
    }
    if let Some(silent) = found.silent.first() {
        verdict.unanswered(silent);
        return;
    }
    let left: Vec<String> =
        addresses.iter().filter(|address| !found.passed.contains(address)).map(ToString::to_string).collect();
    let broken = verdict.faults.iter().any(|fault| fault.state == State::Problem && fault.code != "spf-all");
    if addresses.is_empty() {
        // The host itself has no address: that is said there, and nothing can be compared here.
        return;
    }
    if !left.is_empty() && !found.depends && !broken {
        let add = case.service.smarthost.as_ref().map_or_else(|| "mx".to_owned(), |host| format!("a:{host}"));
        let has_it = record.split_ascii_whitespace().any(|term| term.eq_ignore_ascii_case(&add));
        let add = if has_it { format!("a:{}", case.service.hostname) } else { add };
        verdict.fault(
            State::Problem,
            "spf-not-listed",
            format!("The SPF record doesn't list {}, from which mail of this domain is sent: other servers refuse or doubt it.", left.join(", ")),
            "Replace the record by the one below.",
        );
        verdict.instead = Some(vec![spf::corrected(&[record.to_owned()], &add)]);
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
