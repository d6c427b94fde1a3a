//! `holdfast certificate …`

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use certificates::{Certificates, Shown, Trouble};

use super::{Output, who::WHO};
use crate::{
    certifying,
    cli::CertificateCommand,
    running::Running,
    told::{ago, counted, moment},
};

/// What is said where nothing is configured.
const OFF: &str = "certificates are not obtained from an authority: add acme = true to [tls], then restart the service; see \
                   `holdfast help certificates`";

/// Runs a command.
pub async fn run(running: &Arc<Running>, command: CertificateCommand, output: &Output) -> anyhow::Result<()> {
    let certificates = running.certificates.get();
    match command {
        CertificateCommand::List => {
            let opened = certificates.cloned().map_or_else(|| of_folder(running), |open| Ok(Some(open)))?;
            let certificates = opened.context(OFF)?;
            list(&certificates.list(), output).await
        }
        CertificateCommand::Renew { name } => {
            ensure!(running.services.config.tls.acme.settings.is_some(), "{OFF}");
            let certificates =
                certificates.context("the service is not running: it obtains certificates when it starts")?;
            let outcomes = certificates.renew(name.as_deref()).await?;
            running
                .services
                .directory
                .audit(None, WHO, "renewed certificates", name.as_deref().unwrap_or("all"))
                .await?;
            told(outcomes, output).await
        }
        CertificateCommand::Check => {
            let opened = certificates.cloned().map_or_else(|| of_folder(running), |open| Ok(Some(open)))?;
            let certificates = opened.context(OFF)?;
            check(running, &certificates, output).await
        }
    }
}

/// The certificates in a folder that nobody serves.
fn of_folder(running: &Running) -> anyhow::Result<Option<Certificates>> {
    let tls = certifying::own(&running.services.config)?;
    certifying::open(&running.services, &tls)
}

async fn list(all: &[Shown], output: &Output) -> anyhow::Result<()> {
    let now_ms = jiff::Timestamp::now().as_millisecond();
    if output.json() {
        let all: Vec<_> = all.iter().map(object).collect();
        output.object(serde_json::json!({ "certificates": all })).await;
    } else {
        if all.is_empty() {
            let nothing = "no name to obtain a certificate for: set hostname to the public name of this server";
            output.line(nothing).await;
        }
        for one in all {
            for line in lines(one, now_ms) {
                output.line(line).await;
            }
        }
    }
    let alarms = all.iter().filter(|one| one.alarm.is_some()).count();
    ensure!(
        alarms == 0,
        "{} attention",
        if alarms == 1 { "1 certificate needs".to_owned() } else { format!("{alarms} certificates need") }
    );
    Ok(())
}

fn object(one: &Shown) -> serde_json::Value {
    serde_json::json!({
        "group": one.group,
        "names": one.names.iter().map(|name| serde_json::json!({
            "name": name.name, "covered": name.covered, "problem": name.problem,
        })).collect::<Vec<_>>(),
        "issuer": one.issuer,
        "expires_ms": one.not_after_ms,
        "renew_ms": one.renew_ms,
        "next_try_ms": one.next_ms,
        "failing_since_ms": one.failing_since_ms,
        "last_error": one.last_error,
        "alarm": one.alarm,
    })
}

/// A certificate in a line, and what is odd about it in more.
pub fn lines(one: &Shown, now_ms: i64) -> Vec<String> {
    let covered: Vec<&str> = one.names.iter().filter(|name| name.covered).map(|name| name.name.as_str()).collect();
    let in_time = |at: i64| ago(Duration::from_millis(u64::try_from(at - now_ms).unwrap_or(0)));
    let mut all = match (&one.issuer, one.days_left(now_ms)) {
        (Some(issuer), Some(days)) => {
            let left =
                if days < 0 { "expired".to_owned() } else { format!("{} left", counted(days.unsigned_abs(), "day")) };
            let renewed = one.renew_ms.map_or_else(String::new, |at| format!(", renewed from {}", moment(at)));
            vec![format!("{}: {}, by {issuer}, {left}{renewed}", one.group, covered.join(", "))]
        }
        _ if one.is_wanted() => vec![format!("{}: no certificate yet", one.group)],
        _ => vec![format!("{}: no name of it leads to this service", one.group)],
    };
    for name in one.names.iter().filter(|name| !name.covered || name.problem.is_some()) {
        if let Some(problem) = &name.problem {
            all.push(format!("  {}: {problem}", name.name));
        }
    }
    if let Some(why) = &one.last_error {
        all.push(format!("  the last try failed: {why}"));
        all.extend(one.next_ms.map(|at| format!("  next try in {}", in_time(at))));
    }
    all.extend(one.alarm.iter().map(|alarm| format!("  ALARM: {alarm}")));
    all
}

async fn told(outcomes: Vec<(String, Result<(), Trouble>)>, output: &Output) -> anyhow::Result<()> {
    let mut failed = 0;
    for (group, outcome) in outcomes {
        match outcome {
            Ok(()) => output.line(format!("{group}: obtained a new certificate")).await,
            Err(trouble) => {
                failed += 1;
                let when = match &trouble {
                    Trouble::Hold { until_ms, .. } => format!("; it will take orders again from {}", moment(*until_ms)),
                    _ => String::new(),
                };
                output.line(format!("{group}: FAILED: {trouble}{when}")).await;
            }
        }
    }
    ensure!(failed == 0, "not obtained: {}", counted(failed, "certificate"));
    Ok(())
}

async fn check(running: &Running, certificates: &Certificates, output: &Output) -> anyhow::Result<()> {
    let own = certifying::own_names(&running.services.config);
    let mut wrong = 0;
    for (name, problem) in certificates.check().await? {
        let is_own = own.iter().any(|other| other.eq_ignore_ascii_case(&name));
        match problem {
            None => output.line(format!("{name}: leads to this service")).await,
            Some(why) => {
                wrong += u64::from(is_own);
                let note = if is_own { "" } else { " (optional: no certificate is obtained for it)" };
                output.line(format!("{name}: {why}{note}")).await;
            }
        }
    }
    if wrong > 0 {
        bail!(
            "{} of the service {} not lead here: correct the DNS",
            counted(wrong, "name"),
            if wrong == 1 { "does" } else { "do" }
        );
    }
    Ok(())
}
