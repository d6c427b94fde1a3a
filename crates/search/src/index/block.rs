//! Blocks of terms and blocks of postings.
//!
//! ```text
//! block of terms    = number of its block of postings, then for each term:
//!                     shared len bytes count fields(u8) postings_len      numbers as varints
//! block of postings = the postings of these terms, one after the other
//! ```
//! `shared` is how many bytes a term has in common with the one before.

use super::postings::{self, Fields, Posting};
use super::varint;

/// A block of terms is full with so many bytes,
const TERMS_BYTES: usize = 8 << 10;
/// or with so many bytes of postings.
const POSTINGS_BYTES: usize = 32 << 10;

/// A pair of blocks, written.
pub struct Written {
    /// Its first term: its key.
    pub first: Vec<u8>,
    /// The number of the block of postings.
    pub number: u32,
    /// The block of terms.
    pub terms: Vec<u8>,
    /// The block of postings.
    pub postings: Vec<u8>,
}

/// Writes the blocks of a segment.
pub struct Writer {
    base: u64,
    number: u32,
    first: Vec<u8>,
    last: Vec<u8>,
    terms: Vec<u8>,
    postings: Vec<u8>,
}

impl Writer {
    /// For a segment whose first message is `base`.
    pub fn new(base: u64) -> Self {
        let (first, last, terms, postings) = Default::default();
        Self { base, number: 0, first, last, terms, postings }
    }

    /// The number of the block in which the next term will be: how many there are.
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// Adds a term, greater than all before, with its postings, ascending. Gives a pair of blocks when it is full.
    pub fn add(&mut self, term: &[u8], list: &[Posting]) -> Option<Written> {
        if self.terms.is_empty() {
            self.first = term.to_vec();
            self.last.clear();
            varint::put(&mut self.terms, self.number.into());
        }
        let shared = self.last.iter().zip(term).take_while(|(a, b)| a == b).count();
        varint::put(&mut self.terms, shared as u64);
        varint::put(&mut self.terms, (term.len() - shared) as u64);
        self.terms.extend_from_slice(&term[shared..]);
        varint::put(&mut self.terms, list.len() as u64);
        self.terms.push(list.iter().fold(0, |all, posting| all | posting.1));
        let before = self.postings.len();
        postings::encode(&mut self.postings, self.base, list);
        varint::put(&mut self.terms, (self.postings.len() - before) as u64);
        self.last = term.to_vec();
        let is_full = self.terms.len() >= TERMS_BYTES || self.postings.len() >= POSTINGS_BYTES;
        if is_full { self.end() } else { None }
    }

    /// What is not given yet.
    pub fn end(&mut self) -> Option<Written> {
        if self.terms.is_empty() {
            return None;
        }
        let number = self.number;
        self.number += 1;
        Some(Written {
            first: std::mem::take(&mut self.first),
            number,
            terms: std::mem::take(&mut self.terms),
            postings: std::mem::take(&mut self.postings),
        })
    }
}

/// A term in a block.
pub struct Entry {
    /// How many messages have it.
    pub count: u64,
    /// Where they have it, together.
    pub fields: Fields,
    /// Where its postings are in their block.
    pub postings: std::ops::Range<usize>,
}

/// Reads a block of terms: `visit` gets each term and tells whether to go on. Gives the number of the block of
/// postings; `None` if the block can't be read.
pub fn each_entry(mut block: &[u8], mut visit: impl FnMut(&[u8], Entry) -> bool) -> Option<u32> {
    let number = u32::try_from(varint::take(&mut block)?).ok()?;
    let mut term = Vec::new();
    let mut at = 0usize;
    while !block.is_empty() {
        let shared = usize::try_from(varint::take(&mut block)?).ok()?;
        let len = usize::try_from(varint::take(&mut block)?).ok()?;
        if shared > term.len() {
            return None;
        }
        term.truncate(shared);
        term.extend_from_slice(varint::take_bytes(&mut block, len)?);
        let count = varint::take(&mut block)?;
        let fields = varint::take_bytes(&mut block, 1)?[0];
        let end = at.checked_add(usize::try_from(varint::take(&mut block)?).ok()?)?;
        if !visit(&term, Entry { count, fields, postings: at..end }) {
            break;
        }
        at = end;
    }
    Some(number)
}

/// The number of a block of postings, and the terms of its block of terms.
pub type Entries = (u32, Vec<(Vec<u8>, Entry)>);

/// The terms of a block, for merging.
pub fn entries(block: &[u8]) -> Option<Entries> {
    let mut all = Vec::new();
    let number = each_entry(block, |term, entry| {
        all.push((term.to_vec(), entry));
        true
    })?;
    Some((number, all))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn terms_come_back_in_order_with_their_postings(
            terms in prop::collection::btree_map("[a-d]{1,9}|[0-9]{3,30}", prop::collection::btree_map(5u64..99, 1u8..9, 1..9), 1..80),
        ) {
            let mut writer = Writer::new(5);
            let mut blocks = Vec::new();
            for (term, list) in &terms {
                let list: Vec<Posting> = list.clone().into_iter().collect();
                blocks.extend(writer.add(term.as_bytes(), &list));
                if term.len() % 7 == 0 {
                    blocks.extend(writer.end());
                }
            }
            blocks.extend(writer.end());
            let mut read = BTreeMap::new();
            for block in &blocks {
                let (number, entries) = entries(&block.terms).unwrap();
                prop_assert_eq!(number, block.number);
                prop_assert_eq!(&entries[0].0, &block.first);
                for (term, entry) in entries {
                    let mut list = BTreeMap::new();
                    let bytes = &block.postings[entry.postings];
                    postings::decode(bytes, 5, entry.count, entry.fields, |(id, fields)| { list.insert(id, fields); }).unwrap();
                    read.insert(String::from_utf8(term).unwrap(), list);
                }
            }
            prop_assert_eq!(read, terms);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..90)) {
            let _ = entries(&bytes);
        }
    }
}
