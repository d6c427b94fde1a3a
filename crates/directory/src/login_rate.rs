//! How many logins are tried in a second.

use std::{collections::VecDeque, time::Instant};

use parking_lot::Mutex;

/// Seconds over which logins are averaged.
pub(crate) const RATE_SECONDS: u64 = 10;

/// Recent login attempts.
#[derive(Debug)]
pub(crate) struct LoginRate {
    pub begun: Instant,
    /// Second since `begun`, and how many were tried in it; the newest last.
    pub seconds: Mutex<VecDeque<(u64, u64)>>,
}

impl Default for LoginRate {
    fn default() -> Self {
        Self { begun: Instant::now(), seconds: Mutex::default() }
    }
}

impl LoginRate {
    pub(crate) fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.begun).as_secs()
    }

    pub(crate) fn count(&self, now: Instant) {
        let now = self.second(now);
        let mut seconds = self.seconds.lock();
        match seconds.back_mut() {
            Some((second, count)) if *second >= now => *count += 1,
            _ => seconds.push_back((now, 1)),
        }
        while seconds.front().is_some_and(|(second, _)| second + RATE_SECONDS < now) {
            seconds.pop_front();
        }
    }

    pub(crate) fn rate(&self, now: Instant) -> f64 {
        let now = self.second(now);
        let seconds = self.seconds.lock();
        let recent =
            seconds.iter().filter(|(second, _)| second + RATE_SECONDS > now).map(|(_, count)| count).sum::<u64>();
        recent as f64 / RATE_SECONDS as f64
    }
}
