//! Counters that are kept beside what they count.

use num::Counter;

/// A counter after a step. One that would leave its range has drifted from what it counts: a bug, or damage. It stays
/// where its range ends, so that the account goes on working, but not in silence: it is measured and logged, and the check
/// of the account's rules finds the difference.
pub(crate) fn stepped<N: Counter>(what: &'static str, from: N, by: i64) -> N {
    from.step(by).unwrap_or_else(|| {
        drifted(what, from);
        if by < 0 { N::default() } else { from }
    })
}

fn drifted(what: &'static str, from: impl Counter) {
    metrics::counter!("holdfast_mail_counter_drift_total", "counter" => what).increment(1);
    tracing::error!(counter = what, from = from.number(), "a counter has drifted: run `holdfast verify`");
}

/// The same, less a number of things.
pub(crate) fn less<N: Counter>(what: &'static str, from: N, by: u64) -> N {
    from.less(by).unwrap_or_else(|| {
        drifted(what, from);
        N::default()
    })
}

mod num {
    /// What counters are.
    pub(crate) trait Counter: Copy + Default {
        fn step(self, by: i64) -> Option<Self>;
        fn less(self, by: u64) -> Option<Self>;
        fn number(self) -> u64;
    }

    impl Counter for u32 {
        fn step(self, by: i64) -> Option<Self> {
            i64::from(self).checked_add(by)?.try_into().ok()
        }

        fn less(self, by: u64) -> Option<Self> {
            self.checked_sub(by.try_into().ok()?)
        }

        fn number(self) -> u64 {
            self.into()
        }
    }

    impl Counter for u64 {
        fn step(self, by: i64) -> Option<Self> {
            self.checked_add_signed(by)
        }

        fn less(self, by: u64) -> Option<Self> {
            self.checked_sub(by)
        }

        fn number(self) -> u64 {
            self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_goes_up_and_down_and_stays_in_its_range_when_it_has_drifted() {
        for (from, by, after) in [(5_u32, -5, 0), (5, 1, 6), (0, 0, 0), (0, -1, 0), (3, -4, 0), (u32::MAX, 1, u32::MAX)]
        {
            assert_eq!(stepped("test", from, by), after, "{from} {by}");
            assert_eq!(stepped("test", u64::from(from), by) == u64::from(after), from != u32::MAX, "{from} {by}");
        }
        assert_eq!(less("test", 10_u64, 3), 7);
        assert_eq!(less("test", 10_u64, u64::MAX), 0);
        assert_eq!(less("test", u64::MAX, u64::MAX), 0);
    }
}
