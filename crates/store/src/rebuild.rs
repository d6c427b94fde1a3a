//! Rebuilds the index: from a checkpoint and the log after it, or from the whole log.

use std::path::Path;

use crate::{
    Cause, Damaged, Part, Result, Seq, StoreError, StoreOptions, body, checkpoint, damage,
    index::{Batch, FjallIndex, IndexEngine, apply, meta},
    log::{self, Chain},
    store, witness,
};

/// What the index that is to be replaced knows about how far the log must reach.
#[derive(Default)]
struct Witnesses {
    seen: Vec<(String, Seq)>,
    /// What is to be taken over: the cursors, and where the log begins.
    kept: Batch,
    /// A promotion after which nothing was written yet is known to the index alone.
    epoch: u64,
}

fn old_witnesses(dir: &Path, options: &StoreOptions) -> Witnesses {
    let index_dir = dir.join("index");
    if !index_dir.exists() {
        return Witnesses::default();
    }
    let read = || -> Result<Witnesses> {
        let index = FjallIndex::open(&index_dir, options)?;
        let view = index.view();
        let cursors = meta::cursors(&*view)?;
        let mut seen = vec![("the index".to_owned(), meta::applied(&*view)?.0)];
        let mut kept: Batch = cursors.iter().map(|(name, seq)| meta::cursor(name, *seq)).collect();
        kept.push(meta::set_first(meta::first(&*view)?));
        // What is damaged beside the index, and what packs there should be, does not change with it.
        for space in [damage::NOTES, body::DAMAGED_NOTES] {
            let note = |key: &[u8], value: &[u8]| Ok(meta::write(key.to_vec(), value.to_vec()));
            kept.extend(meta::notes(&*view, space, &[], note)?);
        }
        kept.extend(meta::pack_bytes(&*view)?.into_iter().map(|(number, bytes)| meta::set_pack_bytes(number, bytes)));
        seen.extend(cursors);
        Ok(Witnesses { seen, kept, epoch: meta::epoch(&*view)? })
    };
    read().unwrap_or_else(|error| {
        tracing::warn!(%error, "the old index does not tell how far the log must reach");
        Witnesses::default()
    })
}

/// The base of a rebuild.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Base {
    Checkpoint(Seq),
    Nothing,
}

impl Base {
    const fn seq(self) -> Seq {
        match self {
            Self::Checkpoint(seq) => seq,
            Self::Nothing => Seq(0),
        }
    }
}

/// The sources of a rebuilt index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuilt {
    /// The checkpoint that it began with; `None` when it began with the first commit.
    pub checkpoint: Option<Seq>,
    /// Commits of the log that were applied after that.
    pub commits: u64,
    /// The last commit it holds.
    pub seq: Seq,
    /// Checkpoints that could not be used, and why.
    pub passed_over: Vec<String>,
}

/// Rebuilds the index from the newest good checkpoint and the log after it, or from the whole log, and from the body packs.
/// The store must be closed. The old index is kept until the new one is complete; a crash at any point leaves the old or
/// the new one.
///
/// # Errors
/// [`StoreError::Damaged`] when no checkpoint with the log after it, nor the log from its first commit, leads up to what
/// the old index or an external cursor has seen; the old index stays in place then. [`StoreError::NewerFormat`].
pub fn rebuild_index(dir: &Path, options: &StoreOptions, mut progress: impl FnMut(&str, u64, u64)) -> Result<Rebuilt> {
    let lock = crate::lock::Lock::take(dir)?;
    store::found_format(dir)?;
    let rebuilt = rebuild(dir, options, &mut progress)?;
    drop(lock);
    Ok(rebuilt)
}

/// As [`rebuild_index`], for who holds the folder's lock.
pub(crate) fn rebuild(dir: &Path, options: &StoreOptions, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<Rebuilt> {
    let disk = &*options.disk;
    let firsts = log::segments(disk, &dir.join("log"))?;
    let first = firsts.first().copied().unwrap_or(Seq(1));
    let mut witnesses = old_witnesses(dir, options);
    witnesses.seen.extend(witness::read_or_nothing(disk, dir)?);
    let mut bases: Vec<Base> = checkpoint::list(disk, &dir.join("checkpoints"))?
        .into_iter()
        .rev()
        .filter(|seq| first.0 <= seq.0 + 1)
        .map(Base::Checkpoint)
        .collect();
    if first == Seq(1) {
        bases.push(Base::Nothing);
    }
    let mut passed_over = Vec::new();
    let mut last_error =
        StoreError::from(Damaged::new(Part::Log, Cause::Missing).commit(Seq(1)).because(format_args!(
            "it starts at commit {first}, but no checkpoint of an earlier commit leads up to it"
        )));
    for base in bases {
        match build(dir, options, base, &firsts, &witnesses, progress) {
            Ok((commits, seq)) => {
                put_in_place(dir)?;
                let checkpoint = (base != Base::Nothing).then(|| base.seq());
                return Ok(Rebuilt { checkpoint, commits, seq, passed_over });
            }
            Err(error @ StoreError::Damaged { .. }) => {
                if base != Base::Nothing {
                    tracing::warn!(checkpoint = %base.seq(), %error, "can't build an index from this checkpoint");
                    passed_over.push(format!("checkpoint {}: {error}", base.seq()));
                }
                last_error = error;
            }
            Err(error) => return Err(error),
        }
    }
    Err(last_error)
}

fn build(
    dir: &Path,
    options: &StoreOptions,
    base: Base,
    firsts: &[Seq],
    witnesses: &Witnesses,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<(u64, Seq)> {
    let scratch = dir.join("index.new");
    match std::fs::remove_dir_all(&scratch) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(StoreError::io(scratch.display().to_string())(error));
        }
        _ => {}
    }
    let index = FjallIndex::open(&scratch, options)?;
    let base_chain = match base {
        Base::Nothing => Chain::default(),
        Base::Checkpoint(seq) => {
            progress("checkpoint", 0, 1);
            checkpoint::load(&*options.disk, &dir.join("checkpoints"), seq, &index)?.chain
        }
    };
    let start = firsts.iter().rposition(|first| first.0 <= base.seq().0 + 1).unwrap_or(0);
    let needed = &firsts[start.min(firsts.len())..];
    let total = needed.len() as u64;
    let mut count = 0;
    let anchor = (base != Base::Nothing).then_some((base.seq(), base_chain));
    let needs = log::Needs { from: Seq(base.seq().0 + 1), anchor };
    let replayed = log::replay(&*options.disk, &dir.join("log"), needed, needs, |number, commit, chain| {
        progress("log segments", number as u64, total);
        if commit.seq() > base.seq() {
            count += 1;
            return apply(&index, commit, chain);
        }
        if commit.seq() == base.seq() && *chain != base_chain {
            let what = Damaged::new(Part::Log, Cause::Chain).commit(base.seq());
            return Err(what.because("it does not match the checkpoint").into());
        }
        Ok(())
    })?;
    let reached = replayed.reached.max(base.seq());
    // A torn tail is judged, and cut off, when the store is opened.
    for (who, seen) in &witnesses.seen {
        if reached < *seen {
            let what = log::too_short(reached, *seen, replayed.problem);
            return Err(what.because(format_args!("{who} has seen it")).into());
        }
    }
    // Where bodies are is found by scanning the packs when the store is opened. What the old index says of the log's
    // beginning goes before what can be seen.
    let begins = firsts.first().copied().unwrap_or(Seq(1)).min(Seq(base.seq().0 + 1));
    index.apply(vec![meta::set_first(begins)])?;
    index.apply(witnesses.kept.clone())?;
    index.apply(vec![meta::set_epoch(meta::epoch(&*index.view())?.max(witnesses.epoch))])?;
    index.persist()?;
    Ok((count, reached))
}

fn put_in_place(dir: &Path) -> Result<()> {
    let (scratch, current, old) = (dir.join("index.new"), dir.join("index"), dir.join("index.old"));
    let swap = || -> std::io::Result<()> {
        let _ = std::fs::remove_dir_all(&old);
        if current.exists() {
            std::fs::rename(&current, &old)?;
        }
        std::fs::rename(&scratch, &current)?;
        std::fs::File::open(dir)?.sync_all()?;
        std::fs::remove_dir_all(&old).or(Ok(()))
    };
    swap().map_err(StoreError::io("replacing the index"))
}
