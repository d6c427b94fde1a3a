//! `holdfast queue`, `import`, `export` and `people`: mail on its way, and what goes in and out by files.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

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

/// The form of a folder or file of mail.
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
    /// CRLF, as in mail on its way: what clients expect.
    Network,
    /// As they are, byte for byte.
    Keep,
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
