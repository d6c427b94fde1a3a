//! `holdfast serve`, and what a promoted standby becomes: the service, or the rest of an unfinished restore with it.

use std::process::ExitCode;

use crate::{config::Config, restore::behind, serve};

/// Runs the service until SIGTERM, SIGINT, or the failure of an essential task. Continues an unfinished restore.
///
/// # Errors
/// The service can't start, or an essential task failed.
pub async fn run(config: Config) -> anyhow::Result<ExitCode> {
    if let Some(args) = behind::unfinished(&config.data_dir)? {
        return behind::run(config, args).await;
    }
    let metrics = serve::metrics()?;
    serve::run_measured(config, metrics).await
}
