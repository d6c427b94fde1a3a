//! How far long work is, and how long the rest of it may take.

use std::time::Duration;

/// How far something is that is copied for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// Of a hundred; a hundred only when nothing is left.
    pub percent: u8,
    /// About how many bytes it is in all.
    pub bytes_total: u64,
    /// About how long the rest takes, as fast as it went so far.
    pub left: Duration,
}

impl Estimate {
    /// From so many things done of so many, the bytes of those that are done, and the time that they took. None before
    /// anything is done, as nothing can be told then.
    pub fn of(done: u64, total: u64, bytes: u64, took: Duration) -> Option<Self> {
        if done == 0 {
            return None;
        }
        let total = total.max(done);
        let scaled = |of: u64| u64::try_from(u128::from(of) * u128::from(total) / u128::from(done)).unwrap_or(u64::MAX);
        let percent = u128::from(done) * 100 / u128::from(total);
        let left = took.as_secs_f64() * (total - done) as f64 / done as f64;
        Some(Self {
            percent: u8::try_from(percent).unwrap_or(100),
            bytes_total: scaled(bytes),
            left: Duration::try_from_secs_f64(left).unwrap_or(Duration::MAX),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_takes_as_long_as_what_is_done_took_and_a_hundred_means_all() {
        let of = |done, total, bytes, seconds| Estimate::of(done, total, bytes, Duration::from_secs(seconds));
        for (done, total, bytes, seconds, wanted) in [
            (0, 0, 0, 0, None),
            (0, 100, 0, 60, None),
            (1, 2, 10, 30, Some((50, 20, 30))),
            (62, 100, 8_680, 744, Some((62, 14_000, 456))),
            (999, 1000, 999, 999, Some((99, 1000, 1))),
            (1000, 1000, 5, 7, Some((100, 5, 0))),
            // More came than was known of.
            (12, 10, 12, 7, Some((100, 12, 0))),
            (1, u64::MAX, 1, 0, Some((0, u64::MAX, 0))),
        ] {
            let found = of(done, total, bytes, seconds);
            let found = found.map(|found| (found.percent, found.bytes_total, found.left.as_secs()));
            assert_eq!(found, wanted, "{done} of {total}");
        }
        assert_eq!(of(1, u64::MAX, u64::MAX, u64::MAX).unwrap().left, Duration::MAX);
    }
}
