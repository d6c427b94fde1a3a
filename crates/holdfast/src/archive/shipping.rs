//! Keeps an archive up to date with the log.

use std::time::Duration;

use continuity::archive::{codec::Recipients, line::Line, ship::Shipper};
use store::Store;
use tokio_util::sync::CancellationToken;

use super::place::{Place, Shipping};

/// The delay after failures that a quick retry can't fix.
const TRY_AGAIN: Duration = Duration::from_secs(600);
/// How long a stopping service continues shipping.
pub const LAST_SHIPPING: Duration = Duration::from_secs(5);

impl Place {
    async fn ship(&self, store: &Store, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let target = self.target().await?;
        let line = Line::of(store, &target).await?;
        let recipients = Recipients::parse(&self.config.recipients)?;
        let shipper = Shipper::new(store.clone(), target, recipients, line, self.config.ship_every.0);
        {
            let mut state = self.state.lock();
            state.ship = Some(Shipping { status: shipper.status(), ask: shipper.ask() });
            state.failing = None;
        }
        let status = shipper.status();
        let want = async {
            let mut looks = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(500)).await;
                let status = status.lock();
                if status.looks > looks {
                    looks = status.looks;
                    if status.restorable.as_ref().is_some_and(|found| found.needs_snapshot) {
                        self.wanted.notify_one();
                    }
                }
            }
        };
        tokio::select! {
            outcome = shipper.run(shutdown.clone()) => outcome?,
            () = want => unreachable!("it watches for ever"),
        }
        match tokio::time::timeout(LAST_SHIPPING, shipper.catch_up()).await {
            Ok(Ok(seq)) => tracing::info!(target = self.name(), %seq, "shipped to the archive"),
            Ok(Err(error)) => {
                tracing::warn!(target = self.name(), %error, "the last commits were not shipped to the archive yet");
            }
            Err(_) => tracing::warn!(target = self.name(), "the last commits were not shipped to the archive yet"),
        }
        Ok(())
    }

    /// Ships until shut down; begins again after a failure.
    pub(super) async fn keep_shipping(&self, store: Store, shutdown: CancellationToken) {
        while !shutdown.is_cancelled() {
            if let Err(error) = self.ship(&store, &shutdown).await {
                tracing::error!(
                    target = self.name(),
                    error = format!("{error:#}"),
                    "shipping to the archive has ended"
                );
                self.state.lock().failing = Some(format!("{error:#}"));
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = tokio::time::sleep(TRY_AGAIN) => {}
                }
            }
        }
    }
}
