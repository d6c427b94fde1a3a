//! Writing a segment, term by term.

use store::{AsideBatch, RealmId};

use super::block::{Writer, Written};
use super::grams::{self, Grams};
use super::keys;
use super::postings::Posting;
use super::state::Segment;

/// A segment that is written. Nothing refers to it before its state does.
pub struct SegmentWriter {
    account: RealmId,
    segment: Segment,
    writer: Writer,
    grams: Grams,
    batch: AsideBatch,
}

impl SegmentWriter {
    /// With that number, of messages from `base` to `last`.
    pub fn new(account: RealmId, number: u32, (base, last): (u64, u64)) -> Self {
        let segment = Segment { number, base, last, ..Segment::default() };
        let (grams, batch) = Default::default();
        Self { account, segment, writer: Writer::new(base), grams, batch }
    }

    /// Adds a term, greater than all before, with its postings, ascending.
    pub fn add(&mut self, term: &[u8], list: &[Posting]) {
        if !crate::words::is_stem(term) {
            self.grams.add(term, self.writer.number());
        }
        if let Some(written) = self.writer.add(term, list) {
            self.put(written);
        }
    }

    /// Bytes of blocks so far.
    pub const fn bytes(&self) -> u64 {
        self.segment.bytes
    }

    /// What is to be written, as far as it is known.
    pub fn take_batch(&mut self) -> AsideBatch {
        std::mem::take(&mut self.batch)
    }

    /// The segment of so many messages, and the rest of what is to be written.
    pub fn end(mut self, messages: u64) -> (Segment, AsideBatch) {
        if let Some(written) = self.writer.end() {
            self.put(written);
        }
        self.segment.messages = messages;
        self.segment.blocks = self.writer.number();
        if self.segment.blocks >= grams::MIN_BLOCKS {
            for (number, row) in std::mem::take(&mut self.grams).rows() {
                let key = keys::grams(self.account, self.segment.number, number);
                self.segment.bytes += (key.len() + row.len()) as u64;
                self.batch.push((key, Some(row)));
            }
        }
        (self.segment, self.batch)
    }

    fn put(&mut self, written: Written) {
        let (account, segment) = (self.account, &mut self.segment);
        let terms = keys::terms(account, segment.number, &written.first);
        let postings = keys::postings(account, segment.number, written.number);
        let first = keys::first(account, segment.number, written.number);
        segment.bytes += (terms.len() + written.terms.len() + postings.len() + written.postings.len()) as u64;
        segment.bytes += (first.len() + written.first.len()) as u64;
        self.batch.push((first, Some(written.first)));
        self.batch.push((terms, Some(written.terms)));
        self.batch.push((postings, Some(written.postings)));
    }
}
