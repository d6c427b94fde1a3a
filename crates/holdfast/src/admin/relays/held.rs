//! `holdfast relay held`, `export`, `retry` and `drop`: on a relay, mail that the primary refused for good.

use std::{path::PathBuf, sync::Arc};

use anyhow::Context as _;
use delivery::QueueId;
use relay::{HeldMessage, Holding, Relay};

use crate::{
    output::Output,
    told::{counted, moment},
};

/// Messages that are read at a time.
const PAGE: usize = 500;

const fn which(waiting: bool) -> Holding {
    if waiting { Holding::Waiting } else { Holding::Refused }
}

/// Lists them, the oldest first.
pub async fn list(relay: &Arc<Relay>, waiting: bool, limit: usize, output: &Output) -> anyhow::Result<()> {
    let (mut after, mut shown) = (None, 0);
    while shown < limit {
        let page = page(relay, which(waiting), after, PAGE.min(limit - shown)).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        shown += page.len();
        for message in &page {
            output.object(json_of(message)).await;
            output.line(line_of(message)).await;
        }
    }
    if !output.json() {
        let backlog = relay.status().backlog;
        let all = if waiting { backlog.waiting } else { backlog.refused };
        output.line(format!("{} ({shown} shown)", counted(all, "message"))).await;
    }
    Ok(())
}

async fn page(
    relay: &Arc<Relay>,
    which: Holding,
    after: Option<QueueId>,
    limit: usize,
) -> anyhow::Result<Vec<HeldMessage>> {
    let relay = Arc::clone(relay);
    Ok(tokio::task::spawn_blocking(move || relay.held(which, after, limit)).await??)
}

fn json_of(message: &HeldMessage) -> serde_json::Value {
    let refused = message.refused.as_ref();
    serde_json::json!({
        "id": message.id.to_string(),
        "from": message.from,
        "recipients": message.recipients,
        "size": message.bytes,
        "arrived_ms": message.at_ms,
        "refused": refused.map(|(why, _)| why),
        "refused_ms": refused.map(|(_, at_ms)| at_ms),
    })
}

fn line_of(message: &HeldMessage) -> String {
    let (to, size) = (message.recipients.join(", "), web::size(message.bytes));
    let line = format!("{} {} <{}> to {to} ({size})", message.id, moment(message.at_ms), message.from);
    match &message.refused {
        None => line,
        Some((why, at_ms)) => format!("{line}\n  refused {}: {why}", moment(*at_ms)),
    }
}

/// The ids that a command names.
async fn named(relay: &Arc<Relay>, ids: &[String], which: Holding) -> anyhow::Result<Vec<QueueId>> {
    if ids != ["all"] {
        return ids.iter().map(|id| id.parse().with_context(|| format!("{id} is not an id of a message"))).collect();
    }
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = page(relay, which, after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(all) };
        after = Some(last.id);
        all.extend(page.iter().map(|message| message.id));
    }
}

/// Writes them into a folder.
pub async fn export(
    relay: &Arc<Relay>,
    dir: PathBuf,
    ids: Vec<String>,
    waiting: bool,
    output: &Output,
) -> anyhow::Result<()> {
    let ids = if ids.is_empty() { vec!["all".to_owned()] } else { ids };
    let ids = named(relay, &ids, which(waiting)).await?;
    std::fs::create_dir_all(&dir).with_context(|| dir.display().to_string())?;
    let all = ids.len() as u64;
    for (done, id) in ids.into_iter().enumerate() {
        let (relay, dir) = (Arc::clone(relay), dir.clone());
        tokio::task::spawn_blocking(move || relay.export(id, &dir)).await??;
        output.progress("messages", done as u64 + 1, all);
    }
    output.field("exported", all);
    output.line(format!("{} written into {}", counted(all, "message"), dir.display())).await;
    Ok(())
}

/// Gives them to the primary again.
pub async fn retry(relay: &Arc<Relay>, ids: Vec<String>, output: &Output) -> anyhow::Result<()> {
    let ids = named(relay, &ids, Holding::Refused).await?;
    let count = relay.retry(ids).await?;
    output.field("retried", count);
    output.line(format!("{} will be given to the primary again", counted(count, "message"))).await;
    Ok(())
}

/// Deletes them.
pub async fn discard(relay: &Arc<Relay>, ids: Vec<String>, output: &Output) -> anyhow::Result<()> {
    let ids = named(relay, &ids, Holding::Refused).await?;
    let count = relay.discard(ids).await?;
    output.field("deleted", count);
    output.line(format!("deleted {}", counted(count, "message"))).await;
    Ok(())
}
