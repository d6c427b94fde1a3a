//! Merging segments into one.

use mailstore::{EmailId, MailStore};
use prost::bytes::Bytes;
use store::{Order, RealmId, Snapshot, Store};

use super::block::{self, Entry};
use super::keys;
use super::postings::{self, Posting};
use super::state::Segment;
use super::write::SegmentWriter;
use crate::Result;
use crate::error::lost;

/// Bytes of a batch while a merged segment is written, so that memory and the engine's journal stay small.
const BATCH_BYTES: u64 = 2 << 20;
/// Segments that are merged at once.
pub const MERGED: usize = 4;

/// Reads the terms of a segment in order.
struct Source<'a> {
    rows: Box<dyn Iterator<Item = store::Result<(Bytes, Bytes)>> + 'a>,
    snapshot: &'a Snapshot,
    account: RealmId,
    segment: Segment,
    terms: std::vec::IntoIter<(Vec<u8>, Entry)>,
    postings: Bytes,
    next: Option<(Vec<u8>, Entry)>,
}

impl<'a> Source<'a> {
    fn new(snapshot: &'a Snapshot, account: RealmId, segment: Segment) -> Result<Self> {
        let prefix = keys::terms(account, segment.number, b"");
        let rows = Box::new(snapshot.aside_rows(keys::SPACE, &prefix, &prefix, Order::Ascending));
        let (terms, postings) = (Vec::new().into_iter(), Bytes::new());
        let mut source = Self { rows, snapshot, account, segment, terms, postings, next: None };
        source.advance()?;
        Ok(source)
    }

    fn advance(&mut self) -> Result<()> {
        loop {
            self.next = self.terms.next();
            if self.next.is_some() {
                return Ok(());
            }
            let Some(row) = self.rows.next() else { return Ok(()) };
            let (number, terms) = block::entries(&row?.1).ok_or_else(|| lost("a block of terms"))?;
            let key = keys::postings(self.account, self.segment.number, number);
            self.postings = self.snapshot.aside(keys::SPACE, &key)?.ok_or_else(|| lost("a block of postings"))?;
            self.terms = terms.into_iter();
        }
    }

    /// Adds the postings of the term at which it is.
    fn read(&self, entry: &Entry, into: &mut Vec<Posting>) -> Result<()> {
        let bytes = self.postings.get(entry.postings.clone()).ok_or_else(|| lost("postings"))?;
        let read = postings::decode(bytes, self.segment.base, entry.count, entry.fields, |posting| into.push(posting));
        read.ok_or_else(|| lost("postings"))
    }
}

/// Segments that become one.
pub struct Merged<'a> {
    pub store: &'a Store,
    pub mail: &'a MailStore,
    pub snapshot: &'a Snapshot,
    pub account: RealmId,
    pub segments: &'a [Segment],
    /// Messages that have changed since the index's place, and stay whether or not they are there. `None` keeps all.
    pub later: Option<Vec<u64>>,
}

impl Merged<'_> {
    /// Writes them into a new segment, without what is gone. Nothing refers to it yet: what a crash leaves of it is
    /// cleared away later.
    pub fn write(self, number: u32) -> Result<Segment> {
        let Self { store, mail, snapshot, account, segments: merged, later } = self;
        let base = merged.iter().map(|segment| segment.base).min().unwrap_or_default();
        let last = merged.iter().map(|segment| segment.last).max().unwrap_or_default();
        let mut there = there(mail, snapshot, account, base, last)?;
        let keeps_all = later.is_none();
        there.extend(later.unwrap_or_default());
        there.sort_unstable();
        there.dedup();
        let mut sources = Vec::new();
        for one in merged {
            sources.push(Source::new(snapshot, account, *one)?);
        }
        let (mut writer, mut written_bytes) = (SegmentWriter::new(account, number, (base, last)), 0);
        let mut list: Vec<Posting> = Vec::new();
        let mut seen = vec![false; there.len()];
        while let Some(term) = sources.iter().filter_map(|source| Some(&source.next.as_ref()?.0)).min().cloned() {
            list.clear();
            for source in &mut sources {
                if let Some((_, entry)) = source.next.take_if(|next| next.0 == term) {
                    source.read(&entry, &mut list)?;
                    source.advance()?;
                }
            }
            list.sort_unstable();
            list.dedup_by(|next, kept| {
                let same = next.0 == kept.0;
                if same {
                    kept.1 |= next.1;
                }
                same
            });
            list.retain(|(id, _)| there.binary_search(id).map(|at| seen[at] = true).is_ok() || keeps_all);
            if list.is_empty() {
                continue;
            }
            writer.add(&term, &list);
            if writer.bytes() - written_bytes >= BATCH_BYTES {
                written_bytes = writer.bytes();
                store.set_aside(keys::SPACE, writer.take_batch())?;
            }
        }
        let messages = if keeps_all {
            merged.iter().map(|segment| segment.messages).sum()
        } else {
            seen.iter().filter(|seen| **seen).count() as u64
        };
        let (segment, batch) = writer.end(messages);
        store.set_aside(keys::SPACE, batch)?;
        Ok(segment)
    }
}

/// The messages from `base` to `last` that the account has.
fn there(mail: &MailStore, snapshot: &Snapshot, account: RealmId, base: u64, last: u64) -> Result<Vec<u64>> {
    const TOGETHER: usize = 10_000;
    let (mut there, mut from) = (Vec::new(), base);
    loop {
        let ids = mail.emails_from(snapshot, account, EmailId(from), TOGETHER)?;
        there.extend(ids.iter().map(|id| id.0).take_while(|id| *id <= last));
        match ids.last() {
            Some(id) if ids.len() == TOGETHER && id.0 < last => from = id.0 + 1,
            _ => return Ok(there),
        }
    }
}
