//! Tripwires: how much may be deleted before someone has to look.

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use people::schema::is_contact;
use serde::{Deserialize, Serialize};
use store::{Commit, Op, RealmId, Seq, Store, StoreError, body_of_key};

use super::connect::{read_json, state_dir, write_json};

/// Commits before the last one applied that are looked at again after a restart.
const RECENT: u64 = 5_000;

/// How much may be deleted before applying stops. Counted over [`Tripwires::window`] of the primary's time.
#[derive(Debug, Clone)]
pub struct Tripwires {
    /// The time over which deletions are added up.
    pub window: Duration,
    /// Messages of one account. 0: off.
    pub account_messages: u64,
    /// Messages of all accounts. 0: off.
    pub all_messages: u64,
    /// Contacts of all accounts. 0: off.
    pub contacts: u64,
    /// Accounts. Their mail goes only when their time is over, which no other wire would count. 0 is no wire.
    pub accounts: u64,
    /// Accounts that are not counted.
    pub gone: Gone,
    /// What deletes an account.
    pub deletes: Deletes,
}

impl Default for Tripwires {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(600),
            account_messages: 2_000,
            all_messages: 10_000,
            contacts: 200,
            accounts: 10,
            gone: Gone::default(),
            deletes: Deletes::default(),
        }
    }
}

/// Whether an account was deleted before a moment, in milliseconds since 1970: what is cleared away of it trips no wire.
#[derive(Debug, Clone, Copy)]
pub struct Gone(pub fn(&Store, RealmId, i64) -> bool);

impl Default for Gone {
    fn default() -> Self {
        Self(|_, _, _| false)
    }
}

/// The account that a write to the directory realm deletes, if it does.
#[derive(Debug, Clone, Copy)]
pub struct Deletes(pub fn(&Op) -> Option<RealmId>);

impl Default for Deletes {
    fn default() -> Self {
        Self(|_| None)
    }
}

impl Deletes {
    /// The accounts that a commit deletes.
    pub(super) fn accounts(self, commit: &Commit) -> impl Iterator<Item = RealmId> {
        let directory = commit.realms.iter().filter(|part| part.realm() == RealmId::DIRECTORY);
        directory.flat_map(|part| &part.ops).filter_map(self.0)
    }
}

/// A wire that a commit has tripped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tripped {
    /// The commit: it and what follows it is not applied.
    #[serde(with = "seq_number")]
    pub seq: Seq,
    /// Which wire, and by how much.
    pub why: String,
}

impl Tripped {
    /// Why a promotion has to wait.
    pub(super) fn must_be_looked_at(&self) -> String {
        format!(
            "a tripwire holds back commit {} and the later ones ({}): add --discard to drop what the accounts \
             concerned have lost since, or apply the changes with `holdfast standby release` and then promote",
            self.seq, self.why
        )
    }
}

mod seq_number {
    use serde::{Deserialize, Deserializer, Serializer};
    use store::Seq;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
    pub(super) fn serialize<S: Serializer>(seq: &Seq, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(seq.0)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Seq, D::Error> {
        u64::deserialize(from).map(Seq)
    }
}

/// The held back and the released changes: `standby/wire.json`. They survive a restart.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct WireState {
    pub tripped: Option<Tripped>,
    /// Released by an administrator: commits up to this one don't trip.
    #[serde(with = "seq_number", default)]
    pub released: Seq,
}

impl WireState {
    fn file(dir: &Path) -> PathBuf {
        state_dir(dir).join("wire.json")
    }

    pub(super) fn read(dir: &Path) -> io::Result<Self> {
        Ok(read_json(&Self::file(dir))?.unwrap_or_default())
    }

    pub(super) fn write(&self, dir: &Path) -> io::Result<()> {
        write_json(&Self::file(dir), self)
    }

    /// The folder follows another history from now on.
    pub(super) fn remove(dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(Self::file(dir)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

/// The deletions of one commit, minus its additions.
#[derive(Debug, Clone, Copy, Default)]
struct Loss {
    messages: i64,
    contacts: i64,
    accounts: i64,
}

impl Loss {
    const fn is_none(self) -> bool {
        self.messages <= 0 && self.contacts <= 0 && self.accounts <= 0
    }

    const fn taken_back(self) -> Self {
        Self { messages: -self.messages, contacts: -self.contacts, accounts: -self.accounts }
    }

    const fn add(&mut self, more: Self) {
        self.messages += more.messages;
        self.contacts += more.contacts;
        self.accounts += more.accounts;
    }
}

/// Counts deletions.
#[derive(Debug, Default)]
pub(super) struct Watch {
    recent: VecDeque<(i64, RealmId, Loss)>,
    by_realm: HashMap<RealmId, Loss>,
    all: Loss,
}

impl Watch {
    /// What has been deleted lately in a store, by the commits that it has applied after `released`: what adds up over a
    /// while must not be forgotten by a restart.
    pub(super) fn of_recent(store: &Store, wires: &Tripwires, released: Seq) -> Result<Self, StoreError> {
        let mut watch = Self::default();
        let applied = store.applied()?;
        let wanted = Seq(applied.0.saturating_sub(RECENT).max(released.0) + 1);
        let (first, mut follower) = match store.follow(wanted) {
            Err(StoreError::NotRetained { first, .. }) => (first, store.follow(first)?),
            other => (wanted, other?),
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(StoreError::io("a runtime"))?;
        for _ in first.0..=applied.0 {
            watch.look(&*runtime.block_on(follower.next())?, wires, store);
        }
        Ok(watch)
    }

    /// Takes a commit in; gives the wire that it trips.
    pub(super) fn look(&mut self, commit: &Commit, wires: &Tripwires, store: &Store) -> Option<Tripped> {
        self.count(commit, wires, &|realm, before_ms| (wires.gone.0)(store, realm, before_ms))
    }

    pub(super) fn count(
        &mut self,
        commit: &Commit,
        wires: &Tripwires,
        gone: &dyn Fn(RealmId, i64) -> bool,
    ) -> Option<Tripped> {
        let window_ms = i64::try_from(wires.window.as_millis()).unwrap_or(i64::MAX);
        while let Some((time_ms, realm, loss)) = self.recent.front().copied()
            && time_ms < commit.time_ms.saturating_sub(window_ms)
        {
            self.recent.pop_front();
            self.add(realm, loss.taken_back());
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
            loss.messages = loss.messages.max(0);
            let realm = part.realm();
            if realm == RealmId::DIRECTORY {
                loss.accounts = i64::try_from(wires.deletes.accounts(commit).count()).unwrap_or(i64::MAX);
            }
            if loss.is_none() {
                continue;
            }
            // The daily maintenance purges data that was deleted long ago.
            if gone(realm, commit.time_ms.saturating_sub(window_ms)) {
                continue;
            }
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
            } else if tripped(wires.accounts, self.all.accounts) {
                why = Some(format!("{} accounts were deleted", self.all.accounts));
            }
        }
        let seconds = wires.window.as_secs();
        why.map(|why| Tripped { seq: commit.seq(), why: format!("{why} within {seconds} s") })
    }

    fn add(&mut self, realm: RealmId, loss: Loss) {
        let own = self.by_realm.entry(realm).or_default();
        own.add(loss);
        if own.is_none() {
            self.by_realm.remove(&realm);
        }
        self.all.add(loss);
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
        Commit { seq_raw: seq, epoch: 1, time_ms, durable_raw: 0, realms: vec![part], ..Commit::default() }
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
        let (mut watch, nobody) = (Watch::default(), |_, _| false);
        assert_eq!(watch.count(&commit(1, 0, one, 9, 0), &wires, &nobody), None);
        assert_eq!(watch.count(&commit(2, 1, one, 8, 8), &wires, &nobody), None, "moved");
        let later = 601_000;
        assert_eq!(watch.count(&commit(3, later, one, 9, 0), &wires, &nobody), None, "the first nine are long ago");
        let tripped = watch.count(&commit(4, later, one, 1, 0), &wires, &nobody).unwrap();
        assert!(tripped.seq == Seq(4) && tripped.why.contains("lost 10 messages"), "{tripped:?}");
        watch.forget();
        assert_eq!(watch.count(&commit(5, later, one, 9, 0), &wires, &nobody), None);
        assert_eq!(watch.count(&commit(6, later, two, 9, 0), &wires, &nobody), None);
        assert!(watch.count(&commit(7, later, three, 9, 0), &wires, &nobody).unwrap().why.contains("27 messages"));
    }

    #[test]
    fn a_wire_counts_accounts_that_are_deleted_and_not_what_else_is_written_of_them() {
        // Of a directory that knows accounts by one byte: an empty value is one that is deleted.
        let deletes = |op: &Op| {
            let is_deleted = op.value.as_ref().is_some_and(Vec::is_empty);
            is_deleted.then(|| RealmId::account(op.key[0].into()))
        };
        let wires = Tripwires { accounts: 3, deletes: Deletes(deletes), ..Tripwires::default() };
        let commit = |seq: u64, time_ms: i64, account: u8, value: Vec<u8>| {
            let ops = vec![Op { key: vec![account], value: Some(value) }];
            let part =
                RealmCommit { realm_raw: RealmId::DIRECTORY.raw(), realm_seq_raw: seq, ops, ..RealmCommit::default() };
            Commit { seq_raw: seq, epoch: 1, time_ms, durable_raw: 0, realms: vec![part], ..Commit::default() }
        };
        let (mut watch, nobody) = (Watch::default(), |_, _| false);
        assert_eq!(watch.count(&commit(1, 0, 1, Vec::new()), &wires, &nobody), None);
        for number in 2..10 {
            assert_eq!(watch.count(&commit(number, 0, 1, vec![1]), &wires, &nobody), None, "a name was changed");
        }
        let later = 601_000;
        assert_eq!(watch.count(&commit(10, later, 2, Vec::new()), &wires, &nobody), None);
        assert_eq!(watch.count(&commit(11, later, 3, Vec::new()), &wires, &nobody), None, "the first is long ago");
        let tripped = watch.count(&commit(12, later, 4, Vec::new()), &wires, &nobody).unwrap();
        assert!(tripped.seq == Seq(12) && tripped.why.contains("3 accounts were deleted"), "{tripped:?}");
        let off = Tripwires { accounts: 0, ..wires };
        assert_eq!(watch.count(&commit(13, later, 5, Vec::new()), &off, &nobody), None);
    }

    #[test]
    fn what_is_cleared_away_of_a_deleted_account_trips_nothing() {
        let wires = Tripwires { account_messages: 10, ..Tripwires::default() };
        let (deleted, other) = (RealmId::account(1), RealmId::account(2));
        let gone = |realm, before_ms| realm == deleted && before_ms > 5_000;
        let mut watch = Watch::default();
        assert_eq!(watch.count(&commit(1, 700_000, deleted, 5_000, 0), &wires, &gone), None);
        assert!(watch.count(&commit(2, 700_000, other, 10, 0), &wires, &gone).is_some());
        assert!(watch.count(&commit(3, 600_000, deleted, 10, 0), &wires, &gone).is_some(), "deleted only just now");
    }

    #[test]
    fn what_a_wire_holds_outlives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(state_dir(dir.path())).unwrap();
        assert!(WireState::read(dir.path()).unwrap().tripped.is_none());
        let tripped = Tripped { seq: Seq(7), why: "account 1 lost 30 messages within 600 s".to_owned() };
        WireState { tripped: Some(tripped.clone()), released: Seq(3) }.write(dir.path()).unwrap();
        let read = WireState::read(dir.path()).unwrap();
        assert_eq!((read.tripped, read.released), (Some(tripped), Seq(3)));
        WireState::remove(dir.path()).unwrap();
        WireState::remove(dir.path()).unwrap();
        assert_eq!(WireState::read(dir.path()).unwrap().released, Seq(0));
    }
}
