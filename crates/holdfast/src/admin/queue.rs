//! `holdfast queue …`

use anyhow::Context as _;
use delivery::{Delivery, DeliveryError, DropMode, QueueFilter, QueueId, QueuedMessage};
use jiff::Timestamp;

use super::{Output, accounts::WHO};
use crate::{cli::QueueCommand, services::Services};

/// Messages read at a time when a command is for all of them.
const PAGE: usize = 500;

/// Runs a command.
pub async fn run(services: &Services, command: QueueCommand, output: &Output) -> anyhow::Result<()> {
    let delivery = &services.delivery;
    match command {
        QueueCommand::List { limit, json } => {
            let page = delivery.queue_list(&QueueFilter::default(), None, limit)?;
            for message in &page.messages {
                output.line(if json { json_of(message) } else { line_of(message) }).await;
            }
            if !json {
                let stats = delivery.queue_stats()?;
                let shown = page.messages.len();
                output
                    .line(format!(
                        "{} messages wait for {} destinations ({shown} shown)",
                        stats.messages, stats.destinations
                    ))
                    .await;
            }
        }
        QueueCommand::Show { id, json } => {
            let message = delivery.queue_show(parse(&id)?)?;
            if json {
                output.line(json_of(&message)).await;
                return Ok(());
            }
            output.line(line_of(&message)).await;
            for recipient in &message.recipients {
                let next = if message.held { "held".to_owned() } else { time(recipient.next_attempt_ms) };
                output
                    .line(format!(
                        "  <{}> by way of {}: {} attempts, next {next}",
                        recipient.address, recipient.destination, recipient.attempts
                    ))
                    .await;
                if let Some(error) = &recipient.last_error {
                    output.line(format!("    last: {error}")).await;
                }
            }
            output.line(format!("  its log: journalctl -u holdfast --grep {}", message.id)).await;
        }
        QueueCommand::Retry { ids } => {
            let chosen = chosen(delivery, &ids, &QueueFilter::default())?;
            for id in &chosen {
                delivery.queue_retry(*id).await?;
                output.line(format!("{id} is tried now")).await;
            }
            in_all(&ids, chosen.len(), "tried now", output).await;
        }
        QueueCommand::Hold { ids } => {
            let chosen = chosen(delivery, &ids, &QueueFilter::default())?;
            for id in &chosen {
                delivery.queue_hold(*id).await?;
                output.line(format!("{id} is held")).await;
            }
            in_all(&ids, chosen.len(), "held", output).await;
        }
        QueueCommand::Release { ids } => {
            let chosen = chosen(delivery, &ids, &QueueFilter { held: Some(true), ..QueueFilter::default() })?;
            for id in &chosen {
                match delivery.queue_release(*id).await {
                    Ok(()) => output.line(format!("{id} goes on")).await,
                    // It was dropped in between.
                    Err(DeliveryError::NotQueued(_)) if ids == ["all"] => {}
                    Err(error) => return Err(error.into()),
                }
            }
            in_all(&ids, chosen.len(), "released", output).await;
        }
        QueueCommand::Drop { ids, bounce } => {
            let mode = if bounce { DropMode::Bounce } else { DropMode::Silent };
            for id in ids.iter().map(|id| parse(id)).collect::<anyhow::Result<Vec<_>>>()? {
                delivery.queue_drop(id, mode).await?;
                services.directory.audit(None, WHO, &format!("message {id} dropped from the queue"), "").await?;
                output.line(format!("{id} is dropped")).await;
            }
        }
    }
    Ok(())
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

/// Says how many there were, where all were meant: none is an answer too.
async fn in_all(ids: &[String], count: usize, what: &str, output: &Output) {
    if ids == ["all"] {
        output.line(format!("{count} {} {what}", if count == 1 { "message" } else { "messages" })).await;
    }
}

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn line_of(message: &QueuedMessage) -> String {
    let from = message.from.as_deref().unwrap_or("");
    let held = if message.held { "  held" } else { "" };
    format!(
        "{}  {}  {:>9} bytes  <{from}> to {} recipients{held}",
        message.id,
        time(message.created_ms),
        message.size,
        message.recipients.len()
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
