//! Errors, grouped by what the caller can do about them.

use std::{io, path::PathBuf, sync::Arc};

use rustix::io::Errno;

use crate::{BodyId, Cause, Damaged, Part, RealmId, RealmSeq, Seq};

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
    #[error("{realm} is quarantined: {damage}; run `holdfast verify`")]
    Quarantined {
        /// The realm.
        realm: RealmId,
        /// The finding.
        damage: Box<Damaged>,
    },
    /// Stored data is damaged: what, where, and what shows it.
    #[error("damaged: {0}")]
    Damaged(Box<Damaged>),
    /// What another machine sent can't be used. Nothing that is stored here is damaged by that.
    #[error("received data that can't be used: {0}")]
    Peer(PeerFault),
    /// It can't be done with this store, folder or input. Nothing is damaged, nothing was changed.
    #[error("{what}")]
    Refused {
        /// Why, and what to do.
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
    #[error("damaged: {damage}")]
    BodyDamaged {
        /// Its name.
        id: BodyId,
        /// The place, and what shows it.
        damage: Box<Damaged>,
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

    /// It can't be done, and nothing is damaged.
    pub fn refused(what: impl Into<String>) -> Self {
        Self::Refused { what: what.into() }
    }

    /// A body is not what its name says.
    pub(crate) fn body_damaged(id: BodyId, damage: Damaged) -> Self {
        Self::BodyDamaged { id, damage: Box::new(damage.body(id)) }
    }

    /// Whether something stored here is not what was written. A full disk, a system that refuses, a limit and what
    /// other machines send are none of it.
    pub const fn is_damage(&self) -> bool {
        self.class().is_damage()
    }

    /// What kind of error it is: for alarms, metrics and retries.
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Damaged(_) | Self::BodyDamaged { .. } | Self::BodyMissing { .. } | Self::Quarantined { .. } => {
                ErrorClass::Damage
            }
            Self::Peer(_) => ErrorClass::Peer,
            Self::Full => ErrorClass::Full,
            Self::Io { .. } => ErrorClass::Io,
            Self::Stopped { .. } | Self::Unknown { .. } => ErrorClass::Stopped,
            Self::Panicked(_) => ErrorClass::Internal,
            Self::Conflict { .. }
            | Self::Refused { .. }
            | Self::RealmClosed { .. }
            | Self::TooLarge { .. }
            | Self::Locked { .. }
            | Self::Unfinished { .. }
            | Self::NotRestored { .. }
            | Self::Replica { .. }
            | Self::Fenced { .. }
            | Self::NewerFormat { .. }
            | Self::NotRetained { .. }
            | Self::BeforeWindow { .. } => ErrorClass::Refused,
        }
    }

    /// The same error of data that another machine sent: not being what it should be is no damage then.
    #[must_use]
    pub fn of_peer(self) -> Self {
        match self {
            Self::Damaged(what) => Self::Peer(PeerFault::Malformed(what)),
            other => other,
        }
    }

    /// The damage that an error of reading `part` tells of.
    ///
    /// # Errors
    /// The error itself when what is stored may be well: this process lacks something, the system refuses, the disk is
    /// full, the data is not restored yet.
    pub(crate) fn into_damage(self, part: Part) -> Result<Damaged> {
        match self {
            Self::Damaged(damage) | Self::BodyDamaged { damage, .. } | Self::Quarantined { damage, .. } => Ok(*damage),
            Self::BodyMissing { id } => Ok(Damaged::new(Part::Body, Cause::Missing).body(id)),
            Self::Io { what, error } if is_of_medium(&error) => {
                Ok(Damaged::new(part, Cause::Unreadable).because(format_args!("{what}: {error}")))
            }
            other => Err(other),
        }
    }
}

impl From<Damaged> for StoreError {
    fn from(damage: Damaged) -> Self {
        Self::Damaged(Box::new(damage))
    }
}

/// What kind an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ErrorClass {
    /// Stored data is damaged.
    Damage,
    /// Another machine sent what can't be used.
    Peer,
    /// The disk is full.
    Full,
    /// The system refused.
    Io,
    /// The store has stopped.
    Stopped,
    /// It can't be done as things are.
    Refused,
    /// A bug.
    Internal,
}

impl ErrorClass {
    /// Whether stored data is damaged.
    pub const fn is_damage(self) -> bool {
        matches!(self, Self::Damage)
    }
}

/// What another machine did wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerFault {
    /// Another commit than the next one.
    #[error("commit {found} instead of {expected}")]
    WrongCommit {
        /// The one that came.
        found: Seq,
        /// The next one.
        expected: Seq,
    },
    /// Commits that do not follow this machine's log.
    #[error("the commits up to {last} do not follow this log")]
    OtherLog {
        /// The last of them.
        last: Seq,
    },
    /// A body with other bytes than its name says.
    #[error("the bytes are not those of body {id}")]
    OtherBody {
        /// Its name.
        id: BodyId,
    },
    /// Bytes that are not of the form that they should have.
    #[error("{0}")]
    Malformed(Box<Damaged>),
    /// It ended too early.
    #[error("the data ended too early")]
    Incomplete,
}

/// Whether a read failed because the disk has lost the bytes, and not because the system refused it or this process
/// lacks something: only then is it worth fetching them from elsewhere.
fn is_of_medium(error: &io::Error) -> bool {
    let lost = [Errno::IO, Errno::NODATA, Errno::BADMSG, Errno::UCLEAN, Errno::ILSEQ, Errno::REMOTEIO];
    match error.raw_os_error() {
        Some(errno) => lost.iter().any(|lost| lost.raw_os_error() == errno),
        None => {
            matches!(error.kind(), io::ErrorKind::Other | io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
        }
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
