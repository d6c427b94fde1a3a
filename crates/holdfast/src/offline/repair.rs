//! `holdfast repair` on a folder that nobody serves.

use std::{sync::Arc, time::Duration};

use anyhow::{Context as _, bail, ensure};
use continuity::{
    archive::donor::ArchiveDonor,
    mending::{Donor, Mending, log::fill},
    standby::Borrowing,
};
use store::{BodyId, Store};
use tokio::net::TcpListener;

use super::check;
use crate::{
    archive::Place,
    cli::RepairArgs,
    config::Config,
    json,
    listeners::Kind,
    progress::Terminal,
    repairing::{self, Repaired},
    services::{check_has_data, store_options},
};

/// How long a standby may take to connect: it tries every five seconds.
const STANDBY_PATIENCE: Duration = Duration::from_secs(30);

/// Finds what is damaged, fetches what others have, and says what is left.
///
/// # Errors
/// Also when something is still damaged, so that scripts see it.
pub async fn run(config: &Config, args: &RepairArgs, json: bool) -> anyhow::Result<()> {
    let dir = &config.data_dir;
    check_has_data(dir)?;
    if let Some(why) = Store::fenced_at(dir) {
        bail!("{}: {why}", dir.display());
    }
    ensure!(
        !Store::is_replica_at(dir),
        "{} is the folder of a standby: it fetches damaged messages from its primary while it runs; if it does not start, empty \
         the folder and pair it again",
        dir.display()
    );
    let mut repaired = Repaired::default();
    let (report, verified) = checked(config).await?;
    repaired.found = verified;
    if !json {
        super::print(&report);
    }
    if !report.is_sound() {
        let sources = Sources::open(config, args).await?;
        mend(config, &sources, &mut repaired).await?;
        if let Some(name) = sources.borrowing.as_ref().and_then(Borrowing::promoted) {
            let what = format!("{name} was promoted to primary: don't start this machine as a primary");
            eprintln!("warning: {what}");
        }
    }
    if json {
        json::print(json::value(&repaired)?);
    } else {
        println!();
        repaired.lines().iter().for_each(|line| println!("{line}"));
    }
    repaired.outcome()
}

async fn checked(config: &Config) -> anyhow::Result<(store::Report, crate::verifying::Verified)> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || check(&config)).await?
}

/// Whom to ask.
struct Sources {
    borrowing: Option<Borrowing>,
    places: Vec<Arc<Place>>,
}

impl Sources {
    async fn open(config: &Config, args: &RepairArgs) -> anyhow::Result<Self> {
        let places = if args.from_archive { repairing::archives(config, args)? } else { Vec::new() };
        let mut borrowing = None;
        if args.from_standby {
            let mut listeners = Vec::new();
            let row = Kind::Standby.row();
            for &address in config.listen.of(row.kind) {
                let bound = TcpListener::bind(address).await;
                listeners.push(bound.map_err(|error| anyhow::anyhow!(row.refused_with_remedy(address, &error)))?);
            }
            ensure!(!listeners.is_empty(), "no standby can connect: listen.standby is not set in the configuration");
            let listening = Borrowing::listen(&config.data_dir.join("standby"), listeners);
            let listening = listening.context("no standby is known to this machine")?;
            eprintln!("waiting for a standby to connect (up to {} s)", STANDBY_PATIENCE.as_secs());
            if listening.wait(STANDBY_PATIENCE).await {
                borrowing = Some(listening);
            } else {
                ensure!(
                    !places.is_empty(),
                    "no standby has connected: check that it is running and can reach this machine"
                );
                eprintln!("no standby has connected: continuing without one");
            }
        }
        Ok(Self { borrowing, places })
    }

    /// Those who have the log: the store need not be open.
    async fn logs(&self, config: &Config) -> anyhow::Result<Vec<Arc<dyn Donor>>> {
        let mut donors = self.standbys();
        donors.extend(repairing::logs(&config.data_dir, &self.places).await?);
        Ok(donors)
    }

    /// Those who have bodies of a store.
    async fn bodies(&self, store: &Store) -> anyhow::Result<Vec<Arc<dyn Donor>>> {
        let mut donors = self.standbys();
        for place in &self.places {
            if let Some(identities) = place.identities()? {
                let donor = ArchiveDonor::new(store.clone(), place.target().await?, identities);
                donors.push(Arc::new(donor.searching()));
            }
        }
        Ok(donors)
    }

    fn standbys(&self) -> Vec<Arc<dyn Donor>> {
        self.borrowing.iter().map(|borrowing| Arc::new(borrowing.donor()) as Arc<dyn Donor>).collect()
    }
}

/// The log first, since index and checkpoints can be made of it; then these; then bodies.
async fn mend(config: &Config, sources: &Sources, repaired: &mut Repaired) -> anyhow::Result<()> {
    let progress = || {
        let mut terminal = Terminal::default();
        move |what: &str, done, total| terminal.progress(what, done, total)
    };
    let filled = fill(&config.data_dir, store_options(config), &sources.logs(config).await?, progress()).await?;
    repaired.mended.extend(filled.done);
    // What is missing in the log may still be had: its history is given up by `verify --repair` alone.
    let log = if filled.left.is_empty() { store::RepairLog::Too } else { store::RepairLog::Not };
    let (dir, options) = (config.data_dir.clone(), store_options(config));
    let mut terminal = progress();
    let rebuilt = tokio::task::spawn_blocking(move || {
        store::repair_with(&dir, &options, log, |what, done, total| terminal(what, done, total))
    });
    match rebuilt.await? {
        Ok(done) => repaired.mended.extend(done),
        Err(error @ store::StoreError::Damaged { .. }) => repaired.left.push(error.to_string()),
        Err(error) => return Err(error.into()),
    }
    repaired.left.extend(filled.left.iter().map(|left| format!("the log: {left}")));
    if !filled.left.is_empty() {
        let more = if filled.unanswered { "try again when it is reachable" } else { "try another standby or archive" };
        eprintln!(
            "parts of the log are not available: {more}; `holdfast verify --repair` continues without them if possible"
        );
    }
    let (report, _) = checked(config).await?;
    let mended = bodies(config, sources, repaired).await?;
    for found in report.damage.iter().filter(|found| found.body.is_none_or(|id| !mended.contains(&id))) {
        let line = found.to_string();
        if !repaired.left.contains(&line) {
            repaired.left.push(line);
        }
    }
    Ok(())
}

/// Fetches the bodies that are known to be damaged; gives those that are well again.
async fn bodies(config: &Config, sources: &Sources, repaired: &mut Repaired) -> anyhow::Result<Vec<BodyId>> {
    let (dir, options) = (config.data_dir.clone(), store_options(config));
    let store = match tokio::task::spawn_blocking(move || Store::open(&dir, options)).await? {
        Ok(store) => store,
        // The report says why.
        Err(store::StoreError::Damaged { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let damaged: Vec<BodyId> = store.damaged_bodies().into_iter().map(|(id, _)| id).collect();
    if damaged.is_empty() {
        store.leave();
        return Ok(damaged);
    }
    let donors = sources.bodies(&store).await?;
    let names = donors.iter().map(|donor| donor.name()).collect::<Vec<_>>().join(", ");
    let mending = Mending::new(store.clone(), donors, |_| ()).patient();
    let terminal = parking_lot::Mutex::new(Terminal::default());
    let (count, _) = mending.all(&|done, total| terminal.lock().progress("messages", done, total)).await;
    terminal.lock().finish();
    let left: Vec<BodyId> = store.damaged_bodies().into_iter().map(|(id, _)| id).collect();
    if count > 0 {
        repaired.mended.push(format!("{count} damaged messages, from {names}"));
    }
    let closing = store.clone();
    drop((mending, store));
    tokio::task::spawn_blocking(move || closing.leave()).await?;
    Ok(damaged.into_iter().filter(|id| !left.contains(id)).collect())
}
