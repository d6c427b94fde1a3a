//! The consistency rules of realms, and the realms that changed since their last check.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use store::{Invariants, RealmId, Seq};

/// The shortest time between two checks of a realm: each reads all of it.
pub(super) const SAME_REALM: Duration = Duration::from_secs(60);

/// The consistency rules.
#[derive(Clone, Default)]
pub struct Rules(pub Vec<&'static dyn Invariants>);

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rules", self.0.len())
    }
}

/// Realms that have changed, and when they were looked at.
#[derive(Default)]
pub(super) struct Changed(Mutex<HashMap<RealmId, Look>>);

#[derive(Default)]
pub(super) struct Look {
    /// The last commit that was not looked at.
    pub changed: Option<Seq>,
    pub at: Option<Instant>,
}

impl Changed {
    pub(super) fn note(&self, realm: RealmId, seq: Seq) {
        self.0.lock().entry(realm).or_default().changed = Some(seq);
    }

    pub(super) fn take_due(&self) -> Vec<(RealmId, Seq)> {
        let mut due = Vec::new();
        for (realm, look) in self.0.lock().iter_mut() {
            if look.at.is_none_or(|at| at.elapsed() >= SAME_REALM)
                && let Some(seq) = look.changed.take()
            {
                look.at = Some(Instant::now());
                due.push((*realm, seq));
            }
        }
        due.sort_unstable();
        due
    }
}
