//! `cargo xtask proofs`: the scenarios of docs/continuity.md with real processes, and a table of what each one lost and
//! how long it took.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::{
    install,
    run::{root, run},
};

/// Where the scenarios are: what to select of the workspace, and which tests of it (none: all of them). Always the whole
/// workspace: features are unified over what is built together, so a crate alone would compile many dependencies anew.
const SCENARIOS: [(&str, &[&str]); 11] = [
    ("--test=it", &["crash::"]),
    ("--lib", &["ten_thousand_crashes"]),
    ("--test=it", &["one_flipped_bit_anywhere"]),
    ("--test=it", &["standby::failover::", "standby::tripwires::a_client_that_deletes_everything"]),
    ("--test=it", &["rewind::a_client_that_deletes_everything"]),
    ("--test=it", &["archive::both_machines_burn", "archive::one_second_before", "archive::kill_9"]),
    ("--test=it", &["restore::an_empty_machine_serves", "restore::kill_9", "restore::mail_and_address_book"]),
    ("--test=it", &["storm::"]),
    ("--test=it", &["stages::after_a_kill", "stages::no_proxy"]),
    ("--test=it", &["soak::"]),
    ("--test=it", &["relay::nothing_is_lost", "relay::what_waited_is_drained", "relay::postfix::"]),
];

/// How much of each scenario a night has room for; what a variable means is said by the test that reads it.
const NIGHT: [(&str, &str); 6] = [
    ("HOLDFAST_SOAK_ROUNDS", "100"),
    ("HOLDFAST_ARCHIVE_ROUNDS", "100"),
    ("HOLDFAST_RESTORE_ROUNDS", "100"),
    ("HOLDFAST_STORM", "5000"),
    ("HOLDFAST_RELAY_MESSAGES", "500000"),
    ("HOLDFAST_RELAY_CUT_MESSAGES", "5000"),
];

/// Runs all scenarios, one after the other so that they do not slow each other. `--night` runs the long ones.
pub fn proofs(args: &[&str]) -> Result<()> {
    let night = args == ["--night"];
    ensure!(night || args.is_empty(), "there is only --night: 100 rounds of each soak, 5,000 clients at once");
    install::debian_packages()?;
    install::python_packages()?;
    run(Command::new("cargo").args(["test", "--workspace", "--locked", "--no-run"]).current_dir(root()))?;
    let mut rows = Vec::new();
    for (target, names) in SCENARIOS {
        rows.extend(scenario(target, names, night)?);
    }
    println!("\n| what happened | lost | took |\n|---|---|---|");
    for row in rows {
        println!("{row}");
    }
    Ok(())
}

/// Runs some scenarios; gives a row for each proof that they state.
fn scenario(target: &str, names: &[&str], night: bool) -> Result<Vec<String>> {
    println!("== {target} {}", names.join(" "));
    let mut command = Command::new("cargo");
    command.args(["test", "--quiet", "--locked", "--workspace", target, "--"]);
    command.args(names).args(["--nocapture", "--test-threads=1"]).current_dir(root()).stdout(Stdio::piped());
    if night {
        command.envs(NIGHT);
    }
    let mut child = command.spawn().context("cargo test")?;
    let mut rows = Vec::new();
    for line in BufReader::new(child.stdout.take().expect("it is piped")).lines() {
        let line = line?;
        // The harness writes a dot before what a test prints first.
        if let Some((_, proof)) = line.split_once("proof | ") {
            ensure!(proof.split(" | ").count() == 3, "{target}: not of the form WHAT | LOST | TOOK: {proof}");
            rows.push(format!("| {proof} |"));
        }
        println!("{line}");
    }
    ensure!(child.wait()?.success(), "{target}: a scenario failed");
    ensure!(!rows.is_empty(), "{target}: no scenario of {names:?} proved anything");
    Ok(rows)
}
