//! What is typed before, in and after a bad night: stages, standbys, archives, restoring, going back, salvage.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

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
    /// On the primary, where it waits for a standby: acknowledge alone until one has everything.
    Alone,
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

/// `holdfast promote`
#[derive(Debug, Clone, Copy, Args, Serialize, Deserialize)]
pub struct PromoteArgs {
    /// Leave out what a tripwire holds: accounts that lost something have again what they had before it.
    #[arg(long)]
    pub discard: bool,
    /// The old primary was stopped with nothing left to receive, so that clients need not read everything anew.
    #[arg(long, conflicts_with = "maybe_lost")]
    pub nothing_lost: bool,
    /// The old primary may have acknowledged what is not here, although its mode was "sync" and "wait" when this machine
    /// last saw it: all mail programs read everything anew.
    #[arg(long)]
    pub maybe_lost: bool,
    /// Where the mode is "sync" and "wait": acknowledge alone until a standby is paired and has everything.
    #[arg(long, conflicts_with = "wait")]
    pub alone: bool,
    /// Where the mode is "sync" and "wait": acknowledge nothing until a standby is paired.
    #[arg(long)]
    pub wait: bool,
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
    /// After `holdfast restore --try`: this service is the one from now on, and ships.
    Keep,
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

/// `holdfast restore …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct RestoreArgs {
    /// The archive: its URL, or the name or URL of a configured one.
    #[arg(long, value_name = "URL", required_unless_present = "account")]
    pub from: Option<String>,
    #[command(flatten)]
    #[serde(default)]
    pub of_account: AccountRestoreArgs,
    /// The moment: "2026-11-23 18:00", "2026-11-23T17:00:00Z" or "2 h ago"; or a commit, such as 1234 or commit:1234: that
    /// one is the last. Default: all there is.
    #[arg(long, value_name = "TIME|COMMIT")]
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
    /// Only try it out: what is restored ships to no archive, until `holdfast archive keep`.
    #[arg(long = "try")]
    #[serde(default)]
    pub try_out: bool,
    /// Restore nothing: say which lines there are, from when until when, their snapshots, and when most was deleted.
    #[arg(long, conflicts_with_all = ["at", "without_damaged", "offline", "try_out"])]
    #[serde(default)]
    pub list_moments: bool,
    /// Restore everything first and end, instead of serving while accounts and messages come.
    #[arg(long)]
    pub offline: bool,
}

/// `holdfast restore --account …`
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct AccountRestoreArgs {
    /// Bring this account's mail and address book back into the service that runs, beside what it has now: its address,
    /// of then or of now. Can be undone with `holdfast rewind ADDRESS --undo`.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["offline", "try_out", "list_moments", "without_damaged"])]
    pub account: Option<String>,
    /// With --account: the configured archive, by its name or URL. Default: the only one.
    #[arg(long, value_name = "NAME", requires = "account", conflicts_with = "from")]
    pub archive: Option<String>,
    /// With --account: bring it into this account instead.
    #[arg(long, value_name = "ADDRESS", requires = "account")]
    pub into: Option<String>,
    /// With --account: only this mailbox, by the name that it had.
    #[arg(long, value_name = "NAME", requires = "account", conflicts_with = "address_book")]
    pub mailbox: Option<String>,
    /// With --account: only the address book.
    #[arg(long, requires = "account")]
    pub address_book: bool,
    /// With --account: messages that stayed where they were get the flags that they had, too.
    #[arg(long, requires = "account")]
    pub flags: bool,
    /// With --account: only say what would change.
    #[arg(long, requires = "account")]
    pub preview: bool,
    /// With --account: one JSON object.
    #[arg(long, requires = "account")]
    pub json: bool,
    /// With --account: a folder with room for the account's records, not for its messages. Default: in the data folder.
    #[arg(long, value_name = "DIR", requires = "account")]
    pub scratch: Option<PathBuf>,
    /// The text of the identity's file once it is read: the service may not see where it lies.
    #[arg(skip)]
    pub identity_text: Option<String>,
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
    /// What becomes of messages that were waiting to be sent: "hold" puts them into the queue here, held, for `queue show`
    /// and `queue release`. Otherwise they are only named.
    #[arg(long, value_name = "hold")]
    pub queue: Option<QueueMode>,
}

/// What `holdfast salvage` does with messages that were waiting to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub enum QueueMode {
    /// Into the queue, held.
    Hold,
}
