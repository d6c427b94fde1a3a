//! Applies received commits when they are due, except those that a tripwire holds back.

use std::{sync::Arc, time::Duration};

use store::{Commit, Seq, Store, StoreError};
use tokio_util::sync::CancellationToken;

use super::{
    error::{Error, blocking},
    promote::{HowToPromote, Promotion, keep_for_undoing, promote_store},
    replica::Standby,
    tripwire::{Tripped, Watch},
};

/// Commits applied together.
const APPLY_AT_ONCE: usize = 500;
/// Between two tries when nothing can be applied.
const TRY_AGAIN: Duration = Duration::from_secs(5);

impl Standby {
    /// Applies commits until shut down. Failures are reported and retried; receiving continues.
    pub(super) async fn keep_applying(self: Arc<Self>, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            let Err(error) = self.clone().apply(shutdown).await else { return };
            tracing::error!(%error, "could not apply received commits");
            self.status.send_modify(|status| status.apply_fails = Some(format!("can't apply changes: {error}")));
            tokio::select! {
                () = tokio::time::sleep(TRY_AGAIN) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// Applies due commits, one by one.
    async fn apply(self: Arc<Self>, shutdown: &CancellationToken) -> Result<(), Error> {
        let store = loop {
            let made = self.go_on.notified();
            if let Some(store) = self.store() {
                break store;
            }
            tokio::select! {
                () = made => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        };
        let (at, wires, released) = (store.clone(), self.options.tripwires.clone(), self.wire.lock().released);
        let mut watch = blocking(move || Watch::of_recent(&at, &wires, released)).await?;
        let mut follower = store.follow(Seq(store.applied()?.0 + 1))?;
        loop {
            let mut commits = vec![follower.next().await?];
            while commits.len() < APPLY_AT_ONCE
                && let Some(next) = futures_util::FutureExt::now_or_never(follower.next())
            {
                commits.push(next?);
            }
            let mut due = Vec::new();
            for commit in commits {
                let wait = self.wait_for(&commit);
                if !wait.is_zero() || self.trips(&commit, &mut watch, &store)? {
                    // What is before it is applied first.
                    self.apply_now(&store, std::mem::take(&mut due)).await?;
                    self.hold(&commit, &mut watch, &store).await?;
                }
                due.push(commit);
            }
            self.apply_now(&store, due).await?;
        }
    }

    /// How long a commit has to wait for its time. That counts from when it was made, by the primary's clock; but nothing
    /// waits longer than so long after it came, whatever that clock says.
    fn wait_for(&self, commit: &Commit) -> Duration {
        let delay = self.options.apply_delay;
        if delay.is_zero() || self.cut.is_cancelled() {
            return Duration::ZERO;
        }
        let ahead_ms = self.status.borrow().primary_ahead_ms;
        let there_ms = jiff::Timestamp::now().as_millisecond().saturating_add(ahead_ms);
        let age = Duration::from_millis(u64::try_from(there_ms.saturating_sub(commit.time_ms)).unwrap_or(0));
        let here = self.arrivals.lock().of(commit.seq()).map_or(Duration::ZERO, |at| at.elapsed());
        delay.saturating_sub(age.max(here))
    }

    /// Whether a commit trips a wire, or has done so before.
    fn trips(&self, commit: &Commit, watch: &mut Watch, store: &Store) -> Result<bool, Error> {
        let found = watch.look(commit, &self.options.tripwires, store);
        let mut wire = self.wire.lock();
        if wire.tripped.as_ref().is_some_and(|tripped| tripped.seq == commit.seq()) {
            return Ok(true);
        }
        let Some(tripped) = found.filter(|tripped| tripped.seq > wire.released) else { return Ok(false) };
        tracing::error!(commit = %tripped.seq, why = tripped.why, "a tripwire holds back changes: nothing is applied until an administrator decides");
        metrics::gauge!("holdfast_standby_tripped").set(1.0);
        wire.tripped = Some(tripped.clone());
        // Before anyone hears of it: a restart must not let it through.
        wire.write(&self.options.dir)?;
        self.status.send_modify(|status| status.tripped = Some(tripped));
        Ok(true)
    }

    /// Waits until a commit is due, and until the wire that it tripped is released.
    async fn hold(&self, commit: &Commit, watch: &mut Watch, store: &Store) -> Result<(), Error> {
        let mut was_held = false;
        loop {
            let changed = self.go_on.notified();
            let wait = self.wait_for(commit);
            let held = self.status.borrow().tripped.is_some();
            was_held |= held;
            if wait.is_zero() && !held {
                if self.trips_late(commit, watch, store)? {
                    continue;
                }
                if was_held {
                    watch.forget();
                }
                return Ok(());
            }
            tokio::select! {
                () = changed => {}
                () = self.cut.cancelled(), if !wait.is_zero() => {}
                () = tokio::time::sleep(wait.max(Duration::from_millis(50))) => {}
            }
        }
    }

    /// A commit that had to wait for its time is looked at when that has come.
    fn trips_late(&self, commit: &Commit, watch: &mut Watch, store: &Store) -> Result<bool, Error> {
        let released = self.wire.lock().released;
        Ok(commit.seq() > released && self.options.apply_delay > Duration::ZERO && self.trips(commit, watch, store)?)
    }

    async fn apply_now(self: &Arc<Self>, store: &Store, mut commits: Vec<Arc<Commit>>) -> Result<(), Error> {
        while !commits.is_empty() {
            let (some, _applying) = self.brake.some_of(&mut commits, &self.cut).await;
            self.apply_some(store, some).await?;
        }
        Ok(())
    }

    async fn apply_some(self: &Arc<Self>, store: &Store, commits: Vec<Arc<Commit>>) -> Result<(), Error> {
        let (store, standby) = (store.clone(), self.clone());
        blocking(move || {
            for commit in &commits {
                for (realm, why) in store.apply_received(commit)? {
                    tracing::error!(%realm, %why, "changes to this realm are no longer applied; other realms continue");
                }
                for part in &commit.realms {
                    standby.changed.note(part.realm(), commit.seq());
                }
            }
            Ok(())
        })
        .await?;
        self.status.send_if_modified(|status| status.apply_fails.take().is_some());
        self.refresh();
        Ok(())
    }

    /// Releases the changes that a tripwire holds back.
    ///
    /// # Errors
    /// [`Error::NotNow`] if no tripwire has tripped; [`Error::Io`] if the release can't be stored.
    pub fn release(&self) -> Result<Tripped, Error> {
        let mut wire = self.wire.lock();
        let nothing = || Error::NotNow("no tripwire holds back changes".to_owned());
        let tripped = wire.tripped.clone().ok_or_else(nothing)?;
        // Everything that was received when someone looked.
        let released = self.store().map_or(tripped.seq, |store| store.seq());
        let now = super::tripwire::WireState { tripped: None, released };
        now.write(&self.options.dir)?;
        *wire = now;
        drop(wire);
        self.status.send_modify(|status| status.tripped = None);
        metrics::gauge!("holdfast_standby_tripped").set(0.0);
        self.go_on.notify_waiters();
        Ok(tripped)
    }

    /// Makes this machine the primary: stops following, applies everything received, and from then on writes in the next
    /// epoch. [`Standby::run`] ends with it; [`super::finish_promotion`] does the rest before anything is served.
    ///
    /// # Errors
    /// [`Error::NotNow`] while a tripwire holds, unless what it holds is to be discarded.
    pub async fn promote(&self, how: HowToPromote) -> Result<Promotion, Error> {
        let store = self.store().ok_or_else(|| Error::NotNow("the first copy is not finished".to_owned()))?;
        let tripped = self.status.borrow().tripped.clone();
        if let Some(tripped) = &tripped
            && !how.discard
        {
            return Err(Error::NotNow(tripped.must_be_looked_at()));
        }
        self.cut.cancel();
        let receiving = self.receiving.clone();
        blocking(move || {
            // From here on nothing more is received.
            drop(receiving.lock());
            Ok(())
        })
        .await?;
        if let Some(tripped) = tripped {
            let (at, dir, wires) = (store.clone(), self.options.dir.clone(), self.options.tripwires.clone());
            blocking(move || keep_for_undoing(&at, &dir, tripped.seq, &wires)).await?;
            self.release()?;
        }
        self.go_on.notify_waiters();
        while store.applied()? < store.seq() {
            // What came between the command and the cut may trip another one.
            if self.status.borrow().tripped.is_some() {
                if !how.discard {
                    return Err(Error::NotNow(
                        "a tripwire holds back the newest changes: see `holdfast standby status`".to_owned(),
                    ));
                }
                self.release()?;
            }
            if let Some(why) = self.status.borrow().apply_fails.clone() {
                return Err(Error::Store(StoreError::refused(format!("some received commits are not applied: {why}"))));
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let dir = self.options.dir.clone();
        let promotion = blocking(move || promote_store(&store, &dir, how)).await?;
        *self.promotion.lock() = Some(promotion);
        self.promoted.cancel();
        Ok(promotion)
    }
}
