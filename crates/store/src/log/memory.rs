//! A log in memory: for tests and simulations. No configuration leads to it.

use std::{path::PathBuf, sync::Arc};

use parking_lot::Mutex;
use prost::Message as _;

use super::{
    Chain,
    commits::{CommitLog, Commits, Cursor, Mark},
    segment::FRAME_BYTES,
};
use crate::{Commit, Damaged, Result, Seq, StoreError};

/// What outlives a log's owner: as a disk does.
#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    /// The commit before the first that is kept, and the chain there.
    before: (Seq, Chain),
    commits: Vec<(Arc<Commit>, Chain)>,
    /// How many of them are durable.
    synced: usize,
}

impl Kept {
    fn last(&self) -> (Seq, Chain) {
        self.commits.last().map_or(self.before, |(commit, chain)| (commit.seq(), *chain))
    }

    /// The place of a commit.
    fn at(&self, seq: Seq) -> Result<usize> {
        let first = Seq(self.before.0.0 + 1);
        let place = seq.0.checked_sub(first.0).ok_or(StoreError::NotRetained { asked: seq, first })?;
        Ok(usize::try_from(place).unwrap_or(usize::MAX))
    }
}

impl Memory {
    /// Loses what was not synced, but for the first `torn` commits of it: what a crash may leave.
    pub(crate) fn crash(&self, torn: usize) {
        let mut kept = self.0.lock();
        let len = kept.synced + torn;
        kept.commits.truncate(len);
    }

    /// Opens the log for appending. `witness` is the last commit that anyone has seen: the log must reach it.
    pub(crate) fn open(&self, witness: Seq) -> Result<MemoryLog> {
        let mut kept = self.0.lock();
        let (reached, _) = kept.last();
        if reached < witness {
            return Err(super::too_short(reached, witness, None).into());
        }
        kept.synced = kept.commits.len();
        drop(kept);
        Ok(MemoryLog(self.clone()))
    }
}

/// The log of a [`Memory`], open for appending.
pub(crate) struct MemoryLog(Memory);

impl CommitLog for MemoryLog {
    fn next(&self) -> Seq {
        Seq(self.0.0.lock().last().0.0 + 1)
    }

    fn chain(&self) -> Chain {
        self.0.0.lock().last().1
    }

    fn time_ms(&self) -> i64 {
        self.0.0.lock().commits.last().map_or(0, |(commit, _)| commit.time_ms)
    }

    fn append(&mut self, frames: &[u8], count: u64, chain: Chain, _time_ms: i64) -> Result<()> {
        let mut kept = self.0.0.lock();
        let mut rest = frames;
        for _ in 0..count {
            let len = u32::from_le_bytes(rest[..4].try_into().expect("4 bytes")) as usize;
            let commit = Commit::decode(&rest[FRAME_BYTES..FRAME_BYTES + len]).expect("it was just made");
            let after = rest[8..FRAME_BYTES].try_into().expect("32 bytes");
            kept.commits.push((Arc::new(commit), after));
            rest = &rest[FRAME_BYTES + len..];
        }
        assert!(rest.is_empty() && kept.last().1 == chain, "the frames are not those that were stated");
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        let mut kept = self.0.0.lock();
        kept.synced = kept.commits.len();
        Ok(())
    }

    fn mark(&self) -> Mark {
        Mark { segment: PathBuf::new(), len: self.0.0.lock().last().0.0 }
    }

    fn take_back(&mut self, mark: Mark) -> bool {
        let mut kept = self.0.0.lock();
        let len = usize::try_from(mark.len - kept.before.0.0).expect("it fits in memory");
        kept.commits.truncate(len);
        kept.synced = len;
        true
    }

    fn keep_in_place(&mut self) -> Result<Option<Damaged>> {
        Ok(None)
    }

    fn roll(&mut self) -> Result<()> {
        Ok(())
    }
}

impl Commits for Memory {
    fn first(&self) -> Result<Seq> {
        Ok(Seq(self.0.lock().before.0.0 + 1))
    }

    fn from(&self, seq: Seq) -> Result<Box<dyn Cursor>> {
        self.0.lock().at(seq)?;
        Ok(Box::new(MemoryCursor { memory: self.clone(), next: seq }))
    }

    fn point(&self, seq: Seq) -> Result<(Chain, Option<i64>)> {
        let kept = self.0.lock();
        if seq == kept.before.0 {
            return Ok((kept.before.1, None));
        }
        let place = kept.at(seq)?;
        let (commit, chain) = kept.commits.get(place).ok_or_else(|| super::ends_before(seq))?;
        Ok((*chain, Some(commit.time_ms)))
    }

    fn drop_before(&self, seq: Seq) -> Result<Seq> {
        let mut kept = self.0.lock();
        let count = kept.commits[..kept.synced].iter().take_while(|(commit, _)| commit.seq() < seq).count();
        let last = kept.commits.drain(..count).next_back();
        if let Some((last, chain)) = last {
            kept.before = (last.seq(), chain);
        }
        kept.synced -= count;
        Ok(Seq(kept.before.0.0 + 1))
    }
}

struct MemoryCursor {
    memory: Memory,
    next: Seq,
}

impl Cursor for MemoryCursor {
    fn next(&mut self) -> Result<Arc<Commit>> {
        let kept = self.memory.0.lock();
        let place = kept.at(self.next)?;
        let (commit, _) = kept.commits.get(place).ok_or_else(|| super::ends_before(self.next))?;
        self.next.0 += 1;
        Ok(commit.clone())
    }
}
