//! What can be typed. The commands that change or read the service's state are [`AdminCommand`]s: they run inside the
//! serving process when there is one (through its admin socket), else on the data folder directly, with one and the
//! same code in [`crate::admin`].

mod accounts;
mod continuity;
mod mail;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

pub use accounts::{AccountCommand, AccountRole, AuditArgs, DomainCommand, PasswordArgs, SetArgs};
pub use continuity::{
    ArchiveCommand, DownPageArgs, PromoteArgs, RestoreArgs, RewindArgs, SalvageArgs, StageCommand, StandbyArgs,
    StandbyCommand,
};
pub use mail::{ExportArgs, ImportArgs, LineEndings, MailFormat, PeopleArgs, PeopleCommand, QueueCommand};

/// A complete mail service: webmail, IMAP, POP3, SMTP, in one program that survives its own bad night.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// Configuration file. Default: /etc/holdfast/holdfast.toml where there is one and no data folder was named; else
    /// everything has a default that works on this machine.
    #[arg(long, short, global = true, env = "HOLDFAST_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The data folder, instead of the configured one.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    #[command(subcommand)]
    pub command: Command,
}

/// Where an installed service has its configuration, so that nobody has to type it at night.
const INSTALLED: &str = "/etc/holdfast/holdfast.toml";

impl Cli {
    /// The configuration file that counts. Who names a data folder means that one, and none of an installed service.
    pub fn config_file(&self) -> Option<PathBuf> {
        let installed = || {
            let is_named = self.data_dir.is_some() || std::env::var_os("HOLDFAST_DATA_DIR").is_some();
            let path = PathBuf::from(INSTALLED);
            // One that is there and can't be looked at is told when it is read.
            (!is_named && path.try_exists().unwrap_or(true)).then_some(path)
        };
        self.config.clone().or_else(installed)
    }
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the service.
    Serve,
    /// Say whether a configuration file is right, and if not, which line, why, and what to write.
    CheckConfig {
        /// The file; default: the one given by --config.
        file: Option<PathBuf>,
    },
    /// Check all stored data: log chain, index seals and digests, bodies, and what must hold between records.
    Verify {
        /// Rebuild what can be rebuilt, and say what was done. The service must be stopped.
        #[arg(long)]
        repair: bool,
    },
    /// Build the index from nothing: from the log, the newest checkpoint and the body packs. The service must be stopped.
    RebuildIndex,
    /// Follow another machine, to take its place when it burns; or `standby code` and others on the primary.
    Standby(StandbyArgs),
    /// Answer everything with the page that the service is not there: for another machine, behind the same name.
    DownPage(DownPageArgs),
    /// Make this machine's data folder from an archive, and serve meanwhile: accounts come when they are used, the rest
    /// behind. The folder must be empty, or of the same restore, cut off.
    Restore(RestoreArgs),
    /// Restore each archive into scratch space, check and use it, and keep the result. Exits with 1 when something is wrong.
    Drill {
        /// Only this archive: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// A folder with room for everything. Default: the archive's drill_dir.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// An archive that need not be configured: its URL, or the name or URL of a configured one.
        #[arg(long, value_name = "URL", conflicts_with = "target")]
        from: Option<String>,
        /// The file with the identity of one of its recipients. Default: the configured one.
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
    /// Put load on any mail server and print rates and latencies.
    Bench(crate::bench::BenchArgs),
    /// Print a script that has a shell complete commands and options.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command.
    Man {
        /// The folder, made when it is not there.
        dir: PathBuf,
    },
    /// Print help on a command, or a document of this version: `holdfast help continuity`.
    #[command(display_order = 4)]
    Help {
        /// A command, or a document and words of one of its headings.
        words: Vec<String>,
    },
    #[command(flatten)]
    Admin(AdminCommand),
}

/// Commands on the service's state, with or without a running service.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum AdminCommand {
    /// How everything is, in one look: stage, doors, disk, queue, backups, alarms. Exits with 1 when something needs you.
    Status {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Accounts: the people (and programs) that have mail here.
    #[command(subcommand)]
    Account(AccountCommand),
    /// Domains that this service receives mail for.
    #[command(subcommand)]
    Domain(DomainCommand),
    /// Mail on its way out.
    #[command(subcommand)]
    Queue(QueueCommand),
    /// Take mail in from mbox files or Maildir folders. Can be stopped and run again: nothing is filed twice.
    Import(ImportArgs),
    /// Write mail out to mbox files or a Maildir, byte for byte.
    Export(ExportArgs),
    /// Standbys: see `holdfast standby`.
    #[command(subcommand, hide = true)]
    StandbyDo(StandbyCommand),
    /// Make this standby the primary: follow no more, apply what was received, open the doors.
    Promote(PromoteArgs),
    /// Compare every realm with the primary's, read again on both, while both go on. For a standby that follows.
    Compare,
    /// What is on right now, and the way back: dark, checks, web, clients, queues, open.
    #[command(subcommand)]
    Stage(StageCommand),
    /// Archives: where the log and the snapshots go.
    #[command(subcommand)]
    Archive(ArchiveCommand),
    /// Address books: contacts and groups, in and out as vCard or CSV.
    #[command(subcommand)]
    People(PeopleCommand),
    /// Who did what, newest first: to the service (domains, accounts deleted, messages dropped), or to one account.
    Audit(AuditArgs),
    /// Bring an account's mail or address book back as it was at a moment, beside what came since. Can be undone.
    Rewind(RewindArgs),
    /// One account out of an archive: see `holdfast restore --account`.
    #[command(hide = true)]
    RestoreAccount(Box<RestoreArgs>),
    /// Take everything that can be read out of a damaged data folder, or out of what only an old primary had, and merge
    /// it into the accounts here: nothing is filed twice, however often it runs. Exits with 1 when something can't be read.
    Salvage(SalvageArgs),
    /// Do the daily work now: check what is stored, make a checkpoint, drop old log, take back space.
    Maintain,
}

impl AdminCommand {
    /// Whether it changes what people have here, or says that it is changed: it ends once that is acknowledged.
    pub const fn acts(&self) -> bool {
        match self {
            Self::Account(command) => !matches!(command, AccountCommand::List { .. } | AccountCommand::Show { .. }),
            Self::Domain(command) => !matches!(command, DomainCommand::List { .. } | DomainCommand::Show { .. }),
            Self::Queue(command) => !matches!(command, QueueCommand::List { .. } | QueueCommand::Show { .. }),
            Self::People(command) => matches!(command, PeopleCommand::Import(_)),
            Self::RestoreAccount(args) => !args.of_account.preview,
            Self::Import(_) | Self::Rewind(_) | Self::Salvage(_) => true,
            Self::Status { .. }
            | Self::Export(_)
            | Self::StandbyDo(_)
            | Self::Promote(_)
            | Self::Compare
            | Self::Stage(_)
            | Self::Archive(_)
            | Self::Audit(_)
            | Self::Maintain => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_rewind_says_where_to() {
        let parse = |words: &str| Cli::try_parse_from(std::iter::once("holdfast").chain(words.split(' '))).is_ok();
        assert!(parse("rewind a@b.example --at 2026-11-23T17:00:00Z --mailbox INBOX --preview"));
        assert!(parse("rewind a@b.example --undo") && parse("rewind a@b.example --deleted"));
        assert!(!parse("rewind a@b.example"));
        assert!(!parse("rewind a@b.example --at 2026-11-23T17:00:00Z --mailbox INBOX --address-book"));
        assert!(!parse("rewind a@b.example --at 2026-11-23T17:00:00Z --undo"));
    }

    #[test]
    fn a_restore_is_of_everything_or_of_one_account() {
        let parse = |words: &str| Cli::try_parse_from(std::iter::once("holdfast").chain(words.split(' '))).is_ok();
        for good in [
            "restore --from s3://bucket/x --at 1234",
            "restore --account a@b.example",
            "restore --account a@b.example --at commit:1234 --archive off-site --preview --json",
            "restore --account a@b.example --from file:///x --identity f --mailbox Work --flags --scratch /tmp",
            "restore --account a@b.example --into c@b.example --address-book --line abc --signed-by k",
        ] {
            assert!(parse(good), "{good}");
        }
        for bad in [
            "restore",
            "restore --at 1234",
            "restore --from x --preview",
            "restore --from x --archive y",
            "restore --from x --into a@b.example",
            "restore --account a@b.example --archive x --from y",
            "restore --account a@b.example --offline",
            "restore --account a@b.example --try",
            "restore --account a@b.example --list-moments",
            "restore --account a@b.example --mailbox Work --address-book",
        ] {
            assert!(!parse(bad), "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_taken_from_the_command_line() {
        for words in ["account add a@b.example --password x", "account passwd a@b.example x"] {
            assert!(Cli::try_parse_from(std::iter::once("holdfast").chain(words.split(' '))).is_err());
        }
    }
}
