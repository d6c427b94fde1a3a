//! Limits how long a client may leave sent data unread.
//!
//! A client that requests data and doesn't read it makes the server hold its answers and their sources. Waiting for a
//! client has a budget: waiting time is added up, and the data that the client reads pays it off, one second per
//! kilobyte. A client that reads nothing is disconnected after [`PATIENCE`]; so is one that reads a byte now and then.
//! A client that reads as slowly as the slowest telephone line is served forever.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep};

/// How long to wait for a connection that reads nothing.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// The minimum reading speed per second, once the patience is used up.
pub const SLOWEST_BYTES_PER_SECOND: u32 = 1024;

/// What is left of a client's patience budget, without a clock.
#[derive(Debug)]
struct Budget {
    all: Duration,
    used: Duration,
}

impl Budget {
    fn waited(&mut self, time: Duration) {
        self.used += time;
    }

    fn taken(&mut self, bytes: usize) {
        if !self.used.is_zero() {
            let paid = Duration::from_secs(1) / SLOWEST_BYTES_PER_SECOND * u32::try_from(bytes).unwrap_or(u32::MAX);
            self.used = self.used.saturating_sub(paid);
        }
    }

    const fn left(&self) -> Duration {
        self.all.saturating_sub(self.used)
    }
}

/// The waiting time of one connection.
pub(crate) struct Patience {
    budget: Budget,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl Patience {
    pub(crate) const fn new(all: Duration) -> Self {
        Self { budget: Budget { all, used: Duration::ZERO }, waiting: None }
    }

    /// What there was in the beginning.
    pub(crate) const fn all(&self) -> Duration {
        self.budget.all
    }

    /// The client has read this many bytes.
    pub(crate) fn taken(&mut self, bytes: usize) {
        if let Some((since, _)) = self.waiting.take() {
            self.budget.waited(since.elapsed());
        }
        self.budget.taken(bytes);
    }

    /// The client reads nothing now: ready once that has lasted too long.
    pub(crate) fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let left = self.budget.left();
        let (_, timer) = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(tokio::time::sleep_until(now + left)))
        });
        timer.as_mut().poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long a client is borne that takes `bytes` at a time, waited for `pause` before each; none: longer than a day.
    fn borne(bytes: usize, pause: Duration) -> Option<Duration> {
        let (mut budget, mut now) = (Budget { all: PATIENCE, used: Duration::ZERO }, Duration::ZERO);
        while now < Duration::from_secs(86_400) {
            if budget.left() < pause {
                return Some(now + budget.left());
            }
            now += pause;
            budget.waited(pause);
            budget.taken(bytes);
        }
        None
    }

    #[test]
    fn who_takes_nothing_or_next_to_nothing_is_given_up_and_who_is_slow_is_not() {
        // Bytes at a time, seconds between, given up.
        let cases = [
            (0, 3600, true),
            (0, 59, true),
            (1, 1, true),
            (1, 59, true),
            (100, 1, true),
            (500, 1, true),
            (5_000, 10, true),
            (1_100, 1, false),
            (11_000, 10, false),
            (61_000, 50, false),
            (1 << 20, 59, false),
        ];
        for (bytes, pause, given_up) in cases {
            let borne = borne(bytes, Duration::from_secs(pause));
            assert_eq!(borne.is_some(), given_up, "{bytes} bytes each {pause} s: {borne:?}");
            assert!(borne.is_none_or(|borne| borne >= PATIENCE), "{bytes} bytes each {pause} s: {borne:?}");
        }
        assert_eq!(borne(0, Duration::from_secs(3600)), Some(PATIENCE));
        assert!(borne(1, Duration::from_secs(59)).is_some_and(|borne| borne < PATIENCE * 2));
    }
}
