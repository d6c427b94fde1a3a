//! Opening the data folder of a service that starts. If its log is too damaged for that, the damaged part is fetched from
//! those who have it, and the folder is opened then.
//!
//! Only what is missing or damaged is replaced, by commits that are proved to belong there; nothing is given up. If a part is
//! nowhere, the start fails as it would have without this: deciding to continue without it is for a person.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use continuity::{
    mending::{Donor, log::fill},
    standby::{Borrowing, has_standbys},
};
use store::{Filled, Store};
use tokio::net::TcpListener;

use super::notify;
use crate::{
    archive::Archives,
    config::Config,
    repairing,
    running::Running,
    services::{Services, store_options},
};

/// How long a standby may take to connect: it tries every five seconds.
const STANDBY_PATIENCE: Duration = Duration::from_secs(30);
/// How often systemd is told that the start goes on, and for how much longer it is to wait then.
const STILL_STARTING: Duration = Duration::from_secs(10);
/// Whose the acts are in the audit trail.
const WHO: &str = "the service";

/// Opens the data folder, after fetching what it needs for that.
///
/// # Errors
/// Why it can't be opened, and what can be typed.
pub async fn open(config: Config) -> anyhow::Result<Arc<Running>> {
    let ways = repairing::ways(&config);
    let wrong = match opened(config.clone()).await {
        Ok(running) => return Ok(running),
        Err(error) => error,
    };
    if !config.repair.at_start || !repairing::is_damage(&wrong) || Store::is_replica_at(&config.data_dir) {
        return Err(repairing::with_ways(wrong, &ways));
    }
    tracing::error!(error = format!("{wrong:#}"), "the service can't start: fetching what is damaged from others");
    let filled = match still_starting(fetch(&config)).await {
        Ok(filled) => filled,
        Err(why) => {
            tracing::error!(why, "fetching what is damaged has failed");
            return Err(repairing::with_ways(wrong, &ways));
        }
    };
    let running = opened(config).await.map_err(|error| repairing::with_ways(error, &ways))?;
    // Messages may be damaged too: those that are get known by reading everything, and are fetched then.
    let services = &running.services;
    services.log_was_fetched.store(true, Ordering::Relaxed);
    running.verifying.begin(services.store.clone());
    for done in &filled {
        tracing::warn!("the log was damaged, and is complete again: {done}: check this machine's disk");
        let what = format!("repaired the log before it started: {done}");
        if let Err(error) = services.directory.audit(None, WHO, &what, "").await {
            tracing::warn!(%error, "could not store this in the audit trail");
        }
    }
    Ok(running)
}

/// Catching up after a crash reads the log: off the async threads.
async fn opened(config: Config) -> anyhow::Result<Arc<Running>> {
    tokio::task::spawn_blocking(move || Services::open(config).map(Running::on)).await?
}

/// Keeps systemd waiting while something is done.
async fn still_starting<T>(work: impl Future<Output = T>) -> T {
    let mut every = tokio::time::interval(STILL_STARTING);
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = every.tick() => notify::still_starting(STILL_STARTING * 6),
        }
    }
}

/// Fetches what the log lacks: from the archives, and if they don't have all of it, from standbys too. Gives what was done.
async fn fetch(config: &Config) -> Result<Vec<String>, String> {
    let (archives, mut silent) = archives(config).await;
    let mut done = Vec::new();
    let mut left = vec!["no archive that this machine can read, and no standby, is known here".to_owned()];
    if !archives.is_empty() {
        let filled = fill_from(config, &archives).await?;
        done.extend(filled.done);
        left = filled.left;
    }
    if !left.is_empty() {
        match standbys(config).await {
            Ok(Some(borrowing)) => {
                let standby: Arc<dyn Donor> = Arc::new(borrowing.donor());
                let both: Vec<_> = [vec![standby], archives].concat();
                let filled = fill_from(config, &both).await;
                drop(both);
                let promoted = borrowing.promoted();
                borrowing.end().await;
                not_promoted(promoted)?;
                let filled = filled?;
                done.extend(filled.done);
                left = filled.left;
            }
            Ok(None) => {}
            Err(why) => silent.push(why),
        }
    }
    if left.is_empty() {
        return Ok(done);
    }
    left.append(&mut silent);
    Err(left.join("; "))
}

/// A machine whose standby has taken over must not start, however well it can be repaired.
fn not_promoted(name: Option<String>) -> Result<(), String> {
    name.map_or(Ok(()), |name| Err(format!("{name} was promoted to primary: this machine must not start as a primary")))
}

async fn fill_from(config: &Config, donors: &[Arc<dyn Donor>]) -> Result<Filled, String> {
    let names = donors.iter().map(|donor| donor.name()).collect::<Vec<_>>().join(", ");
    tracing::warn!(from = names, "reading the log, and fetching what is damaged in it");
    fill(&config.data_dir, store_options(config), donors, |_, _, _| ()).await.map_err(|error| error.to_string())
}

/// The archives that this machine can read, and why others can't be asked.
async fn archives(config: &Config) -> (Vec<Arc<dyn Donor>>, Vec<String>) {
    let (mut donors, mut silent) = (Vec::new(), Vec::new());
    for place in Archives::new(config).places(None).unwrap_or_default() {
        match repairing::logs(&config.data_dir, std::slice::from_ref(&place)).await {
            Ok(logs) if logs.is_empty() => silent.push(format!("archive {} can't be read here", place.name())),
            Ok(logs) => donors.extend(logs),
            Err(error) => silent.push(format!("archive {}: {error:#}", place.name())),
        }
    }
    (donors, silent)
}

/// Listens for the standbys, and waits until one lends; none when this machine has no standbys.
async fn standbys(config: &Config) -> Result<Option<Borrowing>, String> {
    let dir = config.data_dir.join("standby");
    if config.listen.standby.is_empty() || !has_standbys(&dir) {
        return Ok(None);
    }
    let mut listeners = Vec::new();
    for address in &config.listen.standby {
        let bound = TcpListener::bind(address).await;
        listeners.push(bound.map_err(|error| format!("listen.standby: {address} can't be listened on: {error}"))?);
    }
    let borrowing = Borrowing::listen(&dir, listeners).map_err(|error| error.to_string())?;
    tracing::warn!("waiting for a standby to connect (up to {} s)", STANDBY_PATIENCE.as_secs());
    let came = borrowing.wait(STANDBY_PATIENCE).await;
    let promoted = borrowing.promoted();
    if came && promoted.is_none() {
        return Ok(Some(borrowing));
    }
    borrowing.end().await;
    not_promoted(promoted)?;
    Err("no standby has connected".to_owned())
}
