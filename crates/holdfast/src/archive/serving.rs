//! Serves the archives while the service runs.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Archives, try_out::is_try_out};
use crate::services::Services;

/// Ships and takes snapshots until shut down. Failures are reported and retried; they never end the service.
pub async fn serve(services: Arc<Services>, archives: Archives, shutdown: CancellationToken) -> anyhow::Result<()> {
    while is_try_out(&services.config.data_dir) {
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    let mut tasks = JoinSet::new();
    for place in &archives.places {
        let (shipping, taking) = (place.clone(), place.clone());
        let (store, stop) = (services.store.clone(), shutdown.clone());
        tasks.spawn(async move { shipping.keep_shipping(store, stop).await });
        let (services, stop) = (services.clone(), shutdown.clone());
        tasks.spawn(async move { taking.keep_taking_snapshots(services, stop).await });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.context("an archive's task")?;
    }
    shutdown.cancelled().await;
    Ok(())
}
