//! Pauses applying at a given commit, so that the state at that commit can be read while the rest continues.

use std::sync::Arc;

use store::{Commit, Seq};
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio_util::sync::CancellationToken;

/// The commit at which applying stops.
pub(super) struct Brake {
    /// Held by the task that stops it: one at a time.
    turn: Mutex<()>,
    /// Held while something is applied.
    applying: Mutex<()>,
    limit: watch::Sender<Option<Seq>>,
}

impl Default for Brake {
    fn default() -> Self {
        Self { turn: Mutex::default(), applying: Mutex::default(), limit: watch::channel(None).0 }
    }
}

/// Applying is stopped until this goes.
pub(super) struct Stopped<'a> {
    brake: &'a Brake,
    _turn: MutexGuard<'a, ()>,
}

impl Stopped<'_> {
    /// Lets what comes up to a commit be applied.
    pub(super) fn go_on_to(&self, seq: Seq) {
        self.brake.limit.send_replace(Some(seq));
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.brake.limit.send_replace(None);
    }
}

impl Brake {
    /// Stops applying. What is being applied is done when this returns.
    pub(super) async fn stop(&self) -> Stopped<'_> {
        let turn = self.turn.lock().await;
        let _applying = self.applying.lock().await;
        self.limit.send_replace(Some(Seq(0)));
        Stopped { brake: self, _turn: turn }
    }

    /// The first of `commits` that may be applied now, once there are some; nothing stops them when `cut`. They are to be
    /// applied while the guard is held.
    pub(super) async fn some_of(
        &self,
        commits: &mut Vec<Arc<Commit>>,
        cut: &CancellationToken,
    ) -> (Vec<Arc<Commit>>, MutexGuard<'_, ()>) {
        let mut limit = self.limit.subscribe();
        loop {
            let applying = self.applying.lock().await;
            let now = *limit.borrow_and_update();
            let may = |commit: &Arc<Commit>| cut.is_cancelled() || now.is_none_or(|limit| commit.seq() <= limit);
            let count = commits.iter().take_while(|commit| may(commit)).count();
            if count > 0 || commits.is_empty() {
                let rest = commits.split_off(count);
                return (std::mem::replace(commits, rest), applying);
            }
            drop(applying);
            tokio::select! {
                _ = limit.changed() => {}
                () = cut.cancelled() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commits(seqs: impl IntoIterator<Item = u64>) -> Vec<Arc<Commit>> {
        seqs.into_iter().map(|seq| Arc::new(Commit { seq_raw: seq, ..Commit::default() })).collect()
    }

    fn seqs(commits: &[Arc<Commit>]) -> Vec<u64> {
        commits.iter().map(|commit| commit.seq().0).collect()
    }

    #[tokio::test]
    async fn applying_stops_at_the_commit_that_is_wanted_and_goes_on_after() {
        let (brake, cut) = (Brake::default(), CancellationToken::new());
        let mut left = commits(1..=6);
        left.truncate(6);
        let mut first = left.drain(..2).collect();
        let (now, applying) = brake.some_of(&mut first, &cut).await;
        assert_eq!(seqs(&now), [1, 2]);
        // What is being applied is waited for.
        let mut stopping = Box::pin(brake.stop());
        assert!(futures_util::poll!(&mut stopping).is_pending());
        drop(applying);
        let stopped = stopping.await;
        let mut waiting = Box::pin(brake.some_of(&mut left, &cut));
        assert!(futures_util::poll!(&mut waiting).is_pending(), "nothing is applied");
        stopped.go_on_to(Seq(4));
        let (now, applying) = waiting.await;
        assert_eq!(seqs(&now), [3, 4]);
        drop(applying);
        let mut waiting = Box::pin(brake.some_of(&mut left, &cut));
        assert!(futures_util::poll!(&mut waiting).is_pending(), "what comes after it waits");
        drop(stopped);
        assert_eq!(seqs(&waiting.await.0), [5, 6]);
        // A promotion does not wait.
        let _stopped = brake.stop().await;
        let mut last = commits([7]);
        let mut waiting = Box::pin(brake.some_of(&mut last, &cut));
        assert!(futures_util::poll!(&mut waiting).is_pending());
        cut.cancel();
        assert_eq!(seqs(&waiting.await.0), [7]);
    }
}
