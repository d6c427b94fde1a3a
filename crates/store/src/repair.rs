//! Repair: what one part of a store has lost is made again from the others. Nothing that is damaged is thrown away: it
//! is set aside in the folder `damaged`.

use std::{path::Path, sync::Arc};

use crate::{
    Cause, Damaged, Part, Result, Seq, Store, StoreError, StoreOptions, checkpoint,
    index::{FjallIndex, IndexEngine, meta},
    log::{self, Chain, Log, Met, SegmentReader},
    rebuild, store,
    verify::digest_of,
    witness,
};

/// Repairs a closed store as far as possible, and reports what it did:
/// * a damaged index is rebuilt from a checkpoint and the log, or from the whole log;
/// * a damaged log is replaced by a checkpoint of the index, if that is intact and has every acknowledged commit: then the
///   data is complete, but the history before the repair is not;
/// * a damaged checkpoint is replaced by a new one;
/// * the mark of the format is written again, if the log shows which format it is.
///
/// A damaged body has no second copy here; `verify` keeps reporting it. After a crash at any point the repair can be
/// repeated.
///
/// # Errors
/// [`StoreError::Damaged`] if the remaining data does not suffice: it names the missing commits. Then nothing is changed,
/// except that damaged checkpoints were set aside.
pub fn repair(dir: &Path, options: &StoreOptions, progress: impl FnMut(&str, u64, u64)) -> Result<Vec<String>> {
    repair_with(dir, options, RepairLog::Too, progress)
}

/// Whether a repair may give up the history in a damaged log, where the index has its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepairLog {
    /// It may.
    Too,
    /// What the log lacks may still be had from elsewhere.
    Not,
}

/// As [`repair`], with or without the log.
///
/// # Errors
/// As [`repair`].
pub fn repair_with(
    dir: &Path,
    options: &StoreOptions,
    log_too: RepairLog,
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<Vec<String>> {
    let mut done = Vec::new();
    let lock = crate::lock::Lock::take(dir)?;
    mend_format(dir, options, &mut done)?;
    set_damaged_checkpoints_aside(dir, options, &mut done)?;
    let (mut applied, mut cursors) = match whole_index(dir, options) {
        Ok(state) => state,
        Err(error @ (StoreError::Damaged { .. } | StoreError::Io { .. })) => {
            let rebuilt =
                rebuild::rebuild(dir, options, &mut progress).map_err(|second| store::not_rebuilt(&error, second))?;
            let base = rebuilt.checkpoint.map_or_else(String::new, |seq| format!("checkpoint {seq} and "));
            done.push(format!("the index was rebuilt from {base}{} commits ({error})", rebuilt.commits));
            whole_index(dir, options)?
        }
        Err(error) => return Err(error),
    };
    let log_dir = dir.join("log");
    let state = examine(options, &log_dir)?;
    if state.reached > applied.0 && state.problems.is_empty() {
        // The index is only behind: opening catches it up.
        applied = (state.reached, state.chain);
    }
    cursors.extend(witness::read_or_nothing(&*options.disk, dir)?);
    let seen = cursors.drain(..).map(|(_, seq)| seq).max().unwrap_or_default().max(state.durable);
    let is_damaged = !state.problems.is_empty() || state.reached < applied.0;
    if is_damaged && log_too == RepairLog::Too {
        let what = state
            .problems
            .first()
            .cloned()
            .unwrap_or_else(|| Damaged::new(Part::Log, Cause::CutOff).commit(Seq(state.reached.0 + 1)));
        // What is damaged lies before segments that lead up to the end.
        let good_from = state.good_from.filter(|_| state.reached >= applied.0.max(seen));
        if let Some(good_from) = good_from {
            set_segments_aside(dir, options, |first| first < good_from, &mut done, &what.to_string())?;
            remember_first(dir, options, good_from)?;
        } else if applied.0 >= seen {
            new_log(dir, options, applied, &mut done, &what.to_string())?;
        } else {
            let what = what.because(format_args!(
                "the index ends at commit {}, but commit {seen} was acknowledged: commits {} to {seen} are nowhere on \
                 this machine",
                applied.0,
                applied.0.0 + 1,
            ));
            return Err(what.into());
        }
    }
    drop(lock);
    // A damaged log may not let itself be opened: what was rebuilt is there all the same.
    if !done.is_empty() && (!is_damaged || log_too == RepairLog::Too) {
        let store = Store::open(dir, options.clone())?;
        let made = store.checkpoint(&|| true)?;
        store.close();
        done.push(format!("a checkpoint of commit {} was made", made.seq));
    }
    Ok(done)
}

type State = ((Seq, Chain), Vec<(String, Seq)>);

/// What the index holds and what it has seen, if every realm in it adds up.
fn whole_index(dir: &Path, options: &StoreOptions) -> Result<State> {
    let dir = dir.join("index");
    if !dir.exists() {
        return Err(Damaged::new(Part::Index, Cause::Missing).into());
    }
    let index: Arc<dyn IndexEngine> = Arc::new(FjallIndex::open(&dir, options)?);
    let view = index.view();
    for (realm, state) in meta::realm_states(&*view)? {
        let digest = digest_of(&*view, realm)?;
        if digest != state.digest {
            return Err(Damaged::wrong_digest(realm, digest, state.digest).into());
        }
    }
    Ok((meta::applied(&*view)?, meta::cursors(&*view)?))
}

/// Writes the mark of the format anew when it is gone or can't be understood, and the log is of the form that this version
/// writes.
fn mend_format(dir: &Path, options: &StoreOptions, done: &mut Vec<String>) -> Result<()> {
    let what = match store::found_format(dir) {
        Ok(Some(_)) => return Ok(()),
        Ok(None) => Box::new(Damaged::new(Part::Mark, Cause::Missing).because("the mark of the format")),
        Err(StoreError::Damaged(what)) => what,
        Err(error) => return Err(error),
    };
    let log_dir = dir.join("log");
    let is_ours = |first: &Seq| SegmentReader::open(&*options.disk, &log_dir, *first).is_ok();
    if !log::segments(&*options.disk, &log_dir)?.iter().any(is_ours) {
        return Err(what.because("no log shows which format it is").into());
    }
    store::write_format(dir).map_err(StoreError::io(dir.display().to_string()))?;
    done.push(format!("{what}: rewritten from the log"));
    Ok(())
}

fn remember_first(dir: &Path, options: &StoreOptions, first: Seq) -> Result<()> {
    let index = FjallIndex::open(&dir.join("index"), options)?;
    index.apply(vec![meta::set_first(first)])?;
    index.persist()
}

fn set_damaged_checkpoints_aside(dir: &Path, options: &StoreOptions, done: &mut Vec<String>) -> Result<()> {
    let checkpoints = dir.join("checkpoints");
    for seq in checkpoint::list(&*options.disk, &checkpoints)? {
        match checkpoint::read(&*options.disk, &checkpoints, seq, &mut |_| Ok(())) {
            Ok(_) => {}
            Err(StoreError::Damaged(what)) => {
                set_aside(dir, options, &checkpoints, &format!("{:020}.ckpt", seq.0))?;
                done.push(format!("{what}: set aside"));
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn set_aside(dir: &Path, options: &StoreOptions, from: &Path, name: &str) -> Result<()> {
    let disk = &*options.disk;
    let damaged = dir.join("damaged");
    let target = damaged.join(format!("{name}.{}", options.clock.now_ms()));
    disk.create_dir(&damaged)
        .and_then(|()| disk.rename(&from.join(name), &target))
        .and_then(|()| disk.sync_dir(&damaged))
        .and_then(|()| disk.sync_dir(from))
        .map_err(StoreError::io(target.display().to_string()))
}

fn set_segments_aside(
    dir: &Path,
    options: &StoreOptions,
    which: impl Fn(Seq) -> bool,
    done: &mut Vec<String>,
    what: &str,
) -> Result<()> {
    let log_dir = dir.join("log");
    let mut count = 0;
    for first in log::segments(&*options.disk, &log_dir)?.into_iter().filter(|first| which(*first)) {
        set_aside(dir, options, &log_dir, &format!("{:020}.log", first.0))?;
        count += 1;
    }
    if count > 0 {
        done.push(format!("{what}: {count} log segments were set aside; the data is complete, the history is not"));
    }
    Ok(())
}

/// Keeps everything that the index holds in a checkpoint, then begins a log behind it.
fn new_log(
    dir: &Path,
    options: &StoreOptions,
    (seq, chain): (Seq, Chain),
    done: &mut Vec<String>,
    what: &str,
) -> Result<()> {
    {
        let index: Arc<dyn IndexEngine> = Arc::new(FjallIndex::open(&dir.join("index"), options)?);
        let first = Seq(seq.0 + 1);
        let checkpoints = dir.join("checkpoints");
        checkpoint::write(&*options.disk, &checkpoints, &*index.view(), None, options.clock.now_ms(), &|| true)?;
        index.apply(vec![meta::set_first(first)])?;
        index.persist()?;
    }
    set_segments_aside(dir, options, |_| true, done, what)?;
    let log_dir = dir.join("log");
    options.disk.create_dir(&log_dir).map_err(StoreError::io(log_dir.display().to_string()))?;
    Log::begin(options.disk.clone(), &log_dir, Seq(seq.0 + 1), chain, options.segment_bytes)?;
    Ok(())
}

/// The result of a walk through the log.
#[derive(Default)]
struct Examined {
    /// The last commit that can be read at the log's end.
    reached: Seq,
    chain: Chain,
    /// The first segment from which on everything is whole; `None` when the newest is not.
    good_from: Option<Seq>,
    /// The last commit that is known to have been synced.
    durable: Seq,
    problems: Vec<Damaged>,
}

fn examine(options: &StoreOptions, dir: &Path) -> Result<Examined> {
    let firsts = log::segments(&*options.disk, dir)?;
    let mut found = Examined::default();
    let mut before: Option<(Chain, Seq)> = None;
    for (number, first) in firsts.iter().enumerate() {
        let newest = number + 1 == firsts.len();
        let mut reader = match SegmentReader::open(&*options.disk, dir, *first) {
            Ok(reader) => reader,
            Err(StoreError::Damaged(what)) => {
                // A header is synced before anything is acknowledged into the segment.
                found.problems.push(*what);
                found.good_from = None;
                before = None;
                continue;
            }
            Err(error) => return Err(error),
        };
        if before != Some((*reader.chain(), *first)) {
            if let Some((_, next)) = before {
                found.problems.push(log::missing_commits(next, Seq(first.0 - 1)));
            }
            found.good_from = None;
        }
        let mut whole = true;
        loop {
            match reader.read()? {
                Met::Record(commit) => found.durable = found.durable.max(Seq(commit.durable_raw)),
                Met::Sealed => {
                    found.durable = found.durable.max(Seq(reader.next_seq().0 - 1));
                    break;
                }
                Met::End if newest => break,
                Met::End => {
                    found.problems.push(log::cut_off(*first, reader.next_seq()));
                    whole = false;
                    break;
                }
                Met::Invalid(what) => {
                    let durable = reader.later_witness()?.unwrap_or_default();
                    found.durable = found.durable.max(durable);
                    // A torn tail is not damage: opening truncates it.
                    if !newest || durable >= reader.next_seq() {
                        found.problems.push(*what);
                        whole = false;
                    }
                    break;
                }
            }
        }
        (found.reached, found.chain) = (Seq(reader.next_seq().0 - 1), *reader.chain());
        before = whole.then_some((*reader.chain(), reader.next_seq()));
        found.good_from = if whole { found.good_from.or(Some(*first)) } else { None };
    }
    Ok(found)
}
