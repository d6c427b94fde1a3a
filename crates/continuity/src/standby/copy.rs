//! The first copy: all data of the primary at one commit, while the primary keeps running.

use std::{io, sync::Arc};

use parking_lot::Mutex;
use store::{BodyId, Cause, Damaged, Digest, Part, PeerFault, RealmId, RealmSeq, Restore, Seq, Store, StoreError};
use tokio::sync::mpsc;

use super::{
    connect::{Connection, hear, say},
    error::{Error, blocking},
    replica::Standby,
    tripwire::WireState,
    wire::{self, Hello, Kind, plain},
};

/// Bodies asked for at once.
pub(super) const BODIES_AT_ONCE: usize = 256;
/// The largest body: as large as anything that is archived.
const MAX_BODY_BYTES: usize = 1 << 30;

impl Standby {
    /// The first copy: everything of one moment.
    pub(super) async fn copy(self: &Arc<Self>, stream: &mut Connection) -> Result<(), Error> {
        self.doing("copying all data");
        let hello = Hello { version: wire::VERSION, next: 0, chain: Vec::new(), epoch: 0, copy: true };
        say(stream, Kind::Hello(hello)).await?;
        let Kind::CopyBegin(begin) = hear(stream).await? else {
            return Err(Error::NotNow("the primary did not send a copy".to_owned()));
        };
        let (dir, options) = (self.options.dir.clone(), (self.options.store.0)());
        let restore = blocking(move || Restore::begin(&dir, options, "the first copy of a standby")).await?;
        let restore = Arc::new(Mutex::new(Some(restore)));
        let (frames, made) = mpsc::channel(8);
        let writing = {
            let restore = restore.clone();
            tokio::task::spawn_blocking(move || write_realms(restore.lock().as_ref().expect("it was put in"), made))
        };
        let mut realms = 0;
        loop {
            let kind = hear(stream).await?;
            if matches!(kind, Kind::CopyEnd(_)) {
                break;
            }
            if matches!(kind, Kind::RealmBegin(_)) {
                realms += 1;
                if realms % 100 == 0 {
                    self.doing(format!("copying records: {realms} of {} realms", begin.realms));
                }
            }
            if frames.send(kind).await.is_err() {
                break;
            }
        }
        drop(frames);
        writing.await.map_err(io::Error::other)??;
        self.copy_bodies(stream, &restore).await?;
        let chain = <[u8; 32]>::try_from(begin.chain).map_err(|_| Error::NotNow("invalid chain".to_owned()))?;
        let (seq, epoch, address) = (Seq(begin.seq), begin.epoch, self.options.name.clone());
        let (dir, options) = (self.options.dir.clone(), (self.options.store.0)());
        let store = blocking(move || {
            // What a wire held in another history is no matter of this one.
            WireState::remove(&dir).map_err(StoreError::io("wire.json"))?;
            let restore = restore.lock().take().expect("it was put in");
            let store = restore.finish(seq, chain, epoch)?;
            store.mark_replica(&format!("{address} follows a primary"))?;
            Restore::done(&store)?;
            store.close();
            drop(store);
            Store::open_replica(&dir, options)
        })
        .await?;
        *self.store.lock() = Some(store);
        self.go_on.notify_waiters();
        self.refresh();
        self.doing(format!("copied all data up to commit {seq}"));
        Ok(())
    }

    async fn copy_bodies(&self, stream: &mut Connection, restore: &Arc<Mutex<Option<Restore>>>) -> Result<(), Error> {
        let having = restore.clone();
        let missing = blocking(move || {
            let held = having.lock();
            let restore = held.as_ref().expect("it was put in");
            let mut missing = Vec::new();
            for id in restore.bodies()?.into_keys() {
                if !restore.has_body(&id)? {
                    missing.push(id);
                }
            }
            Ok(missing)
        })
        .await?;
        let (total, begun) = (missing.len(), std::time::Instant::now());
        let mut done = 0;
        for ids in missing.chunks(BODIES_AT_ONCE) {
            let wanted = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
            let more = (total - done - ids.len()) as u64;
            say(stream, Kind::WantBodies(wire::WantBodies { ids: wanted, more })).await?;
            for id in ids {
                if let Some(bytes) = read_body(stream, id).await? {
                    let restore = restore.clone();
                    blocking(move || restore.lock().as_mut().expect("it was put in").put_body(&bytes)).await?;
                }
            }
            done += ids.len();
            let left = begun.elapsed().mul_f64((total - done) as f64 / done as f64);
            self.doing(format!("copying messages: {done} of {total}, about {} s left", left.as_secs()));
        }
        Ok(())
    }
}

/// Reads the pieces of one body; `None` when the primary can't give it.
pub(super) async fn read_body(stream: &mut Connection, id: &BodyId) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    loop {
        let Kind::BodyPiece(piece) = hear(stream).await? else {
            return Err(Error::NotNow("the primary did not send a body".to_owned()));
        };
        if piece.id != id.as_bytes() {
            return Err(Error::NotNow("the primary sent a different body".to_owned()));
        }
        if !piece.damaged.is_empty() {
            tracing::error!(%id, reason = plain(&piece.damaged), "the primary can't send a body");
            return Ok(None);
        }
        bytes.extend_from_slice(&piece.bytes);
        if bytes.len() > MAX_BODY_BYTES {
            return Err(Error::NotNow("received a body larger than the limit".to_owned()));
        }
        if piece.last {
            if BodyId::of(&bytes) != *id {
                return Err(Error::NotNow(format!("body {id} does not match its hash")));
            }
            return Ok(Some(bytes));
        }
    }
}

fn write_realms(restore: &Restore, mut made: mpsc::Receiver<Kind>) -> Result<(), StoreError> {
    let cut_off = || StoreError::Peer(PeerFault::Incomplete);
    let malformed = |what| StoreError::Peer(PeerFault::Malformed(Box::new(what)));
    while let Some(kind) = made.blocking_recv() {
        let Kind::RealmBegin(begin) = kind else {
            return Err(malformed(Damaged::new(Part::Record, Cause::Order).because("it belongs to no realm")));
        };
        let realm = RealmId::from_raw(begin.realm);
        let digest = Digest::from_bytes(&begin.digest)
            .ok_or_else(|| malformed(Damaged::new(Part::Realm, Cause::Length).realm(realm).because("its digest")))?;
        let mut whole = false;
        let mut records = Vec::new().into_iter();
        let each = std::iter::from_fn(|| {
            loop {
                if let Some(wire::Record { key, value }) = records.next() {
                    return Some(Ok((key, value)));
                }
                if whole {
                    return None;
                }
                match made.blocking_recv() {
                    Some(Kind::Records(some)) => {
                        whole = some.last;
                        records = some.records.into_iter();
                    }
                    _ => return Some(Err(cut_off())),
                }
            }
        });
        let written = if begin.damaged.is_empty() {
            restore.realm(realm, RealmSeq(begin.seq), digest, each)
        } else {
            each.for_each(drop);
            tracing::error!(%realm, reason = plain(&begin.damaged), "damaged on the primary: not copied");
            Ok(())
        };
        match written {
            Err(error @ StoreError::Damaged { .. }) if whole => {
                // The others are copied all the same; this one is held as soon as a commit touches it.
                tracing::error!(%realm, %error, "not copied");
            }
            other => other?,
        }
    }
    Ok(())
}
