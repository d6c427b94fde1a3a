//! Who connects, and what it wants.

use std::{io, sync::Arc, time::Duration};

use continuity::link::{Fingerprint, GREETING_TIMEOUT, Limit, Patient, Place, name_of};
use store::Seq;
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _, BufWriter},
    net::TcpStream,
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;

use super::{
    Peer, Receiver,
    intake::{From as Whose, Intake},
};
use crate::wire::{self, Beat, Hello, Kind, Paired, Refused, Welcome};

/// A relay that sends nothing for this long is gone: it sends something every second.
const SILENCE: Duration = Duration::from_secs(20);
/// How long it may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two words that this machine is still here.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// Answers that wait to be written.
const ANSWERS_WAITING: usize = 256;

/// A connection of a relay, while it lasts.
struct Present<'a> {
    receiver: &'a Receiver,
    who: Fingerprint,
}

impl Drop for Present<'_> {
    fn drop(&mut self) {
        if let Some(live) = self.receiver.live.lock().get_mut(&self.who) {
            live.connected = live.connected.saturating_sub(1);
        }
    }
}

async fn refused(write: &mut (impl AsyncWrite + Unpin), why: String) -> io::Error {
    let told = wire::say(write, Kind::Refused(Refused { why: why.clone() })).await;
    told.map_or_else(|error| error, |()| io::Error::other(why))
}

impl Receiver {
    pub(super) async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        place: Place,
    ) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let (peer, own) = (stream.peer_addr()?.ip(), stream.local_addr()?.ip());
        let given_away = place.given_away();
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let stream = Patient::new(stream, Some(SILENCE), Limit::new(PATIENCE));
        let greeted = async {
            let stream = tokio::time::timeout(GREETING_TIMEOUT, acceptor.accept(stream)).await.map_err(late)??;
            let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
            let who = certificate.map(Fingerprint::of).ok_or_else(|| io::Error::other("it sent no certificate"))?;
            let (mut read, write) = tokio::io::split(stream);
            let mut write = BufWriter::with_capacity(64 << 10, write);
            loop {
                let greeting = wire::read(&mut read, wire::MAX_GREETING_BYTES);
                match tokio::time::timeout(GREETING_TIMEOUT, greeting).await.map_err(late)?? {
                    Kind::Pair(asked) => match self.pair(who, &asked.secret, &name_of(&asked.name)) {
                        Ok(()) => wire::say(&mut write, Kind::Paired(Paired { key: self.signer.public() })).await?,
                        Err(why) => return Err(refused(&mut write, why).await),
                    },
                    _ if !self.knows(who) => {
                        let why = "this machine does not know yours: pair them with a code from `holdfast relay pair`";
                        return Err(refused(&mut write, why.to_owned()).await);
                    }
                    Kind::Hello(hello) if hello.version != wire::VERSION => {
                        let why = format!(
                            "it uses protocol version {}, this machine {}: upgrade the older one",
                            hello.version,
                            wire::VERSION
                        );
                        return Err(refused(&mut write, why).await);
                    }
                    Kind::Hello(hello) => return Ok((who, hello, read, write)),
                    other => return Err(wire::unexpected(&other)),
                }
            }
        };
        let (who, hello, read, mut write) = tokio::select! {
            greeted = greeted => greeted?,
            () = given_away.cancelled() => return Err(io::Error::other("too many new connections")),
        };
        drop(place);
        let name = name_of(&hello.name);
        {
            let mut live = self.live.lock();
            let now = live.entry(who).or_default();
            now.connected += 1;
            (now.peer, now.is_near) = (Some(peer), dnskit::same_network(peer, own));
        }
        let _present = Present { receiver: &self, who };
        tracing::info!(%peer, name, "a relay has connected");
        let same_log = self.has_point(&hello).await;
        wire::say(&mut write, Kind::Welcome(Welcome { same_log })).await?;
        let (answers, waiting) = mpsc::channel(ANSWERS_WAITING);
        let whose = Whose { who, name, peer };
        self.forget(&whose, hello.oldest);
        let intake = Intake::new(self.clone(), whose, answers);
        tokio::select! {
            ended = intake.run(read) => ended,
            ended = self.answer(&hello, waiting, &mut write) => ended,
            () = self.must_go(who) => Err(refused(&mut write, "it was removed".to_owned()).await),
        }
    }

    /// Whether the point that a relay was told of is in this log: nothing was lost since.
    async fn has_point(&self, hello: &Hello) -> bool {
        if hello.seq == 0 {
            return true;
        }
        let (store, seq, chain) = (self.store.clone(), Seq(hello.seq), hello.chain.clone());
        if seq > store.seq() {
            return false;
        }
        let found = tokio::task::spawn_blocking(move || store.log_point(seq)).await;
        // What is no longer in the log can't be compared: then it is offered again, which costs little.
        found.is_ok_and(|found| found.is_ok_and(|(own, _)| own == chain.as_slice()))
    }

    /// A relay has nothing before that message any more.
    fn forget(&self, whose: &Whose, oldest: u64) {
        if oldest == 0 {
            return;
        }
        let (delivery, relay) = (self.delivery.clone(), whose.relay());
        tokio::spawn(async move {
            if let Err(error) = delivery.forget_relayed(relay, delivery::QueueId(oldest)).await {
                tracing::warn!(%error, "could not forget what a relay has forgotten");
            }
        });
    }

    /// Writes what a relay is told: the list, what is granted, what became of its messages.
    async fn answer(
        &self,
        hello: &Hello,
        mut waiting: mpsc::Receiver<Kind>,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<()> {
        let (mut list, mut grant) = (self.list.subscribe(), self.grant.subscribe());
        let mut beat = tokio::time::interval(BEAT_EVERY);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        // The list that it has is not sent again.
        let mut revision = hello.revision;
        list.mark_changed();
        grant.mark_changed();
        loop {
            let kind = tokio::select! {
                answer = waiting.recv() => match answer {
                    Some(answer) => answer,
                    None => return Ok(()),
                },
                _ = list.changed() => {
                    let now = list.borrow_and_update().clone();
                    match now {
                        Some(now) if now.revision != revision => {
                            revision = now.revision;
                            Kind::List(now.signed.clone())
                        }
                        _ => continue,
                    }
                }
                _ = grant.changed() => Kind::Grant(*grant.borrow_and_update()),
                _ = beat.tick() => Kind::Beat(self.beat()?),
            };
            wire::write(write, kind).await?;
            while let Ok(answer) = waiting.try_recv() {
                wire::write(write, answer).await?;
            }
            write.flush().await?;
        }
    }

    fn beat(&self) -> io::Result<Beat> {
        let snapshot = self.store.snapshot();
        let seq = snapshot.seq().map_err(io::Error::other)?.0;
        let chain = snapshot.chain().map_err(io::Error::other)?.to_vec();
        let revision = self.list.borrow().as_ref().map_or(0, |list| list.revision);
        Ok(Beat { seq, chain, revision })
    }

    /// Resolves when a relay was removed.
    async fn must_go(&self, who: Fingerprint) {
        let mut peers = self.peers.subscribe();
        let is_gone = |peers: &Vec<Peer>| !peers.iter().any(|peer| peer.fingerprint == who);
        if peers.wait_for(is_gone).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    fn pair(&self, who: Fingerprint, secret: &[u8], name: &str) -> Result<(), String> {
        const WRONG: &str = "the code is wrong or has expired: create a new one with `holdfast relay pair`";
        self.codes.take(secret, WRONG, || {
            let changed = self.change_peers(|peers| {
                peers.retain(|peer| peer.fingerprint != who);
                peers.push(Peer { fingerprint: who, name: name.to_owned() });
            });
            changed.map(drop).map_err(|error| error.to_string())
        })?;
        tracing::info!(name, fingerprint = %who, "paired a relay");
        Ok(())
    }
}
