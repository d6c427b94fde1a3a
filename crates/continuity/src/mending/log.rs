//! Commits that are damaged or missing in this machine's log, from those who have them too.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use store::{Filled, LogDonor, Seq, StoreError, StoreOptions, fill_log};
use tokio::runtime::Handle;

use super::{Donor, Mending};

/// How long one may take to give a run of commits.
const PATIENCE: Duration = Duration::from_secs(60);

/// A log that somebody has.
pub trait History: Send + Sync {
    /// What it is called.
    fn name(&self) -> String;

    /// A run of commits in the form of a log segment which commit `from` is in; none when it does not have that one. What
    /// it gives is checked by who asked.
    fn run(&self, from: Seq) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>>;
}

/// What came of asking others for the log.
pub type Outcome = Result<Filled, StoreError>;

/// The logs that donors have, for threads that may block; and who could not be asked, and why.
async fn histories(donors: &[Arc<dyn Donor>]) -> (Vec<Blocking>, Vec<String>) {
    let (mut all, mut silent) = (Vec::new(), Vec::new());
    for donor in donors {
        match tokio::time::timeout(PATIENCE, donor.histories()).await {
            Ok(Ok(histories)) => all.extend(histories.into_iter().map(Blocking::new)),
            Ok(Err(error)) => silent.push(format!("{} can't be asked: {error}", donor.name())),
            Err(_) => silent.push(format!("{} does not answer", donor.name())),
        }
    }
    (all, silent)
}

/// Mends the log of a closed store from others. What is replaced is set aside.
///
/// # Errors
/// As [`store::fill_log`].
pub async fn fill(
    dir: &Path,
    options: StoreOptions,
    donors: &[Arc<dyn Donor>],
    progress: impl FnMut(&str, u64, u64) + Send + 'static,
) -> Outcome {
    let (histories, silent) = histories(donors).await;
    let dir = dir.to_owned();
    blocking(histories, silent, move |donors| fill_log(&dir, &options, donors, progress)).await
}

impl Mending {
    /// Mends the closed segments of the log of a store that is open. What is replaced is set aside.
    ///
    /// # Errors
    /// As [`store::Store::fill_log`].
    pub async fn fill_log(&self, progress: impl FnMut(&str, u64, u64) + Send + 'static) -> Outcome {
        let (histories, silent) = histories(&self.donors).await;
        let store = self.store.clone();
        blocking(histories, silent, move |donors| store.fill_log(donors, progress)).await
    }
}

async fn blocking(
    mut histories: Vec<Blocking>,
    silent: Vec<String>,
    work: impl FnOnce(&mut [&mut dyn LogDonor]) -> Outcome + Send + 'static,
) -> Outcome {
    let filling = tokio::task::spawn_blocking(move || {
        let mut donors: Vec<&mut dyn LogDonor> =
            histories.iter_mut().map(|history| history as &mut dyn LogDonor).collect();
        work(&mut donors)
    });
    let mut filled = filling.await.unwrap_or_else(|error| Err(StoreError::Panicked(error.to_string())))?;
    if !filled.left.is_empty() && !silent.is_empty() {
        filled.unanswered = true;
        filled.left.extend(silent);
    }
    metrics::counter!("holdfast_store_filled_commits_total").increment(filled.commits);
    Ok(filled)
}

/// Says what came of it where nobody has typed a command.
pub(super) fn tell(filled: Outcome) {
    match filled {
        Ok(filled) => {
            for done in filled.done {
                tracing::error!("the log was damaged, and is as it was again: {done}: look at this machine's disk");
            }
            for left in filled.left {
                tracing::warn!("the log is damaged: {left}");
            }
        }
        Err(error) => tracing::warn!(%error, "the log is damaged, and can't be mended now"),
    }
}

/// A history, asked by a thread that may block.
struct Blocking {
    history: Arc<dyn History>,
    runtime: Handle,
}

impl Blocking {
    fn new(history: Arc<dyn History>) -> Self {
        Self { history, runtime: Handle::current() }
    }
}

impl LogDonor for Blocking {
    fn name(&self) -> String {
        self.history.name()
    }

    fn run(&mut self, from: Seq) -> Result<Option<Vec<u8>>, String> {
        let asking = async { tokio::time::timeout(PATIENCE, self.history.run(from)).await };
        self.runtime.block_on(asking).unwrap_or_else(|_| Err("it does not answer".to_owned()))
    }
}
