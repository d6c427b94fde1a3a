//! The command line. Commands that change or read the service's state are [`AdminCommand`]s: if the service is running,
//! they run inside its process (through its admin socket), otherwise on the data folder directly, with the same code in
//! [`crate::admin`].

mod accounts;
mod certificates;
mod continuity;
mod fetch;
mod forward;
mod mail;
mod relay;
mod secrets;
mod sieve;
mod spam;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use serde::{Deserialize, Serialize};

pub use accounts::{
    AccountCommand, AccountRole, AuditArgs, DomainCommand, LimitsArgs, MasksArgs, PasswordArgs, ReportsCommand,
    SetArgs, StsMode, Switch,
};
pub use certificates::CertificateCommand;
pub use continuity::{
    ArchiveCommand, DownPageArgs, PromoteArgs, RepairArgs, RestoreArgs, RewindArgs, SalvageArgs, StageCommand,
    StandbyArgs, StandbyCommand,
};
pub use fetch::{FetchAddArgs, FetchCommand, FetchProtocol, FetchSecurity};
pub use forward::{ForwardCommand, KeepCopy};
pub use mail::{
    Chosen, ExportArgs, ImportArgs, LineEndings, MailFormat, PeopleArgs, PeopleCommand, PeopleExportArgs,
    PeopleListArgs, QueueCommand,
};
pub use relay::{RelayArgs, RelayCommand};
pub use secrets::SecretsCommand;
pub use sieve::SieveCommand;
pub use spam::SpamCommand;

/// A complete mail server in one program: webmail, IMAP, POP3 and SMTP, built to survive failures.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, propagate_version = true, disable_help_subcommand = true)]
pub struct Cli {
    /// Configuration file. Default: /etc/holdfast/holdfast.toml if it exists and no data folder is given.
    #[arg(long, short, global = true, env = "HOLDFAST_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Data folder, instead of the configured one.
    #[arg(long, global = true, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Print results as JSON on standard output, and an error as one JSON object on standard error.
    #[arg(long, global = true)]
    pub json: bool,
    #[command(subcommand)]
    pub command: Command,
}

/// Why commands have no `--json`.
pub const LISTENS: &str = "it runs until it is stopped; use `holdfast status --json` and its log";
pub const HAS_A_FORM: &str = "its output has a form of its own";
pub const NO_JSON_OF_RESTORE: &str = "it becomes the service, which tells its progress in `holdfast status --json`; only --account and --list-moments have it";

/// Where an installed service has its configuration.
const INSTALLED: &str = "/etc/holdfast/holdfast.toml";

impl Cli {
    /// The configuration file to use. If a data folder is given, the installed service's configuration is not read.
    pub fn config_file(&self) -> Option<PathBuf> {
        let installed = || {
            let is_named = self.data_dir.is_some() || std::env::var_os("HOLDFAST_DATA_DIR").is_some();
            let path = PathBuf::from(INSTALLED);
            // If it exists but can't be checked, reading it later reports why.
            (!is_named && path.try_exists().unwrap_or(true)).then_some(path)
        };
        self.config.clone().or_else(installed)
    }
}

/// All commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the mail server.
    #[command(display_order = 1)]
    Serve,
    /// Check a configuration file. Reports the line, the reason and the fix for each error.
    #[command(display_order = 2)]
    CheckConfig {
        /// The file. Default: the one given by --config.
        file: Option<PathBuf>,
    },
    /// Rebuild the index from the log, the newest checkpoint and the body packs. The service must be stopped.
    #[command(display_order = 41)]
    RebuildIndex,
    /// Run this machine as a standby of another one. The subcommands manage standbys, most of them on the primary.
    #[command(display_order = 33)]
    Standby(StandbyArgs),
    /// Run this machine as a relay (backup MX): it takes mail while the primary is away, and gives it back. The subcommands
    /// manage relays, most of them on the primary.
    #[command(display_order = 38)]
    Relay(RelayArgs),
    /// Serve the "service unavailable" page: for another machine that takes over the service's host name.
    #[command(display_order = 37)]
    DownPage(DownPageArgs),
    /// Restore the data folder from an archive. The service runs during the restore: accounts are restored on first use,
    /// everything else in the background. The folder must be empty, or hold the same restore, unfinished.
    #[command(display_order = 31)]
    Restore(RestoreArgs),
    /// Test restores: restore each archive into a scratch folder, check it, and record the result. Exits with 1 if a test
    /// fails.
    #[command(display_order = 32)]
    Drill {
        /// Only this archive: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// A folder with enough disk space for all data. Default: the archive's drill_dir.
        #[arg(long)]
        dir: Option<PathBuf>,
        /// The URL of any archive, or the name or URL of a configured one.
        #[arg(long, value_name = "URL", conflicts_with = "target")]
        from: Option<String>,
        /// File with the identity (private key) of one of the archive's recipients. Default: the configured one.
        #[arg(long, value_name = "FILE")]
        identity: Option<PathBuf>,
    },
    /// Load-test any mail server and print rates and latencies.
    #[command(display_order = 50)]
    Bench(crate::bench::BenchArgs),
    /// Print a shell completion script.
    #[command(display_order = 51)]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one for each command.
    #[command(display_order = 52)]
    Man {
        /// The folder; created if it doesn't exist.
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
    /// Show the state of the service: stage, listeners, disk, queue, backups, alarms. Exits with 1 if there are alarms.
    #[command(display_order = 3)]
    Status,
    /// Manage accounts: the people and programs that have a mailbox here.
    #[command(subcommand, display_order = 10)]
    Account(AccountCommand),
    /// Manage the domains that this server receives mail for, and show their DNS records.
    #[command(subcommand, display_order = 11)]
    Domain(DomainCommand),
    /// Send reports to the owners of others' domains. For reports that came about yours: see `holdfast domain reports`.
    #[command(subcommand, display_order = 19)]
    Reports(ReportsCommand),
    /// Manage the keys that stored secrets (DKIM keys, secrets of two-step sign-in, SCRAM keys) are sealed under.
    #[command(subcommand, display_order = 17)]
    Secrets(SecretsCommand),
    /// List, renew and check the certificates that are obtained from an authority (`tls.acme`).
    #[command(subcommand, display_order = 18)]
    Certificate(CertificateCommand),
    /// Manage the queue of outgoing mail.
    #[command(subcommand, display_order = 12)]
    Queue(QueueCommand),
    /// Import mail from mbox files or Maildir folders. Can be interrupted and run again without creating duplicates.
    #[command(display_order = 14)]
    Import(ImportArgs),
    /// Export mail to mbox files or a Maildir, byte for byte.
    #[command(display_order = 15)]
    Export(ExportArgs),
    /// Standbys: see `holdfast standby`.
    #[command(subcommand, hide = true)]
    StandbyDo(StandbyCommand),
    /// Relays: see `holdfast relay`.
    #[command(subcommand, hide = true)]
    RelayDo(RelayCommand),
    /// Make this standby the primary: stop following, apply everything received, and open the listeners.
    #[command(display_order = 34)]
    Promote(PromoteArgs),
    /// Compare all data of this standby with the primary's. Both machines keep running.
    #[command(display_order = 35)]
    Compare,
    /// Show or change the stage of the service: dark, checks, web, clients, queues, open.
    #[command(subcommand, display_order = 36)]
    Stage(StageCommand),
    /// Manage archives: continuous off-site backups of the log and of snapshots.
    #[command(subcommand, display_order = 30)]
    Archive(ArchiveCommand),
    /// List, import and export address books (contacts and groups) as vCard or CSV.
    #[command(subcommand, visible_alias = "contacts", display_order = 13)]
    People(PeopleCommand),
    /// Manage the spam filter of an account: level, allow and block lists, training; explain how a message is judged.
    #[command(subcommand, display_order = 18)]
    Spam(SpamCommand),
    /// Manage where an account's mail is forwarded to.
    #[command(subcommand, display_order = 19)]
    Forward(ForwardCommand),
    /// Manage the Sieve scripts of an account: list, get, put, activate, check.
    #[command(subcommand, display_order = 19)]
    Sieve(SieveCommand),
    /// Show the audit trail, newest first: of the service (domains, deleted accounts, dropped messages) or of one account.
    #[command(display_order = 16)]
    Audit(AuditArgs),
    /// Restore an account's mail or address book to an earlier state; newer items are kept. Can be undone.
    #[command(display_order = 20)]
    Rewind(RewindArgs),
    /// One account out of an archive: see `holdfast restore --account`.
    #[command(hide = true)]
    RestoreAccount(Box<RestoreArgs>),
    /// Recover all readable data from a damaged data folder, or the data that only an old primary had, and merge it into
    /// the accounts here. Can be repeated without creating duplicates. Exits with 1 if some data can't be read.
    #[command(display_order = 40)]
    Salvage(SalvageArgs),
    /// Check all stored data: log, checkpoints, index, message bodies, and consistency between records. While the service runs
    /// it reads slowly, and `holdfast status` shows the progress and the result. Exits with 1 if there is damage.
    #[command(display_order = 21)]
    Verify {
        /// Repair what can be rebuilt and list the repairs. The service must be stopped.
        #[arg(long)]
        repair: bool,
    },
    /// Repair damaged data from a standby or an archive: messages, and commits that are damaged or missing in the log; index and
    /// checkpoints are rebuilt. Replaced files are set aside. While the service runs, messages and closed log segments are
    /// repaired. Exits with 1 if there is still damage.
    #[command(display_order = 23)]
    Repair(RepairArgs),
    /// Run the daily maintenance now: check stored data, make a checkpoint, drop old log, reclaim disk space.
    #[command(display_order = 22)]
    Maintain,
}

impl AdminCommand {
    /// Whether the command changes people's data: it ends once the change is acknowledged.
    pub const fn acts(&self) -> bool {
        match self {
            Self::Account(AccountCommand::Fetch(command)) => command.acts(),
            Self::Account(command) => !matches!(command, AccountCommand::List | AccountCommand::Show { .. }),
            Self::Domain(command) => {
                !matches!(command, DomainCommand::List | DomainCommand::Show { .. } | DomainCommand::Reports { .. })
            }
            Self::Queue(command) => {
                !matches!(command, QueueCommand::List { .. } | QueueCommand::Show { .. } | QueueCommand::Status)
            }
            Self::People(command) => matches!(command, PeopleCommand::Import(_)),
            Self::Certificate(command) => matches!(command, CertificateCommand::Renew { .. }),
            Self::Secrets(command) => matches!(command, SecretsCommand::Seal | SecretsCommand::Unseal),
            Self::Sieve(command) => {
                !matches!(command, SieveCommand::List { .. } | SieveCommand::Get { .. } | SieveCommand::Check { .. })
            }
            Self::Forward(command) => !matches!(command, ForwardCommand::List { .. }),
            Self::Spam(command) => {
                !matches!(command, SpamCommand::Show { .. } | SpamCommand::Explain { .. } | SpamCommand::DnsLists)
            }
            Self::RestoreAccount(args) => !args.of_account.preview,
            Self::Import(_) | Self::Rewind(_) | Self::Salvage(_) | Self::Reports(_) => true,
            Self::Status
            | Self::Export(_)
            | Self::StandbyDo(_)
            | Self::RelayDo(_)
            | Self::Promote(_)
            | Self::Compare
            | Self::Stage(_)
            | Self::Archive(_)
            | Self::Audit(_)
            | Self::Verify { .. }
            | Self::Repair(_)
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

    fn leaves(command: &clap::Command, path: &str, all: &mut Vec<String>) {
        let runs_alone = !command.is_subcommand_required_set() && !path.is_empty();
        if runs_alone || command.get_subcommands().next().is_none() {
            all.push(path.to_owned());
        }
        for sub in command.get_subcommands() {
            leaves(sub, format!("{path} {}", sub.get_name()).trim(), all);
        }
    }

    #[test]
    fn the_table_of_the_pages_names_every_command() {
        let table = include_str!("../../../docs/administration.md");
        for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(table.contains(&format!("`{}", command.get_name())), "{}", command.get_name());
        }
    }

    #[test]
    fn every_command_has_the_flag_for_programs() {
        let mut there = Vec::new();
        leaves(&Cli::command(), "", &mut there);
        assert!(there.len() > 60);
        let mut command = Cli::command();
        command.build();
        for path in &there {
            let leaf = path.split(' ').fold(&command, |command, name| command.find_subcommand(name).unwrap());
            assert!(leaf.get_arguments().any(|argument| argument.get_long() == Some("json")), "{path}");
        }
    }
}
