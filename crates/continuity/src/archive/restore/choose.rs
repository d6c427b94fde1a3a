//! Chooses the line and the commit that a restore continues from: never another time than the requested one.
//!
//! Each restore starts its own line, so earlier attempts leave lines behind. Lines with only a restore's own commits
//! are ignored. If two other lines give different answers, only a person can choose.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use store::{Commit, Seq};

use super::{
    at::At,
    source::{Wish, is_damage},
};
use crate::archive::{
    ArchiveError, Result,
    catalog::Catalog,
    codec::Identities,
    format::{LineRecord, RunName},
    restorable::read_commits,
    target::Target,
};

/// The chosen line and commit.
pub(super) struct Chosen {
    pub(super) line: LineRecord,
    /// The last commit before the requested time, if the stated times of commits don't tell.
    pub(super) end: Option<Seq>,
    /// Notes about other lines.
    pub(super) notes: Vec<String>,
}

/// A line's own part: the commits after its parent commit.
#[derive(Debug, Clone)]
pub struct Life {
    /// The line.
    pub line: LineRecord,
    /// The first and the last of its own commits that are in runs; none when there are none.
    pub own: Option<(Seq, Seq)>,
    /// When the first and the last of them were made, in milliseconds since 1970.
    pub times_ms: Option<(i64, i64)>,
    /// It has user data, or a line that continues it does.
    pub counts: bool,
}

/// Reads a line's runs.
pub(super) struct Reader<'a> {
    pub(super) target: &'a Target,
    pub(super) catalog: &'a Catalog,
    pub(super) identities: &'a Identities,
}

impl Reader<'_> {
    /// A line's own runs, by their last commit.
    pub(super) fn own_runs(&self, line: &LineRecord) -> Vec<&RunName> {
        let fork = fork_of(line);
        let mut runs: Vec<&RunName> =
            self.catalog.runs.iter().filter(|run| run.line == line.line && run.last > fork).collect();
        runs.sort_by_key(|run| (run.last, run.first));
        runs
    }

    /// The commits of a run that are the line's own; nothing of one that can't be read.
    pub(super) async fn commits(&self, line: &LineRecord, run: &RunName) -> Result<Vec<Commit>> {
        match read_commits(self.target, self.catalog, run, self.identities).await {
            Ok(mut commits) => {
                commits.retain(|commit| commit.seq() > fork_of(line));
                Ok(commits)
            }
            Err(error) if is_damage(&error) => {
                tracing::warn!(%error, "could not read a line");
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }

    async fn life(&self, line: &LineRecord) -> Result<Life> {
        let runs = self.own_runs(line);
        let is_root = line.parent.as_ref().is_none_or(|parent| !self.catalog.lines.contains_key(&parent.line));
        let mut life = Life { line: line.clone(), own: None, times_ms: None, counts: is_root };
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else { return Ok(life) };
        life.own = Some((Seq(first.first.0.max(fork_of(line).0 + 1)), last.last));
        let begun = self.commits(line, first).await?.first().map(Commit::true_ms);
        let ended = self.commits(line, last).await?.last().map(Commit::true_ms);
        life.times_ms = begun.zip(ended);
        for run in &runs {
            if life.counts {
                break;
            }
            life.counts = self.commits(line, run).await?.iter().any(|commit| !commit.upkeep);
        }
        Ok(life)
    }

    /// The last of a line's own commits that was made at a moment or before, and when.
    async fn last_at(&self, line: &LineRecord, at_ms: i64) -> Result<Option<(Seq, i64)>> {
        if let Some(found) = self.mistimed_at(line, at_ms).await? {
            return Ok(Some(found));
        }
        let runs = self.own_runs(line);
        let (mut from, mut to) = (0, runs.len());
        let mut found = None;
        // The last run that begins at the moment or before it.
        while from < to {
            let middle = usize::midpoint(from, to);
            let commits = self.commits(line, runs[middle]).await?;
            let until = commits.iter().rfind(|commit| commit.time_ms <= at_ms);
            found = until.map(|commit| (commit.seq(), commit.true_ms())).or(found).max(found);
            if commits.first().is_none_or(|first| first.time_ms <= at_ms) {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        Ok(found)
    }

    /// The same, when a clock that was ahead hides it: the last commit behind one of the places where the clock was put
    /// right that was made at the moment or before.
    async fn mistimed_at(&self, line: &LineRecord, at_ms: i64) -> Result<Option<(Seq, i64)>> {
        let places = self.catalog.put_right.iter().filter(|place| place.line == line.line);
        let places = places.filter(|place| place.clock_ms <= at_ms && at_ms < place.stated_ms);
        let mut found: Option<(Seq, i64)> = None;
        for place in places {
            for run in self.own_runs(line).into_iter().filter(|run| run.last >= place.seq) {
                let commits = self.commits(line, run).await?;
                let mistimed = |commit: &&Commit| commit.seq() >= place.seq && commit.clock_ms != 0;
                let until = commits.iter().filter(mistimed).rfind(|commit| commit.true_ms() <= at_ms);
                found = until.map(|commit| (commit.seq(), commit.true_ms())).max(found);
                if commits.iter().any(|commit| commit.seq() >= place.seq && commit.true_ms() > at_ms) {
                    break;
                }
            }
        }
        Ok(found)
    }
}

pub(super) fn fork_of(line: &LineRecord) -> Seq {
    Seq(line.parent.as_ref().map_or(0, |parent| parent.seq))
}

/// The lines of an archive: from when until when each has commits, and whether it counts as a history.
///
/// # Errors
/// Those of the target.
pub async fn lives(target: &Target, catalog: &Catalog, identities: &Identities) -> Result<Vec<Life>> {
    let reader = Reader { target, catalog, identities };
    let mut lives: BTreeMap<String, Life> = BTreeMap::new();
    for line in catalog.lines.values() {
        lives.insert(line.line.clone(), reader.life(line).await?);
    }
    // What a line that counts goes on from counts too.
    let counting: Vec<String> = lives.values().filter(|life| life.counts).map(|life| life.line.line.clone()).collect();
    for mut name in counting {
        let mut steps = 0;
        while let Some(parent) = lives[&name].line.parent.as_ref().map(|parent| parent.line.clone())
            && let Some(life) = lives.get_mut(&parent)
            && steps <= catalog.lines.len()
        {
            life.counts = true;
            name = parent;
            steps += 1;
        }
    }
    let mut lives: Vec<Life> = lives.into_values().collect();
    lives.sort_by_key(|life| (life.line.created_ms, life.line.line.clone()));
    Ok(lives)
}

/// A time, for people.
pub(super) fn moment(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(
        |_| "an invalid time".to_owned(),
        |at| {
            let local = at.to_zoned_datetime(jiff::tz::TimeZone::system());
            let text = local.strftime("%Y-%m-%d %H:%M:%S %:z").to_string();
            let utc = at.strftime("%H:%M:%S");
            if local.offset().seconds() == 0 { text } else { format!("{text} ({utc} UTC)") }
        },
    )
}

fn until(life: &Life) -> String {
    life.times_ms.map_or_else(String::new, |(_, last)| format!(", made {}", moment(last)))
}

/// Chooses.
///
/// # Errors
/// [`ArchiveError::Nothing`] when only a person can choose: it names the lines, and what each has.
pub(super) async fn choose(catalog: &Catalog, wish: &Wish) -> Result<Chosen> {
    let reader = Reader { target: &wish.target, catalog, identities: &wish.identities };
    let by_name = catalog.line(wish.line.as_deref());
    if wish.line.is_some() || catalog.lines.len() <= 1 {
        let line = by_name?.clone();
        let lives =
            if catalog.lines.len() > 1 { lives(&wish.target, catalog, &wish.identities).await? } else { Vec::new() };
        return chosen(&reader, wish, line, &lives).await;
    }
    let lives = lives(&wish.target, catalog, &wish.identities).await?;
    let counting: Vec<&Life> = lives.iter().filter(|life| life.counts).collect();
    let parents: BTreeSet<&str> =
        counting.iter().filter_map(|life| Some(life.line.parent.as_ref()?.line.as_str())).collect();
    let leaves: Vec<&Life> =
        counting.iter().copied().filter(|life| !parents.contains(life.line.line.as_str())).collect();
    let Some(first) = leaves.first() else { return Err(by_name.err().unwrap_or_else(|| nothing("no line"))) };
    if let At::Commit(seq) = wish.at {
        let line = with_commit(catalog, seq, &counting, &leaves)?;
        return chosen(&reader, wish, line, &lives).await;
    }
    let Some(at_ms) = wish.at.moment_ms() else {
        if leaves.len() > 1 {
            let each = leaves.iter().map(|life| {
                let last =
                    life.own.map_or_else(|| "no commits of its own".to_owned(), |(_, last)| format!("commit {last}"));
                format!("--line {} ends with {last}{}", life.line.line, until(life))
            });
            let each: Vec<String> = each.collect();
            return Err(nothing(&format!(
                "the archive has {} histories; choose one: {}",
                leaves.len(),
                each.join("; ")
            )));
        }
        return chosen(&reader, wish, first.line.clone(), &lives).await;
    };
    // What each line's own part has nearest before the moment.
    let mut nearest: HashMap<&str, (Seq, i64)> = HashMap::new();
    for life in &counting {
        if let Some(found) = reader.last_at(&life.line, at_ms).await? {
            nearest.insert(&life.line.line, found);
        }
    }
    let answers = answers(catalog, &lives, &leaves, &nearest)?;
    let default = if leaves.len() == 1 { Some(*first) } else { None };
    let best = answers.values().map(|(_, made_ms)| *made_ms).max();
    let same = answers.len() <= 1;
    let default_is_best = default.is_some_and(|leaf| {
        answers.values().any(|(life, made_ms)| life.line.line == leaf.line.line && Some(*made_ms) == best)
    });
    if same || default_is_best {
        return chosen(&reader, wish, first.line.clone(), &lives).await;
    }
    Err(ambiguous(at_ms, &answers))
}

/// What can be meant by a moment, by line and commit: the life that gives it, and when it was made.
type Answers<'a> = BTreeMap<(String, Seq), (&'a Life, i64)>;

/// What each history has at the moment of which `nearest` is the last commit before, line by line.
fn answers<'a>(
    catalog: &Catalog,
    lives: &'a [Life],
    leaves: &[&'a Life],
    nearest: &HashMap<&str, (Seq, i64)>,
) -> Result<Answers<'a>> {
    let mut answers = Answers::new();
    for &leaf in leaves {
        for (record, upto) in catalog.path(&leaf.line)? {
            // Where the line before goes on beyond what this one took of it, that is another answer.
            let Some((seq, made_ms)) = nearest.get(record.line.as_str()).copied() else { continue };
            if seq <= upto {
                answers.insert((record.line.clone(), seq), (leaf, made_ms));
            } else {
                let life = lives.iter().find(|life| life.line.line == record.line);
                answers.insert((record.line.clone(), seq), (life.unwrap_or(leaf), made_ms));
                let fork = upto;
                answers.insert((record.line.clone(), fork), (leaf, i64::MIN));
            }
            break;
        }
        // The line before it may have gone on although this one has commits of its own by then.
        for (record, upto) in catalog.path(&leaf.line)?.into_iter().skip(1) {
            if let Some((seq, made_ms)) = nearest.get(record.line.as_str()).copied()
                && seq > upto
                && let Some(life) = lives.iter().find(|life| life.line.line == record.line)
            {
                answers.insert((record.line.clone(), seq), (life, made_ms));
            }
        }
    }
    Ok(answers)
}

/// More than one history has an answer: a person must choose.
fn ambiguous(at_ms: i64, answers: &Answers<'_>) -> ArchiveError {
    let each: Vec<String> = answers
        .iter()
        .map(|((_, seq), (life, made_ms))| {
            let made = if *made_ms == i64::MIN {
                " (where it starts)".to_owned()
            } else {
                format!(", made {}", moment(*made_ms))
            };
            format!("--line {} gives commit {seq}{made}", life.line.line)
        })
        .collect();
    nothing(&format!("at {} the archive has more than one history; choose one: {}", moment(at_ms), each.join("; ")))
}

/// The line by which a commit is reached. The same number means different commits in lines that have parted.
fn with_commit(catalog: &Catalog, seq: Seq, counting: &[&Life], leaves: &[&Life]) -> Result<LineRecord> {
    let own = |name: &str| counting.iter().find(|life| life.line.line == name);
    let has = |name: &str| own(name).and_then(|life| life.own).is_some_and(|(_, last)| seq <= last);
    // Whose commit it is, and by which line it is reached.
    let mut answers: BTreeMap<String, &LineRecord> = BTreeMap::new();
    for leaf in leaves {
        for (record, upto) in catalog.path(&leaf.line)? {
            if seq <= fork_of(&record) || !has(&record.line) {
                continue;
            }
            if seq <= upto {
                answers.insert(record.line.clone(), &leaf.line);
            } else if let Some(life) = own(&record.line) {
                // It continued on its own after the commit where the next line begins.
                answers.entry(record.line.clone()).or_insert(&life.line);
            }
        }
    }
    let told = |life: &Life| {
        let (first, last) = life.own?;
        Some(format!("--line {} has commits {first} to {last}{}", life.line.line, until(life)))
    };
    let mut found = answers.values();
    match (found.next(), found.next()) {
        (Some(line), None) => Ok((*line).clone()),
        (Some(_), Some(_)) => {
            let each: Vec<String> =
                counting.iter().filter(|life| answers.contains_key(&life.line.line)).filter_map(|l| told(l)).collect();
            Err(nothing(&format!("commit {seq} exists in more than one history; choose one: {}", each.join("; "))))
        }
        (None, _) => {
            let each: Vec<String> = counting.iter().filter_map(|life| told(life)).collect();
            Err(nothing(&format!("commit {seq} is not in the archive: {}", each.join("; "))))
        }
    }
}

/// # Errors
/// [`ArchiveError::Nothing`] when a line ends before a commit.
fn has_commit(catalog: &Catalog, line: &LineRecord, seq: Seq) -> Result<()> {
    let upto: HashMap<String, Seq> =
        catalog.path(line)?.into_iter().map(|(record, upto)| (record.line, upto)).collect();
    let runs = catalog.runs.iter().filter_map(|run| Some(run.last.min(*upto.get(&run.line)?)));
    let snapshots = catalog.snapshots.iter().map(|listed| &listed.name);
    let snapshots = snapshots.filter_map(|name| upto.get(&name.line).map(|upto| name.seq.min(*upto)));
    let last = runs.chain(snapshots).max().unwrap_or_default();
    if seq <= last {
        return Ok(());
    }
    Err(nothing(&format!("commit {seq} is not in the archive: line {} ends with commit {last}", line.line)))
}

pub(super) fn nothing(what: &str) -> ArchiveError {
    ArchiveError::Nothing(what.to_owned())
}

async fn chosen(reader: &Reader<'_>, wish: &Wish, line: LineRecord, lives: &[Life]) -> Result<Chosen> {
    let path: HashMap<String, Seq> =
        reader.catalog.path(&line)?.into_iter().map(|(record, upto)| (record.line, upto)).collect();
    let mut end = wish.at.commit();
    if let Some(seq) = end {
        has_commit(reader.catalog, &line, seq)?;
    }
    if let Some(at_ms) = wish.at.moment_ms() {
        for (record, upto) in reader.catalog.path(&line)? {
            if let Some((seq, _)) = reader.mistimed_at(&record, at_ms).await? {
                end = Some(seq.min(upto)).max(end);
            }
        }
    }
    let mut notes = Vec::new();
    for life in lives.iter().filter(|life| life.line.line != line.line && life.counts) {
        let Some((first, last)) = life.own else { continue };
        let after = path.get(&life.line.line).copied().unwrap_or(Seq(first.0 - 1));
        if last > after {
            let (name, count) = (&life.line.line, last.0 - after.0);
            notes.push(format!(
                "line {name} continues after the fork: {count} commits up to commit {last}{} are not restored; to get \
                 them, restore that line into another folder (`holdfast restore --line {name} --offline`) and merge it \
                 with `holdfast salvage FOLDER --scratch DIR`",
                until(life)
            ));
        }
    }
    Ok(Chosen { line, end, notes })
}
