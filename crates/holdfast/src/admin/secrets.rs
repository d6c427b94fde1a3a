//! `holdfast secrets …`

use std::{collections::BTreeMap, path::Path, sync::Arc};

use anyhow::ensure;
use directory::{KeyId, Keys, SecretsReport};
use store::Store;

use super::{Output, who::WHO};
use crate::{
    cli::SecretsCommand,
    secrets::{self, OLD_COPIES, described},
    services::Services,
    told::counted,
};

/// Adds a key to a key file and says what to do with it.
pub fn new_secrets_key(file: &Path) -> anyhow::Result<()> {
    let (id, others) = secrets::new_key(file)?;
    let shown = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let shown = shown.display();
    if others == 0 {
        println!("wrote key {id} to {shown}");
        println!(
            "keep a copy apart from the data folder and its backups: without it nothing that is sealed can be opened"
        );
        println!("the service's user must be able to read the file, for example: chown holdfast {shown}");
        println!("add this to the configuration, then restart the service:\n\n[secrets]\nkey_file = \"{shown}\"");
    } else {
        println!("wrote key {id} to {shown}, before {}", counted(others as u64, "older key"));
        println!("keep a copy, and give every standby the same file; then run: holdfast secrets seal");
        println!("remove an older key once `holdfast secrets status` shows nothing under it and no backup needs it");
    }
    Ok(())
}

/// Runs a command.
pub async fn run(services: &Arc<Services>, command: SecretsCommand, output: &Output) -> anyhow::Result<()> {
    match command {
        SecretsCommand::NewKey { file } => new_secrets_key(&file),
        SecretsCommand::Status => {
            let found = secrets::look(services).await?;
            told(&services.directory.keys(), &services.store, &found, output).await
        }
        SecretsCommand::Seal => {
            secrets::reload(services).await?;
            let done = services.directory.seal_secrets().await?;
            secrets::keep(services, &done.now);
            if done.changed > 0 {
                let key = services.directory.keys().ids()[0];
                let what = format!("sealed {} under key {key}", counted(done.changed, "secret"));
                services.directory.audit(None, WHO, &what, "").await?;
                output.line(what).await;
                output.line(format!("note: {OLD_COPIES}")).await;
                output
                    .line(
                        "for what must be safe from older copies too, make new secrets: `holdfast domain new-keys` for DKIM, set \
                         two-step sign-in up again, change passwords; see `holdfast help operate secrets key`",
                    )
                    .await;
            } else {
                output.line("everything that can be opened is sealed under the first key: nothing to do").await;
            }
            show(&done.now, output).await;
            complain(&done.now)
        }
        SecretsCommand::Unseal => {
            secrets::reload(services).await?;
            let done = services.directory.unseal_secrets().await?;
            secrets::keep(services, &done.now);
            let what = format!("stored {} open", counted(done.changed, "secret"));
            services.directory.audit(None, WHO, &what, "").await?;
            output.line(what).await;
            output.line("now remove secrets.key_file from the configuration and restart the service: while there is a key, a start seals everything again").await;
            complain(&done.now)
        }
    }
}

/// How the secrets of a store are.
///
/// # Errors
/// Also when some can't be opened, so that scripts notice.
pub async fn told(keys: &Keys, store: &Store, found: &SecretsReport, output: &Output) -> anyhow::Result<()> {
    let wrong = secrets::wrong(keys, store);
    if output.json() {
        let object = serde_json::json!({
            "keys": keys.ids().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "configured": !matches!(keys, Keys::None),
            "problem": wrong,
            "open": found.open,
            "sealed": by_key(&found.sealed),
            "missing": by_key(&found.missing),
            "missing_secrets": found.missing_named,
            "broken": found.broken,
            "broken_secrets": found.broken_named,
            "unread_accounts": found.unread,
        });
        output.object(object).await;
    } else {
        output.line(format!("secrets: {}", described(keys, Some(found)))).await;
        for (number, key) in keys.ids().iter().enumerate() {
            output.line(format!("key {key}{}", if number == 0 { ": seals" } else { ": opens only" })).await;
        }
        if let Some(wrong) = &wrong {
            output.line(format!("ALARM: {wrong}")).await;
        }
        show(found, output).await;
    }
    complain(found)?;
    ensure!(wrong.is_none(), "the keys are not as they should be");
    Ok(())
}

fn by_key(all: &BTreeMap<KeyId, u64>) -> BTreeMap<String, u64> {
    all.iter().map(|(key, count)| (key.to_string(), *count)).collect()
}

/// What was found, line by line.
async fn show(found: &SecretsReport, output: &Output) {
    for (key, count) in &found.sealed {
        output.line(format!("{} sealed under key {key}", counted(*count, "secret"))).await;
    }
    if found.open > 0 {
        output.line(format!("{} stored open", counted(found.open, "secret"))).await;
    }
    for (key, count) in &found.missing {
        output.line(format!("MISSING: key {key}: {} can't be opened", counted(*count, "secret"))).await;
    }
    for what in &found.missing_named {
        output.line(format!("  {what}")).await;
    }
    for what in &found.broken_named {
        output.line(format!("DAMAGED: {what}")).await;
    }
    if found.unread > 0 {
        output.line(format!("{} could not be read yet", counted(found.unread, "account"))).await;
    }
}

fn complain(found: &SecretsReport) -> anyhow::Result<()> {
    ensure!(found.closed() == 0, "{} can't be opened", counted(found.closed(), "secret"));
    Ok(())
}
