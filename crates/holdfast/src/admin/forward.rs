//! `holdfast forward`.

use anyhow::Context as _;
use delivery::{Asked, ForwardState, Forwarding};
use mailkit::EmailAddress;
use serde_json::{Value, json};

use super::who::find;
use crate::cli::{ForwardCommand, KeepCopy};
use crate::failure::Code;
use crate::{output::Output, services::Services};

/// Who does it, in the audit trail.
const WHO: &str = "cli";

/// Runs the command.
pub async fn run(services: &Services, command: ForwardCommand, output: &Output) -> anyhow::Result<()> {
    let target = |text: &str| EmailAddress::parse(text).with_context(|| text.to_owned());
    match command {
        ForwardCommand::List { address } => list(services, &address, output).await,
        ForwardCommand::Add { address, target: to } => {
            let (account, to) = (find(services, &address).await?.id, target(&to)?);
            let asked = services.delivery.add_forward(account, &to).await?;
            if asked != Asked::Already {
                services.directory.audit(Some(account), WHO, &format!("asked for forwarding to {to}"), "").await?;
            }
            let (state, says) = match asked {
                Asked::Sent => {
                    ("unconfirmed", format!("sent a confirmation to {to}; mail is forwarded once its link was used"))
                }
                Asked::Resumed => ("on", format!("mail of {address} is forwarded to {to} again")),
                Asked::Already => ("on", format!("mail of {address} is forwarded to {to} already")),
            };
            output.field("state", state);
            output.line(says).await;
            Ok(())
        }
        ForwardCommand::Remove { address, target: to } => {
            let (account, to) = (find(services, &address).await?.id, target(&to)?);
            if !services.delivery.remove_forward(account, &to).await? {
                return Err(Code::NotFound.error(format!("mail of {address} is not forwarded to {to}")));
            }
            services.directory.audit(Some(account), WHO, &format!("ended forwarding to {to}"), "").await?;
            output.line(format!("mail of {address} is no longer forwarded to {to}")).await;
            Ok(())
        }
        ForwardCommand::Copy { address, copy } => {
            let account = find(services, &address).await?.id;
            services.delivery.keep_forward_copies(account, copy == KeepCopy::Keep).await?;
            let says = if copy == KeepCopy::Keep { "a copy of what is forwarded stays" } else { "no copy stays" };
            output.line(format!("{address}: {says}")).await;
            Ok(())
        }
    }
}

async fn list(services: &Services, address: &str, output: &Output) -> anyhow::Result<()> {
    let account = find(services, address).await?.id;
    let Forwarding { targets, keep_copy } = services.delivery.forwarding(account)?;
    if output.json() {
        let one = |target: &delivery::ForwardTarget| -> Value {
            let mut one = json!({
                "address": target.address.to_string(),
                "state": target.state.name(),
                "added_ms": target.added_ms,
            });
            match &target.state {
                ForwardState::Unconfirmed { until_ms } => one["until_ms"] = (*until_ms).into(),
                ForwardState::Paused { why } => one["why"] = why.as_str().into(),
                ForwardState::Expired | ForwardState::On => {}
            }
            one
        };
        let targets: Vec<Value> = targets.iter().map(one).collect();
        output.object(json!({ "keep_copy": keep_copy, "targets": targets })).await;
        return Ok(());
    }
    if targets.is_empty() {
        output.line(format!("mail of {address} is not forwarded")).await;
        return Ok(());
    }
    for target in targets {
        let more = match &target.state {
            ForwardState::Paused { why } => format!(": {why}"),
            _ => String::new(),
        };
        output.line(format!("{} ({}{more})", target.address, target.state.name())).await;
    }
    output.line(if keep_copy { "a copy stays" } else { "no copy stays" }).await;
    Ok(())
}
