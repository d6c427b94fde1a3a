//! `bench pop3`: sessions of login, list and retrieval.

use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;

use super::net::{Dialer, Lines};
use super::report::{Report, Samples};
use super::{
    common::{Common, Encryption, Login, Work},
    gather::gather,
};

/// Arguments of `bench pop3`.
#[derive(Debug, Clone, Args)]
pub(super) struct Pop3Args {
    #[command(flatten)]
    pub(super) common: Common,
    #[command(flatten)]
    login: Login,
    /// Sessions in all.
    #[arg(long, default_value_t = 100)]
    sessions: u64,
    /// Messages retrieved in each session, newest first; none is deleted.
    #[arg(long, default_value_t = 10)]
    retrieve: u64,
}

pub(super) async fn run(args: &Pop3Args) -> Result<Report> {
    let dialer = Dialer::new(&args.common)?;
    let work = Work::of(args.sessions);
    gather(&args.common, "session", |connection, mut samples| {
        let (args, dialer, work) = (args.clone(), dialer.clone(), work.clone());
        async move {
            let user = args.login.user(connection).to_owned();
            while work.take().is_some() {
                if let Err(error) = session(&args, &dialer, &user, &mut samples).await {
                    samples.error("session", &error);
                }
            }
            (samples, Ok(()))
        }
    })
    .await
}

async fn session(args: &Pop3Args, dialer: &Dialer, user: &str, samples: &mut Samples) -> Result<()> {
    let whole = Instant::now();
    let mut lines = dialer.lines().await?;
    status(&mut lines).await?;
    if dialer.encryption == Encryption::Starttls {
        command(&mut lines, "STLS").await?;
        lines = lines.encrypt(dialer).await?;
    }
    let began = Instant::now();
    command(&mut lines, &format!("USER {user}")).await?;
    command(&mut lines, &format!("PASS {}", args.login.password)).await?;
    samples.done("login", began);
    let began = Instant::now();
    command(&mut lines, "UIDL").await?;
    let (messages, bytes) = listing(&mut lines).await?;
    samples.done_with("uidl", began, messages, bytes);
    for number in (1..=messages).rev().take(usize::try_from(args.retrieve).unwrap_or(usize::MAX)) {
        let began = Instant::now();
        command(&mut lines, &format!("RETR {number}")).await?;
        let (_, bytes) = listing(&mut lines).await?;
        samples.done_with("retr", began, 1, bytes);
    }
    command(&mut lines, "QUIT").await?;
    samples.done("session", whole);
    Ok(())
}

async fn command(lines: &mut Lines, command: &str) -> Result<()> {
    lines.send(format!("{command}\r\n").as_bytes()).await?;
    status(lines).await
}

async fn status(lines: &mut Lines) -> Result<()> {
    let line = lines.line().await?;
    if !line.starts_with("+OK") {
        bail!("the server replied: {line}");
    }
    Ok(())
}

/// Reads a multi-line response to its end; lines and bytes of it.
async fn listing(lines: &mut Lines) -> Result<(u64, u64)> {
    let before = lines.bytes;
    let mut count = 0;
    while lines.line().await? != "." {
        count += 1;
    }
    Ok((count, lines.bytes - before))
}
