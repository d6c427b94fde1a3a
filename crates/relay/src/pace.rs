//! How fast relays may give: it grows slowly, and halves when the primary has trouble.

use std::time::Duration;

use crate::wire::Grant;

/// A message that takes longer than this to become durable says that the disk or the processor is too busy.
pub const SLOW: Duration = Duration::from_millis(1_000);
/// Bytes that may be on their way for each message.
const BYTES_A_STREAM: u64 = 1 << 20;

/// What the primary saw since it last looked.
#[derive(Debug, Clone, Copy, Default)]
pub struct Seen {
    /// How long the slowest message took.
    pub slowest: Duration,
    /// How many were taken.
    pub taken: u64,
    /// One could not be taken for now.
    pub trouble: bool,
    /// The disk has no room, or the stage does not take mail: nothing may come.
    pub closed: bool,
}

/// How many messages of all relays may be on their way at once.
#[derive(Debug)]
pub struct Pace {
    streams: u32,
    most: u32,
    per_second: u32,
}

impl Pace {
    /// Begins low. `per_second` 0 is any number.
    pub fn new(most: u32, per_second: u32) -> Self {
        let most = most.max(1);
        Self { streams: most.min(4), most, per_second }
    }

    /// Looks at what was seen since the last time.
    pub fn adjust(&mut self, seen: Seen) {
        if seen.closed {
            self.streams = 1;
        } else if seen.trouble || seen.slowest > SLOW {
            self.streams = (self.streams / 2).max(1);
        } else if seen.taken >= u64::from(self.streams) {
            self.streams = (self.streams + 1).min(self.most);
        }
    }

    /// What each of so many relays may do.
    pub fn grant(&self, relays: u32, closed: bool) -> Grant {
        if closed {
            return Grant::default();
        }
        let relays = relays.max(1);
        let streams = (self.streams / relays).max(1);
        let per_second = if self.per_second == 0 { 0 } else { (self.per_second / relays).max(1) };
        Grant { streams, bytes: u64::from(streams) * BYTES_A_STREAM, per_second }
    }
}

/// Holds a rate: so many a second, and no burst of more than a tenth of a second.
#[derive(Debug, Default)]
pub struct Bucket {
    tokens: f64,
    at_ms: i64,
}

impl Bucket {
    /// Whether one may go now; it counts if so.
    pub fn take(&mut self, per_second: u32, now_ms: i64) -> bool {
        if per_second == 0 {
            return true;
        }
        let rate = f64::from(per_second);
        let passed = now_ms.saturating_sub(self.at_ms).clamp(0, 1_000) as f64 / 1_000.0;
        self.at_ms = now_ms;
        self.tokens = (self.tokens + passed * rate).min((rate / 10.0).max(1.0));
        if self.tokens < 1.0 {
            return false;
        }
        self.tokens -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_grows_by_one_and_halves_with_trouble_and_is_shared() {
        let mut pace = Pace::new(16, 100);
        let good = Seen { taken: 100, ..Seen::default() };
        for _ in 0..100 {
            pace.adjust(good);
        }
        assert_eq!(pace.grant(1, false), Grant { streams: 16, bytes: 16 << 20, per_second: 100 });
        assert_eq!(pace.grant(3, false), Grant { streams: 5, bytes: 5 << 20, per_second: 33 });
        for (seen, streams) in [
            (Seen { slowest: SLOW * 2, ..good }, 8),
            (Seen { trouble: true, ..good }, 4),
            (good, 5),
            (Seen::default(), 5),
            (Seen { closed: true, ..good }, 1),
            (Seen { trouble: true, ..good }, 1),
        ] {
            pace.adjust(seen);
            assert_eq!(pace.grant(1, false).streams, streams, "{seen:?}");
        }
        assert_eq!(pace.grant(1, true), Grant::default());
        assert_eq!(pace.grant(1_000, false).streams, 1, "nobody is left out");
    }

    #[test]
    fn a_rate_is_held_without_bursts() {
        let mut bucket = Bucket::default();
        let sent = (0..10_000).filter(|ms| bucket.take(50, 1_000_000 + ms)).count();
        assert!((495..=506).contains(&sent), "{sent}");
        assert!(Bucket::default().take(0, 0), "without a limit");
    }
}
