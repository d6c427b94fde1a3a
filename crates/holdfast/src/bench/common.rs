//! What the benchmarks of all protocols share: their options, and how work is shared out.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use clap::{Args, ValueEnum};

/// The options of all protocols.
#[derive(Debug, Clone, Args)]
pub(super) struct Common {
    /// The server.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) target: String,
    /// Connections at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(super) connections: u32,
    /// When the connection becomes encrypted.
    #[arg(long, value_enum, default_value_t = Encryption::None)]
    pub(super) tls: Encryption,
    /// Take any certificate, also self-signed ones.
    #[arg(long)]
    pub(super) insecure: bool,
    /// Give up on a connection or an answer after this many seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    pub(super) timeout: u64,
}

/// When a connection becomes encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Encryption {
    /// Never.
    None,
    /// After the protocol's STARTTLS command.
    Starttls,
    /// From the first byte.
    Implicit,
}

/// The logins to use.
#[derive(Debug, Clone, Args)]
pub(super) struct Login {
    /// Login name; several are used in turn, one a connection.
    #[arg(long = "user", required = true, value_name = "NAME")]
    pub(super) users: Vec<String>,
    /// The password of them all.
    #[arg(long, env = "HOLDFAST_BENCH_PASSWORD", hide_env_values = true)]
    pub(super) password: String,
}

impl Login {
    /// The login of a connection.
    pub(super) fn user(&self, connection: u32) -> &str {
        &self.users[connection as usize % self.users.len()]
    }
}

/// Work shared out to the connections, one piece at a time.
#[derive(Clone)]
pub(super) struct Work {
    pub(super) next: Arc<AtomicU64>,
    pub(super) total: u64,
}

impl Work {
    /// So many pieces.
    pub(super) fn of(total: u64) -> Self {
        Self { next: Arc::default(), total }
    }

    /// The number of the next piece, from 0; `None` when all are given out.
    pub(super) fn take(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.total).then_some(number)
    }
}
