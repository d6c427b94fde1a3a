//! Reading everything of a store that is open, slowly, while everybody works on.

use std::collections::BTreeSet;

use super::{Files, given_up, read_segment};
use crate::{
    Cause, Damaged, Invariants, Part, Report, Result, Seq, Store, StoreError, checkpoint,
    index::meta,
    log::{self, SegmentReader},
    read::Read as _,
};

/// What is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The log's commits.
    Log,
    /// Checkpoints.
    Checkpoints,
    /// Records, realm by realm. Counted in commits of the realms.
    Records,
    /// Bodies.
    Bodies,
}

impl Reading {
    /// All, in the order in which they are read.
    pub const ALL: [Self; 4] = [Self::Log, Self::Checkpoints, Self::Records, Self::Bodies];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Checkpoints => "checkpoints",
            Self::Records => "records",
            Self::Bodies => "bodies",
        }
    }
}

/// Told what is being read, units done and units in all, after each small piece of work: it may take its time, so that the
/// disk has some for people. `false` ends the check.
pub type Told<'a> = &'a dyn Fn(Reading, u64, u64) -> bool;

/// Commits that are read before anyone is asked whether to go on.
const COMMITS_BETWEEN: u64 = 16;

/// A segment that ends before what had been durable when it was opened.
fn cut_off_before(name: &str, from: Seq, durable: Seq) -> Damaged {
    let what = Damaged::new(Part::Segment, Cause::CutOff).file(name).commit(from);
    log::unreadable(what, from, durable)
}

impl Store {
    /// Reads everything that is stored and compares it with what it must be, as [`crate::verify`] does with a closed store,
    /// while everybody works on. What is damaged stands in [`Store::damage`] from then on, and what is not, not any more.
    /// What was written after it began may be left out. Blocks for long: not for async threads.
    ///
    /// # Errors
    /// [`StoreError::Stopped`] when `told` said no; those that keep the check from going on. What is damaged is in the
    /// report.
    pub fn verify_running(&self, invariants: &[&dyn Invariants], told: Told<'_>) -> Result<Report> {
        let (mut report, mut found) = (Report::default(), Files::new());
        self.read_log(&mut report, &mut found, told)?;
        self.read_checkpoints(&mut report, &mut found, told)?;
        let was_read = |name: &str| name.starts_with("log/") || name.starts_with("checkpoints/");
        self.inner.findings.replace(was_read, &found);
        report.damage.extend(found.into_values());
        self.read_records(invariants, &mut report, told)?;
        let go_on = |done, total| told(Reading::Bodies, done, total);
        let bodies = self.scrub_bodies_told(0, 1, &go_on)?;
        report.bodies = bodies.bodies;
        report.damage.extend(bodies.damage);
        report.damage.sort_by_key(ToString::to_string);
        report.damage.dedup();
        Ok(report)
    }

    fn read_log(&self, report: &mut Report, found: &mut Files, told: Told<'_>) -> Result<()> {
        let (disk, dir) = (&*self.inner.options.disk, self.dir().join("log"));
        let name_of = |first: Seq| format!("log/{:020}.log", first.0);
        let begins = meta::first(&*self.inner.index.view())?;
        let end = self.seq();
        let (mut next, mut chain) = (begins, None);
        loop {
            // Segment by segment, so that the daily work does not wait for all of it; none is dropped while it is read.
            let _alone = self.inner.maintenance.lock();
            let kept_from = meta::first(&*self.inner.index.view())?;
            if kept_from > next {
                (next, chain) = (kept_from, None);
            }
            let firsts = log::segments(disk, &dir)?;
            let durable = self.seq();
            let Some(first) = firsts.iter().copied().find(|first| *first >= next) else {
                if next.0 <= durable.0 {
                    found.insert(name_of(next), log::missing_commits(next, durable));
                }
                return Ok(());
            };
            let newest = firsts.last() == Some(&first);
            if first > next && chain.is_none_or(|(_, ends)| ends) {
                let missing = log::missing_commits(next, Seq(first.0 - 1));
                found.insert(name_of(next), missing);
                chain = None;
            }
            let name = name_of(first);
            let (mut reader, header) = match SegmentReader::open_around(disk, &dir, first) {
                Err(StoreError::Damaged(what)) => {
                    found.insert(name, *what);
                    let behind = firsts.iter().copied().find(|behind| *behind > first);
                    let Some(behind) = behind else { return Ok(()) };
                    (next, chain) = (behind, None);
                    continue;
                }
                other => other?,
            };
            if let Some((before, true)) = chain
                && header.is_none()
                && before != *reader.chain()
            {
                found.insert(name.clone(), log::not_following(first));
            }
            found.extend(header.map(|what| (name.clone(), *what)));
            let (problem, whole) = read_segment(first, &mut reader, newest, &mut |seq| {
                report.commits += 1;
                let done = seq.0.saturating_sub(begins.0);
                let asks = seq.0.is_multiple_of(COMMITS_BETWEEN);
                if asks && !told(Reading::Log, done, end.0.saturating_sub(begins.0) + 1) {
                    return Err(given_up());
                }
                Ok(())
            })?;
            let reached = Seq(reader.next_seq().0 - 1);
            // What is written behind that is not there yet; what was durable before must be.
            let cut_off = newest && reached < durable;
            let problem = problem.or_else(|| cut_off.then(|| cut_off_before(&name, reader.next_seq(), durable)));
            if let Some(what) = problem {
                found.entry(name).or_insert(what);
            }
            if newest {
                return Ok(());
            }
            chain = Some((*reader.chain(), whole));
            next = reader.next_seq().max(Seq(first.0 + 1));
        }
    }

    fn read_checkpoints(&self, report: &mut Report, found: &mut Files, told: Told<'_>) -> Result<()> {
        let (disk, dir) = (&*self.inner.options.disk, self.dir().join("checkpoints"));
        let mut read = BTreeSet::new();
        loop {
            let _alone = self.inner.maintenance.lock();
            let all = checkpoint::list(disk, &dir)?;
            let Some(seq) = all.iter().copied().find(|seq| !read.contains(seq)) else { return Ok(()) };
            let (done, total) = (read.len() as u64, all.len() as u64);
            let mut pieces = 0_u64;
            let outcome = checkpoint::read(disk, &dir, seq, &mut |_| {
                pieces += 1;
                let asks = pieces.is_multiple_of(super::RECORDS_BETWEEN);
                if asks && !told(Reading::Checkpoints, done, total) { Err(given_up()) } else { Ok(()) }
            });
            match outcome {
                Ok(_) => report.checkpoints += 1,
                Err(StoreError::Damaged(what)) => {
                    found.insert(format!("checkpoints/{:020}.ckpt", seq.0), *what);
                }
                Err(error) => return Err(error),
            }
            read.insert(seq);
        }
    }

    fn read_records(&self, invariants: &[&dyn Invariants], report: &mut Report, told: Told<'_>) -> Result<()> {
        let realms = self.realms();
        let commits = |realm| self.snapshot().realm_seq(realm).0.max(1);
        let total = realms.iter().map(|realm| commits(*realm)).sum();
        let mut done = 0;
        for realm in realms {
            let go_on = || told(Reading::Records, done, total);
            if !go_on() {
                return Err(given_up());
            }
            let one = self.scrub_realm(realm, invariants, false, &go_on)?;
            report.records += one.records;
            report.realms += one.realms;
            report.damage.extend(one.damage);
            done += commits(realm);
        }
        Ok(())
    }
}
