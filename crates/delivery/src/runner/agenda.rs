//! Chooses the next destination: a pure state machine that is told what is due, started and finished.
//!
//! Each next hop has two lanes. Fresh mail is sent directly, on slots that the backlog can't use. The backlog is
//! processed destination by destination, in turn. A next hop that does not respond is paused and then tried with one
//! message, so that a dead host never blocks the slots of others.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::schema::{LOCAL_DESTINATION, LegId};

/// Most fresh legs that wait in memory; further ones are backlog at once.
const MAX_FRESH: usize = 10_000;

/// The next hop that all destinations share where there is a smarthost.
const SHARED_HOP: &str = ":smarthost";

/// How much may run at once.
#[derive(Clone, Debug)]
pub struct Limits {
    pub total: usize,
    pub backlog: usize,
    pub per_hop: usize,
    /// Shortest and longest rest of a next hop that did not answer.
    pub rest: (Duration, Duration),
    /// All remote destinations share one next hop, but for these.
    pub shared_hop_except: Option<HashSet<String>>,
}

/// A new leg.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fresh {
    pub leg: LegId,
    pub destination: Arc<str>,
    pub owner: u64,
}

/// What an attempt took up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub destination: Arc<str>,
    pub owner: u64,
    pub fresh: bool,
}

#[derive(Default)]
struct Hop {
    fresh: usize,
    backlog: usize,
    /// Consecutive attempts without a response.
    failures: u32,
    rest_until_ms: i64,
    /// Destinations with something due that wait for a slot.
    parked: BTreeSet<Arc<str>>,
    waiting: VecDeque<Fresh>,
}

/// See the module.
pub struct Agenda {
    limits: Limits,
    hops: HashMap<Arc<str>, Hop>,
    /// Destinations by when they may have something to do; the number makes them take turns.
    order: BTreeSet<(i64, u64, Arc<str>)>,
    times: HashMap<Arc<str>, (i64, u64)>,
    turn: u64,
    fresh: VecDeque<Fresh>,
    waiting_fresh: usize,
    running: usize,
    running_backlog: usize,
    owners: HashMap<u64, usize>,
}

impl Agenda {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            hops: HashMap::new(),
            order: BTreeSet::new(),
            times: HashMap::new(),
            turn: 0,
            fresh: VecDeque::new(),
            waiting_fresh: 0,
            running: 0,
            running_backlog: 0,
            owners: HashMap::new(),
        }
    }

    /// Something is due at the destination then, or earlier.
    pub fn note(&mut self, destination: &Arc<str>, due_ms: i64) {
        if let Some(&(known, turn)) = self.times.get(destination) {
            if known <= due_ms {
                return;
            }
            self.order.remove(&(known, turn, Arc::clone(destination)));
        }
        self.turn += 1;
        self.times.insert(Arc::clone(destination), (due_ms, self.turn));
        self.order.insert((due_ms, self.turn, Arc::clone(destination)));
    }

    /// A leg came in. If there is no room to remember it, it is backlog.
    pub fn note_fresh(&mut self, fresh: Fresh, due_ms: i64) {
        if self.fresh.len() + self.waiting_fresh < MAX_FRESH {
            self.fresh.push_back(fresh);
        } else {
            self.note(&fresh.destination, due_ms);
        }
    }

    /// A fresh leg that may be begun now. Call [`Self::begin`] if it is.
    pub fn next_fresh(&mut self, now_ms: i64) -> Option<Fresh> {
        while self.running < self.limits.total {
            let fresh = self.fresh.pop_front()?;
            let per_hop = self.limits.per_hop;
            let key = self.hop_key(&fresh.destination);
            let hop = self.hops.entry(key).or_default();
            if hop.rest_until_ms > now_ms || hop.failures > 0 {
                // It waits its turn with the others until the next hop has shown that it lives.
                self.note(&fresh.destination.clone(), now_ms);
            } else if hop.fresh + hop.backlog >= per_hop {
                hop.waiting.push_back(fresh);
                self.waiting_fresh += 1;
            } else {
                return Some(fresh);
            }
        }
        None
    }

    /// A destination whose backlog may be worked on now. It is off the agenda then: [`Self::note`] it again with what
    /// else is due there, and [`Self::begin`] what is begun.
    pub fn next_backlog(&mut self, now_ms: i64) -> Option<Arc<str>> {
        if self.running >= self.limits.total || self.running_backlog >= self.limits.backlog {
            return None;
        }
        loop {
            let (due_ms, turn, destination) = self.order.first().cloned()?;
            if due_ms > now_ms {
                return None;
            }
            self.order.remove(&(due_ms, turn, Arc::clone(&destination)));
            self.times.remove(&destination);
            let per_hop = self.limits.per_hop;
            let key = self.hop_key(&destination);
            let hop = self.hops.entry(key).or_default();
            let rest_until_ms = hop.rest_until_ms;
            if rest_until_ms > now_ms {
                self.note(&destination, rest_until_ms);
                continue;
            }
            // One slot is left for fresh mail; a hop that did not answer lately gets one message to try it with.
            let most = if hop.failures > 0 { 1 } else { (per_hop - 1).max(1) };
            if hop.backlog >= most || hop.fresh + hop.backlog >= per_hop {
                hop.parked.insert(destination);
                continue;
            }
            return Some(destination);
        }
    }

    /// Which destinations are not worked on now because nobody answers there.
    pub fn resting(&self, now_ms: i64) -> impl Fn(&str) -> bool + Send + 'static {
        let rests = |(_, hop): &(&Arc<str>, &Hop)| hop.failures > 0 && hop.rest_until_ms > now_ms;
        let hops: HashSet<Arc<str>> = self.hops.iter().filter(rests).map(|(key, _)| Arc::clone(key)).collect();
        // Nothing rests, mostly.
        let shared = self.limits.shared_hop_except.clone().filter(|_| !hops.is_empty());
        move |destination| hops.contains(hop_of(shared.as_ref(), destination))
    }

    /// How many attempts for mail of this owner run.
    pub fn running_of(&self, owner: u64) -> usize {
        self.owners.get(&owner).copied().unwrap_or(0)
    }

    /// An attempt was begun.
    pub fn begin(&mut self, slot: &Slot) {
        self.running += 1;
        self.running_backlog += usize::from(!slot.fresh);
        *self.owners.entry(slot.owner).or_default() += 1;
        let key = self.hop_key(&slot.destination);
        let hop = self.hops.entry(key).or_default();
        if slot.fresh {
            hop.fresh += 1;
        } else {
            hop.backlog += 1;
        }
    }

    /// An attempt ended. `reached`: whether somebody answered; `None` if it did not come to that.
    pub fn end(&mut self, slot: &Slot, reached: Option<bool>, now_ms: i64) {
        self.running = self.running.saturating_sub(1);
        self.running_backlog = self.running_backlog.saturating_sub(usize::from(!slot.fresh));
        if let Some(count) = self.owners.get_mut(&slot.owner) {
            *count -= 1;
            if *count == 0 {
                self.owners.remove(&slot.owner);
            }
        }
        let (shortest, longest) = self.limits.rest;
        let key = self.hop_key(&slot.destination);
        let hop = self.hops.entry(Arc::clone(&key)).or_default();
        if slot.fresh {
            hop.fresh = hop.fresh.saturating_sub(1);
        } else {
            hop.backlog = hop.backlog.saturating_sub(1);
        }
        match reached {
            Some(true) => {
                hop.failures = 0;
                hop.rest_until_ms = 0;
            }
            Some(false) => {
                let rest = shortest.saturating_mul(1 << hop.failures.min(16)).min(longest);
                hop.failures = hop.failures.saturating_add(1);
                hop.rest_until_ms = now_ms + i64::try_from(rest.as_millis()).unwrap_or(i64::MAX);
            }
            None => {}
        }
        if let Some(fresh) = hop.waiting.pop_front() {
            self.waiting_fresh -= 1;
            self.fresh.push_front(fresh);
        }
        let parked = std::mem::take(&mut hop.parked);
        let idle = hop.fresh + hop.backlog == 0 && hop.failures == 0 && hop.waiting.is_empty();
        if idle {
            self.hops.remove(&key);
        }
        for destination in parked {
            self.note(&destination, now_ms);
        }
    }

    /// The next time with possible work, without an earlier event.
    pub fn wake_ms(&self) -> Option<i64> {
        if self.running >= self.limits.total || self.running_backlog >= self.limits.backlog {
            return None;
        }
        self.order.first().map(|(due_ms, ..)| *due_ms)
    }

    fn hop_key(&self, destination: &Arc<str>) -> Arc<str> {
        match hop_of(self.limits.shared_hop_except.as_ref(), destination) {
            SHARED_HOP => SHARED_HOP.into(),
            _ => Arc::clone(destination),
        }
    }
}

/// The next hop of a destination, where all share one but those that are named.
fn hop_of<'a>(shared_except: Option<&HashSet<String>>, destination: &'a str) -> &'a str {
    match shared_except {
        Some(own) if destination != LOCAL_DESTINATION && !own.contains(destination) => SHARED_HOP,
        _ => destination,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::QueueId;

    fn agenda(total: usize, backlog: usize, per_hop: usize) -> Agenda {
        let rest = (Duration::from_millis(100), Duration::from_millis(350));
        Agenda::new(Limits { total, backlog, per_hop, rest, shared_hop_except: None })
    }

    fn slot(destination: &str, fresh: bool) -> Slot {
        Slot { destination: destination.into(), owner: 1, fresh }
    }

    fn fresh(destination: &str) -> Fresh {
        Fresh { leg: LegId { id: QueueId(1), leg: 0 }, destination: destination.into(), owner: 1 }
    }

    #[test]
    fn destinations_take_turns() {
        let mut agenda = agenda(10, 10, 10);
        agenda.note(&"a".into(), 0);
        agenda.note(&"b".into(), 0);
        let mut seen = Vec::new();
        for _ in 0..4 {
            let destination = agenda.next_backlog(5).unwrap();
            agenda.begin(&slot(&destination, false));
            agenda.note(&destination, 5);
            seen.push(destination.to_string());
        }
        assert_eq!(seen, ["a", "b", "a", "b"]);
        assert_eq!(agenda.running_of(1), 4);
    }

    #[test]
    fn backlog_leaves_room_for_fresh_mail() {
        let mut agenda = agenda(10, 10, 2);
        agenda.note(&"a".into(), 0);
        let destination = agenda.next_backlog(0).unwrap();
        agenda.begin(&slot(&destination, false));
        agenda.note(&destination, 0);
        assert_eq!(agenda.next_backlog(0), None, "one of two slots is for fresh mail");
        agenda.note_fresh(fresh("a"), 0);
        assert_eq!(agenda.next_fresh(0), Some(fresh("a")));
        agenda.begin(&slot("a", true));
        agenda.note_fresh(fresh("a"), 0);
        assert_eq!(agenda.next_fresh(0), None, "no slot is left");
        agenda.end(&slot("a", true), Some(true), 0);
        assert_eq!(agenda.next_fresh(0), Some(fresh("a")), "it waited for the slot");
        agenda.end(&slot("a", false), Some(true), 0);
        assert_eq!(agenda.next_backlog(0).as_deref(), Some("a"), "and so did the backlog");
    }

    #[test]
    fn a_dead_hop_rests_longer_each_time_and_is_tried_with_one_message() {
        let mut agenda = agenda(10, 10, 4);
        let a: Arc<str> = "a".into();
        let mut now = 0;
        for rest in [100, 200, 350, 350] {
            agenda.note(&a, now);
            assert!(agenda.next_backlog(now).is_some());
            agenda.begin(&slot("a", false));
            agenda.end(&slot("a", false), Some(false), now);
            agenda.note(&a, now);
            assert_eq!(agenda.next_backlog(now), None);
            assert_eq!(agenda.wake_ms(), Some(now + rest));
            assert!(agenda.resting(now)("a") && !agenda.resting(now)("b") && !agenda.resting(now + rest)("a"));
            agenda.note_fresh(fresh("a"), now);
            assert_eq!(agenda.next_fresh(now), None, "fresh mail does not go to a dead host either");
            now += rest;
        }
        assert!(agenda.next_backlog(now).is_some());
        agenda.begin(&slot("a", false));
        agenda.note(&a, now);
        assert_eq!(agenda.next_backlog(now), None, "one message tries it");
        agenda.end(&slot("a", false), Some(true), now);
        for _ in 0..3 {
            assert!(agenda.next_backlog(now).is_some(), "it lives: all go");
            agenda.begin(&slot("a", false));
            agenda.note(&a, now);
        }
    }

    #[test]
    fn a_dead_hop_does_not_keep_others_waiting() {
        let mut agenda = agenda(2, 2, 2);
        agenda.note(&"dead".into(), 0);
        assert!(agenda.next_backlog(0).is_some());
        agenda.begin(&slot("dead", false));
        agenda.end(&slot("dead", false), Some(false), 0);
        agenda.note(&"dead".into(), 0);
        agenda.note(&"alive".into(), 1);
        assert_eq!(agenda.next_backlog(1).as_deref(), Some("alive"));
    }

    #[test]
    fn a_smarthost_is_one_hop_for_all_but_static_routes_and_ourselves() {
        let mut agenda = agenda(10, 10, 2);
        agenda.limits.shared_hop_except = Some(["own.example".to_owned()].into());
        for destination in ["a.example", "b.example", "own.example", LOCAL_DESTINATION] {
            agenda.note(&destination.into(), 0);
        }
        let mut begun = Vec::new();
        while let Some(destination) = agenda.next_backlog(0) {
            agenda.begin(&slot(&destination, false));
            begun.push(destination.to_string());
        }
        assert_eq!(begun, ["a.example", "own.example", LOCAL_DESTINATION]);
    }
}
