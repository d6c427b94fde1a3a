//! Runs a benchmark on its connections.

use std::time::Instant;

use anyhow::{Context as _, Result};
use tokio::task::JoinSet;

use super::{
    common::Common,
    report::{Report, Samples},
};

/// Runs one task a connection and gathers what they measured. A task that fails counts as one error of `step`.
pub(super) async fn gather<F, Fut>(common: &Common, step: &'static str, task: F) -> Result<Report>
where
    F: Fn(u32, Samples) -> Fut,
    Fut: Future<Output = (Samples, Result<()>)> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for connection in 0..common.connections {
        tasks.spawn(task(connection, Samples::default()));
    }
    let mut all = Samples::default();
    while let Some(done) = tasks.join_next().await {
        let (samples, outcome) = done.context("a connection's task broke down")?;
        all.merge(samples);
        if let Err(error) = outcome {
            all.error(step, &error);
        }
    }
    Ok(Report::new(common, began.elapsed(), all))
}
