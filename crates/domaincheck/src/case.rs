//! What all comparisons have in common: what they look at, what they say, and how a missing record is told.

use std::net::IpAddr;

use directory::Domain;

use crate::{Answers, Fault, Need, Service, State, Wanted};

/// What all comparisons look at.
pub(crate) struct Case<'a> {
    pub service: &'a Service,
    pub domain: &'a Domain,
    pub answers: &'a Answers,
    pub now_ms: i64,
    /// What comes from a wildcard record counts as not there.
    pub without_wildcards: bool,
}

impl Case<'_> {
    /// The TXT records of a name.
    pub fn texts(&self, name: &str) -> Result<Vec<String>, String> {
        let texts = self.answers.texts(name)?;
        if self.without_wildcards && self.is_wildcard(&texts)? {
            return Ok(Vec::new());
        }
        Ok(texts)
    }

    /// Whether these are the texts of every name of the domain that is not there.
    pub fn is_wildcard(&self, texts: &[String]) -> Result<bool, String> {
        if texts.is_empty() {
            return Ok(false);
        }
        let mut everywhere = self.answers.texts(&format!("{NO_SUCH_LABEL}.{}", self.domain.name))?;
        let mut texts = texts.to_vec();
        everywhere.sort_unstable();
        texts.sort_unstable();
        Ok(texts == everywhere)
    }
}

/// A label that nobody has: what is found there comes from a wildcard record.
const NO_SUCH_LABEL: &str = "_holdfast-no-such-name";

/// The result of one comparison: what the DNS has, and what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub found: Vec<String>,
    pub faults: Vec<Fault>,
    /// What to paste, where it depends on what is there.
    pub instead: Option<Vec<String>>,
}

impl Verdict {
    /// The DNS did not answer.
    pub fn silent(why: &str) -> Self {
        let mut verdict = Self::default();
        verdict.unanswered(why);
        verdict
    }

    pub fn unanswered(&mut self, why: &str) {
        let says = format!("The DNS did not answer ({why}), so it is not known whether this record is there.");
        let remedy =
            "Check again later. If it stays so, the name servers of the domain or this machine's resolver don't work.";
        self.fault(State::Unanswered, "unanswered", says, remedy);
    }

    pub fn fault(&mut self, state: State, code: &str, says: impl Into<String>, remedy: impl Into<String>) {
        let (says, remedy) = (says.into(), remedy.into());
        self.faults.push(Fault { state, code: code.to_owned(), says, remedy });
    }
}

/// How bad it is that a record is not there.
pub(crate) const fn when_missing(need: Need) -> State {
    match need {
        Need::Required => State::Problem,
        Need::Recommended => State::Advice,
        Need::Optional => State::Ok,
    }
}

/// Where the record of `wanted` is missing: says so, and finds it where the provider has added the domain a second time.
pub(crate) fn missing(case: &Case<'_>, wanted: &Wanted, code: &str) -> Verdict {
    let mut verdict = Verdict::default();
    let state = when_missing(wanted.need);
    if state == State::Ok {
        return verdict;
    }
    let doubled = format!("{}.{}", wanted.name, case.domain.name);
    let is_doubled = wanted.kind == "TXT"
        && wanted.name != case.domain.name
        && case.answers.texts(&doubled).is_ok_and(|texts| !texts.is_empty());
    if is_doubled {
        let short = wanted.name.strip_suffix(&format!(".{}", case.domain.name)).unwrap_or(&wanted.name);
        verdict.fault(
            state,
            "name-twice",
            format!("The {} record is at {doubled}: the domain stands there twice.", wanted.title),
            format!("Enter only \u{201c}{short}\u{201d} as its name: your provider adds the domain itself."),
        );
        return verdict;
    }
    verdict.fault(
        state,
        code,
        format!("The {} record is missing: {}.", wanted.title, wanted.purpose),
        "Add it where you manage the DNS of the domain.",
    );
    verdict
}

/// The addresses of this service: as configured, or as its host name has them.
pub(crate) fn own_addresses(case: &Case<'_>) -> Result<Vec<IpAddr>, String> {
    let mut all = case.service.addresses.clone();
    let mut silent = None;
    for name in case.service.names() {
        match case.answers.addresses(name) {
            Ok(found) => all.extend(found),
            Err(why) => silent = Some(why),
        }
    }
    all.sort_unstable();
    all.dedup();
    match silent {
        Some(why) if all.is_empty() => Err(why),
        _ => Ok(all),
    }
}

/// Whether a host is this service: by its name, or by one of its addresses.
pub(crate) fn is_here(case: &Case<'_>, host: &str) -> Result<bool, String> {
    if case.service.is_named(host) {
        return Ok(true);
    }
    let (theirs, ours) = (case.answers.addresses(host)?, own_addresses(case)?);
    Ok(theirs.iter().any(|address| ours.contains(address)))
}
