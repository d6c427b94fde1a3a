//! Looking up terms in the segments of an account.

use std::collections::BTreeMap;

use store::{Order, RealmId, Snapshot};

use super::block::{self, Entry};
use super::keys;
use super::postings::{self, Fields};
use super::state::{Segment, State};
use crate::error::lost;
use crate::words::Pattern;
use crate::{Error, Result};

/// A pattern that more than one in so many messages meets rules out too little to be worth reading its postings.
const SHARE: u64 = 4;
/// Postings that are read in any case.
const MIN_POSTINGS: u64 = 1_000;
/// Blocks of postings that one pattern may be in.
const MAX_BLOCKS: usize = 4_000;

/// An account's index, as of a snapshot.
pub struct Lookup<'a> {
    pub snapshot: &'a Snapshot,
    pub account: RealmId,
    pub state: &'a State,
}

impl Lookup<'_> {
    /// The messages, ascending, that have a term that meets the pattern in one of the fields; `None` if they are too many.
    pub fn messages(&self, pattern: &Pattern, fields: Fields) -> Result<Option<Vec<u64>>> {
        let mut found = Vec::new();
        let most = (self.state.messages() / SHARE).max(MIN_POSTINGS);
        for segment in &self.state.segments {
            let left = most.saturating_sub(found.len() as u64);
            if !self.in_segment(segment, (pattern, fields), left, &mut found)? {
                return Ok(None);
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(Some(found))
    }

    /// Adds those of one segment; `false` if they are more than `most`.
    fn in_segment(
        &self,
        segment: &Segment,
        (pattern, fields): (&Pattern, Fields),
        most: u64,
        found: &mut Vec<u64>,
    ) -> Result<bool> {
        let mut blocks: BTreeMap<u32, Vec<Entry>> = BTreeMap::new();
        let mut total = 0;
        let is_met = pattern.matcher();
        self.each_block(segment, pattern, |block| {
            let mut met: Vec<Entry> = Vec::new();
            let mut is_over = false;
            let beginning = pattern.beginning().as_bytes();
            let number = block::each_entry(block, |term, entry| {
                if entry.fields & fields != 0 && is_met(term) {
                    total += entry.count;
                    met.push(entry);
                }
                is_over = term > beginning && !term.starts_with(beginning);
                !is_over
            });
            let number = number.ok_or_else(|| lost("a block of terms"))?;
            if !met.is_empty() {
                blocks.insert(number, met);
            }
            Ok(!is_over && total <= most && blocks.len() <= MAX_BLOCKS)
        })?;
        if total > most || blocks.len() > MAX_BLOCKS {
            return Ok(false);
        }
        for (number, entries) in blocks {
            let key = keys::postings(self.account, segment.number, number);
            let block = self.snapshot.aside(keys::SPACE, &key)?.ok_or_else(|| lost("a block of postings"))?;
            for entry in entries {
                let bytes = block.get(entry.postings).ok_or_else(|| lost("postings"))?;
                let add = |(id, at): postings::Posting| {
                    if at & fields != 0 {
                        found.push(id);
                    }
                };
                let read = postings::decode(bytes, segment.base, entry.count, entry.fields, add);
                read.ok_or_else(|| lost("postings"))?;
            }
        }
        Ok(true)
    }

    /// The blocks of terms in which a pattern may be met, until `visit` says that it is enough.
    fn each_block(
        &self,
        segment: &Segment,
        pattern: &Pattern,
        mut visit: impl FnMut(&[u8]) -> Result<bool, Error>,
    ) -> Result<()> {
        let prefix = keys::terms(self.account, segment.number, b"");
        let from = keys::terms(self.account, segment.number, pattern.beginning().as_bytes());
        let before = self.snapshot.aside_rows(keys::SPACE, &prefix, &from, Order::Descending).next().transpose()?;
        let first = before.as_ref().map_or(from, |(key, _)| key.to_vec());
        for row in self.snapshot.aside_rows(keys::SPACE, &prefix, &first, Order::Ascending) {
            if !visit(&row?.1)? {
                break;
            }
        }
        Ok(())
    }
}
