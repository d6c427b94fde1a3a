//! Serves standbys, and tells the old primary that this machine has taken over.

use anyhow::Context as _;
use continuity::standby::{Mode, Primary, PrimaryOptions, finish_promotion, promotion_is_finished, tell_former};
use store::RealmId;
use tokio::net::TcpListener;

use crate::{
    config::{Config, StandbyMode, WhenAway},
    listeners::Kind,
    running::Running,
    services::Services,
    supervisor::{Phase, Supervisor},
};

/// Binds the configured addresses.
pub async fn bind(config: &Config) -> anyhow::Result<Vec<TcpListener>> {
    let row = Kind::Standby.row();
    let mut listeners = Vec::new();
    for &address in config.listen.of(row.kind) {
        let bound = TcpListener::bind(address).await;
        let listener = bound.map_err(|error| anyhow::anyhow!(row.refused_with_remedy(address, &error)))?;
        println!("{}", row.line(listener.local_addr()?));
        listeners.push(listener);
    }
    Ok(listeners)
}

/// Finishes a promotion: undoes discarded changes, and renumbers so that no number that clients may have seen is reused.
pub async fn after_promotion(services: &Services) -> anyhow::Result<()> {
    let store = services.store.clone();
    let left = tokio::task::spawn_blocking(move || finish_promotion(&store)).await??;
    if left.undone > 0 {
        println!("{} accounts were restored to their state before the discarded commits", left.undone);
    }
    bring_back(services, &left.undelete).await?;
    let mut mailboxes = 0;
    for realm in &left.renumber {
        mailboxes += services.mailstore.renumber(*realm).await.with_context(|| format!("{realm}: new UIDVALIDITYs"))?;
    }
    if mailboxes > 0 {
        println!("{mailboxes} mailboxes have a new UIDVALIDITY: mail apps download them again");
    }
    promotion_is_finished(&services.config.data_dir)?;
    Ok(())
}

/// Restores accounts whose deletion was discarded. A failure must not prevent the service from starting.
async fn bring_back(services: &Services, left_out: &[RealmId]) -> anyhow::Result<()> {
    if left_out.is_empty() {
        return Ok(());
    }
    for (id, address, deleted_ms) in services.directory.deleted()? {
        if !left_out.contains(&id.realm()) {
            continue;
        }
        match services.directory.bring_back(id, deleted_ms).await {
            Ok(taken) => {
                println!("restored {address}: its deletion was discarded");
                for address in taken {
                    println!("without {address}: another account has it, or its domain was removed");
                }
            }
            Err(error) => {
                tracing::error!(
                    address,
                    error = format!("{error:#}"),
                    "this account's deletion was discarded, but the account could not be restored; run: holdfast rewind ADDRESS --deleted"
                );
            }
        }
    }
    Ok(())
}

/// From here on commits wait for a standby, where that was asked for.
pub fn serve(running: &Running, listeners: Vec<TcpListener>, supervisor: &mut Supervisor) -> anyhow::Result<()> {
    let config = &running.services.config;
    if !listeners.is_empty() {
        let settings = &config.standby;
        let mode = match (settings.mode, settings.when_away) {
            (StandbyMode::Async, _) => Mode::Async,
            (StandbyMode::Sync, WhenAway::Wait) => Mode::SyncOrWait,
            (StandbyMode::Sync, WhenAway::Degrade) => Mode::SyncOrDegrade,
        };
        let options = PrimaryOptions { mode, away_after: settings.away_after.0 };
        let dir = config.data_dir.join("standby");
        let primary = Primary::open(running.services.store.clone(), &dir, options)?;
        for listener in listeners {
            let primary = primary.clone();
            supervisor.essential(Phase::Copies, "standbys", move |stop| async move {
                primary.serve(listener, stop).await.map_err(Into::into)
            });
        }
        let _ = running.primary.set(primary);
    }
    let (data_dir, name) = (config.data_dir.clone(), config.hostname.clone());
    supervisor.kept_up(Phase::Work, "former primary", move |stop| {
        let (data_dir, name) = (data_dir.clone(), name.clone());
        async move {
            let told = tell_former(&data_dir, &name, &stop).await;
            told.context("could not tell the old primary that it is no longer the primary")
        }
    });
    Ok(())
}
