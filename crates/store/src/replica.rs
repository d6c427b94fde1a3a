//! A store that follows another one: it stores that store's log byte for byte, and applies it to its own index.
//!
//! Receiving and applying are separate. Received commits are durable; they are applied when the owner of the replica
//! decides, commit by commit, each checked to produce the digest that it states. A realm that fails the check is
//! quarantined with the commit and the cause, in its last good state; other realms continue.

use std::{path::Path, sync::Arc, time::Duration};

use crate::{
    Cause, Commit, Damaged, Digest, Part, RealmId, RealmSeq, Result, Seq, Snapshot, Store, StoreError, StoreOptions,
    Ticket,
    index::{Batch, FjallIndex, IndexEngine, RealmState, apply_part, meta},
    lock::Lock,
    log::{Chain, frame},
    marks::{self, FENCE, REPLICA, write_mark},
    options::Role,
    restore,
    store::check_format,
    verify::digest_of,
    writer::Acks,
};

/// A realm as it is: for comparing two stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealmSummary {
    /// The realm.
    pub realm: RealmId,
    /// Its last commit.
    pub seq: RealmSeq,
    /// The digest of its records, read again just now.
    pub digest: Digest,
    /// The digest stated in its last commit.
    pub stated: Digest,
}

impl Store {
    /// Whether a folder holds a store that follows another one.
    pub fn is_replica_at(dir: &Path) -> bool {
        dir.join(REPLICA).exists()
    }

    /// Why the store in a folder must no longer write, if so.
    pub fn fenced_at(dir: &Path) -> Option<String> {
        std::fs::read_to_string(dir.join(FENCE)).ok().map(|text| text.trim().to_owned())
    }

    /// Opens a store that follows another one. Nothing is applied by that.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_replica(dir: &Path, options: StoreOptions) -> Result<Self> {
        let lock = Arc::new(Lock::take(dir)?);
        marks::check_finished(dir)?;
        check_format(dir)?;
        let index: Arc<dyn IndexEngine> = Arc::new(FjallIndex::open(&dir.join("index"), &options)?);
        Self::open_on(dir, options, index, Some(lock), Role::Replica)
    }

    /// Makes this a store that follows another one, from the next time that it is opened; durable when this returns.
    pub fn mark_replica(&self, of: &str) -> Result<()> {
        write_mark(self.dir().join(REPLICA), of)
    }

    /// Whether the store follows another one.
    pub fn is_replica(&self) -> bool {
        self.inner.writer.is_replica()
    }

    /// Appends commits of the followed store: durable when this returns, but not applied. `after` is that store's chain
    /// after the last of them. Bodies that they refer to must be here. Blocks: not for async threads.
    ///
    /// # Errors
    /// [`StoreError::Peer`] if they do not follow this log; then nothing is stored. [`StoreError::Full`],
    /// [`StoreError::Stopped`].
    pub fn receive(&self, commits: Vec<Commit>, after: Chain) -> Result<()> {
        self.inner.writer.receive(commits, after)
    }

    /// The last commit that was applied. In a store that follows no other it is the last durable one.
    pub fn applied(&self) -> Result<Seq> {
        Ok(meta::applied(&*self.inner.index.view())?.0)
    }

    /// Applies the next received commit. A realm in which it does not produce the stated digest is quarantined and returned
    /// with the cause; the others are applied. Parts of quarantined realms are skipped.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if it is not the next commit.
    pub fn apply_received(&self, commit: &Commit) -> Result<Vec<(RealmId, Damaged)>> {
        let inner = &self.inner;
        let _alone = inner.applier.lock();
        let view = inner.index.view();
        let (applied, chain) = meta::applied(&*view)?;
        if commit.seq().0 != applied.0 + 1 || commit.seq() > self.seq() {
            return Err(StoreError::refused(format!("commit {} is not the next commit to apply", commit.seq())));
        }
        let (mut batch, mut held, mut moved) = (Batch::new(), Vec::new(), Vec::new());
        for part in &commit.realms {
            let realm = part.realm();
            if inner.quarantine.check(realm).is_err() || part.realm_seq() <= meta::realm_state(&*view, realm)?.seq {
                continue;
            }
            let mut own = Batch::new();
            match apply_part(&*view, commit.seq(), part, &mut own) {
                Ok(()) => {
                    batch.append(&mut own);
                    moved.push((realm, part.realm_seq()));
                }
                Err(StoreError::Damaged(what)) => held.push((realm, what.realm(realm))),
                Err(error) => return Err(error),
            }
        }
        if commit.epoch > meta::epoch(&*view)? {
            batch.push(meta::set_epoch(commit.epoch));
        }
        batch.push(meta::set_applied(commit.seq(), &frame(commit, chain, &mut Vec::new())));
        for (realm, what) in &held {
            // Before the commit counts as applied: a crash in between meets the difference again.
            inner.quarantine.put(*realm, what);
        }
        inner.index.apply(batch)?;
        inner.watchers.publish(moved.into_iter());
        inner.watchers.hooks.committed(commit);
        Ok(held)
    }

    /// Gives a realm of a store that follows another one what that one has at its commit `seq`, and takes it out of
    /// quarantine. Commits that it has in itself already are passed over when they are applied.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the records do not add up: the realm is empty and quarantined then.
    pub fn replace_realm(
        &self,
        realm: RealmId,
        seq: RealmSeq,
        digest: Digest,
        records: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>)>>,
    ) -> Result<()> {
        let inner = &self.inner;
        let _alone = inner.applier.lock();
        inner.quarantine.put(realm, &Damaged::new(Part::Realm, Cause::Copying).realm(realm));
        restore::fill_realm(&*inner.index, realm, RealmState { seq, digest }, records)?;
        inner.index.persist()?;
        inner.quarantine.release(realm)
    }

    /// Makes the store of a standby a primary's: it writes commits of the next epoch, which is returned; commits of the
    /// previous epoch are no longer accepted. Durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if not everything received is applied.
    pub fn promote(&self) -> Result<u64> {
        let dir = self.dir().to_owned();
        self.inner.writer.promote(move || {
            let removed = std::fs::remove_file(dir.join(REPLICA)).and_then(|()| std::fs::File::open(&dir)?.sync_all());
            removed.map_err(StoreError::io(dir.display().to_string()))
        })
    }

    /// Stops acknowledging, now and after a restart: another machine is the primary.
    pub fn fence(&self, reason: &str) -> Result<()> {
        // Before anyone can see it: what is seen holds after a crash too.
        let marked = write_mark(self.dir().join(FENCE), reason);
        self.inner.writer.halt(reason);
        tracing::error!(reason, "fenced: writes are no longer acknowledged");
        marked
    }

    /// Sets whether commits are acknowledged only once [`Store::acknowledge`] has reported them durable elsewhere too.
    /// Turning it off acknowledges all waiting ones.
    pub fn hold_acknowledgements(&self, on: bool) {
        self.inner.writer.gate(on);
    }

    /// Reports that commits up to `seq` are durable elsewhere too.
    pub fn acknowledge(&self, seq: Seq) {
        self.inner.writer.acked(seq);
    }

    /// The first commit that is durable here and waits for [`Store::acknowledge`].
    pub fn waits_for_acknowledgement(&self) -> Option<Seq> {
        self.inner.writer.waits_for().map(|(seq, _)| seq)
    }

    /// How long the oldest commit has waited for [`Store::acknowledge`]: `None` if none waits.
    pub fn acknowledgement_overdue(&self) -> Option<Duration> {
        self.inner.writer.waits_for().map(|(_, since)| since.elapsed())
    }

    /// How many transactions and answers wait for [`Store::acknowledge`].
    pub fn waiting_for_acknowledgement(&self) -> usize {
        self.inner.writer.waiting()
    }

    /// Resolves once commits up to `seq` are acknowledged. Readers see a commit a moment before that, so whoever is told
    /// "done" because of what was read, and not by a transaction of its own, is told after this. At once where
    /// acknowledgements are not held ([`Store::hold_acknowledgements`]).
    ///
    /// # Errors
    /// [`StoreError::Unknown`] once the store has stopped, is fenced or closed: what was read is durable here, and nobody
    /// will say any more whether it is elsewhere.
    pub fn acknowledged(&self, seq: Seq) -> Ticket<(), StoreError> {
        self.inner.writer.acknowledged(|_| seq)
    }

    /// As [`Store::acknowledged`], for all that can be read of one realm at this moment.
    pub fn acknowledged_in(&self, realm: RealmId) -> Ticket<(), StoreError> {
        self.inner.writer.acknowledged(|acks| acks.last_of(realm))
    }

    /// As [`Store::acknowledged`], for all that can be read at this moment.
    pub fn all_acknowledged(&self) -> Ticket<(), StoreError> {
        self.inner.writer.acknowledged(Acks::last)
    }

    /// Whether a body is here.
    pub fn has_body(&self, id: &crate::BodyId) -> Result<bool> {
        match self.inner.packs.check_known(id) {
            Ok(()) => Ok(true),
            Err(StoreError::BodyMissing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads a realm again and computes its digest, while the store is in use.
    pub fn summary(&self, realm: RealmId) -> Result<RealmSummary> {
        self.snapshot().summary(realm)
    }
}

impl Snapshot {
    /// Reads a realm again at this snapshot's commit and computes its digest.
    pub fn summary(&self, realm: RealmId) -> Result<RealmSummary> {
        let state = self.realm_state(realm)?;
        Ok(RealmSummary { realm, seq: state.seq, digest: digest_of(self.view(), realm)?, stated: state.digest })
    }
}
