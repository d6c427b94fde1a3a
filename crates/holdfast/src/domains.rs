//! The hosted domains in the DNS: regular checks, new DKIM keys on schedule, and the alarms.

use std::{sync::Arc, time::Duration};

use directory::{DirectoryError, DkimKey, DkimState, Domain};
use domaincheck::{Checks, DKIM_VANISHED, State};
use mailkit::address::readable_domain;
use tokio_util::sync::CancellationToken;

use crate::{alarm::Alarm, running::Running, services::Services, tell};

/// The actor in the audit trail.
const WHO: &str = "service";
/// From the start of the service to the first check.
const AFTER_START: Duration = Duration::from_secs(60);
/// Between two domains, so that the resolver has time for mail.
const BETWEEN: Duration = Duration::from_secs(1);

/// Checks all domains regularly, and makes new DKIM keys when the present ones are old enough.
pub async fn serve(running: Arc<Running>, stop: CancellationToken) -> anyhow::Result<()> {
    let every = running.services.config.domains.check_every.0;
    if every.is_zero() {
        stop.cancelled().await;
        return Ok(());
    }
    let mut wait = AFTER_START.min(every);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(wait) => {}
        }
        wait = every.mul_f64(0.9 + 0.2 * rand::random::<f64>());
        if running.services.store.is_partial() {
            continue;
        }
        let directory = running.services.directory.clone();
        let domains = tokio::task::spawn_blocking(move || directory.domains()).await??;
        for domain in domains {
            let checked = async {
                rotate(&running.services, &domain).await?;
                check(&running.services, &running.checks, &domain.name).await?;
                anyhow::Ok(())
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                outcome = checked => if let Err(error) = outcome {
                    tracing::warn!(domain = domain.name, error = format!("{error:#}"), "could not check the domain's records");
                }
            }
            tokio::time::sleep(BETWEEN).await;
        }
    }
}

/// Checks one domain; notes when mail begins to be signed with a new key.
pub async fn check(
    services: &Services,
    checks: &Checks,
    name: &str,
) -> Result<Arc<domaincheck::Report>, DirectoryError> {
    let (report, began) = checks.check(name).await?;
    for selector in began {
        let what = format!(
            "mail of the domain {} is now signed with the DKIM key {selector}",
            readable_domain(&report.domain)
        );
        tracing::info!(domain = report.domain, selector, "signing with a new DKIM key");
        services.directory.audit(None, WHO, &what, "").await?;
    }
    Ok(report)
}

/// Makes new keys for a domain whose keys are old, and tells the administrators which records to set.
async fn rotate(services: &Arc<Services>, domain: &Domain) -> anyhow::Result<()> {
    let Ok(age_ms) = i64::try_from(services.config.domains.new_dkim_keys_every.0.as_millis()) else { return Ok(()) };
    if age_ms == 0 || !is_due(domain, services.store.clock().now_ms(), age_ms) {
        return Ok(());
    }
    let made = match services.directory.prepare_dkim(&domain.name).await {
        Err(DirectoryError::NoSecretsKey(_)) => return Ok(()),
        made => made?,
    };
    let shown = readable_domain(&domain.name);
    services.directory.audit(None, WHO, &format!("made new DKIM keys for the domain {shown}"), "").await?;
    let waiting = made.all_dkim.iter().filter(|key| key.state() == DkimState::Waiting);
    let records: Vec<String> = waiting
        .clone()
        .map(|key| format!("{}. TXT {}", key.dns_name(&domain.name), mailkit::dkim::split_txt(&key.dns_record())))
        .collect();
    let text = format!(
        "The DKIM keys of {shown} are old, so new ones were made. Add these DNS records:\n\n{}\n\nMail is signed with the \
         present keys until the new records are seen, and with the new ones from then on. Leave the old records for another \
         week; the domain's page then says that they can go.\n",
        records.join("\n")
    );
    let key = format!("dkim/{}/{}", domain.name, waiting.map(DkimKey::selector).collect::<Vec<_>>().join("+"));
    tell::administrators(services, &key, &format!("New DKIM keys for {}", domain.name), &text).await?;
    Ok(())
}

/// Whether a domain's keys are to be replaced: the newest is so old, and none waits for its record.
fn is_due(domain: &Domain, now_ms: i64, age_ms: i64) -> bool {
    let waits = domain.all_dkim.iter().any(|key| key.state() == DkimState::Waiting);
    let newest = domain.all_dkim.iter().map(|key| key.created_ms().unwrap_or(domain.created_ms)).max();
    !waits && newest.is_some_and(|newest| now_ms.saturating_sub(newest) >= age_ms)
}

/// Alarms of the last checks: a signature that nobody can verify is worse than none.
pub fn alarms(running: &Running) -> Vec<Alarm> {
    let reports = running.checks.all();
    let lost = reports.iter().filter_map(|report| {
        let gone = report.items.iter().filter(|item| item.faults.iter().any(|fault| fault.code == DKIM_VANISHED));
        let names: Vec<&str> = gone.map(|item| item.name.as_str()).collect();
        (!names.is_empty()).then(|| (report.domain.clone(), names.join("\n")))
    });
    lost.map(|(domain, names)| Alarm {
        key: format!("dkim/{domain}"),
        line: format!(
            "Domain {}: the DNS no longer has the DKIM key that its mail is signed with",
            readable_domain(&domain)
        ),
        more: names,
        subject: format!("Holdfast alarm: the DKIM record of {domain} is gone"),
        look: "Run `holdfast domain check`, and add the records that it names. See `holdfast help dns`.",
    })
    .collect()
}

/// How many domains have problems, of those that were checked, for the metrics.
pub fn measure(checks: &Checks) {
    let reports = checks.all();
    let bad = reports.iter().filter(|report| report.state() == State::Problem).count();
    metrics::gauge!("holdfast_domains_with_problems").set(bad as f64);
}
