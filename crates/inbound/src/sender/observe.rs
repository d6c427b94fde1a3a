//! What is counted of a message for the DMARC report to the owner of the author's domain.

use delivery::{FileInto, Verdict};
use filter::sender::dmarc::{Policy, Record};
use filter::sender::{Findings, Outcome, Read, SignatureResult};
use mailkit::headers;
use mailstore::Role;
use reports::Observation;
use reports::dmarc::{AuthResult, Disposition, MAX_RESULTS, Published, Row};

/// One message; `None` if its domain wants no reports, if the DNS gave no answer, and if it is a report itself: two servers
/// would report each other's reports for ever.
pub fn observation(findings: &Findings, read: &Read, verdicts: &[Verdict]) -> Option<Observation> {
    let dmarc = &findings.dmarc;
    let record = dmarc.record.as_ref().filter(|record| !record.reports.is_empty())?;
    if !matches!(dmarc.outcome, Outcome::Pass | Outcome::Fail) || is_report(read.header()) {
        return None;
    }
    let disposition = disposition(verdicts);
    let mut signatures: Vec<&SignatureResult> = findings.dkim.iter().filter(|one| !one.domain.is_empty()).collect();
    signatures.sort_by_key(|one| (one.outcome != Outcome::Pass, one.domain != dmarc.domain));
    let (spf, spf_domain) = match findings.envelope_domain() {
        Some(domain) => (&findings.spf, domain),
        None => (&findings.spf_helo, findings.spf_helo.domain.clone()),
    };
    let spf = AuthResult { domain: spf_domain, selector: String::new(), result: spf.outcome.code().to_owned() };
    let row = Row {
        source: findings.ip,
        count: 1,
        disposition,
        dkim: dmarc.dkim,
        spf: dmarc.spf,
        reasons: reason(findings, record, disposition).into_iter().collect(),
        header_from: dmarc.domain.clone(),
        envelope_from: findings.envelope_domain().unwrap_or_default(),
        dkim_results: signatures.into_iter().take(MAX_RESULTS).map(signature).collect(),
        spf_results: vec![spf],
        ..Row::default()
    };
    Some(Observation { published: published(&dmarc.record_of, record), rua: dmarc.reports.clone(), row })
}

fn signature(one: &SignatureResult) -> AuthResult {
    AuthResult { domain: one.domain.clone(), selector: one.selector.clone(), result: one.outcome.code().to_owned() }
}

fn published(domain: &str, record: &Record) -> Published {
    let mode = |is_strict| if is_strict { "s" } else { "r" }.to_owned();
    let code = |policy: Option<Policy>| policy.map(Policy::code).unwrap_or_default().to_owned();
    Published {
        domain: domain.to_owned(),
        p: record.policy.unwrap_or_default().code().to_owned(),
        sp: code(record.subdomains),
        np: code(record.nonexistent),
        adkim: mode(record.strict_dkim),
        aspf: mode(record.strict_spf),
        testing: record.testing,
    }
}

/// What was done, to the recipient for whom it was most.
fn disposition(verdicts: &[Verdict]) -> Disposition {
    let one = |verdict: &Verdict| match (&verdict.refusal, &verdict.mailbox) {
        (Some(_), _) => Disposition::Reject,
        (None, Some(FileInto::Role(Role::Junk))) => Disposition::Quarantine,
        _ => Disposition::None,
    };
    verdicts.iter().map(one).max().unwrap_or_default()
}

/// Why something else was done than the owner wants.
fn reason(findings: &Findings, record: &Record, done: Disposition) -> Option<(String, String)> {
    if findings.dmarc.outcome == Outcome::Pass {
        return None;
    }
    let wanted = Disposition::read(findings.dmarc.policy.code());
    let (kind, comment) = match () {
        () if done == wanted && !record.testing => return None,
        () if done == wanted => ("policy_test_mode", ""),
        () if done > wanted => ("local_policy", "stricter for this domain here"),
        () => ("local_policy", "spared: a known list or forwarder, or milder here"),
    };
    Some((kind.to_owned(), comment.to_owned()))
}

/// Whether a message is such a report, by its subject (RFC 9990 section 3.5.2, RFC 8460 section 5.3) or type.
pub fn is_report(header: &[u8]) -> bool {
    let of = |name: &str| {
        let fields = headers::fields(header).filter(|field| field.name.eq_ignore_ascii_case(name.as_bytes()));
        let values = fields.map(|field| String::from_utf8_lossy(field.value).to_ascii_lowercase());
        values.collect::<Vec<_>>().join(" ")
    };
    let subject = of("subject").split_whitespace().collect::<Vec<_>>().join(" ");
    subject.contains("report domain:") && subject.contains("submitter:") || of("content-type").contains("tlsrpt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_are_known_by_their_header() {
        for (header, wanted) in [
            ("Subject: Report Domain: a.example\r\n Submitter: b.example\r\n\r\n", true),
            ("SUBJECT: [Preview] Report domain: a.example Submitter: b\r\n\r\n", true),
            ("Subject: x\r\nContent-Type: multipart/report;\r\n report-type=\"tlsrpt\"\r\n\r\n", true),
            ("Subject: Report about the domain\r\n\r\n", false),
            ("X: Report Domain: a Submitter: b\r\n\r\n", false),
            ("", false),
        ] {
            assert_eq!(is_report(header.as_bytes()), wanted, "{header}");
        }
    }
}
