//! Borrowing from standbys while nothing is served: a primary that is stopped, and whose log may be too damaged to open,
//! listens where its standbys connect, and takes from those that it knows what it lacks.

use std::{io, path::Path, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::BufWriter,
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::link::{Fingerprint, GREETING_TIMEOUT, Keys, Limit, Patient, Place, Strangers};

use super::{Ended, PeersFile, StandbyDonor, greeting::COPY_PATIENCE, lenders::Lenders, refused};
use crate::standby::wire::{self, Kind, plain};

/// Whether a folder of a machine that serves standbys knows any.
pub fn has_standbys(dir: &Path) -> bool {
    let known = std::fs::read_to_string(dir.join("standbys.json")).ok();
    known.and_then(|text| serde_json::from_str::<PeersFile>(&text).ok()).is_some_and(|peers| !peers.standbys.is_empty())
}

const REPAIRED: &str = "this machine is stopped, and being repaired";

/// Listens for standbys that lend, until it is dropped.
pub struct Borrowing {
    inner: Arc<Inner>,
    listening: Vec<AbortOnDropHandle<()>>,
}

impl Drop for Borrowing {
    fn drop(&mut self) {
        self.inner.over.cancel();
    }
}

struct Inner {
    known: Vec<Fingerprint>,
    lenders: Arc<Lenders>,
    came: Notify,
    promoted: Mutex<Option<String>>,
    over: CancellationToken,
}

impl Borrowing {
    /// With the key and the standbys of the folder `dir` of a machine that serves standbys.
    ///
    /// # Errors
    /// Names the file that can't be read. [`io::ErrorKind::NotFound`] when no standby was ever paired.
    pub fn listen(dir: &Path, listeners: Vec<TcpListener>) -> io::Result<Self> {
        let file = dir.join("standbys.json");
        let text = std::fs::read_to_string(&file)
            .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", file.display())))?;
        let peers: PeersFile = serde_json::from_str(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display())))?;
        let acceptor = TlsAcceptor::from(Keys::open(dir)?.server().map_err(io::Error::other)?);
        let inner = Arc::new(Inner {
            known: peers.standbys.into_iter().map(|peer| peer.fingerprint).collect(),
            lenders: Arc::default(),
            came: Notify::new(),
            promoted: Mutex::default(),
            over: CancellationToken::new(),
        });
        let listen = |listener| tokio::spawn(inner.clone().accept(listener, acceptor.clone()));
        let listening = listeners.into_iter().map(listen).map(AbortOnDropHandle::new).collect();
        Ok(Self { inner, listening })
    }

    /// Waits until a standby lends, or says that it was promoted; `false` when none lends.
    pub async fn wait(&self, patience: Duration) -> bool {
        let came = async {
            while self.inner.lenders.is_empty() && self.inner.promoted.lock().is_none() {
                self.inner.came.notified().await;
            }
        };
        let _ = tokio::time::timeout(patience, came).await;
        !self.inner.lenders.is_empty()
    }

    /// Those that lend.
    pub fn donor(&self) -> StandbyDonor {
        StandbyDonor(self.inner.lenders.clone())
    }

    /// Ends all connections, and gives the addresses back: once this returns, somebody else can listen there.
    pub async fn end(mut self) {
        for listening in std::mem::take(&mut self.listening) {
            listening.abort();
            let _ = listening.await;
        }
    }

    /// The standby that was promoted since, if one has said so.
    pub fn promoted(&self) -> Option<String> {
        self.inner.promoted.lock().clone()
    }
}

impl Inner {
    async fn accept(self: Arc<Self>, listener: TcpListener, acceptor: TlsAcceptor) {
        let strangers = Arc::new(Strangers::default());
        loop {
            let Ok((stream, peer)) = listener.accept().await else {
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let place = Strangers::place(&strangers, peer.ip());
            let (inner, acceptor) = (self.clone(), acceptor.clone());
            tokio::spawn(async move {
                let over = inner.over.clone();
                let ended = tokio::select! {
                    ended = inner.connection(stream, acceptor, place) => ended,
                    () = over.cancelled() => Err(Ended::Stopping),
                };
                if let Err(error) = ended {
                    tracing::debug!(%peer, %error, "a standby's connection ended");
                }
            });
        }
    }

    async fn connection(&self, stream: TcpStream, acceptor: TlsAcceptor, place: Place) -> Result<(), Ended> {
        stream.set_nodelay(true)?;
        let given_away = place.given_away();
        let greeting = async {
            let stream = Patient::new(stream, None, Limit::new(COPY_PATIENCE));
            let stream = acceptor.accept(stream).await?;
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let who = certificate.map(Fingerprint::of);
            let (mut read, write) = tokio::io::split(stream);
            let said = wire::read_at_most(&mut read, wire::MAX_GREETING_BYTES).await?;
            Ok::<_, io::Error>((who, said, read, BufWriter::with_capacity(256 << 10, write)))
        };
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let (who, said, read, mut write) = tokio::select! {
            greeted = tokio::time::timeout(GREETING_TIMEOUT, greeting) => greeted.map_err(late)??,
            () = given_away.cancelled() => return Err(Ended::Refused("others came, and it had said nothing".to_owned())),
        };
        drop(place);
        if !who.is_some_and(|who| self.known.contains(&who)) {
            return Err(refused(&mut write, "this machine does not know yours".to_owned()).await);
        }
        match said {
            Kind::Lend(_) => {
                let tell = || {
                    self.came.notify_one();
                    0
                };
                self.lenders.borrow_from(tell, read, &mut write).await
            }
            Kind::Promoted(told) => {
                *self.promoted.lock() = Some(plain(&told.name));
                self.came.notify_one();
                Err(refused(&mut write, REPAIRED.to_owned()).await)
            }
            _ => Err(refused(&mut write, REPAIRED.to_owned()).await),
        }
    }
}
