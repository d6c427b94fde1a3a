//! How long the rest of a backlog takes, by the pace so far: for the queue, and for the mail that waits on relays.
//!
//! Recent time counts, so that the estimate follows a pace that changes; how much of it is recent is not known, so several
//! spans are looked at and their paces averaged. A pace that comes in bursts does not swing the estimate then.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Looks at the count that are kept: older ones are thinned out.
const MAX_LOOKS: usize = 512;
/// Between two looks at least.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// After how many sixteenths of the time so far the spans begin.
const BEGINNINGS: std::ops::RangeInclusive<u32> = 3..=9;

/// How a backlog shrinks.
#[derive(Debug, Default)]
pub struct Shrinking {
    /// When, and how many had been given by then.
    looks: VecDeque<(Instant, u64)>,
    given: u64,
}

impl Shrinking {
    /// So many were given, and so many wait; `runs`: it is worked on.
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
        let whole = now.saturating_duration_since(*first);
        let pace_since = |sixteenths: u32| {
            let since = *first + whole * sixteenths / 16;
            let (from, before) = self.looks.get(self.looks.partition_point(|(at, _)| *at <= since).checked_sub(1)?)?;
            let (took, given) = (now.saturating_duration_since(*from), self.given.saturating_sub(*before));
            (given > 0 && !took.is_zero()).then(|| given as f64 / took.as_secs_f64())
        };
        let paces: Vec<f64> = BEGINNINGS.filter_map(pace_since).collect();
        if paces.is_empty() {
            return None;
        }
        let pace = paces.iter().sum::<f64>() / paces.len() as f64;
        Duration::try_from_secs_f64(waiting as f64 / pace).ok()
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

    use super::*;

    const ALL: u64 = 20_000;
    const STEP: Duration = Duration::from_millis(250);

    /// Works a backlog off at a pace in messages a second, and gives the furthest that the time in all was off, as the
    /// estimates had it once a tenth was done, as a part of it.
    fn furthest_off(mut pace: impl FnMut(f64) -> f64) -> f64 {
        let begun = Instant::now();
        let (mut shrinking, mut said) = (Shrinking::default(), Vec::new());
        let (mut given, mut exact, mut took) = (0, 0.0, Duration::ZERO);
        shrinking.look(begun, 0, ALL, true);
        while given < ALL {
            exact += pace(took.as_secs_f64()) * STEP.as_secs_f64();
            took += STEP;
            let step = (exact as u64).min(ALL) - given;
            given += step;
            shrinking.look(begun + took, step, ALL - given, true);
            if given * 10 >= ALL && given < ALL {
                let left = shrinking.left(begun + took, ALL - given).expect("a pace");
                said.push(took.as_secs_f64() + left.as_secs_f64());
            }
        }
        assert!(said.len() > 50, "{}", said.len());
        assert_eq!((shrinking.given(), shrinking.left(begun + took, 0)), (0, None), "all is given");
        let all = took.as_secs_f64();
        said.into_iter().map(|total| (total / all - 1.0).abs()).fold(0.0, f64::max)
    }

    /// Bursts of so many seconds at one pace, then as many at the other.
    fn bursts(seconds: f64, high: f64, low: f64) -> impl FnMut(f64) -> f64 {
        move |at| if at % (2.0 * seconds) < seconds { high } else { low }
    }

    /// A pace that grows by one each half second and halves at `most`, as the primary grants it.
    fn granted(most: f64, each: f64) -> impl FnMut(f64) -> f64 {
        let mut streams = 4.0;
        move |_| {
            streams += 0.5;
            if streams > most {
                streams /= 2.0;
            }
            streams * each
        }
    }

    #[test]
    fn after_a_tenth_the_estimate_is_right_within_a_fifth_whatever_the_pace_does() {
        for constant in [3.0, 40.0, 100.0, 900.0] {
            let off = furthest_off(|_| constant);
            assert!(off < 0.03, "{constant} a second: {off}");
        }
        for seed in 0..20 {
            let mut random = StdRng::seed_from_u64(seed);
            let off = furthest_off(|_| f64::from(random.random_range(20..180)));
            assert!(off < 0.2, "seed {seed}: {off}");
        }
        let kinds: [(&str, f64); 10] = [
            ("grows", furthest_off(|at| 100.0f64.min(10.0 + 9.0 * at))),
            ("begins after a while", furthest_off(|at| if at < 4.0 { 0.0 } else { 100.0 })),
            ("halves at first", furthest_off(|at| if at < 4.0 { 200.0 } else { 100.0 })),
            ("falls at first", furthest_off(|at| 100.0f64.max(200.0 - 25.0 * at))),
            ("halves again and again", furthest_off(granted(40.0, 5.0))),
            ("halves again and again, quickly", furthest_off(granted(12.0, 10.0))),
            ("short bursts", furthest_off(bursts(1.0, 200.0, 0.0))),
            ("bursts", furthest_off(bursts(2.0, 200.0, 0.0))),
            ("long bursts", furthest_off(bursts(4.0, 200.0, 20.0))),
            ("long bursts of a slow machine", furthest_off(bursts(8.0, 40.0, 5.0))),
        ];
        for (kind, off) in kinds {
            assert!(off < 0.2, "{kind}: {off}");
        }
    }

    #[test]
    fn a_pause_is_no_pace_and_what_was_given_before_it_still_counts_as_given() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut shrinking = Shrinking::default();
        shrinking.look(at(0), 0, 100, true);
        shrinking.look(at(10), 50, 50, true);
        assert_eq!(shrinking.left(at(10), 50), Some(Duration::from_secs(10)));
        shrinking.look(at(11), 0, 50, false);
        assert_eq!(shrinking.left(at(1_000), 50), None);
        shrinking.look(at(1_000), 0, 50, true);
        shrinking.look(at(1_010), 10, 40, true);
        assert_eq!(shrinking.given(), 60);
        let left = shrinking.left(at(1_010), 40).unwrap();
        assert!(left > Duration::from_secs(35), "the new pace counts: {left:?}");
    }
}
