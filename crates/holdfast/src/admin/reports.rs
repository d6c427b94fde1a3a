//! `holdfast domain reports`, `holdfast reports`

use std::{sync::Arc, time::Duration};

use directory::DirectoryError;
use jiff::Timestamp;
use mailkit::address::readable_domain;
use reports::summary::{self, Own, Source, Summary, TlsFailure, tls_advice};

use crate::{cli::ReportsCommand, output::Output, running::Running, services::Services, told::counted};

/// `holdfast reports send`
pub async fn send(services: &Arc<Services>, command: ReportsCommand, output: &Output) -> anyhow::Result<()> {
    let ReportsCommand::Send { now } = command;
    services.check_whole()?;
    let made = services.daily_reports.run(now, Duration::ZERO).await.map_err(anyhow::Error::from_boxed)?;
    if output.json() {
        let object = serde_json::json!({
            "sent": made.sent, "filed": made.filed, "nowhere": made.nowhere, "later": made.later,
        });
        output.object(object).await;
        return Ok(());
    }
    output.line(format!("{} put into the queue", counted(made.sent, "report"))).await;
    if made.filed > 0 {
        output.line(format!("{} about domains here filed", counted(made.filed, "report"))).await;
    }
    if made.nowhere > 0 {
        let line = format!("{} got none: no address in the DMARC record wants it", counted(made.nowhere, "domain"));
        output.line(line).await;
    }
    if made.later > 0 {
        output.line(format!("{} wait: the DNS did not answer", counted(made.later, "domain"))).await;
    }
    Ok(())
}

/// What this service is, so that it is known among the sources.
fn own(running: &Running) -> Own {
    let service = running.checks.service();
    Own { hosts: service.names().map(ToOwned::to_owned).collect(), addresses: service.addresses.clone() }
}

/// `holdfast domain reports`
pub async fn show(running: &Arc<Running>, name: &str, days: u32, output: &Output) -> anyhow::Result<()> {
    let services = &running.services;
    let domain = services.directory.domain(name)?.ok_or_else(|| DirectoryError::NoSuchDomain(name.to_owned()))?;
    let (of, name, own) = (services.reports.clone(), domain.name.clone(), own(running));
    let added = tokio::task::spawn_blocking(move || {
        let kept = of.of_domain(&name, ::reports::KEPT_DAYS)?;
        Ok::<_, ::reports::ReportsError>(summary::of(&kept, ::reports::day_of(of.now_ms()), days, &own))
    });
    let summary = added.await??;
    if output.json() {
        output.object(object(&domain.name, days, &summary)).await;
    } else {
        print(&domain.name, days, &summary, output).await;
    }
    Ok(())
}

/// A day as `2026-01-31`.
fn date(day: u32) -> String {
    let at = Timestamp::from_second(i64::from(day) * 86_400).unwrap_or(Timestamp::UNIX_EPOCH);
    at.strftime("%Y-%m-%d").to_string()
}

fn object(domain: &str, days: u32, summary: &Summary) -> serde_json::Value {
    let reporters = summary.reporters.iter().map(|(name, count)| serde_json::json!({ "name": name, "reports": count }));
    let by_day = summary
        .days
        .iter()
        .map(|day| serde_json::json!({ "date": date(day.day), "passed": day.passed, "failed": day.failed }));
    let failure = |detail: &TlsFailure| {
        serde_json::json!({
            "reporter": detail.reporter, "kind": detail.kind, "host": detail.host, "count": detail.count,
            "text": detail.text, "remedy": tls_advice(&detail.kind),
        })
    };
    serde_json::json!({
        "domain": domain,
        "days": days,
        "reports": summary.reports,
        "unverified": summary.unverified,
        "reporters": reporters.collect::<Vec<_>>(),
        "policy": summary.policy,
        "messages": summary.messages,
        "passed": summary.passed,
        "unlisted": summary.unlisted,
        "by_day": by_day.collect::<Vec<_>>(),
        "sources": summary.sources.iter().map(source).collect::<Vec<_>>(),
        "tls": {
            "reports": summary.tls.reports,
            "successes": summary.tls.successes,
            "failures": summary.tls.failures,
            "details": summary.tls.details.iter().map(failure).collect::<Vec<_>>(),
        },
    })
}

fn source(one: &Source) -> serde_json::Value {
    serde_json::json!({
        "name": one.name,
        "own": one.own,
        "messages": one.messages,
        "passed": one.passed,
        "quarantined": one.quarantined,
        "refused": one.refused,
        "addresses": one.addresses,
        "address_count": one.address_count,
        "signers": one.signers,
        "advice": one.advice.code(),
        "remedy": one.advice.remedy(),
    })
}

async fn print(domain: &str, days: u32, summary: &Summary, output: &Output) {
    let from = if summary.reports == 1 { "1 report" } else { &format!("{} reports", summary.reports) };
    output.line(format!("Who sends in the name of {} (last {days} days, {from})", readable_domain(domain))).await;
    if summary.unverified > 0 {
        let line = format!("  {} not verified: left out", counted(summary.unverified, "report"));
        output.line(line).await;
    }
    if summary.messages == 0 {
        output.line("  no mail was reported").await;
    } else {
        output.line(format!("  {}, {} passed DMARC", counted(summary.messages, "message"), summary.passed)).await;
        output.line(format!("  {:<36} {:>9} {:>9} {:>9}  what it is", "sender", "messages", "passed", "failed")).await;
    }
    for one in &summary.sources {
        let failed = one.messages - one.passed;
        let line =
            format!("  {:<36} {:>9} {:>9} {failed:>9}  {}", one.name, one.messages, one.passed, one.advice.title());
        output.line(line).await;
        if one.advice.is_bad() {
            output.line(format!("    -> {}", one.advice.remedy())).await;
        }
    }
    let tls = &summary.tls;
    output
        .line(format!(
            "\nWho could not deliver safely (TLS): {} of {} connections failed",
            tls.failures,
            tls.failures + tls.successes
        ))
        .await;
    for detail in &tls.details {
        output.line(format!("  {:<24} {:>6}  {} {}", detail.reporter, detail.count, detail.kind, detail.host)).await;
        output.line(format!("    -> {}", tls_advice(&detail.kind))).await;
    }
}
