//! The daily maintenance, which keeps the data folder small and sound; `holdfast maintain` runs it at once.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::bail;
use continuity::stage::Stage;
use store::{Reclaim, Store};
use tokio_util::sync::CancellationToken;

use crate::{
    parts::{invariants, parts},
    running::{DailyWork, Running},
    services::Services,
    spam,
};

/// From the start of the service to the first run, which is not when everybody logs in again.
const AFTER_START: Duration = Duration::from_secs(15 * 60);
/// A random addition to that, so that machines sharing a disk do not all start at once.
const JITTER: Duration = Duration::from_secs(15 * 60);
pub const EVERY: Duration = Duration::from_secs(86_400);
/// How often the queue is counted for the metrics.
const COUNT_EVERY: Duration = Duration::from_secs(60);
/// Between two bodies that are checked, so that the disk has time for people.
const BETWEEN_BODIES: Duration = Duration::from_millis(2);
/// All bodies are read once in so many days.
const BODIES_DAYS: u64 = 7;

/// One blocking step: returns what it did. It is told when to cancel.
type Work = fn(&Store, &dyn Fn() -> bool) -> anyhow::Result<String>;

/// When the daily work is done for the first time.
pub fn first_time() -> tokio::time::Instant {
    tokio::time::Instant::now() + AFTER_START + JITTER.mul_f64(rand::random::<f64>())
}

/// Runs the daily work until shut down, and counts the queue.
pub async fn serve(running: Arc<Running>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let services = &running.services;
    let mut due = first_time();
    let mut count = tokio::time::interval(COUNT_EVERY);
    count.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = count.tick() => {
                let delivery = services.delivery.clone();
                if let Ok(Err(error)) = tokio::task::spawn_blocking(move || delivery.queue_stats()).await {
                    tracing::warn!(%error, "could not count the queue");
                }
            }
            () = tokio::time::sleep_until(due) => {
                if services.stages.now().stage < Stage::Open || services.store.is_partial() {
                    // A service that is just coming back has other things to do.
                    due += AFTER_START;
                    continue;
                }
                due += EVERY;
                let (running, shutdown) = (running.clone(), shutdown.clone());
                tokio::spawn(async move {
                    let say = |line: String| tracing::info!("{line}");
                    if let Err(error) = run(running, shutdown.clone(), say).await
                        && !shutdown.is_cancelled()
                    {
                        tracing::error!(%error, "maintenance");
                    }
                });
            }
        }
    }
}

/// One run. A failed step does not prevent the others; each result is printed.
///
/// # Errors
/// All failures.
pub async fn run(
    running: Arc<Running>,
    shutdown: CancellationToken,
    say: impl Fn(String) + Send + 'static,
) -> anyhow::Result<()> {
    let services = &running.services;
    services.check_whole()?;
    let mut failed = Vec::new();
    let start = Instant::now();
    let purged = purge_deleted(services).await;
    note("deleted accounts", start, purged.map(|count| format!("{count} purged")), &say, &mut failed);
    let start = Instant::now();
    parts().maintain(&services.store).await;
    note("mail", start, Ok("purged what is older than the retention time".to_owned()), &say, &mut failed);
    let start = Instant::now();
    let emptied = spam::empty(services).await.map(|count| format!("{count} old messages deleted"));
    note("spam", start, emptied, &say, &mut failed);
    let start = Instant::now();
    let forgotten = services.reports.maintain().await.map(|count| format!("{count} old reports about domains deleted"));
    note("reports", start, forgotten.map_err(Into::into), &say, &mut failed);
    if let Err(error) = keep_sound(&services.store, &shutdown, say).await {
        failed.push(error.to_string());
    }
    let at_ms = services.store.clock().now_ms();
    *running.daily.lock() = Some(DailyWork { at_ms, failed: failed.clone() });
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

/// The part of a run that changes no visible data: also for a standby's store.
///
/// # Errors
/// All failures.
pub async fn keep_sound(
    store: &Store,
    shutdown: &CancellationToken,
    say: impl Fn(String) + Send + 'static,
) -> anyhow::Result<()> {
    let mut failed = Vec::new();
    let steps: [(&'static str, Work); 4] =
        [("scrub", scrub), ("checkpoint", checkpoint), ("log", drop_old_log), ("space", reclaim)];
    for (what, work) in steps {
        if shutdown.is_cancelled() {
            bail!("the service is shutting down");
        }
        let start = Instant::now();
        let (store, shutdown) = (store.clone(), shutdown.clone());
        let outcome = tokio::task::spawn_blocking(move || work(&store, &|| !shutdown.is_cancelled())).await?;
        note(what, start, outcome, &say, &mut failed);
    }
    if failed.is_empty() { Ok(()) } else { bail!("{}", failed.join("; ")) }
}

/// Reports the result of a step.
fn note(
    what: &'static str,
    start: Instant,
    outcome: anyhow::Result<String>,
    say: &impl Fn(String),
    failed: &mut Vec<String>,
) {
    metrics::histogram!("holdfast_maintenance_seconds", "step" => what).record(start.elapsed().as_secs_f64());
    match outcome {
        Ok(done) => {
            let now = jiff::Timestamp::now().as_second() as f64;
            metrics::gauge!("holdfast_maintenance_last_success_timestamp_seconds", "step" => what).set(now);
            say(format!("{what}: {done}"));
        }
        Err(error) => {
            metrics::counter!("holdfast_maintenance_failures_total", "step" => what).increment(1);
            say(format!("{what}: FAILED: {error:#}"));
            failed.push(format!("{what}: {error:#}"));
        }
    }
}

/// Clears away everything of accounts that were deleted longer ago than data is retained. A crash in between leaves it to
/// the next run.
async fn purge_deleted(services: &Services) -> anyhow::Result<u64> {
    let retention_ms = i64::try_from(services.config.store.retention.0.as_millis()).unwrap_or(i64::MAX);
    let before_ms = jiff::Timestamp::now().as_millisecond().saturating_sub(retention_ms);
    let mut count = 0;
    for account in services.directory.deleted_accounts(before_ms)? {
        parts().purge(&services.store, account.realm()).await?;
        services.directory.mark_purged(account).await?;
        count += 1;
    }
    Ok(count)
}

fn scrub(store: &Store, go_on: &dyn Fn() -> bool) -> anyhow::Result<String> {
    let today = jiff::Timestamp::now().as_second().unsigned_abs() / 86_400;
    let slowly = || {
        std::thread::sleep(BETWEEN_BODIES);
        go_on()
    };
    let (mut records, mut damage) = (0, Vec::new());
    let realms = store.realms();
    for realm in &realms {
        if !go_on() {
            bail!("the service is shutting down");
        }
        let report = store.scrub_realm(*realm, &invariants(), false, go_on)?;
        records += report.records;
        damage.extend(report.damage);
    }
    let report = store.scrub_bodies(today % BODIES_DAYS, BODIES_DAYS, &slowly)?;
    let bodies = report.bodies;
    damage.extend(report.damage);
    damage.extend(store.scrub_files()?.damage);
    for found in &damage {
        tracing::error!(%found, part = found.part.code(), cause = found.cause.code(), "damage");
    }
    match damage.first() {
        None => Ok(format!("checked {records} records in {} realms and {bodies} bodies: no damage", realms.len())),
        Some(first) => bail!("damage found: {}, the first: {first}", damage.len()),
    }
}

fn checkpoint(store: &Store, go_on: &dyn Fn() -> bool) -> anyhow::Result<String> {
    if store.checkpoints()?.last() == Some(&store.applied()?) {
        return Ok("nothing has changed since the last checkpoint".to_owned());
    }
    let made = store.checkpoint(go_on)?;
    Ok(format!("{} records at commit {}", made.records, made.seq))
}

fn drop_old_log(store: &Store, _: &dyn Fn() -> bool) -> anyhow::Result<String> {
    let dropped = store.drop_old_log()?;
    Ok(format!("{} segments dropped, the log now starts at commit {}", dropped.segments, dropped.first))
}

fn reclaim(store: &Store, go_on: &dyn Fn() -> bool) -> anyhow::Result<String> {
    let done = store.reclaim_bodies(Reclaim::default(), go_on)?;
    for found in &done.damaged {
        tracing::error!(found, "could not reclaim a pack");
    }
    Ok(format!("reclaimed {} bytes of {} messages from {} packs", done.bytes, done.bodies, done.removed))
}
