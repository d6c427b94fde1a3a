//! `holdfast serve`: opens the data folder, binds all listeners, prints their addresses, and shuts down cleanly.

mod at_start;
mod challenge;
mod doors;
pub mod http;
pub mod notify;
mod operator;
mod proxy;
mod relays;
mod stage;
mod standbys;
mod unread;
mod welcome;

pub use doors::options as listen_options;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context as _;
use doorkit::Tls;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    admin, alarms, archive, certifying,
    config::Config,
    domains, finding, maintenance, measuring, mending, reporting,
    running::Running,
    secrets,
    services::Services,
    sign_ins, snoozing, spam,
    supervisor::{Phase, Supervisor},
};

/// How often measurements are gathered into their summaries.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Histograms keep each measurement until they are collected, and /metrics may never be requested: so collect regularly.
/// Also sends systemd's watchdog signal.
async fn upkeep(running: Arc<Running>, metrics: PrometheusHandle, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut every = tokio::time::interval(METRICS_UPKEEP);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            _ = every.tick() => {
                let (running, metrics) = (running.clone(), metrics.clone());
                let work = tokio::task::spawn_blocking(move || {
                    measuring::measure(&running);
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
async fn attend(services: Arc<Services>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let mut kept = tokio::time::Instant::now();
    loop {
        let due = tokio::time::Instant::now() + LATENESS_EVERY;
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
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
const LATENESS_EVERY: Duration = Duration::from_millis(20);
/// Between two times that remembered logins are written down.
const REMEMBER_EVERY: Duration = Duration::from_secs(5);

/// Begins to measure: once in a process.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    metrics_exporter_prometheus::PrometheusBuilder::new()
        .install_recorder()
        .context("the metrics recorder is installed once")
}

/// Opens the data folder and runs the service, in a process that measures already.
pub async fn run_measured(config: Config, metrics: PrometheusHandle) -> anyhow::Result<ExitCode> {
    run_on(at_start::open(config).await?, metrics).await.map(|()| ExitCode::SUCCESS)
}

/// Runs the service on a store that is open.
pub async fn run_on(running: Arc<Running>, metrics: PrometheusHandle) -> anyhow::Result<()> {
    let services = running.services.clone();
    standbys::after_promotion(&services).await?;
    let tls = certifying::own(&services.config)?;
    let mut supervisor = Supervisor::new(running.tasks.clone());

    let _ = running.tls.set(tls.clone());
    if let Some(certificates) = certifying::open(&services, &tls)? {
        let _ = running.certificates.set(certificates);
    }
    let bound = doors::bind(&running, &tls, &metrics)?;
    let _ = running.doors.set(bound.open_doors());
    let standby_listeners = standbys::bind(&services.config).await?;
    let relay_listeners = relays::bind(&services.config).await?;
    // Before the listeners are printed: a command run after "ready" must reach this process.
    let admin_socket = admin::socket::bind(&services.config.data_dir)?;
    welcome::doors(&services, &bound)?;
    welcome::doubts(&services);
    bound.serve(&mut supervisor);
    let (dir, executor) = (services.config.data_dir.clone(), admin::executor(running.clone()));
    supervisor
        .essential(Phase::Commands, "admin socket", |stop| admin::socket::serve(admin_socket, dir, executor, stop));
    standbys::serve(&running, standby_listeners, &mut supervisor)?;
    relays::serve(&running, relay_listeners, &mut supervisor)?;
    start_work(&running, &metrics, &mut supervisor);

    let mut signals = Signals::new()?;
    if let Some(why) = stage::climb(&running, &supervisor.stop_of(Phase::Sessions)).await? {
        tracing::error!(why, "the checks failed: the service stays in stage checks");
    }
    welcome::ready(&services)?;
    notify::ready();
    let failure = tokio::select! {
        () = signals.stop(&tls, &running) => None,
        failure = supervisor.failure() => Some(failure),
    };
    tracing::info!("stopping: waiting for open connections to finish");
    notify::stopping();
    running.verifying.stop();
    let grace = services.config.limits.shutdown_grace.0;
    let patience = move |phase| match phase {
        Phase::Sessions => grace + SLACK,
        Phase::Work | Phase::Commands => SLACK,
        Phase::Copies => archive::LAST_SHIPPING + SLACK,
    };
    if !supervisor.stop(patience).await {
        tracing::warn!("some connections did not finish in time");
    }
    tokio::task::spawn_blocking(move || services.close()).await?;
    tracing::info!("stopped; everything acknowledged is on disk");
    failure.map_or(Ok(()), Err)
}

/// Starts what is done while nobody asks: the queue, measuring, maintenance, mending, archives, alarms.
fn start_work(running: &Arc<Running>, metrics: &PrometheusHandle, supervisor: &mut Supervisor) {
    let services = running.services.clone();
    supervisor.essential(Phase::Work, "queue", |stop| stage::queue(services, stop));
    let (of, handle) = (running.clone(), metrics.clone());
    supervisor.kept_up(Phase::Work, "metrics", move |stop| upkeep(of.clone(), handle.clone(), stop));
    let services = running.services.clone();
    supervisor.kept_up(Phase::Work, "logins", move |stop| attend(services.clone(), stop));
    let services = running.services.clone();
    supervisor.kept_up(Phase::Work, "sign-ins", move |stop| sign_ins::serve(services.clone(), stop));
    let of = running.clone();
    supervisor.kept_up(Phase::Work, "maintenance", move |stop| maintenance::serve(of.clone(), stop));
    let services = running.services.clone();
    supervisor.kept_up(Phase::Work, "secrets", move |stop| secrets::serve(services.clone(), stop));
    let services = running.services.clone();
    let training = spam::training(&services);
    supervisor.kept_up(Phase::Work, "spam training", move |stop| spam::serve(services.clone(), training.clone(), stop));
    let services = running.services.clone();
    supervisor.kept_up(Phase::Work, "search index", move |stop| finding::serve(services.clone(), stop));
    let (services, snoozes) = (running.services.clone(), snoozing::watch(&running.services));
    supervisor
        .kept_up(Phase::Work, "snoozed messages", move |stop| snoozing::serve(services.clone(), snoozes.clone(), stop));
    let of = running.clone();
    supervisor.kept_up(Phase::Work, "domains", move |stop| domains::serve(of.clone(), stop));
    let services = running.services.clone();
    supervisor.kept_up(Phase::Work, "reports", move |stop| reporting::serve(services.clone(), stop));
    let services = running.services.clone();
    supervisor.kept_up(Phase::Work, "fetching", move |stop| stage::fetching(services.clone(), stop));
    let of = running.clone();
    supervisor.kept_up(Phase::Work, "mending", move |stop| mending::serve(of.clone(), stop));
    let of = running.clone();
    supervisor
        .kept_up(Phase::Copies, "archive", move |stop| archive::serve(of.services.clone(), of.archives.clone(), stop));
    if let Some(certificates) = running.certificates.get().cloned() {
        supervisor.kept_up(Phase::Work, "certificates", move |stop| {
            let certificates = certificates.clone();
            async move {
                certificates.run(stop).await;
                Ok(())
            }
        });
    }
    let of = running.clone();
    supervisor.kept_up(Phase::Work, "alarms", move |stop| alarms::serve(of.clone(), stop));
}

/// What is added to the time that something may take to stop.
const SLACK: Duration = Duration::from_secs(2);

/// The signals of the system.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the one to stop; reads the certificate and the secrets keys again at the one for that.
    async fn stop(&mut self, tls: &Tls, running: &Arc<Running>) {
        let services = &running.services;
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    match tls.reload() {
                        Ok(()) => tracing::info!("certificate reloaded"),
                        Err(error) => tracing::error!(%error, "could not reload the certificate; the old one stays in use"),
                    }
                    if let Err(error) = secrets::reload(services).await {
                        tracing::error!(error = format!("{error:#}"), "could not reload the secrets keys");
                    }
                    if let Some(certificates) = running.certificates.get() {
                        // The keys of stored certificates may be open now.
                        if let Err(error) = certificates.load() {
                            tracing::error!(%error, "could not read the stored certificates");
                        }
                        certificates.look();
                    }
                }
            }
        }
    }
}
