//! The archived log, read from one commit to another.

use std::collections::HashMap;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use store::{
    Cause, Commit, Seq,
    log::{Chain, read_run},
};

use super::source::{Point, READS, Source, is_damage};
use crate::archive::{
    ArchiveError, Event, Result, blocking,
    format::{self, RunName},
    target::fetch,
};

/// Runs that are fetched before they are needed.
const RUNS_AHEAD: usize = 16;

/// The log as read.
#[derive(Default)]
pub(super) struct Log {
    /// Commits after the snapshot's.
    pub commits: u64,
    /// The last of them.
    pub last: Option<Point>,
    /// The commit after the last one that was read.
    pub next: Seq,
    /// Missing commits with later ones after them.
    pub missing: Option<String>,
    /// The same, when a moment was named: it may be the one before what is missing.
    pub uncertain: Option<String>,
    /// The first and the last commit that belong to the moment although they state a later time.
    pub mistimed: Option<(Seq, Seq)>,
}

impl Log {
    /// A commit was read; `base` is the snapshot's, and the wished moment may be before its time.
    fn read(&mut self, commit: &Commit, chain: Chain, base: Seq, moment_ms: Option<i64>) {
        let (seq, time_ms) = (commit.seq(), Some(commit.time_ms));
        self.next = Seq(seq.0 + 1);
        if seq > base {
            self.commits += 1;
            if moment_ms.is_some_and(|moment| commit.time_ms > moment) {
                self.mistimed = Some((self.mistimed.map_or(seq, |(first, _)| first), seq));
            }
            self.last = Some(Point { seq, chain, epoch: commit.epoch, time_ms });
        }
    }
}

impl Source<'_> {
    /// Reads the commits after `start` up to the wished moment, or up to `end`, checking that they follow from each
    /// other and from `base`, the snapshot's.
    pub(super) async fn scan_log(
        &self,
        start: Seq,
        base: Point,
        end: Option<Seq>,
        each: &mut (dyn FnMut(&Commit) -> Result<()> + Send),
    ) -> Result<Log> {
        // The chain before an earlier start is what its first run says; at the base it must be the snapshot's.
        let mut at: Option<(Seq, Chain)> = (start == base.seq).then_some((base.seq, base.chain));
        let mut log = Log { next: Seq(start.0 + 1), ..Log::default() };
        let newest = self.runs.iter().map(|run| run.last).max().unwrap_or_default();
        let total = newest.0.saturating_sub(start.0);
        let mut problems: Vec<String> = Vec::new();
        let mut ahead: HashMap<String, Result<Bytes>> = HashMap::new();
        let mut reached_moment = false;
        let mut moment_end = self.end;
        'runs: loop {
            if end.or(self.wish.at.commit()).is_some_and(|end| log.next > end) {
                reached_moment = true;
                break;
            }
            (self.say)(Event::Progress { what: "commits", done: log.next.0 - start.0 - 1, total });
            let next = log.next;
            for run in self.runs_with(next) {
                let object = run.to_string();
                if !ahead.contains_key(&object) {
                    ahead = self.fetch_ahead(next).await;
                }
                let commits = match self.run(run, ahead.remove(&object), next, at).await {
                    Ok(commits) => commits,
                    Err(error) if is_damage(&error) => {
                        self.line_out(format!("SKIPPED: {error}"));
                        problems.push(error.to_string());
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let upto = self.upto[&run.line];
                for (commit, chain) in commits {
                    if commit.seq() > upto {
                        break;
                    }
                    // The snapshot's own commits are wanted even when the clock has gone back since.
                    let over = commit.seq() > base.seq && self.is_over(&commit, &mut moment_end);
                    if over || end.is_some_and(|end| commit.seq() > end) {
                        reached_moment = true;
                        break 'runs;
                    }
                    if commit.seq() == base.seq && chain != base.chain {
                        let what = "its log does not match the snapshot";
                        return Err(ArchiveError::damaged(Cause::Chain, &object, what));
                    }
                    each(&commit)?;
                    at = Some((commit.seq(), chain));
                    log.read(&commit, chain, base.seq, self.wish.at.moment_ms());
                }
                // Another copy of what could not be read was whole.
                problems.clear();
                continue 'runs;
            }
            break;
        }
        if !reached_moment {
            self.note_missing(&mut log, base, &problems);
        }
        Ok(log)
    }

    /// The runs that have a commit, the one that reaches furthest first.
    fn runs_with(&self, seq: Seq) -> Vec<&RunName> {
        let has_it = |run: &&RunName| run.first <= seq && seq <= run.last.min(self.upto[&run.line]);
        let mut runs: Vec<&RunName> = self.runs.iter().filter(has_it).collect();
        runs.sort_by_key(|run| std::cmp::Reverse(run.last));
        runs
    }

    /// Notes what is missing behind a log that ends before the wished moment: something further on, or what could not be
    /// read, shows that there was more.
    fn note_missing(&self, log: &mut Log, base: Point, problems: &[String]) {
        let beyond = self.runs.iter().any(|run| run.first >= log.next && run.first <= self.upto[&run.line]);
        if !beyond && problems.is_empty() {
            return;
        }
        let reached = log.last.map_or(base.seq, |last| last.seq);
        let when = log.last.and_then(|last| jiff::Timestamp::from_millisecond(last.time_ms?).ok());
        let what = format!(
            "commits after {reached}{} can't be read{}",
            when.map(|when| format!(" (made {when})")).unwrap_or_default(),
            problems.first().map(|first| format!(": {first}")).unwrap_or_default()
        );
        if self.wish.at.moment_ms().is_some() {
            log.uncertain = Some(format!("{what}: commits at or before that time, if any, are missing in the result"));
        }
        log.missing = Some(what);
    }

    /// Whether a commit is later than the moment. `end`: the last commit that is not, once that is known.
    fn is_over(&self, commit: &Commit, end: &mut Option<Seq>) -> bool {
        if let Some(end) = end {
            return commit.seq() > *end;
        }
        let Some(at) = self.wish.at.moment_ms() else { return false };
        if commit.true_ms() <= at {
            return false;
        }
        // Made while the clock was ahead, and before a commit that shows it.
        let shows = |place: &&format::PutRight| {
            self.upto.get(&place.line).is_some_and(|upto| place.seq <= *upto)
                && place.seq > commit.seq()
                && place.clock_ms > at
                && place.clock_ms < commit.true_ms()
        };
        *end = self.catalog.put_right.iter().filter(shows).map(|place| Seq(place.seq.0 - 1)).min();
        end.is_none()
    }

    /// The note about commits whose stated times are too late.
    pub(super) fn mistimed(log: &Log) -> Option<String> {
        let (first, last) = log.mistimed?;
        Some(format!(
            "commits {first} to {last} have later times than they should, because the clock was ahead; they are included"
        ))
    }

    /// The commits of a run from `next` on, which must follow from the commit `at`.
    async fn run(
        &self,
        run: &RunName,
        fetched: Option<Result<Bytes>>,
        next: Seq,
        at: Option<(Seq, Chain)>,
    ) -> Result<Vec<(Commit, Chain)>> {
        let bytes = match fetched {
            Some(fetched) => fetched?,
            None => fetch(&self.wish.target, &run.to_string()).await?,
        };
        self.count(bytes.len());
        let bytes = self.catalog.sealed_run(run, &bytes)?;
        let (identities, name) = (self.wish.identities.clone(), run.to_string());
        blocking(move || {
            let mut commits = Vec::new();
            let before = read_run(identities.open(&name, &bytes, format::MAX_RUN_BYTES)?, |commit, chain| {
                commits.push((commit, *chain));
                Ok(())
            })
            .map_err(|error| ArchiveError::of_run(&name, error))?;
            // What leads up to the first one that is wanted must be what is there.
            if let Some((seq, chain)) = at {
                let found = match seq.0.checked_sub(before.first.0) {
                    None => Some(before.before),
                    Some(place) => commits.get(place as usize).map(|(_, chain)| *chain),
                };
                if found != Some(chain) {
                    return Err(ArchiveError::damaged(Cause::Chain, &name, "it does not follow the commit before it"));
                }
            }
            commits.retain(|(commit, _)| commit.seq() >= next);
            Ok(commits)
        })
        .await
    }

    /// The next runs, fetched together: there may be many small ones.
    async fn fetch_ahead(&self, next: Seq) -> HashMap<String, Result<Bytes>> {
        let ahead = self.runs.iter().filter(|run| run.last >= next).take(RUNS_AHEAD);
        let names: Vec<String> = ahead.map(ToString::to_string).collect();
        stream::iter(names)
            .map(|name| async move {
                let bytes = fetch(&self.wish.target, &name).await;
                (name, bytes)
            })
            .buffer_unordered(READS)
            .collect()
            .await
    }
}
