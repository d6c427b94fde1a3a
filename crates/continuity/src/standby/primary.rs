//! The primary's side: accepts standbys, sends them new commits, and holds acknowledgements if configured to.
//!
//! * [`greeting`]: the identity and the request of a new connection.
//! * [`stream`]: sends new commits to one standby.
//! * [`lenders`]: requests damaged bodies and commits from standbys; [`borrowing`] while nothing is served.
//! * [`copying`]: progress of first copies.
//! * [`give`]: answers a standby's requests: a full copy, a realm, bodies, digests to compare.

mod borrowing;
mod copying;
mod give;
mod greeting;
mod lenders;
mod stream;

use std::{
    collections::{BTreeMap, VecDeque},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store::{RealmId, Seq, Store, StoreError};
use tokio::{
    io::{AsyncWrite, AsyncWriteExt as _},
    net::TcpListener,
    sync::watch,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    durable,
    link::{Codes, Fingerprint, Keys, Strangers},
};

use super::{
    alone,
    wire::{self, Ack, Kind},
};

pub use borrowing::{Borrowing, has_standbys};
pub use copying::Copying;
pub use lenders::StandbyDonor;
pub(super) use stream::bodies_of;

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

/// Nothing is acknowledged, since no standby has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// For how long.
    pub since: Duration,
    /// How many acts and answers wait for it.
    pub acts: usize,
    /// Which standby, or that there is none.
    pub why: String,
}

impl std::fmt::Display for Waiting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { since, acts, why } = self;
        let acts = if *acts == 1 { "1 write is waiting".to_owned() } else { format!("{acts} writes are waiting") };
        write!(f, "nothing is acknowledged for {} s: {acts} for a standby; {why}", since.as_secs())
    }
}

/// A standby, as the primary knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandbyStatus {
    /// Its name.
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
    /// Why it applies nothing at the moment; empty if it does.
    pub wire: String,
    /// Damaged bodies there that are not repaired yet.
    pub damaged: u64,
    /// Bodies repaired there since it was started.
    pub mended: u64,
    /// While it is connected: how old the oldest commit is that is not durable there; zero when it has all.
    pub lag: Duration,
    /// Its disk is full: it receives nothing.
    pub full: bool,
    /// It still assumes that writes wait for it, which is no longer true.
    pub believes_too_much: bool,
    /// Its first copy, while that is on its way.
    pub copying: Option<Copying>,
}

impl StandbyStatus {
    fn in_short(&self) -> String {
        let how = if self.full {
            "its disk is full"
        } else if self.believes_too_much {
            "it still assumes that writes wait for it alone"
        } else if self.connected {
            "it is not in sync yet"
        } else {
            "not connected"
        };
        format!("{}: {how} (the last commit it received is {})", self.name, self.received)
    }
}

#[derive(Default, Serialize, Deserialize)]
struct PeersFile {
    standbys: Vec<Peer>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Peer {
    fingerprint: Fingerprint,
    name: String,
    /// It was told that writes wait for it, and not yet that they no longer do. If promoted, it would reuse numbers that
    /// clients may have seen; so until it knows, nothing may be acknowledged without it.
    #[serde(default)]
    told_alone: bool,
}

struct Live {
    connected: usize,
    ack: Ack,
    /// It has all that was there when it connected: from then on commits may wait for it.
    in_step: bool,
    /// What was sent to it and is not durable there yet: the last commit of each run, and when its first one was made, in
    /// milliseconds since 1970.
    on_the_way: VecDeque<(Seq, i64)>,
}

impl Live {
    fn lag(&self, now_ms: i64) -> Duration {
        let since_ms = self.on_the_way.front().map_or(0, |(_, made_ms)| now_ms.saturating_sub(*made_ms));
        Duration::from_millis(u64::try_from(since_ms).unwrap_or(0))
    }
}

/// Takes standbys in.
pub struct Primary {
    store: Store,
    file: PathBuf,
    options: PrimaryOptions,
    keys: Keys,
    /// Changed with every pairing and forgetting.
    peers: watch::Sender<Vec<Peer>>,
    codes: Codes,
    live: Mutex<BTreeMap<Fingerprint, Live>>,
    degraded: AtomicBool,
    /// The operator has allowed acknowledging without a standby until one is in sync.
    alone: AtomicBool,
    /// Since when no standby has everything, while one is waited for.
    blocked: Mutex<Option<Instant>>,
    /// First copies on their way.
    copies: Mutex<BTreeMap<Fingerprint, Copying>>,
    /// Standbys that lend what is damaged here.
    lenders: Arc<lenders::Lenders>,
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
    #[error("the service is shutting down")]
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
            peers: watch::channel(peers.standbys).0,
            codes: Codes::default(),
            live: Mutex::default(),
            degraded: AtomicBool::new(false),
            alone: AtomicBool::new(alone::is_alone(dir)),
            blocked: Mutex::default(),
            copies: Mutex::default(),
            lenders: Arc::default(),
        };
        primary.arrange();
        Ok(Arc::new(primary))
    }

    /// A new code that pairs one standby within [`crate::link::CODE_FOR`]. The previous code becomes invalid.
    pub fn new_code(&self) -> String {
        self.codes.new_code(&self.keys.fingerprint())
    }

    /// All standbys that were ever paired.
    pub fn standbys(&self) -> Vec<StandbyStatus> {
        let peers = self.peers.borrow().clone();
        let now_ms = self.store.clock().now_ms();
        let copies = self.copies.lock().clone();
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
                full: ack.full,
                damaged: ack.damaged,
                mended: ack.mended,
                lag: now.map(|now| now.lag(now_ms)).unwrap_or_default(),
                believes_too_much: peer.told_alone && !self.waits_for_one_alone(&peers),
                copying: copies.get(&peer.fingerprint).cloned(),
            }
        };
        peers.iter().map(status).collect()
    }

    /// Whether a connected standby has, durably, everything that is durable here.
    pub fn has_a_copy(&self) -> bool {
        let seq = self.store.seq().0;
        self.live.lock().values().any(|live| live.connected > 0 && live.ack.received >= seq)
    }

    /// When commits are acknowledged as things are.
    fn mode(&self) -> Mode {
        match self.options.mode {
            Mode::SyncOrWait if self.alone.load(Ordering::SeqCst) => Mode::SyncOrDegrade,
            mode => mode,
        }
    }

    /// Whether and for what commits have waited for longer than a standby may be away.
    pub fn waiting(&self) -> Option<Waiting> {
        if self.mode() != Mode::SyncOrWait {
            return None;
        }
        let blocked = self.blocked.lock().map(|since| since.elapsed());
        let overdue = self.store.acknowledgement_overdue();
        let since = blocked.max(overdue).filter(|since| *since >= self.options.away_after)?;
        let standbys = self.standbys();
        let why = match standbys.as_slice() {
            [] => "no standby is paired".to_owned(),
            standbys => standbys.iter().map(StandbyStatus::in_short).collect::<Vec<_>>().join(", "),
        };
        Some(Waiting { since, acts: self.store.waiting_for_acknowledgement(), why })
    }

    /// In a mode that waits for a standby: acknowledges without one until one is in sync, also after restarts. `false` if
    /// the mode does not wait.
    ///
    /// # Errors
    /// It can't be stored.
    pub fn go_on_alone(&self) -> io::Result<bool> {
        if self.options.mode != Mode::SyncOrWait {
            return Ok(false);
        }
        alone::set(self.store.dir(), true)?;
        self.alone.store(true, Ordering::SeqCst);
        self.arrange();
        Ok(true)
    }

    /// Whether the operator has allowed acknowledging without a standby until one is in sync.
    pub fn is_alone(&self) -> bool {
        self.mode() != self.options.mode
    }

    /// Whether commits are acknowledged without a standby although they were to wait for one.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::SeqCst)
    }

    /// Revokes a standby: its connections end, and new ones are refused. `false` if there is none with that name or
    /// fingerprint.
    ///
    /// # Errors
    /// Its file can't be written.
    pub fn forget(&self, name: &str) -> io::Result<bool> {
        self.change_peers(|peers| peers.retain(|peer| peer.name != name && peer.fingerprint.to_string() != name))
    }

    /// Changes what is known of standbys, durably; says whether that is a change.
    fn change_peers(&self, change: impl FnOnce(&mut Vec<Peer>)) -> io::Result<bool> {
        let mut failed = None;
        let changed = self.peers.send_if_modified(|peers| {
            let mut now = peers.clone();
            change(&mut now);
            if now == *peers {
                return false;
            }
            match save(&self.file, &now) {
                Ok(()) => *peers = now,
                Err(error) => failed = Some(error),
            }
            failed.is_none()
        });
        failed.map_or(Ok(changed), Err)
    }

    fn knows(&self, who: Fingerprint) -> bool {
        self.peers.borrow().iter().any(|peer| peer.fingerprint == who)
    }

    /// Whether nothing is acknowledged that the only standby does not have. Of two, one may lack what the other has.
    fn waits_for_one_alone(&self, peers: &[Peer]) -> bool {
        self.mode() == Mode::SyncOrWait && peers.len() == 1
    }

    /// Whether what `who` has may be acknowledged: not as long as another one believes that it alone decides.
    fn counts(&self, who: Fingerprint) -> bool {
        self.mode() != Mode::SyncOrWait
            || !self.peers.borrow().iter().any(|peer| peer.fingerprint != who && peer.told_alone)
    }

    /// Whether commits wait, by the mode and who is there.
    fn arrange(&self) {
        let in_step = self.live.lock().values().any(|live| live.connected > 0 && live.in_step);
        if in_step && self.alone.swap(false, Ordering::SeqCst) {
            if let Err(error) = alone::set(self.store.dir(), false) {
                tracing::error!(%error, "could not store the mode: after a restart, writes are acknowledged without a standby again");
            }
            tracing::info!("a standby is in sync: from now on commits wait for it");
            // It may know now that it alone decides.
            self.peers.send_modify(|_| ());
        }
        let mode = self.mode();
        let mut blocked = self.blocked.lock();
        *blocked = if mode == Mode::SyncOrWait && !in_step { Some(blocked.unwrap_or_else(Instant::now)) } else { None };
        drop(blocked);
        let (waits, degraded) = match mode {
            Mode::Async => (false, false),
            Mode::SyncOrWait => (true, false),
            Mode::SyncOrDegrade => (in_step, !in_step),
        };
        self.store.hold_acknowledgements(waits);
        metrics::gauge!("holdfast_standby_degraded").set(f64::from(u8::from(degraded)));
        if degraded != self.degraded.swap(degraded, Ordering::SeqCst) {
            if degraded {
                tracing::error!(
                    "no standby is following: commits are acknowledged once they are durable on this machine"
                );
            } else {
                tracing::info!("a standby is following: commits are acknowledged once it has them too");
            }
        }
    }

    /// Serves standbys until shut down.
    ///
    /// # Errors
    /// Those of TLS.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) -> io::Result<()> {
        let acceptor = TlsAcceptor::from(self.keys.server().map_err(io::Error::other)?);
        let strangers = Arc::new(Strangers::default());
        loop {
            let (stream, peer) = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                accepted = listener.accept() => match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(%error, "could not accept a standby's connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let place = Strangers::place(&strangers, peer.ip());
            let (primary, acceptor, shutdown) = (self.clone(), acceptor.clone(), shutdown.clone());
            tokio::spawn(async move {
                let ended = tokio::select! {
                    ended = primary.connection(stream, acceptor, place) => ended,
                    () = shutdown.cancelled() => Err(Ended::Stopping),
                };
                match ended {
                    Ok(()) => {}
                    Err(Ended::Io(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        tracing::info!(%peer, "a standby has disconnected");
                    }
                    Err(error) => tracing::warn!(%peer, %error, "a standby's connection failed"),
                }
            });
        }
    }

    /// A standby says how far it is.
    fn heard_of(&self, who: Fingerprint, mut ack: Ack) {
        ack.wire = wire::plain(&ack.wire);
        for held in &mut ack.held {
            held.reason = wire::plain(&held.reason);
        }
        let counts = self.counts(who);
        let mut live = self.live.lock();
        let Some(now) = live.get_mut(&who) else { return };
        let end = self.store.seq();
        let seq = Seq(ack.received).min(end);
        let name = who.to_string();
        metrics::gauge!("holdfast_standby_copied_ratio", "standby" => name.clone()).set(1.0);
        metrics::gauge!("holdfast_standby_lag_commits", "standby" => name.clone())
            .set(end.0.saturating_sub(ack.received) as f64);
        metrics::gauge!("holdfast_standby_apply_lag_commits", "standby" => name.clone())
            .set(end.0.saturating_sub(ack.applied) as f64);
        while now.on_the_way.front().is_some_and(|(last, _)| last.0 <= ack.received) {
            now.on_the_way.pop_front();
        }
        metrics::gauge!("holdfast_standby_lag_seconds", "standby" => name.clone())
            .set(now.lag(self.store.clock().now_ms()).as_secs_f64());
        for held in &ack.held {
            if !now.ack.held.contains(held) {
                let realm = RealmId::from_raw(held.realm);
                tracing::error!(%realm, reason = held.reason, "the standby no longer applies changes to this realm");
            }
        }
        if !ack.wire.is_empty() && now.ack.wire != ack.wire {
            tracing::error!(reason = ack.wire, "a tripwire on the standby holds back changes");
        }
        if ack.damaged > now.ack.damaged {
            tracing::error!(bodies = ack.damaged, "message bodies are damaged on the standby");
        }
        if ack.mended > now.ack.mended {
            tracing::error!(bodies = ack.mended, "the standby repaired damaged message bodies: check its disk");
        }
        if ack.full && !now.ack.full {
            tracing::error!(standby = name, "the standby's disk is full: it can't receive changes");
        }
        let full = ack.full;
        now.ack = ack;
        if !counts {
            return;
        }
        let was_in_step = now.in_step;
        // One that receives nothing is as good as away.
        now.in_step = !full && (was_in_step || seq >= end);
        let changed = now.in_step != was_in_step;
        drop(live);
        self.store.acknowledge(seq);
        if changed {
            self.arrange();
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

/// Sends a refusal; returns why the connection ends.
async fn refused(write: &mut (impl AsyncWrite + Unpin), why: String) -> Ended {
    let told = send(write, Kind::Refused(wire::Refused { why: why.clone(), ..wire::Refused::default() })).await;
    told.map_or_else(Ended::Io, |()| Ended::Refused(why))
}
