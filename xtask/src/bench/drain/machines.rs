//! The primary and the relay, as processes.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use super::accounts::{ACCOUNTS, FRESH, PASSWORD, account, fresh};

/// How long a machine may take to begin.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where all listens: ports from one on.
#[derive(Clone, Copy)]
pub struct Ports {
    first: u16,
}

impl Ports {
    pub const fn from(first: u16) -> Self {
        Self { first }
    }

    const fn primary_smtp(self) -> u16 {
        self.first
    }

    const fn primary_relay(self) -> u16 {
        self.first + 2
    }

    pub fn imap(self) -> String {
        format!("127.0.0.1:{}", self.first + 1)
    }

    pub fn relay_smtp(self) -> String {
        format!("127.0.0.1:{}", self.first + 3)
    }
}

/// A service, or none if it was killed.
pub struct Machine {
    binary: PathBuf,
    dir: PathBuf,
    /// What it does: `serve`, or `relay` with what pairs it.
    command: Vec<String>,
    process: Option<Child>,
}

impl Machine {
    fn new(binary: &Path, dir: PathBuf, config: &str, command: Vec<String>) -> Result<Self> {
        fs::create_dir_all(&dir)?;
        fs::write(dir.join("holdfast.toml"), format!("data_dir = \"{}\"\n{config}", dir.join("data").display()))?;
        Ok(Self { binary: binary.to_owned(), dir, command, process: None })
    }

    /// Starts it, and waits until it is ready.
    pub fn start(&mut self) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.dir.join("log"))?;
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.dir.join("holdfast.toml")).args(&self.command);
        let mut process = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn()?;
        let mut lines = BufReader::new(process.stdout.take().context("it was piped")?).lines();
        self.process = Some(process);
        let begun = Instant::now();
        while let Some(line) = lines.next().transpose()? {
            ensure!(begun.elapsed() < PATIENCE, "{} does not get ready", self.dir.display());
            if line == "ready" {
                // What else it says must not fill the pipe.
                thread::spawn(move || lines.for_each(drop));
                return Ok(());
            }
        }
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        anyhow::bail!("{} ended: {last:?}", self.dir.display())
    }

    /// As when the power fails.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Runs a command of it; gives what it prints.
    pub fn command(&self, words: &[&str], input: &str) -> Result<String> {
        let mut command = Command::new(&self.binary);
        command.arg("--config").arg(self.dir.join("holdfast.toml")).args(words);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
        child.stdin.take().context("it was piped")?.write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// `relay status --json`.
    pub fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.command(&["relay", "status", "--json"], "")?).unwrap_or(Value::Null))
    }

    fn proc(&self, file: &str) -> Result<String> {
        let process = self.process.as_ref().context("it does not run")?;
        Ok(fs::read_to_string(format!("/proc/{}/{file}", process.id()))?)
    }

    /// Processor time that it used since it started.
    pub fn cpu(&self) -> Result<Duration> {
        let stat = self.proc("stat")?;
        let (_, rest) = stat.rsplit_once(')').context("stat")?;
        let field = |at: usize| rest.split_whitespace().nth(at).and_then(|text| text.parse::<u64>().ok());
        // User and system, in hundredths of a second on every Linux there is.
        let ticks = field(11).zip(field(12)).context("stat")?;
        Ok(Duration::from_millis((ticks.0 + ticks.1) * 10))
    }

    /// The most memory that it had, in MiB, and what it has now.
    pub fn memory(&self) -> Result<[f64; 2]> {
        let status = self.proc("status")?;
        let field = |name: &str| -> Result<f64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).context("status")?;
            Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1_024.0)
        };
        Ok([field("VmHWM:")?, field("VmRSS:")?])
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The two, paired.
pub struct Pair {
    pub primary: Machine,
    pub relay: Machine,
}

impl Pair {
    /// Starts both with their accounts, and pairs them.
    pub fn start(binary: &Path, scratch: &Path, ports: Ports, dns: &str) -> Result<Self> {
        // Defaults but for the ports; and this machine is a stranger, whose mail is checked.
        let common = format!("[dns]\nservers = [\"{dns}\"]\n[senders]\ntrusted_networks = []\n");
        let config = format!(
            "hostname = \"mx.drain.example\"\n[listen]\nsmtp = [\"127.0.0.1:{}\"]\nimap = [\"{}\"]\n\
             relay = [\"127.0.0.1:{}\"]\nimaps = []\nsubmission = []\nsubmissions = []\npop3 = []\npop3s = []\n\
             managesieve = []\nhttp = []\nhttps = []\n[limits]\nplaintext_logins = \"loopback\"\n{common}",
            ports.primary_smtp(),
            ports.imap(),
            ports.primary_relay(),
        );
        let mut primary = Machine::new(binary, scratch.join("primary"), &config, vec!["serve".to_owned()])?;
        primary.start()?;
        primary.command(&["domain", "add", "drain.example"], "")?;
        for address in (0..ACCOUNTS).map(account).chain((0..FRESH).map(fresh)) {
            primary.command(&["account", "add", &address, "--password-stdin"], &format!("{PASSWORD}\n"))?;
        }
        let said = primary.command(&["relay", "pair"], "")?;
        let code = said.lines().next().context("no code was printed")?;
        let config = format!(
            "hostname = \"mx2.drain.example\"\n[listen]\nsmtp = [\"{}\"]\n[limits]\nconnections_per_address = 4000\n{common}",
            ports.relay_smtp()
        );
        let to = format!("127.0.0.1:{}", ports.primary_relay());
        let pairing = ["relay", "--primary", &to, "--code", code].map(str::to_owned).to_vec();
        let mut relay = Machine::new(binary, scratch.join("relay"), &config, pairing)?;
        relay.start()?;
        let begun = Instant::now();
        while primary.status()?["relays"][0]["list_is_current"] != true {
            ensure!(begun.elapsed() < PATIENCE, "the relay does not get the list");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(Self { primary, relay })
    }
}
