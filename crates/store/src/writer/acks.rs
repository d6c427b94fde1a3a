//! Acknowledgements that wait for another machine: groups that are durable here, and answers based on them.

use std::{
    collections::{HashMap, VecDeque},
    time::Instant,
};

use crate::{RealmId, Result, Seq};

/// Called once, with the group's outcome.
pub(super) type Tell = Box<dyn FnOnce(Result<()>) + Send>;
/// A group's submitters, each with its own outcome.
pub(super) type Told = Vec<(Tell, Result<()>)>;

struct Held {
    seq: Seq,
    since: Instant,
    told: Told,
}

/// The acknowledged commits, and those who wait.
#[derive(Default)]
pub(crate) struct Acks {
    gated: bool,
    /// Durable elsewhere up to here.
    acked: Seq,
    /// What the log held when it was opened: nobody knows yet how much of it is durable elsewhere.
    found: Seq,
    /// The last commit that can be read.
    last: Seq,
    /// The last commit of each realm that was written to since the log was opened, as far as it may not be acknowledged.
    touched: HashMap<RealmId, Seq>,
    /// In the order of their commits.
    held: VecDeque<Held>,
}

impl Acks {
    /// The log has been opened, and ends with this commit.
    pub(super) fn found(&mut self, seq: Seq) {
        (self.found, self.last) = (seq, seq);
    }

    /// Commits up to `seq` can be read in a moment; they write to these realms.
    pub(super) fn touch(&mut self, seq: Seq, realms: impl Iterator<Item = RealmId>) {
        self.last = seq;
        if self.gated {
            self.touched.extend(realms.map(|realm| (realm, seq)));
        }
    }

    /// The last commit that can be read.
    pub(crate) const fn last(&self) -> Seq {
        self.last
    }

    /// The last commit that can be read of a realm, as far as it may not be acknowledged.
    pub(crate) fn last_of(&self, realm: RealmId) -> Seq {
        self.touched.get(&realm).copied().unwrap_or_default().max(self.found)
    }

    pub(super) fn is_acknowledged(&self, seq: Seq) -> bool {
        !self.gated || seq <= self.acked
    }

    pub(super) fn hold(&mut self, seq: Seq, told: Told) {
        if told.is_empty() {
            return;
        }
        let at = self.held.partition_point(|held| held.seq < seq);
        match self.held.get_mut(at).filter(|held| held.seq == seq) {
            Some(held) => held.told.extend(told),
            None => self.held.insert(at, Held { seq, since: Instant::now(), told }),
        }
    }

    /// Returns those to notify.
    #[must_use]
    pub(super) fn gate(&mut self, on: bool) -> Told {
        if on && !self.gated {
            // What was written while nothing was held may not be there either: it waits with what was found.
            self.found = self.last;
        }
        self.gated = on;
        if on {
            return Told::new();
        }
        self.touched.clear();
        std::mem::take(&mut self.held).into_iter().flat_map(|held| held.told).collect()
    }

    /// Durable elsewhere up to `seq`. Returns those to notify.
    #[must_use]
    pub(super) fn acked(&mut self, seq: Seq) -> Told {
        if seq <= self.acked {
            return Told::new();
        }
        self.acked = seq;
        self.touched.retain(|_, last| *last > seq);
        let count = self.held.partition_point(|held| held.seq <= seq);
        self.held.drain(..count).flat_map(|held| held.told).collect()
    }

    pub(super) fn waits_for(&self) -> Option<(Seq, Instant)> {
        self.held.front().map(|held| (held.seq, held.since))
    }

    pub(super) fn waiting(&self) -> usize {
        self.held.iter().map(|held| held.told.len()).sum()
    }

    /// Nobody will say any more that these are durable elsewhere. Gives those who are to be told that nobody knows.
    #[must_use]
    pub(super) fn give_up(&mut self) -> Told {
        std::mem::take(&mut self.held).into_iter().flat_map(|held| held.told).collect()
    }
}

pub(super) fn tell_all(told: Told) {
    for (tell, outcome) in told {
        tell(outcome);
    }
}
