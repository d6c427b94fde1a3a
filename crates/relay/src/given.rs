//! What was given to the primary and is kept, in memory.

use std::collections::BTreeMap;

/// A message that was given and is kept.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// A commit of the primary by which it is there.
    pub seq: u64,
    /// When, milliseconds since 1970.
    pub at_ms: i64,
    /// The primary refused it.
    pub refused: bool,
}

/// All of them, by id.
#[derive(Debug, Default)]
pub struct AllGiven {
    messages: BTreeMap<u64, Given>,
    refused: u64,
}

impl AllGiven {
    /// One was given, or refused.
    pub fn insert(&mut self, id: u64, given: Given) {
        self.remove(id);
        self.refused += u64::from(given.refused);
        self.messages.insert(id, given);
    }

    /// One waits again, or is forgotten.
    pub fn remove(&mut self, id: u64) {
        if let Some(given) = self.messages.remove(&id) {
            self.refused -= u64::from(given.refused);
        }
    }

    /// How many the primary refused.
    pub const fn refused(&self) -> u64 {
        self.refused
    }

    /// How many it has.
    pub fn kept(&self) -> u64 {
        self.messages.len() as u64 - self.refused
    }

    /// The least id.
    pub fn oldest(&self) -> Option<u64> {
        self.messages.keys().next().copied()
    }

    /// All, by id.
    pub fn iter(&self) -> impl Iterator<Item = (u64, Given)> + '_ {
        self.messages.iter().map(|(id, given)| (*id, *given))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_were_refused_are_counted_apart_however_often_an_id_comes() {
        let given = |refused| Given { seq: 1, at_ms: 2, refused };
        let mut all = AllGiven::default();
        for (id, refused) in [(5, true), (3, false), (5, true), (4, true), (4, false)] {
            all.insert(id, given(refused));
        }
        assert_eq!((all.refused(), all.kept(), all.oldest()), (1, 2, Some(3)));
        for id in [3, 3, 9, 5] {
            all.remove(id);
        }
        assert_eq!((all.refused(), all.kept(), all.oldest()), (0, 1, Some(4)));
    }
}
