//! Postfix and Dovecot, by `xtask/peer.sh`.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};

use super::side::{Side, listening};
use crate::{
    install,
    run::{root, run},
};

/// How they are reached.
pub const SIDE: Side = Side {
    name: "Postfix + Dovecot",
    smtp: "127.0.0.1:3025",
    imap: "127.0.0.1:3143",
    imaps: "127.0.0.1:3993",
    processes: &["dovecot", "imap", "imap-login", "anvil", "auth", "config", "log", "stats", "old-stats"],
};

/// The running pair; stopped when dropped.
pub struct Peer {
    dir: PathBuf,
}

/// Gets both from Debian's packages.
pub fn install() -> Result<()> {
    install::debian(&[
        ("postfix", "postfix"),
        ("dovecot", "dovecot-imapd"),
        ("doveadm", "dovecot-core"),
        ("/usr/lib/dovecot/lmtp", "dovecot-lmtpd"),
        ("/usr/lib/dovecot/pop3", "dovecot-pop3d"),
    ])
}

impl Peer {
    /// `certificate`: a folder with `certificate.pem` and `key.pem`.
    pub fn start(scratch: &Path, certificate: &Path) -> Result<Self> {
        let dir = scratch.join("peer");
        let peer = Self { dir };
        run(peer.script("start").env("PEER_TLS", certificate))?;
        for address in [SIDE.smtp, SIDE.imap, SIDE.imaps] {
            listening(address, Duration::from_secs(30))?;
        }
        Ok(peer)
    }

    fn script(&self, action: &str) -> Command {
        let mut command = Command::new("bash");
        command.arg(root().join("xtask/peer.sh")).arg(action).arg(&self.dir);
        command
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Waits until Postfix's queue is empty: all that it took is in Dovecot's mailboxes.
    pub fn drained(&self, patience: Duration) -> Result<()> {
        let start = Instant::now();
        while !self.is_empty()? {
            ensure!(start.elapsed() < patience, "mail still waits in Postfix's queue");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn is_empty(&self) -> Result<bool> {
        for queue in ["incoming", "active", "deferred"] {
            if has_file(&self.dir.join("postfix/queue").join(queue))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Whether there is a file in a folder or in those below it.
fn has_file(dir: &Path) -> Result<bool> {
    for entry in fs::read_dir(dir).with_context(|| dir.display().to_string())? {
        let entry = entry?;
        // A file may go while we look.
        let Ok(kind) = entry.file_type() else { continue };
        if !kind.is_dir() || has_file(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}

impl Drop for Peer {
    fn drop(&mut self) {
        if let Err(error) = run(&mut self.script("stop")) {
            eprintln!("xtask: the peer was not stopped: {error:#}");
        }
    }
}
