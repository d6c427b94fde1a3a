//! Filling what is missing in the log, or damaged in it, from someone who has those commits: a standby, an archive.
//!
//! What comes is believed only where it leads from the log's chain before a damaged place to the chain behind it, record
//! by record: nobody can put anything else in there. Where nothing stands behind it (the log's end), it must follow from
//! what is here, pass through what the index holds, and be of no later epoch than this machine's.
//!
//! * [`stretches`]: what of the log is not whole.
//! * [`attempt`]: rebuilding such a stretch from what is readable here and what donors give.

mod attempt;
mod stretches;

use std::path::Path;

use crate::{
    Cause, Damaged, Part, Result, Seq, Store, StoreError, StoreOptions, checkpoint,
    index::{FjallIndex, IndexEngine as _, meta},
    log::{self, Chain, Met, RunWriter, SegmentReader, segment_path},
    repair::set_aside,
    witness,
};

use attempt::{Attempt, Outcome};
use stretches::{Known, Stretch};

/// What a run that is given away holds at least before it is closed.
const RUN_BYTES: usize = 8 << 20;

/// Someone who may have commits that are missing here.
pub trait LogDonor {
    /// What it is called.
    fn name(&self) -> String;

    /// A run of commits in a segment's own form, as [`RunWriter`] makes it, which commit `from` is in; none when it does
    /// not have that one. What it gives is checked by who asked.
    ///
    /// # Errors
    /// Why it can't be asked now: trying again later may help.
    fn run(&mut self, from: Seq) -> Result<Option<Vec<u8>>, String>;
}

/// What came of filling a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filled {
    /// What was filled, and from whom.
    pub done: Vec<String>,
    /// What is still missing or damaged, and why.
    pub left: Vec<String>,
    /// Commits that came from a donor.
    pub commits: u64,
    /// Somebody could not be asked who may have what is left.
    pub unanswered: bool,
}

/// Mends the log of a closed store from others who have its commits. What is replaced is set aside in the folder
/// `damaged`. A crash at any point leaves something that can be filled again.
///
/// # Errors
/// [`StoreError::Locked`], and those of the disk; what can't be filled is in the answer instead.
pub fn fill_log(
    dir: &Path,
    options: &StoreOptions,
    donors: &mut [&mut dyn LogDonor],
    mut progress: impl FnMut(&str, u64, u64),
) -> Result<Filled> {
    let _lock = crate::lock::Lock::take(dir)?;
    let known = what_is_known(dir, options)?;
    let log = Log { dir, options, known: &known };
    log.fill(stretches::find(dir, options, &known)?, donors, &mut progress)
}

/// What index, checkpoints and witnesses of a closed store say of its log.
fn what_is_known(dir: &Path, options: &StoreOptions) -> Result<Known> {
    let mut known = Known::default();
    let seen = witness::read_or_nothing(&*options.disk, dir)?;
    known.seen = seen.into_values().max().unwrap_or_default();
    let checkpoints = checkpoint::list(&*options.disk, &dir.join("checkpoints"))?;
    known.seen = known.seen.max(checkpoints.last().copied().unwrap_or_default());
    let index_dir = dir.join("index");
    let read = || -> Result<_> {
        let index = FjallIndex::open(&index_dir, options)?;
        let view = index.view();
        Ok((meta::applied(&*view)?, meta::cursors(&*view)?, meta::first(&*view)?, meta::epoch(&*view)?))
    };
    match if index_dir.exists() { read() } else { Err(Damaged::new(Part::Index, Cause::Missing).into()) } {
        Ok((applied, cursors, first, epoch)) => {
            known.seen = cursors.into_iter().map(|(_, seq)| seq).chain([applied.0]).fold(known.seen, Seq::max);
            (known.anchor, known.begins, known.epoch) = (Some(applied), first, Some(epoch));
        }
        Err(error) => {
            tracing::warn!(%error, "the index can't say what the log must hold");
            // Log is dropped only once a checkpoint has it.
            known.begins = checkpoints.first().map_or(Seq(1), |oldest| Seq(oldest.0 + 1));
        }
    }
    Ok(known)
}

/// A log, and what is known of it.
struct Log<'a> {
    dir: &'a Path,
    options: &'a StoreOptions,
    known: &'a Known,
}

impl Log<'_> {
    /// Fills each stretch that it can.
    fn fill(
        &self,
        found: Vec<Stretch>,
        donors: &mut [&mut dyn LogDonor],
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Filled> {
        let mut filled = Filled::default();
        // One that could not be filled, and why: what is wrong may be what stands between it and the next.
        let mut failed: Option<(Stretch, String)> = None;
        let left = |(stretch, why): (Stretch, String)| format!("{}: {why}", stretch.what);
        for stretch in found {
            let Err(why) = self.fill_one(&stretch, donors, &mut filled, progress)? else {
                filled.left.extend(failed.take().map(left));
                continue;
            };
            if let Some(both) = failed.as_ref().and_then(|(before, _)| before.with(&stretch))
                && self.fill_one(&both, donors, &mut filled, progress)?.is_ok()
            {
                failed = None;
                continue;
            }
            filled.left.extend(failed.replace((stretch, why)).map(left));
        }
        filled.left.extend(failed.map(left));
        Ok(filled)
    }

    /// Fills a stretch, or says why it can't be.
    fn fill_one(
        &self,
        stretch: &Stretch,
        donors: &mut [&mut dyn LogDonor],
        filled: &mut Filled,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Result<(), String>> {
        let (dir, options) = (self.dir, self.options);
        let mut attempt = Attempt::new(dir, options, self.known, stretch);
        let made = match attempt.make(donors, progress)? {
            Outcome::Made(made) => made,
            Outcome::Lacks(why) => {
                filled.unanswered |= attempt.unanswered;
                return Ok(Err(why));
            }
        };
        for old in &stretch.old {
            set_aside(dir, options, &dir.join("log"), &format!("{:020}.log", old.0))?;
        }
        made.put_in_place(&*options.disk)?;
        filled.commits += made.came;
        let set_aside = match stretch.old.len() {
            0 => String::new(),
            1 => "; the damaged segment was set aside".to_owned(),
            some => format!("; {some} damaged segments were set aside"),
        };
        let came = match made.came {
            0 => "rebuilt from what is here".to_owned(),
            1 => format!("1 commit came from {}", made.from.join(", ")),
            some => format!("{some} commits came from {}", made.from.join(", ")),
        };
        filled.done.push(format!("{}: {came}{set_aside}", stretch.what));
        Ok(Ok(()))
    }
}

impl Store {
    /// Mends the log's closed segments from others who have its commits, while everybody works on: as [`fill_log`]. What
    /// is wrong with the segment that is written to is for later. Blocks: not for async threads.
    ///
    /// # Errors
    /// As [`fill_log`].
    pub fn fill_log(
        &self,
        donors: &mut [&mut dyn LogDonor],
        mut progress: impl FnMut(&str, u64, u64),
    ) -> Result<Filled> {
        let (dir, options) = (self.dir(), &self.inner.options);
        // So that nothing of it is dropped during this.
        let _alone = self.inner.maintenance.lock();
        let begins = meta::first(&*self.inner.index.view())?;
        let known = Known { begins, is_open: true, ..Known::default() };
        let log = Log { dir, options, known: &known };
        let filled = log.fill(stretches::find(dir, options, &known)?, donors, &mut progress)?;
        // Those that are still damaged stay noted.
        let left = stretches::find(dir, options, &known)?;
        let is_damaged = |name: &str| left.iter().any(|stretch| stretch.names().any(|damaged| damaged == name));
        let newest = log::segments(&*options.disk, &dir.join("log"))?.pop().map(stretches::name_of);
        for (name, _) in self.inner.findings.list() {
            if name.starts_with("log/") && !is_damaged(&name) && Some(&name) != newest.as_ref() {
                self.inner.findings.forget(&name);
            }
        }
        Ok(filled)
    }

    /// Whether the log's closed segments are known to be damaged.
    pub fn log_is_damaged(&self) -> bool {
        self.inner.findings.list().iter().any(|(name, _)| name.starts_with("log/"))
    }

    /// A run of this log's commits that begins with `from`, in a segment's own form, for a machine that lacks them; none when
    /// this log does not have that one, or not whole. Reads up to one log segment: not for async threads.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn log_run(&self, from: Seq) -> Result<Option<Vec<u8>>> {
        let (disk, dir, end) = (&*self.inner.options.disk, self.dir().join("log"), self.seq());
        let firsts = log::segments(disk, &dir)?;
        let Some(first) = firsts.iter().rev().find(|first| **first <= from).filter(|_| from <= end) else {
            return Ok(None);
        };
        let (mut reader, _) = match SegmentReader::open_around(disk, &dir, *first) {
            Err(StoreError::Damaged { .. }) => return Ok(None),
            other => other?,
        };
        let mut before: Chain = *reader.chain();
        let mut run: Option<RunWriter> = None;
        while reader.next_seq() <= end {
            match reader.read()? {
                Met::Record(commit) if commit.seq() < from => before = *reader.chain(),
                Met::Record(commit) => {
                    let run = run.get_or_insert_with(|| RunWriter::new(from, before));
                    // Behind a damaged place another one is found.
                    if run.push(&commit).is_err() || run.chain() != *reader.chain() || run.len() >= RUN_BYTES {
                        break;
                    }
                }
                Met::Invalid(_) if run.is_none() && reader.pass_over(None)? && reader.next_seq() < from => {}
                Met::Sealed | Met::End | Met::Invalid(_) => break,
            }
        }
        Ok(run.filter(|run| !run.is_empty()).map(RunWriter::finish))
    }
}

/// Where a segment of the log is made before it gets its name.
fn scratch_path(dir: &Path, first: Seq) -> std::path::PathBuf {
    segment_path(dir, first).with_extension("filled")
}
