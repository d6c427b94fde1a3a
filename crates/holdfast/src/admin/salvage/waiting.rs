//! Messages that were waiting to be sent: named, written out, or put into the queue here.

use std::{collections::HashMap, sync::Arc};

use delivery::{SalvagedFate, SalvagedQueued, salvaged_queue};
use directory::AccountId;

use super::{Source, tell_some, write_out};
use crate::{cli::SalvageArgs, output::Output, services::Services, told::moment};

/// Longest subject that is shown.
const MAX_SUBJECT: usize = 120;

/// What was found of them.
#[derive(Default)]
struct Found {
    /// A line about each.
    lines: Vec<String>,
    /// How many are in the queue here now, or would be.
    held: u64,
    /// How many were known here before.
    known: u64,
    /// How many can't be read or could not be put into the queue.
    failed: u64,
}

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
    let mut found = Found::default();
    for message in all {
        let account = message.account.and_then(|account| live.get(&account).copied());
        take(services, source, args, message, account, &mut found).await?;
    }
    let is_all = found.failed == 0;
    if !found.lines.is_empty() {
        found.tell(args, output).await;
    }
    Ok(is_all)
}

/// Reads one message, and writes it to a file or adds it to the queue if requested.
async fn take(
    services: &Arc<Services>,
    source: &Arc<Source>,
    args: &SalvageArgs,
    message: SalvagedQueued,
    account: Option<AccountId>,
    found: &mut Found,
) -> anyhow::Result<()> {
    let (reader, body) = (source.clone(), message.body);
    let bytes = tokio::task::spawn_blocking(move || {
        body.map(|body| reader.salvaged.body(&body)).transpose().map(Option::flatten)
    });
    let Some(bytes) = bytes.await?? else {
        found.failed += 1;
        found.lines.push(format!("{} UNREADABLE", named(&message, None)));
        return Ok(());
    };
    if let (Some(dir), Some(body)) = (args.orphans.as_deref(), message.body) {
        write_out(dir, &format!("queued-{body}.eml"), &bytes)?;
    }
    let mut line = named(&message, Some(&bytes));
    if args.queue.is_some() {
        match hold(services, message, account, bytes.to_vec(), args.preview).await {
            Ok(SalvagedFate::Held) => found.held += 1,
            Ok(SalvagedFate::Known) => {
                found.known += 1;
                line += " already known here";
            }
            Err(error) => {
                found.failed += 1;
                line += &format!(" NOT HELD: {error:#}");
            }
        }
    }
    found.lines.push(line);
    Ok(())
}

impl Found {
    async fn tell(self, args: &SalvageArgs, output: &Output) {
        let Self { lines, held, known, .. } = self;
        let count = lines.len();
        if args.queue.is_none() {
            output
                .line(format!(
                    "{count} messages were waiting to be sent; they are not sent now. To add them to the queue here, use \
                     `--queue hold`:"
                ))
                .await;
            return tell_some(lines.into_iter(), output).await;
        }
        output.line(format!("{count} messages were waiting to be sent:")).await;
        for line in lines {
            // All of them are listed, because someone has to decide about each.
            output.line(line).await;
        }
        let verb = if args.preview { "would be" } else { "were" };
        output
            .line(format!(
                "{held} {verb} added to the queue here, on hold; {known} were already known. To look at one, run \
                 `holdfast queue show ID`; to send them, run `holdfast queue release ID` or `holdfast queue release all`"
            ))
            .await;
    }
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
