//! A restore that continues while the service runs: how far it is.

use std::{sync::Arc, time::Instant};

use continuity::archive::restore::serving::Progress;
use parking_lot::Mutex;
use tokio::sync::watch;

/// The state of a restore that continues in the background.
#[derive(Clone)]
pub struct Restoring {
    progress: watch::Receiver<Progress>,
    /// When this process began.
    begun: Instant,
    /// Bodies that were there when this process began.
    bodies_at_first: Arc<Mutex<Option<u64>>>,
}

impl Restoring {
    /// That began at a moment and tells its progress.
    pub fn new(progress: watch::Receiver<Progress>, begun: Instant) -> Self {
        Self { progress, begun, bodies_at_first: Arc::default() }
    }

    /// Its progress.
    pub fn watch(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// One line for people who run the service.
    pub fn status(&self) -> Option<String> {
        let now = self.progress.borrow().clone();
        if now.done {
            return None;
        }
        let mut line = format!("restoring: {} of {} accounts", now.accounts, now.accounts_total);
        if now.accounts == now.accounts_total {
            line += &format!(", {} of {} messages", now.bodies, now.bodies_total);
            if let Some(left) = self.left(&now) {
                line += &format!(", about {left} left");
            }
        }
        if now.ended {
            line = format!("not everything could be restored: {line}");
        }
        if let Some(first) = now.lost.first() {
            line += &format!("; lost items: {}, the first: {first}", now.lost.len());
        }
        if let Some(trouble) = &now.trouble {
            line += &format!("; waiting: {trouble}");
        }
        Some(line)
    }

    /// One line for everyone, on top of every page.
    pub fn announcement(&self) -> Option<String> {
        let now = self.progress.borrow().clone();
        if now.done || now.ended {
            return None;
        }
        let whole = "Your mail is being restored from the backup. You can use everything; older messages may take a moment to open.";
        Some(if now.accounts < now.accounts_total {
            format!("{whole} {} of {} accounts are restored.", now.accounts, now.accounts_total)
        } else {
            let left = self.left(&now).map(|left| format!(" About {left} left.")).unwrap_or_default();
            format!("{whole} {} of {} messages are restored.{left}", now.bodies, now.bodies_total)
        })
    }

    fn left(&self, now: &Progress) -> Option<String> {
        let first = *self.bodies_at_first.lock().get_or_insert(now.bodies);
        let done = now.bodies.checked_sub(first).filter(|done| *done > 0)?;
        let left = now.bodies_total.saturating_sub(now.bodies);
        let seconds = self.begun.elapsed().as_secs_f64() * left as f64 / done as f64;
        Some(if seconds < 90.0 { format!("{:.0} s", seconds.ceil()) } else { format!("{:.0} min", seconds / 60.0) })
    }
}
