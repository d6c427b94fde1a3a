//! Commands for continuity: stages, standbys, archives, restore, rewind, salvage.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

/// `holdfast stage …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum StageCommand {
    /// Show which features are on or off, and the progress of a plan.
    Show,
    /// Go to a stage at once. Cancels a running plan.
    Set {
        /// dark, checks, web, clients, queues or open.
        stage: String,
    },
    /// Turn one feature off, at any stage.
    Off {
        /// sign-up, options, administration, search, sending, rewind or address-book.
        feature: String,
        /// Why; people read it.
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
        /// Turn it on again after this time, for example "2 h".
        #[arg(long, value_name = "TIME")]
        r#for: Option<String>,
    },
    /// Turn a feature on again.
    On {
        /// The feature.
        feature: String,
    },
    /// Set the announcement that is shown on every page and on the "service unavailable" page.
    Say {
        /// The text; omit it to clear the announcement.
        #[arg(default_value = "")]
        text: String,
    },
    /// Run a plan in the background: steps, each with checks that must pass first. Default: the standard plan.
    Plan {
        /// A TOML file with a list of `[[step]]` tables.
        file: Option<PathBuf>,
        /// Only print the plan.
        #[arg(long)]
        print: bool,
        /// The contents of the plan file.
        #[arg(skip)]
        text: Option<String>,
    },
}

/// `holdfast down-page …`
#[derive(Debug, Clone, Args)]
pub struct DownPageArgs {
    /// The address to listen on, such as 0.0.0.0:8080.
    #[arg(long, default_value = "127.0.0.1:8090")]
    pub listen: std::net::SocketAddr,
    /// The announcement to show.
    #[arg(long, default_value = "")]
    pub say: String,
}

/// `holdfast standby …`
#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct StandbyArgs {
    #[command(subcommand)]
    pub command: Option<StandbyCommand>,
    /// The primary: HOST:PORT of its listen.standby. Needed once.
    #[arg(long)]
    pub primary: Option<String>,
    /// The code printed by `holdfast standby code` on the primary. Needed once.
    #[arg(long)]
    pub code: Option<String>,
    /// The name of this standby. Default: the configured hostname.
    #[arg(long)]
    pub name: Option<String>,
    /// This machine was a primary: save the data that only it has to files, then follow.
    #[arg(long)]
    pub rejoin: bool,
}

/// Commands on standbys, or on this standby.
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum StandbyCommand {
    /// On the primary: print a code that pairs one standby. It is valid for ten minutes.
    Code,
    /// Show how far each standby is; on a standby, show its own state. Exits with 1 if there are alarms.
    Status,
    /// On a primary that waits for a standby: acknowledge writes alone until a standby has caught up.
    Alone,
    /// On the primary: revoke a standby.
    Forget {
        /// The standby's name or fingerprint.
        name: String,
    },
    /// On the standby: apply the changes that a tripwire holds back.
    Release,
    /// On the standby: copy a realm (an account's data, or the directory) from the primary again, after it failed to apply.
    Resync {
        /// The realm, as `standby status` shows it, such as "account 3".
        realm: String,
    },
}

/// `holdfast promote`
#[derive(Debug, Clone, Copy, Args, Serialize, Deserialize)]
pub struct PromoteArgs {
    /// Discard the changes that a tripwire holds back: the affected accounts keep the state before the suspicious deletion.
    #[arg(long)]
    pub discard: bool,
    /// The old primary was stopped and this standby had received everything: mail apps need not download again.
    #[arg(long, conflicts_with = "maybe_lost")]
    pub nothing_lost: bool,
    /// The old primary may have acknowledged changes that are missing here, even though its mode was "sync" and "wait" when
    /// this machine last saw it: all mail apps download everything again.
    #[arg(long)]
    pub maybe_lost: bool,
    /// In mode "sync" and "wait": acknowledge writes alone until a standby is paired and has caught up.
    #[arg(long, conflicts_with = "wait")]
    pub alone: bool,
    /// In mode "sync" and "wait": acknowledge no writes until a standby is paired.
    #[arg(long)]
    pub wait: bool,
}

/// `holdfast repair …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct RepairArgs {
    /// Ask the standbys. If this service is stopped, they connect to this command within seconds.
    #[arg(long, required_unless_present = "from_archive")]
    pub from_standby: bool,
    /// Ask the archives that this machine can read.
    #[arg(long)]
    pub from_archive: bool,
    /// Only this archive: its name or URL. It need not be configured.
    #[arg(long, value_name = "NAME", requires = "from_archive")]
    pub archive: Option<String>,
    /// The file with the identity of one of the archive's recipients. Default: the configured one.
    #[arg(long, value_name = "FILE", requires = "from_archive")]
    pub identity: Option<PathBuf>,
}

/// `holdfast archive …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum ArchiveCommand {
    /// Show how far each archive is and when its newest good snapshot was taken. Exits with 1 if there are alarms.
    Status {
        /// Only this archive: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
    /// List the contents of each archive: lines (histories), log, snapshots.
    List {
        /// Only this archive: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
    /// Read back all data in each archive and verify it. Exits with 1 if something is damaged or missing.
    Verify {
        /// Only this archive: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Check only the newest good snapshot.
        #[arg(long)]
        newest: bool,
    },
    /// Take a snapshot now and verify it.
    Snapshot {
        /// Only this archive: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
    },
    /// After `holdfast restore --try`: keep the restored service and start shipping to its archives.
    Keep,
    /// Delete snapshots and log beyond the configured retention. Needs credentials that are allowed to delete.
    Prune {
        /// Only this archive: its name or URL.
        #[arg(long, value_name = "NAME")]
        target: Option<String>,
        /// Only list what would be deleted.
        #[arg(long)]
        dry_run: bool,
    },
    /// Create an age identity (private key) that can read an archive, and print its recipient for the configuration.
    NewIdentity {
        /// The file to write; it must not exist yet.
        file: PathBuf,
    },
}

/// `holdfast restore …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct RestoreArgs {
    /// The archive: a URL, or the name of a configured archive.
    #[arg(long, value_name = "URL", required_unless_present = "account")]
    pub from: Option<String>,
    #[command(flatten)]
    #[serde(default)]
    pub of_account: AccountRestoreArgs,
    /// The time to restore to: "2026-11-23 18:00", "2026-11-23T17:00:00Z" or "2 h ago"; or the last commit to restore, such
    /// as 1234 or commit:1234. Default: everything.
    #[arg(long, value_name = "TIME|COMMIT")]
    pub at: Option<String>,
    /// File with the identity (private key) of one of the archive's recipients.
    #[arg(long, value_name = "FILE")]
    pub identity: Option<PathBuf>,
    /// The line (history), as shown by `holdfast archive list`. Default: the newest.
    #[arg(long, value_name = "LINE")]
    pub line: Option<String>,
    /// Trust only lines signed by this key, as shown by `holdfast archive status`. Repeat it for the key of an earlier
    /// line. Default: the key named in the archive.
    #[arg(long, value_name = "KEY")]
    pub signed_by: Vec<String>,
    /// Skip data that can't be restored and list it, instead of failing.
    #[arg(long)]
    pub without_damaged: bool,
    /// Try out the restore: the restored service doesn't ship to any archive until you run `holdfast archive keep`.
    #[arg(long = "try")]
    #[serde(default)]
    pub try_out: bool,
    /// Don't restore: list the lines with their time ranges and snapshots, and the times of the largest deletions.
    #[arg(long, conflicts_with_all = ["at", "without_damaged", "offline", "try_out"])]
    #[serde(default)]
    pub list_moments: bool,
    /// Restore everything and exit, instead of running the service during the restore.
    #[arg(long)]
    pub offline: bool,
}

/// `holdfast restore --account …`
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct AccountRestoreArgs {
    /// Restore only this account's mail and address book into the running service; existing data is kept. Give its old or
    /// present address. Can be undone with `holdfast rewind ADDRESS --undo`.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["offline", "try_out", "list_moments", "without_damaged"])]
    pub account: Option<String>,
    /// With --account: the configured archive, by its name or URL. Default: the only one.
    #[arg(long, value_name = "NAME", requires = "account", conflicts_with = "from")]
    pub archive: Option<String>,
    /// With --account: restore it into this account instead.
    #[arg(long, value_name = "ADDRESS", requires = "account")]
    pub into: Option<String>,
    /// With --account: only this mailbox, by its name at that time.
    #[arg(long, value_name = "NAME", requires = "account", conflicts_with = "address_book")]
    pub mailbox: Option<String>,
    /// With --account: only the address book.
    #[arg(long, requires = "account")]
    pub address_book: bool,
    /// With --account: also restore the flags of messages that were not moved or deleted.
    #[arg(long, requires = "account")]
    pub flags: bool,
    /// With --account: only show what would change.
    #[arg(long, requires = "account")]
    pub preview: bool,
    /// With --account: a folder with disk space for the account's records, not for its messages. Default: in the data folder.
    #[arg(long, value_name = "DIR", requires = "account")]
    pub scratch: Option<PathBuf>,
    /// The contents of the identity file: the service may have no access to the file.
    #[arg(skip)]
    pub identity_text: Option<String>,
}

/// `holdfast rewind …`
#[derive(Debug, Clone, Default, Args, Serialize, Deserialize)]
pub struct RewindArgs {
    /// The account's address.
    pub address: String,
    /// The time to go back to: "2026-11-23 18:00", "2026-11-23T17:00:00Z" or "2 h ago".
    #[arg(long, value_name = "TIME", required_unless_present_any = ["undo", "deleted"])]
    pub at: Option<String>,
    /// Only this mailbox, by its name at that time. Default: all mail and the address book.
    #[arg(long, value_name = "NAME", group = "what")]
    pub mailbox: Option<String>,
    /// Only the address book.
    #[arg(long, group = "what")]
    pub address_book: bool,
    /// Only this message, by its id in the preview, such as m1.e42. Can be repeated.
    #[arg(long, value_name = "ID", group = "what")]
    pub message: Vec<String>,
    /// Also restore the flags of messages that were not moved or deleted.
    #[arg(long)]
    pub flags: bool,
    /// Only show what would change.
    #[arg(long)]
    pub preview: bool,
    /// Undo the last rewind of the account.
    #[arg(long, conflicts_with_all = ["at", "what", "flags", "preview", "deleted"])]
    pub undo: bool,
    /// Restore a deleted account first: its addresses, password, mail and address book.
    #[arg(long)]
    pub deleted: bool,
}

/// `holdfast salvage …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct SalvageArgs {
    /// A data folder that no service is using, or a folder `unshared-after-N` or `discarded-after-N`. It is not changed.
    pub from: PathBuf,
    /// A scratch folder with free disk space of twice the size of the damaged folder's `index`. Files created in it are
    /// removed at the end.
    #[arg(long, value_name = "DIR")]
    pub scratch: PathBuf,
    /// Only this account. Can be repeated.
    #[arg(long, value_name = "ADDRESS")]
    pub account: Vec<String>,
    /// Only show what would be merged and what can't be read.
    #[arg(long)]
    pub preview: bool,
    /// Write messages that no record refers to, and messages that were waiting to be sent, into this folder.
    #[arg(long, value_name = "DIR")]
    pub orphans: Option<PathBuf>,
    /// What to do with messages that were waiting to be sent: "hold" adds them to the queue here on hold, for `queue show`
    /// and `queue release`. Default: only list them.
    #[arg(long, value_name = "hold")]
    pub queue: Option<QueueMode>,
}

/// What `holdfast salvage` does with messages that were waiting to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize, Deserialize)]
pub enum QueueMode {
    /// Add them to the queue, on hold.
    Hold,
}
