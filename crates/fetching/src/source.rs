//! An account elsewhere: where it is, what is fetched, and how that goes.

use mailstore::MailboxId;

use crate::schema::{RemoteRecord, SourceRecord};

/// How it is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// All mailboxes, with flags and dates.
    Imap,
    /// The inbox alone.
    Pop3,
}

impl Protocol {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
        }
    }

    /// The usual port.
    pub const fn port(self, security: Security) -> u16 {
        match (self, security) {
            (Self::Imap, Security::Tls) => 993,
            (Self::Imap, _) => 143,
            (Self::Pop3, Security::Tls) => 995,
            (Self::Pop3, _) => 110,
        }
    }
}

/// How the connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// TLS from the first byte.
    Tls,
    /// TLS from the STARTTLS command on; nothing is said before.
    StartTls,
    /// Not at all: only where the operator allows it.
    Plain,
}

impl Security {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::StartTls => "starttls",
            Self::Plain => "plain",
        }
    }

    pub(crate) const fn number(self) -> u32 {
        match self {
            Self::Tls => 1,
            Self::StartTls => 2,
            Self::Plain => 3,
        }
    }
}

/// What its owner has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How it is fetched.
    pub protocol: Protocol,
    /// The server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How the connection is secured.
    pub security: Security,
    /// The name to sign in with.
    pub user: String,
    /// Again and again, not once.
    pub keeps_on: bool,
    /// The inbox alone.
    pub inbox_only: bool,
    /// New mail in the inbox goes through the rules here.
    pub rules: bool,
    /// What was fetched is deleted there.
    pub delete: bool,
}

/// What is to happen with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// It is fetched, now or when it is due.
    Active,
    /// Its owner has paused it.
    Paused,
    /// Signing in was refused: it is paused until there is another password.
    Refused,
    /// It can't work as it is set up: it is paused.
    Broken,
    /// All was fetched.
    Done,
}

impl State {
    /// Its name, for programs.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Refused => "refused",
            Self::Broken => "broken",
            Self::Done => "done",
        }
    }

    pub(crate) const fn number(&self) -> u32 {
        match self {
            Self::Active => 0,
            Self::Paused => 1,
            Self::Refused => 2,
            Self::Done => 3,
            Self::Broken => 4,
        }
    }
}

/// An account elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which. Ids are never given twice.
    pub id: u64,
    /// What its owner has decided.
    pub settings: Settings,
    /// What is to happen with it.
    pub state: State,
    /// Why the last run failed, and when.
    pub error: Option<(String, i64)>,
    /// When it is fetched next, if it is active.
    pub due_ms: i64,
    /// When it was added.
    pub added_ms: i64,
    /// When a run last ended well; 0 if none did.
    pub complete_ms: i64,
    /// It is being fetched at this moment: the mailbox.
    pub now: Option<String>,
    /// By mailbox.
    pub mailboxes: Vec<Remote>,
}

/// A mailbox there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Its name.
    pub name: String,
    /// Where its messages go.
    pub local: MailboxId,
    /// Messages there, as of the last look.
    pub total: u64,
    /// Of these not done yet.
    pub left: u64,
    /// Messages filed here.
    pub filed: u64,
    /// Messages that were here already.
    pub known: u64,
    /// Messages left out.
    pub left_out: u64,
    /// The first of these, and why.
    pub reasons: Vec<String>,
}

impl Source {
    /// Messages done, of how many in all.
    pub fn progress(&self) -> (u64, u64) {
        let total = self.mailboxes.iter().map(|mailbox| mailbox.total).sum::<u64>();
        let left = self.mailboxes.iter().map(|mailbox| mailbox.left).sum::<u64>();
        (total.saturating_sub(left), total)
    }

    /// Messages filed here.
    pub fn filed(&self) -> u64 {
        self.mailboxes.iter().map(|mailbox| mailbox.filed).sum()
    }

    /// Messages left out.
    pub fn left_out(&self) -> u64 {
        self.mailboxes.iter().map(|mailbox| mailbox.left_out).sum()
    }

    pub(crate) fn of(id: u64, record: SourceRecord, mailboxes: Vec<RemoteRecord>) -> Self {
        let state = match record.state {
            0 => State::Active,
            1 => State::Paused,
            2 => State::Refused,
            3 => State::Done,
            _ => State::Broken,
        };
        Self {
            id,
            settings: settings_of(&record),
            state,
            error: (!record.error.is_empty()).then_some((record.error, record.error_ms)),
            due_ms: record.due_ms,
            added_ms: record.added_ms,
            complete_ms: record.complete_ms,
            now: None,
            mailboxes: mailboxes.into_iter().map(remote_of).collect(),
        }
    }
}

fn remote_of(record: RemoteRecord) -> Remote {
    Remote {
        name: record.name,
        local: MailboxId(record.local),
        total: record.total,
        left: record.left,
        filed: record.filed,
        known: record.known,
        left_out: record.left_out,
        reasons: record.reasons,
    }
}

/// The settings of a record.
pub(crate) fn settings_of(record: &SourceRecord) -> Settings {
    Settings {
        protocol: if record.protocol == 2 { Protocol::Pop3 } else { Protocol::Imap },
        host: record.host.clone(),
        port: u16::try_from(record.port).unwrap_or_default(),
        security: match record.security {
            2 => Security::StartTls,
            3 => Security::Plain,
            _ => Security::Tls,
        },
        user: record.user.clone(),
        keeps_on: record.keeps_on,
        inbox_only: record.inbox_only,
        rules: record.rules,
        delete: record.delete,
    }
}

/// Puts settings into a record.
pub(crate) fn put_settings(record: &mut SourceRecord, settings: &Settings) {
    record.protocol = if settings.protocol == Protocol::Pop3 { 2 } else { 1 };
    record.host = settings.host.clone();
    record.port = u32::from(settings.port);
    record.security = settings.security.number();
    record.user = settings.user.clone();
    record.keeps_on = settings.keeps_on;
    record.inbox_only = settings.inbox_only;
    record.rules = settings.rules;
    record.delete = settings.delete;
}
