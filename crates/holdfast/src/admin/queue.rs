//! `holdfast queue …`

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use anyhow::Context as _;
use delivery::{Delivery, DeliveryError, DropMode, QueueFilter, QueueId, QueuedMessage};
use directory::Account;
use jiff::Timestamp;

use super::who::WHO;
use crate::{
    cli::{AdminCommand, Chosen, QueueCommand},
    config::Config,
    output::Output,
    services::Services,
    told::{counted, counted_are, due_line},
};

/// Messages read at a time when a command is for all of them.
const PAGE: usize = 500;
/// Messages that are shown before all of an account are dropped.
const SHOWN_BEFORE_DROP: usize = 10;

/// Runs a command.
pub async fn run(services: &Services, command: QueueCommand, output: &Output) -> anyhow::Result<()> {
    let delivery = &services.delivery;
    match command {
        QueueCommand::List { account, limit } => list(services, account, limit, output).await?,
        QueueCommand::Status => status(delivery, output).await?,
        QueueCommand::Show { id } => {
            show(&delivery.queue_show(parse(&id)?)?, output).await;
            if !output.json()
                && let Some(line) = due_line(&delivery.queue_progress())
            {
                output.line(format!("  the queue: {line}")).await;
            }
        }
        QueueCommand::Retry(chosen) => {
            let these = These::of(services, chosen, QueueFilter::default()).await?;
            for id in &these.ids {
                let done = delivery.queue_retry(*id).await;
                these.said(done, format!("trying to deliver {id} now"), output).await?;
            }
            these.end(services, "retried", "scheduled now", output).await?;
        }
        QueueCommand::Hold(chosen) => {
            let these = These::of(services, chosen, QueueFilter::default()).await?;
            for id in &these.ids {
                let done = delivery.queue_hold(*id).await;
                these.said(done, format!("{id} is on hold"), output).await?;
            }
            these.end(services, "held", "put on hold", output).await?;
        }
        QueueCommand::Release(chosen) => {
            let held = QueueFilter { held: Some(true), ..QueueFilter::default() };
            let these = These::of(services, chosen, held).await?;
            for id in &these.ids {
                let done = delivery.queue_release(*id).await;
                these.said(done, format!("released {id}"), output).await?;
            }
            these.end(services, "released", "released", output).await?;
        }
        QueueCommand::Drop { ids, account, bounce, .. } => {
            let (mode, what) =
                if bounce { (DropMode::Bounce, "returned to the sender") } else { (DropMode::Silent, "dropped") };
            let these = These::of(services, Chosen { ids, account }, QueueFilter::default()).await?;
            these.drop(services, mode, what, output).await?;
        }
    }
    Ok(())
}

/// The messages that a command is for.
struct These {
    ids: Vec<QueueId>,
    /// They were not named one by one: one that leaves the queue in between is nobody's mistake.
    many: bool,
    /// Whose they are, if it is for those of one account.
    account: Option<Account>,
}

impl These {
    async fn of(services: &Services, chosen: Chosen, filter: QueueFilter) -> anyhow::Result<Self> {
        let Chosen { ids, account } = chosen;
        let account = match account {
            Some(address) => Some(super::who::find(services, &address).await?),
            None => None,
        };
        let filter = QueueFilter { account: account.as_ref().map(|account| account.id), ..filter };
        let many = account.is_some() || ids == ["all"];
        let ids = if many {
            matching(&services.delivery, &filter)?
        } else {
            ids.iter().map(|id| parse(id)).collect::<anyhow::Result<_>>()?
        };
        Ok(Self { ids, many, account })
    }

    /// Says that something was done to one of them.
    async fn said(&self, done: delivery::Result<()>, line: String, output: &Output) -> anyhow::Result<()> {
        match done {
            Ok(()) => output.line(line).await,
            Err(DeliveryError::NotQueued(_)) if self.many => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Writes into the audit trail what was done to them, and says how many they were.
    async fn end(&self, services: &Services, audited: &str, what: &str, output: &Output) -> anyhow::Result<()> {
        self.note(services, audited, &self.ids).await?;
        if self.many {
            output.line(format!("{} {what}", counted(self.ids.len() as u64, "message"))).await;
        }
        Ok(())
    }

    async fn drop(self, services: &Services, mode: DropMode, what: &str, output: &Output) -> anyhow::Result<()> {
        let (mut dropped, mut left): (Vec<QueueId>, u64) = (Vec::new(), 0);
        for id in &self.ids {
            match services.delivery.queue_drop(*id, mode).await {
                Err(DeliveryError::NotQueued(_)) if self.many => {}
                Err(DeliveryError::InFlight(_)) if self.many => left += 1,
                Err(error) => {
                    self.note(services, what, &dropped).await?;
                    return Err(error.into());
                }
                Ok(()) => {
                    dropped.push(*id);
                    output.line(format!("{what} {id}")).await;
                }
            }
        }
        self.note(services, what, &dropped).await?;
        if self.many {
            output.line(format!("{} {what}", counted(dropped.len() as u64, "message"))).await;
        }
        let these = counted_are(left, "message");
        anyhow::ensure!(left == 0, "{these} being delivered right now and unchanged: try again in a minute");
        Ok(())
    }

    async fn note(&self, services: &Services, done: &str, ids: &[QueueId]) -> anyhow::Result<()> {
        let what = match ids {
            [] => return Ok(()),
            [id] => format!("{done} message {id} in the queue"),
            some => format!("{done} {} messages in the queue", some.len()),
        };
        let account = self.account.as_ref().map(|account| account.id);
        Ok(services.directory.audit(account, WHO, &what, "").await?)
    }
}

/// Shows how many messages of an account would be dropped, and asks for confirmation.
pub async fn confirm_drop(config: &Config, command: &mut AdminCommand) -> anyhow::Result<()> {
    let AdminCommand::Queue(QueueCommand::Drop { account: Some(address), yes: yes @ false, .. }) = command else {
        return Ok(());
    };
    let list = QueueCommand::List { account: Some(address.clone()), limit: SHOWN_BEFORE_DROP };
    Box::pin(super::run(config.clone(), AdminCommand::Queue(list), false)).await?;
    anyhow::ensure!(
        std::io::stdin().is_terminal(),
        "can't ask for confirmation without a terminal: give --yes to drop the messages"
    );
    eprint!("Drop all of them? Type the address again: ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    anyhow::ensure!(answer.trim() == address, "the address doesn't match: nothing was dropped");
    *yes = true;
    Ok(())
}

async fn list(services: &Services, account: Option<String>, limit: usize, output: &Output) -> anyhow::Result<()> {
    let delivery = &services.delivery;
    let of = match &account {
        Some(address) => Some(super::who::find(services, address).await?.id),
        None => None,
    };
    let filter = QueueFilter { account: of, ..QueueFilter::default() };
    let (mut shown, mut after) = (0, None);
    loop {
        // A page with a filter may be short and yet not be the last.
        let page = delivery.queue_list(&filter, after, limit - shown)?;
        shown += page.messages.len();
        for message in &page.messages {
            if output.json() {
                output.object(json_of(message)).await;
            } else {
                output.line(line_of(message)).await;
            }
        }
        after = page.next;
        if after.is_none() || shown >= limit {
            break;
        }
    }
    if output.json() {
        return Ok(());
    }
    let line = if let Some(address) = account {
        let all = matching(delivery, &filter)?.len();
        format!("{} of {address} ({shown} shown)", counted(all as u64, "message"))
    } else {
        let stats = delivery.queue_stats()?;
        let (messages, destinations) = (counted(stats.messages, "message"), counted(stats.destinations, "destination"));
        format!("{messages} for {destinations} ({shown} shown)")
    };
    output.line(line).await;
    Ok(())
}

async fn status(delivery: &Delivery, output: &Output) -> anyhow::Result<()> {
    let of = delivery.clone();
    let stats = tokio::task::spawn_blocking(move || of.queue_stats()).await??;
    let progress = delivery.queue_progress();
    let object = serde_json::json!({
        "messages": stats.messages,
        "recipients": stats.recipients,
        "held": stats.held,
        "destinations": stats.destinations,
        "oldest_ms": stats.oldest_ms,
        "due": progress.due,
        "due_at_silent_servers": progress.resting,
        "tried": progress.tried,
        "left_seconds": progress.left.map(|left| left.as_secs_f64()),
    });
    output.object(object).await;
    let (messages, destinations) = (counted(stats.messages, "message"), counted(stats.destinations, "destination"));
    let held = if stats.held > 0 { format!(", {} on hold", stats.held) } else { String::new() };
    output.line(format!("{messages} for {destinations}{held}")).await;
    if let Some(line) = due_line(&progress) {
        output.line(line).await;
    }
    Ok(())
}

async fn show(message: &QueuedMessage, output: &Output) {
    if output.json() {
        return output.object(json_of(message)).await;
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

fn parse(id: &str) -> anyhow::Result<QueueId> {
    id.parse().with_context(|| id.to_owned())
}

/// All messages that a filter lets through.
fn matching(delivery: &Delivery, filter: &QueueFilter) -> anyhow::Result<Vec<QueueId>> {
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

fn time(ms: i64) -> String {
    Timestamp::from_millisecond(ms)
        .map_or_else(|_| ms.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

fn line_of(message: &QueuedMessage) -> String {
    let from = message.from.as_deref().unwrap_or("");
    let held = match (message.held, message.stopped) {
        (true, true) => "  on hold: sending of its account is stopped",
        (true, false) => "  on hold",
        _ => "",
    };
    format!(
        "{}  {}  {:>9} bytes  <{from}> to {}{held}",
        message.id,
        time(message.created_ms),
        message.size,
        counted(message.recipients.len() as u64, "recipient")
    )
}

fn json_of(message: &QueuedMessage) -> serde_json::Value {
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
        "size_bytes": message.size,
        "created_ms": message.created_ms,
        "expires_ms": message.expires_ms,
        "held": message.held,
        "sending_stopped": message.stopped,
        "recipients": recipients,
    })
}
