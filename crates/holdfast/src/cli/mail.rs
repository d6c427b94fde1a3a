//! `holdfast queue`, `import`, `export` and `people`: the queue, and import and export of mail and contacts.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// `holdfast queue …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum QueueCommand {
    /// List the waiting messages, oldest first.
    List {
        /// Only messages that this account sent.
        #[arg(long, value_name = "ADDRESS")]
        account: Option<String>,
        /// The highest number of entries to print.
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Show what waits, what is due now, and how long that takes.
    Status,
    /// Show one message: recipients, delivery attempts, replies of remote servers.
    Show {
        /// The queue id.
        id: String,
    },
    /// Try to deliver messages now.
    Retry(Chosen),
    /// Put messages on hold: they are not delivered until released.
    Hold(Chosen),
    /// Release messages from hold.
    Release(Chosen),
    /// Remove messages from the queue without delivering them.
    Drop {
        /// Queue ids.
        #[arg(required_unless_present = "account", conflicts_with = "account")]
        ids: Vec<String>,
        /// All messages that this account sent. Shows how many, and asks for confirmation.
        #[arg(long, value_name = "ADDRESS")]
        account: Option<String>,
        /// Don't ask for confirmation.
        #[arg(long, requires = "account")]
        yes: bool,
        /// Send a bounce to the sender.
        #[arg(long)]
        bounce: bool,
    },
}

/// Which messages of the queue a command is for.
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct Chosen {
    /// Queue ids, or `all`.
    #[arg(required_unless_present = "account", conflicts_with = "account")]
    pub ids: Vec<String>,
    /// All messages that this account sent.
    #[arg(long, value_name = "ADDRESS")]
    pub account: Option<String>,
}

/// `holdfast import …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct ImportArgs {
    /// The account's address.
    pub address: String,
    /// An mbox file, or a Maildir (its subfolders become mailboxes).
    pub path: PathBuf,
    /// The target mailbox of an mbox file, or the parent mailbox of a Maildir's folders.
    #[arg(long, default_value = "INBOX")]
    pub mailbox: String,
    /// The format. Default: detected from the path.
    #[arg(long)]
    pub format: Option<MailFormat>,
    /// What to do with messages whose lines all end with LF only, as Unix programs store them.
    #[arg(long, value_enum, default_value_t = LineEndings::Network)]
    pub line_ends: LineEndings,
}

/// `holdfast export …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct ExportArgs {
    /// The account's address.
    pub address: String,
    /// The folder to write to; it must be empty or not exist yet. With --zip: the file.
    pub path: PathBuf,
    /// Everything (mail, contacts, rules, options) as one ZIP file, as the webmail's Export makes it.
    #[arg(long, conflicts_with_all = ["mailbox", "format"])]
    pub zip: bool,
    /// Only this mailbox.
    #[arg(long)]
    pub mailbox: Option<String>,
    /// The format.
    #[arg(long, value_enum, default_value_t = MailFormat::Maildir)]
    pub format: MailFormat,
}

/// The format of a folder or file of mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum MailFormat {
    /// One file with "From " lines between messages.
    Mbox,
    /// A folder with cur, new and tmp; subfolders as Maildir++.
    Maildir,
}

/// Line ends of imported messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
pub enum LineEndings {
    /// Convert to CRLF, as clients expect.
    Network,
    /// Keep them, byte for byte.
    Keep,
}

/// `holdfast people …`
#[derive(Debug, Clone, Subcommand, Serialize, Deserialize)]
pub enum PeopleCommand {
    /// List contacts, or those that have all words of a search.
    List(PeopleListArgs),
    /// Import contacts from a vCard or CSV file. Can be repeated without creating duplicates.
    Import(PeopleArgs),
    /// Export contacts: as CSV if the file name ends with .csv, otherwise as vCard.
    Export(PeopleExportArgs),
}

/// `holdfast people import …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct PeopleArgs {
    /// The account's address.
    pub address: String,
    /// The file.
    pub file: PathBuf,
    /// The address book for new contacts; "Contacts" if none is named.
    #[arg(long)]
    #[serde(default)]
    pub book: Option<String>,
}

/// `holdfast people export …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct PeopleExportArgs {
    /// The account's address.
    pub address: String,
    /// The file. It is created; an existing one is never overwritten.
    pub file: PathBuf,
    /// Only contacts of this address book.
    #[arg(long)]
    #[serde(default)]
    pub book: Option<String>,
    /// Only contacts of this group.
    #[arg(long)]
    #[serde(default)]
    pub group: Option<String>,
    /// The version of vCard: 4 or 3.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(3..=4))]
    #[serde(default)]
    pub vcard: u8,
}

/// `holdfast people list …`
#[derive(Debug, Clone, Args, Serialize, Deserialize)]
pub struct PeopleListArgs {
    /// The account's address.
    pub address: String,
    /// Words that are somewhere in the contact.
    pub search: Option<String>,
    /// Only contacts of this address book.
    #[arg(long)]
    #[serde(default)]
    pub book: Option<String>,
    /// Only contacts of this group.
    #[arg(long)]
    #[serde(default)]
    pub group: Option<String>,
    /// At most so many.
    #[arg(long, default_value_t = 1000)]
    #[serde(default)]
    pub limit: usize,
}
