//! The queue's consistency rules, checked by reading the whole queue: part of `holdfast verify`.

use std::collections::{BTreeMap, BTreeSet};

use prost::Message as _;
use store::{Invariants, Order, Read as _, RealmId, Snapshot, StoreError, Violation};

use crate::schema::{
    LegId, LegRecord, MessageRecord, RELAYED_KEY_BYTES, StsRecord, TallyRecord, deadline_key_parts, due_key_parts,
    leg_key_id, message_key_id, policy_key_domain, tally_key_parts,
};
use crate::{DeliveryError, QueueId, queue};

/// Findings reported; further ones are counted only.
const MAX_FINDINGS: usize = 100;

/// The invariants of the queue realm.
///
/// * Every message has legs, every leg a message and recipients.
/// * A leg of a message that is not held has exactly one due entry, at its time; a held one has none.
/// * A message that is not held has exactly one deadline; a held one has none.
/// * Nothing else is in the realm.
pub struct QueueInvariants;

impl Invariants for QueueInvariants {
    fn check(&self, realm: RealmId, snapshot: &Snapshot) -> Result<Vec<Violation>, StoreError> {
        if realm != queue::QUEUE {
            return Ok(Vec::new());
        }
        let violation = |what| Violation { realm, what };
        Ok(check_queue(snapshot)?.into_iter().map(violation).collect())
    }
}

fn check_queue(snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
    let mut found = Findings::default();
    let mut messages: BTreeMap<QueueId, MessageRecord> = BTreeMap::new();
    let mut legs: BTreeMap<LegId, LegRecord> = BTreeMap::new();
    let mut due: BTreeSet<(LegId, String, i64)> = BTreeSet::new();
    let mut deadlines: BTreeSet<(QueueId, i64)> = BTreeSet::new();
    for row in snapshot.prefix(queue::QUEUE, b"", Order::Ascending)? {
        let (key, value) = row?;
        match key.first() {
            Some(b'm') => match (message_key_id(&key), MessageRecord::decode(value)) {
                (Some(id), Ok(record)) => drop(messages.insert(id, record)),
                _ => found.add("a message record can't be decoded".to_owned()),
            },
            Some(b'l') => match (leg_key_id(&key), LegRecord::decode(value)) {
                (Some(id), Ok(record)) => drop(legs.insert(id, record)),
                _ => found.add("a leg record can't be decoded".to_owned()),
            },
            Some(b'd') => match due_key_parts(&key) {
                Some((destination, due_ms, leg)) => drop(due.insert((leg, destination.to_owned(), due_ms))),
                None => found.add("a due entry can't be decoded".to_owned()),
            },
            Some(b'x') => match deadline_key_parts(&key) {
                Some((when, id)) => drop(deadlines.insert((id, when))),
                None => found.add("a deadline can't be decoded".to_owned()),
            },
            Some(b's') if key.len() == 9 => {}
            Some(b'r') if key.len() == RELAYED_KEY_BYTES => {}
            Some(b't') => {
                if tally_key_parts(&key).is_none() || TallyRecord::decode(value).is_err() {
                    found.add("the results of a day's connections can't be decoded".to_owned());
                }
            }
            Some(b'p') => {
                if policy_key_domain(&key).is_none() || StsRecord::decode(value).is_err() {
                    found.add("an MTA-STS policy can't be decoded".to_owned());
                }
            }
            // References to bodies, which the store itself checks.
            Some(0xFF) => {}
            _ => found.add("an unknown key in the queue".to_owned()),
        }
    }
    for (leg_id, leg) in &legs {
        let name = format!("leg {} of message {}", leg_id.leg, leg_id.id);
        let Some(message) = messages.get(&leg_id.id) else {
            found.add(format!("{name} has no message"));
            continue;
        };
        if leg.recipients.is_empty() {
            found.add(format!("{name} has no recipients"));
        }
        if leg_id.leg >= message.next_leg {
            found.add(format!("{name} has a number that was never assigned"));
        }
        let entry = due.take(&(*leg_id, leg.destination.clone(), leg.due_ms));
        if entry.is_some() == message.held {
            let what = if message.held { "is due although its message is held" } else { "is never due" };
            found.add(format!("{name} {what}"));
        }
    }
    for (leg_id, destination, _) in &due {
        found.add(format!("leg {} of message {} is due at {destination} without a reason", leg_id.leg, leg_id.id));
    }
    let with_legs: BTreeSet<QueueId> = legs.keys().map(|leg| leg.id).collect();
    check_messages(&messages, &with_legs, deadlines, &mut found);
    Ok(found.finish())
}

fn check_messages(
    messages: &BTreeMap<QueueId, MessageRecord>,
    with_legs: &BTreeSet<QueueId>,
    mut deadlines: BTreeSet<(QueueId, i64)>,
    found: &mut Findings,
) {
    for (id, message) in messages {
        if !with_legs.contains(id) {
            found.add(format!("message {id} has no recipients left"));
        }
        if let Err(DeliveryError::Damaged(what)) = queue::body_id(message) {
            found.add(format!("message {id}: {what}"));
        }
        let entry = deadlines.take(&(*id, message.deadline_ms()));
        if entry.is_some() == message.held {
            let what = if message.held { "has a deadline although it is held" } else { "has no deadline" };
            found.add(format!("message {id} {what}"));
        }
    }
    for (id, _) in &deadlines {
        found.add(format!("message {id} no longer exists, but has a deadline"));
    }
}

#[derive(Default)]
struct Findings {
    kept: Vec<String>,
    more: usize,
}

impl Findings {
    fn add(&mut self, what: String) {
        if self.kept.len() < MAX_FINDINGS {
            self.kept.push(what);
        } else {
            self.more += 1;
        }
    }

    fn finish(mut self) -> Vec<String> {
        if self.more > 0 {
            self.kept.push(format!("and {} more findings", self.more));
        }
        self.kept
    }
}
