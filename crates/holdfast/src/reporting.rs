//! What is reported to the owners of others' domains: counts are written down every minute, reports go out once a day.

use std::{sync::Arc, time::Duration};

use continuity::stage::Stage;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::services::Services;

/// How often counts are written down: those since the last time are lost in a crash.
const WRITE_EVERY: Duration = Duration::from_secs(60);
/// From the start of the service to the first reports, at most.
const AFTER_START: Duration = Duration::from_secs(30 * 60);
/// From the end of a day (UTC) to its reports, at least and at most: not all servers of the world at once.
const AFTER_MIDNIGHT: (Duration, Duration) = (Duration::from_secs(20 * 60), Duration::from_secs(5 * 3600));
/// How long until domains about which the DNS gave no answer are asked about again.
const ASK_AGAIN: Duration = Duration::from_secs(3600);
/// Between two reports.
const BETWEEN: Duration = Duration::from_secs(2);
const DAY_MS: i64 = 86_400_000;

/// Counts and reports until shut down; what is counted then is written down.
pub async fn serve(services: Arc<Services>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut due = Instant::now() + AFTER_START.mul_f64(rand::random());
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(WRITE_EVERY) => {}
        }
        services.reports.observed().write().await;
        let is_open = services.stages.now().stage >= Stage::Open && !services.store.is_partial();
        if !is_open || !services.config.reports.send_dmarc || Instant::now() < due {
            continue;
        }
        let made = tokio::select! {
            () = stop.cancelled() => break,
            made = services.daily_reports.run(false, BETWEEN) => made,
        };
        let again = match made {
            Ok(made) if made.later == 0 => until_tomorrow(services.store.clock().now_ms()),
            Ok(_) => ASK_AGAIN,
            Err(error) => {
                tracing::warn!(%error, "could not make DMARC reports");
                ASK_AGAIN
            }
        };
        due = Instant::now() + again;
    }
    services.reports.observed().write().await;
    Ok(())
}

/// From now to some time after the day is over.
fn until_tomorrow(now_ms: i64) -> Duration {
    let left = u64::try_from(DAY_MS - now_ms.rem_euclid(DAY_MS)).unwrap_or_default();
    let (least, most) = AFTER_MIDNIGHT;
    Duration::from_millis(left) + least + most.saturating_sub(least).mul_f64(rand::random())
}
