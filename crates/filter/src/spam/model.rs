//! What an account learned, in memory.

use std::collections::HashMap;

use super::counts::{Counts, Totals};
use super::learned::Kind;
use super::schema::{LearnedRecord, NAME_BYTES};

/// What an account learned.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub(super) revision: u64,
    /// Counts of features.
    pub counts: Counts,
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

    pub(super) fn add(&mut self, name: [u8; NAME_BYTES], record: &LearnedRecord) {
        let Some(kind) = Kind::from_number(record.kind) else { return };
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
    }
}

pub(super) fn packed(features: &[u32]) -> Vec<u8> {
    features.iter().flat_map(|feature| feature.to_be_bytes()).collect()
}

pub(super) fn unpacked(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|four| u32::from_be_bytes([four[0], four[1], four[2], four[3]])).collect()
}
