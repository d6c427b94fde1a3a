//! The text parts of a message, each decoded once for all who look at it.

use std::collections::HashMap;

use mailkit::{Parsed, Part};

/// Most text parts that are looked at.
const MAX_TEXTS: usize = 12;
/// Most of a text that is looked at, in bytes.
const MAX_TEXT_BYTES: usize = 64 * 1024;
/// Most parts of a message in which texts are sought.
const MAX_PARTS: usize = 1_000;

/// Texts by where their part begins.
#[derive(Debug, Default)]
pub(super) struct Texts(HashMap<u64, String>);

impl Texts {
    pub(super) fn of(raw: &[u8], parsed: &Parsed) -> Self {
        let mut texts = Self::default();
        texts.add(raw, &parsed.root, &mut 0);
        texts
    }

    /// The text of a part; `None` if it is none, or one of too many.
    pub(super) fn get(&self, part: &Part) -> Option<&str> {
        (part.media_type == "text").then(|| self.0.get(&part.body_start).map(String::as_str)).flatten()
    }

    fn add(&mut self, raw: &[u8], part: &Part, parts: &mut usize) {
        *parts += 1;
        if *parts > MAX_PARTS || self.0.len() >= MAX_TEXTS {
            return;
        }
        if let Some(text) = mailkit::decoded_text(raw, part, MAX_TEXT_BYTES) {
            self.0.insert(part.body_start, text);
        }
        part.parts.iter().for_each(|child| self.add(raw, child, parts));
    }
}
