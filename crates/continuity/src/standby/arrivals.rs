//! The arrival times of commits from the primary.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use store::Seq;

/// Commits that came within so long are remembered as having come together.
pub(super) const TOGETHER: Duration = Duration::from_secs(1);
/// Heartbeats whose commits have not arrived yet.
pub(super) const MAX_BEATS: usize = 1_000;

/// Arrival times of commits.
#[derive(Default)]
pub(super) struct Arrivals {
    /// Up to which commit was there when, the oldest first.
    pub marks: VecDeque<(Seq, Instant)>,
    /// What the primary said it had when, by this machine's clock, in milliseconds since 1970.
    pub beats: VecDeque<(Seq, i64)>,
}

impl Arrivals {
    /// Commits up to `seq` have arrived.
    pub(super) fn note(&mut self, seq: Seq, now: Instant) {
        match self.marks.back_mut() {
            Some((upto, at)) if now.duration_since(*at) < TOGETHER => *upto = seq,
            _ => self.marks.push_back((seq, now)),
        }
    }

    /// When a commit came, if it came since this process began. Earlier ones are forgotten.
    pub(super) fn of(&mut self, seq: Seq) -> Option<Instant> {
        while self.marks.front().is_some_and(|(upto, _)| *upto < seq) {
            self.marks.pop_front();
        }
        self.marks.front().map(|(_, at)| *at)
    }

    pub(super) fn beat(&mut self, seq: Seq, now_ms: i64) {
        if self.beats.len() < MAX_BEATS {
            self.beats.push_back((seq, now_ms));
        }
    }

    /// The last moment of which everything is here, if that has moved on.
    pub(super) fn complete(&mut self, received: Seq) -> Option<i64> {
        let mut complete = None;
        while let Some((seq, at_ms)) = self.beats.front()
            && *seq <= received
        {
            complete = Some(*at_ms);
            self.beats.pop_front();
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_complete_once_all_is_here_that_the_primary_had_then() {
        let mut arrivals = Arrivals::default();
        arrivals.beat(Seq(5), 1_000);
        arrivals.beat(Seq(5), 3_000);
        arrivals.beat(Seq(9), 5_000);
        assert_eq!(arrivals.complete(Seq(4)), None);
        assert_eq!(arrivals.complete(Seq(7)), Some(3_000));
        assert_eq!(arrivals.complete(Seq(7)), None);
        assert_eq!(arrivals.complete(Seq(9)), Some(5_000));
    }

    #[test]
    fn a_commit_came_when_the_first_run_was_there_that_reaches_it() {
        let mut arrivals = Arrivals::default();
        let long_ago = Instant::now();
        let now = long_ago + Duration::from_secs(60);
        arrivals.note(Seq(5), long_ago);
        arrivals.note(Seq(8), now);
        arrivals.note(Seq(9), now + TOGETHER / 2);
        assert_eq!(arrivals.of(Seq(3)), Some(long_ago));
        assert_eq!(arrivals.of(Seq(6)), Some(now));
        assert_eq!(arrivals.of(Seq(9)), Some(now), "it came within the same second");
        assert_eq!(arrivals.of(Seq(10)), None);
    }
}
