//! The archive: the log and the bodies shipped to other places as they come, and complete snapshots.
//!
//! What lies there is documented for other readers in `docs/archive-format.md`; the code for it is in [`format`].
//! Objects are only ever created, never overwritten; what is uploaded twice does no harm.
//!
//! * [`target`]: where an archive is: a folder, S3, Google or Azure storage.
//! * [`codec`]: compression and encryption. Writing needs recipients, reading needs an identity.
//! * [`line`]: one history of one store. A restore begins a new one, which names the one that it goes on from.
//! * [`ship`]: the follower that ships commits, and the bodies they refer to before them.
//! * [`snapshot`]: all realms at one commit, in chunks that unchanged realms share with the snapshot before.
//! * [`verify`]: reading back.
//! * [`catalog`]: what an archive holds.
//! * [`restorable`]: how far all of it reaches, without a gap.
//! * [`restore`]: a store made from an archive.
//! * [`donor`]: gives back what is damaged here.
//! * [`prune`]: what no kept snapshot needs goes.

mod bodies;
pub mod catalog;
pub mod codec;
mod cut;
pub mod donor;
pub mod format;
#[doc(hidden)]
pub mod fuzzing;
pub mod line;
pub mod prune;
pub mod restorable;
pub mod restore;
pub mod ship;
pub mod snapshot;
pub mod target;
pub mod verify;

use store::StoreError;

/// The result of archive calls.
pub type Result<T, E = ArchiveError> = std::result::Result<T, E>;

/// Why the archive did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A setting that can't be.
    #[error("{0}")]
    Setting(String),
    /// The place where the archive is did not do it. Trying again later may help.
    #[error("{name}: {what}: {}", brief(error))]
    Target {
        /// The target's name.
        name: String,
        /// What was being done.
        what: String,
        /// What it said.
        error: Box<object_store::Error>,
    },
    /// What lies in the archive is not what its name says.
    #[error("{object}: {what}")]
    Damaged {
        /// The object.
        object: String,
        /// How it was noticed.
        what: String,
    },
    /// Reading the archive's contents needs an identity, and none of those at hand is a recipient's.
    #[error(
        "{object} can't be decrypted: {what}; give the identity of one of its recipients with --identity or identity_file"
    )]
    NoIdentity {
        /// The object.
        object: String,
        /// What was missing.
        what: String,
    },
    /// The archive and this store have different histories.
    #[error("{0}")]
    Forked(String),
    /// The archive does not hold what was asked for.
    #[error("{0}")]
    Nothing(String),
    /// The local store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of this machine.
    #[error("{what}: {error}")]
    Io {
        /// Which.
        what: String,
        /// What the system said.
        error: std::io::Error,
    },
    /// It was asked to stop.
    #[error("stopped")]
    Stopped,
}

impl ArchiveError {
    pub(crate) fn damaged(object: impl Into<String>, what: impl ToString) -> Self {
        Self::Damaged { object: object.into(), what: what.to_string() }
    }

    pub(crate) fn io(what: impl ToString) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |error| Self::Io { what, error }
    }

    /// Whether it says that an object is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Target { error, .. } if matches!(**error, object_store::Error::NotFound { .. }))
    }
}

/// What a target said, in a line: of an answer in XML only its code and message.
fn brief(error: &object_store::Error) -> String {
    let text = error.to_string();
    let of = |name: &str| {
        let (open, close) = (format!("<{name}>"), format!("</{name}>"));
        let from = text.find(&open)? + open.len();
        Some(text[from..].split(&close).next()?.trim().to_owned())
    };
    match (of("Code"), of("Message")) {
        (Some(code), Some(message)) if !message.is_empty() => format!("{code}: {message}"),
        (Some(code), _) => code,
        _ => text.split_whitespace().collect::<Vec<_>>().join(" "),
    }
}

/// What long work says of itself.
#[derive(Debug, Clone)]
pub enum Event {
    /// A line for people.
    Line(String),
    /// How far it is; `total` 0 is not known.
    Progress {
        /// What is being done.
        what: &'static str,
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
    },
}

/// Where long work's [`Event`]s go. Must not block.
pub type Say<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// Runs work that computes or reads files off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
