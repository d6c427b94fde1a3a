//! The gates of a plan: conditions that must be met before a step.

use std::{sync::Arc, time::Duration};

use continuity::stage::{Gate, Health};
use store::RealmId;

use crate::{parts::invariants, running::Running, services::Services};

/// How old the newest checkpoint may be.
const SNAPSHOT_AGE: Duration = Duration::from_secs(26 * 3600);

/// Looks at the services.
pub struct Gates {
    running: Arc<Running>,
}

impl Gates {
    pub const fn new(running: Arc<Running>) -> Self {
        Self { running }
    }
}

/// Checks the essential data: reads the whole directory and queue. A damaged account is quarantined alone and does not
/// prevent the return of the others.
fn verified(services: &Services) -> Result<(), String> {
    if let Some(reason) = services.store.stopped() {
        return Err(format!("the store has stopped: {reason}"));
    }
    for realm in [RealmId::DIRECTORY, RealmId::QUEUE] {
        let report =
            services.store.scrub_realm(realm, &invariants(), false, &|| true).map_err(|error| error.to_string())?;
        if let Some(first) = report.damage.first() {
            return Err(format!("{first}; stop the service and run: holdfast verify --repair"));
        }
    }
    Ok(())
}

fn snapshot(services: &Services) -> Result<(), String> {
    let newest = services.store.newest_checkpoint_ms().map_err(|error| error.to_string())?;
    let Some(newest) = newest else {
        return Err("there is no checkpoint; to make one: holdfast maintain".to_owned());
    };
    let age_ms = jiff::Timestamp::now().as_millisecond().saturating_sub(newest);
    if age_ms > i64::try_from(SNAPSHOT_AGE.as_millis()).unwrap_or(i64::MAX) {
        return Err(format!(
            "the newest checkpoint is {} hours old; to make a new one: holdfast maintain",
            age_ms / 3_600_000
        ));
    }
    Ok(())
}

fn queue_below(services: &Services, limit: u64) -> Result<(), String> {
    let waiting = services.delivery.queue_stats().map_err(|error| error.to_string())?.messages;
    if waiting < limit { Ok(()) } else { Err(format!("messages waiting in the queue: {waiting}")) }
}

#[async_trait::async_trait]
impl Health for Gates {
    async fn check(&self, gate: Gate) -> Result<(), String> {
        let running = self.running.clone();
        let services = running.services.clone();
        let look = move || match gate {
            Gate::Verified => verified(&services),
            Gate::Snapshot => snapshot(&services),
            Gate::Replica => match running.primary.get() {
                Some(primary) if primary.has_a_copy() => Ok(()),
                Some(_) => Err("no standby is in sync".to_owned()),
                None => Err("there is no standby".to_owned()),
            },
            Gate::LoginsBelow(limit) => {
                let rate = services.directory.login_rate();
                if rate < limit as f64 { Ok(()) } else { Err(format!("{rate:.0} logins per second")) }
            }
            Gate::QueueBelow(limit) => queue_below(&services, limit),
        };
        tokio::task::spawn_blocking(look).await.map_err(|error| error.to_string())?
    }
}
