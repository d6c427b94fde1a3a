//! TLS reports: how others got through to a domain's mail servers (RFC 8460).

mod bounded;

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::number::{domain, seconds, word};
use crate::{NotReadable, unpack};
use bounded::{Count, Few, Word};

/// Largest report that is read, in bytes.
pub const MAX_JSON_BYTES: usize = 4 << 20;
/// Most policies that are read of one report.
pub const MAX_POLICIES: usize = 200;
/// Most failures that are read of one policy.
pub const MAX_FAILURES: usize = 1_000;

/// Connections that failed in the same way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// The kind, by RFC 8460 section 4.3: `certificate-expired`, ….
    pub kind: String,
    /// The host that could not be reached safely.
    pub host: String,
    /// Its address.
    pub address: String,
    /// What the reporter says besides.
    pub text: String,
    /// How many.
    pub count: u64,
}

/// What happened under one policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyResult {
    /// `sts`, `tlsa` or `no-policy-found`.
    pub kind: String,
    /// Whose policy it is.
    pub domain: String,
    /// Connections that were as demanded.
    pub successes: u64,
    /// Connections that were not.
    pub failures: u64,
    /// In which ways.
    pub details: Vec<Failure>,
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsReport {
    /// What the reporter calls itself.
    pub organisation: String,
    /// Where questions go.
    pub contact: String,
    /// What the reporter calls the report.
    pub id: String,
    /// The time that it is about: beginning and end in seconds since 1970; `None` if it does not say.
    pub range: Option<(i64, i64)>,
    /// What happened.
    pub policies: Vec<PolicyResult>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Whole {
    organization_name: Word,
    contact_info: Word,
    report_id: Word,
    date_range: Range,
    policies: Option<Few<Policy, MAX_POLICIES>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Range {
    start_datetime: Word,
    end_datetime: Word,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Policy {
    policy: About,
    summary: Summary,
    failure_details: Option<Few<Detail, MAX_FAILURES>>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct About {
    policy_type: Word,
    policy_domain: Word,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Summary {
    #[serde(alias = "total-successful-session-count", alias = "successful-session-count")]
    total_successful: Count,
    #[serde(alias = "total-failure-session-count", alias = "failure-session-count")]
    total_failure: Count,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "kebab-case")]
struct Detail {
    result_type: Word,
    receiving_mx_hostname: Word,
    receiving_ip: Word,
    failed_session_count: Count,
    failure_reason_code: Word,
    additional_information: Word,
}

impl TlsReport {
    /// Reads an attachment, packed or not.
    ///
    /// # Errors
    /// It is no such report, broken, or above a limit.
    pub fn read(attachment: &[u8]) -> Result<Self, NotReadable> {
        Self::read_text(&unpack(attachment)?)
    }

    /// Reads the JSON.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn read_text(text: &str) -> Result<Self, NotReadable> {
        let text = text.trim_start_matches('\u{FEFF}').trim();
        if !text.starts_with('{') {
            return Err(NotReadable::NoReport);
        }
        if text.len() > MAX_JSON_BYTES {
            return Err(NotReadable::TooLarge { what: "the JSON", limit: MAX_JSON_BYTES });
        }
        let read: Whole = serde_json::from_str(text).map_err(|_| NotReadable::Broken("the JSON is broken"))?;
        let Some(policies) = read.policies else { return Err(NotReadable::NoReport) };
        let begin = seconds(&read.date_range.start_datetime.0);
        let end = seconds(&read.date_range.end_datetime.0);
        let range = begin.or(end).zip(end.or(begin)).map(|(begin, end)| (begin.min(end), begin.max(end)));
        Ok(Self {
            organisation: word(&read.organization_name.0),
            contact: word(&read.contact_info.0),
            id: word(&read.report_id.0),
            range,
            policies: policies.0.into_iter().map(PolicyResult::from).collect(),
        })
    }

    /// The domains that it is about, each once, with what happened to each.
    pub fn by_domain(&self) -> BTreeMap<&str, Vec<&PolicyResult>> {
        let mut found: BTreeMap<&str, Vec<&PolicyResult>> = BTreeMap::new();
        for policy in self.policies.iter().filter(|policy| !policy.domain.is_empty()) {
            found.entry(&policy.domain).or_default().push(policy);
        }
        found
    }
}

impl From<Policy> for PolicyResult {
    fn from(read: Policy) -> Self {
        let details = read.failure_details.map(|few| few.0).unwrap_or_default();
        let details: Vec<Failure> = details.into_iter().map(Failure::from).collect();
        let told: u64 = details.iter().map(|detail| detail.count).sum();
        Self {
            kind: word(&read.policy.policy_type.0).to_ascii_lowercase(),
            domain: domain(&read.policy.policy_domain.0),
            successes: read.summary.total_successful.0,
            failures: read.summary.total_failure.0.max(told),
            details,
        }
    }
}

impl From<Detail> for Failure {
    fn from(read: Detail) -> Self {
        let more =
            if read.failure_reason_code.0.is_empty() { read.additional_information } else { read.failure_reason_code };
        Self {
            kind: word(&read.result_type.0).to_ascii_lowercase(),
            host: word(&read.receiving_mx_hostname.0),
            address: word(&read.receiving_ip.0),
            text: word(&more.0),
            count: read.failed_session_count.0,
        }
    }
}
