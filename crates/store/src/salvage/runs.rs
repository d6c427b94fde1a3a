//! Commits saved in files: runs `commits-A-B`, as written by [`crate::log::RunWriter`].

use std::path::Path;

use super::{SalvageReport, only_reads::OnlyReads, report::span};
use crate::{Commit, Result, Seq, StoreError, disk::Disk as _, log};

/// Gives every commit that can be read of those that were kept in files (see [`Salvaged::open_runs`]), in order.
///
/// # Errors
/// [`StoreError::Refused`] when there are no such files; those of `each`.
pub fn salvaged_commits(from: &Path, each: &mut dyn FnMut(&Commit) -> Result<()>) -> Result<()> {
    each_run(from, &mut SalvageReport::default(), each)
}

/// Gives every commit of the runs in a folder that can be read, in order.
pub(super) fn each_run(
    from: &Path,
    report: &mut SalvageReport,
    each: &mut dyn FnMut(&Commit) -> Result<()>,
) -> Result<()> {
    let names = OnlyReads.list(from).map_err(StoreError::io(from.display().to_string()))?;
    let bounds = |name: &str| -> Option<(u64, u64)> {
        let (first, last) = name.strip_prefix("commits-")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let mut runs: Vec<((u64, u64), String)> =
        names.into_iter().filter_map(|name| Some((bounds(&name)?, name))).collect();
    runs.sort();
    let Some(((begin, _), _)) = runs.first() else {
        return Err(StoreError::refused(format!("{} holds no commits: no file commits-A-B", from.display())));
    };
    let mut next = *begin;
    let miss = |report: &mut SalvageReport, from: u64, to: u64| {
        if from <= to {
            report.lost.push(format!("{} can't be read", span("commit", from, to)));
        }
    };
    for ((first, last), name) in runs {
        let path = from.join(&name);
        let file = OnlyReads.open(&path).map_err(StoreError::io(path.display().to_string()))?;
        let holes = log::scavenge(&*file, &name, Seq(first), &mut |commit| {
            miss(report, next, commit.seq_raw - 1);
            next = commit.seq_raw + 1;
            report.commits += 1;
            report.last = commit.seq();
            each(&commit)
        })?;
        for hole in holes {
            report.damage.push(format!("{name}: {} bytes at byte {} are not records", hole.bytes, hole.at));
        }
        miss(report, next, last);
        next = next.max(last + 1);
    }
    Ok(())
}
