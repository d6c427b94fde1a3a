//! What the runner is told of the queue, besides what stands in it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::schema::LegId;

/// Most hints that wait for the runner; beyond, it looks through the queue instead.
pub(crate) const MAX_HINTS: usize = 10_000;

/// A leg was added to the queue, or its due time changed.
#[derive(Clone, Debug)]
pub struct Hint {
    pub destination: Arc<str>,
    pub due_ms: i64,
    /// It came a moment ago: the leg and its owner.
    pub fresh: Option<(LegId, u64)>,
}

/// How the rest of the process tells the runner what to do.
#[derive(Default)]
pub struct Hints {
    pub waiting: Mutex<Vec<Hint>>,
    pub rescan: AtomicBool,
    pub wake: Notify,
}

impl Hints {
    pub fn give(&self, hints: &[Hint]) {
        if hints.is_empty() {
            return;
        }
        let mut waiting = self.waiting.lock();
        if waiting.len() + hints.len() > MAX_HINTS {
            self.rescan.store(true, Ordering::Relaxed);
        } else {
            waiting.extend_from_slice(hints);
        }
        drop(waiting);
        self.wake.notify_one();
    }

    /// Look through the whole queue.
    pub fn rescan(&self) {
        self.rescan.store(true, Ordering::Relaxed);
        self.wake.notify_one();
    }
}
