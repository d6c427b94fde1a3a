//! `holdfast domain …`

use mailkit::address::readable_domain;

use super::accounts::WHO;
use crate::{cli::DomainCommand, output::Output, services::Services};

/// Runs a command.
pub async fn run(services: &Services, command: DomainCommand, output: &Output) -> anyhow::Result<()> {
    let directory = &services.directory;
    match command {
        DomainCommand::Add { name } => {
            let (domain, is_local) = directory.add_domain_as_operator(&name).await?;
            directory.audit(None, WHO, &format!("added the domain {}", readable_domain(&domain.name)), "").await?;
            if is_local {
                let warning = "warning: other servers can't deliver to a domain of this name";
                output.line(warning).await;
            }
            output.line(format!("added domain {}; set these DNS records:\n", domain.name)).await;
            print_records(services, &domain.name, false, output).await
        }
        DomainCommand::NewKeys { name } => {
            let domain = directory.renew_dkim(&name).await?;
            let what = format!("made new DKIM keys for the domain {}", readable_domain(&domain.name));
            directory.audit(None, WHO, &what, "").await?;
            output
                .line(format!(
                    "made new DKIM keys for {}; set their DNS records now, and remove the old ones a week later:\n",
                    domain.name
                ))
                .await;
            print_records(services, &domain.name, false, output).await
        }
        DomainCommand::List { json } => {
            for domain in directory.domains()? {
                let object = || serde_json::json!({ "name": domain.name }).to_string();
                output.line(if json { object() } else { domain.name }).await;
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
        DomainCommand::Show { name, json } => print_records(services, &name, json, output).await,
    }
}

async fn print_records(services: &Services, name: &str, json: bool, output: &Output) -> anyhow::Result<()> {
    for record in services.directory.dns_records(name)? {
        if json {
            let object = serde_json::json!({
                "name": record.name,
                "type": record.kind,
                "value": record.value,
                "purpose": record.purpose,
            });
            output.line(object.to_string()).await;
            continue;
        }
        output.line(format!("; {}\n{}. {} {}", record.purpose, record.name, record.kind, record.value)).await;
    }
    Ok(())
}
