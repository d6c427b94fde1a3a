//! The stored keys and records of the reports realm ([`store::RealmId::REPORTS`]), all of it this crate's:
//!
//! | key | value |
//! |---|---|
//! | `0x90` domain NUL day reporter NUL name | [`KeptRecord`]: a report about a hosted domain; `day` is that on which it came |
//! | `0x92` domain NUL name | the day: that report was filed, so it is not filed again |
//! | `0x93` day domain NUL row | [`RowRecord`]: messages in the name of others' domains that came on a day |
//! | `0x94` day domain | [`OverRecord`]: the policy of that domain, and who wants the report |
//!
//! Days are counted from 1970 (UTC), in four bytes, big-endian; names of reports and rows are hashes of 16 bytes.

use std::net::IpAddr;

use crate::dmarc::{AuthResult, Disposition, Published, Row};
use crate::tls::{Failure, PolicyResult};

/// First byte of the keys of reports.
pub const KEPT: u8 = 0x90;
/// First byte of the marks of reports.
pub const MARK: u8 = 0x92;
/// First byte of the keys of observed rows.
pub const ROW: u8 = 0x93;
/// First byte of the keys of observed domains.
pub const OVER: u8 = 0x94;
/// Length of a report's or row's name.
pub const NAME_BYTES: usize = 16;
/// [`KeptRecord::kind`] of a DMARC report.
pub const DMARC: u32 = 1;
/// [`KeptRecord::kind`] of a TLS report.
pub const TLS: u32 = 2;

/// A report.
#[derive(Clone, PartialEq, prost::Message)]
pub struct KeptRecord {
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    #[prost(string, tag = "2")]
    pub organisation: String,
    #[prost(string, tag = "3")]
    pub contact: String,
    #[prost(string, tag = "4")]
    pub id: String,
    /// Seconds since 1970, as the next.
    #[prost(int64, tag = "5")]
    pub begin: i64,
    #[prost(int64, tag = "6")]
    pub end: i64,
    #[prost(int64, tag = "7")]
    pub received_ms: i64,
    #[prost(message, optional, tag = "8")]
    pub published: Option<PublishedRecord>,
    #[prost(message, repeated, tag = "9")]
    pub rows: Vec<RowRecord>,
    /// Messages of rows that are not kept.
    #[prost(uint64, tag = "10")]
    pub unread: u64,
    #[prost(message, repeated, tag = "11")]
    pub policies: Vec<PolicyRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct PublishedRecord {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(string, tag = "2")]
    pub p: String,
    #[prost(string, tag = "3")]
    pub sp: String,
    #[prost(string, tag = "4")]
    pub np: String,
    #[prost(string, tag = "5")]
    pub adkim: String,
    #[prost(string, tag = "6")]
    pub aspf: String,
    #[prost(bool, tag = "7")]
    pub testing: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RowRecord {
    #[prost(string, tag = "1")]
    pub source: String,
    #[prost(uint64, tag = "2")]
    pub count: u64,
    /// 0 none, 1 quarantine, 2 reject.
    #[prost(uint32, tag = "3")]
    pub disposition: u32,
    #[prost(bool, tag = "4")]
    pub dkim: bool,
    #[prost(bool, tag = "5")]
    pub spf: bool,
    #[prost(message, repeated, tag = "6")]
    pub reasons: Vec<ReasonRecord>,
    #[prost(string, tag = "7")]
    pub header_from: String,
    #[prost(string, tag = "8")]
    pub envelope_from: String,
    #[prost(message, repeated, tag = "9")]
    pub dkim_results: Vec<ResultRecord>,
    #[prost(message, repeated, tag = "10")]
    pub spf_results: Vec<ResultRecord>,
    #[prost(string, tag = "11")]
    pub name: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ReasonRecord {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub comment: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct ResultRecord {
    #[prost(string, tag = "1")]
    pub domain: String,
    #[prost(string, tag = "2")]
    pub selector: String,
    #[prost(string, tag = "3")]
    pub result: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct PolicyRecord {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub domain: String,
    #[prost(uint64, tag = "3")]
    pub successes: u64,
    #[prost(uint64, tag = "4")]
    pub failures: u64,
    #[prost(message, repeated, tag = "5")]
    pub details: Vec<FailureRecord>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct FailureRecord {
    #[prost(string, tag = "1")]
    pub kind: String,
    #[prost(string, tag = "2")]
    pub host: String,
    #[prost(string, tag = "3")]
    pub address: String,
    #[prost(string, tag = "4")]
    pub text: String,
    #[prost(uint64, tag = "5")]
    pub count: u64,
}

/// A domain in whose name mail came on a day.
#[derive(Clone, PartialEq, prost::Message)]
pub struct OverRecord {
    #[prost(message, optional, tag = "1")]
    pub published: Option<PublishedRecord>,
    /// `rua=`, URI by URI.
    #[prost(string, repeated, tag = "2")]
    pub rua: Vec<String>,
    /// Rows that are kept of it.
    #[prost(uint32, tag = "3")]
    pub rows: u32,
    /// From when on: seconds since 1970, where it was reported before in that day; else 0.
    #[prost(int64, tag = "4")]
    pub since: i64,
}

/// Of a report: `0x90` domain NUL day reporter NUL name.
pub fn kept_key(domain: &str, day: u32, reporter: &str, name: &[u8]) -> Vec<u8> {
    [&day_prefix(domain, day), reporter.as_bytes(), &[0], name].concat()
}

/// Of all reports about a domain.
pub fn domain_prefix(domain: &str) -> Vec<u8> {
    [&[KEPT], domain.as_bytes(), &[0]].concat()
}

/// Of all reports about a domain that came on a day.
pub fn day_prefix(domain: &str, day: u32) -> Vec<u8> {
    [domain_prefix(domain).as_slice(), &day.to_be_bytes()].concat()
}

/// Domain, day, reporter and name in the key of a report.
pub fn kept_key_parts(key: &[u8]) -> Option<(&str, u32, &str, &[u8])> {
    let rest = key.strip_prefix(&[KEPT])?;
    let (domain, rest) = until_nul(rest)?;
    let (day, rest) = rest.split_first_chunk::<4>()?;
    let (reporter, name) = until_nul(rest)?;
    (name.len() == NAME_BYTES).then_some((domain, u32::from_be_bytes(*day), reporter, name))
}

fn until_nul(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    Some((std::str::from_utf8(&bytes[..at]).ok()?, &bytes[at + 1..]))
}

/// That a report was filed.
pub fn mark_key(domain: &str, name: &[u8]) -> Vec<u8> {
    [&[MARK], domain.as_bytes(), &[0], name].concat()
}

/// Of an observed domain.
pub fn over_key(day: u32, domain: &str) -> Vec<u8> {
    [&[OVER], day.to_be_bytes().as_slice(), domain.as_bytes()].concat()
}

/// Day and domain in the key of an observed domain.
pub fn over_key_parts(key: &[u8]) -> Option<(u32, &str)> {
    let (day, domain) = key.strip_prefix(&[OVER])?.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*day), std::str::from_utf8(domain).ok()?))
}

/// Of all observed rows of a domain's day.
pub fn rows_prefix(day: u32, domain: &str) -> Vec<u8> {
    [&[ROW], day.to_be_bytes().as_slice(), domain.as_bytes(), &[0]].concat()
}

/// Of an observed row.
pub fn row_key(day: u32, domain: &str, name: &[u8]) -> Vec<u8> {
    [rows_prefix(day, domain).as_slice(), name].concat()
}

/// The name of a row: of all in it but the count.
pub fn row_name(row: &Row) -> [u8; NAME_BYTES] {
    let record = RowRecord { count: 0, ..RowRecord::from(row) };
    name(&prost::Message::encode_to_vec(&record))
}

/// A name.
pub fn name(bytes: &[u8]) -> [u8; NAME_BYTES] {
    let mut name = [0; NAME_BYTES];
    name.copy_from_slice(&blake3::hash(bytes).as_bytes()[..NAME_BYTES]);
    name
}

impl From<&AuthResult> for ResultRecord {
    fn from(one: &AuthResult) -> Self {
        Self { domain: one.domain.clone(), selector: one.selector.clone(), result: one.result.clone() }
    }
}

impl From<ResultRecord> for AuthResult {
    fn from(one: ResultRecord) -> Self {
        Self { domain: one.domain, selector: one.selector, result: one.result }
    }
}

impl From<&Row> for RowRecord {
    fn from(row: &Row) -> Self {
        let reasons = row.reasons.iter();
        Self {
            source: row.source.map(|ip| ip.to_string()).unwrap_or_default(),
            count: row.count,
            disposition: row.disposition as u32,
            dkim: row.dkim,
            spf: row.spf,
            reasons: reasons
                .map(|(kind, comment)| ReasonRecord { kind: kind.clone(), comment: comment.clone() })
                .collect(),
            header_from: row.header_from.clone(),
            envelope_from: row.envelope_from.clone(),
            dkim_results: row.dkim_results.iter().map(ResultRecord::from).collect(),
            spf_results: row.spf_results.iter().map(ResultRecord::from).collect(),
            name: row.name.clone(),
        }
    }
}

impl From<RowRecord> for Row {
    fn from(record: RowRecord) -> Self {
        let disposition = usize::try_from(record.disposition).ok();
        Self {
            source: record.source.parse::<IpAddr>().ok(),
            name: record.name,
            count: record.count,
            disposition: disposition.and_then(|at| Disposition::ALL.get(at).copied()).unwrap_or_default(),
            dkim: record.dkim,
            spf: record.spf,
            reasons: record.reasons.into_iter().map(|reason| (reason.kind, reason.comment)).collect(),
            header_from: record.header_from,
            envelope_from: record.envelope_from,
            dkim_results: record.dkim_results.into_iter().map(AuthResult::from).collect(),
            spf_results: record.spf_results.into_iter().map(AuthResult::from).collect(),
        }
    }
}

impl From<&Published> for PublishedRecord {
    fn from(policy: &Published) -> Self {
        Self {
            domain: policy.domain.clone(),
            p: policy.p.clone(),
            sp: policy.sp.clone(),
            np: policy.np.clone(),
            adkim: policy.adkim.clone(),
            aspf: policy.aspf.clone(),
            testing: policy.testing,
        }
    }
}

impl From<PublishedRecord> for Published {
    fn from(record: PublishedRecord) -> Self {
        Self {
            domain: record.domain,
            p: record.p,
            sp: record.sp,
            np: record.np,
            adkim: record.adkim,
            aspf: record.aspf,
            testing: record.testing,
        }
    }
}

impl From<&PolicyResult> for PolicyRecord {
    fn from(policy: &PolicyResult) -> Self {
        let detail = |one: &Failure| FailureRecord {
            kind: one.kind.clone(),
            host: one.host.clone(),
            address: one.address.clone(),
            text: one.text.clone(),
            count: one.count,
        };
        Self {
            kind: policy.kind.clone(),
            domain: policy.domain.clone(),
            successes: policy.successes,
            failures: policy.failures,
            details: policy.details.iter().map(detail).collect(),
        }
    }
}

impl From<PolicyRecord> for PolicyResult {
    fn from(record: PolicyRecord) -> Self {
        let detail = |one: FailureRecord| Failure {
            kind: one.kind,
            host: one.host,
            address: one.address,
            text: one.text,
            count: one.count,
        };
        Self {
            kind: record.kind,
            domain: record.domain,
            successes: record.successes,
            failures: record.failures,
            details: record.details.into_iter().map(detail).collect(),
        }
    }
}
