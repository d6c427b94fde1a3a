//! Who sends in a domain's name, and who could not deliver to it safely: what the reports of others add up to.

use askama::Template;
use axum::extract::{Path, Query};
use axum::response::Response;
use jiff::Timestamp;
use reports::summary::{self, Own, Source, Summary, TlsFailure, tls_advice};
use serde::Deserialize;

use super::frame::{TABS, Tabs, admin, counted, surroundings};
use crate::caller::Caller;
use crate::error::{Fault, Result};
use crate::templates::Shell;
use crate::view::{self, Page};
use crate::wrong::readable;

/// The times to choose from, in days.
const TIMES: [u32; 3] = [7, 30, 90];
/// The picture, in its own units.
const WIDTH: u64 = 720;
const HEIGHT: u64 = 160;

#[derive(Template)]
#[template(path = "admin_reports.html")]
struct ReportsPage {
    page: Page,
    shell: Shell,
    tabs: Tabs,
    here: &'static str,
    problem: Option<String>,
    name: String,
    readable: String,
    times: [(u32, bool); 3],
    summary: Summary,
    /// What it comes to, in one sentence.
    verdict: (&'static str, String),
    reporters: String,
    picture: Picture,
    sources: Vec<Line>,
    tls: String,
    failures: Vec<(String, String, &'static str)>,
}

/// A bar for each day.
struct Picture {
    width: u64,
    height: u64,
    /// In words, for those who can't see it.
    words: String,
    bars: Vec<Bar>,
    most: String,
    first: String,
    last: String,
}

struct Bar {
    x: String,
    width: String,
    /// Height and top of the messages that passed, then of those that failed.
    passed: (u64, u64),
    failed: (u64, u64),
    says: String,
}

struct Line {
    name: String,
    addresses: String,
    signers: String,
    messages: String,
    passed: String,
    failed: String,
    done: String,
    badge: &'static str,
    code: &'static str,
    title: &'static str,
    remedy: &'static str,
}

/// Which days.
#[derive(Deserialize)]
pub struct Time {
    days: Option<u32>,
}

fn messages(number: u64) -> String {
    counted(number, "message", "messages")
}

fn line(source: &Source) -> Line {
    let more = source.address_count - source.addresses.len().min(source.address_count);
    let mut addresses = source.addresses.join(", ");
    if more > 0 {
        addresses.push_str(&format!(" and {more} more"));
    }
    let number = |number| counted(number, "", "").trim().to_owned();
    let mut done = Vec::new();
    if source.refused > 0 {
        done.push(format!("{} refused", number(source.refused)));
    }
    if source.quarantined > 0 {
        done.push(format!("{} to Spam", number(source.quarantined)));
    }
    Line {
        name: if source.own { "This service".to_owned() } else { source.name.clone() },
        addresses,
        signers: source.signers.join(", "),
        messages: number(source.messages),
        passed: number(source.passed),
        failed: number(source.messages - source.passed),
        done: done.join(", "),
        badge: if source.advice.is_bad() { "bad" } else { "on" },
        code: source.advice.code(),
        title: source.advice.title(),
        remedy: source.advice.remedy(),
    }
}

/// A day in the shortest words that are clear. Reports count by UTC.
fn day(day: u32) -> String {
    let at = Timestamp::from_second(i64::from(day) * 86_400).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%-d %b").to_string()
}

fn picture(summary: &Summary) -> Picture {
    let most = summary.days.iter().map(|day| day.passed + day.failed).max().unwrap_or_default();
    let count = summary.days.len().max(1) as u64;
    let height = |number: u64| if most == 0 { 0 } else { (number * HEIGHT).div_ceil(most).min(HEIGHT) };
    let tenths = |number: u64| format!("{}.{}", number / 10, number % 10);
    let bars = summary.days.iter().zip(0..).map(|(one, at)| {
        let (passed, failed) = (height(one.passed), height(one.failed).min(HEIGHT - height(one.passed)));
        Bar {
            x: tenths(at * WIDTH * 10 / count),
            width: tenths((WIDTH * 10 / count * 8 / 10).max(10)),
            passed: (passed, HEIGHT - passed),
            failed: (failed, HEIGHT - passed - failed),
            says: format!("{}: {} passed, {} failed", day(one.day), one.passed, one.failed),
        }
    });
    let failed: u64 = summary.days.iter().map(|day| day.failed).sum();
    Picture {
        width: WIDTH,
        height: HEIGHT,
        words: format!("Messages by day: {} passed the checks, {failed} failed.", summary.passed),
        bars: bars.collect(),
        most: messages(most),
        first: summary.days.first().map(|one| day(one.day)).unwrap_or_default(),
        last: summary.days.last().map(|one| day(one.day)).unwrap_or_default(),
    }
}

/// The most important thing first.
fn verdict(summary: &Summary) -> (&'static str, String) {
    let bad: Vec<&Source> = summary.sources.iter().filter(|source| source.advice.is_bad()).collect();
    let failed: u64 = bad.iter().map(|source| source.messages - source.passed).sum();
    match () {
        () if summary.messages == 0 => ("", "No report with mail in your name has come for this time.".to_owned()),
        () if bad.is_empty() => {
            ("good", format!("{} in your name, and nothing that needs your attention.", messages(summary.messages)))
        }
        () if summary.policy == "none" => (
            "warn",
            format!(
                "{} in your name could not be proved, and your DMARC policy is “none”: others deliver them. Set it to quarantine once all senders that you use pass.",
                messages(failed)
            ),
        ),
        () => ("warn", format!("{} in your name could not be proved. See what to do below.", messages(failed))),
    }
}

/// `GET /admin/domains/{name}/reports`
pub async fn page(caller: Caller, Path(name): Path<String>, Query(time): Query<Time>) -> Result<Response> {
    let caller = admin(caller)?;
    caller
        .blocking(move |caller| {
            let found = caller.site.directory.domain(&name)?;
            let domain = found.ok_or(Fault::NotFound("There is no such domain."))?;
            let days = time.days.filter(|days| TIMES.contains(days)).unwrap_or(30);
            let summary = added(caller, &domain.name, days)?;
            let reporters = summary.reporters.iter().take(8).map(|(name, _)| name.as_str());
            let failure = |one: &TlsFailure| {
                let host = if one.host.is_empty() { String::new() } else { format!(" at {}", one.host) };
                let times = counted(one.count, "connection", "connections");
                (one.reporter.clone(), format!("{times} failed{host}: {}", one.kind), tls_advice(&one.kind))
            };
            let tls = &summary.tls;
            Ok(view::html(&ReportsPage {
                page: caller.page(&format!("{} · Who sends in your name", readable(&domain.name))),
                shell: surroundings(caller, None, &format!("/admin/domains/{}/reports", domain.name))?,
                tabs: TABS,
                here: "/admin/domains",
                problem: None,
                readable: readable(&domain.name),
                times: TIMES.map(|time| (time, time == days)),
                verdict: verdict(&summary),
                reporters: reporters.collect::<Vec<_>>().join(", "),
                picture: picture(&summary),
                sources: summary.sources.iter().map(line).collect(),
                tls: match (tls.reports, tls.failures) {
                    (0, _) => "No TLS report has come for this time.".to_owned(),
                    (_, 0) => format!(
                        "All {} that others reported were safe.",
                        counted(tls.successes, "connection", "connections")
                    ),
                    (_, failed) => format!(
                        "{} of {} were not safe.",
                        failed,
                        counted(tls.successes + failed, "connection", "connections")
                    ),
                },
                failures: tls.details.iter().map(failure).collect(),
                summary,
                name: domain.name,
            }))
        })
        .await
}

/// What the reports about a domain add up to.
fn added(caller: &Caller, domain: &str, days: u32) -> Result<Summary> {
    let service = caller.site.checks.service();
    let own = Own { hosts: service.names().map(ToOwned::to_owned).collect(), addresses: service.addresses.clone() };
    let reports = &caller.site.reports;
    let kept = reports.of_domain(domain, reports::KEPT_DAYS)?;
    Ok(summary::of(&kept, reports::day_of(reports.now_ms()), days, &own))
}
