//! Messages' bodies: when someone reads one, and all the rest at the end.

use std::{
    collections::{HashMap, HashSet},
    pin::pin,
    sync::mpsc::SyncSender,
};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use store::{BodyId, Cause, Store, StoreError};

use super::{
    behind::Behind,
    plan::{FIRST_PAUSE, Plan},
};
use crate::archive::{
    ArchiveError, Event, Result, blocking,
    bodies::note_packs,
    format,
    restore::{
        bodies::{Places, read_range},
        source::READS,
    },
};

/// How often a body that is waited for is tried.
const BODY_TRIES: u32 = 5;
/// Bodies made durable together.
const SYNC_EVERY_BYTES: u64 = 64 << 20;

/// Bodies that were stored here, with their sizes, and those that could not be had, with the reasons.
type Put = (Vec<(BodyId, u64)>, Vec<(BodyId, String)>);

fn put_bodies(store: &Store, read: Vec<(BodyId, Result<Vec<u8>>)>) -> Result<Put> {
    let (mut kept, mut failed) = (Vec::new(), Vec::new());
    for (id, outcome) in read {
        match outcome {
            // It may have been read, or written again, in the meantime.
            Ok(bytes) => {
                if !store.has_body(&id)? {
                    store.put_body(&bytes)?;
                }
                kept.push((id, bytes.len() as u64));
            }
            Err(error) => failed.push((id, error.to_string())),
        }
    }
    Ok((kept, failed))
}

impl Behind<'_> {
    pub(super) async fn all_places(&self) {
        let read = self
            .insist("reading the locations of messages", async || {
                *self.places.lock() = Places::default();
                self.source.read_places(&self.places, &self.changed).await
            })
            .await;
        if let Err(error) = read {
            self.lost(format!("could not read the locations of messages: {error}"));
            self.places.lock().complete = true;
            self.changed.notify_waiters();
        }
    }

    /// Brings a body that someone waits for.
    pub(super) async fn body(&self, id: BodyId, told: SyncSender<store::Result<()>>) {
        let mut tries = 0;
        let outcome = loop {
            tries += 1;
            match self.try_body(id).await {
                Err(error) if tries < BODY_TRIES => {
                    tracing::warn!(%error, "could not fetch a requested message yet");
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(%id, %error, "could not fetch a requested message");
                    break Err(StoreError::BodyMissing { id });
                }
                Ok(()) => {
                    self.tell(|progress| progress.bodies += 1);
                    break Ok(());
                }
            }
        };
        // The caller may have gone.
        let _ = told.send(outcome);
    }

    async fn try_body(&self, id: BodyId) -> Result<()> {
        let (pack, body) = loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let places = self.places.lock();
                if let Some(found) = places.of(&id) {
                    break found;
                }
                if places.complete {
                    return Err(ArchiveError::damaged(Cause::Missing, id.to_string(), "it is in no pack"));
                }
            }
            changed.await;
        };
        let wanted = Mutex::new(HashSet::from([id]));
        let (pack, mut read) = read_range(&self.source, &pack, vec![body], &wanted).await?;
        let (_, bytes) =
            read.pop().ok_or_else(|| ArchiveError::damaged(Cause::Missing, id.to_string(), "it is missing"))?;
        let (store, target, bytes) = (self.store.clone(), self.source.wish.target.clone(), bytes?);
        blocking(move || {
            store.put_body(&bytes)?;
            note_packs(&store, &target, &[(id, format::hash_of_pack(&pack).to_owned())])
        })
        .await
    }

    /// Brings all bodies that are missing, and says that the store is whole.
    pub(super) async fn rest(&self) {
        let outcome = self.insist("the messages", async || self.try_rest().await).await;
        match outcome {
            Ok(missing) => {
                for what in missing {
                    self.lost(what);
                }
            }
            Err(error) => return self.tell(|progress| progress.trouble = Some(error.to_string())),
        }
        if !self.progress.borrow().lost.is_empty() && !self.source.wish.without_damaged {
            return;
        }
        let store = self.store.clone();
        let completed = blocking(move || {
            store.complete()?;
            Plan::remove(store.dir());
            Ok::<_, StoreError>(())
        })
        .await;
        match completed {
            Ok(()) => self.tell(|progress| progress.done = true),
            Err(error) => {
                tracing::error!(%error, "everything is restored, but the folder could not be marked as complete");
                self.tell(|progress| progress.trouble = Some(error.to_string()));
            }
        }
    }

    /// Gives the bodies that are nowhere, by realm and name.
    async fn try_rest(&self) -> Result<Vec<String>> {
        loop {
            let changed = self.changed.notified();
            if self.places.lock().complete {
                break;
            }
            changed.await;
        }
        let store = self.store.clone();
        let (needed, total) = blocking(move || -> Result<_> {
            let (mut needed, mut total) = (HashMap::new(), 0_u64);
            for realm in store.realms() {
                for id in store.bodies_of(realm)? {
                    total += 1;
                    if !store.has_body(&id)? {
                        needed.entry(id).or_insert(realm);
                    }
                }
            }
            Ok((needed, total))
        })
        .await?;
        let ids: HashSet<BodyId> = needed.keys().copied().collect();
        let (ranges, nowhere) = self.places.lock().ranges(&ids);
        self.tell(|progress| (progress.bodies, progress.bodies_total) = (total - ids.len() as u64, total));
        let wanted = Mutex::new(ids);
        let mut problems: HashMap<BodyId, String> =
            nowhere.into_iter().map(|id| (id, "it is in no pack".to_owned())).collect();
        let mut packs = Vec::new();
        let mut unsynced = 0;
        let mut reads = pin!(
            stream::iter(ranges)
                .map(|(pack, bodies)| {
                    let wanted = &wanted;
                    async move { read_range(&self.source, &pack, bodies, wanted).await }
                })
                .buffer_unordered(READS)
        );
        while let Some(read) = reads.next().await {
            let (pack, read) = read?;
            let store = self.store.clone();
            let (kept, failed) = blocking(move || put_bodies(&store, read)).await?;
            problems.extend(failed);
            let mut count = 0;
            for (id, bytes) in kept {
                count += u64::from(wanted.lock().remove(&id));
                unsynced += bytes;
                packs.push((id, format::hash_of_pack(&pack).to_owned()));
            }
            if unsynced > SYNC_EVERY_BYTES {
                unsynced = 0;
                self.keep(std::mem::take(&mut packs)).await?;
            }
            self.tell(|progress| progress.bodies += count);
            let now = self.progress.borrow().clone();
            (self.source.say)(Event::Progress { what: "messages", done: now.bodies, total: now.bodies_total });
        }
        self.keep(packs).await?;
        let wanted = wanted.lock();
        let why = |id: &BodyId| problems.get(id).map_or("it is in no pack", String::as_str);
        Ok(wanted.iter().map(|id| format!("{}: body {id}: {}", needed[id], why(id))).collect())
    }

    async fn keep(&self, packs: Vec<(BodyId, String)>) -> Result<()> {
        let (store, target) = (self.store.clone(), self.source.wish.target.clone());
        blocking(move || {
            store.sync_bodies()?;
            note_packs(&store, &target, &packs)
        })
        .await
    }
}
