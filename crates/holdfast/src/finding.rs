//! The search index of all accounts, while the service runs.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::services::Services;

/// Keeps the index up to date until shut down, once the service is open and whole.
pub async fn serve(services: Arc<Services>, stop: CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = services.until_open() => {}
    }
    tokio::select! {
        () = stop.cancelled() => {}
        () = services.index.clone().run() => {}
    }
    Ok(())
}
