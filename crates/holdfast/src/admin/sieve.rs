//! `holdfast sieve`.

use std::path::Path;

use anyhow::{Context as _, ensure};
use rules::RulesError;
use sieve::limits::MAX_SCRIPT_BYTES;

use super::who::find;
use crate::{cli::SieveCommand, failure::Code, output::Output, services::Services};

/// Runs the command.
pub async fn run(services: &Services, command: SieveCommand, output: &Output) -> anyhow::Result<()> {
    let rules = &services.rules;
    match command {
        SieveCommand::List { address } => list(services, &address, output).await,
        SieveCommand::Get { address, name } => {
            let account = find(services, &address).await?.id.realm();
            let text = rules.get(account, &name).map_err(told)?;
            if output.json() {
                output.object(serde_json::json!({ "name": name, "script": text })).await;
            } else {
                for line in text.lines() {
                    output.line(line.to_owned()).await;
                }
            }
            Ok(())
        }
        SieveCommand::Put { address, name, file } => {
            let account = find(services, &address).await?.id.realm();
            rules.put(account, &name, &read(&file)?).await.map_err(told)?;
            output.line(format!("script kept: {name}")).await;
            Ok(())
        }
        SieveCommand::Activate { address, name, .. } => {
            let account = find(services, &address).await?.id.realm();
            rules.activate(account, name.as_deref()).await.map_err(told)?;
            output.line(name.map_or_else(|| "no script is active".to_owned(), |name| format!("active: {name}"))).await;
            Ok(())
        }
        SieveCommand::Delete { address, name } => {
            let account = find(services, &address).await?.id.realm();
            rules.delete(account, &name).await.map_err(told)?;
            output.line(format!("script deleted: {name}")).await;
            Ok(())
        }
        SieveCommand::Rename { address, name, to } => {
            let account = find(services, &address).await?.id.realm();
            rules.rename(account, &name, &to).await.map_err(told)?;
            output.line(format!("script renamed: {to}")).await;
            Ok(())
        }
        SieveCommand::Check { address, file } => {
            find(services, &address).await?;
            check(&file, output).await
        }
    }
}

fn told(error: RulesError) -> anyhow::Error {
    match error {
        RulesError::NoSuchScript(_) => Code::NotFound.error(error.to_string()),
        error => error.into(),
    }
}

async fn list(services: &Services, address: &str, output: &Output) -> anyhow::Result<()> {
    let account = find(services, address).await?.id.realm();
    let scripts = services.rules.list(account)?;
    if output.json() {
        let scripts = scripts.iter().map(|script| {
            serde_json::json!({
                "name": script.name, "bytes": script.bytes, "active": script.active, "changed_ms": script.changed_ms,
                "version": script.version,
            })
        });
        output.object(serde_json::json!({ "scripts": scripts.collect::<Vec<_>>() })).await;
        return Ok(());
    }
    for script in scripts {
        let active = if script.active { "  active" } else { "" };
        output.line(format!("{}  {} bytes{active}", script.name, script.bytes)).await;
    }
    Ok(())
}

async fn check(file: &Path, output: &Output) -> anyhow::Result<()> {
    let problems = rules::check(&read(file)?).err().map(|problems| problems.0).unwrap_or_default();
    if output.json() {
        let told = problems.iter().map(
            |problem| serde_json::json!({ "line": problem.at.line, "column": problem.at.column, "text": problem.text }),
        );
        output.object(serde_json::json!({ "errors": told.collect::<Vec<_>>() })).await;
    } else {
        for problem in &problems {
            output.line(format!("{}: {problem}", file.display())).await;
        }
    }
    ensure!(problems.is_empty(), "the script has errors: {}", problems.len());
    output.line("the script is right".to_owned()).await;
    Ok(())
}

fn read(file: &Path) -> anyhow::Result<String> {
    let length = std::fs::metadata(file).with_context(|| file.display().to_string())?.len();
    ensure!(length <= MAX_SCRIPT_BYTES as u64, "{}: larger than {MAX_SCRIPT_BYTES} bytes", file.display());
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}
