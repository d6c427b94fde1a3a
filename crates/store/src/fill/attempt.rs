//! Rebuilding a stretch of the log from what is readable here and, for the rest, from what donors give.

use std::{
    collections::{BTreeMap, VecDeque},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    LogDonor, scratch_path,
    stretches::{Known, Stretch},
};
use crate::{
    Cause, Commit, Damaged, Part, PeerFault, Result, Seq, StoreError, StoreOptions,
    disk::{Disk, File},
    log::{self, Chain, Footer, Met, SegmentReader, frame, read_run, segment_path},
};

/// What came of it.
pub(super) enum Outcome {
    Made(Made),
    /// Why it can't be made.
    Lacks(String),
}

/// Segments that lead from the chain before the stretch to the one behind it, under names of their own.
pub(super) struct Made {
    log_dir: PathBuf,
    firsts: Vec<Seq>,
    /// Commits that came from donors.
    pub came: u64,
    /// Which donors gave some.
    pub from: Vec<String>,
}

impl Made {
    /// Gives them their names. What had them must be elsewhere.
    pub fn put_in_place(&self, disk: &dyn Disk) -> Result<()> {
        for first in &self.firsts {
            let path = segment_path(&self.log_dir, *first);
            disk.rename(&scratch_path(&self.log_dir, *first), &path)
                .map_err(StoreError::io(path.display().to_string()))?;
        }
        disk.sync_dir(&self.log_dir).map_err(StoreError::io(self.log_dir.display().to_string()))
    }

    fn discard(&self, disk: &dyn Disk) {
        for first in &self.firsts {
            let _ = disk.remove(&scratch_path(&self.log_dir, *first));
        }
    }
}

/// One try, and what it has learnt.
pub(super) struct Attempt<'a> {
    log_dir: PathBuf,
    options: &'a StoreOptions,
    known: &'a Known,
    stretch: &'a Stretch,
    /// Donors that can't help with this stretch, by number, and why.
    passed_over: BTreeMap<usize, String>,
    /// Why the others did not have what they were asked for last.
    lacking: Vec<String>,
    /// One of them could not be asked.
    pub unanswered: bool,
}

/// How a try ended.
enum Ended {
    Made(Made),
    /// What came last is not what belongs there.
    Diverged,
    Lacks(String),
}

impl<'a> Attempt<'a> {
    pub fn new(dir: &Path, options: &'a StoreOptions, known: &'a Known, stretch: &'a Stretch) -> Self {
        let log_dir = dir.join("log");
        Self { log_dir, options, known, stretch, passed_over: BTreeMap::new(), lacking: Vec::new(), unanswered: false }
    }

    /// Makes the stretch of what is readable here and of what donors have, else of what donors have alone.
    pub fn make(
        &mut self,
        donors: &mut [&mut dyn LogDonor],
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Outcome> {
        let mut with_own = !self.stretch.old.is_empty();
        let mut first_why = None;
        // Each try that fails passes over one more donor, or goes on without what is here.
        loop {
            let mut last_donor = None;
            let ended = self.try_once(donors, with_own, &mut last_donor, progress)?;
            match (ended, last_donor) {
                (Ended::Made(made), _) => return Ok(Outcome::Made(made)),
                (Ended::Diverged, Some(donor)) => {
                    let why = format!("{} has another history", donors[donor].name());
                    self.passed_over.insert(donor, why);
                }
                (Ended::Diverged, None) if with_own => {
                    with_own = false;
                    self.passed_over.clear();
                }
                (Ended::Diverged, None) => {
                    let why = first_why.unwrap_or_else(|| "what is here does not fit together".to_owned());
                    return Ok(Outcome::Lacks(why));
                }
                // What is here may be what is wrong.
                (Ended::Lacks(why), _) if with_own && !donors.is_empty() && !self.unanswered => {
                    first_why = Some(why);
                    with_own = false;
                    self.passed_over.clear();
                }
                (Ended::Lacks(why), _) => return Ok(Outcome::Lacks(first_why.unwrap_or(why))),
            }
        }
    }

    fn try_once(
        &mut self,
        donors: &mut [&mut dyn LogDonor],
        with_own: bool,
        last_donor: &mut Option<usize>,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Ended> {
        let stretch = self.stretch;
        let mut own = Own::new(self, if with_own { &stretch.old } else { &[] });
        let mut out = Output::new(self, stretch.before);
        let mut epoch = stretch.epoch.max(self.known.epoch.unwrap_or_default());
        let anchor = self.known.anchor.filter(|(seq, _)| *seq >= stretch.first);
        loop {
            let next = out.next;
            if stretch.to.is_some_and(|(last, _)| next > last) {
                break;
            }
            let here = own.at(next)?;
            if let (Some(_), Some((commit, stated))) = (out.chain, here) {
                epoch = epoch.max(commit.epoch);
                let after = out.push(&commit)?;
                if after != stated || anchor.is_some_and(|(seq, chain)| seq == commit.seq() && chain != after) {
                    return Ok(out.given_up(Ended::Diverged));
                }
            } else {
                let all = stretch.to.map_or(stretch.seen, |(last, _)| last);
                progress("commits", next.0 - stretch.first.0, (all.0 + 1).saturating_sub(stretch.first.0));
                let limit = stretch.to.is_none().then_some(epoch).filter(|epoch| *epoch > 0);
                match self.ask(donors, next, out.chain, limit) {
                    Some((donor, before, commits)) => {
                        *last_donor = Some(donor);
                        out.chain.get_or_insert(before);
                        out.note(donors[donor].name());
                        for commit in commits {
                            if stretch.to.is_some_and(|(last, _)| commit.seq() > last) || own.is_at(commit.seq())? {
                                break;
                            }
                            let after = out.push(&commit)?;
                            out.came += 1;
                            if anchor.is_some_and(|(seq, chain)| seq == commit.seq() && chain != after) {
                                return Ok(out.given_up(Ended::Diverged));
                            }
                        }
                    }
                    None if stretch.to.is_none() && own.is_over()? && Seq(next.0 - 1) >= stretch.seen => break,
                    None => {
                        let upto = own.next_seq()?.map(|seq| Seq(seq.0 - 1)).or(stretch.to.map(|(last, _)| last));
                        let upto = upto.unwrap_or_else(|| stretch.seen.max(next));
                        return Ok(out.given_up(Ended::Lacks(self.why(next, upto))));
                    }
                }
            }
        }
        match stretch.to {
            Some((_, chain)) if out.chain != Some(chain) => Ok(out.given_up(Ended::Diverged)),
            to => Ok(Ended::Made(out.finish(to.is_some())?)),
        }
    }

    /// The commits from `next` on, from the first donor that has them and whose log is ours up to there; and the chain
    /// before them. `limit`: the last epoch that is taken.
    fn ask(
        &mut self,
        donors: &mut [&mut dyn LogDonor],
        next: Seq,
        chain: Option<Chain>,
        limit: Option<u64>,
    ) -> Option<(usize, Chain, Vec<Commit>)> {
        self.lacking.clear();
        for (number, donor) in donors.iter_mut().enumerate() {
            if self.passed_over.contains_key(&number) {
                continue;
            }
            let name = donor.name();
            let why = match donor.run(next) {
                Err(error) => {
                    self.unanswered = true;
                    self.passed_over.insert(number, format!("{name} can't be asked: {error}"));
                    continue;
                }
                Ok(None) => format!("{name} does not have commit {next}"),
                Ok(Some(bytes)) => match read_from(bytes, next) {
                    Err(error) => format!("what {name} gives is damaged: {error}"),
                    Ok((before, _)) if chain.is_some_and(|chain| chain != before) => {
                        format!("{name} has another history before commit {next}")
                    }
                    Ok((before, mut commits)) => {
                        let later = commits.iter().position(|commit| limit.is_some_and(|limit| commit.epoch > limit));
                        commits.truncate(later.unwrap_or(commits.len()));
                        if !commits.is_empty() {
                            return Some((number, before, commits));
                        }
                        format!("commit {next} of {name} was written after another machine was promoted")
                    }
                },
            };
            self.lacking.push(why);
        }
        None
    }

    fn why(&self, next: Seq, upto: Seq) -> String {
        let upto = upto.max(next);
        let which = if upto == next { format!("commit {next}") } else { format!("commits {next} to {upto}") };
        let donors: Vec<&str> = self.passed_over.values().chain(&self.lacking).map(String::as_str).collect();
        let donors = if donors.is_empty() { "nobody can be asked".to_owned() } else { donors.join("; ") };
        format!("{which} could not be had: {donors}")
    }
}

/// The commits of a run from `next` on, and the log's chain before that.
fn read_from(bytes: Vec<u8>, next: Seq) -> Result<(Chain, Vec<Commit>)> {
    let (mut before, mut commits) = (None, Vec::new());
    let run = read_run(bytes, |commit, chain| {
        if commit.seq() >= next {
            commits.push(commit);
        } else {
            before = Some(*chain);
        }
        Ok(())
    })?;
    if commits.first().is_none_or(|commit| commit.seq() != next) {
        return Err(Damaged::new(Part::Run, Cause::Order).commit(next).because("that commit is not in it").into());
    }
    Ok((before.unwrap_or(run.before), commits))
}

/// Whatever commits are readable in damaged segments, in order.
struct Own {
    log_dir: PathBuf,
    disk: Arc<dyn Disk>,
    anchor: Option<(Seq, Chain)>,
    files: VecDeque<Seq>,
    reader: Option<SegmentReader>,
    /// The next one, and the chain that it states.
    next: Option<(Box<Commit>, Chain)>,
}

impl Own {
    fn new(attempt: &Attempt<'_>, files: &[Seq]) -> Self {
        Self {
            log_dir: attempt.log_dir.clone(),
            disk: attempt.options.disk.clone(),
            anchor: attempt.known.anchor,
            files: files.iter().copied().collect(),
            reader: None,
            next: None,
        }
    }

    /// Goes on to the next commit that is readable, if there is none at hand.
    fn look(&mut self) -> Result<Option<&(Box<Commit>, Chain)>> {
        while self.next.is_none() {
            let Some(reader) = &mut self.reader else {
                let Some(first) = self.files.pop_front() else { return Ok(None) };
                let (disk, dir) = (&*self.disk, &self.log_dir);
                let mut reader = match SegmentReader::open(disk, dir, first) {
                    Err(StoreError::Damaged { .. }) => SegmentReader::open_without_header(disk, dir, first)?,
                    other => {
                        self.reader = Some(other?);
                        continue;
                    }
                };
                self.reader = go_on_behind(&mut reader, self.anchor)?.then_some(reader);
                continue;
            };
            match reader.read()? {
                Met::Record(commit) => self.next = Some((commit, *reader.chain())),
                Met::Invalid(_) if go_on_behind(reader, self.anchor)? => {}
                Met::Invalid(_) | Met::End | Met::Sealed => self.reader = None,
            }
        }
        Ok(self.next.as_ref())
    }

    /// Takes the commit `seq`, if it is readable here.
    fn at(&mut self, seq: Seq) -> Result<Option<(Box<Commit>, Chain)>> {
        while self.look()?.is_some_and(|(commit, _)| commit.seq() < seq) {
            self.next = None;
        }
        Ok(self.next.take_if(|(commit, _)| commit.seq() == seq))
    }

    fn next_seq(&mut self) -> Result<Option<Seq>> {
        Ok(self.look()?.map(|(commit, _)| commit.seq()))
    }

    fn is_at(&mut self, seq: Seq) -> Result<bool> {
        Ok(self.next_seq()? == Some(seq))
    }

    fn is_over(&mut self) -> Result<bool> {
        Ok(self.look()?.is_none())
    }
}

/// Goes on behind what is damaged, if something readable stands there.
fn go_on_behind(reader: &mut SegmentReader, anchor: Option<(Seq, Chain)>) -> Result<bool> {
    Ok((anchor.is_some() && reader.pass_over(anchor)?) || reader.pass_over(None)?)
}

/// Segments in the making.
struct Output {
    disk: Arc<dyn Disk>,
    log_dir: PathBuf,
    segment_bytes: u64,
    chain: Option<Chain>,
    next: Seq,
    time_ms: i64,
    file: Option<Arc<dyn File>>,
    len: u64,
    made: Vec<Seq>,
    came: u64,
    from: Vec<String>,
}

impl Output {
    fn new(attempt: &Attempt<'_>, chain: Option<Chain>) -> Self {
        Self {
            disk: attempt.options.disk.clone(),
            log_dir: attempt.log_dir.clone(),
            segment_bytes: attempt.options.segment_bytes,
            chain,
            next: attempt.stretch.first,
            time_ms: 0,
            file: None,
            len: 0,
            made: Vec::new(),
            came: 0,
            from: Vec::new(),
        }
    }

    fn note(&mut self, donor: String) {
        if !self.from.contains(&donor) {
            self.from.push(donor);
        }
    }

    /// Appends the next commit; gives the log's chain after it.
    fn push(&mut self, commit: &Commit) -> Result<Chain> {
        let before = self.chain.ok_or_else(|| {
            Damaged::new(Part::Log, Cause::Chain).commit(self.next).because("the chain before it is not known")
        })?;
        if commit.seq() != self.next {
            return Err(StoreError::Peer(PeerFault::WrongCommit { found: commit.seq(), expected: self.next }));
        }
        if self.file.is_some() && self.len >= self.segment_bytes {
            self.close(true)?;
        }
        if self.file.is_none() {
            self.begin(&before)?;
        }
        let mut bytes = Vec::new();
        let chain = frame(commit, before, &mut bytes);
        self.write(&bytes)?;
        (self.chain, self.time_ms) = (Some(chain), commit.time_ms);
        self.next.0 += 1;
        Ok(chain)
    }

    fn begin(&mut self, before: &Chain) -> Result<()> {
        let path = scratch_path(&self.log_dir, self.next);
        let name = || path.display().to_string();
        // What a crash left of a try before.
        match self.disk.remove(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(StoreError::io(name())(error)),
            _ => {}
        }
        self.disk.create_dir(&self.log_dir).map_err(StoreError::io(name()))?;
        self.file = Some(self.disk.create(&path).map_err(StoreError::io(name()))?);
        self.len = 0;
        self.made.push(self.next);
        self.write(&log::header_bytes(self.next, before))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let file = self.file.as_ref().expect("it was begun");
        file.write_at(bytes, self.len).map_err(StoreError::io(self.log_dir.display().to_string()))?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn close(&mut self, sealed: bool) -> Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        if sealed {
            let chain = self.chain.expect("a commit was written");
            let footer = Footer { chain, last: Seq(self.next.0 - 1), time_ms: self.time_ms };
            self.write(&footer.to_bytes())?;
        }
        let file = self.file.take().expect("it was begun");
        file.sync().map_err(StoreError::io(self.log_dir.display().to_string()))
    }

    fn finish(mut self, sealed: bool) -> Result<Made> {
        self.close(sealed)?;
        Ok(self.made())
    }

    fn made(self) -> Made {
        Made { log_dir: self.log_dir, firsts: self.made, came: self.came, from: self.from }
    }

    fn given_up(self, ended: Ended) -> Ended {
        let disk = self.disk.clone();
        self.made().discard(&*disk);
        ended
    }
}
