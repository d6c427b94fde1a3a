//! `holdfast restore` without `--offline`: the listeners open, and the accounts are restored in the background.

use std::{
    io::ErrorKind,
    path::Path,
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use continuity::archive::{
    Event,
    restore::serving::{self, Says, Serving},
};
use parking_lot::Mutex;
use store::Store;
use tokio_util::sync::CancellationToken;

use super::wish::{hold_queue, wish};
use crate::{
    cli::RestoreArgs, config::Config, progress::Terminal, restoring::Restoring, running::Running, serve,
    services::Services, told::moment,
};

/// The arguments, so that `holdfast serve` can continue the restore.
const COMMAND_FILE: &str = "restore-command.json";
/// The key under which the store records that the queue was put on hold.
const NOTES: &str = "restore-command";
const QUEUE_HELD: &[u8] = b"queue held";

/// The arguments of an unfinished restore.
pub fn unfinished(data_dir: &Path) -> anyhow::Result<Option<RestoreArgs>> {
    let path = data_dir.join(COMMAND_FILE);
    if !Store::is_being_restored(data_dir) {
        // Everything was restored, but this file was not removed.
        let _ = std::fs::remove_file(&path);
        return Ok(None);
    }
    match std::fs::read(&path) {
        Ok(text) => serde_json::from_slice(&text).map(Some).with_context(|| path.display().to_string()),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| path.display().to_string()),
    }
}

/// Restores the essential data, and then runs the service while the rest is restored.
pub async fn run(config: Config, args: RestoreArgs) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let metrics = serve::metrics()?;
    let wish = wish(&config, &args).await?;
    let terminal = Arc::new(Mutex::new(Terminal::default()));
    let says: Says = {
        let terminal = terminal.clone();
        Arc::new(move |event| match event {
            Event::Line(line) => terminal.lock().out(&line),
            Event::Progress { what, done, total } => terminal.lock().progress(what, done, total),
        })
    };
    let (opened, mut serving) = serving::begin(wish, says).await?;
    terminal.lock().finish();
    if args.try_out && !opened.resumed {
        crate::archive::begin_try_out(&config.data_dir)?;
    }
    std::fs::write(config.data_dir.join(COMMAND_FILE), serde_json::to_vec_pretty(&args)?)
        .context("the restore's settings, for the next start")?;
    let services = {
        let (config, store) = (config.clone(), opened.store.clone());
        tokio::task::spawn_blocking(move || Services::on(config, store)).await??
    };
    let held = if opened.store.snapshot().note_of(NOTES, QUEUE_HELD)?.is_some() {
        0
    } else {
        let held = hold_queue(&services.delivery).await?;
        opened.store.set_notes(NOTES, [(QUEUE_HELD.to_vec(), Some(Vec::new()))])?;
        held
    };
    println!(
        "{} after {:.1} s and {} KiB: restoring the state after commit {} of line {}{}",
        if opened.resumed { "resuming" } else { "starting to serve" },
        begun.elapsed().as_secs_f64(),
        opened.fetched >> 10,
        opened.parent.seq,
        opened.parent.line,
        opened.time_ms.map(|at| format!(", made {}", moment(at))).unwrap_or_default()
    );
    if held > 0 {
        println!(
            "{held} messages in the queue are on hold: some may have been delivered after that time. Check them with \
             `holdfast queue list`, then `holdfast queue release all`"
        );
    }
    for note in &opened.notes {
        println!("NOTE: {note}");
    }
    let restoring = Restoring::new(serving.progress.clone(), begun);
    let running = Running::on(services);
    let _ = running.restoring.set(restoring.clone());
    let stop = CancellationToken::new();
    bring(&running.services, &mut serving, &stop);
    let watching = tokio::spawn(tell(restoring, config.data_dir.clone(), terminal.clone(), begun));
    let outcome = serve::run_on(running, metrics).await;
    stop.cancel();
    let progress = serving.progress.clone();
    tokio::task::spawn_blocking(move || serving.join()).await?;
    watching.abort();
    outcome?;
    let now = progress.borrow().clone();
    if now.done {
        return Ok(ExitCode::SUCCESS);
    }
    println!("the restore is not finished: `holdfast serve` continues it");
    Ok(if now.lost.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Starts bringing the accounts.
fn bring(services: &Services, serving: &mut Serving, stop: &CancellationToken) {
    let mailstore = services.mailstore.clone();
    let prepare: serving::Prepare = Arc::new(move |realm| {
        let mailstore = mailstore.clone();
        Box::pin(async move { mailstore.renumber(realm).await.map(drop).map_err(|error| error.to_string()) })
    });
    serving.start(prepare, stop.clone());
}

/// Reports the progress on the terminal and in the metrics.
async fn tell(restoring: Restoring, data_dir: std::path::PathBuf, terminal: Arc<Mutex<Terminal>>, begun: Instant) {
    let mut progress = restoring.watch();
    let mut all_accounts = false;
    loop {
        let now = progress.borrow_and_update().clone();
        metrics::gauge!("holdfast_restore_accounts").set(now.accounts as f64);
        metrics::gauge!("holdfast_restore_accounts_total").set(now.accounts_total as f64);
        metrics::gauge!("holdfast_restore_messages").set(now.bodies as f64);
        metrics::gauge!("holdfast_restore_messages_total").set(now.bodies_total as f64);
        metrics::gauge!("holdfast_restore_fetched_bytes").set(now.fetched as f64);
        metrics::gauge!("holdfast_restore_lost").set(now.lost.len() as f64);
        metrics::gauge!("holdfast_restore_done").set(f64::from(u8::from(now.done)));
        let seconds = begun.elapsed().as_secs_f64();
        if !all_accounts && now.accounts_total > 0 && now.accounts == now.accounts_total {
            all_accounts = true;
            terminal.lock().out(&format!("all {} accounts are restored after {seconds:.1} s", now.accounts));
        }
        if now.ended {
            terminal.lock().finish();
            let mib = now.fetched >> 20;
            if now.done {
                if let Err(error) = std::fs::remove_file(data_dir.join(COMMAND_FILE)) {
                    tracing::warn!(%error, "{COMMAND_FILE}");
                }
                let text = format!(
                    "restore finished: {} accounts and {} messages, {mib} MiB fetched in {seconds:.1} s; the service keeps running",
                    now.accounts, now.bodies
                );
                terminal.lock().out(&text);
            } else if !now.lost.is_empty() {
                terminal.lock().out(&format!(
                    "lost items: {}. The service runs without them. To finish the restore without them, \
                     stop it and run the same `holdfast restore` with --without-damaged",
                    now.lost.len()
                ));
            }
            return;
        }
        // Many small steps are one look.
        tokio::time::sleep(Duration::from_millis(200)).await;
        if progress.changed().await.is_err() {
            return;
        }
    }
}
