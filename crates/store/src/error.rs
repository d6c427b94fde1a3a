//! What can go wrong, by what the caller can do about it.

use std::{io, path::PathBuf, sync::Arc};

use crate::{BodyId, RealmId, RealmSeq, Seq};

/// The result of store calls.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why the store did not do it. Nothing was written, unless it is [`StoreError::Unknown`].
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The realm has moved on since the caller looked. Look again, then try again.
    #[error("{realm} is at {found}, not {expected}")]
    Conflict {
        /// The realm.
        realm: RealmId,
        /// What the caller expected.
        expected: RealmSeq,
        /// Where it is.
        found: RealmSeq,
    },
    /// The realm's data is damaged: it takes no writes until it has been repaired; what is intact stays readable.
    #[error("{realm} is quarantined: {reason}; run `holdfast verify`")]
    Quarantined {
        /// The realm.
        realm: RealmId,
        /// What was found.
        reason: String,
    },
    /// Stored data is not what was stored.
    #[error("damaged: {what}")]
    Damaged {
        /// What is damaged: the file or realm, where, how it was noticed.
        what: String,
    },
    /// The realm takes nothing any more, such as that of an account that was deleted.
    #[error("{realm} is closed: {reason}")]
    RealmClosed {
        /// The realm.
        realm: RealmId,
        /// Why.
        reason: String,
    },
    /// No space left on the disk. Nothing is lost; works again when there is room.
    #[error("the disk is full")]
    Full,
    /// The store acknowledges nothing any more, because it could not make a write durable or has been closed. This was not
    /// done, and will not be there after a restart.
    #[error("the store has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The store stopped in the middle of it: it may or may not be there after a restart. Whoever waits for the answer must
    /// be given none, neither yes nor no: a connection ends without one.
    #[error("it can't be said whether it was done: {reason}")]
    Unknown {
        /// Why.
        reason: String,
    },
    /// A body that is referred to is nowhere.
    #[error("body {id} is missing")]
    BodyMissing {
        /// Its name.
        id: BodyId,
    },
    /// A body's bytes do not match its name.
    #[error("body {id} is damaged: {what}")]
    BodyDamaged {
        /// Its name.
        id: BodyId,
        /// Where, and how it was noticed.
        what: String,
    },
    /// A key, value or commit over its limit.
    #[error("{what} is {found} bytes, the limit is {limit}")]
    TooLarge {
        /// What.
        what: &'static str,
        /// Its size.
        found: usize,
        /// The limit.
        limit: usize,
    },
    /// Another process owns the data folder.
    #[error("{} is in use by another process{}", dir.display(), pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default())]
    Locked {
        /// The data folder.
        dir: PathBuf,
        /// The owner, where it could be read.
        pid: Option<u32>,
    },
    /// A restore into the folder was begun and not finished.
    #[error("a restore into {} was not finished: run the same `holdfast restore` again, or empty the folder", dir.display())]
    Unfinished {
        /// The data folder.
        dir: PathBuf,
    },
    /// It has not come yet, in a store that serves while it is being restored. Asking for it has it fetched first: try
    /// again soon.
    #[error("{what}")]
    NotRestored {
        /// What.
        what: String,
        /// The realm, when it is one.
        realm: Option<RealmId>,
    },
    /// The store follows another one: only that one's commits are taken.
    #[error("{} follows another machine: run `holdfast standby`, or make it the primary with `holdfast promote`", dir.display())]
    Replica {
        /// The data folder.
        dir: PathBuf,
    },
    /// Another machine was made the primary: this one must not write any more.
    #[error("{}: {reason}", dir.display())]
    Fenced {
        /// The data folder.
        dir: PathBuf,
        /// By whom, and what to do.
        reason: String,
    },
    /// The data was written by a newer version.
    #[error("{} has on-disk format {found}, this version reads up to {known}; use a newer holdfast", dir.display())]
    NewerFormat {
        /// The data folder.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest this version knows.
        known: u32,
    },
    /// The commits asked for are older than what is retained.
    #[error("commit {asked} is no longer in the log, which begins at {first}")]
    NotRetained {
        /// The first one asked for.
        asked: Seq,
        /// The first one there is.
        first: Seq,
    },
    /// The moment asked for is before those that can still be read.
    #[error("that moment is before the window of what is kept, which begins {} s later", (first_ms - asked_ms) / 1000)]
    BeforeWindow {
        /// The moment, in milliseconds since 1970.
        asked_ms: i64,
        /// The first one that can be, in milliseconds since 1970.
        first_ms: i64,
    },
    /// The system refused.
    #[error("{what}: {error}")]
    Io {
        /// What was being done, to which file.
        what: String,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// A transaction's closure panicked: a bug in the caller. Nothing of it was written.
    #[error("a transaction failed inside: {0}")]
    Panicked(String),
}

impl StoreError {
    /// What the system said about a file or folder, `what`; a full disk is [`StoreError::Full`].
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Io { what, error: Arc::new(error) },
        }
    }

    /// Whether it can't be said if what was asked for was done: the one who asked must not be told either way.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Stored or received data is not what it must be.
    pub fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned())
}
