//! Commands as values.

mod metadata;
mod multisearch;
mod search;

pub use metadata::GetMetadata;
pub use multisearch::{MultiSearch, SearchSource};
pub use search::{Partial, Search, SearchKey, SearchReturn, Sort, Thread};

use bytes::Bytes;

use mailstore::EntryName;

use super::set::MessageSet;

/// A command with its tag.
#[derive(Debug, Clone, PartialEq)]
pub struct Tagged {
    /// The client's name for the command.
    pub tag: String,
    /// What is asked.
    pub command: Command,
}

/// A secret that never shows in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(secret)")
    }
}

/// One command (RFC 9051 section 6). Mailbox names are as on the wire: modified UTF-7 or UTF-8, by what is enabled.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "the variants bear the names of the RFC")]
pub enum Command {
    Capability,
    Noop,
    Logout,
    /// RFC 2971.
    Id(Vec<(String, Option<String>)>),
    StartTls,
    /// `initial` is still in base64; `=` means empty.
    Authenticate {
        mechanism: String,
        initial: Option<Secret>,
    },
    Login {
        user: String,
        password: Secret,
    },
    Enable(Vec<String>),
    /// RFC 8437.
    Unauthenticate,
    /// RFC 4978: the mechanism.
    Compress(String),
    Select(Select),
    Create {
        mailbox: String,
        /// RFC 6154 `USE (\Sent ...)`.
        special_use: Vec<String>,
    },
    Delete(String),
    Rename {
        from: String,
        to: String,
    },
    Subscribe(String),
    Unsubscribe(String),
    List(List),
    Lsub {
        reference: String,
        pattern: String,
    },
    Namespace,
    Status {
        mailbox: String,
        items: Vec<StatusItem>,
    },
    Catenate(Catenate),
    Idle,
    /// RFC 5465; `None` for `NOTIFY NONE`.
    Notify(Option<Notify>),
    Close,
    Unselect,
    Check,
    Expunge,
    UidExpunge(MessageSet),
    Search(Search),
    /// RFC 7377: `ESEARCH`.
    MultiSearch(MultiSearch),
    Sort(Sort),
    Thread(Thread),
    /// RFC 5267: the tags of searches whose results need not be kept up to date.
    CancelUpdate(Vec<String>),
    Fetch(Fetch),
    Store(Store),
    Copy {
        uid: bool,
        set: MessageSet,
        mailbox: String,
    },
    Move {
        uid: bool,
        set: MessageSet,
        mailbox: String,
    },
    /// RFC 9208.
    GetQuota(String),
    GetQuotaRoot(String),
    SetQuota,
    /// RFC 5464.
    GetMetadata(GetMetadata),
    SetMetadata {
        mailbox: String,
        /// Entries and their new values; `None` takes one away.
        changes: Vec<(EntryName, Option<Bytes>)>,
    },
}

impl Command {
    /// Its name, for counting.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Capability => "capability",
            Self::Noop => "noop",
            Self::Logout => "logout",
            Self::Id(_) => "id",
            Self::StartTls => "starttls",
            Self::Authenticate { .. } => "authenticate",
            Self::Login { .. } => "login",
            Self::Enable(_) => "enable",
            Self::Unauthenticate => "unauthenticate",
            Self::Compress(_) => "compress",
            Self::Select(_) => "select",
            Self::Create { .. } => "create",
            Self::Delete(_) => "delete",
            Self::Rename { .. } => "rename",
            Self::Subscribe(_) => "subscribe",
            Self::Unsubscribe(_) => "unsubscribe",
            Self::List(_) => "list",
            Self::Lsub { .. } => "lsub",
            Self::Namespace => "namespace",
            Self::Status { .. } => "status",
            Self::Catenate(_) => "catenate",
            Self::Idle => "idle",
            Self::Notify(_) => "notify",
            Self::Close => "close",
            Self::Unselect => "unselect",
            Self::Check => "check",
            Self::Expunge | Self::UidExpunge(_) => "expunge",
            Self::Search(_) => "search",
            Self::MultiSearch(_) => "esearch",
            Self::Sort(_) => "sort",
            Self::Thread(_) => "thread",
            Self::CancelUpdate(_) => "cancelupdate",
            Self::Fetch(_) => "fetch",
            Self::Store(_) => "store",
            Self::Copy { .. } => "copy",
            Self::Move { .. } => "move",
            Self::GetQuota(_) | Self::GetQuotaRoot(_) | Self::SetQuota => "quota",
            Self::GetMetadata(_) | Self::SetMetadata { .. } => "metadata",
        }
    }
}

/// SELECT or EXAMINE with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// The mailbox, as on the wire.
    pub mailbox: String,
    /// EXAMINE.
    pub read_only: bool,
    /// RFC 7162 section 3.1.8.
    pub condstore: bool,
    /// RFC 7162 section 3.2.5.
    pub qresync: Option<Qresync>,
}

/// What a client that resynchronises remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qresync {
    /// The last known UIDVALIDITY.
    pub uid_validity: u32,
    /// The last known mod-sequence.
    pub modseq: u64,
    /// The UIDs it knows; all if absent.
    pub known_uids: Option<MessageSet>,
    /// Sequence numbers and their UIDs.
    pub sequence_match: Option<(MessageSet, MessageSet)>,
}

/// LIST, basic or extended (RFC 5258, RFC 5819, RFC 6154).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct List {
    /// Selection or return options were given, or several patterns.
    pub extended: bool,
    /// `SUBSCRIBED`.
    pub select_subscribed: bool,
    /// `SPECIAL-USE`.
    pub select_special_use: bool,
    /// `RECURSIVEMATCH`.
    pub recursive_match: bool,
    /// The reference name.
    pub reference: String,
    /// Patterns with `*` and `%`.
    pub patterns: Vec<String>,
    /// `RETURN (SUBSCRIBED)`.
    pub return_subscribed: bool,
    /// `RETURN (CHILDREN)`.
    pub return_children: bool,
    /// `RETURN (SPECIAL-USE)`.
    pub return_special_use: bool,
    /// `RETURN (STATUS (...))`.
    pub return_status: Vec<StatusItem>,
    /// `RETURN (METADATA (...))` (RFC 9590).
    pub return_metadata: Vec<EntryName>,
}

/// What STATUS can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants bear the names of the RFC")]
pub enum StatusItem {
    Messages,
    Recent,
    UidNext,
    UidValidity,
    Unseen,
    Deleted,
    /// RFC 9208.
    DeletedStorage,
    Size,
    HighestModSeq,
    MailboxId,
    AppendLimit,
}

/// APPEND or REPLACE of messages that are put together (RFC 4469), with all that they bring.
#[derive(Debug, Clone, PartialEq)]
pub struct Catenate {
    /// What it replaces, if it is a REPLACE.
    pub replaces: Option<Replaced>,
    /// The mailbox, as on the wire.
    pub mailbox: String,
    /// The messages.
    pub messages: Vec<CatMessage>,
}

/// A message that is put together.
#[derive(Debug, Clone, PartialEq)]
pub struct CatMessage {
    /// Flags and date.
    pub words: AppendMessage,
    /// Its parts, one after the other.
    pub parts: Vec<CatPart>,
}

/// A part of a message that is put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatPart {
    /// What an IMAP URL names.
    Url(String),
    /// These bytes.
    Text(Vec<u8>),
}

/// The message that a REPLACE takes away (RFC 8508).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replaced {
    /// UID REPLACE: the number is a UID.
    pub uid: bool,
    /// Which; `None` is `*`.
    pub number: Option<u32>,
}

/// The words of an APPEND or REPLACE before its first literal.
#[derive(Debug, Clone, PartialEq)]
pub struct AppendHead {
    /// What it replaces, if it is a REPLACE.
    pub replaces: Option<Replaced>,
    /// The client's name for the command.
    pub tag: String,
    /// The mailbox, as on the wire.
    pub mailbox: String,
    /// What is said of the first message.
    pub message: AppendMessage,
}

/// What an APPEND says of a message before its literal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AppendMessage {
    /// Flags to set.
    pub flags: Vec<Flag>,
    /// Internal date in milliseconds since the epoch.
    pub internal_date_ms: Option<i64>,
    /// `UTF8 (~{n} ...)` of RFC 6855: a `)` follows the literal.
    pub utf8: bool,
}

/// A message flag as clients write it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the variants bear the names of the RFC")]
pub enum Flag {
    Seen,
    Answered,
    Flagged,
    Deleted,
    Draft,
    /// `\Recent`: read, never kept.
    Recent,
    Keyword(String),
}

/// NOTIFY SET (RFC 5465).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// STATUS of all mailboxes meant is told at once.
    pub status: bool,
    /// Which events of which mailboxes.
    pub groups: Vec<NotifyGroup>,
}

/// `(filter events)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyGroup {
    /// Which mailboxes.
    pub filter: NotifyFilter,
    /// Which events.
    pub events: NotifyEvents,
}

/// Which mailboxes a group of events is about (RFC 5465 section 6).
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants bear the names of the RFC")]
pub enum NotifyFilter {
    Selected,
    SelectedDelayed,
    Inboxes,
    Personal,
    Subscribed,
    Subtree(Vec<String>),
    Mailboxes(Vec<String>),
}

/// Events (RFC 5465 section 5).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields bear the names of the RFC")]
pub struct NotifyEvents {
    pub message_new: bool,
    /// What is fetched of new messages in the selected mailbox.
    pub fetch: Vec<FetchItem>,
    pub message_expunge: bool,
    pub flag_change: bool,
    pub mailbox_name: bool,
    pub subscription_change: bool,
    pub mailbox_metadata_change: bool,
    pub server_metadata_change: bool,
    /// One that is not known here.
    pub unknown: bool,
}

impl NotifyEvents {
    /// Whether there are some that are not of messages.
    pub fn of_mailboxes(&self) -> bool {
        self.mailbox_name || self.subscription_change || self.mailbox_metadata_change || self.server_metadata_change
    }
}

/// FETCH or UID FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// The set holds UIDs.
    pub uid: bool,
    /// Which messages.
    pub set: MessageSet,
    /// What of them, macros expanded.
    pub items: Vec<FetchItem>,
    /// RFC 7162 section 3.1.4.1.
    pub changed_since: Option<u64>,
    /// RFC 7162 section 3.2.6.
    pub vanished: bool,
    /// RFC 9394 section 3.3.
    pub partial: Option<Partial>,
}

/// One thing to fetch.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants bear the names of the RFC")]
pub enum FetchItem {
    Uid,
    Flags,
    InternalDate,
    /// RFC 8514.
    SaveDate,
    Size,
    Envelope,
    /// `BODY`: the structure without extension data.
    Body,
    BodyStructure,
    ModSeq,
    EmailId,
    ThreadId,
    Preview,
    Section(Section),
    /// `BINARY.SIZE[1.2]`.
    BinarySize(Vec<u32>),
}

/// A `BODY[...]`, `BINARY[...]` or `RFC822` item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// How it was asked for, and so how the answer is named.
    pub form: SectionForm,
    /// `.PEEK`: do not set `\Seen`.
    pub peek: bool,
    /// The part number; empty for the message itself.
    pub part: Vec<u32>,
    /// What of the part.
    pub text: SectionText,
    /// `<offset.length>` in bytes; length is not 0.
    pub partial: Option<(u64, u64)>,
}

impl Section {
    /// Whether it asks for nothing but some of [`mailkit::parse::LISTED_FIELDS`] of the message itself.
    pub fn is_listed(&self) -> bool {
        let listed = |name: &String| mailkit::parse::LISTED_FIELDS.iter().any(|field| field.eq_ignore_ascii_case(name));
        self.part.is_empty()
            && matches!(&self.text, SectionText::Fields { not: false, names } if names.iter().all(listed))
    }
}

/// The family of a [`Section`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants bear the names of the RFC")]
pub enum SectionForm {
    Body,
    Binary,
    Rfc822,
    Rfc822Header,
    Rfc822Text,
}

/// What of a part is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// Everything: `BODY[]`, `BODY[1]`.
    Whole,
    /// `HEADER`.
    Header,
    /// `HEADER.FIELDS (...)`; `not`: all but these. The spelling is the client's.
    Fields {
        /// `HEADER.FIELDS.NOT`.
        not: bool,
        /// The names.
        names: Vec<String>,
    },
    /// `TEXT`.
    Text,
    /// `MIME`.
    Mime,
}

/// How STORE changes flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants say it")]
pub enum StoreMode {
    Replace,
    Add,
    Remove,
}

/// STORE or UID STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// The set holds UIDs.
    pub uid: bool,
    /// Which messages.
    pub set: MessageSet,
    /// How.
    pub mode: StoreMode,
    /// `.SILENT`.
    pub silent: bool,
    /// The flags.
    pub flags: Vec<Flag>,
    /// RFC 7162 section 3.1.3.
    pub unchanged_since: Option<u64>,
}
