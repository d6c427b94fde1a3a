//! From when until when an archive can be restored.

use store::Seq;

use super::{
    at::At,
    choose::{Reader, moment, nothing},
    source::{Source, is_damage},
};
use crate::archive::{ArchiveError, Result};

/// A commit, and when it was made, in milliseconds since 1970, where that could be read.
type Made = (Seq, Option<i64>);

impl Source<'_> {
    /// The first and the last commit that can be restored of the chosen line.
    pub(super) async fn window(&self) -> Result<Option<(Made, Made)>> {
        let target = &self.wish.target;
        let reader = Reader { target, catalog: &self.catalog, identities: &self.wish.identities };
        let made = async |run: Option<&crate::archive::format::RunName>, first: bool| {
            let Some((run, line)) = run.and_then(|run| Some((run, self.catalog.lines.get(&run.line)?))) else {
                return Ok(None);
            };
            let commits = reader.commits(line, run).await?;
            let commit = if first { commits.first() } else { commits.last() };
            Ok::<_, ArchiveError>(commit.map(store::Commit::true_ms))
        };
        let upto = |line: &str| self.upto.get(line).copied().unwrap_or_default();
        let mut first: Option<Made> = None;
        if let Some(run) = self.runs.first().filter(|run| run.first == Seq(1)) {
            first = Some((Seq(1), made(Some(run), true).await?));
        }
        let mut good: Vec<_> = self.catalog.snapshots.iter().filter(|listed| listed.good).collect();
        good.retain(|listed| listed.name.seq <= upto(&listed.name.line));
        good.sort_by_key(|listed| listed.name.seq);
        for listed in &good {
            if first.is_some() {
                break;
            }
            match self.catalog.manifest(target, &listed.name).await {
                Ok(manifest) => first = Some((Seq(manifest.seq), Some(manifest.time_ms))),
                Err(error) if is_damage(&error) => {}
                Err(error) => return Err(error),
            }
        }
        let run = self.runs.iter().max_by_key(|run| run.last.min(upto(&run.line)));
        let end = run.map(|run| run.last.min(upto(&run.line)));
        let newest = good.last().map(|listed| listed.name.seq);
        let last = match (end, newest) {
            (Some(end), newest) if newest.is_none_or(|newest| newest <= end) => (end, made(run, false).await?),
            (_, Some(newest)) => (newest, None),
            _ => return Ok(None),
        };
        Ok(first.map(|first| (first, last)))
    }

    /// What is said when a wish is for something before everything that can be restored.
    pub(super) async fn before_everything(&self) -> Result<ArchiveError> {
        let (target, line) = (self.wish.target.name(), &self.line);
        let Some((first, last)) = self.window().await? else {
            return Ok(nothing(&format!("{target}: line {line} has no good snapshot")));
        };
        let told = |(seq, at): Made| {
            let made = at.map_or_else(String::new, |at| format!(", made {}", moment(at)));
            format!("commit {seq}{made}")
        };
        let what = match self.wish.at {
            At::Moment(at) => moment(at),
            At::Commit(seq) => format!("commit {seq}"),
            At::Last => "the last commit".to_owned(),
        };
        Ok(nothing(&format!(
            "{target}: {what} is before the restorable part of line {line}, which starts with {} and ends with {}",
            told(first),
            told(last)
        )))
    }
}
