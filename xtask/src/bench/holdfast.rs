//! Holdfast, from the release build, on ports and in a folder of its own.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};

use super::side::{ACCOUNTS, PASSWORD, Side, listening, shown};
use crate::run::root;

/// How it is reached.
pub const SIDE: Side = Side {
    name: "Holdfast",
    smtp: "127.0.0.1:4025",
    imap: "127.0.0.1:4143",
    imaps: "127.0.0.1:4993",
    processes: &["holdfast"],
};
/// Where its webmail is.
pub const HTTP: &str = "127.0.0.1:4080";

/// The running service; stopped when dropped.
pub struct Holdfast {
    binary: PathBuf,
    config: PathBuf,
    dir: PathBuf,
    log: PathBuf,
    service: Option<Child>,
}

impl Holdfast {
    pub fn start(scratch: &Path) -> Result<Self> {
        let dir = scratch.join("holdfast");
        fs::create_dir_all(&dir)?;
        let config = scratch.join("holdfast.toml");
        // Defaults but for the ports, logins in plain text (the peer is asked in plain text too), and so many
        // connections from one address.
        fs::write(
            &config,
            format!(
                "data_dir = \"{}\"\nhostname = \"holdfast.bench.example\"\n\
                 [listen]\nsmtp = [\"{}\"]\nimap = [\"{}\"]\nimaps = [\"{}\"]\nhttp = [\"{HTTP}\"]\n\
                 submission = []\nsubmissions = []\npop3 = []\npop3s = []\nmanagesieve = []\nhttps = []\n\
                 [limits]\nplaintext_logins = \"loopback\"\nconnections_per_address = 4000\n",
                shown(&dir),
                SIDE.smtp,
                SIDE.imap,
                SIDE.imaps,
            ),
        )?;
        let binary = root().join("target/release/holdfast");
        let log = scratch.join("holdfast.log");
        let mut holdfast = Self { binary, config, dir, log, service: None };
        holdfast.restart()?;
        holdfast.command(&["domain", "add", "bench.example"], "")?;
        for n in 0..ACCOUNTS {
            holdfast.add_account(&format!("bench{n}@bench.example"))?;
        }
        Ok(holdfast)
    }

    /// Stops the service if it runs, and starts it.
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        let log = fs::File::options().create(true).append(true).open(&self.log)?;
        let service = Command::new(&self.binary)
            .arg("--config")
            .arg(&self.config)
            .arg("serve")
            .stdout(log.try_clone()?)
            .stderr(log)
            .stdin(Stdio::null())
            .spawn()
            .with_context(|| shown(&self.binary))?;
        self.service = Some(service);
        listening(SIDE.smtp, Duration::from_secs(30))
    }

    fn stop(&mut self) {
        if let Some(mut service) = self.service.take() {
            // By TERM, so that it closes its store; std knows only KILL.
            let _ = Command::new("kill").arg(service.id().to_string()).status();
            let _ = service.wait();
        }
    }

    pub fn add_account(&self, address: &str) -> Result<()> {
        self.command(&["account", "add", address, "--password-stdin"], &format!("{PASSWORD}\n"))
    }

    pub fn binary(&self) -> &Path {
        &self.binary
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The folder of its self-signed certificate and key, for the peer to use the same.
    pub fn certificate(&self) -> PathBuf {
        self.dir.join("tls")
    }

    fn command(&self, words: &[&str], input: &str) -> Result<()> {
        let mut child = Command::new(&self.binary)
            .arg("--config")
            .arg(&self.config)
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()?;
        child.stdin.take().context("it was piped")?.write_all(input.as_bytes())?;
        let status = child.wait()?;
        ensure!(status.success(), "holdfast {} ended with {status}", words.join(" "));
        Ok(())
    }
}

impl Drop for Holdfast {
    fn drop(&mut self) {
        self.stop();
    }
}
