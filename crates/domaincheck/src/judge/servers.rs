//! The name servers of the domain: whether they answer, and whether they say the same.

use crate::State;
use crate::answers::{NotAccepted, Seen, Servers};
use crate::case::{Case, Verdict};

/// Names that are listed where the servers differ.
const MAX_LISTED: usize = 5;

pub(super) fn judge(case: &Case<'_>) -> Verdict {
    let mut verdict = Verdict::default();
    let Some(servers) = &case.answers.servers else { return verdict };
    verdict.found = servers.seen.iter().map(|(name, _)| format!("{name}.")).collect();
    let all: Vec<&Seen> = servers.seen.iter().map(|(_, seen)| seen).collect();
    let is_known = |seen: &&&Seen| !matches!(seen, Seen::NoRoute);
    let answering = all.iter().any(|seen| **seen == Seen::Answers);
    if !answering && all.iter().filter(is_known).all(|seen| matches!(seen, Seen::Silent(_))) {
        not_asked(case, servers, &mut verdict);
    } else {
        lame(servers, answering, &mut verdict);
        silent(servers, &mut verdict);
    }
    differing(case, &mut verdict);
    not_accepted(case, servers, &mut verdict);
    verdict
}

/// The servers that `pick` gives a reason for, with the reason.
fn of(servers: &Servers, pick: impl Fn(&Seen) -> Option<String>) -> Vec<String> {
    let picked = servers.seen.iter().filter_map(|(name, seen)| Some(format!("{name} ({})", pick(seen)?)));
    picked.collect()
}

fn lame(servers: &Servers, answering: bool, verdict: &mut Verdict) {
    let lame = of(servers, |seen| match seen {
        Seen::Lame(why) => Some(why.clone()),
        Seen::NoAddress => Some("its name has no address".to_owned()),
        _ => None,
    });
    if lame.is_empty() {
        return;
    }
    let (state, then) = if answering {
        (State::Warning, "questions that go there are answered late or not at all")
    } else {
        (State::Problem, "nobody can look up the domain, so mail to and from it fails")
    };
    verdict.fault(
        state,
        "ns-lame",
        format!("These name servers don't answer for the zone {}: {}; {then}.", servers.zone, lame.join(", ")),
        "Set up the zone on them, or remove them from the domain's name servers at your registrar.",
    );
}

fn silent(servers: &Servers, verdict: &mut Verdict) {
    let silent = of(servers, |seen| if let Seen::Silent(why) = seen { Some(why.clone()) } else { None });
    if !silent.is_empty() {
        verdict.fault(
            State::Warning,
            "ns-silent",
            format!(
                "These name servers of the zone {} don't answer this machine: {}.",
                servers.zone,
                silent.join(", ")
            ),
            "Check again later. If it stays so, ask who runs them, or remove them at your registrar.",
        );
    }
}

/// None of them answers here, which says more about this machine's network than about them.
fn not_asked(case: &Case<'_>, servers: &Servers, verdict: &mut Verdict) {
    let works = case.answers.mx(&case.domain.name).is_ok();
    if servers.seen.is_empty() || !works {
        let why = of(servers, |seen| if let Seen::Silent(why) = seen { Some(why.clone()) } else { None });
        return verdict.unanswered(&if why.is_empty() { "no name server is known".to_owned() } else { why.join(", ") });
    }
    verdict.fault(
        State::Advice,
        "ns-not-asked",
        format!(
            "This machine can't ask the name servers of {} itself, so this check shows what its resolver says, which may \
             remember old records for some hours.",
            servers.zone
        ),
        "Allow DNS from this machine to the Internet (port 53, UDP and TCP) if you want checks to see changes at once.",
    );
}

fn differing(case: &Case<'_>, verdict: &mut Verdict) {
    let differing = &case.answers.differing;
    if differing.is_empty() {
        return;
    }
    let listed = differing.iter().take(MAX_LISTED).map(|(what, servers)| format!("{what} ({})", servers.join(", ")));
    let listed: Vec<String> = listed.collect();
    let more = differing.len().saturating_sub(MAX_LISTED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    verdict.fault(
        State::Warning,
        "ns-differ",
        format!("The name servers don't say the same. Not as on the others: {}{more}.", listed.join(", ")),
        "If you changed the zone a moment ago, check again in a few minutes. Otherwise these servers don't get new versions of \
         the zone: tell who runs them.",
    );
}

fn not_accepted(case: &Case<'_>, servers: &Servers, verdict: &mut Verdict) {
    match &case.answers.not_accepted {
        None => {}
        Some(NotAccepted::Bogus) => verdict.fault(
            State::Problem,
            "dnssec-bogus",
            format!(
                "The DNSSEC signatures of {} don't fit (bogus): resolvers that check them, such as those of large providers, \
                 find nothing of the domain, so mail to and from it fails.",
                servers.zone
            ),
            "Sign the zone again, or correct the DS record at your registrar; removing the DS record switches DNSSEC off.",
        ),
        Some(NotAccepted::Refused(why)) => verdict.fault(
            State::Problem,
            "ns-not-accepted",
            format!(
                "The name servers of {} answer, but this machine's resolver gives no answer about the domain ({why}). Most \
                 often its DNSSEC signatures don't fit.",
                servers.zone
            ),
            "Check the DS record at your registrar and the zone's signatures. If DNSSEC is in order, look at this machine's \
             resolver.",
        ),
    }
}
