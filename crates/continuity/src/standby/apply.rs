//! Applying what was received: when it is due, and not what a tripwire holds.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use people::schema::is_contact;
use store::{Commit, RealmId, Seq, body_of_key};

/// How much may be deleted before applying stops. Counted over [`Tripwires::window`] of the primary's time.
#[derive(Debug, Clone)]
pub struct Tripwires {
    /// The time over which deletions are added up.
    pub window: Duration,
    /// Messages of one account. 0 is no wire.
    pub account_messages: u64,
    /// Messages of all accounts. 0 is no wire.
    pub all_messages: u64,
    /// Contacts of address books, of all accounts. 0 is no wire.
    pub contacts: u64,
}

impl Default for Tripwires {
    fn default() -> Self {
        Self { window: Duration::from_secs(600), account_messages: 2_000, all_messages: 10_000, contacts: 200 }
    }
}

/// A wire that a commit has tripped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tripped {
    /// The commit: it and what follows it is not applied.
    pub seq: Seq,
    /// Which wire, and by how much.
    pub why: String,
}

/// What one commit takes away, less what it adds.
#[derive(Debug, Clone, Copy, Default)]
struct Loss {
    messages: i64,
    contacts: i64,
}

/// Adds up what is deleted.
#[derive(Debug, Default)]
pub(super) struct Watch {
    recent: VecDeque<(i64, RealmId, Loss)>,
    by_realm: HashMap<RealmId, Loss>,
    all: Loss,
}

impl Watch {
    /// Takes a commit in; gives the wire that it trips.
    pub(super) fn look(&mut self, commit: &Commit, wires: &Tripwires) -> Option<Tripped> {
        let window_ms = i64::try_from(wires.window.as_millis()).unwrap_or(i64::MAX);
        while let Some((time_ms, realm, loss)) = self.recent.front().copied()
            && time_ms < commit.time_ms.saturating_sub(window_ms)
        {
            self.recent.pop_front();
            self.add(realm, Loss { messages: -loss.messages, contacts: -loss.contacts });
        }
        let mut why = None;
        for part in &commit.realms {
            let mut loss = Loss::default();
            for op in &part.ops {
                let sign = if op.value.is_none() { 1 } else { -1 };
                if body_of_key(&op.key).is_some() {
                    loss.messages += sign;
                } else if op.value.is_none() && is_contact(&op.key) {
                    loss.contacts += 1;
                }
            }
            // What comes in does not make up for what went before: only what is taken away counts.
            let loss = Loss { messages: loss.messages.max(0), contacts: loss.contacts };
            if loss.messages == 0 && loss.contacts == 0 {
                continue;
            }
            let realm = part.realm();
            self.recent.push_back((commit.time_ms, realm, loss));
            self.add(realm, loss);
            let own = self.by_realm.get(&realm).copied().unwrap_or_default().messages;
            let tripped = |limit: u64, count: i64| limit > 0 && count >= i64::try_from(limit).unwrap_or(i64::MAX);
            if tripped(wires.account_messages, own) {
                why = Some(format!("{realm} lost {own} messages"));
            } else if tripped(wires.all_messages, self.all.messages) {
                why = Some(format!("{} messages were deleted", self.all.messages));
            } else if tripped(wires.contacts, self.all.contacts) {
                why = Some(format!("{} contacts were deleted", self.all.contacts));
            }
        }
        let seconds = wires.window.as_secs();
        why.map(|why| Tripped { seq: commit.seq(), why: format!("{why} within {seconds} s") })
    }

    fn add(&mut self, realm: RealmId, loss: Loss) {
        let own = self.by_realm.entry(realm).or_default();
        own.messages += loss.messages;
        own.contacts += loss.contacts;
        if own.messages <= 0 && own.contacts <= 0 {
            self.by_realm.remove(&realm);
        }
        self.all.messages += loss.messages;
        self.all.contacts += loss.contacts;
    }

    /// Begins anew: what was counted so far was looked at by someone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use store::{Op, RealmCommit};

    use super::*;

    fn commit(seq: u64, time_ms: i64, realm: RealmId, deleted: u64, added: u64) -> Commit {
        let key = |number: u64| {
            let mut key = vec![0xB0; 1];
            key.clear();
            key.push(body_reference());
            key.extend_from_slice(&[number as u8; 32]);
            key.extend_from_slice(&number.to_be_bytes());
            key
        };
        let ops = (0..deleted)
            .map(|number| Op { key: key(number), value: None })
            .chain((0..added).map(|number| Op { key: key(1_000 + number), value: Some(Vec::new()) }))
            .collect();
        let part = RealmCommit { realm_raw: realm.raw(), realm_seq_raw: seq, digest_bytes: Vec::new(), ops };
        Commit { seq_raw: seq, epoch: 1, time_ms, durable_raw: 0, realms: vec![part] }
    }

    /// The first byte of keys by which records refer to bodies.
    fn body_reference() -> u8 {
        (0..=255)
            .find(|first| {
                let mut key = vec![*first];
                key.extend_from_slice(&[0; 32]);
                body_of_key(&key).is_some()
            })
            .expect("there is one")
    }

    #[test]
    fn a_wire_trips_at_its_number_within_its_window_and_a_move_does_not_count() {
        let wires = Tripwires { account_messages: 10, all_messages: 25, ..Tripwires::default() };
        let (one, two, three) = (RealmId::account(1), RealmId::account(2), RealmId::account(3));
        let mut watch = Watch::default();
        assert_eq!(watch.look(&commit(1, 0, one, 9, 0), &wires), None);
        assert_eq!(watch.look(&commit(2, 1, one, 8, 8), &wires), None, "moved");
        let later = 601_000;
        assert_eq!(watch.look(&commit(3, later, one, 9, 0), &wires), None, "the first nine are long ago");
        let tripped = watch.look(&commit(4, later, one, 1, 0), &wires).unwrap();
        assert!(tripped.seq == Seq(4) && tripped.why.contains("lost 10 messages"), "{tripped:?}");
        watch.forget();
        assert_eq!(watch.look(&commit(5, later, one, 9, 0), &wires), None);
        assert_eq!(watch.look(&commit(6, later, two, 9, 0), &wires), None);
        assert!(watch.look(&commit(7, later, three, 9, 0), &wires).unwrap().why.contains("27 messages"));
    }
}
