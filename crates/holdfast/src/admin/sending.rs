//! `holdfast account limits`, `stop-sending` and `allow-sending`: what an account may send.

use delivery::{Counted, SendingUse, Window};
use directory::{Account, OwnLimits};

use super::who::{WHO, find};
use crate::{
    cli::LimitsArgs,
    output::Output,
    services::Services,
    told::{counted, moment},
};

/// Shows the limits of an account, or changes them.
pub async fn limits(services: &Services, args: LimitsArgs, output: &Output) -> anyhow::Result<()> {
    let account = find(services, &args.address).await?;
    let own = services.directory.sending(account.id)?.map(|sending| sending.limits).unwrap_or_default();
    let new = if args.default { OwnLimits::default() } else { changed(own, &args) };
    if new != own {
        services.directory.set_sending_limits(account.id, new).await?;
        let what = if new == OwnLimits::default() {
            "removed its own sending limits".to_owned()
        } else {
            format!("set its sending limits: {}", listed(&new))
        };
        services.directory.audit(Some(account.id), WHO, &what, "").await?;
    }
    shown(services, &account, output).await
}

/// What was typed, over what was there.
fn changed(own: OwnLimits, args: &LimitsArgs) -> OwnLimits {
    OwnLimits {
        messages_per_hour: args.messages_per_hour.or(own.messages_per_hour),
        messages_per_day: args.messages_per_day.or(own.messages_per_day),
        recipients_per_hour: args.recipients_per_hour.or(own.recipients_per_hour),
        recipients_per_day: args.recipients_per_day.or(own.recipients_per_day),
        new_per_hour: args.new_per_hour.or(own.new_per_hour),
        new_per_day: args.new_per_day.or(own.new_per_day),
    }
}

/// An account's own limits, for the audit trail.
fn listed(own: &OwnLimits) -> String {
    let all = [
        ("messages an hour", own.messages_per_hour),
        ("messages a day", own.messages_per_day),
        ("recipients an hour", own.recipients_per_hour),
        ("recipients a day", own.recipients_per_day),
        ("new recipients an hour", own.new_per_hour),
        ("new recipients a day", own.new_per_day),
    ];
    let set = all.into_iter().filter_map(|(what, limit)| Some((what, limit?)));
    let text =
        set.map(|(what, limit)| if limit == 0 { format!("unlimited {what}") } else { format!("{limit} {what}") });
    text.collect::<Vec<_>>().join(", ")
}

async fn shown(services: &Services, account: &Account, output: &Output) -> anyhow::Result<()> {
    let used = services.delivery.sending_use(account.id)?;
    let sending = services.directory.sending(account.id)?;
    let stopped = sending.and_then(|sending| sending.stopped);
    if output.json() {
        let rows: Vec<_> = used
            .iter()
            .map(|row| {
                serde_json::json!({
                    "counted": name(row.counted),
                    "window": if row.window == Window::Hour { "hour" } else { "day" },
                    "used": row.used,
                    "limit": row.limit,
                })
            })
            .collect();
        let stopped = stopped.map(|stopped| serde_json::json!({ "at_ms": stopped.at_ms, "why": stopped.why }));
        let object = serde_json::json!({
            "address": account.address.to_string(), "limits": rows, "stopped": stopped,
        });
        output.object(object).await;
        return Ok(());
    }
    output.line(format!("{}: sent to other servers, of what it may", account.address)).await;
    for row in &used {
        output.line(line_of(row)).await;
    }
    if let Some(stopped) = stopped {
        output.line(format!("  SENDING IS STOPPED since {}: {}", moment(stopped.at_ms), stopped.why)).await;
    }
    Ok(())
}

const fn name(counted: Counted) -> &'static str {
    match counted {
        Counted::Messages => "messages",
        Counted::Recipients => "recipients",
        Counted::New => "new recipients",
    }
}

fn line_of(row: &SendingUse) -> String {
    let within = if row.window == Window::Hour { "last hour" } else { "last day" };
    let limit = if row.limit == 0 { "unlimited".to_owned() } else { row.limit.to_string() };
    format!("  {:<16} {within:<10} {:>6} of {limit}", name(row.counted), row.used)
}

/// Stops an account's sending.
pub async fn stop(services: &Services, address: &str, reason: Option<String>, output: &Output) -> anyhow::Result<()> {
    let account = find(services, address).await?;
    let why = reason.unwrap_or_else(|| "an administrator stopped it".to_owned());
    if services.delivery.stop_sending(account.id, WHO, why.trim_end_matches('.'), "").await? {
        output
            .line(format!("stopped sending of {address}; what it had waiting is on hold, mail to it still arrives"))
            .await;
    } else {
        output.line(format!("sending of {address} is stopped already")).await;
    }
    Ok(())
}

/// Lets an account send again.
pub async fn allow(services: &Services, address: &str, output: &Output) -> anyhow::Result<()> {
    let account = find(services, address).await?;
    let (stopped, released) = services.delivery.allow_sending(account.id).await?;
    if stopped.is_none() && released == 0 {
        output.line(format!("{address} can send: it was not stopped")).await;
        return Ok(());
    }
    services.directory.audit(Some(account.id), WHO, "allowed sending again", "").await?;
    let released = counted(released, "message");
    output.line(format!("{address} can send again; released {released}; its limits start low again")).await;
    Ok(())
}
