//! `holdfast account …`

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::{Context as _, bail, ensure};
use delivery::AccessChange;
use directory::{Account, AccountId, NewAccount, Role, Service};
use mailkit::EmailAddress;
use mailstore::MailError;
use store::StoreError;

use super::sending;
use super::who::{WHO, find};
use crate::{
    cli::{AccountCommand, AccountRole, AdminCommand, PasswordArgs, SetArgs},
    found::Found,
    output::Output,
    services::Services,
    told::moment,
};

/// Runs a command.
pub async fn run(services: &Services, command: AccountCommand, output: &Output) -> anyhow::Result<()> {
    let directory = &services.directory;
    let (account, done) = match command {
        AccountCommand::Add { address, name, admin, quota, password } => {
            let role = if admin { Role::Admin } else { Role::User };
            let quota_bytes = quota.unwrap_or(services.config.limits.default_quota).0;
            let parsed = EmailAddress::parse(&address).with_context(|| address.clone())?;
            let new = NewAccount { address: parsed, name, password: password.password.clone(), role, quota_bytes };
            add(services, &address, new, &password, output).await?
        }
        AccountCommand::List => {
            for account in directory.accounts()? {
                list(services, &account, output).await?;
            }
            return Ok(());
        }
        AccountCommand::Show { address } => {
            let account = find(services, &address).await?;
            return shown(services, &account, output).await;
        }
        AccountCommand::SignIns { address } => {
            let account = find(services, &address).await?;
            return super::sign_ins::listed(services, &account, output).await;
        }
        AccountCommand::Check { address, mend, message } => {
            let account = find(services, &address).await?;
            return super::account_check::run(services, &account, (mend, message), output).await;
        }
        AccountCommand::Set(args) => return set(services, args, output).await,
        AccountCommand::Passwd { address, must_change, password } => {
            set_password(services, &address, (&password, must_change), output).await?
        }
        AccountCommand::Disable { address } => {
            let account = find(services, &address).await?;
            directory.set_enabled(account.id, false).await?;
            output.line(format!("disabled {address}: it can't log in; mail still arrives")).await;
            (Some(account.id), "disabled the account".to_owned())
        }
        AccountCommand::Enable { address } => {
            let account = find(services, &address).await?;
            directory.set_enabled(account.id, true).await?;
            output.line(format!("enabled {address}: it can log in again")).await;
            (Some(account.id), "enabled the account".to_owned())
        }
        AccountCommand::Delete { address, .. } => {
            let account = find(services, &address).await?;
            directory.delete_account(account.id).await?;
            let days = services.config.store.retention;
            output.line(format!("deleted {address}; its mail can be restored for {days}")).await;
            directory.audit_deleted(account.id, WHO, "deleted the account", "").await?;
            return Ok(());
        }
        AccountCommand::Rename { old, new, drop_old } => rename(services, &old, &new, drop_old, output).await?,
        AccountCommand::Fetch(command) => return super::fetch::run(services, command, output).await,
        AccountCommand::Limits(args) => return sending::limits(services, args, output).await,
        AccountCommand::StopSending { address, reason } => {
            return sending::stop(services, &address, reason, output).await;
        }
        AccountCommand::AllowSending { address } => return sending::allow(services, &address, output).await,
        AccountCommand::Masks(args) => return super::masks::run(services, args, output).await,
        AccountCommand::Alias { address, alias, remove } => {
            alias_of(services, &address, &alias, remove, output).await?
        }
    };
    directory.audit(account, WHO, &done, "").await?;
    Ok(())
}

/// What a command did, for the audit trail: to which account, and what.
type Done = (Option<AccountId>, String);

async fn add(
    services: &Services,
    address: &str,
    new: NewAccount,
    password: &PasswordArgs,
    output: &Output,
) -> anyhow::Result<Done> {
    let is_admin = new.role == Role::Admin;
    let (id, common) = services.directory.create_account_as_operator(new).await?;
    output.line(format!("created account {address}")).await;
    warn_if(common, output).await;
    told(address, password, output).await;
    let done = if is_admin { "created the account, an administrator" } else { "created the account" };
    Ok((Some(id), done.to_owned()))
}

async fn set_password(
    services: &Services,
    address: &str,
    (password, must_change): (&PasswordArgs, bool),
    output: &Output,
) -> anyhow::Result<Done> {
    let account = find(services, address).await?;
    let common = services.directory.set_password_as_operator(account.id, &password.password, must_change).await?;
    tell(services, account.id, &AccessChange::Password).await;
    output.line(format!("set a new password for {address}; its web sessions have ended")).await;
    warn_if(common, output).await;
    told(address, password, output).await;
    let audited = if must_change { "set a password that must be changed" } else { "set the password" };
    Ok((Some(account.id), audited.to_owned()))
}

async fn rename(services: &Services, old: &str, new: &str, drop_old: bool, output: &Output) -> anyhow::Result<Done> {
    let account = find(services, old).await?;
    let parsed = EmailAddress::parse(new).with_context(|| new.to_owned())?;
    services.directory.rename_account(account.id, &parsed, !drop_old).await?;
    let before = &account.address;
    let how = "log in with the new address; password and app passwords stay the same";
    output.line(format!("renamed {before} to {new}: {how}")).await;
    output
        .line(if drop_old {
            format!("mail for {before} is now refused")
        } else {
            format!("mail for {before} still arrives: the old address is now an alias")
        })
        .await;
    Ok((Some(account.id), format!("renamed from {before} to {new}")))
}

async fn alias_of(
    services: &Services,
    address: &str,
    alias: &str,
    remove: bool,
    output: &Output,
) -> anyhow::Result<Done> {
    let id = find(services, address).await?.id;
    if remove {
        services.directory.remove_alias(id, alias).await?;
        output.line(format!("removed alias {alias} of {address}")).await;
        return Ok((Some(id), format!("removed the address {alias}")));
    }
    services.directory.add_alias(id, alias).await?;
    output.line(format!("added alias {alias} to {address}")).await;
    Ok((Some(id), format!("added the address {alias}")))
}

/// A passkey for programs.
fn of_passkey(one: &directory::Passkey) -> serde_json::Value {
    serde_json::json!({
        "name": one.name,
        "for": one.rp_id,
        "created_ms": one.created_ms,
        "last_used_ms": one.last_used_ms,
        "signs_in_alone": one.is_alone,
    })
}

/// When something was last used, in words.
fn used_at(last_used_ms: Option<i64>) -> String {
    last_used_ms.map_or_else(|| "never used".to_owned(), |at| format!("last used {}", moment(at)))
}

/// Everything about one account.
async fn shown(services: &Services, account: &Account, output: &Output) -> anyhow::Result<()> {
    let directory = &services.directory;
    let quota = services.mailstore.quota(account.id.realm())?;
    let addresses = directory.addresses_of(account.id)?;
    let passwords = directory.app_passwords(account.id)?;
    let sessions = directory.sessions(account.id)?.len();
    let totp = directory.totp_enabled(account.id)?;
    let passkeys = directory.passkeys(account.id)?;
    let quarantined = services.store.quarantined().into_iter().find(|(realm, _)| *realm == account.id.realm());
    let quarantined = quarantined.map(|(_, why)| why);
    if output.json() {
        let passwords: Vec<_> = passwords
            .iter()
            .map(|one| {
                serde_json::json!({
                    "name": one.name,
                    "created_ms": one.created_ms,
                    "last_used_ms": one.last_used_ms,
                    "protocols": one.scopes.services().map(Service::name).collect::<Vec<_>>(),
                })
            })
            .collect();
        let object = serde_json::json!({
            "address": account.address.to_string(),
            "realm": account.id.realm().to_string(),
            "name": account.name,
            "admin": account.role == Role::Admin,
            "enabled": account.enabled,
            "created_ms": account.created_ms,
            "addresses": addresses,
            "messages": quota.messages,
            "used_bytes": quota.used_bytes,
            "quota_bytes": quota.limit_bytes,
            "second_factor": totp,
            "passkeys": passkeys.iter().map(of_passkey).collect::<Vec<_>>(),
            "app_passwords": passwords,
            "web_sessions": sessions,
            "quarantined": quarantined.as_ref().map(ToString::to_string),
            "quarantined_by": quarantined.as_ref().map(Found::from),
        });
        output.object(object).await;
        return Ok(());
    }
    let messages = if quota.messages == 1 { "message" } else { "messages" };
    let role = if account.role == Role::Admin { "administrator" } else { "user" };
    let state = if account.enabled { "" } else { ", DISABLED: no logins" };
    let row = |what: &str, how: String| format!("  {what:<16} {how}");
    output.line(format!("{} ({})", account.address, account.id.realm())).await;
    output.line(row("name", account.name.clone())).await;
    output.line(row("role", format!("{role}{state}"))).await;
    output.line(row("since", moment(account.created_ms))).await;
    let used = used_of(quota.used_bytes, quota.limit_bytes);
    output.line(row("mail", format!("{} {messages}, {used}", quota.messages))).await;
    output.line(row("addresses", addresses.join(", "))).await;
    output.line(row("two-step sign-in", if totp { "on" } else { "off" }.to_owned())).await;
    output.line(row("web sessions", sessions.to_string())).await;
    for one in passkeys {
        output.line(row("passkey", format!("{}, {}", one.name, used_at(one.last_used_ms)))).await;
    }
    for one in passwords {
        output.line(row("app password", format!("{}, {}", one.name, used_at(one.last_used_ms)))).await;
    }
    if let Some(why) = quarantined {
        output.line(row("QUARANTINED", why.to_string())).await;
    }
    Ok(())
}

async fn set(services: &Services, args: SetArgs, output: &Output) -> anyhow::Result<()> {
    let SetArgs { address, name, quota, role, sends_by_relay, totp_off, shut_out } = args;
    let directory = &services.directory;
    let id = find(services, &address).await?.id;
    // What the terminal says, and what the audit trail says.
    let mut done: Vec<(String, String)> = Vec::new();
    if let Some(name) = name {
        directory.set_name(id, &name).await?;
        done.push((format!("name is {name:?}"), format!("set the name to {name:?}")));
    }
    if let Some(quota) = quota {
        directory.set_quota(id, quota.0).await?;
        let limit = if quota.0 == 0 { "unlimited".to_owned() } else { quota.rounded() };
        done.push((format!("storage limit is {limit}"), format!("set the storage limit to {limit}")));
    }
    if let Some(role) = role {
        let role = match role {
            AccountRole::User => Role::User,
            AccountRole::Admin => Role::Admin,
        };
        directory.set_role(id, role).await?;
        let (is, made) = match role {
            Role::Admin => ("role is administrator", "made it an administrator"),
            Role::User => ("role is user", "took the administrator\u{2019}s rights away"),
        };
        done.push((is.to_owned(), made.to_owned()));
    }
    if let Some(switch) = sends_by_relay {
        directory.set_sends_by_relay(id, switch.is_on()).await?;
        let (is, made) = if switch.is_on() {
            ("relays take its mail with app passwords", "let relays take its mail")
        } else {
            ("relays take no mail that it sends", "no longer lets relays take its mail")
        };
        done.push((is.to_owned(), made.to_owned()));
    }
    if totp_off {
        directory.disable_totp(id).await?;
        tell(services, id, &AccessChange::SecondFactorOff).await;
        done.push(("two-step sign-in is off".to_owned(), "turned two-step sign-in off".to_owned()));
    }
    if shut_out {
        directory.end_all_sessions(id, None).await?;
        let mut names = Vec::new();
        for one in directory.app_passwords(id)? {
            directory.revoke_app_password(id, one.id).await?;
            names.push(one.name);
        }
        if !names.is_empty() {
            tell(services, id, &AccessChange::AppPasswordsRevoked(names)).await;
        }
        let keys = directory.remove_all_passkeys(id).await?;
        if !keys.is_empty() {
            tell(services, id, &AccessChange::PasskeysRemoved(keys)).await;
        }
        let audited = "ended all web sessions, revoked all app passwords and removed all passkeys".to_owned();
        done.push(("web sessions have ended, app passwords are revoked, passkeys are removed".to_owned(), audited));
    }
    ensure!(
        !done.is_empty(),
        "nothing to change: give --name, --quota, --role, --sends-by-relay, --totp-off or --shut-out"
    );
    for (said, audited) in done {
        directory.audit(Some(id), WHO, &audited, "").await?;
        output.line(format!("{address}: {said}")).await;
    }
    Ok(())
}

/// Sends an access notice to an account. A failure to send it undoes nothing.
async fn tell(services: &Services, id: AccountId, change: &AccessChange) {
    if let Err(error) = services.delivery.tell_of_access(id, change, "by an administrator, on the command line").await {
        tracing::warn!(%error, account = id.0, "could not send an access notice to an account");
    }
}

/// A password that was made is shown once it counts.
async fn told(address: &str, password: &PasswordArgs, output: &Output) {
    if password.generate {
        output.field("address", address);
        output.field("password", password.password.clone());
        output.line(format!("password of {address}: {}", password.password)).await;
    }
}

async fn list(services: &Services, account: &Account, output: &Output) -> anyhow::Result<()> {
    let quota = match services.mailstore.quota(account.id.realm()) {
        Ok(quota) => Some(quota),
        Err(MailError::Store(StoreError::NotRestored { .. })) => None,
        Err(error) => return Err(error.into()),
    };
    let admin = account.role == Role::Admin;
    // Not there yet of an account that is being restored.
    let signed_in = services.directory.last_sign_in(account.id).ok().flatten();
    if output.json() {
        let object = serde_json::json!({
            "address": account.address.to_string(),
            "name": account.name,
            "admin": admin,
            "enabled": account.enabled,
            "messages": quota.map(|quota| quota.messages),
            "used_bytes": quota.map(|quota| quota.used_bytes),
            "quota_bytes": quota.and_then(|quota| quota.limit_bytes),
            "last_sign_in_ms": signed_in.as_ref().map(|one| one.last_ms),
            "last_sign_in_by": signed_in.as_ref().map(|one| one.service.map_or("several", Service::name)),
        });
        output.object(object).await;
        return Ok(());
    }
    let address = account.address.to_string();
    let mut line = match quota {
        Some(quota) => {
            format!("{address:<40} {:>8} messages, {}", quota.messages, used_of(quota.used_bytes, quota.limit_bytes))
        }
        None => format!("{address:<40} not restored yet"),
    };
    if admin {
        line.push_str("  administrator");
    }
    if !account.enabled {
        line.push_str("  disabled");
    }
    if let Some(one) = signed_in {
        let by = one.service.map_or("several ways", Service::title);
        line.push_str(&format!("  signed in {} by {by}", moment(one.last_ms)));
    }
    output.line(line).await;
    Ok(())
}

/// `1.2 MB of 5.0 GB`, in the units that the pages have.
fn used_of(used_bytes: u64, limit_bytes: Option<u64>) -> String {
    let limit = limit_bytes.map_or_else(|| "unlimited".to_owned(), web::size);
    format!("{} of {limit}", web::size(used_bytes))
}

/// Prompts for missing input of a command at the terminal.
pub fn complete(command: &mut AdminCommand) -> anyhow::Result<()> {
    match command {
        AdminCommand::Account(
            AccountCommand::Add { address, password, .. } | AccountCommand::Passwd { address, password, .. },
        ) => {
            // Before anybody types a password in vain.
            mailkit::EmailAddress::parse(address).with_context(|| format!("\u{201c}{address}\u{201d}"))?;
            ask_password(address, password)
        }
        AdminCommand::Account(AccountCommand::Fetch(command)) => super::fetch::ask_password(command),
        AdminCommand::Account(AccountCommand::Delete { address, yes: false }) => {
            ensure!(
                std::io::stdin().is_terminal(),
                "can't ask for confirmation without a terminal: give --yes to delete the account"
            );
            eprint!("Delete {address}? Type the address again: ");
            std::io::stderr().flush()?;
            let mut answer = String::new();
            std::io::stdin().lock().read_line(&mut answer)?;
            ensure!(answer.trim() == address, "the address doesn't match: nothing was deleted");
            Ok(())
        }
        _ => Ok(()),
    }
}

async fn warn_if(common: bool, output: &Output) {
    if common {
        let warning = "warning: this is one of the first passwords that attackers try; ask the account's owner to choose another one";
        output.line(warning.to_owned()).await;
    }
}

fn ask_password(address: &str, args: &mut PasswordArgs) -> anyhow::Result<()> {
    if args.generate {
        let random: [u8; 10] = rand::random();
        args.password = random.iter().map(|byte| format!("{byte:02x}")).collect();
    } else if args.password_stdin || !std::io::stdin().is_terminal() {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).clone_into(&mut args.password);
    } else {
        let first = rpassword::prompt_password(format!("Password for {address}: "))?;
        if rpassword::prompt_password("Again: ")? != first {
            bail!("the passwords don't match");
        }
        args.password = first;
    }
    directory::check_password_of_operator(&args.password, &[address])?;
    Ok(())
}
