//! Standbys that provide bodies that are damaged on this machine.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use store::BodyId;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};

use super::{Ended, Primary, send};
use crate::{
    mending::{Bodies, Donor},
    standby::wire::{self, Kind},
};

/// The interval of keepalives to a lending standby.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// The largest body that is accepted: the same limit as in archives.
const MAX_BODY_BYTES: usize = 1 << 30;

/// A request to a standby.
pub(super) struct Asked {
    ids: Vec<BodyId>,
    came: oneshot::Sender<Bodies>,
}

/// The way to a standby that lends.
pub(super) type Lender = mpsc::Sender<Asked>;

impl Primary {
    /// Asks a standby for bodies, over the connection that it opened for that.
    pub(super) async fn borrow_from(
        &self,
        mut read: impl AsyncRead + Unpin,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        let (lender, mut asked) = mpsc::channel::<Asked>(4);
        {
            let mut lenders = self.lenders.lock();
            lenders.retain(|lender| !lender.is_closed());
            lenders.push(lender);
        }
        let mut beat = tokio::time::interval(BEAT_EVERY);
        loop {
            tokio::select! {
                _ = beat.tick() => send(write, Kind::Beat(wire::Beat { seq: self.store.seq().0, now_ms: 0 })).await?,
                Some(asked) = asked.recv() => {
                    let ids = asked.ids.iter().map(|id| id.as_bytes().to_vec()).collect();
                    send(write, Kind::WantBodies(wire::WantBodies { ids, more: 0 })).await?;
                    let mut came = Bodies::new();
                    for id in &asked.ids {
                        if let Some(bytes) = hear_body(&mut read, id).await? {
                            came.push((*id, bytes));
                        }
                    }
                    // Whoever asked may have given up.
                    let _ = asked.came.send(came);
                }
            }
        }
    }
}

async fn hear_body(read: &mut (impl AsyncRead + Unpin), id: &BodyId) -> Result<Option<Vec<u8>>, Ended> {
    let mut bytes = Vec::new();
    loop {
        let Kind::BodyPiece(piece) = wire::read_at_most(read, wire::MAX_ASKING_BYTES).await? else {
            return Err(Ended::Refused("it did not send the requested body".to_owned()));
        };
        if piece.id != id.as_bytes() {
            return Err(Ended::Refused("it sent a different body than requested".to_owned()));
        }
        if !piece.damaged.is_empty() {
            return Ok(None);
        }
        bytes.extend_from_slice(&piece.bytes);
        if bytes.len() > MAX_BODY_BYTES {
            return Err(Ended::Refused("it sent a body larger than the limit".to_owned()));
        }
        if piece.last {
            return Ok(Some(bytes));
        }
    }
}

/// The standbys as donors of damaged bodies.
pub struct StandbyDonor(pub Arc<Primary>);

impl Donor for StandbyDonor {
    fn name(&self) -> String {
        "a standby".to_owned()
    }

    fn bodies<'a>(&'a self, ids: &'a [BodyId]) -> BoxFuture<'a, Result<Bodies, String>> {
        Box::pin(async move {
            let lenders: Vec<Lender> = {
                let mut lenders = self.0.lenders.lock();
                lenders.retain(|lender| !lender.is_closed());
                lenders.clone()
            };
            let (mut all, mut missing) = (Bodies::new(), ids.to_vec());
            let mut answered = false;
            for lender in lenders {
                if missing.is_empty() {
                    break;
                }
                let (came, coming) = oneshot::channel();
                if lender.send(Asked { ids: missing.clone(), came }).await.is_err() {
                    continue;
                }
                let Ok(came) = coming.await else { continue };
                answered = true;
                missing.retain(|id| !came.iter().any(|(found, _)| found == id));
                all.extend(came);
            }
            if answered { Ok(all) } else { Err("no standby is connected".to_owned()) }
        })
    }
}
