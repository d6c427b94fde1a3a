//! Tripwires: how much may be deleted before someone has to look.

use std::{
    collections::{HashMap, VecDeque},
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use realm::{Loss, Parts};
use serde::{Deserialize, Serialize};
use store::{Commit, Op, RealmId, Seq, Store, StoreError};

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
    /// Contacts of all accounts, and so many records of any other part that says that losing them is a loss. 0: off.
    pub contacts: u64,
    /// Accounts. Their mail goes only when their time is over, which no other wire would count. 0 is no wire.
    pub accounts: u64,
    /// Accounts that are not counted.
    pub gone: Gone,
    /// What deletes an account.
    pub deletes: Deletes,
    /// The parts of accounts' realms, which say what is a loss.
    pub parts: Parts,
}

impl Tripwires {
    /// The usual numbers, for accounts that consist of `parts`.
    pub fn new(parts: Parts) -> Self {
        Self {
            window: Duration::from_secs(600),
            account_messages: 2_000,
            all_messages: 10_000,
            contacts: 200,
            accounts: 10,
            gone: Gone::default(),
            deletes: Deletes::default(),
            parts,
        }
    }

    /// How many of a kind all accounts together may lose. 0: any number.
    fn limit(&self, of: &str) -> u64 {
        match of {
            Loss::MESSAGES => self.all_messages,
            ACCOUNTS => self.accounts,
            _ => self.contacts,
        }
    }
}

/// The kind of loss that is counted in the directory realm.
const ACCOUNTS: &str = "accounts";

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

/// How many of each kind were taken away. The first kind stands first.
#[derive(Debug, Clone, Default)]
struct Losses(Vec<(&'static str, i64)>);

impl Losses {
    fn is_none(&self) -> bool {
        self.0.iter().all(|(_, count)| *count <= 0)
    }

    fn of(&self, of: &str) -> i64 {
        self.0.iter().find(|(kind, _)| *kind == of).map_or(0, |(_, count)| *count)
    }

    fn add(&mut self, of: &'static str, by: i64) {
        match self.0.iter_mut().find(|(kind, _)| *kind == of) {
            Some((_, count)) => *count += by,
            None => self.0.push((of, by)),
        }
    }

    fn add_all(&mut self, more: &Self, sign: i64) {
        for (of, by) in &more.0 {
            self.add(of, sign * by);
        }
    }

    /// What came in does not make up for what went before: only what is taken away counts.
    fn without_gains(mut self) -> Self {
        self.0.retain(|(_, count)| *count > 0);
        self
    }
}

/// Counts deletions.
#[derive(Debug, Default)]
pub(super) struct Watch {
    recent: VecDeque<(i64, RealmId, Losses)>,
    by_realm: HashMap<RealmId, Losses>,
    all: Losses,
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
        while let Some((_, realm, losses)) =
            self.recent.pop_front_if(|(time_ms, ..)| *time_ms < commit.time_ms.saturating_sub(window_ms))
        {
            self.add(realm, &losses, -1);
        }
        let mut why = None;
        for part in &commit.realms {
            let realm = part.realm();
            let mut losses = Losses::default();
            for loss in part.ops.iter().filter_map(|op| wires.parts.loss(op)) {
                losses.add(loss.of, loss.by);
            }
            if realm == RealmId::DIRECTORY {
                losses.add(ACCOUNTS, i64::try_from(wires.deletes.accounts(commit).count()).unwrap_or(i64::MAX));
            }
            let losses = losses.without_gains();
            // The daily maintenance purges data that was deleted long ago.
            if losses.is_none() || gone(realm, commit.time_ms.saturating_sub(window_ms)) {
                continue;
            }
            self.add(realm, &losses, 1);
            why = self.tripped(realm, wires).or(why);
            self.recent.push_back((commit.time_ms, realm, losses));
        }
        let seconds = wires.window.as_secs();
        why.map(|why| Tripped { seq: commit.seq(), why: format!("{why} within {seconds} s") })
    }

    /// Which limit a realm, or all together, have reached.
    fn tripped(&self, realm: RealmId, wires: &Tripwires) -> Option<String> {
        let reached = |limit: u64, count: i64| limit > 0 && count >= i64::try_from(limit).unwrap_or(i64::MAX);
        let own = self.by_realm.get(&realm).map_or(0, |losses| losses.of(Loss::MESSAGES));
        if reached(wires.account_messages, own) {
            return Some(format!("{realm} lost {own} messages"));
        }
        let over = self.all.0.iter().find(|(of, count)| reached(wires.limit(of), *count));
        over.map(|(of, count)| format!("{count} {of} were deleted"))
    }

    fn add(&mut self, realm: RealmId, losses: &Losses, sign: i64) {
        let own = self.by_realm.entry(realm).or_default();
        own.add_all(losses, sign);
        if own.is_none() {
            self.by_realm.remove(&realm);
        }
        self.all.add_all(losses, sign);
    }

    /// Begins anew: what was counted so far was looked at by someone.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use store::{Op, RealmCommit, body_of_key};

    use super::*;

    /// Accounts that have mail alone.
    fn mail() -> Parts {
        Parts::new(&[&mailstore::MailPart])
    }

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
        let wires = Tripwires { account_messages: 10, all_messages: 25, ..Tripwires::new(mail()) };
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
        let wires = Tripwires { accounts: 3, deletes: Deletes(deletes), ..Tripwires::new(mail()) };
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
        let wires = Tripwires { account_messages: 10, ..Tripwires::new(mail()) };
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
