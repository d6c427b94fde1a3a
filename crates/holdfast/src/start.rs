//! `holdfast serve`, and what a promoted standby becomes: the service, or the rest of an unfinished restore with it.

use std::process::ExitCode;

use crate::{config::Config, relaying, restore::behind, serve};

/// Runs the service until SIGTERM, SIGINT, or the failure of an essential task. Continues an unfinished restore.
///
/// # Errors
/// The service can't start, or an essential task failed.
pub async fn run(config: Config) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !relaying::is_relay(&config.data_dir),
        "{}: this is the data folder of a relay; run: holdfast relay",
        config.data_dir.display()
    );
    if let Some(args) = behind::unfinished(&config.data_dir)? {
        return behind::run(config, args).await;
    }
    let metrics = serve::metrics()?;
    serve::run_measured(config, metrics).await
}
