//! A complete mail service in one binary: see `README.md` for what it does and `ARCHITECTURE.md` for how.
//!
//! This crate is the command line, the configuration and the wiring; it holds no mail logic. Start reading at
//! [`cli`] for what can be typed and at [`serve`] for what runs.

mod admin;
mod alarms;
mod archive;
mod bench;
mod cli;
mod config;
mod down_page;
mod drill;
mod gates;
mod maintenance;
mod moment;
mod offline;
mod progress;
mod restore;
mod serve;
mod services;
mod standby;
mod tell;

use std::{io::IsTerminal as _, path::Path, process::ExitCode};

use clap::Parser as _;
use cli::{AdminCommand, ArchiveCommand, Cli, Command, StandbyArgs};
use config::{Config, LogFormat};
use tracing_subscriber::EnvFilter;

/// glibc keeps an arena for each thread that ever allocated, and what passwords are hashed in (19 MiB) stays in each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("holdfast: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    if let Command::CheckConfig { file } = &cli.command {
        let path = file.as_deref().or(cli.config.as_deref());
        Config::load(path)?;
        println!("{}: ok", path.unwrap_or(Path::new("the defaults")).display());
        return Ok(ExitCode::SUCCESS);
    }
    // An error here means that a provider is there already: the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Command::Bench(args) = cli.command {
        return runtime()?.block_on(bench::run(args)).map(|()| ExitCode::SUCCESS);
    }
    if let Command::DownPage(args) = cli.command {
        start_log(LogFormat::Text, "info")?;
        return runtime()?.block_on(down_page::run(args)).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Admin(AdminCommand::Archive(ArchiveCommand::NewIdentity { file })) = &cli.command {
        // It is made before the configuration can be right.
        return admin::new_archive_identity(file).map(|()| ExitCode::SUCCESS);
    }
    let mut config = Config::load(cli.config.as_deref())?;
    if let Some(dir) = cli.data_dir {
        config.data_dir = dir;
    }
    // Commands speak by themselves; only the service keeps a log.
    let is_service = match &cli.command {
        Command::Serve | Command::Standby(StandbyArgs { command: None, .. }) => true,
        Command::Restore(args) => !args.offline,
        _ => false,
    };
    let level = if is_service { config.log.level.as_str() } else { "warn" };
    start_log(config.log.format, level)?;
    match cli.command {
        Command::Serve => runtime()?.block_on(serve::run(config)),
        Command::Standby(StandbyArgs { command: Some(command), .. }) => {
            runtime()?.block_on(admin::run(config, AdminCommand::StandbyDo(command))).map(|()| ExitCode::SUCCESS)
        }
        Command::Standby(args) => runtime()?.block_on(standby::run(config, args)).map(|()| ExitCode::SUCCESS),
        Command::Admin(command) => runtime()?.block_on(admin::run(config, command)).map(|()| ExitCode::SUCCESS),
        Command::Verify { repair } => offline::verify(&config, repair),
        Command::Drill { target, dir } => runtime()?.block_on(drill::command(config, target, dir)),
        Command::Restore(args) => runtime()?.block_on(restore::run(config, args)),
        Command::RebuildIndex => offline::rebuild_index(&config).map(|()| ExitCode::SUCCESS),
        Command::CheckConfig { .. } | Command::Bench(_) | Command::DownPage(_) => unreachable!("done above"),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// The log goes to standard error: standard output is for what was asked.
fn start_log(format: LogFormat, level: &str) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(level).map_err(|error| anyhow::anyhow!("log.level `{level}`: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
    Ok(())
}
