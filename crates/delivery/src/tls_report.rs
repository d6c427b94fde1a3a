//! TLS reports to the domains that mail went to (RFC 8460): once a day, what became of the connections to them.

use std::collections::BTreeMap;
use std::fmt;
use std::io::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use dnskit::DnsError;
use flate2::{Compression, write::GzEncoder};
use jiff::Timestamp;
use mailkit::{EmailAddress, date};
use prost::Message as _;
use store::{Order, Read as _, Store};

use crate::outbound::attempt::Outbound;
use crate::outbound::tally::day_of;
use crate::schema::{TallyRecord, tally_key, tally_key_parts};
use crate::service_mail::ServiceMail;
use crate::{Delivery, Result, queue};

/// Reports made in one go; the rest comes with the next look.
const MAX_AT_ONCE: usize = 50;
/// Counts that could not be reported are dropped after so many days.
const DAYS_KEPT: u32 = 7;
/// A web server that did not take a report is asked again, this long after.
const RETRY_MS: i64 = 60 * 60 * 1_000;
/// It is asked until the report is so many days old: for a day after it was made (RFC 8460 §5.5).
const RETRY_DAYS: u32 = 2;
/// Most addresses of one domain that get its report.
const MAX_ADDRESSES: usize = 2;
const DAY_SECONDS: i64 = 24 * 60 * 60;

/// Where a domain wants reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Rua {
    /// By mail.
    Mail(EmailAddress),
    /// By POST to a host's path.
    Https { host: String, port: u16, path: String },
}

impl fmt::Display for Rua {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mail(to) => write!(f, "mailto:{to}"),
            Self::Https { host, port, path } => write!(f, "https://{host}:{port}{path}"),
        }
    }
}

/// The counts of a domain's day, each with its kind of policy.
pub(crate) type Day = Vec<(String, TallyRecord)>;

/// A report's frame.
pub(crate) struct Frame<'a> {
    pub(crate) organisation: &'a str,
    pub(crate) contact: &'a str,
    pub(crate) id: &'a str,
    pub(crate) domain: &'a str,
    /// Since 1970.
    pub(crate) day: u32,
}

impl Delivery {
    /// Reports the days that are over, and forgets their counts. A few at a time.
    pub(crate) async fn report_tls(&self, outbound: &Outbound) {
        // Slow web servers may take longer than it is to the next look: no report is made twice.
        let Ok(_alone) = self.inner.reporting.try_lock() else { return };
        let days = match finished(&self.inner.store, self.now_ms()) {
            Ok(days) => days,
            Err(error) => return tracing::error!(%error, "could not read the results of connections"),
        };
        for ((day, domain), counts) in days.into_iter().take(MAX_AT_ONCE) {
            if let Err(error) = self.report_day(outbound, day, &domain, &counts).await {
                tracing::warn!(domain, %error, "could not make a TLS report");
            }
        }
    }

    /// Hands a report to web servers, and makes the mails to the other destinations; not to those that have it.
    async fn handed(
        &self,
        outbound: &Outbound,
        frame: &Frame<'_>,
        packed: &Bytes,
        ruas: Vec<Rua>,
        reported_to: Vec<String>,
    ) -> Result<Handed> {
        let mut handed = Handed { mails: Vec::new(), reported_to, is_whole: true };
        for rua in ruas {
            let name = rua.to_string();
            if handed.reported_to.contains(&name) {
                continue;
            }
            match rua {
                Rua::Mail(to) => {
                    let bytes = mail(frame, &self.service_sender()?, &to, packed, self.now_ms());
                    // It tells of broken TLS: it has to arrive in spite of that (RFC 8689 §5).
                    handed.mails.push(ServiceMail { to, bytes, tls_optional: true });
                    metrics::counter!("holdfast_delivery_tls_reports_total").increment(1);
                }
                Rua::Https { host, port, path } => {
                    let posted = outbound.post(&host, port, &path, "application/tlsrpt+gzip", packed.clone()).await;
                    let result = if posted.is_ok() { "ok" } else { "failed" };
                    metrics::counter!("holdfast_delivery_tls_reports_posted_total", "result" => result).increment(1);
                    if let Err(problem) = posted {
                        tracing::warn!(domain = frame.domain, host, %problem, "could not hand over a TLS report");
                        handed.is_whole = false;
                        continue;
                    }
                }
            }
            handed.reported_to.push(name);
        }
        Ok(handed)
    }

    async fn report_day(&self, outbound: &Outbound, day: u32, domain: &str, counts: &Day) -> Result<()> {
        let ruas = match self.resolver().txt(&format!("_smtp._tls.{domain}")).await {
            Ok(texts) => ruas(&texts),
            Err(DnsError::Temporary(_)) if day_of(self.now_ms()) - day < DAYS_KEPT => return Ok(()),
            Err(_) => Vec::new(),
        };
        let own = self.service_domain()?;
        let id = format!("{day}.{domain}@{}", self.inner.options.hostname);
        let contact = format!("postmaster@{own}");
        let frame = Frame { organisation: &own, contact: &contact, id: &id, domain, day };
        let packed = packed(&json(&frame, counts))?;
        let reported_to = counts.first().map(|(_, record)| record.reported_to.clone()).unwrap_or_default();
        let Handed { mails, reported_to, is_whole } = self.handed(outbound, &frame, &packed, ruas, reported_to).await?;
        let keep = !is_whole && day_of(self.now_ms()).saturating_sub(day) <= RETRY_DAYS;
        let not_before_ms = self.now_ms() + RETRY_MS;
        let rows: Vec<_> = counts
            .iter()
            .map(|(policy, record)| {
                let later = TallyRecord { reported_to: reported_to.clone(), not_before_ms, ..record.clone() };
                (tally_key(day, domain, policy), keep.then(|| later.encode_to_vec()))
            })
            .collect();
        self.send_service_mail(mails, move |tx| {
            for (key, later) in &rows {
                match later {
                    Some(later) => tx.put(queue::QUEUE, key.clone(), later.clone()),
                    None => tx.delete(queue::QUEUE, key.clone()),
                }
            }
            Ok(())
        })
        .await?;
        Ok(())
    }
}

/// What became of a report.
struct Handed {
    mails: Vec<ServiceMail>,
    reported_to: Vec<String>,
    /// No destination has to be tried again.
    is_whole: bool,
}

/// The counts of days that are over, by day and domain.
fn finished(store: &Store, now_ms: i64) -> Result<BTreeMap<(u32, String), Day>> {
    let today = day_of(now_ms);
    let mut all: BTreeMap<(u32, String), Day> = BTreeMap::new();
    for row in store.snapshot().prefix(queue::QUEUE, b"t", Order::Ascending)? {
        let (key, value) = row?;
        let (Some((day, domain, policy)), Ok(record)) = (tally_key_parts(&key), TallyRecord::decode(value)) else {
            continue;
        };
        if day >= today || all.len() > MAX_AT_ONCE {
            break;
        }
        if record.not_before_ms > now_ms {
            continue;
        }
        all.entry((day, domain.to_owned())).or_default().push((policy.to_owned(), record));
    }
    Ok(all)
}

/// Where reports go by the one record of `_smtp._tls` (RFC 8460 §3).
fn ruas(texts: &[Vec<u8>]) -> Vec<Rua> {
    let mut records = texts.iter().filter_map(|text| {
        let text = std::str::from_utf8(text).ok()?;
        let (version, rest) = text.split_once(';')?;
        (version.trim_end() == "v=TLSRPTv1").then_some(rest)
    });
    let (Some(record), None) = (records.next(), records.next()) else { return Vec::new() };
    let rua = record.split(';').find_map(|field| field.trim().strip_prefix("rua=")).unwrap_or_default();
    rua.split(',').filter_map(|uri| read_rua(uri.trim())).take(MAX_ADDRESSES).collect()
}

fn read_rua(uri: &str) -> Option<Rua> {
    if let Some(address) = uri.strip_prefix("mailto:") {
        return EmailAddress::parse(address).ok().filter(|to| !to.domain().starts_with('[')).map(Rua::Mail);
    }
    let rest = uri.strip_prefix("https://")?;
    let (authority, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (authority, 443),
    };
    let is_host = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let is_path = path.bytes().all(|byte| byte.is_ascii_graphic());
    (is_host && is_path).then(|| Rua::Https { host: host.to_ascii_lowercase(), port, path: path.to_owned() })
}

/// A report's content (RFC 8460 §4.4).
pub(crate) fn json(frame: &Frame<'_>, counts: &Day) -> serde_json::Value {
    let begin = i64::from(frame.day) * DAY_SECONDS;
    let time = |seconds| Timestamp::from_second(seconds).unwrap_or(Timestamp::UNIX_EPOCH).to_string();
    let policies: Vec<_> = counts.iter().map(|(policy, record)| policy_json(frame.domain, policy, record)).collect();
    serde_json::json!({
        "organization-name": frame.organisation,
        "date-range": { "start-datetime": time(begin), "end-datetime": time(begin + DAY_SECONDS - 1) },
        "contact-info": frame.contact,
        "report-id": frame.id,
        "policies": policies,
    })
}

fn policy_json(domain: &str, kind: &str, record: &TallyRecord) -> serde_json::Value {
    let mut policy = serde_json::json!({ "policy-type": kind, "policy-domain": domain });
    if !record.policy.is_empty() {
        policy["policy-string"] = record.policy.clone().into();
    }
    if !record.hosts.is_empty() {
        policy["mx-host"] = record.hosts.clone().into();
    }
    let details: Vec<_> = record
        .details
        .iter()
        .map(|detail| {
            let mut one = serde_json::json!({
                "result-type": detail.kind,
                "failed-session-count": detail.count,
                "failure-reason-code": detail.text,
            });
            if !detail.host.is_empty() {
                one["receiving-mx-hostname"] = detail.host.clone().into();
            }
            if !detail.address.is_empty() {
                one["receiving-ip"] = detail.address.clone().into();
            }
            one
        })
        .collect();
    let summary = serde_json::json!({
        "total-successful-session-count": record.successes,
        "total-failure-session-count": record.failures,
    });
    let mut all = serde_json::json!({ "policy": policy, "summary": summary });
    if !details.is_empty() {
        all["failure-details"] = details.into();
    }
    all
}

fn packed(report: &serde_json::Value) -> Result<Bytes> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    let written = gzip.write_all(report.to_string().as_bytes()).and_then(|()| gzip.finish());
    Ok(written.map_err(|_| crate::Refusal::unavailable())?.into())
}

/// A report as a message (RFC 8460 §5.3).
fn mail(frame: &Frame<'_>, from: &EmailAddress, to: &EmailAddress, packed: &[u8], at_ms: i64) -> Vec<u8> {
    let Frame { organisation, id, domain, day, .. } = frame;
    let (begin, boundary) = (i64::from(*day) * DAY_SECONDS, format!("tlsrpt-{day}-{at_ms}"));
    let name = format!("{organisation}!{domain}!{begin}!{}.json.gz", begin + DAY_SECONDS - 1);
    let encoded = BASE64.encode(packed);
    let lines: Vec<&str> =
        (0..encoded.len()).step_by(76).map(|at| &encoded[at..(at + 76).min(encoded.len())]).collect();
    let head = format!(
        "From: <{from}>\r\nTo: <{to}>\r\nSubject: Report Domain: {domain}\r\n Submitter: {organisation}\r\n Report-ID: <{id}>\r\n\
         Date: {}\r\nMessage-ID: <{at_ms}.{id}>\r\nAuto-Submitted: auto-generated\r\nTLS-Required: No\r\n\
         TLS-Report-Domain: {domain}\r\nTLS-Report-Submitter: {organisation}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=\"tlsrpt\";\r\n\tboundary=\"{boundary}\"\r\n\r\n",
        date::format(at_ms)
    );
    let text = format!(
        "--{boundary}\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\nThis is a TLS report (RFC 8460) about mail from {organisation}\r\n\
         to {domain}.\r\n"
    );
    let file = format!(
        "--{boundary}\r\nContent-Type: application/tlsrpt+gzip\r\nContent-Transfer-Encoding: base64\r\n\
         Content-Disposition: attachment;\r\n\tfilename=\"{name}\"\r\n\r\n{}\r\n--{boundary}--\r\n",
        lines.join("\r\n")
    );
    [head, text, file].concat().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::TallyDetailRecord;

    fn wanted(texts: &[&str]) -> Vec<Rua> {
        ruas(&texts.iter().map(|text| text.as_bytes().to_vec()).collect::<Vec<_>>())
    }

    #[test]
    fn reports_go_where_the_one_record_says() {
        let mail = |text: &str| Rua::Mail(EmailAddress::parse(text).unwrap());
        let https = |host: &str, port, path: &str| Rua::Https { host: host.into(), port, path: path.into() };
        assert_eq!(wanted(&["v=TLSRPTv1;rua=mailto:a@b.example"]), [mail("a@b.example")]);
        let both = "v=TLSRPTv1; rua=https://B.example/r?x=1, mailto:a@b.example,mailto:c@b.example;";
        assert_eq!(wanted(&[both, "v=spf1 -all"]), [https("b.example", 443, "/r?x=1"), mail("a@b.example")]);
        assert_eq!(wanted(&["v=TLSRPTv1; rua=https://b.example:8443"]), [https("b.example", 8443, "/")]);
        for none in [
            &[][..],
            &["v=TLSRPTv1; rua=mailto:0"],
            &["v=TLSRPTv1; rua=mailto:a@[192.0.2.1]"],
            &["v=TLSRPTv1; rua=http://b.example/"],
            &["v=TLSRPTv1; rua=https://u:p@b.example/"],
            &["v=TLSRPTv2; rua=mailto:a@b.example"],
            &["v=TLSRPTv1; rua=mailto:a@b.example", "v=TLSRPTv1; rua=mailto:a@b.example"],
        ] {
            assert_eq!(wanted(none), [], "{none:?}");
        }
    }

    #[test]
    fn a_report_names_policies_successes_and_failures() {
        let detail = TallyDetailRecord {
            kind: "certificate-expired".into(),
            host: "mx.far.example".into(),
            address: "192.0.2.1".into(),
            text: "why".into(),
            count: 3,
        };
        let sts = TallyRecord {
            successes: 5,
            failures: 3,
            policy: vec!["version: STSv1".into()],
            hosts: vec!["*.far.example".into()],
            details: vec![detail],
            ..TallyRecord::default()
        };
        let none = TallyRecord { successes: 1, ..TallyRecord::default() };
        let frame = Frame {
            organisation: "here.example",
            contact: "p@here.example",
            id: "1",
            domain: "far.example",
            day: 20_454,
        };
        let report = json(&frame, &vec![("sts".into(), sts), ("no-policy-found".into(), none)]);
        assert_eq!(report["date-range"]["start-datetime"], "2026-01-01T00:00:00Z");
        assert_eq!(report["date-range"]["end-datetime"], "2026-01-01T23:59:59Z");
        let [first, second] = &report["policies"].as_array().unwrap()[..] else { panic!() };
        assert_eq!(first["policy"]["policy-type"], "sts");
        assert_eq!(first["policy"]["mx-host"][0], "*.far.example");
        assert_eq!(first["summary"]["total-successful-session-count"], 5);
        assert_eq!(first["failure-details"][0]["failed-session-count"], 3);
        assert_eq!(first["failure-details"][0]["receiving-ip"], "192.0.2.1");
        assert_eq!(second["policy"]["policy-domain"], "far.example");
        assert!(second.get("failure-details").is_none());
        let (from, to) =
            (EmailAddress::parse("a@here.example").unwrap(), EmailAddress::parse("b@far.example").unwrap());
        let packed = packed(&report).unwrap();
        let mail = mail(&frame, &from, &to, &packed, 0);
        let parsed = mailkit::parse(&mail);
        assert_eq!(parsed.root.parts.len(), 2);
        assert!(mail.is_ascii() && !mailkit::narrow::has_long_lines(&mail));
    }
}
