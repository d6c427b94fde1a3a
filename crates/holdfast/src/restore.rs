//! `holdfast restore`: restores this machine's data folder from an archive, while serving or before.

pub mod behind;
mod moments;
mod wish;

use std::{process::ExitCode, sync::Arc, time::Instant};

use anyhow::Context as _;
use continuity::archive::{
    Event,
    restore::{At, Restored, restore},
};
use parking_lot::Mutex;
use store::Restore;
pub use wish::{as_it_was, wish_of};
use wish::{at, hold_queue, wish};

use crate::{cli::RestoreArgs, config::Config, progress::Terminal, services::Services, told::moment};

/// Restores into the configured data folder. Exits with 1 if something was skipped, or is not restored yet.
pub async fn run(config: Config, mut args: RestoreArgs, json: bool) -> anyhow::Result<ExitCode> {
    if args.list_moments {
        return moments::list(&config, &args, json).await;
    }
    let at = at(args.at.as_deref())?;
    // What is gone on with later is of the same moment, also when it was "2 h ago".
    args.at = (at != At::Last).then(|| at.to_string());
    let at = as_it_was(at);
    let from = args.from.as_deref().unwrap_or_default();
    println!("restoring {from} into {}: {at}", config.data_dir.display());
    if args.offline { offline(config, args).await } else { behind::run(config, args).await }
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
