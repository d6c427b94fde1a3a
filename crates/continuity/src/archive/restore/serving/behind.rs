//! The background part of a restore while serving: requested items first, then everything else.

use std::{
    collections::{HashSet, VecDeque},
    pin::pin,
};

use futures_util::{StreamExt as _, future::LocalBoxFuture, stream::FuturesUnordered};
use parking_lot::Mutex;
use store::{RealmId, Store, Wish as Wanted};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::plan::{FIRST_PAUSE, LONGEST_PAUSE, Plan, Prepare, Progress};
use crate::archive::{
    ArchiveError, Result,
    format::Manifest,
    restore::{
        bodies::Places,
        source::{Source, is_damage},
    },
};

/// Accounts restored concurrently in the background.
const IN_TURN: usize = 2;
/// Accounts that are brought at once when people ask.
const ASKED_FOR: usize = 16;

/// The background part.
pub(super) struct Behind<'a> {
    pub(super) source: Source<'a>,
    pub(super) manifest: Option<Manifest>,
    pub(super) store: Store,
    pub(super) plan: Plan,
    pub(super) prepare: Prepare,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) places: Mutex<Places>,
    /// More of the places is known.
    pub(super) changed: Notify,
}

impl Behind<'_> {
    pub(super) async fn run(&self, order: impl Iterator<Item = RealmId>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.bring_all(order) => {}
        }
        self.tell(|progress| progress.ended = true);
    }

    pub(super) fn tell(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|progress| {
            progress.fetched = self.source.fetched();
            change(progress);
        });
    }

    async fn bring_all(&self, order: impl Iterator<Item = RealmId>) {
        let mut wishes = self.store.wishes();
        let absent: Vec<RealmId> = match self.store.absent() {
            Ok(absent) => absent.into_iter().map(|(realm, _)| realm).collect(),
            Err(error) => return self.tell(|progress| progress.trouble = Some(error.to_string())),
        };
        let mut left: HashSet<RealmId> = absent.iter().copied().collect();
        let mut seen = HashSet::new();
        let mut todo: VecDeque<RealmId> =
            order.chain(absent.iter().copied()).filter(|realm| left.contains(realm) && seen.insert(*realm)).collect();
        let accounts = self.store.realms().into_iter().filter(|realm| realm.account_number().is_some());
        let there = accounts.filter(|realm| !left.contains(realm)).count() as u64;
        self.tell(|progress| {
            progress.accounts = there;
            progress.accounts_total = there + left.len() as u64;
            progress.bodies_total = self.manifest.as_ref().map_or(0, |manifest| manifest.bodies);
        });
        let mut realms: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut bodies: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut places = pin!(self.all_places());
        let mut places_read = false;
        let mut rest = pin!(self.rest());
        loop {
            while realms.len() < IN_TURN
                && let Some(realm) = todo.pop_front()
            {
                if left.remove(&realm) {
                    realms.push(Box::pin(self.realm(realm)));
                }
            }
            let all_there = realms.is_empty() && todo.is_empty();
            tokio::select! {
                biased;
                wish = wishes.recv() => match wish {
                    Some(Wanted::Realm(realm)) if realms.len() < ASKED_FOR => {
                        if left.remove(&realm) {
                            realms.push(Box::pin(self.realm(realm)));
                        }
                    }
                    Some(Wanted::Realm(realm)) => todo.push_front(realm),
                    Some(Wanted::Body(id, told)) => bodies.push(Box::pin(self.body(id, told))),
                    None => return,
                },
                Some(()) = bodies.next(), if !bodies.is_empty() => {}
                Some(()) = realms.next(), if !realms.is_empty() => {}
                () = &mut places, if !places_read => places_read = true,
                () = &mut rest, if all_there => return,
            }
        }
    }

    /// Tries until the archive answers.
    pub(super) async fn insist<T>(&self, what: &str, work: impl AsyncFn() -> Result<T>) -> Result<T> {
        let mut pause = FIRST_PAUSE;
        loop {
            match work().await {
                Err(error @ ArchiveError::Target { .. }) if !is_damage(&error) => {
                    tracing::warn!(%error, what, "the restore retries a step");
                    self.tell(|progress| progress.trouble = Some(error.to_string()));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => {
                    self.progress.send_if_modified(|progress| progress.trouble.take().is_some());
                    return other;
                }
            }
        }
    }

    pub(super) fn lost(&self, what: String) {
        self.source.line_out(format!("LOST: {what}"));
        tracing::error!(what, "could not restore an item");
        self.tell(|progress| progress.lost.push(what));
    }
}
