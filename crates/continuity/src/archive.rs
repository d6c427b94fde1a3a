//! The archive: the log and the bodies, shipped off-site continuously, and complete snapshots.
//!
//! `docs/archive-format.md` documents the format for other readers; the code for it is in [`format`]. Objects are only
//! created, never overwritten; uploading the same data twice does no harm.
//!
//! * [`target`]: the storage of an archive: a folder, S3, Google or Azure storage.
//! * [`codec`]: compression and encryption. Writing needs recipients, reading needs an identity.
//! * [`line`]: one history of one store. A restore starts a new one, which names the line that it continues.
//! * [`ship`]: the follower that ships commits, and before them the bodies they refer to.
//! * [`snapshot`]: all realms at one commit, in chunks that unchanged realms share with the previous snapshot.
//! * [`verify`]: reads an archive back and verifies it.
//! * [`catalog`]: the contents of an archive.
//! * [`restorable`]: up to which commit an archive is complete, without a gap.
//! * [`restore`]: makes a store from an archive.
//! * [`donor`]: provides replacements for damaged bodies.
//! * [`prune`]: deletes objects that no kept snapshot needs.

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

use store::{Cause, Damaged, Part, StoreError};

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
        /// The operation.
        what: String,
        /// The storage's error.
        error: Box<object_store::Error>,
    },
    /// An object in the archive does not match its name.
    #[error("{0}")]
    Damaged(Box<Damaged>),
    /// Reading the archive's contents needs an identity, and none of the given ones is a recipient's.
    #[error(
        "{object} can't be decrypted: {what}; name the file with the identity of one of its recipients with --identity or identity_file"
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
    /// The archive does not have the requested data.
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
        /// The system's error.
        error: std::io::Error,
    },
    /// It was asked to stop.
    #[error("stopped")]
    Stopped,
}

impl ArchiveError {
    pub(crate) fn damaged(cause: Cause, object: impl ToString, what: impl std::fmt::Display) -> Self {
        Self::Damaged(Box::new(Damaged::new(Part::Object, cause).file(object).because(what)))
    }

    /// Commits of an object that could not be read: damage in them is the object's.
    pub(crate) fn of_run(object: impl ToString, error: StoreError) -> Self {
        match error {
            StoreError::Damaged(what) => Self::Damaged(Box::new(Damaged { part: Part::Object, ..*what }.file(object))),
            other => Self::Store(other),
        }
    }

    pub(crate) fn io(what: impl ToString) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.to_string();
        move |error| Self::Io { what, error }
    }

    /// Whether the error means that an object does not exist.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Target { error, .. } if matches!(**error, object_store::Error::NotFound { .. }))
    }
}

/// A target's error in one line: of an XML response only its code and message.
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

/// Events of long operations.
#[derive(Debug, Clone)]
pub enum Event {
    /// A line for people.
    Line(String),
    /// How far it is; `total` 0 is not known.
    Progress {
        /// The operation.
        what: &'static str,
        /// Units done.
        done: u64,
        /// Units in all.
        total: u64,
    },
}

/// A sink for [`Event`]s of long operations. Must not block.
pub type Say<'a> = &'a (dyn Fn(Event) + Send + Sync);

/// Runs work that computes or reads files off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
