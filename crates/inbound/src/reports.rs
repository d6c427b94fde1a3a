//! Reports of others about domains here: the judge that knows them among incoming mail and has them filed.
//!
//! A report is filed in the commit that accepts its message, once. Whose it is follows from what DMARC proved of the mail
//! ([`reports::Reporter`]). The message of a verified report that was read goes to Archive, marked as read: what it says is on the
//! domain's page. A report that is not verified stays where it would have gone.
//!
//! [`Daily`] reports what was found out about others' domains.

mod destination;
mod found;
mod names;
mod sending;

use std::sync::Arc;

use ::reports::{Filing, Report, Reporter};
use delivery::{Case, FileInto, Hearing, Judge, JudgeError, Spooled, Verdict};
use directory::Directory;
use dnskit::Resolver;
use mailstore::{Flags, Role, SystemFlag};
use store::StoreError;
use tokio::sync::Semaphore;

use names::Names;
pub use sending::{Daily, SentReports};

/// Largest message that is looked at.
const MAX_MESSAGE_BYTES: u64 = 12 << 20;
/// Bytes of a message's beginning by which it is told whether it may be a report.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// Reports that are read at once: each may take up much memory for a moment.
const AT_ONCE: usize = 2;

/// Knows reports among incoming mail.
#[derive(Clone)]
pub struct ReportJudge {
    inner: Arc<Inner>,
}

struct Inner {
    hostname: String,
    directory: Directory,
    names: Names,
    reading: Semaphore,
}

impl ReportJudge {
    /// The results of the checks before are those in the name of `hostname`.
    pub fn new(hostname: String, directory: Directory, resolver: Arc<dyn Resolver>) -> Self {
        let (names, reading) = (Names::new(resolver), Semaphore::new(AT_ONCE));
        Self { inner: Arc::new(Inner { hostname, directory, names, reading }) }
    }
}

impl Judge for ReportJudge {
    fn name(&self) -> &'static str {
        "reports"
    }

    fn begin(&self, case: &Arc<Case>) -> Option<Box<dyn Hearing>> {
        let is_stranger = case.envelope.origin.auth.is_none() && case.envelope.origin.peer.is_some();
        let is_for_us = case.accounts.iter().any(Option::is_some);
        let (inner, case) = (Arc::clone(&self.inner), Arc::clone(case));
        (is_stranger && is_for_us).then(|| Box::new(Trial { inner, case, head: Vec::new() }) as _)
    }
}

/// One message.
struct Trial {
    inner: Arc<Inner>,
    case: Arc<Case>,
    head: Vec<u8>,
}

#[async_trait::async_trait]
impl Hearing for Trial {
    fn bytes(&mut self, bytes: &[u8]) {
        let room = MAX_HEAD_BYTES.saturating_sub(self.head.len());
        self.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    async fn verdicts(self: Box<Self>, message: &Spooled, so_far: &[Verdict]) -> Result<Vec<Verdict>, JudgeError> {
        let nothing = vec![Verdict::default(); so_far.len()];
        let is_refused = so_far.iter().all(|verdict| verdict.refusal.is_some());
        if is_refused || message.len() > MAX_MESSAGE_BYTES || !found::may_be_report(&self.head) {
            return Ok(nothing);
        }
        let failed = |error: tokio::task::JoinError| JudgeError(error.to_string());
        let _permit = self.inner.reading.acquire().await.map_err(|error| JudgeError(error.to_string()))?;
        let spooled = message.clone();
        let Some(mut report) = tokio::task::spawn_blocking(move || found::report_in(&spooled)).await.map_err(failed)?
        else {
            return Ok(nothing);
        };
        let hosted = hosted(&self.inner.directory, &report)?;
        if hosted.is_empty() {
            return Ok(nothing);
        }
        if let Report::Dmarc(report) = &mut report {
            self.inner.names.give(&mut report.rows).await;
        }
        let proved = so_far.first().and_then(|before| found::proved(before.headers(), &self.inner.hostname));
        let (claimed, contact) = match &report {
            Report::Dmarc(report) => (&report.organisation, &report.email),
            Report::Tls(report) => (&report.organisation, &report.contact),
        };
        let reporter = Reporter::of(proved.as_deref(), claimed, contact);
        let filings: Vec<Filing> =
            hosted.iter().filter_map(|domain| Filing::of(&report, domain, &reporter, self.case.at_ms)).collect();
        Ok(self.told(&reporter, &report, filings, nothing))
    }
}

impl Trial {
    /// The verdicts on a message that has a report: where it goes, and what is filed with it.
    fn told(
        &self,
        reporter: &Reporter,
        report: &Report,
        filings: Vec<Filing>,
        mut verdicts: Vec<Verdict>,
    ) -> Vec<Verdict> {
        let kind = if matches!(report, Report::Dmarc(_)) { "dmarc" } else { "tls" };
        let is_verified = matches!(reporter, Reporter::Verified(_));
        let result = if is_verified { "verified" } else { "unverified" };
        metrics::counter!("holdfast_reports_received_total", "kind" => kind, "result" => result).increment(1);
        for (verdict, account) in verdicts.iter_mut().zip(&self.case.accounts) {
            if account.is_some() {
                *verdict = match reporter {
                    Reporter::Verified(domain) => {
                        let archive = Verdict::file(FileInto::Role(Role::Archive));
                        let mut verdict = archive.because(format!("a {kind} report of {domain}"));
                        verdict.flags = Flags::of(&[SystemFlag::Seen]);
                        verdict
                    }
                    Reporter::Unverified => Verdict::default().because(format!("a {kind} report, not verified")),
                };
            }
        }
        let Some(first) = verdicts.first_mut() else { return verdicts };
        first.write_along(move |tx| {
            for filing in &filings {
                match filing.write_in(tx) {
                    // Mail does not wait for the reports to be restored.
                    Ok(_) | Err(StoreError::NotRestored { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        });
        verdicts
    }
}

/// The domains here that a report is about.
fn hosted(directory: &Directory, report: &Report) -> Result<Vec<String>, JudgeError> {
    let names: Vec<&str> = match report {
        Report::Dmarc(report) => vec![report.published.domain.as_str()],
        Report::Tls(report) => report.by_domain().into_keys().collect(),
    };
    let mut found: Vec<String> = Vec::new();
    for name in names {
        let mut rest = Some(name);
        while let Some(domain) = rest {
            if directory.domain(domain).map_err(|error| JudgeError(error.to_string()))?.is_some() {
                if !found.iter().any(|known| known == domain) {
                    found.push(domain.to_owned());
                }
                break;
            }
            rest = domain.split_once('.').map(|(_, above)| above);
        }
    }
    Ok(found)
}
