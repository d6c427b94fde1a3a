//! The terms of some messages, gathered in memory: a segment in the making.

use std::collections::HashMap;

use mailkit::fold::loose;
use mailstore::{EmailId, MessageTexts};
use store::{AsideBatch, RealmId};

use super::block::{Writer, Written};
use super::keys;
use super::postings::{BODY, FILE, FROM, Fields, HEADER, Posting, SUBJECT, TO};
use super::state::Segment;
use crate::words;

/// Bytes of folded text that one message may have in the index; one with more is looked at by each search.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

/// The terms of messages, taken in by ascending id.
#[derive(Default)]
pub struct Gathered {
    terms: HashMap<Box<str>, Vec<Posting>>,
    messages: u64,
    first: u64,
    last: u64,
    /// About how much memory it takes.
    pub bytes: usize,
}

impl Gathered {
    /// Takes in a message; `false` if it says too much.
    pub fn add(&mut self, id: EmailId, texts: &MessageTexts) -> bool {
        let all = [
            (SUBJECT, &texts.subject),
            (FROM, &texts.from),
            (TO, &texts.to),
            (HEADER, &texts.header),
            (BODY, &texts.body),
            (FILE, &texts.files),
        ];
        if all.iter().map(|(_, text)| text.len()).sum::<usize>() > MAX_TEXT_BYTES {
            return false;
        }
        if self.messages == 0 {
            self.first = id.0;
        }
        (self.messages, self.last) = (self.messages + 1, id.0);
        for (fields, text) in all {
            if !text.is_empty() {
                self.add_text(id.0, fields, &loose(text));
            }
        }
        true
    }

    fn add_text(&mut self, id: u64, fields: Fields, folded: &str) {
        let (terms, bytes) = (&mut self.terms, &mut self.bytes);
        words::each_term(folded, |term| match terms.get_mut(term) {
            Some(list) => match list.last_mut() {
                Some((last, known)) if *last == id => *known |= fields,
                _ => {
                    list.push((id, fields));
                    *bytes += size_of::<Posting>();
                }
            },
            None => {
                terms.insert(term.into(), vec![(id, fields)]);
                *bytes += term.len() + 80;
            }
        });
    }

    /// How many messages there are.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Writes them out as a segment.
    pub fn write(self, account: RealmId, number: u32, batch: &mut AsideBatch) -> Segment {
        let mut terms: Vec<(Box<str>, Vec<Posting>)> = self.terms.into_iter().collect();
        terms.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut writer = Writer::new(self.first);
        let mut segment = Segment { number, messages: self.messages, base: self.first, last: self.last, bytes: 0 };
        for (term, list) in terms {
            if let Some(written) = writer.add(term.as_bytes(), &list) {
                put(account, &mut segment, written, batch);
            }
        }
        if let Some(written) = writer.end() {
            put(account, &mut segment, written, batch);
        }
        segment
    }
}

/// Adds a pair of blocks of a segment to a batch.
pub fn put(account: RealmId, segment: &mut Segment, written: Written, batch: &mut AsideBatch) {
    let terms = keys::terms(account, segment.number, &written.first);
    let postings = keys::postings(account, segment.number, written.number);
    segment.bytes += (terms.len() + written.terms.len() + postings.len() + written.postings.len()) as u64;
    batch.push((terms, Some(written.terms)));
    batch.push((postings, Some(written.postings)));
}
