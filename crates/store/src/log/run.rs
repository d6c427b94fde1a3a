//! Runs of commits in memory, in the form of a segment: data sent to other machines is exactly what a log would
//! contain.

use std::{path::PathBuf, sync::Arc};

use super::{
    Chain, Met, SegmentReader,
    segment::{Footer, HEADER_BYTES, frame, header_bytes},
};
use crate::{Cause, Commit, Damaged, Part, Result, Seq, StoreError, disk::File};

/// A run of commits in a segment's own form, header and footer included, made in memory: what leaves this machine is
/// what a log would hold.
pub struct RunWriter {
    bytes: Vec<u8>,
    chain: Chain,
    next: Seq,
    time_ms: i64,
}

impl RunWriter {
    /// Begins a run with commit `first`; `chain` is the log's before it.
    pub fn new(first: Seq, chain: Chain) -> Self {
        Self { bytes: header_bytes(first, &chain), chain, next: first, time_ms: 0 }
    }

    /// Adds the next commit.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when it is not the next one; nothing is added then.
    pub fn push(&mut self, commit: &Commit) -> Result<()> {
        if commit.seq() != self.next {
            return Err(StoreError::refused(format!(
                "commit {} can't follow where {} is due",
                commit.seq(),
                self.next
            )));
        }
        self.chain = frame(commit, self.chain, &mut self.bytes);
        self.next.0 += 1;
        self.time_ms = commit.time_ms;
        Ok(())
    }

    /// Bytes so far.
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has no commits yet.
    pub const fn is_empty(&self) -> bool {
        self.bytes.len() <= HEADER_BYTES
    }

    /// The next expected commit.
    pub const fn next(&self) -> Seq {
        self.next
    }

    /// The log's chain after the last commit.
    pub const fn chain(&self) -> Chain {
        self.chain
    }

    /// The run, closed.
    pub fn finish(mut self) -> Vec<u8> {
        let footer = Footer { chain: self.chain, last: Seq(self.next.0 - 1), time_ms: self.time_ms };
        self.bytes.extend_from_slice(&footer.to_bytes());
        self.bytes
    }
}

/// A run's bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The first commit.
    pub first: Seq,
    /// The last commit.
    pub last: Seq,
    /// The log's chain before the first.
    pub before: Chain,
    /// The log's chain after the last.
    pub after: Chain,
}

/// Reads a run made by [`RunWriter`] and checks all of it: checksums, chain, order, footer. `each` gets every commit and
/// the chain after it; they are valid only once this has returned.
///
/// # Errors
/// [`StoreError::Damaged`]; those of `each`.
pub fn read_run(bytes: Vec<u8>, mut each: impl FnMut(Commit, &Chain) -> Result<()>) -> Result<Run> {
    let first = bytes.get(8..16).and_then(|bytes| bytes.try_into().ok()).map(u64::from_le_bytes);
    let first = Seq(first.ok_or_else(|| Damaged::new(Part::Run, Cause::CutOff))?);
    let mut reader = SegmentReader::of(Arc::new(InMemory(bytes)), PathBuf::new(), Part::Run, first)?;
    let before = reader.chain;
    loop {
        match reader.read()? {
            Met::Record(commit) => each(*commit, &reader.chain)?,
            Met::Sealed => {
                return Ok(Run { first, last: Seq(reader.next.0 - 1), before, after: reader.chain });
            }
            Met::End => return Err(Damaged::new(Part::Run, Cause::CutOff).commit(reader.next).into()),
            Met::Invalid(what) => return Err(StoreError::Damaged(what)),
        }
    }
}

/// Bytes that are read as if they were a file.
pub(crate) struct InMemory(pub Vec<u8>);

impl File for InMemory {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.0.get(offset..)).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, _: &[u8], _: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> std::io::Result<()> {
        Ok(())
    }

    fn len(&self) -> std::io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn truncate(&self, _: u64) -> std::io::Result<()> {
        Err(std::io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn is_at(&self, _: &std::path::Path) -> std::io::Result<bool> {
        Ok(false)
    }
}
