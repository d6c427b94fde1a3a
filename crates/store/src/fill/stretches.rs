//! What of the log is not whole: from one known chain to the next.

use std::path::Path;

use crate::{
    Result, Seq, StoreError, StoreOptions,
    log::{self, Chain, Met, SegmentReader, is_torn_header},
};

/// What others than the log itself say of it.
#[derive(Default)]
pub(super) struct Known {
    /// What the index holds, and the log's chain there.
    pub anchor: Option<(Seq, Chain)>,
    /// The last commit that anyone has seen.
    pub seen: Seq,
    /// The log's first commit.
    pub begins: Seq,
    /// The epoch of this machine.
    pub epoch: Option<u64>,
    /// The newest segment is being written to: it is not looked at.
    pub is_open: bool,
}

/// A part of the log that must be rebuilt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Its first commit.
    pub first: Seq,
    /// The log's chain before that, where it is known.
    pub before: Option<Chain>,
    /// The segments that it takes the place of.
    pub old: Vec<Seq>,
    /// Its last commit and the chain there; none at the log's end.
    pub to: Option<(Seq, Chain)>,
    /// The epoch of the last commit before it that can be read; 0 when there is none.
    pub epoch: u64,
    /// The last commit that it must hold at the log's end.
    pub seen: Seq,
    /// What is wrong.
    pub what: String,
}

/// What a segment's file is called below the data folder.
pub(super) fn name_of(first: Seq) -> String {
    format!("log/{:020}.log", first.0)
}

impl Stretch {
    /// This one and the next as one, where they adjoin.
    pub fn with(&self, next: &Self) -> Option<Self> {
        self.to.filter(|(last, _)| last.0 + 1 == next.first.0)?;
        let old = self.old.iter().chain(&next.old).copied().collect();
        Some(Self { first: self.first, before: self.before, old, epoch: self.epoch, ..next.clone() })
    }

    /// What its files are called, those that are missing too.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.old.iter().copied().chain([self.first]).map(name_of)
    }
}

/// Segments from one whose header can be read up to the next such one.
struct Group<'a> {
    firsts: &'a [Seq],
    header: Option<Chain>,
    /// The last commit before the next group, and the chain there.
    to: Option<(Seq, Chain)>,
}

/// All that is not whole, in order.
pub(super) fn find(dir: &Path, options: &StoreOptions, known: &Known) -> Result<Vec<Stretch>> {
    let (disk, log_dir) = (&*options.disk, dir.join("log"));
    let mut firsts = log::segments(disk, &log_dir)?;
    let header = |first: Seq| match SegmentReader::open(disk, &log_dir, first) {
        Ok(reader) => Ok(Some(*reader.chain())),
        Err(StoreError::Damaged { .. }) => Ok(None),
        Err(error) => Err(error),
    };
    while let Some(&last) = firsts.last()
        && !known.is_open
        && last > known.seen
        && header(last)?.is_none()
        && is_torn_header(disk, &log_dir, last)?
    {
        // Torn at its making: opening the store takes it away.
        firsts.pop();
    }
    let headers = firsts.iter().map(|first| header(*first)).collect::<Result<Vec<_>>>()?;
    let mut found = Vec::new();
    match firsts.first() {
        Some(first) if *first > known.begins.max(Seq(1)) => {
            let begins = known.begins.max(Seq(1));
            let missing = log::missing_commits(begins, Seq(first.0 - 1)).to_string();
            // One whose header is damaged too belongs to it.
            let count = headers.iter().take_while(|header| header.is_none()).count();
            let to = headers.get(count).copied().flatten().map(|chain| (Seq(firsts[count].0 - 1), chain));
            found.push(Stretch {
                before: (begins == Seq(1)).then(Chain::default),
                first: begins,
                old: firsts[..count].to_vec(),
                seen: if to.is_none() { known.seen } else { Seq(0) },
                to,
                epoch: 0,
                what: missing,
            });
            firsts.drain(..count);
        }
        None if known.seen > Seq(0) => {
            let begins = known.begins.max(Seq(1));
            return Ok(vec![Stretch {
                before: (begins == Seq(1)).then(Chain::default),
                first: begins,
                old: Vec::new(),
                to: None,
                epoch: 0,
                seen: known.seen,
                what: log::missing_commits(begins, known.seen).because("the log is empty").to_string(),
            }]);
        }
        _ => {}
    }
    let headers = &headers[headers.len() - firsts.len()..];
    let (mut at, mut epoch) = (0, 0);
    while at < firsts.len() {
        let next = (at + 1..firsts.len()).find(|next| headers[*next].is_some()).unwrap_or(firsts.len());
        let to = headers.get(next).copied().flatten().map(|chain| (Seq(firsts[next].0 - 1), chain));
        let group = Group { firsts: &firsts[at..next], header: headers[at], to };
        if to.is_some() || !known.is_open {
            found.extend(look(&log_dir, options, known, &group, &mut epoch)?);
        }
        at = next;
    }
    Ok(found)
}

/// What of a group is not whole.
fn look(
    log_dir: &Path,
    options: &StoreOptions,
    known: &Known,
    group: &Group<'_>,
    epoch: &mut u64,
) -> Result<Option<Stretch>> {
    let first = group.firsts[0];
    let mut stretch = Stretch {
        first,
        before: group.header.or((first == Seq(1)).then(Chain::default)),
        old: group.firsts.to_vec(),
        to: group.to,
        epoch: *epoch,
        seen: known.seen,
        what: format!("{}: the segment's header", name_of(first)),
    };
    if group.header.is_none() {
        return Ok(Some(stretch));
    }
    let mut reader = SegmentReader::open(&*options.disk, log_dir, first)?;
    let (sealed, problem) = loop {
        match reader.read()? {
            Met::Record(commit) => *epoch = commit.epoch.max(*epoch),
            Met::Sealed => break (true, None),
            Met::End => break (false, None),
            Met::Invalid(what) => break (false, Some(what)),
        }
    };
    stretch.epoch = *epoch;
    let reached = Seq(reader.next_seq().0 - 1);
    if let Some(what) = problem {
        let durable = reader.later_witness()?.unwrap_or_default();
        stretch.seen = known.seen.max(durable);
        // Otherwise its end is only torn.
        let is_damage = group.to.is_some() || group.firsts.len() > 1 || reached < stretch.seen;
        stretch.what = what.to_string();
        return Ok(is_damage.then_some(stretch));
    }
    let Some((last, chain)) = group.to else {
        stretch.what = format!("the log ends at commit {reached}, and commit {} has been seen", known.seen);
        if group.firsts.len() > 1 {
            stretch.what = format!("{}: the segment's header", name_of(group.firsts[1]));
        } else if reached >= known.seen {
            return Ok(None);
        }
        return Ok(Some(if sealed { behind(stretch, &reader, &group.firsts[1..]) } else { stretch }));
    };
    if !sealed {
        stretch.what = log::cut_off(first, reader.next_seq()).to_string();
        return Ok(Some(stretch));
    }
    if reached == last && *reader.chain() == chain && group.firsts.len() == 1 {
        return Ok(None);
    }
    if reached < last {
        stretch.what = match group.firsts.get(1) {
            Some(damaged) => format!("{}: the segment's header", name_of(*damaged)),
            None => log::missing_commits(reader.next_seq(), last).to_string(),
        };
        return Ok(Some(behind(stretch, &reader, &group.firsts[1..])));
    }
    stretch.what = log::not_following(Seq(last.0 + 1)).to_string();
    Ok(Some(stretch))
}

/// Only what comes behind a segment that is whole.
fn behind(stretch: Stretch, reader: &SegmentReader, old: &[Seq]) -> Stretch {
    Stretch { first: reader.next_seq(), before: Some(*reader.chain()), old: old.to_vec(), ..stretch }
}
