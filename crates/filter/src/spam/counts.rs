//! How often each feature was seen in spam and in wanted mail.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Learned messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Spam.
    pub spam: u32,
    /// Wanted mail.
    pub ham: u32,
}

/// Features are hashes already.
#[derive(Clone, Copy, Debug, Default)]
pub struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 << 8) | u64::from(*byte);
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = u64::from(number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Counts of features. Those of two sets of messages add up to those of both.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    totals: Totals,
    of: HashMap<u32, Totals, BuildHasherDefault<AsIs>>,
}

impl Counts {
    /// Of counts that are known.
    pub(super) fn of_all(totals: Totals, of: impl Iterator<Item = (u32, Totals)>) -> Self {
        Self { totals, of: of.collect() }
    }

    /// A message is learned. Its features are distinct.
    pub fn learn(&mut self, features: &[u32], is_spam: bool) {
        self.totals.add(is_spam);
        for feature in features {
            self.of.entry(*feature).or_default().add(is_spam);
        }
    }

    /// A message that was learned is forgotten: as if it never had been.
    pub fn forget(&mut self, features: &[u32], is_spam: bool) {
        self.totals.take(is_spam);
        for feature in features {
            if let Some(count) = self.of.get_mut(feature) {
                count.take(is_spam);
                if *count == Totals::default() {
                    self.of.remove(feature);
                }
            }
        }
    }

    /// How many messages were learned.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// In how many of them a feature is.
    pub fn of(&self, feature: u32) -> Totals {
        self.of.get(&feature).copied().unwrap_or_default()
    }

    /// How many features are known.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// Whether nothing was learned.
    pub fn is_empty(&self) -> bool {
        self.totals == Totals::default()
    }
}

impl Totals {
    pub(super) fn add(&mut self, is_spam: bool) {
        let count = if is_spam { &mut self.spam } else { &mut self.ham };
        *count = count.saturating_add(1);
    }

    fn take(&mut self, is_spam: bool) {
        let count = if is_spam { &mut self.spam } else { &mut self.ham };
        *count = count.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_forgotten_leaves_nothing_behind() {
        let mut counts = Counts::default();
        counts.learn(&[1, 2, 3], true);
        counts.learn(&[2, 3, 4], false);
        counts.forget(&[1, 2, 3], true);
        assert_eq!((counts.totals(), counts.len()), (Totals { spam: 0, ham: 1 }, 3));
        assert_eq!((counts.of(1), counts.of(2)), (Totals::default(), Totals { spam: 0, ham: 1 }));
        counts.forget(&[2, 3, 4], false);
        assert!(counts.is_empty());
    }
}
