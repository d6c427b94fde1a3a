//! Driving the load generators, and waiting for a quiet machine.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::side::PASSWORD;

/// Of the machine's time, how much others may take while we are about to measure.
const BUSY: f64 = 0.10;
/// Looks at how busy the machine is before measuring all the same.
const LOOKS: u32 = 10;

/// `holdfast bench`.
#[derive(Clone)]
pub struct Load {
    binary: PathBuf,
}

/// What it reported.
pub struct Report(Value);

impl Load {
    pub fn new(binary: &Path) -> Self {
        Self { binary: binary.to_owned() }
    }

    /// Messages to all accounts in turn.
    pub fn smtp(&self, target: &str, connections: u32, accounts: u32, arguments: &[String]) -> Result<Report> {
        let mut all: Vec<String> = (0..accounts).map(|n| format!("--to=bench{n}@bench.example")).collect();
        all.extend_from_slice(arguments);
        self.run("smtp", target, connections, &all)
    }

    /// Messages to one address.
    pub fn smtp_to(&self, target: &str, connections: u32, to: &str, messages: u64, size: u32) -> Result<Report> {
        let arguments = [format!("--to={to}"), format!("--messages={messages}"), format!("--size={size}")];
        self.run("smtp", target, connections, &arguments)
    }

    /// IMAP as one user.
    pub fn imap(&self, target: &str, connections: u32, user: &str, arguments: &[String]) -> Result<Report> {
        let mut all = vec![format!("--user={user}")];
        all.extend_from_slice(arguments);
        self.run("imap", target, connections, &all)
    }

    /// IMAP as all users in turn.
    pub fn imap_all(&self, target: &str, connections: u32, accounts: u32, arguments: &[String]) -> Result<Report> {
        let mut all: Vec<String> = (0..accounts).map(|n| format!("--user=bench{n}@bench.example")).collect();
        all.extend_from_slice(arguments);
        self.run("imap", target, connections, &all)
    }

    /// The webmail as one user.
    pub fn web(&self, target: &str, user: &str, arguments: &[String]) -> Result<Report> {
        let mut all = vec![format!("--user={user}")];
        all.extend_from_slice(arguments);
        self.run("web", target, 1, &all)
    }

    fn run(&self, what: &str, target: &str, connections: u32, arguments: &[String]) -> Result<Report> {
        let output = Command::new(&self.binary)
            .args(["bench", what, "--json", "--insecure", "--target", target])
            .arg(format!("--connections={connections}"))
            .args(arguments)
            .env("HOLDFAST_BENCH_PASSWORD", PASSWORD)
            .stderr(Stdio::inherit())
            .output()?;
        ensure!(output.status.success(), "bench {what} at {target} ended with {}", output.status);
        let report = Report(serde_json::from_slice(&output.stdout)?);
        // A run with errors measures something else.
        for step in report.0["steps"].as_array().into_iter().flatten() {
            if step["errors"].as_u64() != Some(0) {
                bail!("bench {what} at {target}: {}: {}", step["step"], step["error_texts"]);
            }
        }
        Ok(report)
    }
}

impl Report {
    fn figure(&self, step: &str, name: &str) -> Result<f64> {
        let steps = self.0["steps"].as_array().context("steps")?;
        let line = steps.iter().find(|line| line["step"] == step).with_context(|| format!("no step {step}"))?;
        line[name].as_f64().with_context(|| format!("{step} has no {name}"))
    }

    /// Things done a second.
    pub fn rate(&self, step: &str) -> Result<f64> {
        self.figure(step, "items_per_second")
    }

    /// Things done.
    pub fn items(&self, step: &str) -> Result<u64> {
        Ok(self.figure(step, "items")? as u64)
    }

    /// Milliseconds.
    pub fn p50(&self, step: &str) -> Result<f64> {
        self.figure(step, "p50_ms")
    }

    /// Milliseconds.
    pub fn p99(&self, step: &str) -> Result<f64> {
        self.figure(step, "p99_ms")
    }

    /// Milliseconds.
    pub fn max(&self, step: &str) -> Result<f64> {
        self.figure(step, "max_ms")
    }

    /// The number of a note such as "12.3 MiB".
    pub fn note_mib(&self, name: &str) -> Result<f64> {
        let note = self.0["notes"][name].as_str().with_context(|| format!("no note {name}"))?;
        note.trim_end_matches(" MiB").parse().with_context(|| note.to_owned())
    }
}

/// Postfix's generator: `processes` at once, each with its sessions, its messages and an account of its own.
pub fn smtp_source(target: &str, processes: u32, sessions: u32, messages: u64, size: u32, keep: bool) -> Result<()> {
    let mut children = Vec::new();
    for n in 0..processes {
        let mut command = Command::new("smtp-source");
        command.args(["-M", "bench.example.net", "-f", "bench@example.net", "-t", &format!("bench{n}@bench.example")]);
        command.args(["-s", &sessions.to_string(), "-m", &messages.to_string(), "-l", &size.to_string()]);
        if keep {
            command.arg("-d");
        }
        children.push(command.arg(target).spawn().context("smtp-source")?);
    }
    for mut child in children {
        let status = child.wait()?;
        ensure!(status.success(), "smtp-source ended with {status}");
    }
    Ok(())
}

/// Waits until the machine has little else to do; says so when that does not come.
pub fn quiet() {
    let mut busy = 1.0;
    for _ in 0..LOOKS {
        let (before, began) = (cpu_ticks(), std::time::Instant::now());
        std::thread::sleep(Duration::from_millis(300));
        let (after, seconds) = (cpu_ticks(), began.elapsed().as_secs_f64());
        let (Some(before), Some(after)) = (before, after) else { return };
        let cores = std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64);
        // Ticks are hundredths of a second on every Linux there is.
        busy = (after - before) / 100.0 / seconds / cores;
        if busy < BUSY {
            return;
        }
    }
    println!("   the machine is {:.0} % busy with other things; measuring all the same", busy * 100.0);
}

/// Ticks that all cores were at work.
fn cpu_ticks() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let ticks: Vec<f64> =
        stat.lines().next()?.split_whitespace().skip(1).filter_map(|word| word.parse().ok()).collect();
    // user nice system, then idle iowait, then irq softirq.
    Some(ticks.iter().take(3).sum::<f64>() + ticks.iter().skip(5).take(2).sum::<f64>())
}

/// Memory of all processes of these names: shared pages are counted in shares.
pub fn memory_mib(names: &[&str]) -> f64 {
    let Ok(processes) = fs::read_dir("/proc") else { return 0.0 };
    let mut kib = 0_u64;
    for process in processes.flatten() {
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        if names.contains(&name.trim()) {
            let rollup = fs::read_to_string(process.path().join("smaps_rollup")).unwrap_or_default();
            let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:")).unwrap_or_default();
            kib += pss.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        }
    }
    kib as f64 / 1_024.0
}
