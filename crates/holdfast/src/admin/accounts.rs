//! `holdfast account …`

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail, ensure};
use directory::{Account, NewAccount, Role};
use mailkit::EmailAddress;
use mailstore::{MailError, StoreError};

use super::Output;
use crate::{
    cli::{AccountCommand, AdminCommand, PasswordArgs},
    config::ByteSize,
    services::Services,
};

/// Who the audit trail says it was.
pub(super) const WHO: &str = "command line";

/// The account with a login, once its data are there (see [`directory::Directory::restored`]).
pub(super) async fn find(services: &Services, address: &str) -> anyhow::Result<Account> {
    let parsed = EmailAddress::parse(address).with_context(|| address.to_owned())?;
    let account = services
        .directory
        .account_by_address(&parsed)?
        .with_context(|| format!("there is no account {address}; `holdfast account list` shows those there are"))?;
    services.directory.restored(account.id).await?;
    Ok(account)
}

/// Runs a command.
pub async fn run(services: &Services, command: AccountCommand, output: &Output) -> anyhow::Result<()> {
    let directory = &services.directory;
    let (who, done) = match command {
        AccountCommand::Add { address, name, admin, quota, password } => {
            let quota_bytes = quota.unwrap_or(services.config.limits.default_quota).0;
            let role = if admin { Role::Admin } else { Role::User };
            let parsed = EmailAddress::parse(&address).with_context(|| address.clone())?;
            let new = NewAccount { address: parsed, name, password: password.password, role, quota_bytes };
            let id = directory.create_account(new).await?;
            output.line(format!("account {address} is there")).await;
            (Some(id), "account made".to_owned())
        }
        AccountCommand::List { json } => {
            for account in directory.accounts()? {
                output.line(listed(services, &account, json)?).await;
            }
            return Ok(());
        }
        AccountCommand::Passwd { address, password } => {
            let account = find(services, &address).await?;
            directory.set_password(account.id, &password.password).await?;
            output.line(format!("{address} has a new password; its web sessions have ended")).await;
            (Some(account.id), "password set".to_owned())
        }
        AccountCommand::Disable { address } => {
            let account = find(services, &address).await?;
            directory.set_enabled(account.id, false).await?;
            output.line(format!("{address} can't log in any more; mail still comes in")).await;
            (Some(account.id), "disabled".to_owned())
        }
        AccountCommand::Enable { address } => {
            let account = find(services, &address).await?;
            directory.set_enabled(account.id, true).await?;
            output.line(format!("{address} can log in again")).await;
            (Some(account.id), "enabled".to_owned())
        }
        AccountCommand::Delete { address, .. } => {
            let account = find(services, &address).await?;
            directory.delete_account(account.id).await?;
            let days = services.config.store.retention;
            output.line(format!("{address} is deleted; its mail is cleared away after {days}")).await;
            (None, format!("account {address} deleted"))
        }
        AccountCommand::Alias { address, alias, remove } => {
            let account = find(services, &address).await?;
            if remove {
                directory.remove_alias(account.id, &alias).await?;
                output.line(format!("{alias} does not lead to {address} any more")).await;
                (Some(account.id), format!("address {alias} removed"))
            } else {
                directory.add_alias(account.id, &alias).await?;
                output.line(format!("{alias} leads to {address}")).await;
                (Some(account.id), format!("address {alias} added"))
            }
        }
    };
    directory.audit(who, WHO, &done, "").await?;
    Ok(())
}

fn listed(services: &Services, account: &Account, json: bool) -> anyhow::Result<String> {
    let quota = match services.mailstore.quota(account.id.realm()) {
        Ok(quota) => Some(quota),
        Err(MailError::Store(StoreError::NotRestored { .. })) => None,
        Err(error) => return Err(error.into()),
    };
    let admin = account.role == Role::Admin;
    if json {
        return Ok(serde_json::json!({
            "address": account.address.to_string(),
            "name": account.name,
            "admin": admin,
            "enabled": account.enabled,
            "messages": quota.map(|quota| quota.messages),
            "used_bytes": quota.map(|quota| quota.used_bytes),
            "quota_bytes": quota.and_then(|quota| quota.limit_bytes),
        })
        .to_string());
    }
    let address = account.address.to_string();
    let mut line = match quota {
        Some(quota) => {
            let limit = quota.limit_bytes.map_or_else(|| "unlimited".to_owned(), |bytes| ByteSize(bytes).to_string());
            format!("{address:<40} {:>8} messages {:>12} bytes of {limit}", quota.messages, quota.used_bytes)
        }
        None => format!("{address:<40} still being restored"),
    };
    if admin {
        line.push_str("  administrator");
    }
    if !account.enabled {
        line.push_str("  disabled");
    }
    Ok(line)
}

/// Asks for what a command still needs, at the terminal of the person who typed it.
pub fn complete(command: &mut AdminCommand) -> anyhow::Result<()> {
    match command {
        AdminCommand::Account(
            AccountCommand::Add { address, password, .. } | AccountCommand::Passwd { address, password },
        ) => ask_password(address, password),
        AdminCommand::Account(AccountCommand::Delete { address, yes: false }) => {
            ensure!(std::io::stdin().is_terminal(), "deleting an account needs --yes where nobody can be asked");
            eprint!("Delete {address}? Type the address again: ");
            std::io::stderr().flush()?;
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer)?;
            ensure!(answer.trim() == address, "not deleted");
            Ok(())
        }
        _ => Ok(()),
    }
}

fn ask_password(address: &str, args: &mut PasswordArgs) -> anyhow::Result<()> {
    if args.generate {
        let random: [u8; 10] = rand::random();
        args.password = random.iter().map(|byte| format!("{byte:02x}")).collect();
        println!("password of {address}: {}", args.password);
    } else if args.password_stdin || !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).clone_into(&mut args.password);
    } else {
        let first = rpassword::prompt_password(format!("Password for {address}: "))?;
        if rpassword::prompt_password("Again: ")? != first {
            bail!("the two were not the same");
        }
        args.password = first;
    }
    directory::check_password(&args.password)?;
    Ok(())
}
