//! A line: one history of one store. Each commit follows the previous one. A restore continues from one commit and
//! starts its own line, so that later commits of the old line are neither lost nor mixed up with new ones.

use std::{
    collections::HashMap,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use serde::{Deserialize, Serialize};
use store::{Cause, Seq, Store, log::Chain};

use super::{
    ArchiveError, Result, blocking,
    catalog::Catalog,
    format::{FORMAT, RunName},
    target::Target,
};

pub use super::format::{LineRecord, Parent};

/// This store's line, with the secrets that it needs to write.
#[derive(Clone)]
pub struct Line {
    /// Its record in the archive.
    pub record: LineRecord,
    signing: Arc<Ed25519KeyPair>,
    chunk_key: [u8; 32],
}

fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("archive")
}

impl Line {
    /// The line of a data folder; created if there is none yet.
    ///
    /// # Errors
    /// [`ArchiveError::Io`]; [`ArchiveError::Damaged`] if its files are damaged.
    pub fn open(data_dir: &Path, now_ms: i64) -> Result<Self> {
        Self::open_or_begin(data_dir, now_ms, None)
    }

    /// The name of a data folder's line, if it has one.
    pub fn name_in(data_dir: &Path) -> Option<String> {
        let text = std::fs::read(folder(data_dir).join("line.json")).ok()?;
        serde_json::from_slice::<LineRecord>(&text).ok().map(|record| record.line)
    }

    /// Starts the line of a folder into which commits up to `parent` were restored. Replaces the line of an interrupted
    /// restore.
    pub fn begin(data_dir: &Path, now_ms: i64, parent: Parent) -> Result<Self> {
        let path = folder(data_dir).join("line.json");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(ArchiveError::io(path.display())(error));
            }
            _ => {}
        }
        Self::open_or_begin(data_dir, now_ms, Some(parent))
    }

    /// The line of a store that ships to `target`. A store without a line continues a line there whose commits it has (a
    /// promoted standby has its primary's); otherwise it starts a new one.
    ///
    /// # Errors
    /// As [`Line::open`]; and those of reading the archive: then no line is started.
    pub async fn of(store: &Store, target: &Target) -> Result<Self> {
        /// Shipping and snapshots may both be the first to ask.
        static DECIDING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
        let _alone = DECIDING.lock().await;
        let (dir, now_ms) = (store.dir(), store.clock().now_ms());
        if folder(dir).join("line.json").exists() {
            return Self::open(dir, now_ms);
        }
        let catalog = match Catalog::read(target).await {
            Ok(catalog) => catalog,
            Err(ArchiveError::Nothing(_)) => return Self::open(dir, now_ms),
            Err(error) => return Err(error),
        };
        let mut last: HashMap<&str, &RunName> = HashMap::new();
        for run in catalog.runs.iter().filter(|run| run.last <= store.seq()) {
            let known = last.entry(&run.line).or_insert(run);
            if run.last > known.last {
                *known = run;
            }
        }
        let mut last: Vec<&RunName> = last.into_values().collect();
        last.sort_by_key(|run| std::cmp::Reverse(run.last));
        for run in last {
            let (store, seq) = (store.clone(), run.last);
            if blocking(move || store.log_point(seq)).await.is_ok_and(|(chain, _)| chain == run.chain) {
                tracing::info!(target = target.name(), line = run.line, %seq, "the archive has this store's commits: continuing");
                let parent = Parent { line: run.line.clone(), seq: seq.0, chain: hex::encode(run.chain) };
                return Self::begin(dir, now_ms, parent);
            }
        }
        if !catalog.lines.is_empty() {
            tracing::warn!(
                target = target.name(),
                "the archive holds another history: storing this one as a separate line"
            );
        }
        Self::open(dir, now_ms)
    }

    fn open_or_begin(data_dir: &Path, now_ms: i64, parent: Option<Parent>) -> Result<Self> {
        let dir = folder(data_dir);
        std::fs::create_dir_all(&dir).map_err(ArchiveError::io(dir.display()))?;
        let seed = secret(&dir.join("signing.key"))?;
        let chunk_key = secret(&dir.join("chunk.key"))?;
        let signing = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|error| {
            ArchiveError::damaged(Cause::Decoding, dir.join("signing.key").display().to_string(), error)
        })?;
        let public_key = hex::encode(signing.public_key().as_ref());
        let path = dir.join("line.json");
        let record = match std::fs::read(&path) {
            Ok(text) => {
                let record: LineRecord = serde_json::from_slice(&text)
                    .map_err(|error| ArchiveError::damaged(Cause::Decoding, path.display().to_string(), error))?;
                if record.public_key != public_key {
                    return Err(ArchiveError::damaged(
                        Cause::Checksum,
                        path.display().to_string(),
                        "it names a different signing key than the one next to it: restore that key, or remove the folder \
                         `archive` to start a new line",
                    ));
                }
                record
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let line = format!("{:016x}", rand::random::<u64>());
                let record = LineRecord { format: FORMAT, line, created_ms: now_ms, parent, public_key };
                write_whole(&path, &serde_json::to_vec_pretty(&record).expect("it is plain data"))?;
                record
            }
            Err(error) => return Err(ArchiveError::io(path.display())(error)),
        };
        Ok(Self { record, signing: Arc::new(signing), chunk_key })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.record.line
    }

    /// The commit before its first, and the log's chain there.
    pub fn start(&self) -> Result<(Seq, Chain)> {
        let Some(parent) = &self.record.parent else { return Ok((Seq(0), Chain::default())) };
        let chain = hex::decode(&parent.chain).ok().and_then(|bytes| bytes.try_into().ok());
        let chain = chain.ok_or_else(|| {
            ArchiveError::damaged(Cause::Decoding, LineRecord::object(self.name()), "its parent's chain is damaged")
        })?;
        Ok((Seq(parent.seq), chain))
    }

    /// Signs a manifest.
    pub(super) fn sign(&self, bytes: &[u8]) -> [u8; 64] {
        self.signing.sign(bytes).as_ref().try_into().expect("an Ed25519 signature is 64 bytes")
    }

    /// The id of a chunk's plain bytes. Keyed, so that nobody can tell from names alone what is in an archive.
    pub(super) fn chunk_id(&self, plain: &[u8]) -> String {
        blake3::keyed_hash(&self.chunk_key, plain).to_hex()[..32].to_owned()
    }
}

/// The shipping state of a target, stored in the data folder next to the line, so that any process can compare an archive
/// with it. Not synced: after a crash it may be some commits old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noted {
    /// The line.
    pub line: String,
    /// The last commit.
    pub seq: u64,
    /// When that was made, in milliseconds since 1970, where known.
    pub time_ms: Option<i64>,
}

impl Noted {
    fn path(data_dir: &Path, target: &str) -> PathBuf {
        folder(data_dir).join(format!("shipped-{}.json", &blake3::hash(target.as_bytes()).to_hex()[..16]))
    }

    /// The stored state of a target, if any.
    pub fn read(data_dir: &Path, target: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(Self::path(data_dir, target)).ok()?).ok()
    }

    pub(super) fn write(&self, data_dir: &Path, target: &str) -> std::io::Result<()> {
        let path = Self::path(data_dir, target);
        let scratch = path.with_extension("new");
        std::fs::write(&scratch, serde_json::to_vec(self).expect("it is plain data"))?;
        std::fs::rename(scratch, path)
    }
}

/// 32 secret bytes in a file that only its owner can read; created if it does not exist.
fn secret(path: &Path) -> Result<[u8; 32]> {
    let damaged =
        || ArchiveError::damaged(Cause::Length, path.display().to_string(), "it must have 64 hexadecimal digits");
    match std::fs::read_to_string(path) {
        Ok(text) => hex::decode(text.trim()).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(damaged),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let bytes: [u8; 32] = rand::random();
            write_whole(path, format!("{}\n", hex::encode(bytes)).as_bytes())?;
            Ok(bytes)
        }
        Err(error) => Err(ArchiveError::io(path.display())(error)),
    }
}

/// Writes a small file that is there whole or not at all, readable by its owner only.
pub(super) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let scratch = path.with_extension("new");
    let write = || {
        let _ = std::fs::remove_file(&scratch);
        let mut file = std::fs::File::options().write(true).create_new(true).mode(0o600).open(&scratch)?;
        std::io::Write::write_all(&mut file, bytes)?;
        file.sync_all()?;
        std::fs::rename(&scratch, path)?;
        path.parent().map_or(Ok(()), |dir| std::fs::File::open(dir)?.sync_all())
    };
    write().map_err(ArchiveError::io(path.display()))
}
