//! Commands that need the data folder for themselves: `verify`, `repair` and `rebuild-index`.

pub mod repair;

use std::sync::Arc;

use directory::SecretsRules;
use store::{Invariants, Report};

use crate::{
    config::Config,
    failure::Code,
    json,
    parts::invariants_and_keys,
    progress::Terminal,
    repairing, secrets,
    services::{check_has_data, store_options},
    verifying::{Verified, outcome},
};

/// Damage that is listed one by one; more is counted.
const MAX_LISTED: usize = 200;

/// Checks everything that is stored.
///
/// # Errors
/// Also when something is wrong (and was not repaired), so that scripts see it.
pub fn verify(config: &Config, repair: bool, json: bool) -> anyhow::Result<()> {
    check_has_data(&config.data_dir)?;
    let (mut report, verified) = check(config)?;
    if json {
        println!("{}", serde_json::to_string(&verified)?);
        return outcome(&verified);
    }
    print(&report);
    for missing in &verified.missing_keys {
        println!("MISSING: {missing}");
    }
    if report.is_sound() {
        println!("ok: no damage found");
        return outcome(&verified);
    }
    if !repair {
        println!();
        for (what, command) in repairing::ways(config) {
            println!("{what}: {command}");
        }
        println!("copy the data folder before repairing it");
        return outcome(&verified);
    }
    println!("\nrepair:");
    let mut terminal = Terminal::default();
    for action in repaired(config, &mut terminal)? {
        println!("  {action}");
    }
    println!();
    (report, _) = check(config)?;
    print(&report);
    if report.is_sound() {
        println!("repaired: no damage is left");
        return Ok(());
    }
    Err(Code::Damaged.error("the damage listed above could not be repaired from this machine's data"))
}

/// Repairs what can be rebuilt; gives what was done.
fn repaired(config: &Config, terminal: &mut Terminal) -> anyhow::Result<Vec<String>> {
    let done = store::repair(&config.data_dir, &store_options(config), |what, done, total| {
        terminal.progress(what, done, total);
    });
    terminal.finish();
    Ok(done?)
}

/// Checks everything, and keeps what came of it for `holdfast status`.
fn check(config: &Config) -> anyhow::Result<(Report, Verified)> {
    let now_ms = || jiff::Timestamp::now().as_millisecond();
    let begun = Verified::begun(now_ms(), false);
    let mut terminal = Terminal::default();
    let rules = SecretsRules::new(Arc::new(secrets::keys(&config.secrets)));
    let all: Vec<&dyn Invariants> = invariants_and_keys().into_iter().chain([&rules as &dyn Invariants]).collect();
    let report = store::verify(&config.data_dir, store_options(config), &all, |what, done, total| {
        terminal.progress(what, done, total);
    });
    terminal.finish();
    let report = report?;
    let verified = begun.with(&report, now_ms()).with_secrets(&rules.found());
    if let Err(error) = verified.keep(&config.data_dir) {
        tracing::warn!(%error, "`holdfast status` will not say what was found");
    }
    Ok((report, verified))
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
pub fn rebuild_index(config: &Config, json: bool) -> anyhow::Result<()> {
    check_has_data(&config.data_dir)?;
    let mut terminal = Terminal::new(json);
    let rebuilt = store::rebuild_index(&config.data_dir, &store_options(config), |what, done, total| {
        terminal.progress(what, done, total);
    });
    terminal.finish();
    let rebuilt = rebuilt?;
    if json {
        json::print(serde_json::json!({
            "checkpoint": rebuilt.checkpoint.map(|seq| seq.0),
            "commits": rebuilt.commits,
            "skipped": rebuilt.passed_over,
        }));
        return Ok(());
    }
    for reason in &rebuilt.passed_over {
        println!("SKIPPED: {reason}");
    }
    match rebuilt.checkpoint {
        Some(seq) => println!("the index was rebuilt from checkpoint {seq} and {} commits", rebuilt.commits),
        None => println!("the index was rebuilt from {} commits", rebuilt.commits),
    }
    Ok(())
}
