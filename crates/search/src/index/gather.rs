//! The terms of some messages, gathered in memory: a segment in the making.

use std::collections::HashMap;

use mailkit::fold::{casemap, loose};
use mailkit::stem::{self, Language};
use mailstore::{EmailId, MessageTexts};
use store::{AsideBatch, RealmId};

use super::postings::{BODY, DOCUMENT, FILE, FROM, Fields, HEADER, Posting, SUBJECT, TO};
use super::state::Segment;
use super::write::SegmentWriter;
use crate::words;

/// Bytes of folded text that one message may have in the index; one with more is looked at by each search.
pub const MAX_TEXT_BYTES: usize = 4 << 20;

type Terms = HashMap<Box<str>, Vec<Posting>>;

fn add(terms: &mut Terms, bytes: &mut usize, (id, fields): Posting, term: &str) {
    match terms.get_mut(term) {
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
    }
}

/// The terms of messages, taken in by ascending id.
#[derive(Default)]
pub struct Gathered {
    terms: Terms,
    /// Terms of the stems of words; none of a word that is its own stem.
    stems: HashMap<Language, HashMap<Box<str>, Option<Box<str>>>>,
    /// The languages of the messages.
    pub languages: u64,
    /// Documents that could not be read, or not to their end.
    pub unread_documents: u64,
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
            (DOCUMENT, &texts.documents),
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
        for language in &texts.languages {
            self.languages |= language.bit();
            self.add_stems(id.0, (SUBJECT, &texts.subject), *language);
            self.add_stems(id.0, (BODY, &texts.body), *language);
        }
        self.unread_documents += texts.unread_documents as u64;
        true
    }

    fn add_stems(&mut self, id: u64, (fields, text): (Fields, &str), language: Language) {
        let (terms, bytes) = (&mut self.terms, &mut self.bytes);
        let stems = self.stems.entry(language).or_default();
        stem::each_word(&casemap(text), |word| {
            let known = match stems.get(word) {
                Some(known) => known,
                None => {
                    *bytes += word.len() * 2 + 80;
                    stems.entry(word.into()).or_insert_with(|| words::stem_term(word, language))
                }
            };
            if let Some(term) = known {
                add(terms, bytes, (id, fields), term);
            }
        });
    }

    fn add_text(&mut self, id: u64, fields: Fields, folded: &str) {
        let (terms, bytes) = (&mut self.terms, &mut self.bytes);
        words::each_term(folded, |term| add(terms, bytes, (id, fields), term));
    }

    /// How many messages there are.
    pub const fn messages(&self) -> u64 {
        self.messages
    }

    /// Writes them out as a segment.
    pub fn write(self, account: RealmId, number: u32, batch: &mut AsideBatch) -> Segment {
        let mut terms: Vec<(Box<str>, Vec<Posting>)> = self.terms.into_iter().collect();
        terms.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        let mut writer = SegmentWriter::new(account, number, (self.first, self.last));
        for (term, list) in terms {
            writer.add(term.as_bytes(), &list);
        }
        let (segment, rows) = writer.end(self.messages);
        batch.extend(rows);
        segment
    }
}
