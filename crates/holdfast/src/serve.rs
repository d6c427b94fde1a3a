//! `holdfast serve`: opens the data folder, binds all listeners, prints their addresses, and shuts down cleanly.

mod doors;
pub mod http;
pub mod mending;
pub mod notify;
mod operator;
mod proxy;
mod stage;
mod standbys;
mod unread;
mod welcome;

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    admin, alarms, archive, config::Config, machine, maintenance, repairing, restore::behind, services::Services,
};

/// How often measurements are gathered into their summaries.
const METRICS_UPKEEP: std::time::Duration = std::time::Duration::from_secs(5);

/// Histograms keep each measurement until they are collected, and /metrics may never be requested: so collect regularly.
/// Also sends systemd's watchdog signal.
async fn upkeep(
    services: Arc<Services>,
    metrics: PrometheusHandle,
    shutdown: CancellationToken,
) -> (&'static str, anyhow::Result<()>) {
    let mut every = tokio::time::interval(METRICS_UPKEEP);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return ("metrics", Ok(())),
            _ = every.tick() => {
                let (services, metrics) = (services.clone(), metrics.clone());
                let work = tokio::task::spawn_blocking(move || {
                    machine::measure(&services);
                    metrics.run_upkeep();
                });
                if let Err(error) = work.await {
                    tracing::error!(%error, "measuring");
                }
                notify::alive();
                give_memory_back();
            }
        }
    }
}

/// Measures how late the service responds, so that logins yield to other work, and regularly stores the remembered
/// logins.
async fn attend(services: Arc<Services>, shutdown: CancellationToken) -> (&'static str, anyhow::Result<()>) {
    let mut kept = tokio::time::Instant::now();
    loop {
        let due = tokio::time::Instant::now() + LATENESS_EVERY;
        tokio::select! {
            () = shutdown.cancelled() => return ("logins", Ok(())),
            () = tokio::time::sleep_until(due) => {}
        }
        let late = due.elapsed();
        services.directory.answers_late(late);
        doorkit::answers_late(late);
        metrics::histogram!("holdfast_runtime_late_seconds").record(late.as_secs_f64());
        if kept.elapsed() >= REMEMBER_EVERY {
            kept = tokio::time::Instant::now();
            let directory = services.directory.clone();
            tokio::task::spawn_blocking(move || directory.keep_remembered());
        }
    }
}

/// The allocator returns freed memory to the system only later, when another large block is allocated: after a burst of
/// logins (19 MiB per password) an idle service would keep all of it.
fn give_memory_back() {
    const LARGE: usize = 1 << 20;
    drop(std::hint::black_box(Vec::<u8>::with_capacity(LARGE)));
}

/// Between two looks at how late the service answers.
const LATENESS_EVERY: std::time::Duration = std::time::Duration::from_millis(20);
/// Between two times that remembered logins are written down.
const REMEMBER_EVERY: std::time::Duration = std::time::Duration::from_secs(5);

/// Begins to measure: once in a process.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .context("the metrics recorder is installed once")
}

/// Runs the service until SIGTERM, SIGINT, or the failure of an essential task. Continues an unfinished restore.
pub async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if let Some(args) = behind::unfinished(&config.data_dir)? {
        return behind::run(config, args).await;
    }
    let metrics = metrics()?;
    run_measured(config, metrics).await
}

/// The same in a process that measures already.
pub async fn run_measured(config: Config, metrics: PrometheusHandle) -> anyhow::Result<ExitCode> {
    // Catching up after a crash reads the log: off the async threads.
    let ways = repairing::ways(&config);
    let services = tokio::task::spawn_blocking(move || Services::open(config)).await?;
    let services = services.map_err(|error| repairing::with_ways(error, &ways))?;
    run_on(Arc::new(services), metrics).await.map(|()| ExitCode::SUCCESS)
}

/// Runs the service on a store that is open.
pub async fn run_on(services: Arc<Services>, metrics: PrometheusHandle) -> anyhow::Result<()> {
    standbys::after_promotion(&services).await?;
    let tls = doors::certificate(&services.config)?;
    let shutdown = CancellationToken::new();

    let _ = services.tls.set(tls.clone());
    let bound = doors::bind(&services, &tls, &metrics)?;
    let _ = services.doors.set(bound.open_doors());
    let standby_listeners = standbys::bind(&services.config).await?;
    // Before the listeners are printed: a command run after "ready" must reach this process.
    let admin_socket = admin::socket::bind(&services.config.data_dir)?;
    welcome::doors(&services, &bound)?;
    welcome::doubts(&services);
    let mut tasks = bound.serve(&shutdown);
    {
        let (services, shutdown) = (services.clone(), shutdown.clone());
        let (dir, executor) = (services.config.data_dir.clone(), admin::socket::on_services(services));
        tasks.spawn(async move { ("admin socket", admin::socket::serve(admin_socket, dir, executor, shutdown).await) });
    }
    {
        let (services, shutdown) = (services.clone(), shutdown.clone());
        tasks.spawn(async move { ("queue", stage::queue(services, shutdown).await) });
    }
    tasks.spawn(upkeep(services.clone(), metrics, shutdown.clone()));
    tasks.spawn(attend(services.clone(), shutdown.clone()));
    standbys::serve(&services, standby_listeners, &shutdown, &mut tasks)?;
    {
        let (services, shutdown) = (services.clone(), shutdown.clone());
        tasks.spawn(async move { ("maintenance", maintenance::serve(services, shutdown).await) });
    }
    {
        let (services, shutdown) = (services.clone(), shutdown.clone());
        tasks.spawn(async move {
            mending::serve(services, shutdown).await;
            ("mending", Ok(()))
        });
    }
    {
        let (services, shutdown) = (services.clone(), shutdown.clone());
        tasks.spawn(async move { ("archive", archive::serve(services, shutdown).await) });
    }
    {
        let (services, shutdown) = (services.clone(), shutdown.clone());
        tasks.spawn(async move {
            alarms::serve(services, shutdown).await;
            ("alarms", Ok(()))
        });
    }
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    if let Some(why) = stage::climb(&services, &shutdown).await? {
        tracing::error!(why, "the checks failed: the service stays in stage checks");
    }
    welcome::ready(&services)?;
    notify::ready();
    let failure = loop {
        tokio::select! {
            _ = terminate.recv() => break None,
            _ = interrupt.recv() => break None,
            _ = hangup.recv() => match tls.reload() {
                Ok(()) => tracing::info!("certificate reloaded"),
                Err(error) => tracing::error!(%error, "could not reload the certificate; the old one stays in use"),
            },
            Some(ended) = tasks.join_next() => match ended {
                Ok((what, Err(error))) => break Some(error.context(what)),
                Ok((what, Ok(()))) => tracing::warn!(what, "ended"),
                Err(panic) => break Some(anyhow::Error::new(panic)),
            },
        }
    };
    tracing::info!("stopping: waiting for open connections to finish");
    notify::stopping();
    shutdown.cancel();
    services.verifying.stop();
    let grace = services.config.limits.shutdown_grace.0 + std::time::Duration::from_secs(2);
    let drained = tokio::time::timeout(grace, async { while tasks.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!("some connections did not finish in time");
    }
    tokio::task::spawn_blocking(move || services.close()).await?;
    tracing::info!("stopped; everything acknowledged is on disk");
    failure.map_or(Ok(()), Err)
}
