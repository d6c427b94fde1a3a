//! Answers a standby's requests: a full copy, a realm, bodies, digests to compare. Each uses its own connection, so
//! that new commits are not delayed, except for bodies, which belong to the commits that refer to them.

use std::{io, ops::Bound, sync::Arc};

use store::{BodyId, Order, Read as _, RealmId, Snapshot, Store, StoreError};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    sync::mpsc,
    time::Duration,
};

use crate::link::Fingerprint;

use super::{
    Ended, Primary, blocking,
    copying::{Note, Noted},
    send,
};
use crate::standby::wire::{self, BodyPiece, Kind};

/// Records that travel together.
const RECORDS_BYTES: usize = 512 << 10;
/// A piece of a body.
const PIECE_BYTES: usize = 512 << 10;
/// Keepalives for the standby during long computations.
const BEAT_EVERY: Duration = Duration::from_secs(2);

type Frames = mpsc::Sender<Kind>;

impl Primary {
    /// Everything of one moment, and then the bodies that are asked for.
    pub(super) async fn give_everything(
        self: Arc<Self>,
        who: Fingerprint,
        mut read: impl AsyncRead + Unpin,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        if self.store.is_partial() {
            return Err(Ended::Refused("the restore is not finished yet: try again later".to_owned()));
        }
        let noted = Note::begin(self.clone(), who);
        let (store, note) = (self.store.clone(), noted.0.clone());
        give_frames(move |frames| read_everything(&store, frames, &note), write).await?;
        loop {
            let said = wire::read_at_most(&mut read, wire::MAX_ASKING_BYTES).await?;
            if let Kind::WantBodies(wanted) = &said {
                noted.0.asked(wanted.ids.len() as u64, wanted.more);
            }
            self.give_bodies_of(said, write, Some(&noted)).await?;
        }
    }

    /// A realm as it is now, and then the bodies that are asked for.
    pub(super) async fn give_realm(
        &self,
        realm: u64,
        read: impl AsyncRead + Unpin,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        let store = self.store.clone();
        let records = move |frames: &Frames| read_realm(&store, &store.snapshot(), RealmId::from_raw(realm), frames);
        give_frames(records, write).await?;
        self.give_what_is_asked_for(read, write).await
    }

    /// Sends bodies on request.
    pub(super) async fn give_what_is_asked_for(
        &self,
        mut read: impl AsyncRead + Unpin,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        loop {
            let said = wire::read_at_most(&mut read, wire::MAX_ASKING_BYTES).await?;
            self.give_bodies(said, write).await?;
        }
    }

    /// Answers one who asks for bodies.
    pub(super) async fn give_bodies(&self, said: Kind, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), Ended> {
        self.give_bodies_of(said, write, None).await
    }

    async fn give_bodies_of(
        &self,
        said: Kind,
        write: &mut (impl AsyncWrite + Unpin),
        noted: Option<&Noted>,
    ) -> Result<(), Ended> {
        let Kind::WantBodies(wanted) = said else {
            return Err(Ended::Refused(format!("unexpected message: {}", said.name())));
        };
        for id in wanted.ids {
            let id = <[u8; 32]>::try_from(id).map_err(|_| Ended::Refused("invalid body id".to_owned()))?;
            let bytes = self.give_body(BodyId::from_bytes(id), write).await?;
            if let Some(Noted(note)) = noted {
                note.message(bytes);
            }
        }
        write.flush().await?;
        Ok(())
    }

    /// One body, or why it can't be had. Gives its bytes.
    pub(super) async fn give_body(&self, id: BodyId, write: &mut (impl AsyncWrite + Unpin)) -> Result<u64, Ended> {
        let (store, name) = (self.store.clone(), id.as_bytes().to_vec());
        let piece =
            |bytes: Vec<u8>, last, damaged| Kind::BodyPiece(BodyPiece { id: name.clone(), bytes, last, damaged });
        // All of it is read and checked before any of it is sent, so that what is damaged here goes nowhere.
        let opened = blocking(move || {
            let mut reader = store.body(&id)?;
            reader.verify()?;
            Ok(reader)
        });
        let mut reader = match opened.await {
            Ok(reader) => reader,
            Err(Ended::Store(error)) => {
                tracing::error!(%error, "can't read a body that a standby needs");
                wire::write(write, piece(Vec::new(), true, error.to_string())).await?;
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        let mut at = 0;
        loop {
            let (bytes, rest) = blocking(move || Ok((reader.read_range(at, PIECE_BYTES)?, reader))).await?;
            reader = rest;
            at += bytes.len() as u64;
            let last = at >= reader.len();
            wire::write(write, piece(bytes.to_vec(), last, String::new())).await?;
            if last {
                return Ok(at);
            }
        }
    }

    /// All realms, each read again and added up.
    pub(super) async fn give_summary(&self, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), Ended> {
        // All of one commit, and of which is said first: the standby has itself read as it was then.
        let snapshot = self.store.snapshot();
        let seq = snapshot.seq()?.0;
        send(write, Kind::Beat(wire::Beat { seq, now_ms: 0 })).await?;
        let mut adding = std::pin::pin!(blocking(move || add_up(&snapshot)));
        let mut beat = tokio::time::interval(BEAT_EVERY);
        loop {
            tokio::select! {
                summary = &mut adding => return Ok(send(write, Kind::Summary(summary?)).await?),
                _ = beat.tick() => {
                    send(write, Kind::Beat(wire::Beat { seq, now_ms: 0 })).await?;
                }
            }
        }
    }
}

fn add_up(snapshot: &Snapshot) -> Result<wire::Summary, StoreError> {
    let mut realms = Vec::new();
    for realm in snapshot.realms()? {
        let sum = snapshot.summary(realm)?;
        realms.push(wire::RealmSum {
            realm: realm.raw(),
            seq: sum.seq.0,
            digest: sum.digest.to_bytes().to_vec(),
            stated: sum.stated.to_bytes().to_vec(),
        });
    }
    Ok(wire::Summary { seq: snapshot.seq()?.0, realms })
}

/// Sends data while another thread reads it.
async fn give_frames(
    read: impl FnOnce(&Frames) -> Result<(), StoreError> + Send + 'static,
    write: &mut (impl AsyncWrite + Unpin),
) -> Result<(), Ended> {
    let (frames, mut made) = mpsc::channel(4);
    let reading = tokio::task::spawn_blocking(move || read(&frames));
    while let Some(kind) = made.recv().await {
        wire::write(write, kind).await?;
    }
    reading.await.map_err(io::Error::other)??;
    write.flush().await?;
    Ok(())
}

fn gone<T>(_: T) -> StoreError {
    StoreError::Stopped { reason: "the standby has disconnected".to_owned() }
}

fn read_everything(store: &Store, frames: &Frames, note: &Note) -> Result<(), StoreError> {
    let snapshot = store.snapshot();
    let realms = snapshot.realms()?;
    let begin = wire::CopyBegin {
        seq: snapshot.seq()?.0,
        chain: snapshot.chain()?.to_vec(),
        epoch: snapshot.epoch()?,
        realms: realms.len() as u64,
    };
    frames.blocking_send(Kind::CopyBegin(begin)).map_err(gone)?;
    let total = realms.len() as u64;
    for realm in realms {
        note.realm(total);
        read_realm(store, &snapshot, realm, frames)?;
    }
    frames.blocking_send(Kind::CopyEnd(wire::CopyEnd {})).map_err(gone)
}

/// Sends a realm's records. A damaged realm is reported, not sent.
fn read_realm(store: &Store, snapshot: &Snapshot, realm: RealmId, frames: &Frames) -> Result<(), StoreError> {
    let damaged =
        store.quarantined().into_iter().find(|(found, _)| *found == realm).map(|(_, reason)| reason.to_string());
    let begin = wire::RealmBegin {
        realm: realm.raw(),
        seq: snapshot.realm_seq(realm).0,
        digest: snapshot.digest(realm)?.to_bytes().to_vec(),
        damaged: damaged.clone().unwrap_or_default(),
    };
    frames.blocking_send(Kind::RealmBegin(begin)).map_err(gone)?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    if damaged.is_none() {
        for row in snapshot.range(realm, (Bound::Unbounded, Bound::Unbounded), Order::Ascending)? {
            let (key, value) = row?;
            bytes += key.len() + value.len();
            records.push(wire::Record { key: key.to_vec(), value: value.to_vec() });
            if bytes > RECORDS_BYTES {
                bytes = 0;
                let records = std::mem::take(&mut records);
                frames.blocking_send(Kind::Records(wire::Records { records, last: false })).map_err(gone)?;
            }
        }
    }
    frames.blocking_send(Kind::Records(wire::Records { records, last: true })).map_err(gone)
}
