//! What can be typed. The commands that change or read the service's state are [`AdminCommand`]s: they run inside the
//! serving process when there is one (through its admin socket), else on the data folder directly, with one and the
//! same code in [`crate::admin`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::config::ByteSize;

/// A complete mail service: webmail, IMAP, POP3, SMTP, in one program that survives its own bad night.
#[derive(Debug, Parser)]
#[command(name = "holdfast", version, propagate_version = true)]
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
    Promote {
        /// Leave out what a tripwire holds: accounts that lost something have again what they had before it.
        #[arg(long)]
        discard: bool,
        /// The old primary was stopped with nothing left to receive, so that clients need not read everything anew.
        #[arg(long, conflicts_with = "maybe_lost")]
        nothing_lost: bool,
        /// The old primary may have acknowledged what is not here, although its mode was "sync" and "wait" when this machine
        /// last saw it: all mail programs read everything anew.
        #[arg(long)]
        maybe_lost: bool,
    },
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
    /// Take everything that can be read out of a damaged data folder, or out of what only an old primary had, and merge
    /// it into the accounts here: nothing is filed twice, however often it runs. Exits with 1 when something can't be read.
    Salvage(SalvageArgs),
    /// Do the daily work now: check what is stored, make a checkpoint, drop old log, take back space.
    Maintain,
}

/// `holdfast archive …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum ArchiveCommand {
    /// How far each archive is and when its newest good snapshot was taken. Exits with 1 when something is alarming.
    Status {
        /// Only this one: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
    /// What each archive holds: lines, log, snapshots.
    List {
        /// Only this one: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
    /// Read everything back and compare it with what it must be. Exits with 1 when something is not.
    Verify {
        /// Only this one: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Of the snapshots only the newest good one.
        #[arg(long)]
        newest: bool,
    },
    /// Take a snapshot now, and read it back.
    Snapshot {
        /// Only this one: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
    /// Take away what is not to be kept, as configured. Needs credentials that may delete.
    Prune {
        /// Only this one: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Only say what would go.
        #[arg(long)]
        dry_run: bool,
    },
    /// Make an age identity, which can read an archive, and print its recipient, for the configuration.
    NewIdentity {
        /// Where to write it; must not exist.
        file: PathBuf,
    },
}

/// `holdfast rewind …`
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct RewindArgs {
    /// The account's address.
    pub address: String,
    /// The moment: "2026-11-23 18:00", "2026-11-23T17:00:00Z" or "2 h ago".
    #[arg(long, value_name = "TIME", required_unless_present_any = ["undo", "deleted"])]
    pub at: Option<String>,
    /// Only this mailbox, by the name that it had. Default: all mail and the address book.
    #[arg(long, value_name = "NAME", group = "what")]
    pub mailbox: Option<String>,
    /// Only the address book.
    #[arg(long, group = "what")]
    pub address_book: bool,
    /// Only this message, as the preview names it, such as m1.e42. Can be given again.
    #[arg(long, value_name = "ID", group = "what")]
    pub message: Vec<String>,
    /// Messages that stayed where they were get the flags that they had, too.
    #[arg(long)]
    pub flags: bool,
    /// Only say what would change.
    #[arg(long)]
    pub preview: bool,
    /// Take the last rewind of the account back.
    #[arg(long, conflicts_with_all = ["at", "what", "flags", "preview", "deleted"])]
    pub undo: bool,
    /// Bring the deleted account back first: its addresses, password, mail and address book.
    #[arg(long)]
    pub deleted: bool,
}

/// `holdfast restore …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct RestoreArgs {
    /// The archive: its URL, or the name or URL of a configured one.
    #[arg(long, value_name = "URL")]
    pub from: String,
    /// The moment: "2026-11-23 18:00", "2026-11-23T17:00:00Z" or "2 h ago". Default: the last commit.
    #[arg(long, value_name = "TIME")]
    pub at: Option<String>,
    /// The file with the identity of one of the archive's recipients.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// The line, as `holdfast archive list` names it. Default: the newest.
    #[arg(long, value_name = "LINE")]
    pub line: Option<String>,
    /// Believe only lines that this key signs, as `holdfast archive status` shows it; can be given again, for the line
    /// before. Default: whatever key the archive names.
    #[arg(long, value_name = "KEY")]
    pub signed_by: Vec<String>,
    /// Leave out what can't be restored, and say what, instead of failing.
    #[arg(long)]
    pub without_damaged: bool,
    /// Restore everything first and end, instead of serving while accounts and messages come.
    #[arg(long)]
    pub offline: bool,
}

/// `holdfast salvage …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct SalvageArgs {
    /// A data folder that no service runs on, or a folder `unshared-after-N` or `discarded-after-N`. It stays as it is.
    pub from: PathBuf,
    /// A folder to work in, with room for twice the damaged folder's `index`. What is made in it is removed at the end.
    #[arg(long, value_name = "DIR")]
    pub scratch: PathBuf,
    /// Only this account; can be given several times.
    #[arg(long, value_name = "ADDRESS")]
    pub account: Vec<String>,
    /// Only say what would be merged and what can't be read.
    #[arg(long)]
    pub preview: bool,
    /// Write messages that no record refers to any more, and those that were waiting to be sent, into this folder.
    #[arg(long, value_name = "DIR")]
    pub orphans: Option<PathBuf>,
}

/// `holdfast account …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum AccountCommand {
    /// Make an account. The password is asked for, or read from standard input.
    Add {
        /// The address, which is also the login name.
        address: String,
        /// The name people see.
        #[arg(long, default_value = "")]
        name: String,
        /// May manage the service by the web.
        #[arg(long)]
        admin: bool,
        /// Space, such as "5 GiB"; "0 B" is unlimited. Default: limits.default_quota.
        #[arg(long)]
        quota: Option<ByteSize>,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// List the accounts.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Everything about one account: addresses, space, app passwords, sessions.
    Show {
        /// The account's address.
        address: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Change an account: name, space, role; or shut out who got hold of it.
    Set(SetArgs),
    /// Set a new password. All of the account's web sessions end.
    Passwd {
        /// The account's address.
        address: String,
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Refuse logins; mail still comes in.
    Disable {
        /// The account's address.
        address: String,
    },
    /// Let a disabled account log in again.
    Enable {
        /// The account's address.
        address: String,
    },
    /// Delete an account: its addresses stop at once; its mail stays restorable for the retention time.
    Delete {
        /// The account's address.
        address: String,
        /// Do not ask.
        #[arg(long)]
        yes: bool,
    },
    /// Add another address to an account.
    Alias {
        /// The account's address.
        address: String,
        /// The new address; `@example.org` takes all mail of the domain that has no address of its own.
        alias: String,
        /// Take it away instead.
        #[arg(long)]
        remove: bool,
    },
}

/// `holdfast account set …`
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct SetArgs {
    /// The account's address.
    pub address: String,
    /// The name people see.
    #[arg(long)]
    pub name: Option<String>,
    /// Space, such as "5 GiB"; "0 B" is unlimited.
    #[arg(long)]
    pub quota: Option<ByteSize>,
    /// Whether it may manage the service by the web.
    #[arg(long, value_enum)]
    pub role: Option<AccountRole>,
    /// Sign in without the second factor from now on: for who has lost it.
    #[arg(long)]
    pub totp_off: bool,
    /// End all web sessions and revoke all app passwords: for an account that somebody else got hold of. Set a new
    /// password too.
    #[arg(long)]
    pub shut_out: bool,
}

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum AccountRole {
    /// Mail of its own.
    User,
    /// Manage the service by the web too.
    Admin,
}

/// `holdfast audit …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct AuditArgs {
    /// The account. Default: the service's own trail.
    pub address: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 50)]
    pub limit: usize,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Where a password comes from: never from the command line itself, which other users can read.
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct PasswordArgs {
    /// Read the password from standard input (its first line).
    #[arg(long)]
    pub password_stdin: bool,
    /// Make a password and print it.
    #[arg(long, conflicts_with = "password_stdin")]
    pub generate: bool,
    /// The password once it is known.
    #[arg(skip)]
    pub password: String,
}

/// `holdfast domain …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum DomainCommand {
    /// Receive mail for a domain: makes its DKIM keys and prints the DNS records to set.
    Add {
        /// The domain.
        name: String,
    },
    /// List the domains.
    List {
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Receive mail for a domain no more. No account may have an address in it any more.
    Remove {
        /// The domain.
        name: String,
    },
    /// Print the DNS records of a domain again.
    Show {
        /// The domain.
        name: String,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
}

/// `holdfast queue …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum QueueCommand {
    /// List what waits, oldest first.
    List {
        /// At most so many.
        #[arg(long, default_value_t = 100)]
        limit: usize,
        /// One JSON object a line.
        #[arg(long)]
        json: bool,
    },
    /// Everything about one message: recipients, attempts, what the other side said.
    Show {
        /// The queue id.
        id: String,
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Try again now.
    Retry {
        /// Queue ids, or `all`.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Do not try until released.
    Hold {
        /// Queue ids, or `all`.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Undo a hold.
    Release {
        /// Queue ids, or `all`.
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Take messages out of the queue.
    Drop {
        /// Queue ids.
        #[arg(required = true)]
        ids: Vec<String>,
        /// Tell the sender with a bounce.
        #[arg(long)]
        bounce: bool,
    },
}

/// `holdfast stage …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum StageCommand {
    /// Say what is on, what is off, and how far a plan is.
    Show {
        /// One JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Go to a stage at once. A plan that is under way is given up.
    Set {
        /// dark, checks, web, clients, queues or open.
        stage: String,
    },
    /// Switch one feature off, at any stage.
    Off {
        /// sign-up, options, administration, search, sending, rewind or address-book.
        feature: String,
    },
    /// Switch a feature on again.
    On {
        /// The feature.
        feature: String,
    },
    /// Tell people something, above every page and on the page that the service is not there.
    Say {
        /// What; nothing takes it away.
        #[arg(default_value = "")]
        text: String,
    },
    /// Go through a plan, in the background: steps with what must be well before each. Without a file the usual one.
    Plan {
        /// A TOML file with one `[[step]]` after the other.
        file: Option<PathBuf>,
        /// Only print the plan.
        #[arg(long)]
        print: bool,
        /// The plan, read.
        #[arg(skip)]
        text: Option<String>,
    },
}

/// `holdfast standby …`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StandbyArgs {
    #[command(subcommand)]
    pub command: Option<StandbyCommand>,
    /// The primary, as HOST:PORT of its listen.standby. Needed once.
    #[arg(long)]
    pub primary: Option<String>,
    /// What `holdfast standby code` on the primary printed. Needed once.
    #[arg(long)]
    pub code: Option<String>,
    /// What this machine calls itself. Default: the configured hostname.
    #[arg(long)]
    pub name: Option<String>,
    /// This machine was a primary: keep what only it has in files, and follow.
    #[arg(long)]
    pub rejoin: bool,
}

/// What is done to standbys, or to this one.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum StandbyCommand {
    /// On the primary: print a code that pairs one standby within ten minutes.
    Code,
    /// How far each standby is; on a standby, how far it is itself. Ends with 1 when something needs a person.
    Status,
    /// On the primary: let a standby in no more.
    Forget {
        /// Its name or fingerprint.
        name: String,
    },
    /// On the standby: apply what a tripwire holds.
    Release,
    /// On the standby: copy a realm that is not applied any more anew from the primary.
    Resync {
        /// The realm, as `standby status` names it, such as "account 3".
        realm: String,
    },
}

/// `holdfast down-page …`
#[derive(Debug, Clone, Args)]
pub struct DownPageArgs {
    /// Where to listen, such as 0.0.0.0:8080.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub listen: std::net::SocketAddr,
    /// What to tell people.
    #[arg(long, default_value = "")]
    pub say: String,
}

/// The form of a folder or file of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum MailFormat {
    /// One file with "From " lines between messages.
    Mbox,
    /// A folder with cur, new and tmp; subfolders as Maildir++.
    Maildir,
}

/// `holdfast import …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct ImportArgs {
    /// The account's address.
    pub address: String,
    /// An mbox file, or a Maildir (its subfolders become mailboxes).
    pub path: PathBuf,
    /// Where an mbox file's messages go, and below which mailbox a Maildir's folders go.
    #[arg(long, default_value = "INBOX")]
    pub mailbox: String,
    /// Default: by looking at the path.
    #[arg(long)]
    pub format: Option<MailFormat>,
    /// What becomes of messages whose lines all end with LF alone, as programs on Unix keep them.
    #[arg(long, value_enum, default_value_t = LineEndings::Network)]
    pub line_ends: LineEndings,
}

/// Line ends of imported messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum LineEndings {
    /// CRLF, as in mail on its way: what clients expect.
    Network,
    /// As they are, byte for byte.
    Keep,
}

/// `holdfast export …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct ExportArgs {
    /// The account's address.
    pub address: String,
    /// Where to write: a folder, which must not exist or be empty.
    pub path: PathBuf,
    /// Only this mailbox.
    #[arg(long)]
    pub mailbox: Option<String>,
    /// The form.
    #[arg(long, value_enum, default_value_t = MailFormat::Maildir)]
    pub format: MailFormat,
}

/// `holdfast people …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum PeopleCommand {
    /// Take contacts in from a vCard or CSV file. Can be run again: nobody is added twice.
    Import(PeopleArgs),
    /// Write the address book out: as CSV if the file's name ends so, else as vCard 4.0.
    Export(PeopleArgs),
}

/// `holdfast people import|export …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct PeopleArgs {
    /// The account's address.
    pub address: String,
    /// The file. An export makes it, and never writes over one.
    pub file: PathBuf,
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
    fn a_password_is_never_taken_from_the_command_line() {
        for words in ["account add a@b.example --password x", "account passwd a@b.example x"] {
            assert!(Cli::try_parse_from(std::iter::once("holdfast").chain(words.split(' '))).is_err());
        }
    }
}
