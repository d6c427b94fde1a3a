//! The donors for data that is damaged on this machine: its standbys, then the archives that it can read.

use std::sync::{Arc, atomic::Ordering};

use continuity::{
    archive::donor::ArchiveDonor,
    mending::{Donor, Mending},
    standby::StandbyDonor,
};
use tokio_util::sync::CancellationToken;

use crate::running::Running;

/// The standbys, when this machine has a listener for them.
pub fn standbys(running: &Running) -> Option<Arc<dyn Donor>> {
    let primary = running.primary.get()?;
    Some(Arc::new(StandbyDonor::of(primary)))
}

/// The archives that this machine has an identity for; others only it can't read.
pub async fn archives(running: &Running) -> Vec<Arc<dyn Donor>> {
    let mut donors: Vec<Arc<dyn Donor>> = Vec::new();
    for place in running.archives.places(None).unwrap_or_default() {
        match (place.identities(), place.target().await) {
            (Ok(Some(identities)), Ok(target)) => {
                let donor = ArchiveDonor::new(running.services.store.clone(), target, identities);
                let searches = running.services.log_was_fetched.load(Ordering::Relaxed);
                donors.push(Arc::new(if searches { donor.searching() } else { donor }));
            }
            (Ok(None), _) => {}
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(
                    archive = place.name(),
                    error = format!("{error:#}"),
                    "the archive can't be asked for damaged data"
                );
            }
        }
    }
    donors
}

/// Repairs damaged data until shut down.
pub async fn serve(running: Arc<Running>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let store = &running.services.store;
    let mut donors: Vec<Arc<dyn Donor>> = standbys(&running).into_iter().collect();
    donors.extend(archives(&running).await);
    if donors.is_empty() || store.is_partial() {
        shutdown.cancelled().await;
        return Ok(());
    }
    Mending::new(store.clone(), donors, |_| ()).serve(shutdown).await;
    Ok(())
}
