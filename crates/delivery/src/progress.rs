//! How the queue's backlog shrinks: what is due now, and how long it takes to try all of it.

use std::time::{Duration, Instant};

use store::{Order, Read as _};

use crate::estimate::{Amount, Shrinking};
use crate::schema::due_key_parts;
use crate::{Delivery, Result, queue};

/// What is due in the queue, and how long that takes. A leg is what one message has for one destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueProgress {
    /// Legs that are due now, at servers that answer.
    pub due: u64,
    /// Legs that are due at servers that don't answer: these are tried with one message at a time.
    pub resting: u64,
    /// Legs of the backlog that were tried since it began to shrink.
    pub tried: u64,
    /// How long it takes until all are tried that are due, at the present pace; none if that is not known.
    pub left: Option<Duration>,
}

/// What is known of it.
#[derive(Default)]
pub struct Progress {
    shrinking: Shrinking,
    due: u64,
    resting: u64,
}

impl Progress {
    /// Whether something is due, as far as was seen.
    pub fn is_busy(&self) -> bool {
        self.due + self.resting > 0
    }

    fn look(&mut self, now: Instant, tried: u64, due: u64, resting: u64) {
        (self.due, self.resting) = (due, resting);
        self.shrinking.look(now, Amount::of(tried), Amount::of(due), true);
    }

    fn seen(&self, now: Instant) -> QueueProgress {
        let (due, resting) = (self.due, self.resting);
        QueueProgress { due, resting, tried: self.shrinking.given(), left: self.shrinking.left(now, Amount::of(due)) }
    }
}

impl Delivery {
    /// What is due in the queue and how long that takes, as it was seen last by [`Self::run`].
    pub fn queue_progress(&self) -> QueueProgress {
        self.inner.progress.lock().seen(Instant::now())
    }

    /// Counts what is due. `tried` is how much of the backlog was tried since the last time. Blocking.
    pub(crate) fn count_due(&self, tried: u64, is_resting: impl Fn(&str) -> bool) -> Result<()> {
        let (snapshot, now_ms) = (self.inner.store.snapshot(), self.now_ms());
        let (mut due, mut resting) = (0, 0);
        let (mut destination, mut rests) = (String::new(), false);
        for row in snapshot.prefix(queue::QUEUE, b"d", Order::Ascending)? {
            let (key, _) = row?;
            let Some((of, due_ms, _)) = due_key_parts(&key) else { continue };
            if of != destination {
                of.clone_into(&mut destination);
                rests = is_resting(of);
            }
            if due_ms <= now_ms {
                *(if rests { &mut resting } else { &mut due }) += 1;
            }
        }
        let mut progress = self.inner.progress.lock();
        progress.look(Instant::now(), tried, due, resting);
        let seen = progress.seen(Instant::now());
        drop(progress);
        metrics::gauge!("holdfast_delivery_queue_due").set(seen.due as f64);
        metrics::gauge!("holdfast_delivery_queue_resting").set(seen.resting as f64);
        metrics::gauge!("holdfast_delivery_queue_left_seconds").set(seen.left.unwrap_or_default().as_secs_f64());
        Ok(())
    }
}
