//! Snoozed messages return at their time, while the service runs.

use std::sync::Arc;

use mailstore::Snoozes;
use tokio_util::sync::CancellationToken;

use crate::services::Services;

/// What is told of commits, from now on.
pub fn watch(services: &Services) -> Arc<Snoozes> {
    Snoozes::of(&services.store)
}

/// Brings messages back until shut down, once the service is open and whole.
pub async fn serve(services: Arc<Services>, snoozes: Arc<Snoozes>, stop: CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        () = stop.cancelled() => return Ok(()),
        () = services.until_open() => {}
    }
    let now_ms = || jiff::Timestamp::now().as_millisecond();
    tokio::select! {
        () = stop.cancelled() => {}
        () = snoozes.run(&services.mailstore, now_ms) => {}
    }
    Ok(())
}
