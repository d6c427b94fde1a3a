//! Errors, grouped by what the caller can do about them.

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
        /// The expected value.
        expected: RealmSeq,
        /// Its location.
        found: RealmSeq,
    },
    /// The realm's data is damaged: it is read-only until it has been repaired; intact data stays readable.
    #[error("{realm} is quarantined: {reason}; run `holdfast verify`")]
    Quarantined {
        /// The realm.
        realm: RealmId,
        /// The finding.
        reason: String,
    },
    /// Stored data is damaged.
    #[error("damaged: {what}")]
    Damaged {
        /// The damaged file or realm, the place, and how it was noticed.
        what: String,
    },
    /// The realm no longer accepts writes, for example because its account was deleted.
    #[error("{realm} is closed: {reason}")]
    RealmClosed {
        /// The realm.
        realm: RealmId,
        /// Why.
        reason: String,
    },
    /// The disk is full. Nothing is lost; it works again when disk space is free.
    #[error("the disk is full")]
    Full,
    /// The store has stopped acknowledging, because it could not make a write durable or was closed. This write was not
    /// done, and will not be there after a restart.
    #[error("the store has stopped: {reason}")]
    Stopped {
        /// Why.
        reason: String,
    },
    /// The store stopped in the middle of it: it may or may not be there after a restart. Whoever waits for the answer must
    /// be given none, neither yes nor no: a connection ends without one.
    #[error("the outcome is unknown: {reason}")]
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
        /// The place, and how it was noticed.
        what: String,
    },
    /// A key, value or commit over its limit.
    #[error("{what} is too large: {found} bytes, the limit is {limit}")]
    TooLarge {
        /// The damage.
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
    /// The data is not restored yet, in a store that serves while it is being restored. The request gives it priority: try
    /// again soon.
    #[error("{what}")]
    NotRestored {
        /// The damage.
        what: String,
        /// The realm, when it is one.
        realm: Option<RealmId>,
    },
    /// The store belongs to a standby: it accepts only the primary's commits.
    #[error("{} belongs to a standby, which follows another machine: run `holdfast standby`, or make it the primary with `holdfast promote`", dir.display())]
    Replica {
        /// The data folder.
        dir: PathBuf,
    },
    /// Another machine was promoted: this one must no longer write.
    #[error("{}: {reason}", dir.display())]
    Fenced {
        /// The data folder.
        dir: PathBuf,
        /// By whom, and what to do.
        reason: String,
    },
    /// The data was written by a newer version.
    #[error("{} has on-disk format {found}, but this version reads only up to {known}; use a newer holdfast", dir.display())]
    NewerFormat {
        /// The data folder.
        dir: PathBuf,
        /// Its format.
        found: u32,
        /// The newest this version knows.
        known: u32,
    },
    /// The requested commits are no longer in the log.
    #[error("commit {asked} is no longer in the log, which starts at {first}")]
    NotRetained {
        /// The first one asked for.
        asked: Seq,
        /// The first one there is.
        first: Seq,
    },
    /// The requested time is before the kept history.
    #[error("that time is too long ago: the kept history starts {} s later", (first_ms - asked_ms) / 1000)]
    BeforeWindow {
        /// The time, in milliseconds since 1970.
        asked_ms: i64,
        /// The first one that can be, in milliseconds since 1970.
        first_ms: i64,
    },
    /// The system refused.
    #[error("{what}: {error}")]
    Io {
        /// The operation and the file.
        what: String,
        /// The system's error.
        error: Arc<io::Error>,
    },
    /// A transaction's closure panicked: a bug in the caller. Nothing of it was written.
    #[error("internal error in a transaction: {0}")]
    Panicked(String),
}

impl StoreError {
    /// The system's error about a file or folder, `what`; a full disk is [`StoreError::Full`].
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |error| match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => Self::Full,
            _ => Self::Io { what, error: Arc::new(error) },
        }
    }

    /// Whether the outcome is unknown: the caller must neither report success nor failure.
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }

    /// Stored or received data is damaged.
    pub fn damaged(what: impl Into<String>) -> Self {
        Self::Damaged { what: what.into() }
    }
}

/// The message of a panic.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panic".to_owned())
}
