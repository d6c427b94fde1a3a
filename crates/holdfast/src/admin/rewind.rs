//! `holdfast rewind`.

use anyhow::{Context as _, bail, ensure};
use continuity::{
    rewind::{Preview, RewindError, What, Wish, name_of, told},
    stage::Stage,
};
use directory::AccountId;
use mailkit::EmailAddress;
use mailstore::rewind::{RewindId, RewindRecord};
use store::{Seq, StoreError};

use super::who::{WHO, find};
use crate::{
    cli::RewindArgs, moment::parse_moment, output::Output, running::Running, services::Services, told::moment,
};

/// Messages and names that a preview prints.
const SHOWN: usize = 20;

/// Runs the command.
pub async fn run(running: &Running, args: RewindArgs, output: &Output) -> anyhow::Result<()> {
    changes_something(running)?;
    let services = &running.services;
    if args.deleted {
        bring_back(services, &args.address, args.preview, output).await?;
        if args.at.is_none() || args.preview {
            return Ok(());
        }
    }
    let account = find(services, &args.address).await?.id;
    if args.undo {
        return undo(services, account, &args.address, output).await;
    }
    let wish = wish(&args)?;
    let rewinds = services.rewinds();
    if args.preview {
        let asked = wish.clone();
        let preview = tokio::task::spawn_blocking(move || rewinds.preview(account.realm(), &asked)).await?;
        let preview = preview.map_err(explained)?;
        output.object(with_moment(previewed(&preview), &args.address, wish.moment_ms)).await;
        return show(&preview, &name_of(&wish.what), Some(wish.moment_ms), output).await;
    }
    let key = key(services, account, &format!("{wish:?}"))?;
    let (asked, progress) = (wish.clone(), output.clone());
    let record = tokio::task::spawn_blocking(move || {
        let mut tell = |done: u64, total: u64| progress.progress("messages restored", done, total);
        let mistimed = rewinds.mistimed(account.realm(), &asked)?;
        Ok((rewinds.run(account.realm(), &key, &asked, &mut tell)?, mistimed))
    })
    .await?;
    let (record, mistimed) = record.map_err(explained)?;
    if let Some(mistimed) = mistimed {
        output.line(told_mistimed(mistimed)).await;
    }
    output.object(with_moment(done(&record), &args.address, wish.moment_ms)).await;
    output.line(told(&record)).await;
    if record.changed() {
        output.line(format!("to undo this, run `holdfast rewind {} --undo`", args.address)).await;
    }
    let what = format!("restored {} to {}", name_of(&wish.what), moment(wish.moment_ms));
    services.directory.audit(Some(account), WHO, &what, "").await?;
    Ok(())
}

/// # Errors
/// In a stage in which the service does not act.
pub(super) fn changes_something(running: &Running) -> anyhow::Result<()> {
    let stage = running.services.stages.now().stage;
    ensure!(
        !running.serving.load(std::sync::atomic::Ordering::Relaxed) || stage >= Stage::Web,
        "the service is read-only in stage {stage}; to continue, run `holdfast stage set web`"
    );
    Ok(())
}

/// Reports a time that is too long ago together with the earliest possible one.
pub(super) fn explained(error: RewindError) -> anyhow::Error {
    match error {
        RewindError::Store(StoreError::BeforeWindow { first_ms, .. }) => {
            anyhow::anyhow!(
                "that time is too long ago: the kept history starts at {}; an archive may have it: `holdfast restore \
                 --account ADDRESS --at TIME`",
                moment(first_ms)
            )
        }
        other => other.into(),
    }
}

fn wish(args: &RewindArgs) -> anyhow::Result<Wish> {
    let what = if let Some(name) = &args.mailbox {
        What::Mailbox(name.clone())
    } else if args.address_book {
        What::AddressBook
    } else if args.message.is_empty() {
        What::Everything
    } else {
        let parse = |id: &String| {
            let parts = id.split_once('.').and_then(|(m, e)| Some((m.parse().ok()?, e.parse().ok()?)));
            parts.with_context(|| format!("{id} is not a message id; --preview prints ids such as m1.e42"))
        };
        What::Messages(args.message.iter().map(parse).collect::<anyhow::Result<_>>()?)
    };
    let at = args.at.as_deref().context("give the time with --at TIME")?;
    Ok(Wish { what, moment_ms: parse_moment(at)?, flags: args.flags })
}

/// The same command again does the rest of one that was cut off, else it is another one.
pub(super) fn key(services: &Services, account: AccountId, wish: &str) -> anyhow::Result<Vec<u8>> {
    for number in 0u32.. {
        let key = blake3::hash(format!("command line {number} {wish}").as_bytes()).as_bytes().to_vec();
        let known = services.mailstore.rewind_record(account.realm(), RewindId::of(&key)?)?;
        if known.is_none_or(|record| !record.done && !record.undone) {
            return Ok(key);
        }
    }
    bail!("there were too many identical rewinds")
}

fn told_mistimed((first, last): (Seq, Seq)) -> String {
    format!(
        "commits {first} to {last} have later times than they should, because this machine's clock was ahead; they are included"
    )
}

/// Shows what would change: `what` says of what, as of a moment.
pub(super) async fn show(preview: &Preview, what: &str, at_ms: Option<i64>, output: &Output) -> anyhow::Result<()> {
    let mail = &preview.mail;
    let as_of = at_ms.map_or_else(String::new, |at_ms| format!(" as of {}", moment(at_ms)));
    output.line(format!("{what}{as_of}:")).await;
    if let Some(mistimed) = preview.mistimed {
        output.line(told_mistimed(mistimed)).await;
    }
    if preview.is_empty() {
        output.line("nothing to restore: everything is still there").await;
        return Ok(());
    }
    for mailbox in &mail.mailboxes {
        let made = if mailbox.made { "  recreated" } else { "" };
        let line = format!(
            "{:<30} {:>8} restored {:>8} moved back {:>8} flags{made}",
            mailbox.name, mailbox.back, mailbox.moved, mailbox.flagged
        );
        output.line(line).await;
    }
    for message in mail.first.iter().take(SHOWN) {
        let id = format!("{}.{}", message.mailbox, message.email);
        let line = format!("  {id:<12} {}  {}: {}", moment(message.internal_date_ms), message.from, message.subject);
        output.line(line).await;
    }
    let more = (mail.back + mail.moved).saturating_sub(SHOWN.min(mail.first.len()));
    if more > 0 {
        output.line(format!("  and {more} more messages")).await;
    }
    for coming in &preview.parts {
        let completed =
            if coming.noun == "group" { "that get members or their name back" } else { "that keep both values" };
        for (names, what) in [(&coming.back, "restored"), (&coming.completed, completed)] {
            if !names.is_empty() {
                let first: Vec<&str> = names.iter().take(SHOWN).map(String::as_str).collect();
                let dots = if names.len() > SHOWN { ", …" } else { "" };
                output.line(format!("{:>8} {}s {what}: {}{dots}", names.len(), coming.noun, first.join(", "))).await;
            }
        }
    }
    if let Some(problem) = &preview.problem {
        bail!("the rewind isn't possible: {problem}");
    }
    output
        .line("this was a preview, nothing was changed: run the command without --preview; newer items are kept")
        .await;
    Ok(())
}

pub(super) fn previewed(preview: &Preview) -> serde_json::Value {
    let mailboxes: Vec<_> = preview
        .mail
        .mailboxes
        .iter()
        .map(|one| {
            serde_json::json!({
                "name": one.name,
                "made_again": one.made,
                "back": one.back,
                "moved": one.moved,
                "flags": one.flagged,
            })
        })
        .collect();
    let mut told = serde_json::json!({
        "messages_back": preview.mail.back,
        "messages_moved": preview.mail.moved,
        "messages_flagged": preview.mail.flagged,
        "bytes_back": preview.mail.bytes,
        "mailboxes": mailboxes,
        "problem": preview.problem,
    });
    for coming in &preview.parts {
        told[format!("{}s_back", coming.noun)] = coming.back.len().into();
        told[format!("{}s_completed", coming.noun)] = coming.completed.len().into();
    }
    told
}

pub(super) fn done(record: &RewindRecord) -> serde_json::Value {
    serde_json::json!({
        "messages_back": record.back,
        "messages_moved": record.moved,
        "messages_flagged": record.flagged,
        "messages_lost": record.lost,
        "mailboxes_made": record.made.len(),
        "contacts_and_groups": record.book,
        "changed": record.changed(),
    })
}

/// What was asked for, beside what came of it.
fn with_moment(mut object: serde_json::Value, address: &str, moment_ms: i64) -> serde_json::Value {
    object["account"] = address.into();
    object["moment_ms"] = moment_ms.into();
    object
}

async fn undo(services: &Services, account: AccountId, address: &str, output: &Output) -> anyhow::Result<()> {
    let last =
        services.mailstore.rewinds(account.realm())?.into_iter().find(|(_, record)| record.changed() && !record.undone);
    let (id, record) = last.with_context(|| format!("there is no rewind of {address} to undo"))?;
    let rewinds = services.rewinds();
    tokio::task::spawn_blocking(move || rewinds.undo(account.realm(), id)).await?.map_err(explained)?;
    let what = format!("{} of {}", record.what, moment(record.moment_ms));
    output.line(format!("undone: the rewind of {what}; later changes are kept")).await;
    services.directory.audit(Some(account), WHO, &format!("undid the rewind of {what}"), "").await?;
    Ok(())
}

async fn bring_back(services: &Services, address: &str, preview: bool, output: &Output) -> anyhow::Result<()> {
    let parsed = EmailAddress::parse(address).with_context(|| address.to_owned())?;
    let (id, deleted_ms) = services
        .directory
        .deleted_account(&parsed)?
        .with_context(|| format!("no deleted account {address} found; it may have been purged already"))?;
    if preview {
        let quota = services.mailstore.quota(id.realm())?;
        let line = format!(
            "{address}, deleted {}, would be restored with {} messages and {} contacts",
            moment(deleted_ms),
            quota.messages,
            services.people.count(id.realm())?
        );
        output.line(line).await;
        return Ok(());
    }
    let taken = services.directory.bring_back(id, deleted_ms).await?;
    output.line(format!("restored account {address} with its password and addresses")).await;
    for address in taken {
        output.line(format!("without {address}: another account has it, or its domain was removed")).await;
    }
    services.directory.audit(Some(id), WHO, "restored the deleted account", "").await?;
    Ok(())
}
