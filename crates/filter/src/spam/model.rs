//! What an account learned, in memory.

use std::collections::HashMap;

use super::counts::{Counts, Totals};
use super::grams::Grams;
use super::kind::Kind;
use super::reputation::Reputation;
use super::schema::{LearnedRecord, NAME_BYTES};
use super::wording::Wording;

/// What an account learned.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub(super) revision: u64,
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

impl Model {
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
