//! The plan and the progress of a restore while serving.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use store::{Cause, RealmId, Seq};

use crate::archive::{ArchiveError, Result, format::Parent, line::write_whole, restore::at::At};

/// After the archive could not be reached; doubled up to the longest.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// What a realm needs before people may use it; an error means that it can't be used.
pub type Prepare = Arc<dyn Fn(RealmId) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Restored accounts.
    pub accounts: u64,
    /// Accounts in all.
    pub accounts_total: u64,
    /// Restored message bodies. Counted once all accounts are restored; before that, only the requested ones.
    pub bodies: u64,
    /// Total message bodies: an estimate until all accounts are restored.
    pub bodies_total: u64,
    /// Bytes fetched from the archive by this process.
    pub fetched: u64,
    /// Why it is stuck at the moment.
    pub trouble: Option<String>,
    /// Items that can't be restored.
    pub lost: Vec<String>,
    /// Everything is restored.
    pub done: bool,
    /// There is nothing left to do, even if some items could not be restored.
    pub ended: bool,
}

/// The plan stored in the folder when its store may serve, so that the same restore can continue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Plan {
    pub line: String,
    pub at_ms: Option<i64>,
    /// A commit that was named instead of a moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_seq: Option<u64>,
    /// The snapshot's manifest; none when all comes from the log.
    pub base: Option<String>,
    pub seq: u64,
    pub chain: String,
    pub parent: Parent,
    pub time_ms: Option<i64>,
}

impl Plan {
    /// Up to where it restores.
    pub(super) fn at(&self) -> At {
        self.at_seq.map_or_else(|| At::from(self.at_ms), |seq| At::Commit(Seq(seq)))
    }

    pub(super) fn path(dir: &Path) -> PathBuf {
        dir.join("restore.json")
    }

    pub(super) fn read(dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| ArchiveError::damaged(Cause::Decoding, path.display().to_string(), error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ArchiveError::io(path.display())(error)),
        }
    }

    pub(super) fn write(&self, dir: &Path) -> Result<()> {
        write_whole(&Self::path(dir), &serde_json::to_vec_pretty(self).expect("it is plain data"))
    }

    pub(super) fn remove(dir: &Path) {
        if let Err(error) = std::fs::remove_file(Self::path(dir)) {
            tracing::warn!(%error, "could not remove restore.json, which is no longer needed");
        }
    }
}
