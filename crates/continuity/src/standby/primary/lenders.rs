//! Standbys that provide bodies and commits that are damaged on this machine.

use std::{sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use store::{BodyId, Seq};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot},
};

use super::{Ended, Primary, send};
use crate::{
    mending::{Bodies, Donor, log::History},
    standby::wire::{self, Kind},
};

/// The interval of keepalives to a lending standby.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// The largest body that is accepted: the same limit as in archives.
const MAX_BODY_BYTES: usize = 1 << 30;

/// A request to a standby.
enum Asked {
    Bodies { ids: Vec<BodyId>, came: oneshot::Sender<Bodies> },
    Log { from: Seq, came: oneshot::Sender<Option<Vec<u8>>> },
}

/// The way to a standby that lends.
type Lender = mpsc::Sender<Asked>;

/// The standbys that lend.
#[derive(Default)]
pub(super) struct Lenders(Mutex<Vec<Lender>>);

impl Lenders {
    fn all(&self) -> Vec<Lender> {
        let mut lenders = self.0.lock();
        lenders.retain(|lender| !lender.is_closed());
        lenders.clone()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all().is_empty()
    }

    /// Asks a standby for what is damaged here, over the connection that it opened for that. `seq`: the last commit here.
    pub(super) async fn borrow_from(
        &self,
        seq: impl Fn() -> u64,
        mut read: impl AsyncRead + Unpin,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        let (lender, mut asked) = mpsc::channel::<Asked>(4);
        self.all();
        self.0.lock().push(lender);
        let mut beat = tokio::time::interval(BEAT_EVERY);
        loop {
            tokio::select! {
                _ = beat.tick() => send(write, Kind::Beat(wire::Beat { seq: seq(), now_ms: 0 })).await?,
                Some(asked) = asked.recv() => match asked {
                    Asked::Bodies { ids, came } => {
                        let wanted = ids.iter().map(|id| id.as_bytes().to_vec()).collect();
                        send(write, Kind::WantBodies(wire::WantBodies { ids: wanted, more: 0 })).await?;
                        let mut bodies = Bodies::new();
                        for id in &ids {
                            if let Some(bytes) = hear_body(&mut read, id).await? {
                                bodies.push((*id, bytes));
                            }
                        }
                        // The caller may have given up.
                        let _ = came.send(bodies);
                    }
                    Asked::Log { from, came } => {
                        send(write, Kind::WantLog(wire::WantLog { from: from.0 })).await?;
                        let Kind::Run(run) = wire::read(&mut read).await? else {
                            return Err(Ended::Refused("it lends no commits".to_owned()));
                        };
                        let _ = came.send(Some(run.bytes).filter(|bytes| !bytes.is_empty()));
                    }
                },
            }
        }
    }
}

impl Primary {
    /// Asks a standby for what is damaged here.
    pub(super) async fn borrow_from(
        &self,
        read: impl AsyncRead + Unpin,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        self.lenders.borrow_from(|| self.store.seq().0, read, write).await
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

/// The standbys as donors of damaged bodies and commits.
pub struct StandbyDonor(pub(super) Arc<Lenders>);

impl StandbyDonor {
    /// Those of a machine that serves.
    pub fn of(primary: &Primary) -> Self {
        Self(primary.lenders.clone())
    }
}

const NOBODY: &str = "no standby is connected";

impl Donor for StandbyDonor {
    fn name(&self) -> String {
        "a standby".to_owned()
    }

    fn bodies<'a>(&'a self, ids: &'a [BodyId]) -> BoxFuture<'a, Result<Bodies, String>> {
        Box::pin(async move {
            let (mut all, mut missing) = (Bodies::new(), ids.to_vec());
            let mut answered = false;
            for lender in self.0.all() {
                if missing.is_empty() {
                    break;
                }
                let (came, coming) = oneshot::channel();
                if lender.send(Asked::Bodies { ids: missing.clone(), came }).await.is_err() {
                    continue;
                }
                let Ok(came) = coming.await else { continue };
                answered = true;
                missing.retain(|id| !came.iter().any(|(found, _)| found == id));
                all.extend(came);
            }
            if answered { Ok(all) } else { Err(NOBODY.to_owned()) }
        })
    }

    fn histories(&self) -> BoxFuture<'_, Result<Vec<Arc<dyn History>>, String>> {
        Box::pin(async move {
            let logs: Vec<Arc<dyn History>> =
                self.0.all().into_iter().map(|lender| Arc::new(LentLog(lender)) as Arc<dyn History>).collect();
            if logs.is_empty() { Err(NOBODY.to_owned()) } else { Ok(logs) }
        })
    }
}

/// The log of a standby that lends.
struct LentLog(Lender);

impl History for LentLog {
    fn name(&self) -> String {
        "a standby".to_owned()
    }

    fn run(&self, from: Seq) -> BoxFuture<'_, Result<Option<Vec<u8>>, String>> {
        Box::pin(async move {
            let gone = || "its connection has ended; one of an older version lends no commits".to_owned();
            let (came, coming) = oneshot::channel();
            self.0.send(Asked::Log { from, came }).await.map_err(|_| gone())?;
            coming.await.map_err(|_| gone())
        })
    }
}
