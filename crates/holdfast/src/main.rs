//! A complete mail server in one binary: see `README.md` for its features and `ARCHITECTURE.md` for its structure.
//!
//! This crate has the command line, the configuration and the wiring; it has no mail logic. Start reading at [`cli`]
//! for the commands and at [`serve`] for the service.

mod admin;
mod alarm;
mod alarms;
mod archive;
mod bench;
mod certifying;
mod cli;
mod config;
mod dns;
mod domains;
mod down_page;
mod drill;
mod failure;
mod finding;
mod found;
mod gates;
mod help;
mod json;
mod listeners;
mod machine;
mod maintenance;
mod measuring;
mod mending;
mod moment;
mod offline;
mod output;
mod owner;
mod parts;
mod progress;
mod redundant;
mod relaying;
mod repairing;
mod reporting;
mod restore;
mod restoring;
mod running;
mod secrets;
mod serve;
mod services;
mod shell;
mod sign_ins;
mod snoozing;
mod spam;
mod standby;
mod start;
mod supervisor;
mod tell;
mod told;
mod verifying;

use std::{io::IsTerminal as _, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::Parser as _;
use cli::{AdminCommand, ArchiveCommand, Cli, Command, RelayArgs, SecretsCommand, StandbyArgs};
use config::{Config, LogFormat};
use failure::{Code, Failure};
use tracing_subscriber::EnvFilter;

/// glibc keeps an arena for each thread that ever allocated, and the memory of password hashing (19 MiB) stays in each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    machine::started();
    owner::keep_to_ourselves();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(wrong) => return refused(&wrong),
    };
    let json = cli.json;
    match run(cli) {
        Ok(code) => code,
        Err(error) => {
            let failure = Failure::of(&error);
            failure.print(json);
            ExitCode::from(failure.exit())
        }
    }
}

/// The command line was not understood, or asked for its own help.
fn refused(wrong: &clap::Error) -> ExitCode {
    if !wrong.use_stderr() || !std::env::args_os().any(|word| word == "--json") {
        wrong.exit();
    }
    let failure = Failure::of(&Code::Usage.error(wrong.to_string().trim_end()));
    failure.print(true);
    ExitCode::from(failure.exit())
}

fn run(cli: Cli) -> anyhow::Result<ExitCode> {
    let json = cli.json;
    if json && let Some(why) = no_json(&cli.command) {
        return Err(Code::Usage.error(format!("--json is not for this command: {why}")));
    }
    if let Command::CheckConfig { file } = &cli.command {
        return check_config(file.clone().or_else(|| cli.config_file()).as_deref(), json);
    }
    // An error here means that a provider is there already: the same one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if let Command::Bench(args) = cli.command {
        return runtime()?.block_on(bench::run(args, json)).map(|()| ExitCode::SUCCESS);
    }
    match cli.command {
        Command::Completions { shell } => return shell::completions(shell).map(|()| ExitCode::SUCCESS),
        Command::Man { dir } => return shell::pages(&dir).map(|()| ExitCode::SUCCESS),
        Command::Help { words } => return help::help(&words).map(|()| ExitCode::SUCCESS),
        _ => {}
    }
    if let Command::DownPage(args) = cli.command {
        start_log(LogFormat::Text, "info")?;
        return runtime()?.block_on(down_page::run(args)).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Admin(AdminCommand::Archive(ArchiveCommand::NewIdentity { file })) = &cli.command {
        // It is made before the configuration can be right.
        return admin::new_archive_identity(file, json).map(|()| ExitCode::SUCCESS);
    }
    if let Command::Admin(AdminCommand::Secrets(SecretsCommand::NewKey { file })) = &cli.command {
        return admin::new_secrets_key(file).map(|()| ExitCode::SUCCESS);
    }
    let file = cli.config_file();
    let (mut config, wrong) = Config::read(file.as_deref())?;
    match wrong {
        Some(wrong) if serves(&cli.command) => return Err(wrong.into()),
        Some(_) if json => {}
        Some(_) => eprintln!("warning: the service can't start with this configuration; run: holdfast check-config"),
        None => {}
    }
    if let Some(dir) = cli.data_dir {
        config.data_dir = dir;
    }
    let owner = owner::become_owner(&config.data_dir)?;
    let outcome = run_with(config, cli.command, json);
    match (outcome, owner) {
        (Err(error), Some(owner)) if Failure::of(&error).is_permission() => Err(error.context(format!(
            "the command was started as root and ran as {owner}, who owns the data folder and lacks a permission"
        ))),
        (outcome, _) => outcome,
    }
}

/// Checks a configuration as the user who runs the service.
fn check_config(file: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let shown = file.unwrap_or(Path::new("the defaults")).display();
    let config = Config::load(file)?;
    if let Some(owner) = owner::become_owner(&config.data_dir)? {
        Config::load(file).with_context(|| format!("read as user {owner}, who owns the data folder"))?;
    }
    let text = file.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    // Without a file the service is for trying out, here.
    let doubts = if file.is_some() { config.doubts(jiff::Timestamp::now().as_second()) } else { Vec::new() };
    let doubts: Vec<String> =
        doubts.into_iter().map(|doubt| config::doubt(&text, file.unwrap_or(Path::new("")), doubt)).collect();
    if json {
        json::print(serde_json::json!({ "file": shown.to_string(), "warnings": doubts }));
        return Ok(ExitCode::SUCCESS);
    }
    for doubt in &doubts {
        println!("{doubt}");
    }
    match doubts.len() {
        0 => println!("{shown}: ok"),
        1 => println!("{shown}: ok, with 1 warning"),
        some => println!("{shown}: ok, with {some} warnings"),
    }
    Ok(ExitCode::SUCCESS)
}

/// Why a command has no output for programs, if it has none.
fn no_json(command: &Command) -> Option<&'static str> {
    match command {
        Command::Restore(args) if args.of_account.account.is_some() || args.list_moments => None,
        Command::Restore(_) => Some(cli::NO_JSON_OF_RESTORE),
        Command::Standby(StandbyArgs { command: None, .. }) | Command::Relay(RelayArgs { command: None, .. }) => {
            Some(cli::LISTENS)
        }
        Command::Serve | Command::DownPage(_) => Some(cli::LISTENS),
        Command::Completions { .. } | Command::Man { .. } | Command::Help { .. } => Some(cli::HAS_A_FORM),
        _ => None,
    }
}

/// Whether a command is the service, or will be.
const fn serves(command: &Command) -> bool {
    match command {
        Command::Serve
        | Command::Standby(StandbyArgs { command: None, .. })
        | Command::Relay(RelayArgs { command: None, .. }) => true,
        Command::Restore(args) => !args.offline && args.of_account.account.is_none(),
        _ => false,
    }
}

fn run_with(config: Config, command: Command, json: bool) -> anyhow::Result<ExitCode> {
    // Commands print their own output; only the service has a log.
    let level = if serves(&command) { config.log.level.as_str() } else { "warn" };
    start_log(config.log.format, level)?;
    match command {
        Command::Serve => runtime()?.block_on(start::run(config)),
        Command::Standby(StandbyArgs { command: Some(command), .. }) => {
            runtime()?.block_on(admin::run(config, AdminCommand::StandbyDo(command), json)).map(|()| ExitCode::SUCCESS)
        }
        Command::Standby(args) => runtime()?.block_on(standby::run(config, args)).map(|()| ExitCode::SUCCESS),
        Command::Relay(RelayArgs { command: Some(command), .. }) => {
            runtime()?.block_on(admin::run(config, AdminCommand::RelayDo(command), json)).map(|()| ExitCode::SUCCESS)
        }
        Command::Relay(args) => runtime()?.block_on(relaying::run(config, args)).map(|()| ExitCode::SUCCESS),
        Command::Admin(command) => runtime()?.block_on(admin::run(config, command, json)).map(|()| ExitCode::SUCCESS),
        Command::Drill { target, dir, from, identity } => {
            runtime()?.block_on(drill::command(config, drill::Asked { target, dir, from, identity }, json))
        }
        Command::Restore(args) if args.of_account.account.is_some() => {
            let command = AdminCommand::RestoreAccount(Box::new(args));
            runtime()?.block_on(admin::run(config, command, json)).map(|()| ExitCode::SUCCESS)
        }
        Command::Restore(args) => runtime()?.block_on(restore::run(config, args, json)),
        Command::RebuildIndex => offline::rebuild_index(&config, json).map(|()| ExitCode::SUCCESS),
        Command::CheckConfig { .. }
        | Command::Bench(_)
        | Command::DownPage(_)
        | Command::Completions { .. }
        | Command::Help { .. }
        | Command::Man { .. } => unreachable!("done above"),
    }
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Libraries that say at level info what only their makers need, and those that have a line for each oddity in what
/// strangers sent: who sends much could fill the disk with them. Each can still be asked for by name.
const QUIET: &str = "fjall=warn,lsm_tree=warn,html5ever=off,markup5ever=off,ammonia=off,cssparser=off,\
    mail_parser=off,mail_auth=off,multer=off,encoding_rs=off,h2=error,hyper=error,hyper_util=error,tower_http=error,rustls=error,\
    hickory_resolver=error,hickory_proto=error,hickory_net=error";

/// The log goes to standard error: standard output is for the output of commands.
fn start_log(format: LogFormat, level: &str) -> anyhow::Result<()> {
    // Explicitly named targets take precedence.
    let filter = EnvFilter::try_new(format!("{QUIET},{level}"))
        .map_err(|error| anyhow::anyhow!("log.level `{level}`: {error}"))?;
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
