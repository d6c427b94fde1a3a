//! Looking up terms in the segments of an account.

use std::collections::BTreeMap;

use store::{Order, RealmId, Snapshot};

use super::block::{self, Entry};
use super::grams;
use super::keys;
use super::postings::{self, Fields};
use super::state::{Segment, State};
use crate::Result;
use crate::error::lost;
use crate::words::{self, Pattern};

/// A pattern that more than one in so many messages meets rules out too little to be worth reading its postings.
const SHARE: u64 = 4;
/// Postings that are read in any case.
const MIN_POSTINGS: u64 = 1_000;
/// Blocks of postings that one pattern may be in.
const MAX_BLOCKS: usize = 4_000;
/// With so few blocks of terms left it is quicker to read them than to rule out more.
const FEW_BLOCKS: usize = 1;
/// Blocks are read one by one where they are at most one in so many; otherwise all are.
const WORTHWHILE: u64 = 3;

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
        let visit = |block: &[u8]| {
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
        };
        match self.blocks_with(segment, pattern)? {
            Some(numbers) => self.blocks(segment, &numbers, visit)?,
            None => self.each_block(segment, pattern, visit)?,
        }
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

    /// The numbers of the blocks of terms that have all grams of a pattern; `None` if that does not help.
    fn blocks_with(&self, segment: &Segment, pattern: &Pattern) -> Result<Option<Vec<u32>>> {
        let (Pattern::Suffix(part) | Pattern::Contains(part)) = pattern else { return Ok(None) };
        if segment.blocks < grams::MIN_BLOCKS {
            return Ok(None);
        }
        let has_grams = part.chars().nth(2).is_some() || part.chars().all(words::is_dense);
        let mut wanted = Vec::new();
        grams::each(part, |gram| wanted.push(gram));
        if !has_grams || wanted.is_empty() {
            return Ok(None);
        }
        wanted.sort_unstable();
        wanted.dedup();
        let mut left: Option<Vec<u32>> = None;
        for gram in wanted {
            if left.as_ref().is_some_and(|left| left.len() <= FEW_BLOCKS) {
                break;
            }
            let key = keys::grams(self.account, segment.number, grams::row_of(gram));
            let row = self.snapshot.aside(keys::SPACE, &key)?;
            let found = row.map_or(Some(Vec::new()), |row| grams::blocks_of(&row, gram));
            let found = found.ok_or_else(|| lost("a row of grams"))?;
            left = Some(match left {
                Some(left) => left.into_iter().filter(|block| found.binary_search(block).is_ok()).collect(),
                None => found,
            });
        }
        Ok(left.filter(|left| left.len() as u64 * WORTHWHILE <= u64::from(segment.blocks)))
    }

    /// The blocks of terms with these numbers, until `visit` says that it is enough.
    fn blocks(&self, segment: &Segment, numbers: &[u32], mut visit: impl FnMut(&[u8]) -> Result<bool>) -> Result<()> {
        for number in numbers {
            let first = keys::first(self.account, segment.number, *number);
            let first = self.snapshot.aside(keys::SPACE, &first)?.ok_or_else(|| lost("the name of a block"))?;
            let key = keys::terms(self.account, segment.number, &first);
            let block = self.snapshot.aside(keys::SPACE, &key)?.ok_or_else(|| lost("a block of terms"))?;
            if !visit(&block)? {
                break;
            }
        }
        Ok(())
    }

    /// The blocks of terms in which a pattern may be met, until `visit` says that it is enough.
    fn each_block(
        &self,
        segment: &Segment,
        pattern: &Pattern,
        mut visit: impl FnMut(&[u8]) -> Result<bool>,
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
