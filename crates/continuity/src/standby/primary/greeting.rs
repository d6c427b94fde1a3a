//! The identity and the request of a new connection.

use std::{io, sync::Arc, time::Duration};

use store::{Seq, StoreError};
use tokio::{
    io::{AsyncRead, AsyncWrite, BufWriter},
    net::TcpStream,
};
use tokio_rustls::TlsAcceptor;

use crate::link::{Fingerprint, GREETING_TIMEOUT, Limit, Patient, Place, name_of};

use super::{
    Ended, Peer, Primary, blocking, refused, send,
    stream::{Present, Stream},
};
use crate::standby::{
    promote::promotions,
    wire::{self, Hello, Kind},
};

/// How long a standby that copies may take nothing: its disk may have to catch up.
pub(super) const COPY_PATIENCE: Duration = Duration::from_secs(60);
impl Primary {
    pub(super) async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        place: Place,
    ) -> Result<(), Ended> {
        stream.set_nodelay(true)?;
        let given_away = place.given_away();
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let patience = Limit::new(COPY_PATIENCE);
        let stream = Patient::new(stream, None, patience.clone());
        let greeted = async {
            let stream = tokio::time::timeout(GREETING_TIMEOUT, acceptor.accept(stream)).await.map_err(late)??;
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let who = certificate.map(Fingerprint::of);
            let who = who.ok_or_else(|| Ended::Refused("it sent no certificate".to_owned()))?;
            let (mut read, write) = tokio::io::split(stream);
            let mut write = BufWriter::with_capacity(256 << 10, write);
            loop {
                let greeting = wire::read_at_most(&mut read, wire::MAX_GREETING_BYTES);
                let said = tokio::time::timeout(GREETING_TIMEOUT, greeting).await.map_err(late)??;
                match said {
                    Kind::Pair(asked) => match self.pair(who, &asked.secret, &name_of(&asked.name)) {
                        Ok(()) => send(&mut write, Kind::Paired(wire::Paired {})).await?,
                        Err(why) => return Err(refused(&mut write, why).await),
                    },
                    _ if !self.knows(who) => {
                        let why =
                            "this machine does not know yours: pair them with a code from `holdfast standby code`";
                        return Err(refused(&mut write, why.to_owned()).await);
                    }
                    said => return Ok((who, said, read, write)),
                }
            }
        };
        let (who, said, read, mut write) = tokio::select! {
            greeted = greeted => greeted?,
            () = given_away.cancelled() => return Err(Ended::Refused("too many new connections, and this one had not sent anything".to_owned())),
        };
        drop(place);
        let serving = async {
            match said {
                Kind::Promoted(told) => self.fenced_by(&told, &mut write).await,
                Kind::Lend(_) => self.borrow_from(read, &mut write).await,
                Kind::WantSummary(_) => self.give_summary(&mut write).await,
                Kind::WantRealm(wanted) => self.give_realm(wanted.realm, read, &mut write).await,
                Kind::WantBodies(_) => {
                    self.give_bodies(said, &mut write).await?;
                    self.give_what_is_asked_for(read, &mut write).await
                }
                Kind::Hello(hello) if hello.version != wire::VERSION => {
                    let (theirs, ours) = (hello.version, wire::VERSION);
                    let why = format!("it uses protocol version {theirs}, this machine {ours}: upgrade the older one");
                    Err(refused(&mut write, why).await)
                }
                Kind::Hello(hello) if hello.copy => self.clone().give_everything(who, read, &mut write).await,
                Kind::Hello(hello) => {
                    // A standby that reads nothing must not delay commits that could be acknowledged without it.
                    patience.set(self.options.away_after.max(Duration::from_secs(1)));
                    self.clone().follow(who, hello, read, &mut write).await
                }
                other => Err(Ended::Refused(format!("unexpected first message: {}", other.name()))),
            }
        };
        tokio::select! {
            ended = serving => ended,
            why = self.must_go(who) => Err(Ended::Refused(why)),
        }
    }

    /// Resolves when a standby was forgotten.
    async fn must_go(&self, who: Fingerprint) -> String {
        let mut peers = self.peers.subscribe();
        loop {
            if !peers.borrow_and_update().iter().any(|peer| peer.fingerprint == who) {
                return "it was revoked".to_owned();
            }
            if peers.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn pair(&self, who: Fingerprint, secret: &[u8], name: &str) -> Result<(), String> {
        const WRONG: &str = "the code is wrong or has expired: create a new one with `holdfast standby code`";
        self.codes.take(secret, WRONG, || {
            let changed = self.change_peers(|peers| {
                peers.retain(|peer| peer.fingerprint != who);
                peers.push(Peer { fingerprint: who, name: name.to_owned(), told_alone: false });
            });
            changed.map(drop).map_err(|error| error.to_string())
        })?;
        tracing::info!(name, fingerprint = %who, "paired a standby");
        Ok(())
    }

    /// A standby of ours says that it was made the primary.
    async fn fenced_by(&self, told: &wire::Promoted, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), Ended> {
        let own = self.store.snapshot().epoch()?;
        if told.epoch <= own {
            let why = format!("this machine is the primary of epoch {own}, which is not older than {}", told.epoch);
            return Err(refused(write, why).await);
        }
        let why = format!(
            "{} was made the primary (epoch {}) after commit {}: this machine must no longer write; make it a \
             standby of the new primary with `holdfast standby --primary HOST:PORT --code CODE --rejoin`",
            name_of(&told.name),
            told.epoch,
            told.seq
        );
        let store = self.store.clone();
        blocking(move || store.fence(&why)).await?;
        send(write, Kind::Paired(wire::Paired {})).await?;
        Ok(())
    }

    /// Sends a standby whatever is new, until it goes.
    async fn follow(
        self: Arc<Self>,
        who: Fingerprint,
        hello: Hello,
        read: impl AsyncRead + Unpin + Send + 'static,
        write: &mut (impl AsyncWrite + Unpin + Send),
    ) -> Result<(), Ended> {
        let epoch = self.store.snapshot().epoch()?;
        if hello.epoch > epoch {
            let why =
                format!("it has followed a primary of epoch {}, but this machine is in epoch {epoch}", hello.epoch);
            return Err(refused(write, why).await);
        }
        let Some(chain) = self.place_of(&hello, write).await? else { return Ok(()) };
        let mut stream = Stream::new(self.clone(), who, &hello, chain).await?;
        let waits_for_you = stream.is_alone();
        if waits_for_you {
            // Before it hears it.
            self.change_peers(|peers| {
                peers.iter_mut().filter(|peer| peer.fingerprint == who).for_each(|peer| peer.told_alone = true);
            })?;
        }
        send(write, Kind::Welcome(wire::Welcome { epoch, seq: self.store.seq().0, waits_for_you })).await?;
        let _present = Present::new(self.clone(), who, &hello);
        stream.run(read, write).await
    }

    /// The chain before the commit that a standby needs next, when its log is ours so far; else it is told why not.
    async fn place_of(&self, hello: &Hello, write: &mut (impl AsyncWrite + Unpin)) -> Result<Option<[u8; 32]>, Ended> {
        let (store, last) = (self.store.clone(), Seq(hello.next.saturating_sub(1)));
        if last > store.seq() {
            let why = format!("it has commits up to {last}, but this machine only up to {}", store.seq());
            send(write, Kind::Refused(wire::Refused { why, diverged: true, ..wire::Refused::default() })).await?;
            return Ok(None);
        }
        match blocking(move || store.log_point(last)).await {
            Ok((chain, _)) if chain == hello.chain.as_slice() => Ok(Some(chain)),
            Ok(_) => {
                let why = format!("its log differs at commit {last}");
                send(write, Kind::Refused(wire::Refused { why, diverged: true, ..wire::Refused::default() })).await?;
                Ok(None)
            }
            Err(Ended::Store(StoreError::NotRetained { first, .. })) => {
                let why = format!(
                    "it needs commit {}, but the log here starts at {first}: empty its data folder and pair it again",
                    hello.next
                );
                // A former primary wants to know up to where its log was followed.
                let dir = self.store.dir().to_owned();
                let promotions =
                    tokio::task::spawn_blocking(move || promotions(&dir)).await.map_err(io::Error::other)??;
                let after = promotions.into_iter().find(|promotion| promotion.epoch > hello.epoch);
                let (promoted_after, promoted_chain) =
                    after.map_or((0, Vec::new()), |after| (after.seq, after.chain_bytes()));
                let retained_from = first.0;
                let no = wire::Refused { why, retained_from, promoted_after, promoted_chain, diverged: false };
                send(write, Kind::Refused(no)).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}
