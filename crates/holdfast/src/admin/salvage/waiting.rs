//! Messages that were waiting to be sent: named, written out, or put into the queue here.

use std::{collections::HashMap, sync::Arc};

use delivery::{SalvagedFate, SalvagedQueued, salvaged_queue};
use directory::AccountId;

use super::{Output, Source, tell_some, write_out};
use crate::{archive::moment, cli::SalvageArgs, services::Services};

/// Longest subject that is shown.
const MAX_SUBJECT: usize = 120;

/// Says what waited to be sent, writes it out or puts it into the queue where that is wanted; whether all of that can be
/// read. `live` is who the accounts there are here.
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
                    line += " known here already";
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
                "{count} messages were waiting to be sent there, and are not sent by this; `--queue hold` puts them into \
                 the queue here:"
            ))
            .await;
        tell_some(lines.into_iter(), output).await;
        return Ok(is_all);
    }
    output.line(format!("{count} messages were waiting to be sent there:")).await;
    for line in lines {
        // Each: somebody has to decide about it.
        output.line(line).await;
    }
    let verb = if args.preview { "would be in the queue here, held" } else { "are in the queue here, held" };
    output
        .line(format!(
            "{held} {verb}; {known} were known. Look with `holdfast queue show ID`, send them with `holdfast queue release \
             ID` or `all`"
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
