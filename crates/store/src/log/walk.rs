//! Questions about the log as a whole, answered by reading its segments in order.

use std::path::Path;

use super::{
    Chain, Met, SegmentReader,
    segment::{cut_off, ends_before, footer, is_torn_header, not_following, segments},
};
use crate::{Commit, Damaged, Result, Seq, StoreError, disk::Disk};

/// The log's chain after commit `seq`, and that commit's time where the commit is still there.
pub(crate) fn point(disk: &dyn Disk, dir: &Path, seq: Seq) -> Result<(Chain, Option<i64>)> {
    let firsts = segments(disk, dir)?;
    let begin = firsts.first().copied().unwrap_or(Seq(1));
    let not_retained = || StoreError::NotRetained { asked: seq, first: begin };
    let Some(first) = firsts.iter().rev().find(|first| first.0 <= seq.0 + 1) else { return Err(not_retained()) };
    let (mut reader, _) = SegmentReader::open_around(disk, dir, *first)?;
    if first.0 == seq.0 + 1 && reader.follows.is_none() {
        let before = firsts.iter().rev().find(|before| **before <= seq);
        let time_ms = before.map(|before| footer(disk, dir, *before)).transpose()?.flatten().map(|end| end.time_ms);
        return Ok((reader.chain, time_ms));
    }
    while reader.next <= seq {
        match reader.read()? {
            Met::Record(_) => {}
            Met::Invalid(what) => pass_over(&mut reader, what, seq)?,
            Met::End | Met::Sealed => {
                return Err(ends_before(seq));
            }
        }
    }
    Ok((reader.chain, Some(reader.time_ms)))
}

/// Goes on behind what is damaged, where nothing from `needed` on is in it.
fn pass_over(reader: &mut SegmentReader, what: Box<Damaged>, needed: Seq) -> Result<()> {
    if reader.pass_over(None)? && reader.next <= needed { Ok(()) } else { Err(StoreError::Damaged(what)) }
}

/// The last commit up to `last` that was made at a moment or before; the one before the log's first when all came later.
///
/// After a clock that was ahead, commits state later times than they had, and [`Commit::true_ms`] goes back once. What was
/// made while it was ahead counts as made before the commit that shows it.
pub(crate) fn seq_made_at(disk: &dyn Disk, dir: &Path, moment_ms: i64, last: Seq) -> Result<Seq> {
    let firsts = segments(disk, dir)?;
    let mut reached = Seq(firsts.first().copied().unwrap_or(Seq(1)).0 - 1);
    // The first commit after the moment, as far as is known.
    let mut later: Option<(Seq, i64)> = None;
    for (number, first) in firsts.iter().enumerate().filter(|(_, first)| **first <= last) {
        if number + 1 < firsts.len()
            && let Some(footer) = footer(disk, dir, *first)?
            && footer.time_ms <= moment_ms
        {
            reached = footer.last;
            continue;
        }
        let (mut reader, _) = SegmentReader::open_around(disk, dir, *first)?;
        while reader.next <= last {
            match reader.read()? {
                Met::Record(commit) => {
                    reached = commit.seq();
                    let made_ms = commit.true_ms();
                    if made_ms <= moment_ms || later.is_some_and(|(_, later_ms)| made_ms < later_ms) {
                        later = None;
                    }
                    if made_ms > moment_ms && later.is_none() {
                        later = Some((commit.seq(), made_ms));
                    }
                }
                Met::Sealed => break,
                // Another segment goes on behind what is damaged.
                Met::End | Met::Invalid(_) if number + 1 < firsts.len() && !reader.pass_over(None)? => break,
                Met::End => return Err(cut_off(*first, reader.next).into()),
                // Times only go on: what is missing was made before what comes.
                Met::Invalid(what) => pass_over(&mut reader, what, last)?,
            }
        }
    }
    Ok(later.map_or(reached, |(seq, _)| Seq(seq.0 - 1)).min(last))
}

/// The last commit up to `last` that states a time not later than a moment; the one before the log's first when all are.
pub(crate) fn seq_stated_at(disk: &dyn Disk, dir: &Path, moment_ms: i64, last: Seq) -> Result<Seq> {
    let firsts = segments(disk, dir)?;
    let mut reached = Seq(firsts.first().copied().unwrap_or(Seq(1)).0 - 1);
    for (number, first) in firsts.iter().enumerate().filter(|(_, first)| **first <= last) {
        if number + 1 < firsts.len()
            && let Some(footer) = footer(disk, dir, *first)?
            && footer.time_ms <= moment_ms
        {
            reached = footer.last;
            continue;
        }
        let (mut reader, _) = SegmentReader::open_around(disk, dir, *first)?;
        while reader.next <= last {
            match reader.read()? {
                Met::Record(commit) if commit.time_ms <= moment_ms => reached = commit.seq(),
                Met::Record(_) => return Ok(reached),
                Met::Sealed => break,
                // Another segment goes on behind what is damaged.
                Met::End | Met::Invalid(_) if number + 1 < firsts.len() && !reader.pass_over(None)? => break,
                Met::End => return Err(cut_off(*first, reader.next).into()),
                // Times only go on: what is missing was made before what comes.
                Met::Invalid(what) => pass_over(&mut reader, what, last)?,
            }
        }
    }
    Ok(reached.min(last))
}

/// How far a replay got.
pub(crate) struct Replayed {
    /// The last commit.
    pub reached: Seq,
    /// What stands behind it in the newest segment, if that is no record: torn or damaged, which is for the caller to
    /// tell.
    pub problem: Option<Box<Damaged>>,
}

/// What a replay may skip.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Needs {
    /// The first commit that must not be missing.
    pub from: Seq,
    /// A commit before that, and the log's chain there, as others know it.
    pub anchor: Option<(Seq, Chain)>,
}

/// Gives each commit of the segments `firsts` (with the number of its segment and the chain after it) in order, having
/// checked that every segment follows from the one before it: a segment in the middle that is gone must not go unnoticed.
/// What is damaged is passed over where nothing that is needed is in it.
pub(crate) fn replay<E: From<StoreError>>(
    disk: &dyn Disk,
    dir: &Path,
    firsts: &[Seq],
    needs: Needs,
    mut each: impl FnMut(usize, &Commit, &Chain) -> Result<(), E>,
) -> Result<Replayed, E> {
    let mut before: Option<(Chain, Seq)> = None;
    for (number, first) in firsts.iter().enumerate() {
        let newest = number + 1 == firsts.len();
        let mut reader = match SegmentReader::open(disk, dir, *first) {
            Err(StoreError::Damaged(what)) if newest && number > 0 && is_torn_header(disk, dir, *first)? => {
                let reached = Seq(before.map_or(0, |(_, next)| next.0 - 1));
                return Ok(Replayed { reached, problem: Some(what) });
            }
            Err(StoreError::Damaged(what)) => {
                let mut reader = SegmentReader::open_without_header(disk, dir, *first)?;
                if !reader.pass_over(needs.anchor.filter(|_| newest))? || reader.next > needs.from.max(*first) {
                    return Err(StoreError::Damaged(what).into());
                }
                reader
            }
            other => other?,
        };
        if let Some((chain, next)) = before
            && reader.follows.is_none()
            && (chain != reader.chain || next != *first)
        {
            let what = not_following(*first).because(format_args!("the one before it ends before commit {next}"));
            return Err(StoreError::from(what).into());
        }
        // What follows a damaged end is known by its own header, and needs nothing that is missing.
        let goes_on = firsts.get(number + 1).is_some_and(|next| *next <= needs.from);
        before = loop {
            match reader.read()? {
                Met::Record(commit) => each(number, &commit, &reader.chain)?,
                Met::Sealed => break Some((reader.chain, reader.next)),
                Met::End if newest => break Some((reader.chain, reader.next)),
                Met::End if goes_on => break None,
                Met::End => return Err(StoreError::from(cut_off(*first, reader.next)).into()),
                Met::Invalid(what) => {
                    let at = reader.next;
                    if reader.pass_over(needs.anchor.filter(|_| newest))? && reader.next <= needs.from {
                        continue;
                    }
                    if newest {
                        return Ok(Replayed { reached: Seq(at.0 - 1), problem: Some(what) });
                    }
                    if !goes_on {
                        return Err(StoreError::Damaged(what).into());
                    }
                    break None;
                }
            }
        };
    }
    Ok(Replayed { reached: Seq(before.map_or(0, |(_, next)| next.0 - 1)), problem: None })
}
