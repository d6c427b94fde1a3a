//! Messages that were waiting to be sent: named, written out, or put into the queue here.

use std::{collections::HashMap, sync::Arc};

use delivery::{SalvagedFate, SalvagedQueued, salvaged_queue};
use directory::AccountId;

use super::{Source, tell_some, write_out};
use crate::{cli::SalvageArgs, output::Output, services::Services, told::moment};

/// Longest subject that is shown.
const MAX_SUBJECT: usize = 120;

/// Lists messages that were waiting to be sent, and writes them to files or adds them to the queue if requested; returns
/// whether all of them can be read. `live` maps the accounts there to accounts here.
pub(super) async fn queue(
    services: &Arc<Services>,
    source: &Arc<Source>,
    args: &SalvageArgs,
    live: &HashMap<AccountId, AccountId>,
    output: &Output,
) -> anyhow::Result<bool> {
    let reader = source.clone();
    let all = tokio::task::spawn_blocking(move || salvaged_queue(&reader.salvaged)).await??;
    if all.is_empty() {
        return Ok(true);
    }
    let count = all.len();
    let (mut lines, mut is_all, mut held, mut known) = (Vec::new(), true, 0, 0);
    for message in all {
        let account = message.account.and_then(|account| live.get(&account).copied());
        let (reader, body) = (source.clone(), message.body);
        let bytes = tokio::task::spawn_blocking(move || {
            body.map(|body| reader.salvaged.body(&body)).transpose().map(Option::flatten)
        });
        let Some(bytes) = bytes.await?? else {
            is_all = false;
            lines.push(format!("{} UNREADABLE", named(&message, None)));
            continue;
        };
        if let (Some(dir), Some(body)) = (args.orphans.as_deref(), message.body) {
            write_out(dir, &format!("queued-{body}.eml"), &bytes)?;
        }
        let mut line = named(&message, Some(&bytes));
        if args.queue.is_some() {
            match hold(services, message, account, bytes.to_vec(), args.preview).await {
                Ok(SalvagedFate::Held) => held += 1,
                Ok(SalvagedFate::Known) => {
                    known += 1;
                    line += " already known here";
                }
                Err(error) => {
                    is_all = false;
                    line += &format!(" NOT HELD: {error:#}");
                }
            }
        }
        lines.push(line);
    }
    if args.queue.is_none() {
        output
            .line(format!(
                "{count} messages were waiting to be sent; they are not sent now. To add them to the queue here, use \
                 `--queue hold`:"
            ))
            .await;
        tell_some(lines.into_iter(), output).await;
        return Ok(is_all);
    }
    output.line(format!("{count} messages were waiting to be sent:")).await;
    for line in lines {
        // All of them are listed, because someone has to decide about each.
        output.line(line).await;
    }
    let verb = if args.preview {
        "would be added to the queue here, on hold"
    } else {
        "were added to the queue here, on hold"
    };
    output
        .line(format!(
            "{held} {verb}; {known} were already known. To look at one, run `holdfast queue show ID`; to send them, run \
             `holdfast queue release ID` or `holdfast queue release all`"
        ))
        .await;
    Ok(is_all)
}

async fn hold(
    services: &Arc<Services>,
    message: SalvagedQueued,
    account: Option<AccountId>,
    bytes: Vec<u8>,
    preview: bool,
) -> anyhow::Result<SalvagedFate> {
    let delivery = &services.delivery;
    if delivery.knows_salvaged(&message, account)? {
        return Ok(SalvagedFate::Known);
    }
    if preview {
        return Ok(SalvagedFate::Held);
    }
    let store = services.store.clone();
    let body = tokio::task::spawn_blocking(move || store.put_body(&bytes)).await??;
    Ok(delivery.hold_salvaged(message, account, body).await?)
}

/// A line that tells a message from the others: id, time, subject, from and to.
fn named(message: &SalvagedQueued, bytes: Option<&[u8]>) -> String {
    let subject = bytes.map(|bytes| mailkit::parse(bytes).subject).unwrap_or_default();
    let subject: String = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MAX_SUBJECT).collect();
    format!(
        "  {} {} \u{201c}{subject}\u{201d} from <{}> to {}",
        message.id,
        moment(message.created_ms),
        message.from,
        message.recipients.join(", ")
    )
}
