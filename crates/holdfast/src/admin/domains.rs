//! `holdfast domain …`

use std::sync::Arc;

use directory::MtaSts;
use domaincheck::{Item, Report, State, zone};
use mailkit::{address::readable_domain, dkim::split_txt};

use super::who::WHO;
use crate::{
    cli::{DomainCommand, StsMode, Switch},
    domains,
    failure::Code,
    output::Output,
    running::Running,
    told::{counted, moment},
};

/// Runs a command.
pub async fn run(running: &Arc<Running>, command: DomainCommand, output: &Output) -> anyhow::Result<()> {
    let directory = &running.services.directory;
    match command {
        DomainCommand::Add { name } => {
            let (domain, is_local) = directory.add_domain_as_operator(&name).await?;
            directory.audit(None, WHO, &format!("added the domain {}", readable_domain(&domain.name)), "").await?;
            if is_local {
                let warning = "warning: other servers can't deliver to a domain of this name";
                output.line(warning).await;
            }
            output.line(format!("added domain {}; set these DNS records:\n", domain.name)).await;
            print_records(running, &domain.name, output).await
        }
        DomainCommand::NewKeys { name, now } => new_keys(running, &name, now, output).await,
        DomainCommand::List => {
            for domain in directory.domains()? {
                if output.json() {
                    output.object(serde_json::json!({ "name": domain.name })).await;
                } else {
                    output.line(domain.name).await;
                }
            }
            Ok(())
        }
        DomainCommand::Remove { name } => {
            directory.remove_domain(&name).await?;
            let shown = readable_domain(&mailkit::address::normal_domain(&name)?);
            directory.audit(None, WHO, &format!("removed the domain {shown}"), "").await?;
            output.line(format!("removed domain {name}; remove its DNS records too")).await;
            Ok(())
        }
        DomainCommand::Reports { name, days } => super::reports::show(running, &name, days, output).await,
        DomainCommand::Show { name } => print_records(running, &name, output).await,
        DomainCommand::Check { name } => check(running, name, output).await,
        DomainCommand::Addressing { name, plus, subdomains } => {
            addressing(running, &name, (plus, subdomains), output).await
        }
        DomainCommand::MtaSts { name, mode } => {
            let mode = match mode {
                StsMode::Testing => MtaSts::Testing,
                StsMode::Enforce => MtaSts::Enforce,
                StsMode::None => MtaSts::None,
            };
            let domain = directory.set_mta_sts(&name, mode).await?;
            let what = format!("set MTA-STS of the domain {} to {}", readable_domain(&domain.name), mode.name());
            directory.audit(None, WHO, &what, "").await?;
            let record = domaincheck::Policy::of(&running.checks.service(), mode).record();
            output.line(format!("MTA-STS of {} is now {}; set this DNS record:\n", domain.name, mode.name())).await;
            output.line(format!("_mta-sts.{}. 3600 IN TXT {}", domain.name, split_txt(&record))).await;
            Ok(())
        }
    }
}

/// Which addresses with a detail a domain has; sets what is given.
async fn addressing(
    running: &Arc<Running>,
    name: &str,
    (plus, subdomains): (Option<Switch>, Option<Switch>),
    output: &Output,
) -> anyhow::Result<()> {
    let directory = &running.services.directory;
    let domain = directory.set_addressing(name, plus.map(Switch::is_on), subdomains.map(Switch::is_on)).await?;
    let word = |on: bool| if on { "on" } else { "off" };
    if plus.is_some() || subdomains.is_some() {
        let shown = readable_domain(&domain.name);
        let what = format!(
            "set addresses with a detail of the domain {shown}: plus {}, subdomains {}",
            word(domain.plus),
            word(domain.subdomains)
        );
        directory.audit(None, WHO, &what, "").await?;
    }
    if output.json() {
        let object = serde_json::json!({ "name": domain.name, "plus": domain.plus, "subdomains": domain.subdomains });
        output.object(object).await;
        return Ok(());
    }
    output.line(format!("user+detail@{}  {}", domain.name, word(domain.plus))).await;
    output.line(format!("detail@user.{}  {}", domain.name, word(domain.subdomains))).await;
    Ok(())
}

async fn new_keys(running: &Arc<Running>, name: &str, now: bool, output: &Output) -> anyhow::Result<()> {
    let directory = &running.services.directory;
    // Keys that can't be opened sign nothing: there is nothing to wait for.
    let usable = directory.domain(name)?.is_none_or(|domain| domain.dkim.iter().any(|key| key.signing().is_ok()));
    let at_once = now || !usable;
    let domain = if at_once { directory.renew_dkim(name).await? } else { directory.prepare_dkim(name).await? };
    let what = format!("made new DKIM keys for the domain {}", readable_domain(&domain.name));
    directory.audit(None, WHO, &what, "").await?;
    let then = if at_once {
        "mail is signed with them at once, so set their DNS records now; remove the old ones a week later"
    } else {
        "set their DNS records; mail is signed with them as soon as the records are seen, and with the present keys until then"
    };
    output.line(format!("made new DKIM keys for {}: {then}\n", domain.name)).await;
    print_records(running, &domain.name, output).await
}

async fn print_records(running: &Running, name: &str, output: &Output) -> anyhow::Result<()> {
    let wanted = running.checks.wanted(name)?;
    if !output.json() {
        output.line(zone(&wanted).trim_end()).await;
        return Ok(());
    }
    for record in wanted {
        for value in record.values() {
            let object = serde_json::json!({
                "name": record.name,
                "type": record.kind,
                "value": value,
                "purpose": record.purpose,
                "need": record.need,
            });
            output.object(object).await;
        }
    }
    Ok(())
}

/// Checks one domain or all. An error if something is wrong, or could not be checked.
async fn check(running: &Running, name: Option<String>, output: &Output) -> anyhow::Result<()> {
    let directory = &running.services.directory;
    let names = match name {
        Some(name) => vec![name],
        None => directory.domains()?.into_iter().map(|domain| domain.name).collect(),
    };
    let (mut problems, mut unanswered) = (0, 0);
    for name in names {
        let report = domains::check(&running.services, &running.checks, &name).await?;
        problems += report.count(State::Problem);
        unanswered += report.count(State::Unanswered);
        if output.json() {
            output.object(object(&report)).await;
        } else {
            print_report(&report, output).await;
        }
    }
    match (problems, unanswered) {
        (0, 0) => Ok(()),
        (0, silent) => {
            let text = format!("{} could not be checked: the DNS did not answer", counted(silent as u64, "record"));
            Err(Code::DnsUnanswered.error(text))
        }
        (wrong, _) => Err(Code::DomainProblems.error(counted(wrong as u64, "problem"))),
    }
}

/// A report for programs.
fn object(report: &Report) -> serde_json::Value {
    let items = report.items.iter().map(|item| {
        let mut object = serde_json::to_value(item).unwrap_or_default();
        object["state"] = serde_json::to_value(item.state()).unwrap_or_default();
        object
    });
    serde_json::json!({
        "domain": report.domain,
        "checked_ms": report.checked_ms,
        "state": report.state(),
        "items": items.collect::<Vec<_>>(),
    })
}

async fn print_report(report: &Report, output: &Output) {
    output.line(format!("{} (checked {})", readable_domain(&report.domain), moment(report.checked_ms))).await;
    for item in &report.items {
        output.line(format!("  {:<10} {:<16} {}", item.state().word(), item.title, item.name)).await;
        for fault in &item.faults {
            output.line(format!("             {} [{}]", fault.says, fault.code)).await;
            output.line(format!("             -> {}", fault.remedy)).await;
        }
        if item.state() > State::Ok {
            print_values(item, output).await;
        }
    }
    output.line("").await;
}

async fn print_values(item: &Item, output: &Output) {
    for found in &item.found {
        output.line(format!("             found:  {found}")).await;
    }
    if item.wanted == item.found || item.state() == State::Unanswered {
        return;
    }
    for wanted in &item.wanted {
        let value = if item.kind == "TXT" { split_txt(wanted) } else { wanted.clone() };
        output.line(format!("             wanted: {}. {} {value}", item.name, item.kind)).await;
    }
}
