//! The search index of all accounts, while the service runs.

use std::{sync::Arc, time::Duration};

use continuity::stage::Stage;
use tokio_util::sync::CancellationToken;

use crate::services::Services;

/// How often it is looked whether the service is open.
const WHILE_COMING_BACK: Duration = Duration::from_secs(2);

/// Keeps the index up to date until shut down, once the service is open and whole.
pub async fn serve(services: Arc<Services>, stop: CancellationToken) -> anyhow::Result<()> {
    while services.stages.now().stage < Stage::Open || services.store.is_partial() {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(WHILE_COMING_BACK) => {}
        }
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = services.index.clone().run() => {}
    }
    Ok(())
}
