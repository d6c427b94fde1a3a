//! `holdfast relay`: takes mail for a primary on another machine, until it is stopped.

pub mod alarms;
mod pages;
pub mod senders;

use std::{path::Path, sync::Arc, time::Duration};

use anyhow::{Context as _, ensure};
use delivery::{Delivery, Handover};
use directory::{Directory, DirectoryOptions};
use doorkit::Listener;
use mailstore::MailStore;
use metrics_exporter_prometheus::PrometheusHandle;
use relay::{ForeignOptions, Relay, RelayOptions, SMTP_PRIMARY};
use smtp::{Role, SmtpDoor, SmtpOptions};
use store::{Store, StoreOptions};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    admin, certifying,
    cli::{AdminCommand, RelayArgs},
    config::Config,
    dns,
    listeners::Kind,
    maintenance, serve,
    services::{delivery_options, next_hop, store_options},
    supervisor::{Phase, Supervisor},
};

/// Between two words to systemd that this process lives.
const ALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long the relay's own log, and messages that it has forgotten, stay on its disk.
const RETENTION: Duration = Duration::from_secs(86_400);
/// What is added to the time that something may take to stop.
const SLACK: Duration = Duration::from_secs(2);

/// Whether a folder is a relay's.
pub fn is_relay(data_dir: &Path) -> bool {
    let dir = data_dir.join("relay");
    dir.join("primary.json").exists() || dir.join(SMTP_PRIMARY).exists()
}

/// What a relay is made of.
struct Parts {
    store: Store,
    directory: Directory,
    delivery: Delivery,
    relay: Arc<Relay>,
}

/// Takes mail and gives it to the primary until stopped.
///
/// # Errors
/// It can't start, or an essential task failed.
pub async fn run(config: Config, args: RelayArgs) -> anyhow::Result<()> {
    ensure!(!config.listen.smtp.is_empty(), "a relay takes mail: set listen.smtp in the configuration");
    let metrics = serve::metrics()?;
    let tls = certifying::own(&config)?;
    let listeners = bind(&config)?;
    let pages = pages::bind(&config)?;
    let Parts { store, directory, delivery, relay } = open(&config, &args).await?;
    let socket = admin::socket::bind(&config.data_dir)?;
    let mut supervisor = Supervisor::new(Arc::default());
    let config = Arc::new(config);
    let (dir, executor) = (config.data_dir.clone(), executor(&relay, &config, &store));
    supervisor.essential(Phase::Commands, "admin socket", |stop| admin::socket::serve(socket, dir, executor, stop));
    for (kind, listener) in listeners {
        let options = SmtpOptions {
            role: if kind == Kind::Smtp { Role::Mx } else { Role::Submission },
            hostname: config.hostname.clone(),
            plaintext_logins: config.limits.plaintext_logins.into(),
            shutdown: supervisor.stop_of(Phase::Sessions),
            ..SmtpOptions::default()
        };
        let door = SmtpDoor::with_tls(directory.clone(), delivery.clone(), options, tls.clone());
        let tls = tls.clone();
        supervisor.essential(Phase::Sessions, kind.row().name, move |stop| async move {
            let serve = move |conn| {
                let door = door.clone();
                async move { door.serve_connection(conn).await }
            };
            listener.serve(tls, stop, serve).await;
            Ok(())
        });
    }
    pages::serve(pages, relay.clone(), config.clone(), metrics.clone(), &mut supervisor);
    start_work(&relay, &store, metrics, &mut supervisor);
    println!("running as a relay, data folder {}", config.data_dir.display());
    println!("ready");
    serve::notify::ready();
    let failure = tokio::select! {
        stopped = stopped(&tls) => { stopped?; None }
        failure = supervisor.failure() => Some(failure),
    };
    serve::notify::stopping();
    let grace = config.limits.shutdown_grace.0;
    supervisor
        .stop(move |phase| match phase {
            Phase::Sessions => grace + SLACK,
            _ => SLACK,
        })
        .await;
    drop(relay);
    tokio::task::spawn_blocking(move || store.close()).await?;
    failure.map_or(Ok(()), Err)
}

/// Opens the relay's store, and pairs it first where a code is given.
async fn open(config: &Config, args: &RelayArgs) -> anyhow::Result<Parts> {
    // Nobody goes back to an earlier moment of a relay, and its disk is for what waits.
    let options = StoreOptions { retention: RETENTION, ..store_options(config) };
    let dir = config.data_dir.clone();
    ensure!(!Store::is_replica_at(&dir), "{}: this is the data folder of a standby", dir.display());
    let opening = tokio::task::spawn_blocking(move || {
        let store = Store::open(&dir, options).with_context(|| format!("data folder {}", dir.display()))?;
        let directory = Directory::new(store.clone(), DirectoryOptions::default())?;
        anyhow::Ok((store, directory))
    });
    let (store, directory) = opening.await??;
    ensure!(
        directory.accounts()?.is_empty(),
        "{}: this is the data folder of a mail service; a relay needs its own, empty one",
        config.data_dir.display()
    );
    let options = RelayOptions {
        dir: config.data_dir.join("relay"),
        name: args.name.clone().unwrap_or_else(|| config.hostname.clone()),
        submissions: config.relay.submissions,
    };
    let relay = match &config.relay.smtp_primary {
        Some(primary) => {
            ensure!(
                args.primary.is_none() && args.code.is_none(),
                "relay.smtp_primary is set: this is the relay of a server of another make, which is not paired"
            );
            Relay::open_foreign(store.clone(), options, foreign(config, primary, &store)?).await?
        }
        None => Relay::open(store.clone(), options, args.primary.as_deref(), args.code.as_deref()).await?,
    };
    let mailstore = MailStore::new(store.clone());
    let delivery = Delivery::new(store.clone(), directory.clone(), mailstore, delivery_options(config)?)?
        .with_judges(senders::judges(config, &relay))?
        .with_elsewhere(relay.elsewhere())?;
    Ok(Parts { store, directory, delivery, relay })
}

/// How a primary of another make is reached, and whom it has.
fn foreign(config: &Config, primary: &str, store: &Store) -> anyhow::Result<ForeignOptions> {
    let settings = &config.relay;
    let hop = next_hop(primary)?;
    let handover = Handover::new(store.clone(), delivery_options(config)?, hop, dns::resolver(config))?;
    let domains = settings.ask_domains.iter().map(|domain| mailkit::address::normal_domain(domain));
    Ok(ForeignOptions {
        address: primary.to_owned(),
        handover,
        recipients: settings.recipients.clone(),
        ask_domains: domains.collect::<Result<_, _>>()?,
        senders: Some(senders::policy(config)),
        max_message_bytes: config.limits.message_size.0,
        streams: settings.streams,
    })
}

/// Binds the addresses for mail.
fn bind(config: &Config) -> anyhow::Result<Vec<(Kind, Listener)>> {
    let for_people: &[Kind] = if config.relay.submissions { &[Kind::Submission, Kind::Submissions] } else { &[] };
    let mut listeners = Vec::new();
    for kind in [&[Kind::Smtp], for_people].concat() {
        let row = kind.row();
        for &address in config.listen.of(kind) {
            let bound = Listener::bind(address, serve::listen_options(row, config));
            let listener = bound.map_err(|error| anyhow::anyhow!(row.refused_with_remedy(address, &error)))?;
            println!("{}", row.line(listener.local_addr()?));
            listeners.push((kind, listener));
        }
    }
    Ok(listeners)
}

/// Runs the commands of the admin socket.
fn executor(relay: &Arc<Relay>, config: &Arc<Config>, store: &Store) -> Arc<admin::socket::Executor> {
    let (relay, config, store) = (relay.clone(), config.clone(), store.clone());
    Arc::new(move |command: AdminCommand, output| {
        let (relay, config, store) = (relay.clone(), config.clone(), store.clone());
        Box::pin(async move { admin::on_relay((&relay, &store), &config, command, &output).await })
    })
}

/// Starts what is done beside taking mail.
fn start_work(relay: &Arc<Relay>, store: &Store, metrics: PrometheusHandle, supervisor: &mut Supervisor) {
    let of = relay.clone();
    supervisor.kept_up(Phase::Work, "primary", move |stop| {
        let relay = of.clone();
        async move {
            relay.run(stop).await;
            Ok(())
        }
    });
    let of = store.clone();
    supervisor.kept_up(Phase::Work, "maintenance", move |stop| maintain(of.clone(), stop));
    supervisor.kept_up(Phase::Work, "metrics", move |stop| {
        let metrics = metrics.clone();
        async move {
            loop {
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    () = tokio::time::sleep(ALIVE_EVERY) => {}
                }
                metrics.run_upkeep();
                serve::notify::alive();
            }
        }
    });
}

/// The daily maintenance.
async fn maintain(store: Store, stop: CancellationToken) -> anyhow::Result<()> {
    let mut due = maintenance::first_time();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep_until(due) => {}
        }
        due += maintenance::EVERY;
        let say = |line: String| tracing::info!("{line}");
        if let Err(error) = maintenance::keep_sound(&store, &stop, say).await
            && !stop.is_cancelled()
        {
            tracing::error!(%error, "maintenance");
        }
    }
}

/// Waits for the signal to stop; reads the certificate again at the one for that.
async fn stopped(tls: &doorkit::Tls) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    loop {
        tokio::select! {
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
            _ = hangup.recv() => match tls.reload() {
                Ok(()) => tracing::info!("certificate reloaded"),
                Err(error) => tracing::error!(%error, "could not reload the certificate; the old one stays in use"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    /// The settings in a unit's `[Service]` section, without those that must differ.
    fn settings(unit: &str) -> Vec<&str> {
        let service = unit.split("[Service]").nth(1).and_then(|rest| rest.split("[Install]").next()).unwrap();
        service
            .lines()
            .filter(|line| line.contains('=') && !line.starts_with(['#']) && !line.starts_with("ExecStart="))
            .collect()
    }

    #[test]
    fn a_relay_is_started_as_the_service_is() {
        let service = settings(include_str!("../../../packaging/holdfast.service"));
        let relay = settings(include_str!("../../../packaging/holdfast-relay.service"));
        assert_eq!(relay, service);
    }
}
