//! `holdfast bench`: a load generator for any mail server, so that different servers can be measured in the same way on
//! the same machine.
//!
//! Each protocol has its own file; [`net`] connects (plain, TLS, STARTTLS), [`report`] counts and prints. The generator
//! uses the simplest form of each protocol that real clients use, and checks the replies: a wrong reply is an error in
//! the report, not a fast success.

mod common;
mod gather;
mod imap;
mod net;
mod pop3;
mod report;
mod smtp;
mod web;

use anyhow::Result;
use clap::{Args, Subcommand};

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

/// Runs a benchmark and prints its report.
///
/// # Errors
/// If not even one connection could be made, or the arguments do not fit together.
pub async fn run(args: BenchArgs, json: bool) -> Result<()> {
    let report = match args.what {
        What::Smtp(args) => smtp::run(&args).await?,
        What::Imap(args) => imap::run(&args).await?,
        What::Pop3(args) => pop3::run(&args).await?,
        What::Web(args) => web::run(&args).await?,
    };
    report.print(json)
}
