//! How long the rest of a backlog takes: at the pace of the later half of the time so far, so that it follows a pace that
//! changes.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Looks at the count that are kept: older ones are thinned out.
const MAX_LOOKS: usize = 512;
/// Between two looks at least.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How a backlog shrinks.
#[derive(Debug, Default)]
pub struct Shrinking {
    /// When, and how many had been given by then.
    looks: VecDeque<(Instant, u64)>,
    given: u64,
}

impl Shrinking {
    /// So many were given, and so many wait; `runs`: the primary takes mail.
    pub fn look(&mut self, now: Instant, given: u64, waiting: u64, runs: bool) {
        if waiting == 0 || !runs {
            // The next backlog has a pace of its own; a pause is no pace at all.
            self.looks.clear();
            if waiting == 0 {
                self.given = 0;
                return;
            }
        }
        self.given += given;
        if self.looks.back().is_some_and(|(last, _)| now.saturating_duration_since(*last) < LOOK_EVERY) {
            return;
        }
        self.looks.push_back((now, self.given));
        if self.looks.len() > MAX_LOOKS {
            let mut keep = false;
            self.looks.retain(|_| {
                keep = !keep;
                keep
            });
        }
    }

    /// How many were given since the backlog began to shrink.
    pub const fn given(&self) -> u64 {
        self.given
    }

    /// How long the rest takes; none before there is a pace.
    pub fn left(&self, now: Instant, waiting: u64) -> Option<Duration> {
        let (first, _) = self.looks.front()?;
        let middle = *first + now.saturating_duration_since(*first) / 2;
        let (from, before) = self.looks.iter().rev().find(|(at, _)| *at <= middle)?;
        let (took, given) = (now.saturating_duration_since(*from), self.given.saturating_sub(*before));
        if given == 0 {
            return None;
        }
        Duration::try_from_secs_f64(took.as_secs_f64() * waiting as f64 / given as f64).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_tenth_the_estimate_is_right_within_a_fifth_even_if_the_pace_grew_at_first() {
        let begun = Instant::now();
        // Messages a second by second: a pace that grows for ten seconds, then stays.
        let pace = |second: u64| if second < 10 { 10 + second * 9 } else { 100 };
        let (all, mut given, mut second) = (10_000, 0, 0);
        let mut said = Vec::new();
        let mut shrinking = Shrinking::default();
        while given < all {
            let now = begun + Duration::from_secs(second);
            let step = pace(second).min(all - given);
            shrinking.look(now, 0, all - given, true);
            given += step;
            second += 1;
            shrinking.look(now + Duration::from_secs(1), step, all - given, true);
            if given * 10 >= all && given < all {
                let left = shrinking.left(now + Duration::from_secs(1), all - given).unwrap();
                said.push((second, left.as_secs_f64()));
            }
        }
        assert!(said.len() > 50);
        for (at, left) in said {
            let right = (second - at) as f64;
            assert!((left - right).abs() <= right * 0.2 + 1.0, "at {at}: {left} of {right}");
        }
        shrinking.look(begun, 0, 0, true);
        assert_eq!((shrinking.given(), shrinking.left(begun, 0)), (0, None), "all is given");
    }
}
