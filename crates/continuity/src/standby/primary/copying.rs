//! First copies on their way: how far each is.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::Primary;
use crate::{estimate::Estimate, link::Fingerprint};

/// A first copy on its way to a standby.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copying {
    /// Realms whose records were sent.
    pub realms: u64,
    /// Realms in all.
    pub realms_total: u64,
    /// Messages that were sent.
    pub messages: u64,
    /// Messages that are still to be sent, as the standby says; not known while records are sent.
    pub messages_left: Option<u64>,
    /// Bytes of the messages that were sent.
    pub bytes: u64,
    /// Since when messages are sent.
    pub since: Option<Instant>,
}

impl Copying {
    /// How far the messages are, which are most of it.
    pub fn estimate(&self) -> Option<Estimate> {
        let total = self.messages + self.messages_left?;
        let took = self.since.map_or(Duration::ZERO, |since| since.elapsed());
        Estimate::of(self.messages, total, self.bytes, took)
    }
}

/// Notes a first copy for as long as it lasts.
#[derive(Clone)]
pub(super) struct Note {
    primary: Arc<Primary>,
    who: Fingerprint,
}

/// Ends what it notes.
pub(super) struct Noted(pub(super) Note);

impl Drop for Noted {
    fn drop(&mut self) {
        self.0.primary.copies.lock().remove(&self.0.who);
    }
}

impl Note {
    pub(super) fn begin(primary: Arc<Primary>, who: Fingerprint) -> Noted {
        primary.copies.lock().insert(who, Copying::default());
        Noted(Self { primary, who })
    }

    fn change(&self, change: impl FnOnce(&mut Copying)) {
        let mut copies = self.primary.copies.lock();
        let Some(copying) = copies.get_mut(&self.who) else { return };
        change(copying);
        let percent = copying.estimate().map_or(0, |estimate| estimate.percent);
        drop(copies);
        metrics::gauge!("holdfast_standby_copied_ratio", "standby" => self.who.to_string())
            .set(f64::from(percent) / 100.0);
    }

    pub(super) fn realm(&self, total: u64) {
        self.change(|copying| (copying.realms, copying.realms_total) = (copying.realms + 1, total));
    }

    /// So many messages are asked for, and more will be.
    pub(super) fn asked(&self, now: u64, more: u64) {
        self.change(|copying| {
            copying.since.get_or_insert_with(Instant::now);
            copying.messages_left = Some(now + more);
        });
    }

    pub(super) fn message(&self, bytes: u64) {
        self.change(|copying| {
            copying.messages += 1;
            copying.bytes += bytes;
            copying.messages_left = copying.messages_left.map(|left| left.saturating_sub(1));
        });
    }
}
