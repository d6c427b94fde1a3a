//! A former primary becomes a standby: what only it has is kept in files first.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use store::{RealmId, Seq, Store, StoreError, StoreOptions, log::RunWriter};
use tokio::io::AsyncWriteExt as _;

use super::{
    keys::{Keys, Pin},
    primary::bodies_of,
    replica::{Error, Known, connect, hear},
    wire::{self, Hello, Kind},
};

/// Commits in one file.
const RUN_BYTES: usize = 32 << 20;
/// What a store consists of.
const PARTS: [&str; 8] = ["log", "index", "packs", "checkpoints", "witness", "fenced", "replica", "format"];

/// What was found when a former primary came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejoined {
    /// The last commit that both machines have.
    pub common: Seq,
    /// Commits that only this machine had.
    pub unshared: u64,
    /// Messages that came with them.
    pub messages: u64,
    /// Where they are kept; `None` when there are none.
    pub folder: Option<PathBuf>,
}

/// Finds the last commit that both machines have, writes what only this one has into files, and empties the folder so
/// that it can follow. `known` is the machine that is the primary now.
///
/// # Errors
/// Before anything was taken away; the folder is as it was then.
pub async fn rejoin(dir: &Path, options: StoreOptions, known: &Known, keys: &Keys) -> Result<Rejoined, Error> {
    let folder = dir.to_owned();
    let store = tokio::task::spawn_blocking(move || Store::open_replica(&folder, options))
        .await
        .map_err(io::Error::other)??;
    let common = last_common(&store, known, keys).await?;
    let folder = dir.join(format!("unshared-after-{common}"));
    let at = store.clone();
    let target = folder.clone();
    let (unshared, messages) = tokio::task::spawn_blocking(move || save_tail(&at, common, &target, |_| true))
        .await
        .map_err(io::Error::other)??;
    store.close();
    drop(store);
    for part in PARTS {
        let path = dir.join(part);
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(Rejoined { common, unshared, messages, folder: (unshared > 0).then_some(folder) })
}

/// The last commit at which both logs are the same, by halving.
async fn last_common(store: &Store, known: &Known, keys: &Keys) -> Result<Seq, Error> {
    let (mut good, mut bad) = (0, store.seq().0 + 1);
    while good + 1 < bad {
        let middle = good + (bad - good) / 2;
        if is_common(store, Seq(middle), known, keys).await? { good = middle } else { bad = middle }
    }
    Ok(Seq(good))
}

async fn is_common(store: &Store, seq: Seq, known: &Known, keys: &Keys) -> Result<bool, Error> {
    let at = store.clone();
    let point = tokio::task::spawn_blocking(move || at.log_point(seq)).await.map_err(io::Error::other)?;
    let chain = match point {
        Ok((chain, _)) => chain,
        // So far back that it is retained no more: long since shared.
        Err(StoreError::NotRetained { .. }) => return Ok(true),
        Err(error) => return Err(error.into()),
    };
    let mut stream = connect(keys, &known.address, Pin::Whole(known.fingerprint)).await?;
    let hello = Hello { version: wire::VERSION, next: seq.0 + 1, chain: chain.to_vec(), epoch: 0, copy: false };
    wire::write(&mut stream, Kind::Hello(hello)).await?;
    stream.flush().await?;
    match hear(&mut stream).await {
        Ok(Kind::Welcome(_)) => Ok(true),
        Ok(other) => Err(Error::NotNow(format!("the primary answers {other:?}"))),
        Err(Error::Diverged(_)) => Ok(false),
        // The new primary's log begins with what it has copied from this one.
        Err(Error::TooOld(_)) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Writes the commits after `common` as runs, and the messages that came with them into the realms that are `wanted` as a
/// Maildir for each. Gives how many there are of both.
pub(super) fn save_tail(
    store: &Store,
    common: Seq,
    folder: &Path,
    wanted: impl Fn(RealmId) -> bool,
) -> Result<(u64, u64), StoreError> {
    let (first, last) = (Seq(common.0 + 1), store.seq());
    if first > last {
        return Ok((0, 0));
    }
    let io = |error| StoreError::io(folder.display().to_string())(error);
    std::fs::create_dir_all(folder).map_err(io)?;
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(io)?;
    let mut follower = store.follow(first)?;
    let mut run = RunWriter::new(first, store.log_point(common)?.0);
    let (mut begun, mut messages) = (first, 0);
    for number in first.0..=last.0 {
        let commit = runtime.block_on(follower.next())?;
        run.push(&commit)?;
        for part in commit.realms.iter().filter(|part| wanted(part.realm())) {
            let own = store::Commit { realms: vec![part.clone()], ..(*commit).clone() };
            for id in bodies_of(&own) {
                let dir = folder.join(part.realm().to_string().replace(' ', "-"));
                for part in ["cur", "new", "tmp"] {
                    std::fs::create_dir_all(dir.join(part)).map_err(io)?;
                }
                match store.body(&id).and_then(|mut reader| reader.read_all()) {
                    Ok(bytes) => {
                        let path = dir.join("cur").join(format!("{number}.{id}:2,"));
                        write_durably(&path, &bytes).map_err(io)?;
                        messages += 1;
                    }
                    // Written in the same commits and taken away again, perhaps: the commits say so.
                    Err(error) => tracing::error!(%error, "a message that only this machine had can't be kept"),
                }
            }
        }
        if run.len() > RUN_BYTES || number == last.0 {
            let next = Seq(number + 1);
            let path = folder.join(format!("commits-{begun}-{number}"));
            let chain = run.chain();
            let whole = std::mem::replace(&mut run, RunWriter::new(next, chain)).finish();
            write_durably(&path, &whole).map_err(io)?;
            begun = next;
        }
    }
    std::fs::File::open(folder).and_then(|dir| dir.sync_all()).map_err(io)?;
    Ok((last.0 - common.0, messages))
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = std::fs::File::create(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
