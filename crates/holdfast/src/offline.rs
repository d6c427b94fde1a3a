//! Commands that need the data folder for themselves: `verify` and `rebuild-index`.

use std::process::ExitCode;

use anyhow::Context as _;
use store::{Report, StoreError};

use crate::{
    config::Config,
    maintenance::INVARIANTS,
    progress::Terminal,
    services::{NO_DATA, has_data, store_options},
};

/// Damage that is listed one by one; more is counted.
const MAX_LISTED: usize = 200;

/// Checks everything that is stored. Exits with 1 when something is wrong (and was not repaired).
pub fn verify(config: &Config, repair: bool) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(has_data(&config.data_dir), "{}: {NO_DATA}", config.data_dir.display());
    let mut report = check(config)?;
    print(&report);
    if report.is_sound() {
        println!("ok: no damage found");
        return Ok(ExitCode::SUCCESS);
    }
    if !repair {
        println!("\ncopy the data folder, then run `holdfast verify --repair` to repair what can be rebuilt");
        return Ok(ExitCode::FAILURE);
    }
    println!("\nrepair:");
    let mut terminal = Terminal::default();
    let done = store::repair(&config.data_dir, &store_options(config), |what, done, total| {
        terminal.progress(what, done, total);
    });
    terminal.finish();
    for action in done? {
        println!("  {action}");
    }
    println!();
    report = check(config)?;
    print(&report);
    if report.is_sound() {
        println!("repaired: no damage is left");
        return Ok(ExitCode::SUCCESS);
    }
    println!("the damage listed above could not be repaired from this machine's data");
    Ok(ExitCode::FAILURE)
}

fn check(config: &Config) -> anyhow::Result<Report> {
    let mut terminal = Terminal::default();
    let report = store::verify(&config.data_dir, store_options(config), &INVARIANTS, |what, done, total| {
        terminal.progress(what, done, total);
    });
    terminal.finish();
    match report {
        Err(error @ StoreError::Locked { .. }) => Err(error).context("stop the service first"),
        other => Ok(other?),
    }
}

fn print(report: &Report) {
    println!(
        "checked {} commits, {} checkpoints, {} records in {} realms, {} bodies",
        report.commits, report.checkpoints, report.records, report.realms, report.bodies
    );
    for realm in &report.released {
        println!("REPAIRED: {realm}");
    }
    for damage in report.damage.iter().take(MAX_LISTED) {
        println!("DAMAGED: {damage}");
    }
    if report.damage.len() > MAX_LISTED {
        println!("… and {} more", report.damage.len() - MAX_LISTED);
    }
}

/// Builds the index from nothing.
pub fn rebuild_index(config: &Config) -> anyhow::Result<()> {
    anyhow::ensure!(has_data(&config.data_dir), "{}: {NO_DATA}", config.data_dir.display());
    let mut terminal = Terminal::default();
    let rebuilt = store::rebuild_index(&config.data_dir, &store_options(config), |what, done, total| {
        terminal.progress(what, done, total);
    });
    terminal.finish();
    let rebuilt = rebuilt?;
    for reason in &rebuilt.passed_over {
        println!("SKIPPED: {reason}");
    }
    match rebuilt.checkpoint {
        Some(seq) => println!("the index was rebuilt from checkpoint {seq} and {} commits", rebuilt.commits),
        None => println!("the index was rebuilt from {} commits", rebuilt.commits),
    }
    Ok(())
}
