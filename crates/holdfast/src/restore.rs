//! `holdfast restore`: restores this machine's data folder from an archive, while serving or before.

pub mod behind;
mod moments;

use std::{process::ExitCode, sync::Arc, time::Instant};

use anyhow::Context as _;
use continuity::archive::{
    Event,
    codec::Identities,
    restore::{At, Restored, Wish, restore},
    target::Target,
};
use delivery::{Delivery, QueueFilter};
use parking_lot::Mutex;
use store::Restore;

use crate::{
    archive::moment,
    cli::RestoreArgs,
    config::{Archive, Config},
    moment::parse_at,
    progress::Terminal,
    services::{Services, store_options},
};

/// Messages that are held in one step.
const QUEUE_PAGE: usize = 500;

/// Restores into the configured data folder. Exits with 1 if something was skipped, or is not restored yet.
pub async fn run(config: Config, mut args: RestoreArgs) -> anyhow::Result<ExitCode> {
    if args.list_moments {
        return moments::list(&config, &args).await;
    }
    let at = at(args.at.as_deref())?;
    // What is gone on with later is of the same moment, also when it was "2 h ago".
    args.at = (at != At::Last).then(|| at.to_string());
    let at = as_it_was(at);
    let from = args.from.as_deref().unwrap_or_default();
    println!("restoring {from} into {}: {at}", config.data_dir.display());
    if args.offline { offline(config, args).await } else { behind::run(config, args).await }
}

/// Up to where; nothing that was typed means all there is.
pub fn at(typed: Option<&str>) -> anyhow::Result<At> {
    Ok(typed.map(parse_at).transpose()?.unwrap_or_default())
}

/// Up to where, for people.
pub fn as_it_was(at: At) -> String {
    match at {
        At::Last => "the latest state".to_owned(),
        At::Moment(at_ms) => format!("the state at {}", moment(at_ms)),
        At::Commit(seq) => format!("the state after commit {seq}"),
    }
}

/// The source and the target of a restore.
async fn wish(config: &Config, args: &RestoreArgs) -> anyhow::Result<Wish> {
    // A configured archive also has the credentials and the identity.
    let from = args.from.as_deref().unwrap_or_default();
    let known = config.archive.iter().find(|place| place.is_named(from));
    let place = known.cloned().unwrap_or_else(|| Archive::at(from));
    wish_of(config, args, &place).await
}

/// The same, from a place that is known.
pub async fn wish_of(config: &Config, args: &RestoreArgs, place: &Archive) -> anyhow::Result<Wish> {
    let options = place.target_options()?;
    place.check_readable()?;
    let file = args.identity.as_ref().or(place.identity_file.as_ref());
    let identities = match (&args.of_account.identity_text, file) {
        (Some(text), Some(file)) => Identities::from_text(&file.display().to_string(), text.as_bytes())?,
        (_, Some(file)) => Identities::read(file)?,
        (_, None) => anyhow::bail!(
            "the archive {} is encrypted: give the identity of one of its recipients with --identity FILE",
            place.name()
        ),
    };
    for key in &args.signed_by {
        let is_key = key.len() == 64 && key.bytes().all(|byte| byte.is_ascii_hexdigit());
        anyhow::ensure!(
            is_key,
            "--signed-by {key}: a key has 64 hexadecimal digits; `holdfast archive status` shows it"
        );
    }
    let at = at(args.at.as_deref())?;
    let target = tokio::task::spawn_blocking(move || Target::open(&options)).await??;
    Ok(Wish {
        target,
        identities,
        dir: config.data_dir.clone(),
        options: store_options(config),
        at,
        line: args.line.clone(),
        without_damaged: args.without_damaged,
        signed_by: args.signed_by.clone(),
    })
}

/// Restores everything before the service starts.
async fn offline(config: Config, args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let wish = wish(&config, &args).await?;
    let terminal = Mutex::new(Terminal::default());
    let restored = restore(&wish, &|event| match event {
        Event::Line(line) => terminal.lock().out(&line),
        Event::Progress { what, done, total } => terminal.lock().progress(what, done, total),
    })
    .await;
    terminal.lock().finish();
    let Restored { store, parent, time_ms, realms, bodies, commits, fetched, fallbacks, notes, lost } = restored?;
    if args.try_out {
        crate::archive::begin_try_out(&config.data_dir)?;
    }

    let services = {
        let (config, store) = (config.clone(), store.clone());
        Arc::new(tokio::task::spawn_blocking(move || Services::on(config, store)).await??)
    };
    let mut mailboxes = 0;
    for realm in store.realms().into_iter().filter(|realm| realm.account_number().is_some()) {
        mailboxes += services.mailstore.renumber(realm).await.with_context(|| format!("{realm}: new UIDVALIDITYs"))?;
    }
    let held = hold_queue(&services.delivery).await?;
    Restore::done(&store)?;
    tokio::task::spawn_blocking(move || services.close()).await?;

    println!(
        "restored {realms} realms and {bodies} bodies, {commits} commits of the log after the snapshot; {} MiB fetched \
         in {:.1} s",
        fetched >> 20,
        begun.elapsed().as_secs_f64()
    );
    println!(
        "restored the state after commit {} of line {}{}",
        parent.seq,
        parent.line,
        time_ms.map(|at| format!(", made {}", moment(at))).unwrap_or_default()
    );
    println!("{mailboxes} mailboxes have a new UIDVALIDITY: mail apps download them again");
    if held > 0 {
        println!(
            "{held} messages in the queue are on hold: some may have been delivered after that time. Check them with \
             `holdfast queue list`, then `holdfast queue release all`"
        );
    }
    for line in notes.iter().chain(&fallbacks) {
        println!("NOTE: {line}");
    }
    for line in &lost {
        println!("LOST: {line}");
    }
    if lost.is_empty() {
        println!("start it with `holdfast serve`");
        return Ok(ExitCode::SUCCESS);
    }
    println!("lost items: {}; everything else was restored", lost.len());
    Ok(ExitCode::FAILURE)
}

/// Puts the queue on hold: queued messages may have been delivered since that time.
async fn hold_queue(delivery: &Delivery) -> anyhow::Result<u64> {
    let mut held = 0;
    let mut after = None;
    loop {
        let page = delivery.queue_list(&QueueFilter::default(), after, QUEUE_PAGE)?;
        for message in page.messages {
            delivery.queue_hold(message.id).await?;
            held += 1;
        }
        after = page.next;
        if after.is_none() {
            return Ok(held);
        }
    }
}
