//! When to renew, and when to try again: decided by numbers alone.

use serde::{Deserialize, Serialize};

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;

/// Authorities stop looking at a name after so many failures within an hour (Let's Encrypt: five).
pub const FAILURES_PER_HOUR: usize = 5;
/// The longest wait between two tries.
pub const LONGEST_WAIT_MS: i64 = DAY;
/// The longest wait that an authority can ask for.
pub const LONGEST_HOLD_MS: i64 = 7 * DAY;
/// From here on an expiring certificate is an alarm.
pub const ALARM_MS: i64 = 14 * DAY;
/// After failing for so long there is an alarm, whatever time is left.
pub const FAILING_ALARM_MS: i64 = 7 * DAY;
/// The same where there is no certificate yet.
pub const FIRST_ALARM_MS: i64 = HOUR;

/// When an authority wants a certificate renewed (ARI, RFC 9773).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Where in the authority's window we will renew, chosen at random once.
    pub at_ms: i64,
    /// The window's beginning.
    pub start_ms: i64,
    /// The window's end.
    pub end_ms: i64,
    /// When to ask again.
    pub ask_again_ms: i64,
}

impl Window {
    /// A point in the window; the one that was chosen before if the window is still the same.
    pub fn choose(before: Option<&Self>, (start_ms, end_ms): (i64, i64), ask_again_ms: i64, chance: f64) -> Self {
        if let Some(before) = before.filter(|before| (before.start_ms, before.end_ms) == (start_ms, end_ms)) {
            return Self { ask_again_ms, ..before.clone() };
        }
        let width = (end_ms - start_ms).max(0);
        let at_ms = start_ms + (width as f64 * chance.clamp(0.0, 1.0)) as i64;
        Self { at_ms, start_ms, end_ms, ask_again_ms }
    }
}

/// When a certificate is renewed: when its authority says, otherwise at two thirds of its life. An authority's window can't
/// put it off beyond five sixths of the life: an answer that is wrong must not let it end.
pub fn renew_at(not_before_ms: i64, not_after_ms: i64, window: Option<&Window>) -> i64 {
    let life = (not_after_ms - not_before_ms).max(0);
    match window {
        Some(window) => window.at_ms.min(not_before_ms + life / 6 * 5),
        None => not_before_ms + life / 3 * 2,
    }
}

/// What went wrong, as far as waiting is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The authority can't be reached, or has a fault: nothing counts against us.
    Away,
    /// It looked, and did not find the proof: it counts this.
    Refused,
    /// It told us to come later.
    Hold {
        /// When.
        until_ms: i64,
    },
}

/// When to try again after `in_a_row` failures (this one included). `chance` is between 0 and 1: not all services come back
/// in the same second.
pub fn next_try(now_ms: i64, cause: Cause, in_a_row: u32, chance: f64) -> i64 {
    let doubled = |first: i64, longest: i64| {
        let steps = in_a_row.saturating_sub(1).min(16);
        (first << steps).min(longest)
    };
    let chance = chance.clamp(0.0, 1.0);
    // Between three quarters and five quarters.
    let about = |wait: i64| (wait as f64 * (0.75 + chance / 2.0)) as i64;
    match cause {
        Cause::Away => now_ms + about(doubled(MINUTE, 6 * HOUR)).max(30 * SECOND),
        // Two within the first hour, five within the first day.
        Cause::Refused => now_ms + about(doubled(20 * MINUTE, 18 * HOUR)).max(13 * MINUTE),
        Cause::Hold { until_ms } => {
            let wait = (until_ms - now_ms).clamp(MINUTE, LONGEST_HOLD_MS);
            now_ms + wait + (chance * 5.0 * MINUTE as f64) as i64
        }
    }
}

/// The time from which a name may be tried again, after these failures; `None` is now.
pub fn free_from(failures_ms: &[i64], now_ms: i64) -> Option<i64> {
    let mut recent: Vec<i64> = failures_ms.iter().copied().filter(|at| *at <= now_ms && now_ms - at < HOUR).collect();
    recent.sort_unstable();
    let over = recent.len().checked_sub(FAILURES_PER_HOUR)?;
    Some(recent[over] + HOUR)
}

/// Forgets failures that no longer count; those that a wrong clock has put into the future, too.
pub fn forget_old(failures_ms: &mut Vec<i64>, now_ms: i64) {
    failures_ms.retain(|at| *at <= now_ms && now_ms - at < HOUR);
}

/// A time that was noted, and that a clock which was ahead may have put too far into the future.
pub fn sane(noted_ms: i64, longest_ms: i64, now_ms: i64) -> i64 {
    // Five minutes and a half are what `next_try` may add to the longest hold.
    let slack = 6 * MINUTE;
    if noted_ms > now_ms + longest_ms + slack + longest_ms / 4 { now_ms } else { noted_ms }
}

/// From when on the end of a certificate is an alarm: fourteen days before, or the last sixth of a short life.
pub fn alarm_at(not_before_ms: i64, not_after_ms: i64) -> i64 {
    not_after_ms - ALARM_MS.min((not_after_ms - not_before_ms).max(0) / 6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_at_two_thirds_or_when_the_authority_says() {
        assert_eq!(renew_at(0, 90 * DAY, None), 60 * DAY);
        assert_eq!(renew_at(0, 6 * DAY, None), 4 * DAY);
        let window = |start, end| Window::choose(None, (start, end), 0, 0.5);
        assert_eq!(renew_at(0, 90 * DAY, Some(&window(10 * DAY, 12 * DAY))), 11 * DAY, "it was revoked, say");
        assert_eq!(renew_at(0, 90 * DAY, Some(&window(62 * DAY, 64 * DAY))), 63 * DAY);
        assert_eq!(renew_at(0, 90 * DAY, Some(&window(89 * DAY, 400 * DAY))), 75 * DAY, "never too late");
        assert_eq!(renew_at(90 * DAY, 0, None), 90 * DAY, "a certificate that makes no sense is renewed");
    }

    #[test]
    fn the_point_in_a_window_is_chosen_once() {
        let first = Window::choose(None, (0, 1000), 5, 0.25);
        assert_eq!(first.at_ms, 250);
        let again = Window::choose(Some(&first), (0, 1000), 9, 0.9);
        assert_eq!((again.at_ms, again.ask_again_ms), (250, 9));
        assert_eq!(Window::choose(Some(&first), (0, 2000), 9, 0.9).at_ms, 1800, "another window");
        assert_eq!(Window::choose(None, (1000, 0), 9, 0.9).at_ms, 1000, "one that ends before it begins");
    }

    /// Fails for `days`; gives the times.
    fn fails(cause: impl Fn(i64) -> Cause, days: i64, chance: f64) -> Vec<i64> {
        let (mut now, mut times) = (0, Vec::new());
        while now < days * DAY {
            times.push(now);
            now = next_try(now, cause(now), times.len() as u32, chance);
        }
        times
    }

    #[test]
    fn refusals_never_reach_the_limit_of_an_hour_and_never_stop() {
        for chance in [0.0, 0.3, 0.5, 1.0, 7.0, -1.0] {
            let times = fails(|_| Cause::Refused, 40, chance);
            for at in &times {
                let within = times.iter().filter(|other| (0..HOUR).contains(&(at - **other))).count();
                assert!(within < FAILURES_PER_HOUR, "{chance}: {within} in an hour");
            }
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= LONGEST_WAIT_MS), "{chance}");
            assert!(times.len() > 40, "{chance}: at least once a day");
        }
    }

    #[test]
    fn an_authority_that_is_away_for_forty_days_is_asked_all_the_time_and_seldom() {
        for chance in [0.0, 0.5, 1.0] {
            let times = fails(|_| Cause::Away, 40, chance);
            assert!((120..400).contains(&times.len()), "{}", times.len());
            assert!(times[1] <= 2 * MINUTE, "soon at first");
            assert!(times.windows(2).all(|pair| pair[1] - pair[0] <= 8 * HOUR));
        }
    }

    #[test]
    fn a_hold_is_kept_to_and_bounded() {
        let until = |until_ms| next_try(0, Cause::Hold { until_ms }, 1, 0.0);
        assert_eq!(until(3 * HOUR), 3 * HOUR);
        assert_eq!(until(-5), MINUTE, "in the past");
        assert_eq!(until(400 * DAY), LONGEST_HOLD_MS);
        let late = next_try(0, Cause::Hold { until_ms: HOUR }, 1, 1.0);
        assert!((HOUR..=HOUR + 5 * MINUTE).contains(&late));
    }

    #[test]
    fn five_failures_within_an_hour_are_the_end_for_that_hour() {
        let failures = [0, MINUTE, 2 * MINUTE, 3 * MINUTE, 4 * MINUTE];
        assert_eq!(free_from(&failures[..4], 5 * MINUTE), None);
        assert_eq!(free_from(&failures, 5 * MINUTE), Some(HOUR));
        assert_eq!(free_from(&failures, HOUR), None);
        assert_eq!(free_from(&[failures.as_slice(), &[5 * MINUTE]].concat(), 6 * MINUTE), Some(HOUR + MINUTE));
        assert_eq!(free_from(&[90 * DAY; 9], 0), None, "a clock that was ahead");
        let mut all = vec![-2 * HOUR, 0, 50 * MINUTE, 3 * HOUR];
        forget_old(&mut all, HOUR - 1);
        assert_eq!(all, [0, 50 * MINUTE]);
    }

    #[test]
    fn what_a_clock_that_was_ahead_has_noted_does_not_count() {
        let ten_years = 3650 * DAY;
        assert_eq!(sane(ten_years, LONGEST_WAIT_MS, 0), 0);
        assert_eq!(sane(20 * HOUR, LONGEST_WAIT_MS, 0), 20 * HOUR);
        assert_eq!(sane(-5, LONGEST_WAIT_MS, 0), -5);
        for chance in [0.0, 1.0] {
            for cause in [Cause::Away, Cause::Refused, Cause::Hold { until_ms: 900 * DAY }] {
                let noted = next_try(0, cause, 30, chance);
                assert_eq!(sane(noted, LONGEST_HOLD_MS, 0), noted, "what we note ourselves holds");
            }
        }
    }

    #[test]
    fn the_alarm_comes_in_time() {
        assert_eq!(alarm_at(0, 90 * DAY), 76 * DAY);
        assert_eq!(alarm_at(0, 6 * DAY), 5 * DAY);
        assert!(alarm_at(0, 90 * DAY) > renew_at(0, 90 * DAY, None));
        assert!(alarm_at(0, 6 * DAY) > renew_at(0, 6 * DAY, None));
    }
}
