//! How long the rest of a backlog takes, by the pace so far: for the queue, and for the mail that waits on relays.
//!
//! Recent time counts, so that the estimate follows a pace that changes; how much of it is recent is not known, so several
//! spans are looked at and their paces averaged. A pace that comes in bursts does not swing the estimate then. Where it is
//! seen that bytes cost time, and not only messages, the sizes of what was given and of what is left count too.
//!
//! Time in which nobody works on the backlog is left out; what was learned before it counts until there is a new pace.

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
/// For how long after a pause the pace from before it counts, less and less.
const SETTLES: Duration = Duration::from_secs(8);
/// Into how many pieces the time so far is divided to see what bytes cost.
const PIECES: usize = 24;
/// Bytes count if what is unexplained with them is at most this part of what is unexplained by messages alone.
const EXPLAINED: f64 = 0.5;

/// A number of messages, and their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// Messages, or what else is counted.
    pub count: u64,
    /// Their bytes; 0 if these are not known.
    pub bytes: u64,
}

impl Amount {
    /// Of unknown size.
    pub const fn of(count: u64) -> Self {
        Self { count, bytes: 0 }
    }

    fn since(self, before: Self) -> Self {
        Self { count: self.count.saturating_sub(before.count), bytes: self.bytes.saturating_sub(before.bytes) }
    }
}

/// What a message and a byte cost, in any unit.
#[derive(Debug, Clone, Copy)]
struct Cost {
    message: f64,
    byte: f64,
}

impl Cost {
    const MESSAGES_ALONE: Self = Self { message: 1.0, byte: 0.0 };

    fn of(self, amount: Amount) -> f64 {
        self.message * amount.count as f64 + self.byte * amount.bytes as f64
    }

    /// What explains best how long pieces of the work took.
    fn seen(pieces: &[(Amount, f64)]) -> Self {
        let sum = |of: &dyn Fn(f64, f64, f64) -> f64| -> f64 {
            pieces.iter().map(|(amount, took)| of(amount.count as f64, amount.bytes as f64, *took)).sum()
        };
        let (nn, nb, bb) = (sum(&|n, _, _| n * n), sum(&|n, b, _| n * b), sum(&|_, b, _| b * b));
        let (nt, bt) = (sum(&|n, _, t| n * t), sum(&|_, b, t| b * t));
        let determinant = nn * bb - nb * nb;
        if pieces.len() < PIECES / 3 || nn <= 0.0 || determinant <= 1e-6 * nn * bb {
            // Too little, or all of one size: nothing can be told apart.
            return Self::MESSAGES_ALONE;
        }
        let (message, byte) = ((nt * bb - bt * nb) / determinant, (bt * nn - nt * nb) / determinant);
        let cost = if byte <= 0.0 {
            return Self::MESSAGES_ALONE;
        } else if message <= 0.0 {
            Self { message: 0.0, byte: bt / bb }
        } else {
            Self { message, byte }
        };
        let left = |cost: Self| -> f64 { pieces.iter().map(|(amount, took)| (took - cost.of(*amount)).powi(2)).sum() };
        let alone = Self { message: nt / nn, byte: 0.0 };
        if left(cost) <= EXPLAINED * left(alone) { cost } else { Self::MESSAGES_ALONE }
    }
}

/// A pace, in units of a cost.
#[derive(Debug, Clone, Copy)]
struct Pace {
    cost: Cost,
    per_second: f64,
}

impl Pace {
    fn seconds_for(self, amount: Amount) -> f64 {
        self.cost.of(amount) / self.per_second
    }
}

#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    /// All that had been given by then.
    given: Amount,
}

/// How a backlog shrinks.
#[derive(Debug, Default)]
pub struct Shrinking {
    looks: VecDeque<Look>,
    given: Amount,
    /// The pace before the last pause.
    before: Option<Pace>,
}

impl Shrinking {
    /// So much was given, and so much waits; `runs`: it is worked on.
    pub fn look(&mut self, now: Instant, given: Amount, waiting: Amount, runs: bool) {
        if waiting.count == 0 {
            // The next backlog has a pace of its own.
            *self = Self::default();
            return;
        }
        self.given.count += given.count;
        self.given.bytes += given.bytes;
        if !runs {
            // A pause is no pace at all: time counts again from the first look after it.
            if let Some(last) = self.looks.back() {
                self.before = self.pace(last.at).or(self.before);
            }
            self.looks.clear();
            return;
        }
        if self.looks.back().is_some_and(|last| now.saturating_duration_since(last.at) < LOOK_EVERY) {
            return;
        }
        self.looks.push_back(Look { at: now, given: self.given });
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
        self.given.count
    }

    /// How long the rest takes; none before there is a pace.
    pub fn left(&self, now: Instant, waiting: Amount) -> Option<Duration> {
        let first = self.looks.front()?;
        let runs_for = now.saturating_duration_since(first.at);
        let fresh = (runs_for.as_secs_f64() / SETTLES.as_secs_f64()).min(1.0);
        let rates = [self.pace(now).map(|pace| (pace, fresh)), self.before.map(|pace| (pace, 1.0 - fresh))];
        let rates: Vec<_> = rates.into_iter().flatten().collect();
        let weight: f64 = rates.iter().map(|(_, weight)| weight).sum();
        // Averages the parts of the rest that are done in a second.
        let a_second: f64 = rates.iter().map(|(pace, weight)| weight / pace.seconds_for(waiting)).sum();
        Duration::try_from_secs_f64(weight / a_second).ok()
    }

    /// The pace since the work began, or went on.
    fn pace(&self, now: Instant) -> Option<Pace> {
        let first = self.looks.front()?;
        let cost = Cost::seen(&self.pieces());
        let whole = now.saturating_duration_since(first.at);
        let pace_since = |sixteenths: u32| {
            let look = self.last_look_until(first.at + whole * sixteenths / 16)?;
            let (took, given) = (now.saturating_duration_since(look.at), cost.of(self.given.since(look.given)));
            (given > 0.0 && !took.is_zero()).then(|| given / took.as_secs_f64())
        };
        let paces: Vec<f64> = BEGINNINGS.filter_map(pace_since).collect();
        let per_second = paces.iter().sum::<f64>() / paces.len() as f64;
        (!paces.is_empty()).then_some(Pace { cost, per_second })
    }

    fn last_look_until(&self, until: Instant) -> Option<&Look> {
        self.looks.get(self.looks.partition_point(|look| look.at <= until).checked_sub(1)?)
    }

    /// The time so far in pieces of about the same length: what was given in each, and its seconds.
    fn pieces(&self) -> Vec<(Amount, f64)> {
        let (Some(first), Some(last)) = (self.looks.front(), self.looks.back()) else { return Vec::new() };
        if last.given.bytes == first.given.bytes {
            return Vec::new();
        }
        let step = (last.at - first.at) / PIECES as u32;
        let (mut pieces, mut from) = (Vec::with_capacity(PIECES), first);
        for look in &self.looks {
            if look.at - from.at >= step && look.given.count > from.given.count {
                pieces.push((look.given.since(from.given), (look.at - from.at).as_secs_f64()));
                from = look;
            }
        }
        pieces
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
        shrinking.look(begun, Amount::default(), Amount::of(ALL), true);
        while given < ALL {
            exact += pace(took.as_secs_f64()) * STEP.as_secs_f64();
            took += STEP;
            let step = (exact as u64).min(ALL) - given;
            given += step;
            shrinking.look(begun + took, Amount::of(step), Amount::of(ALL - given), true);
            if given * 10 >= ALL && given < ALL {
                let left = shrinking.left(begun + took, Amount::of(ALL - given)).expect("a pace");
                said.push(took.as_secs_f64() + left.as_secs_f64());
            }
        }
        assert!(said.len() > 50, "{}", said.len());
        assert_eq!((shrinking.given(), shrinking.left(begun + took, Amount::default())), (0, None), "all is given");
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
        shrinking.look(at(0), Amount::of(0), Amount::of(100), true);
        shrinking.look(at(10), Amount::of(50), Amount::of(50), true);
        assert_eq!(shrinking.left(at(10), Amount::of(50)), Some(Duration::from_secs(10)));
        shrinking.look(at(11), Amount::of(0), Amount::of(50), false);
        assert_eq!(shrinking.left(at(1_000), Amount::of(50)), None);
        shrinking.look(at(1_000), Amount::of(0), Amount::of(50), true);
        let left = shrinking.left(at(1_001), Amount::of(50)).unwrap();
        assert!((9.0..12.0).contains(&left.as_secs_f64()), "as before the pause: {left:?}");
        shrinking.look(at(1_010), Amount::of(10), Amount::of(40), true);
        assert_eq!(shrinking.given(), 60);
        let left = shrinking.left(at(1_010), Amount::of(40)).unwrap();
        assert_eq!(left, Duration::from_secs(40), "the new pace counts");
    }

    /// A machine that needs so much time for each message and each byte.
    #[derive(Clone, Copy)]
    struct Machine {
        message_s: f64,
        mebibyte_s: f64,
    }

    /// What is done while a backlog is worked off: after so much of it is given.
    enum Event {
        /// Nobody works on it for so many seconds; the bool: that is noticed again and again during the pause.
        Pause(f64, bool),
        /// From then on all takes so many times as long.
        Slower(f64),
    }

    /// Works messages of these sizes off in their order, and gives how far the estimates were off, as a part of the time that
    /// the whole took without pauses, from a tenth on; after an event, once a tenth of the rest is done.
    fn furthest_off_by_size(sizes: &[u64], machine: Machine, events: &[(usize, Event)]) -> f64 {
        let begun = Instant::now();
        let mut shrinking = Shrinking::default();
        let mut left = Amount { count: sizes.len() as u64, bytes: sizes.iter().sum() };
        shrinking.look(begun, Amount::default(), left, true);
        let (mut clock, mut worked, mut slower) = (0.0, 0.0, 1.0);
        let (mut said, mut from, mut seen) = (Vec::new(), sizes.len() / 10, 0.0);
        let mut step = Amount::default();
        for (number, size) in sizes.iter().enumerate() {
            for (_, event) in events.iter().filter(|(at, _)| *at == number) {
                from = number + (sizes.len() - number) / 10;
                match event {
                    Event::Pause(seconds, is_seen) => {
                        let looks = if *is_seen { (seconds * 4.0) as u32 } else { 1 };
                        shrinking.look(begun + Duration::from_secs_f64(clock), step, left, false);
                        step = Amount::default();
                        for look in 0..looks {
                            let at = begun + Duration::from_secs_f64(clock + f64::from(look) / 4.0);
                            shrinking.look(at, Amount::default(), left, false);
                        }
                        clock += seconds;
                        shrinking.look(begun + Duration::from_secs_f64(clock), Amount::default(), left, true);
                    }
                    Event::Slower(times) => slower *= times,
                }
            }
            let takes = (machine.message_s + machine.mebibyte_s * *size as f64 / 1_048_576.0) * slower;
            (clock, worked) = (clock + takes, worked + takes);
            (left.count, left.bytes) = (left.count - 1, left.bytes - size);
            (step.count, step.bytes) = (step.count + 1, step.bytes + size);
            if clock - seen >= 0.25 || left.count == 0 {
                seen = clock;
                let now = begun + Duration::from_secs_f64(clock);
                shrinking.look(now, std::mem::take(&mut step), left, true);
                if number >= from && left.count > 0 {
                    said.push(worked + shrinking.left(now, left).expect("a pace").as_secs_f64());
                }
            }
        }
        assert!(said.len() > 10, "{}", said.len());
        said.into_iter().map(|total| (total / worked - 1.0).abs()).fold(0.0, f64::max)
    }

    /// The machines that the tests know: where messages cost, where bytes do (a thin line), and where both do.
    const MACHINES: [Machine; 3] = [
        Machine { message_s: 0.004, mebibyte_s: 0.01 },
        Machine { message_s: 0.001, mebibyte_s: 0.8 },
        Machine { message_s: 0.003, mebibyte_s: 0.1 },
    ];

    #[test]
    fn sizes_count_where_bytes_cost_time_whatever_their_order() {
        const COUNT: usize = 20_000;
        let mut random = StdRng::seed_from_u64(7);
        // As mail is: most of it small, some of it very large.
        let mut one = move || -> u64 {
            match random.random_range(0..100) {
                0..70 => random.random_range(1_000..8_000),
                70..96 => random.random_range(8_000..80_000),
                _ => random.random_range(200_000..2_000_000),
            }
        };
        let mixed: Vec<u64> = (0..COUNT).map(|_| one()).collect();
        // Weeks of newsletters, then nights of backups; and one in which large ones become more common.
        let by_turns: Vec<u64> = (0..COUNT).map(|at| if at / 400 % 3 == 0 { 120_000 } else { 4_000 }).collect();
        let growing: Vec<u64> =
            (0..COUNT).map(|at| if (at * at / COUNT) % 500 < at / 100 { 90_000 } else { 5_000 }).collect();
        let large_at_the_end: Vec<u64> =
            (0..COUNT).map(|at| if at > COUNT / 2 || at % 97 < 9 { 60_000 } else { 3_000 }).collect();
        for (kind, sizes) in
            [("mixed", &mixed), ("by turns", &by_turns), ("growing", &growing), ("large at the end", &large_at_the_end)]
        {
            for (number, machine) in MACHINES.into_iter().enumerate() {
                let off = furthest_off_by_size(sizes, machine, &[]);
                assert!(off < 0.2, "{kind}, machine {number}: {off}");
            }
        }
    }

    #[test]
    fn a_pause_does_not_spoil_the_estimate_however_long_it_is_and_whenever_it_comes() {
        let sizes = vec![5_000; 20_000];
        for machine in MACHINES {
            for seconds in [0.3, 2.0, 20.0, 600.0] {
                for at in [0, 10, 1_000, 6_000, 17_000] {
                    for is_seen in [false, true] {
                        let off = furthest_off_by_size(&sizes, machine, &[(at, Event::Pause(seconds, is_seen))]);
                        assert!(off < 0.05, "{seconds} s at {at}: {off}");
                    }
                }
            }
            let often: Vec<_> = (1..60).map(|number| (number * 300, Event::Pause(3.0, false))).collect();
            let off = furthest_off_by_size(&sizes, machine, &often);
            assert!(off < 0.05, "again and again: {off}");
        }
    }

    #[test]
    fn a_pace_that_changes_is_followed() {
        let sizes = vec![5_000; 30_000];
        for (at, times) in [(500, 2.0), (1_500, 1.5), (1_000, 0.5)] {
            // What is past does not come back: it counts until it is old enough.
            let off = furthest_off_by_size(&sizes, MACHINES[0], &[(at, Event::Slower(times))]);
            assert!(off < 0.2, "{times} times as slow from {at} on: {off}");
        }
        // A little slower all the time: in the end half again as long.
        let bit_by_bit: Vec<_> = (1..60).map(|number| (number * 500, Event::Slower(1.0 + 0.4 / 60.0))).collect();
        let sizes_off = furthest_off_by_size(&sizes, MACHINES[2], &bit_by_bit);
        assert!(sizes_off < 0.2, "slower bit by bit: {sizes_off}");
    }
}
