//! A store that serves while it is being restored: some realms are restored, the others are restored when they are
//! requested or when it is their turn; the same applies to bodies.
//!
//! Missing data is never treated as empty: reading or writing such a realm fails with [`StoreError::NotRestored`], and
//! registers a request that the restore handles first. The folder keeps its mark until everything is restored, so that
//! only the same restore can open it.

use std::{
    ops::Bound,
    path::Path,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use prost::Message as _;
use tokio::sync::mpsc;

use super::{clear_realm, fill_realm};
use crate::{
    BODY_REFERENCE, BodyId, BodyReader, Cause, Damaged, Digest, Order, Part, RealmCommit, RealmId, RealmSeq, Restore,
    Result, Seq, Store, StoreError, StoreOptions,
    index::{Batch, FjallIndex, IndexEngine, RealmState, Space, apply_part, full_range, meta},
    lock::Lock,
    log::Chain,
    marks::{self, RESTORING},
    options::Role,
    partial::Wish,
    store::check_format,
};

/// Second line of the mark, from when the store may serve.
pub(crate) const SERVING: &str = "serving";
/// How long a reader waits for a body.
const BODY_WAIT: Duration = Duration::from_secs(60);
/// How long [`Store::restored`] waits for a realm.
const REALM_WAIT: Duration = Duration::from_secs(20);
/// Where a realm's commits wait for the records that they follow.
const LATER: &str = "restore";

fn later_key(realm: RealmId, seq: Seq) -> Vec<u8> {
    [realm.raw().to_be_bytes(), seq.0.to_be_bytes()].concat()
}

impl Restore {
    /// Keeps what a commit writes in a realm whose records come later. See [`Store::bring_realm`].
    pub fn keep_for_later(&self, seq: Seq, part: &RealmCommit) -> Result<()> {
        let key = meta::note_key(LATER, &later_key(part.realm(), seq));
        self.index.apply(vec![meta::write(key, part.encode_to_vec())])
    }

    /// As [`Restore::finish`], before everything is there: the realms of `absent` come later. The folder stays marked,
    /// and opens with [`Store::open_partial`] until [`Store::complete`].
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a realm does not add up.
    pub fn serve(self, seq: Seq, chain: Chain, epoch: u64, absent: &[RealmId]) -> Result<Store> {
        for some in absent.chunks(10_000) {
            self.index.apply(some.iter().map(|realm| meta::set_absent(*realm, false)).collect())?;
        }
        let mark = self.mark.clone();
        let dir = self.dir.clone();
        self.begin_log(seq, chain, epoch, false)?
            .open(Role::Partial, || marks::write_mark(dir.join(RESTORING), &format!("{mark}\n{SERVING}")))
    }
}

impl Store {
    /// Opens a store with an unfinished restore with the same `mark`; `None` if it was not ready to serve yet.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_partial(dir: &Path, options: StoreOptions, mark: &str) -> Result<Option<Self>> {
        if marks::restoring(dir)? != Some(format!("{mark}\n{SERVING}")) {
            return Ok(None);
        }
        let lock = Arc::new(Lock::take(dir)?);
        check_format(dir)?;
        let index: Arc<dyn IndexEngine> = Arc::new(FjallIndex::open(&dir.join("index"), &options)?);
        Self::open_on(dir, options, index, Some(lock), Role::Partial).map(Some)
    }

    /// Whether a restore into a folder was begun and not finished.
    pub fn is_being_restored(dir: &Path) -> bool {
        marks::check_finished(dir).is_err()
    }

    /// Whether not everything has been restored yet.
    pub fn is_partial(&self) -> bool {
        self.inner.partial.is_on()
    }

    /// The realms not restored yet, and whether their records are already there (see [`Store::bring_realm`]).
    pub fn absent(&self) -> Result<Vec<(RealmId, bool)>> {
        meta::absent(&*self.inner.index.view())
    }

    /// Returns when a realm is restored: at once in a complete store.
    ///
    /// # Errors
    /// [`StoreError::NotRestored`] if it is not restored within 20 seconds, or can't be.
    pub async fn restored(&self, realm: RealmId) -> Result<()> {
        let partial = &self.inner.partial;
        let wait = async {
            loop {
                let changed = partial.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if !partial.is_on() || !partial.is_absent(realm) {
                    return Ok(());
                }
                let error = partial.wish(realm);
                if partial.state.lock().absent.get(&realm).is_some_and(Option::is_some) {
                    return Err(error);
                }
                changed.await;
            }
        };
        match tokio::time::timeout(REALM_WAIT, wait).await {
            Ok(outcome) => outcome,
            Err(_) => Err(partial.wish(realm)),
        }
    }

    /// The stream of requests. The last caller gets them.
    pub fn wishes(&self) -> mpsc::UnboundedReceiver<Wish> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let mut state = self.inner.partial.state.lock();
        for realm in std::mem::take(&mut state.asked) {
            if state.absent.get(&realm).is_some_and(Option::is_none) {
                state.asked.insert(realm);
                let _ = sender.send(Wish::Realm(realm));
            }
        }
        state.wishes = Some(sender);
        receiver
    }

    /// Gives an absent realm its records, and then what the commits after them wrote: those of `after`, or else those
    /// that were kept for later. From then on it can be read and written by who gives it its last touch; all others wait
    /// for [`Store::admit_realm`]. Durable when this returns. Blocks: not for async threads.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when the records or a commit do not lead to the digest that they state, and those of
    /// `records`: the realm stays absent.
    pub fn bring_realm<E: From<StoreError>>(
        &self,
        realm: RealmId,
        (seq, digest): (RealmSeq, Digest),
        records: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), E>>,
        after: Option<Vec<(Seq, RealmCommit)>>,
    ) -> Result<(), E> {
        let index = &*self.inner.index;
        fill_realm(index, realm, RealmState { seq, digest }, records)?;
        let finish = || -> Result<()> {
            let kept = self.kept_for_later(realm)?;
            let forget = kept.iter().map(|(at, _)| (Space::Meta, meta::note_key(LATER, &later_key(realm, *at)), None));
            let mut batch: Batch = forget.collect();
            for (at, part) in after.as_ref().unwrap_or(&kept) {
                let mut own = Batch::new();
                apply_part(&*index.view(), *at, part, &mut own)?;
                index.apply(own)?;
            }
            index.persist()?;
            batch.push(meta::set_absent(realm, true));
            index.apply(batch)?;
            index.persist()?;
            self.inner.writer.look_again(realm)
        };
        finish().map_err(|error| {
            if let Err(error) = clear_realm(index, realm) {
                tracing::warn!(%realm, %error, "could not remove a partial restore of this realm; it is replaced when the realm is restored again");
            }
            error.into()
        })
    }

    fn kept_for_later(&self, realm: RealmId) -> Result<Vec<(Seq, RealmCommit)>> {
        let view = self.inner.index.view();
        meta::notes(&*view, LATER, &realm.raw().to_be_bytes(), |key, value| {
            let damaged =
                || Damaged::new(Part::Commit, Cause::Decoding).realm(realm).because("a commit kept for later");
            let seq = key.last_chunk().map(|bytes| Seq(u64::from_be_bytes(*bytes))).ok_or_else(damaged)?;
            Ok((seq, RealmCommit::decode(value).map_err(|_| damaged())?))
        })
    }

    /// Lets everyone use a realm that was brought. Durable when this returns.
    pub fn admit_realm(&self, realm: RealmId) -> Result<()> {
        self.inner.index.apply(vec![meta::set_present(realm)])?;
        self.inner.index.persist()?;
        let mut state = self.inner.partial.state.lock();
        state.absent.remove(&realm);
        state.asked.remove(&realm);
        drop(state);
        self.inner.partial.changed.notify_waiters();
        Ok(())
    }

    /// Reports that a realm can't be restored, and why, to those who wait for it.
    pub fn give_up_realm(&self, realm: RealmId, why: &str) {
        self.inner.partial.state.lock().absent.insert(realm, Some(why.to_owned()));
        self.inner.partial.changed.notify_waiters();
    }

    /// Continues without a realm that can't be restored: it is empty and quarantined from now on.
    pub fn leave_out_realm(&self, realm: RealmId, why: &str) -> Result<()> {
        clear_realm(&*self.inner.index, realm)?;
        let what = Damaged::new(Part::Realm, Cause::NotRestored).realm(realm).because(why);
        self.inner.quarantine.put(realm, &what);
        self.admit_realm(realm)
    }

    /// The bodies that a realm's records refer to.
    pub fn bodies_of(&self, realm: RealmId) -> Result<Vec<BodyId>> {
        let view = self.inner.index.view();
        let range = (Bound::Included(vec![BODY_REFERENCE]), Bound::Unbounded);
        let mut found: Vec<BodyId> = Vec::new();
        for row in view.range(Space::Records, full_range(realm, range), Order::Ascending) {
            found.extend(crate::body_of_key(&row?.0[8..]).filter(|id| found.last() != Some(id)));
        }
        Ok(found)
    }

    /// Makes the bodies stored so far durable. Blocks.
    pub fn sync_bodies(&self) -> Result<()> {
        self.inner.writer.sync_bodies()
    }

    /// Finishes the restore: from now on this is a normal store. Blocks while all records are read.
    ///
    /// # Errors
    /// [`StoreError::NotRestored`] when a realm has not come; those of [`Store::checkpoint`].
    pub fn complete(&self) -> Result<()> {
        if let Some((realm, _)) = self.absent()?.first() {
            let what = format!("{realm} is still being restored");
            return Err(StoreError::NotRestored { what, realm: Some(*realm) });
        }
        self.sync_bodies()?;
        // Before that there is nothing to rebuild the index from.
        self.checkpoint(&|| true)?;
        Self::done(self)?;
        self.inner.partial.on.store(false, Ordering::Release);
        self.inner.partial.changed.notify_waiters();
        Ok(())
    }

    fn done(store: &Self) -> Result<()> {
        Restore::done(store)
    }

    /// A body not restored yet, once it is restored.
    pub(crate) fn awaited_body(&self, id: &BodyId) -> Result<BodyReader> {
        let missing = || StoreError::NotRestored { what: format!("message {id} is still being restored"), realm: None };
        let (told, tell) = std::sync::mpsc::sync_channel(1);
        let asked = match &self.inner.partial.state.lock().wishes {
            Some(wishes) => wishes.send(Wish::Body(*id, told)).is_ok(),
            None => false,
        };
        if !asked {
            return Err(missing());
        }
        let wait = || tell.recv_timeout(BODY_WAIT).map_err(|_| missing())?;
        let is_worker = tokio::runtime::Handle::try_current()
            .is_ok_and(|handle| handle.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread);
        if is_worker {
            tokio::task::block_in_place(wait)?;
        } else {
            wait()?;
        }
        self.inner.packs.open_body(id)
    }
}
