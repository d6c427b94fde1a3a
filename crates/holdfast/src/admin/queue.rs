//! `holdfast queue …`

use anyhow::Context as _;
use delivery::{Delivery, DeliveryError, DropMode, QueueFilter, QueueId, QueuedMessage};
use jiff::Timestamp;

use super::accounts::WHO;
use crate::{cli::QueueCommand, output::Output, services::Services, told::counted};

/// Messages read at a time when a command is for all of them.
const PAGE: usize = 500;

/// Runs a command.
pub async fn run(services: &Services, command: QueueCommand, output: &Output) -> anyhow::Result<()> {
    let delivery = &services.delivery;
    match command {
        QueueCommand::List { limit, json } => list(delivery, limit, json, output).await?,
        QueueCommand::Show { id, json } => show(&delivery.queue_show(parse(&id)?)?, json, output).await,
        QueueCommand::Retry { ids } => {
            let chosen = chosen(delivery, &ids, &QueueFilter::default())?;
            for id in &chosen {
                delivery.queue_retry(*id).await?;
                output.line(format!("trying to deliver {id} now")).await;
            }
            note(services, "retried", &chosen).await?;
            in_all(&ids, chosen.len(), "scheduled now", output).await;
        }
        QueueCommand::Hold { ids } => {
            let chosen = chosen(delivery, &ids, &QueueFilter::default())?;
            for id in &chosen {
                delivery.queue_hold(*id).await?;
                output.line(format!("{id} is on hold")).await;
            }
            note(services, "held", &chosen).await?;
            in_all(&ids, chosen.len(), "put on hold", output).await;
        }
        QueueCommand::Release { ids } => release(services, &ids, output).await?,
        QueueCommand::Drop { ids, bounce } => {
            let (mode, what) =
                if bounce { (DropMode::Bounce, "returned to the sender") } else { (DropMode::Silent, "dropped") };
            for id in ids.iter().map(|id| parse(id)).collect::<anyhow::Result<Vec<_>>>()? {
                delivery.queue_drop(id, mode).await?;
                note(services, what, &[id]).await?;
                output.line(format!("{what} {id}")).await;
            }
        }
    }
    Ok(())
}

async fn list(delivery: &Delivery, limit: usize, json: bool, output: &Output) -> anyhow::Result<()> {
    let page = delivery.queue_list(&QueueFilter::default(), None, limit)?;
    for message in &page.messages {
        output.line(if json { json_of(message) } else { line_of(message) }).await;
    }
    if !json {
        let (stats, shown) = (delivery.queue_stats()?, page.messages.len());
        let (messages, destinations) = (counted(stats.messages, "message"), counted(stats.destinations, "destination"));
        output.line(format!("{messages} for {destinations} ({shown} shown)")).await;
    }
    Ok(())
}

async fn show(message: &QueuedMessage, json: bool, output: &Output) {
    if json {
        return output.line(json_of(message)).await;
    }
    output.line(line_of(message)).await;
    for recipient in &message.recipients {
        let next = if message.held { "on hold".to_owned() } else { time(recipient.next_attempt_ms) };
        let attempts = counted(recipient.attempts.into(), "attempt");
        let (address, destination) = (&recipient.address, &recipient.destination);
        output.line(format!("  <{address}> via {destination}: {attempts}, next {next}")).await;
        if let Some(verdict) = &recipient.verdict {
            output.line(format!("    verdict: {verdict}")).await;
        }
        if let Some(security) = &recipient.security {
            let (policy, result) = (&security.policy, &security.result);
            let sign = if security.failed { "FAILED: " } else { "" };
            output.line(format!("    security: policy {policy}; {sign}{result}")).await;
            if let Some(exception) = &security.exception {
                output.line(format!("    exception: {exception}")).await;
            }
        }
        if let Some(error) = &recipient.last_error {
            output.line(format!("    last error: {error}")).await;
        }
    }
    output.line(format!("  its log: journalctl -u holdfast --grep {}", message.id)).await;
}

async fn release(services: &Services, ids: &[String], output: &Output) -> anyhow::Result<()> {
    let held = QueueFilter { held: Some(true), ..QueueFilter::default() };
    let chosen = chosen(&services.delivery, ids, &held)?;
    for id in &chosen {
        match services.delivery.queue_release(*id).await {
            Ok(()) => output.line(format!("released {id}")).await,
            // It was dropped in between.
            Err(DeliveryError::NotQueued(_)) if ids == ["all"] => {}
            Err(error) => return Err(error.into()),
        }
    }
    note(services, "released", &chosen).await?;
    in_all(ids, chosen.len(), "released", output).await;
    Ok(())
}

/// Writes into the audit trail what was done to messages of the queue.
async fn note(services: &Services, done: &str, ids: &[QueueId]) -> anyhow::Result<()> {
    let what = match ids {
        [] => return Ok(()),
        [id] => format!("{done} message {id} in the queue"),
        some => format!("{done} {} messages in the queue", some.len()),
    };
    Ok(services.directory.audit(None, WHO, &what, "").await?)
}

fn parse(id: &str) -> anyhow::Result<QueueId> {
    id.parse().with_context(|| id.to_owned())
}

/// The messages that ids, or `all`, stand for.
fn chosen(delivery: &Delivery, ids: &[String], filter: &QueueFilter) -> anyhow::Result<Vec<QueueId>> {
    if ids != ["all"] {
        return ids.iter().map(|id| parse(id)).collect();
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = delivery.queue_list(filter, after, PAGE)?;
        all.extend(page.messages.iter().map(|message| message.id));
        after = page.next;
        if after.is_none() {
            return Ok(all);
        }
    }
}

/// Prints the number of messages, if the command was for all of them (also for none).
async fn in_all(ids: &[String], count: usize, what: &str, output: &Output) {
    if ids == ["all"] {
        output.line(format!("{} {what}", counted(count as u64, "message"))).await;
    }
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn line_of(message: &QueuedMessage) -> String {
    let from = message.from.as_deref().unwrap_or("");
    let held = if message.held { "  on hold" } else { "" };
    format!(
        "{}  {}  {:>9} bytes  <{from}> to {}{held}",
        message.id,
        time(message.created_ms),
        message.size,
        counted(message.recipients.len() as u64, "recipient")
    )
}

fn json_of(message: &QueuedMessage) -> String {
    let recipients: Vec<_> = message
        .recipients
        .iter()
        .map(|recipient| {
            serde_json::json!({
                "address": recipient.address,
                "destination": recipient.destination,
                "attempts": recipient.attempts,
                "next_attempt_ms": recipient.next_attempt_ms,
                "last_error": recipient.last_error,
                "verdict": recipient.verdict,
                "security": recipient.security.as_ref().map(|security| serde_json::json!({
                    "policy": security.policy,
                    "result": security.result,
                    "failed": security.failed,
                    "exception": security.exception,
                })),
            })
        })
        .collect();
    serde_json::json!({
        "id": message.id.to_string(),
        "from": message.from,
        "size": message.size,
        "created_ms": message.created_ms,
        "expires_ms": message.expires_ms,
        "held": message.held,
        "recipients": recipients,
    })
    .to_string()
}
