//! The administrative commands, independent of who runs them and where.

mod account_check;
mod accounts;
mod archive;
mod audit;
mod certificates;
mod domains;
mod fetch;
mod forward;
mod mail;
mod masks;
mod people;
mod promote;
mod queue;
mod relays;
mod repair;
mod reports;
mod restore_account;
mod rewind;
mod salvage;
mod secrets;
mod sending;
mod sieve;
mod sign_ins;
pub mod socket;
mod spam;
mod stage;
mod standby;
pub mod status;
mod verify;
mod who;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use store::StoreError;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use archive::new_archive_identity;
pub use certificates::lines as certificate_lines;
pub use relays::{line_of as relay_line, of_relay as relay_alarms, on_relay};
pub use secrets::new_secrets_key;
pub use standby::on_standby;
pub use verify::on_standby as verify_standby;

use crate::{
    cli::{
        AccountCommand, AdminCommand, ArchiveCommand, DomainCommand, PeopleCommand, RelayCommand, SieveCommand,
        SpamCommand,
    },
    config::Config,
    maintenance, offline,
    output::Output,
    output::Reply,
    progress::Terminal,
    running::Running,
    services::{Services, check_has_data},
};

/// How long a command waits for a standby before it reports that it waits.
const SAY_THAT_IT_WAITS: Duration = Duration::from_secs(1);

/// Runs commands on the services of the serving process.
pub fn executor(running: Arc<Running>) -> Arc<socket::Executor> {
    Arc::new(move |command, output| {
        let running = running.clone();
        Box::pin(async move { execute(&running, command, &output).await })
    })
}

/// Runs a command on the services. Its changes are acknowledged when it ends; if that waits for a standby, it reports so.
pub async fn execute(running: &Arc<Running>, command: AdminCommand, output: &Output) -> anyhow::Result<()> {
    let services = &running.services;
    let acts = command.acts();
    let run = async {
        let outcome = run_on(running, command, output).await;
        if acts && outcome.is_ok() {
            // Changes it found already done may be durable on this machine only.
            services.store.all_acknowledged().await?;
        }
        outcome
    };
    let say = async {
        let overdue = || services.store.acknowledgement_overdue().is_some_and(|since| since >= SAY_THAT_IT_WAITS);
        if acts {
            tokio::time::sleep(SAY_THAT_IT_WAITS).await;
            while !overdue() {
                tokio::time::sleep(SAY_THAT_IT_WAITS).await;
            }
            output.waits("waiting for a standby to acknowledge (Ctrl-C to stop waiting)").await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = run => outcome,
        () = say => unreachable!("it never ends"),
    }
}

async fn run_on(running: &Arc<Running>, command: AdminCommand, output: &Output) -> anyhow::Result<()> {
    let services = &running.services;
    match command {
        AdminCommand::Status => status::run(running, output).await,
        AdminCommand::Account(command) => accounts::run(services, command, output).await,
        AdminCommand::Domain(command) => domains::run(running, command, output).await,
        AdminCommand::Reports(command) => reports::send(services, command, output).await,
        AdminCommand::Secrets(command) => secrets::run(services, command, output).await,
        AdminCommand::Certificate(command) => certificates::run(running, command, output).await,
        AdminCommand::Queue(command) => queue::run(services, command, output).await,
        AdminCommand::Import(args) => mail::import(services, args, output).await,
        AdminCommand::Export(args) => mail::export(services, args, output).await,
        AdminCommand::StandbyDo(command) => standby::on_primary(running, command, output).await,
        AdminCommand::RelayDo(command) => relays::on_primary(running, command, output).await,
        AdminCommand::Promote(_) | AdminCommand::Compare => {
            anyhow::bail!("this machine is not a standby: run the command on the standby, with its data folder")
        }
        AdminCommand::Archive(command) => archive::run(running, command, output).await,
        AdminCommand::Stage(command) => stage::run(running, command, output).await,
        AdminCommand::People(command) => people::run(services, command, output).await,
        AdminCommand::Sieve(command) => sieve::run(services, command, output).await,
        AdminCommand::Spam(command) => spam::run(services, command, output).await,
        AdminCommand::Forward(command) => forward::run(services, command, output).await,
        AdminCommand::Audit(args) => audit::run(services, args, output).await,
        AdminCommand::RestoreAccount(args) => restore_account::run(running, *args, output).await,
        AdminCommand::Rewind(args) => rewind::run(running, args, output).await,
        AdminCommand::Salvage(args) => salvage::run(services, args, output).await,
        AdminCommand::Verify { repair } => {
            services.check_whole()?;
            verify::run(&running.verifying, &services.store, repair, output).await
        }
        AdminCommand::Repair(args) => {
            services.check_whole()?;
            repair::run(running, args, output).await
        }
        AdminCommand::Maintain => {
            let (say, mut said) = mpsc::unbounded_channel();
            let run = maintenance::run(running.clone(), CancellationToken::new(), move |line| {
                let _ = say.send(line);
            });
            let show = async {
                while let Some(line) = said.recv().await {
                    output.line(line).await;
                }
            };
            tokio::join!(run, show).0
        }
    }
}

/// Commands allowed before the service was ever started. Any other command on an empty folder has the wrong folder.
const fn may_begin(command: &AdminCommand) -> bool {
    matches!(
        command,
        AdminCommand::Domain(DomainCommand::Add { .. }) | AdminCommand::Account(AccountCommand::Add { .. })
    )
}

/// How long a command waits for the process that owns the data folder to listen, or to give the folder back.
const OWNER_PATIENCE: Duration = Duration::from_secs(10);

fn in_use(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref::<StoreError>(), Some(StoreError::Locked { .. }))
}

/// Runs a command as typed: through the serving process when there is one, else on the data folder itself.
pub async fn run(config: Config, mut command: AdminCommand, json: bool) -> anyhow::Result<()> {
    accounts::complete(&mut command)?;
    stage::complete(&mut command)?;
    absolute_paths(&mut command)?;
    restore_account::complete(&mut command)?;
    queue::confirm_drop(&config, &mut command).await?;
    let mut terminal = Terminal::new(json);
    if let AdminCommand::Archive(command) = &command
        && command.is_direct()
    {
        return archive_alone(config, command.clone(), terminal, json).await;
    }
    let patience = Instant::now() + OWNER_PATIENCE;
    let running = loop {
        if let Some(outcome) = socket::ask(&config.data_dir, &command, json, |line| terminal.show(line)).await {
            terminal.finish();
            return outcome;
        }
        match &command {
            AdminCommand::Status => return status::of_folder(&config, json),
            AdminCommand::Verify { .. } | AdminCommand::Repair(_) => {
                match on_folder(&config, &command, json).await {
                    // Its owner is just starting or stopping, or is another command.
                    Err(error) if in_use(&error) && Instant::now() < patience => {
                        tokio::time::sleep(Duration::from_millis(50)).await;
                        continue;
                    }
                    outcome => return outcome,
                }
            }
            _ => {}
        }
        // A standby that is not running is made the primary all the same.
        if let AdminCommand::Promote(args) = command
            && store::Store::is_replica_at(&config.data_dir)
        {
            let outcome = standby::promote_folder(&config, args, json).await;
            terminal.finish();
            return outcome;
        }
        if !may_begin(&command) {
            check_has_data(&config.data_dir)?;
        }
        // Opening waits for commits of its own: off the async threads.
        let config = config.clone();
        match tokio::task::spawn_blocking(move || Services::open(config)).await? {
            // Its owner is just starting or stopping, or is another command.
            Err(error) if in_use(&error) && Instant::now() < patience => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            opened => break Running::on(opened?),
        }
    };
    let (lines, received) = mpsc::channel(64);
    let output = Output::new(lines, json);
    let work = {
        let running = running.clone();
        async move {
            let outcome = execute(&running, command, &output).await;
            output.close().await;
            outcome
        }
    };
    let (outcome, ()) = tokio::join!(work, show_all(received, &mut terminal));
    terminal.finish();
    running.services.leave();
    outcome
}

/// A command on an archive that needs no data folder.
async fn archive_alone(
    config: Config,
    command: ArchiveCommand,
    mut terminal: Terminal,
    json: bool,
) -> anyhow::Result<()> {
    let (lines, received) = mpsc::channel(64);
    let output = Output::new(lines, json);
    let work = async move {
        let outcome = archive::direct(&config, command, &output).await;
        output.close().await;
        outcome
    };
    let (outcome, ()) = tokio::join!(work, show_all(received, &mut terminal));
    terminal.finish();
    outcome
}

/// What is done to a folder that nobody serves, and that may be too damaged to be opened.
async fn on_folder(config: &Config, command: &AdminCommand, json: bool) -> anyhow::Result<()> {
    match command {
        AdminCommand::Verify { repair } => {
            let (config, repair) = (config.clone(), *repair);
            tokio::task::spawn_blocking(move || offline::verify(&config, repair, json)).await?
        }
        AdminCommand::Repair(args) => offline::repair::run(config, args, json).await,
        _ => unreachable!("others open the folder"),
    }
}

async fn show_all(mut received: mpsc::Receiver<Reply>, terminal: &mut Terminal) {
    while let Some(line) = received.recv().await {
        terminal.show(line);
    }
}

/// The serving process has its own working directory, so paths go to it whole.
fn absolute_paths(command: &mut AdminCommand) -> std::io::Result<()> {
    let path = match command {
        AdminCommand::Import(args) => &mut args.path,
        AdminCommand::Export(args) => &mut args.path,
        AdminCommand::People(PeopleCommand::Import(args)) => &mut args.file,
        AdminCommand::People(PeopleCommand::Export(args)) => &mut args.file,
        AdminCommand::Sieve(SieveCommand::Put { file, .. } | SieveCommand::Check { file, .. }) => file,
        AdminCommand::Spam(SpamCommand::Explain { file, .. }) => {
            *file = std::path::absolute(&*file)?;
            return Ok(());
        }
        AdminCommand::Spam(SpamCommand::Train { files, .. }) => {
            for file in files {
                *file = std::path::absolute(&*file)?;
            }
            return Ok(());
        }
        AdminCommand::RelayDo(RelayCommand::Export { dir, .. }) => {
            *dir = std::path::absolute(&*dir)?;
            return Ok(());
        }
        AdminCommand::RestoreAccount(args) => {
            if let Some(path) = &mut args.of_account.scratch {
                *path = std::path::absolute(&*path)?;
            }
            return Ok(());
        }
        AdminCommand::Repair(args) => {
            if let Some(file) = &mut args.identity {
                *file = std::path::absolute(&*file)?;
            }
            return Ok(());
        }
        AdminCommand::Salvage(args) => {
            for path in [&mut args.from, &mut args.scratch].into_iter().chain(&mut args.orphans) {
                *path = std::path::absolute(&*path)?;
            }
            return Ok(());
        }
        _ => return Ok(()),
    };
    *path = std::path::absolute(Path::new(path))?;
    Ok(())
}
