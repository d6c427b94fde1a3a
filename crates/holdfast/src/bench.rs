//! `holdfast bench`: a load generator for any mail server, so that different servers can be measured in the same way on
//! the same machine.
//!
//! Each protocol has its own file; [`net`] connects (plain, TLS, STARTTLS), [`report`] counts and prints. The generator
//! uses the simplest form of each protocol that real clients use, and checks the replies: a wrong reply is an error in
//! the report, not a fast success.

mod imap;
mod net;
mod pop3;
mod report;
mod smtp;
mod web;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use tokio::task::JoinSet;

use self::report::{Report, Samples};

/// Arguments of `holdfast bench`.
#[derive(Debug, Args)]
pub struct BenchArgs {
    #[command(subcommand)]
    what: What,
}

/// The protocol to load-test.
#[derive(Debug, Subcommand)]
enum What {
    /// Deliver or submit messages.
    Smtp(smtp::SmtpArgs),
    /// Log in, fetch, search, append, or hold idle connections.
    Imap(imap::ImapArgs),
    /// Log in, list and retrieve.
    Pop3(pop3::Pop3Args),
    /// Sign in by the form, list and read messages.
    Web(web::WebArgs),
}

/// The options of all protocols.
#[derive(Debug, Clone, Args)]
struct Common {
    /// The server.
    #[arg(long, value_name = "HOST:PORT")]
    target: String,
    /// Connections at once.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    connections: u32,
    /// When the connection becomes encrypted.
    #[arg(long, value_enum, default_value_t = net::Encryption::None)]
    tls: net::Encryption,
    /// Take any certificate, also self-signed ones.
    #[arg(long)]
    insecure: bool,
    /// Print JSON instead of a table.
    #[arg(long)]
    json: bool,
    /// Give up on a connection or an answer after this many seconds.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    timeout: u64,
}

/// The logins to use.
#[derive(Debug, Clone, Args)]
struct Login {
    /// Login name; several are used in turn, one a connection.
    #[arg(long = "user", required = true, value_name = "NAME")]
    users: Vec<String>,
    /// The password of them all.
    #[arg(long, env = "HOLDFAST_BENCH_PASSWORD", hide_env_values = true)]
    password: String,
}

impl Login {
    fn user(&self, connection: u32) -> &str {
        &self.users[connection as usize % self.users.len()]
    }
}

/// Runs a benchmark and prints its report.
///
/// # Errors
/// If not even one connection could be made, or the arguments do not fit together.
pub async fn run(args: BenchArgs) -> Result<()> {
    let (report, json) = match args.what {
        What::Smtp(args) => (smtp::run(&args).await?, args.common.json),
        What::Imap(args) => (imap::run(&args).await?, args.common.json),
        What::Pop3(args) => (pop3::run(&args).await?, args.common.json),
        What::Web(args) => (web::run(&args).await?, args.common.json),
    };
    report.print(json)
}

/// Runs one task a connection and gathers what they measured. A task that fails counts as one error of `step`.
async fn gather<F, Fut>(common: &Common, step: &'static str, task: F) -> Result<Report>
where
    F: Fn(u32, Samples) -> Fut,
    Fut: Future<Output = (Samples, Result<()>)> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for connection in 0..common.connections {
        tasks.spawn(task(connection, Samples::default()));
    }
    let mut all = Samples::default();
    while let Some(done) = tasks.join_next().await {
        let (samples, outcome) = done.context("a connection's task broke down")?;
        all.merge(samples);
        if let Err(error) = outcome {
            all.error(step, &error);
        }
    }
    Ok(Report::new(common, began.elapsed(), all))
}

/// Work shared out to the connections, one piece at a time.
#[derive(Clone)]
struct Work {
    next: Arc<AtomicU64>,
    total: u64,
}

impl Work {
    fn of(total: u64) -> Self {
        Self { next: Arc::default(), total }
    }

    /// The number of the next piece, from 0; `None` when all are given out.
    fn take(&self) -> Option<u64> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number < self.total).then_some(number)
    }
}
