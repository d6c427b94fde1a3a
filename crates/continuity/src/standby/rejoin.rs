//! Makes an old primary a standby: data that only it has is first saved to files.

use std::{
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use store::{
    RealmId, Seq, Store, StoreError, StoreOptions,
    log::{Chain, RunWriter},
};

use crate::link::{Keys, Pin};

use super::{
    connect::{Known, connect, hear, say, state_dir},
    error::Error,
    primary::bodies_of,
    wire::{self, Hello, Kind},
};

/// Commits in one file.
const RUN_BYTES: usize = 32 << 20;
/// The files of a store.
const PARTS: [&str; 8] = ["log", "index", "packs", "checkpoints", "witness", "fenced", "replica", "format"];

/// The data that only the old primary had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejoined {
    /// The last commit that both machines have.
    pub common: Seq,
    /// Commits that only this machine had.
    pub unshared: u64,
    /// Messages in these commits.
    pub messages: u64,
    /// The folder with the saved data; `None` if there is none.
    pub folder: Option<PathBuf>,
}

/// Stands in `standby/` from when everything that only this machine has is in files until the folder is empty.
fn emptying(dir: &Path) -> PathBuf {
    state_dir(dir).join("emptying")
}

/// Whether emptying a folder was cut off.
pub(super) fn is_being_emptied(dir: &Path) -> bool {
    emptying(dir).exists()
}

/// Finds the last commit that both machines have, writes what only this one has into files, and empties the folder so
/// that it can follow. `known` is the machine that is the primary now. Gives nothing when it was cut off while emptying and
/// has only gone on with that.
///
/// # Errors
/// Before anything was taken away the folder is as it was; after that the next call goes on.
pub(super) async fn rejoin(
    dir: &Path,
    options: StoreOptions,
    known: &Known,
    keys: &Keys,
) -> Result<Option<Rejoined>, Error> {
    if is_being_emptied(dir) {
        empty(dir)?;
        return Ok(None);
    }
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
    write_durably(&emptying(dir), b"the data that only this machine had was saved to files: the rest is removed\n")?;
    std::fs::File::open(state_dir(dir))?.sync_all()?;
    empty(dir)?;
    Ok(Some(Rejoined { common, unshared, messages, folder: (unshared > 0).then_some(folder) }))
}

fn empty(dir: &Path) -> io::Result<()> {
    for part in PARTS {
        let path = dir.join(part);
        let removed = if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    std::fs::File::open(dir)?.sync_all()?;
    std::fs::remove_file(emptying(dir))
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
    // So far back that it is retained no more: long since shared.
    let Some(chain) = chain_at(store, seq).await? else { return Ok(true) };
    let mut stream = connect(keys, &known.address, Pin::Whole(known.fingerprint)).await?;
    let epoch = store.snapshot().epoch()?;
    let hello = Hello { version: wire::VERSION, next: seq.0 + 1, chain: chain.to_vec(), epoch, copy: false };
    say(&mut stream, Kind::Hello(hello)).await?;
    match hear(&mut stream).await {
        Ok(Kind::Welcome(_)) => Ok(true),
        Ok(other) => Err(Error::NotNow(format!("unexpected reply from the primary: {}", other.name()))),
        Err(Error::Diverged(_)) => Ok(false),
        // Its log does not reach back so far. It knows up to where it has followed this one; if it does not, because it has
        // itself taken over from another one, all that is still here is kept rather than what was lost left out.
        Err(Error::TooOld { promoted_after, promoted_chain, .. }) => {
            if promoted_after == 0 || seq.0 > promoted_after {
                return Ok(false);
            }
            let there =
                if Seq(promoted_after) > store.seq() { None } else { chain_at(store, Seq(promoted_after)).await? };
            Ok(there.is_none_or(|chain| chain.as_slice() == promoted_chain))
        }
        Err(error) => Err(error),
    }
}

/// The log's chain after a commit; `None` when that is retained no more.
async fn chain_at(store: &Store, seq: Seq) -> Result<Option<Chain>, Error> {
    let store = store.clone();
    match tokio::task::spawn_blocking(move || store.log_point(seq)).await.map_err(io::Error::other)? {
        Ok((chain, _)) => Ok(Some(chain)),
        Err(StoreError::NotRetained { .. }) => Ok(None),
        Err(error) => Err(error.into()),
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
                    Err(error) => tracing::error!(%error, "could not save a message that only this machine had"),
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
