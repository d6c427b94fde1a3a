//! The primary's side: takes standbys in, sends them what is new, and holds acknowledgements where that was asked for.

use std::{
    collections::{BTreeMap, HashSet},
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store::{BodyId, Commit, Follower, Order, Read as _, RealmId, Seq, Store, StoreError, body_of_key, log::RunWriter};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _, BufWriter},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::durable;

use super::{
    keys::{Fingerprint, Keys, PairingCode},
    wire::{self, Ack, BodyPiece, Hello, Kind},
};

/// How long a pairing code is good for.
pub const CODE_FOR: Duration = Duration::from_secs(10 * 60);
/// How long a stranger may take to say who it is.
const GREETING_TIMEOUT: Duration = Duration::from_secs(15);
/// A standby is told that nothing is new, so that it knows that we are there.
const BEAT_EVERY: Duration = Duration::from_secs(2);
/// How often the witness is told how far a standby is.
const WITNESS_EVERY: Duration = Duration::from_secs(10);
/// Commits that travel together.
const RUN_BYTES: usize = 1 << 20;
const RUN_COMMITS: u64 = 500;
/// Records that travel together.
const RECORDS_BYTES: usize = 512 << 10;
/// A piece of a body.
const PIECE_BYTES: usize = 512 << 10;
/// Bodies that are remembered as sent over a connection.
const MAX_SENT: usize = 200_000;
/// Connections at once of those who have not said who they are: in all, and from one network.
const MAX_STRANGERS: usize = 200;
const MAX_STRANGERS_OF_ONE_NETWORK: usize = 8;

/// When a commit is acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Once it is durable here.
    Async,
    /// Once it is durable on a standby too; while there is none, never.
    SyncOrWait,
    /// Once it is durable on a standby too; while there is none, once it is durable here, with an alarm.
    SyncOrDegrade,
}

/// How a primary treats its standbys.
#[derive(Debug, Clone)]
pub struct PrimaryOptions {
    /// When commits are acknowledged.
    pub mode: Mode,
    /// A standby that has not answered for so long, with commits waiting for it, is away.
    pub away_after: Duration,
}

/// A standby, as the primary knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandbyStatus {
    /// What it calls itself.
    pub name: String,
    /// Its certificate's fingerprint.
    pub fingerprint: Fingerprint,
    /// It is connected and follows.
    pub connected: bool,
    /// Durable there.
    pub received: Seq,
    /// Applied there.
    pub applied: Seq,
    /// Realms that it does not apply, and why.
    pub held: Vec<(RealmId, String)>,
    /// Why it applies nothing at the moment; empty when it does.
    pub wire: String,
}

#[derive(Default, Serialize, Deserialize)]
struct PeersFile {
    standbys: Vec<Peer>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Peer {
    fingerprint: Fingerprint,
    name: String,
}

struct Live {
    connected: usize,
    ack: Ack,
    /// It has all that was there when it connected: from then on commits may wait for it.
    in_step: bool,
}

/// Takes standbys in.
pub struct Primary {
    store: Store,
    file: PathBuf,
    options: PrimaryOptions,
    keys: Keys,
    peers: Mutex<Vec<Peer>>,
    code: Mutex<Option<(PairingCode, Instant)>>,
    live: Mutex<BTreeMap<Fingerprint, Live>>,
    degraded: AtomicBool,
}

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{0}")]
    Refused(String),
    #[error("the service is stopping")]
    Stopping,
}

fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> impl Future<Output = Result<T, Ended>> {
    let work = tokio::task::spawn_blocking(work);
    async { Ok(work.await.map_err(io::Error::other)??) }
}

impl Primary {
    /// With its key and the standbys it knows from `dir`.
    ///
    /// # Errors
    /// Names the file that can't be read or made.
    pub fn open(store: Store, dir: &Path, options: PrimaryOptions) -> io::Result<Arc<Self>> {
        let keys = Keys::open(dir)?;
        let file = dir.join("standbys.json");
        let peers = match std::fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str::<PeersFile>(&text)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => PeersFile::default(),
            Err(error) => return Err(error),
        };
        let primary = Self {
            store,
            file,
            options,
            keys,
            peers: Mutex::new(peers.standbys),
            code: Mutex::default(),
            live: Mutex::default(),
            degraded: AtomicBool::new(false),
        };
        primary.arrange();
        Ok(Arc::new(primary))
    }

    /// A new code that pairs one standby within [`CODE_FOR`]. The one before is good no more.
    pub fn new_code(&self) -> String {
        let code = PairingCode::new(&self.keys.fingerprint());
        let text = code.to_string();
        *self.code.lock() = Some((code, Instant::now()));
        text
    }

    /// All standbys that were ever paired.
    pub fn standbys(&self) -> Vec<StandbyStatus> {
        let live = self.live.lock();
        let status = |peer: &Peer| {
            let now = live.get(&peer.fingerprint);
            let ack = now.map(|now| now.ack.clone()).unwrap_or_default();
            StandbyStatus {
                name: peer.name.clone(),
                fingerprint: peer.fingerprint,
                connected: now.is_some_and(|now| now.connected > 0),
                received: Seq(ack.received),
                applied: Seq(ack.applied),
                held: ack.held.into_iter().map(|held| (RealmId::from_raw(held.realm), held.reason)).collect(),
                wire: ack.wire,
            }
        };
        self.peers.lock().iter().map(status).collect()
    }

    /// Whether a connected standby has, durably, everything that is durable here.
    pub fn has_a_copy(&self) -> bool {
        let seq = self.store.seq().0;
        self.live.lock().values().any(|live| live.connected > 0 && live.ack.received >= seq)
    }

    /// Whether commits are acknowledged without a standby although they were to wait for one.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::SeqCst)
    }

    /// Forgets a standby: it is not let in any more. `false` when there is none of that name or fingerprint.
    ///
    /// # Errors
    /// Its file can't be written.
    pub fn forget(&self, name: &str) -> io::Result<bool> {
        let mut peers = self.peers.lock();
        let left: Vec<Peer> =
            peers.iter().filter(|peer| peer.name != name && peer.fingerprint.to_string() != name).cloned().collect();
        let known = left.len() < peers.len();
        save(&self.file, &left)?;
        *peers = left;
        Ok(known)
    }

    /// Whether commits wait, by the mode and who is there.
    fn arrange(&self) {
        let in_step = self.live.lock().values().any(|live| live.connected > 0 && live.in_step);
        let (waits, degraded) = match self.options.mode {
            Mode::Async => (false, false),
            Mode::SyncOrWait => (true, false),
            Mode::SyncOrDegrade => (in_step, !in_step),
        };
        self.store.hold_acknowledgements(waits);
        metrics::gauge!("holdfast_standby_degraded").set(f64::from(u8::from(degraded)));
        if degraded != self.degraded.swap(degraded, Ordering::SeqCst) {
            if degraded {
                tracing::error!("no standby follows: commits are acknowledged once they are durable here alone");
            } else {
                tracing::info!("a standby follows: commits are acknowledged once it has them too");
            }
        }
    }

    /// Serves standbys until shut down.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let acceptor = TlsAcceptor::from(self.keys.server().map_err(io::Error::other)?);
        let strangers = Arc::new(Strangers::default());
        loop {
            let (stream, peer) = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "a standby could not be accepted");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            // Nobody can keep a standby out by taking all places: a known one gives its place back at once.
            let Some(place) = Strangers::place(&strangers, peer.ip()) else {
                tracing::warn!(%peer, "too many connections of strangers where standbys connect");
                continue;
            };
            let (primary, acceptor, shutdown) = (self.clone(), acceptor.clone(), shutdown.clone());
            tokio::spawn(async move {
                let ended = tokio::select! {
                    ended = primary.connection(stream, acceptor, place) => ended,
                    () = shutdown.cancelled() => Err(Ended::Stopping),
                };
                match ended {
                    Ok(()) => {}
                    Err(Ended::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        tracing::info!(%peer, "a standby has gone");
                    }
                    Err(error) => tracing::warn!(%peer, %error, "a standby's connection ended"),
                }
            });
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        acceptor: TlsAcceptor,
        place: StrangersPlace,
    ) -> Result<(), Ended> {
        stream.set_nodelay(true)?;
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        let stream = tokio::time::timeout(GREETING_TIMEOUT, acceptor.accept(stream)).await.map_err(late)??;
        let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
        let who = certificate.map(Fingerprint::of).ok_or_else(|| Ended::Refused("it has no certificate".to_owned()))?;
        let (mut read, write) = tokio::io::split(stream);
        let mut write = BufWriter::with_capacity(256 << 10, write);
        loop {
            let greeting = wire::read_at_most(&mut read, wire::MAX_GREETING_BYTES);
            let said = tokio::time::timeout(GREETING_TIMEOUT, greeting).await.map_err(late)??;
            match said {
                Kind::Pair(asked) => match self.pair(who, &asked.secret, &asked.name) {
                    Ok(()) => send(&mut write, Kind::Paired(wire::Paired {})).await?,
                    Err(why) => return refuse(&mut write, why).await,
                },
                _ if !self.peers.lock().iter().any(|peer| peer.fingerprint == who) => {
                    let why = "this machine does not know yours: pair them with a code of `holdfast standby code`";
                    return refuse(&mut write, why.to_owned()).await;
                }
                Kind::Promoted(told) => return self.fenced_by(&told, &mut write).await,
                Kind::WantSummary(_) => {
                    let summary = self.summary().await?;
                    send(&mut write, Kind::Summary(summary)).await?;
                }
                Kind::Hello(hello) => {
                    drop(place);
                    let (said, heard) = mpsc::channel(64);
                    // Reading a message can't be cancelled, so it is done by itself.
                    let reader = tokio::spawn(async move {
                        loop {
                            let message = wire::read(&mut read).await;
                            let ended = message.is_err();
                            if said.send(message).await.is_err() || ended {
                                return;
                            }
                        }
                    });
                    let ended = self.clone().follow(who, hello, heard, &mut write).await;
                    reader.abort();
                    return ended;
                }
                other => return Err(Ended::Refused(format!("it begins with {other:?}"))),
            }
        }
    }

    fn pair(&self, who: Fingerprint, secret: &[u8], name: &str) -> Result<(), String> {
        const WRONG: &str = "the code is wrong or too old: make a new one with `holdfast standby code`";
        let mut code = self.code.lock();
        let good = code.as_ref().is_some_and(|(code, made)| {
            made.elapsed() < CODE_FOR
                && aws_lc_rs::constant_time::verify_slices_are_equal(code.secret(), secret).is_ok()
        });
        if !good {
            // A code is tried once: a second guess needs a second code.
            *code = None;
            return Err(WRONG.to_owned());
        }
        let mut peers = self.peers.lock();
        let mut now: Vec<Peer> = peers.iter().filter(|peer| peer.fingerprint != who).cloned().collect();
        let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        now.push(Peer { fingerprint: who, name: name.clone() });
        save(&self.file, &now).map_err(|error| error.to_string())?;
        *peers = now;
        *code = None;
        tracing::info!(name, fingerprint = %who, "a standby was paired");
        Ok(())
    }

    /// A standby of ours says that it was made the primary.
    async fn fenced_by(&self, told: &wire::Promoted, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), Ended> {
        let own = self.store.snapshot().epoch()?;
        if told.epoch <= own {
            return refuse(write, format!("this machine writes in epoch {own}, which is not before {}", told.epoch))
                .await;
        }
        let name: String = told.name.chars().filter(|c| !c.is_control()).take(100).collect();
        let why = format!(
            "{name} was made the primary (epoch {}) after commit {}: this machine must not write any more; make it a \
             standby of that one with `holdfast standby --primary HOST:PORT --code CODE --rejoin`",
            told.epoch, told.seq
        );
        let store = self.store.clone();
        blocking(move || store.fence(&why)).await?;
        send(write, Kind::Paired(wire::Paired {})).await?;
        Ok(())
    }

    async fn summary(&self) -> Result<wire::Summary, Ended> {
        let store = self.store.clone();
        blocking(move || {
            let mut realms = Vec::new();
            for realm in store.snapshot().realms()? {
                let sum = store.summary(realm)?;
                realms.push(wire::RealmSum {
                    realm: realm.raw(),
                    seq: sum.seq.0,
                    digest: sum.digest.to_bytes().to_vec(),
                    stated: sum.stated.to_bytes().to_vec(),
                });
            }
            Ok(wire::Summary { seq: store.seq().0, realms })
        })
        .await
    }

    /// Sends a standby what it lacks, and then whatever is new, until it goes.
    async fn follow(
        self: Arc<Self>,
        who: Fingerprint,
        hello: Hello,
        mut heard: mpsc::Receiver<io::Result<Kind>>,
        write: &mut (impl AsyncWrite + Unpin + Send),
    ) -> Result<(), Ended> {
        if hello.version != wire::VERSION {
            let why =
                format!("it speaks version {}, this machine {}: upgrade the older one", hello.version, wire::VERSION);
            return refuse(write, why).await;
        }
        if hello.copy {
            self.copy(write).await?;
            return self.give_what_is_asked_for(&mut heard, write).await;
        }
        let epoch = self.store.snapshot().epoch()?;
        if hello.epoch > epoch {
            let why =
                format!("it has followed a primary of epoch {}, and this machine is of epoch {epoch}", hello.epoch);
            return refuse(write, why).await;
        }
        let Some(chain) = self.place_of(&hello, write).await? else { return Ok(()) };
        send(
            write,
            Kind::Welcome(wire::Welcome {
                epoch,
                seq: self.store.seq().0,
                waits_for_you: self.options.mode == Mode::SyncOrWait,
            }),
        )
        .await?;
        let _present = Present::new(self.clone(), who, &hello);
        let store = self.store.clone();
        let follower = blocking(move || store.follow(Seq(hello.next))).await?;
        let mut stream = Stream { primary: &self, who, follower, chain, sent: HashSet::new(), noted: Instant::now() };
        stream.run(&mut heard, write).await
    }

    /// The chain before the commit that a standby needs next, when its log is ours so far; else it is told why not.
    async fn place_of(&self, hello: &Hello, write: &mut (impl AsyncWrite + Unpin)) -> Result<Option<[u8; 32]>, Ended> {
        let (store, last) = (self.store.clone(), Seq(hello.next.saturating_sub(1)));
        let refused = |why: String, diverged: bool| Kind::Refused(wire::Refused { why, retained_from: 0, diverged });
        if last > store.seq() {
            let why = format!("it has commits up to {last}, and this machine up to {} only", store.seq());
            send(write, refused(why, true)).await?;
            return Ok(None);
        }
        match blocking(move || store.log_point(last)).await {
            Ok((chain, _)) if chain == hello.chain.as_slice() => Ok(Some(chain)),
            Ok(_) => {
                send(write, refused(format!("its log is another one at commit {last}"), true)).await?;
                Ok(None)
            }
            Err(Ended::Store(StoreError::NotRetained { first, .. })) => {
                let why = format!(
                    "it needs commit {}, and the log here begins at {first}: empty its data folder and pair it again",
                    hello.next
                );
                let refused = wire::Refused { why, retained_from: first.0, diverged: false };
                send(write, Kind::Refused(refused)).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Everything of one moment, but for the bodies.
    async fn copy(&self, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), Ended> {
        if self.store.is_partial() {
            return Err(Ended::Refused("not everything is restored yet: try again later".to_owned()));
        }
        let (frames, mut made) = mpsc::channel(4);
        let store = self.store.clone();
        let reading = tokio::task::spawn_blocking(move || read_everything(&store, &frames));
        while let Some(kind) = made.recv().await {
            wire::write(write, kind).await?;
        }
        reading.await.map_err(io::Error::other)??;
        write.flush().await?;
        Ok(())
    }

    async fn give_what_is_asked_for(
        &self,
        heard: &mut mpsc::Receiver<io::Result<Kind>>,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        while let Some(said) = heard.recv().await {
            self.answer(said?, write).await?;
        }
        Ok(())
    }

    /// What a standby may ask for at any time.
    async fn answer(&self, said: Kind, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), Ended> {
        match said {
            Kind::WantBodies(wanted) => {
                for id in wanted.ids {
                    let id = <[u8; 32]>::try_from(id).map_err(|_| Ended::Refused("a body's name".to_owned()))?;
                    self.send_body(BodyId::from_bytes(id), write).await?;
                }
                write.flush().await?;
            }
            Kind::WantRealm(wanted) => {
                let (frames, mut made) = mpsc::channel(4);
                let store = self.store.clone();
                let reading = tokio::task::spawn_blocking(move || {
                    read_realm(&store, &store.snapshot(), RealmId::from_raw(wanted.realm), &frames)
                });
                while let Some(kind) = made.recv().await {
                    wire::write(write, kind).await?;
                }
                reading.await.map_err(io::Error::other)??;
                write.flush().await?;
            }
            Kind::WantSummary(_) => {
                let summary = self.summary().await?;
                send(write, Kind::Summary(summary)).await?;
            }
            other => return Err(Ended::Refused(format!("it says {other:?} here"))),
        }
        Ok(())
    }

    async fn send_body(&self, id: BodyId, write: &mut (impl AsyncWrite + Unpin)) -> Result<(), Ended> {
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
                tracing::error!(%error, "a body that a standby needs can't be had");
                wire::write(write, piece(Vec::new(), true, error.to_string())).await?;
                return Ok(());
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
                return Ok(());
            }
        }
    }

    fn heard_of(&self, who: Fingerprint, ack: Ack) {
        let mut live = self.live.lock();
        let Some(now) = live.get_mut(&who) else { return };
        let seq = Seq(ack.received).min(self.store.seq());
        let name = who.to_string();
        metrics::gauge!("holdfast_standby_lag_commits", "standby" => name.clone())
            .set(self.store.seq().0.saturating_sub(ack.received) as f64);
        metrics::gauge!("holdfast_standby_apply_lag_commits", "standby" => name)
            .set(self.store.seq().0.saturating_sub(ack.applied) as f64);
        for held in &ack.held {
            if !now.ack.held.contains(held) {
                let realm = RealmId::from_raw(held.realm);
                tracing::error!(%realm, reason = held.reason, "the standby does not apply this realm any more");
            }
        }
        if !ack.wire.is_empty() && now.ack.wire != ack.wire {
            tracing::error!(reason = ack.wire, "the standby applies nothing until it is told to");
        }
        now.ack = ack;
        let came_in_step = !now.in_step && seq >= self.store.seq();
        now.in_step |= came_in_step;
        drop(live);
        self.store.acknowledge(seq);
        if came_in_step {
            self.arrange();
        }
    }
}

/// Counts those who have not said who they are.
#[derive(Default)]
struct Strangers(Mutex<BTreeMap<IpAddr, usize>>);

struct StrangersPlace {
    strangers: Arc<Strangers>,
    network: IpAddr,
}

impl Strangers {
    fn place(this: &Arc<Self>, peer: IpAddr) -> Option<StrangersPlace> {
        let network = doorkit::network_of(peer);
        let mut taken = this.0.lock();
        if taken.values().sum::<usize>() >= MAX_STRANGERS {
            return None;
        }
        let own = taken.entry(network).or_default();
        if *own >= MAX_STRANGERS_OF_ONE_NETWORK {
            return None;
        }
        *own += 1;
        drop(taken);
        Some(StrangersPlace { strangers: this.clone(), network })
    }
}

impl Drop for StrangersPlace {
    fn drop(&mut self) {
        let mut taken = self.strangers.0.lock();
        if let Some(own) = taken.get_mut(&self.network) {
            *own -= 1;
            if *own == 0 {
                taken.remove(&self.network);
            }
        }
    }
}

fn save(file: &Path, peers: &[Peer]) -> io::Result<()> {
    durable::replace(file, &serde_json::to_vec_pretty(&PeersFile { standbys: peers.to_vec() })?)
}

async fn send(write: &mut (impl AsyncWrite + Unpin), kind: Kind) -> io::Result<()> {
    wire::write(write, kind).await?;
    write.flush().await
}

async fn refuse(write: &mut (impl AsyncWrite + Unpin), why: String) -> Result<(), Ended> {
    send(write, Kind::Refused(wire::Refused { why: why.clone(), retained_from: 0, diverged: false })).await?;
    Err(Ended::Refused(why))
}

/// Counts a connection while it is there.
struct Present {
    primary: Arc<Primary>,
    who: Fingerprint,
}

impl Present {
    fn new(primary: Arc<Primary>, who: Fingerprint, hello: &Hello) -> Self {
        let last = hello.next.saturating_sub(1);
        let ack = Ack { received: last, applied: last, ..Ack::default() };
        let mut live = primary.live.lock();
        let now = live.entry(who).or_insert(Live { connected: 0, ack, in_step: false });
        now.connected += 1;
        now.in_step = false;
        drop(live);
        metrics::gauge!("holdfast_standby_connected").increment(1.0);
        Self { primary, who }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        if let Some(now) = self.primary.live.lock().get_mut(&self.who) {
            now.connected -= 1;
            now.in_step = false;
        }
        metrics::gauge!("holdfast_standby_connected").decrement(1.0);
        self.primary.arrange();
    }
}

/// What is new, on its way to one standby.
struct Stream<'a> {
    primary: &'a Primary,
    who: Fingerprint,
    follower: Follower,
    chain: [u8; 32],
    sent: HashSet<BodyId>,
    noted: Instant,
}

impl Stream<'_> {
    async fn run(
        &mut self,
        heard: &mut mpsc::Receiver<io::Result<Kind>>,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        let mut beat = tokio::time::interval(BEAT_EVERY);
        let mut last_heard = Instant::now();
        loop {
            tokio::select! {
                said = heard.recv() => match said {
                    None => return Ok(()),
                    Some(said) => {
                        last_heard = Instant::now();
                        match said? {
                            Kind::Ack(ack) => self.note(ack).await?,
                            other => self.primary.answer(other, write).await?,
                        }
                    }
                },
                commits = next_run(&mut self.follower) => self.send_run(commits?, write).await?,
                _ = beat.tick() => {
                    let waits = self.primary.store.waits_for_acknowledgement().is_some();
                    if waits && last_heard.elapsed() > self.primary.options.away_after {
                        return Err(Ended::Refused("it does not answer while commits wait for it".to_owned()));
                    }
                    send(write, Kind::Beat(wire::Beat { seq: self.primary.store.seq().0 })).await?;
                }
            }
        }
    }

    async fn note(&mut self, ack: Ack) -> Result<(), Ended> {
        let received = Seq(ack.received).min(self.primary.store.seq());
        self.primary.heard_of(self.who, ack);
        if self.noted.elapsed() > WITNESS_EVERY {
            self.noted = Instant::now();
            let (store, name) = (self.primary.store.clone(), format!("standby-{}", self.who));
            blocking(move || store.set_cursor(&name, received)).await?;
        }
        Ok(())
    }

    async fn send_run(
        &mut self,
        commits: Vec<Arc<Commit>>,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Ended> {
        let Some(first) = commits.first() else { return Ok(()) };
        let mut run = RunWriter::new(first.seq(), self.chain);
        for commit in &commits {
            for id in bodies_of(commit) {
                if self.sent.len() >= MAX_SENT {
                    self.sent.clear();
                }
                if self.sent.insert(id) {
                    self.primary.send_body(id, write).await?;
                }
            }
            run.push(commit)?;
        }
        self.chain = run.chain();
        send(write, Kind::Run(wire::Run { bytes: run.finish() })).await?;
        Ok(())
    }
}

/// The bodies that a commit begins to refer to.
pub fn bodies_of(commit: &Commit) -> impl Iterator<Item = BodyId> {
    let ops = commit.realms.iter().flat_map(|part| &part.ops);
    ops.filter(|op| op.value.is_some()).filter_map(|op| body_of_key(&op.key))
}

/// The next commit, and those that are there already behind it. Safe to cancel: a commit that was taken is given.
async fn next_run(follower: &mut Follower) -> Result<Vec<Arc<Commit>>, StoreError> {
    let first = follower.next().await?;
    let (mut bytes, mut commits) = (size_of_commit(&first), vec![first]);
    while bytes < RUN_BYTES && (commits.len() as u64) < RUN_COMMITS {
        match follower.next().now_or_never() {
            Some(Ok(commit)) => {
                bytes += size_of_commit(&commit);
                commits.push(commit);
            }
            // What is wrong is met again with the next run.
            Some(Err(_)) | None => break,
        }
    }
    Ok(commits)
}

fn size_of_commit(commit: &Commit) -> usize {
    prost::Message::encoded_len(commit)
}

type Frames = mpsc::Sender<Kind>;

fn gone<T>(_: T) -> StoreError {
    StoreError::Stopped { reason: "the standby has gone".to_owned() }
}

fn read_everything(store: &Store, frames: &Frames) -> Result<(), StoreError> {
    let snapshot = store.snapshot();
    let realms = snapshot.realms()?;
    let begin = wire::CopyBegin {
        seq: snapshot.seq()?.0,
        chain: snapshot.chain()?.to_vec(),
        epoch: snapshot.epoch()?,
        realms: realms.len() as u64,
    };
    frames.blocking_send(Kind::CopyBegin(begin)).map_err(gone)?;
    for realm in realms {
        read_realm(store, &snapshot, realm, frames)?;
    }
    frames.blocking_send(Kind::CopyEnd(wire::CopyEnd {})).map_err(gone)
}

/// A realm's records. What is damaged here is named and not sent.
fn read_realm(store: &Store, snapshot: &store::Snapshot, realm: RealmId, frames: &Frames) -> Result<(), StoreError> {
    let damaged = store.quarantined().into_iter().find(|(found, _)| *found == realm).map(|(_, reason)| reason);
    let begin = wire::RealmBegin {
        realm: realm.raw(),
        seq: snapshot.realm_seq(realm).0,
        digest: snapshot.digest(realm)?.to_bytes().to_vec(),
        damaged: damaged.clone().unwrap_or_default(),
    };
    frames.blocking_send(Kind::RealmBegin(begin)).map_err(gone)?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    if damaged.is_none() {
        let everything = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
        for row in snapshot.range(realm, everything, Order::Ascending)? {
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
