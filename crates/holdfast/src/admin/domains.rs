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
            output.line(format!("domain {} is there; set these DNS records:\n", domain.name)).await;
            print_records(services, &domain.name, output).await
        }
        DomainCommand::List => {
            for domain in directory.domains()? {
                output.line(domain.name).await;
            }
            Ok(())
        }
        DomainCommand::Show { name } => print_records(services, &name, output).await,
    }
}

async fn print_records(services: &Services, name: &str, output: &Output) -> anyhow::Result<()> {
    for record in services.directory.dns_records(name)? {
        output.line(format!("; {}\n{}. {} {}", record.purpose, record.name, record.kind, record.value)).await;
    }
    Ok(())
}
