//! What an account learned, in memory.

use std::collections::HashMap;

use super::counts::{Counts, Totals};
use super::features::Features;
use super::grams::Grams;
use super::kind::Kind;
use super::reputation::Reputation;
use super::schema::{LearnedRecord, NAME_BYTES};
use super::wording::Wording;

/// What an account learned.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub(super) revision: u64,
    /// Messages learned one by one since it was made of all records.
    learned_since: u64,
    /// Counts of features.
    pub counts: Counts,
    /// Weights of runs of characters.
    pub wording: Wording,
    /// Reputation of domains and networks.
    pub reputation: Reputation,
    /// By address of the sender: messages of theirs that the user spoke about.
    pub(super) senders: HashMap<String, Totals>,
    /// What the user said of messages, by the name of the body.
    pub(super) words: HashMap<[u8; NAME_BYTES], Kind>,
}

/// Of how many messages one may be learned alone before all are gone through again: that tells better.
const ALONE_OF: u64 = 10;

impl Model {
    /// What messages teach of which nothing else is known. They are in no order.
    pub fn of(lessons: impl IntoIterator<Item = (Features, Grams, bool)>) -> Self {
        let mut model = Self::default();
        let mut wordings = Vec::new();
        for (features, grams, is_spam) in lessons {
            model.counts.learn(&features.hashes, is_spam);
            wordings.push((grams, is_spam));
        }
        Self { wording: Wording::of(&wordings), ..model }
    }

    /// Whether so much was learned since the model was made that it should be made of all records again.
    pub(super) fn is_to_be_made_again(&self) -> bool {
        let totals = self.counts.totals();
        self.learned_since * ALONE_OF > u64::from(totals.spam) + u64::from(totals.ham)
    }

    /// What the user said of the message with that body.
    pub fn word(&self, name: &[u8; 32]) -> Option<Kind> {
        let short: [u8; NAME_BYTES] = name[..NAME_BYTES].try_into().unwrap_or_default();
        self.words.get(&short).copied()
    }

    /// How many messages of a sender (address in lower case) the user called spam, and how many wanted.
    pub fn sender(&self, address: &str) -> Totals {
        self.senders.get(address).copied().unwrap_or_default()
    }

    /// One more record.
    pub(super) fn add_one(&mut self, name: [u8; NAME_BYTES], record: &LearnedRecord, now_ms: i64) {
        if let Some((grams, is_spam)) = self.add(name, record, now_ms) {
            self.wording.learn(&grams, is_spam);
        }
        self.learned_since += 1;
    }

    /// A record, but for its runs of characters, which it gives.
    fn add(&mut self, name: [u8; NAME_BYTES], record: &LearnedRecord, now_ms: i64) -> Option<(Grams, bool)> {
        let kind = Kind::from_number(record.kind)?;
        self.reputation.add(record, now_ms);
        if record.by_user {
            self.words.insert(name, kind);
            if !record.sender.is_empty() {
                let totals = self.senders.entry(record.sender.clone()).or_default();
                match kind {
                    Kind::Spam => totals.spam = totals.spam.saturating_add(1),
                    Kind::Wanted => totals.ham = totals.ham.saturating_add(1),
                }
            }
        }
        if !record.features.is_empty() {
            self.counts.learn(&unpacked(&record.features), kind == Kind::Spam);
        }
        let grams = Grams::unpacked(&record.grams).filter(|grams| !grams.is_empty())?;
        Some((grams, kind == Kind::Spam))
    }
}

/// A model that is made of all records.
pub(super) struct Making {
    model: Model,
    lessons: Vec<(Grams, bool)>,
    now_ms: i64,
}

impl Making {
    pub(super) fn new(revision: u64, now_ms: i64) -> Self {
        Self { model: Model { revision, ..Model::default() }, lessons: Vec::new(), now_ms }
    }

    /// The next record. They come by the names of bodies, which are hashes: in no order.
    pub(super) fn add(&mut self, name: [u8; NAME_BYTES], record: &LearnedRecord) {
        self.lessons.extend(self.model.add(name, record, self.now_ms));
    }

    pub(super) fn model(self) -> Model {
        Model { wording: Wording::of(&self.lessons), ..self.model }
    }
}

pub(super) fn packed(features: &[u32]) -> Vec<u8> {
    features.iter().flat_map(|feature| feature.to_be_bytes()).collect()
}

pub(super) fn unpacked(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]])).collect()
}
