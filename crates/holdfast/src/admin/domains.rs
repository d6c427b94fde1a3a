//! `holdfast domain …`

use super::{Output, accounts::WHO};
use crate::{cli::DomainCommand, services::Services};

/// Runs a command.
pub async fn run(services: &Services, command: DomainCommand, output: &Output) -> anyhow::Result<()> {
    let directory = &services.directory;
    match command {
        DomainCommand::Add { name } => {
            let domain = directory.add_domain(&name).await?;
            directory.audit(None, WHO, &format!("domain {} added", domain.name), "").await?;
            output.line(format!("added domain {}; set these DNS records:\n", domain.name)).await;
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
            directory.audit(None, WHO, &format!("domain {name} removed"), "").await?;
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
