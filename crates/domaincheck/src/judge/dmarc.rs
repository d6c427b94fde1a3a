//! DMARC: what others do with forged mail, and whether this service's own mail passes (RFC 9989).

use crate::case::{Case, Verdict, missing};
use crate::{Record, State, Wanted};

/// Addresses for reports that are looked at.
const MAX_REPORTS: usize = 5;
/// Parents of a domain that are looked at (RFC 9989 section 4.10).
const MAX_PARENTS: usize = 8;

/// Whether a text is meant as a DMARC record.
fn is_record(text: &str) -> bool {
    let first = text.split(';').next().unwrap_or_default();
    first.split_once('=').is_some_and(|(tag, value)| tag.trim() == "v" && value.trim() == "DMARC1")
}

fn tag<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let pairs = text.split(';').filter_map(|pair| pair.split_once('='));
    pairs
        .map(|(tag, value)| (tag.trim(), value.trim()))
        .find(|(tag, _)| tag.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

pub(super) fn judge(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let texts = match case.texts(&wanted.name) {
        Err(why) => return Verdict::silent(&why),
        Ok(texts) => texts,
    };
    let records: Vec<&String> = texts.iter().filter(|text| is_record(text)).collect();
    let mut verdict = Verdict { found: texts.clone(), ..Verdict::default() };
    match records.as_slice() {
        [] if texts.iter().any(|text| text.to_ascii_lowercase().contains("dmarc")) => verdict.fault(
            State::Problem,
            "dmarc-typo",
            "There is a text that looks like a DMARC record, but other servers don't take it for one: it must begin with \u{201c}v=DMARC1;\u{201d}, without quotes.",
            "Replace it by the record below.",
        ),
        [] => {
            let inherited = inherited(case, wanted);
            let found = if inherited.found.is_empty() { texts } else { inherited.found };
            return Verdict { found, ..inherited };
        }
        [one] => {
            let policy = tag(one, "p").unwrap_or_default().to_ascii_lowercase();
            match policy.as_str() {
                "reject" | "quarantine" => verdict.instead = Some(vec![(*one).clone()]),
                "none" => {
                    verdict.fault(
                        State::Advice,
                        "dmarc-none",
                        "The DMARC record says that forged mail is to be delivered all the same (p=none).",
                        "Write p=quarantine once the reports show that all your own mail passes.",
                    );
                    verdict.instead = Some(vec![one.replacen("p=none", "p=quarantine", 1)]);
                }
                _ => verdict.fault(
                    State::Problem,
                    "dmarc-policy",
                    "The DMARC record has no policy that others understand (p=none, p=quarantine or p=reject).",
                    "Replace it by the record below.",
                ),
            }
            reports(case, one, &mut verdict);
        }
        _ => verdict.fault(
            State::Problem,
            "dmarc-two",
            "There are several DMARC records; with more than one, other servers ignore all of them.",
            "Leave only one, such as the one below.",
        ),
    }
    verdict
}

/// A domain without a record of its own has its parent's.
fn inherited(case: &Case<'_>, wanted: &Wanted) -> Verdict {
    let mut rest = case.domain.name.as_str();
    for _ in 0..MAX_PARENTS {
        let Some((_, parent)) = rest.split_once('.').filter(|(_, parent)| parent.contains('.')) else { break };
        rest = parent;
        match case.answers.texts(&format!("_dmarc.{parent}")) {
            Err(why) => return Verdict::silent(&why),
            Ok(texts) => {
                if let [one] = texts.into_iter().filter(|text| is_record(text)).collect::<Vec<_>>().as_slice() {
                    let mut verdict = Verdict { found: vec![format!("_dmarc.{parent}: {one}")], ..Verdict::default() };
                    let policy = tag(one, "sp").or_else(|| tag(one, "p")).unwrap_or_default();
                    if policy.eq_ignore_ascii_case("none") {
                        verdict.fault(
                            State::Advice,
                            "dmarc-none",
                            format!("The DMARC record of {parent} also counts for this domain; it says that forged mail is to be delivered all the same."),
                            "Add the record below for a policy of its own.",
                        );
                    }
                    return verdict;
                }
            }
        }
    }
    missing(case, wanted, "dmarc-missing")
}

/// Reports that go to another domain need its consent (RFC 9990 section 4).
fn reports(case: &Case<'_>, record: &str, verdict: &mut Verdict) {
    let Some(uris) = tag(record, "rua") else {
        verdict.fault(
            State::Advice,
            "dmarc-no-reports",
            "The DMARC record names no address for reports, so you don't learn who sends in your name.",
            format!("Add rua=mailto:postmaster@{} to it.", case.domain.name),
        );
        return;
    };
    for uri in uris.split(',').take(MAX_REPORTS) {
        let address =
            uri.trim().get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("mailto:")).map(|_| &uri.trim()[7..]);
        let Some((_, target)) = address.and_then(|address| address.split('!').next()?.rsplit_once('@')) else {
            verdict.fault(
                State::Warning,
                "dmarc-reports",
                format!("\u{201c}{}\u{201d} is no address for reports.", uri.trim()),
                "Write it as mailto:postmaster@example.org.",
            );
            continue;
        };
        let (target, own) = (target.to_ascii_lowercase(), &case.domain.name);
        if target == *own || target.ends_with(&format!(".{own}")) || own.ends_with(&format!(".{target}")) {
            continue;
        }
        let name = format!("{own}._report._dmarc.{target}");
        match case.answers.texts(&name) {
            Err(why) => verdict.unanswered(&format!("{name}: {why}")),
            Ok(texts) if texts.iter().any(|text| is_record(text)) => {}
            Ok(_) => verdict.fault(
                State::Warning,
                "dmarc-reports-refused",
                format!(
                    "Reports are to go to {target}, which doesn't say that it wants them: other servers don't send any."
                ),
                format!("Add at {target}: {name} TXT \"v=DMARC1\", or name an address of this domain."),
            ),
        }
    }
}

/// Mail passes DMARC by SPF or by a signature of the domain. Where both fail, a policy hits the domain's own mail.
pub(super) fn alignment(judged: &mut [(Wanted, Verdict)]) {
    let state = |verdict: &Verdict| verdict.faults.iter().map(|fault| fault.state).max().unwrap_or(State::Ok);
    let fails = |verdict: &Verdict| state(verdict) == State::Problem;
    let of = |pick: &dyn Fn(&Record) -> bool| {
        judged.iter().filter(|(wanted, _)| pick(&wanted.record)).map(|(_, v)| fails(v)).collect::<Vec<_>>()
    };
    let spf = of(&|record| *record == Record::Spf);
    let keys = of(&|record| matches!(record, Record::Dkim(_, directory::DkimState::InUse)));
    if !spf.contains(&true) || keys.is_empty() || keys.contains(&false) {
        return;
    }
    let dmarc = judged.iter_mut().find(|(wanted, _)| wanted.record == Record::Dmarc);
    let Some((_, verdict)) = dmarc else { return };
    let strict = verdict
        .found
        .iter()
        .filter(|text| text.contains("DMARC1"))
        .filter_map(|text| tag(text, "p"))
        .any(|p| p.eq_ignore_ascii_case("reject") || p.eq_ignore_ascii_case("quarantine"));
    if strict {
        verdict.fault(
            State::Problem,
            "dmarc-unaligned",
            "Neither SPF nor a DKIM signature shows that mail from this service is of this domain, and the DMARC record tells others to refuse such mail: your own mail is lost.",
            "Correct the SPF record or a DKIM record first.",
        );
    }
}
