//! The two services that are measured, and what both are asked with.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};

/// Accounts on both sides: `bench0@bench.example` and so on.
pub(super) const ACCOUNTS: u32 = 50;
/// Their password.
pub(super) const PASSWORD: &str = "bench-password";

/// One of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Side {
    pub name: &'static str,
    pub smtp: &'static str,
    pub imap: &'static str,
    pub imaps: &'static str,
    /// Names of its processes, for memory.
    pub processes: &'static [&'static str],
}

/// Waits until something listens at `address`.
pub(super) fn listening(address: &str, patience: Duration) -> Result<()> {
    let start = Instant::now();
    while std::net::TcpStream::connect(address).is_err() {
        ensure!(start.elapsed() < patience, "nothing listens at {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

pub(super) fn shown(path: &Path) -> String {
    path.display().to_string()
}
