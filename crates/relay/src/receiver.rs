//! The primary's side: pairs relays, gives them the list of recipients, and takes their mail.
//!
//! * [`greeting`]: who connects, and what it wants.
//! * [`intake`]: the messages of one relay.
//! * [`submissions`]: those that people send.

mod greeting;
mod intake;
mod submissions;

use std::{
    collections::BTreeMap,
    io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use continuity::link::{Codes, Fingerprint, Keys, Strangers};
use delivery::Delivery;
use directory::Directory;
use mailstore::MailStore;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store::{RealmId, Store};
use tokio::{net::TcpListener, sync::watch};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    Backlog, OfRelay,
    list::{ListRecord, SenderPolicy, Signer},
    pace::{Pace, Seen},
    wire::{Grant, SignedList, State},
};

/// Between two looks at the pace.
const PACE_EVERY: Duration = Duration::from_millis(500);
/// The list follows a change of the directory after this: changes come in groups.
const LIST_AFTER: Duration = Duration::from_secs(1);
/// The list is looked at again after this even if the directory did not change: mailboxes fill.
const LIST_EVERY: Duration = Duration::from_secs(30);

/// Whether mail may come now: the stage includes it.
pub type Gate = Arc<dyn Fn() -> bool + Send + Sync>;

/// How a primary treats its relays.
#[derive(Debug, Clone)]
pub struct ReceiverOptions {
    /// Messages of all relays that may be on their way at once.
    pub streams: u32,
    /// Messages a second of all relays; 0 is any number.
    pub per_second: u32,
    /// How relays check senders; none if they don't.
    pub senders: Option<SenderPolicy>,
    /// Relays may take mail that people send, of accounts that allow it.
    pub submissions: bool,
}

#[derive(Default, Serialize, Deserialize)]
struct PeersFile {
    relays: Vec<Peer>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Peer {
    fingerprint: Fingerprint,
    name: String,
}

/// A relay that was heard of since this machine began.
#[derive(Default)]
struct Live {
    connected: usize,
    peer: Option<IpAddr>,
    is_near: bool,
    heard: Option<Instant>,
    state: Option<State>,
}

/// The list as it is, and its name: that costs a look at all of it, and is asked for again and again.
struct Published {
    signed: SignedList,
    revision: u64,
}

impl Published {
    fn new(signed: SignedList) -> Self {
        Self { revision: signed.revision(), signed }
    }
}

impl Live {
    /// What it said last, as that is now: time has passed since, and while it is away nothing comes.
    fn backlog(&self) -> Option<Backlog> {
        let mut backlog = Backlog::from(self.state.as_ref()?);
        let passed = self.heard.map(|heard| heard.elapsed()).unwrap_or_default();
        backlog.left = backlog.left.filter(|_| self.connected > 0).map(|left| left.saturating_sub(passed));
        Some(backlog)
    }
}

/// Takes relays in.
pub struct Receiver {
    store: Store,
    directory: Directory,
    mailstore: MailStore,
    delivery: Delivery,
    options: ReceiverOptions,
    gate: Gate,
    file: PathBuf,
    keys: Keys,
    signer: Signer,
    /// The key of the list's hashes: new with each start, so that each list tells nothing about the last.
    salt: [u8; 32],
    codes: Codes,
    /// Changed with every pairing and removal.
    peers: watch::Sender<Vec<Peer>>,
    live: Mutex<BTreeMap<Fingerprint, Live>>,
    list: watch::Sender<Option<Arc<Published>>>,
    grant: watch::Sender<Grant>,
    seen: Mutex<Seen>,
    begun: Instant,
}

impl Receiver {
    /// With its keys and the relays it knows from `dir`.
    ///
    /// # Errors
    /// Names the file that can't be read or made.
    pub fn open(
        (store, directory, mailstore, delivery): (Store, Directory, MailStore, Delivery),
        dir: &Path,
        options: ReceiverOptions,
        gate: Gate,
    ) -> io::Result<Arc<Self>> {
        let keys = Keys::open(dir)?;
        let file = dir.join("relays.json");
        let peers = match std::fs::read_to_string(&file) {
            Ok(text) => serde_json::from_str::<PeersFile>(&text)
                .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display())))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => PeersFile::default(),
            Err(error) => return Err(error),
        };
        Ok(Arc::new(Self {
            store,
            directory,
            mailstore,
            delivery,
            options,
            gate,
            file,
            keys,
            signer: Signer::open(dir)?,
            salt: rand::random(),
            codes: Codes::default(),
            peers: watch::channel(peers.relays).0,
            live: Mutex::default(),
            list: watch::channel(None).0,
            grant: watch::channel(Grant::default()).0,
            seen: Mutex::default(),
            begun: Instant::now(),
        }))
    }

    /// A new code that pairs one relay within ten minutes. The previous code becomes invalid.
    pub fn new_code(&self) -> String {
        self.codes.new_code(&self.keys.fingerprint())
    }

    /// Revokes a relay: its connections end, and new ones are refused. `false` if there is none with that name or
    /// fingerprint.
    ///
    /// # Errors
    /// Its file can't be written.
    pub fn remove(&self, name: &str) -> io::Result<bool> {
        self.change_peers(|peers| peers.retain(|peer| peer.name != name && peer.fingerprint.to_string() != name))
    }

    /// All relays that are paired.
    pub fn relays(&self) -> Vec<OfRelay> {
        let peers = self.peers.borrow().clone();
        let revision = self.list.borrow().as_ref().map_or(0, |list| list.revision);
        let live = self.live.lock();
        let status = |peer: &Peer| {
            let now = live.get(&peer.fingerprint);
            let state = now.and_then(|now| now.state.clone());
            OfRelay {
                name: peer.name.clone(),
                fingerprint: peer.fingerprint,
                connected: now.is_some_and(|now| now.connected > 0),
                peer: now.and_then(|now| now.peer),
                silent: now.and_then(|now| now.heard).unwrap_or(self.begun).elapsed(),
                full: state.as_ref().is_some_and(|state| state.full),
                list_is_current: state.as_ref().is_some_and(|state| state.revision == revision),
                backlog: now.and_then(Live::backlog),
                is_near: now.is_some_and(|now| now.is_near),
            }
        };
        peers.iter().map(status).collect()
    }

    /// Whether nothing waits on any relay, and each has said so with the list as it is now. False while one is away: what
    /// it has is not known.
    pub fn all_clear(&self) -> bool {
        self.relays().iter().all(|relay| {
            relay.connected && relay.list_is_current && relay.backlog.is_some_and(|backlog| backlog.waiting == 0)
        })
    }

    /// Changes what is known of relays, durably; says whether that is a change.
    fn change_peers(&self, change: impl FnOnce(&mut Vec<Peer>)) -> io::Result<bool> {
        let mut failed = None;
        let changed = self.peers.send_if_modified(|peers| {
            let mut now = peers.clone();
            change(&mut now);
            if now == *peers {
                return false;
            }
            let saved = serde_json::to_vec_pretty(&PeersFile { relays: now.clone() })
                .map_err(io::Error::from)
                .and_then(|bytes| continuity::replace_file(&self.file, &bytes));
            match saved {
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

    /// Serves relays until shut down.
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
                        tracing::warn!(%error, "could not accept a relay's connection");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let place = Strangers::place(&strangers, peer.ip());
            let (receiver, acceptor, shutdown) = (self.clone(), acceptor.clone(), shutdown.clone());
            tokio::spawn(async move {
                let ended = tokio::select! {
                    ended = receiver.connection(stream, acceptor, place) => ended,
                    () = shutdown.cancelled() => Ok(()),
                };
                match ended {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                        tracing::info!(%peer, "a relay has disconnected");
                    }
                    Err(error) => tracing::warn!(%peer, %error, "a relay's connection failed"),
                }
            });
        }
    }

    /// Keeps the list and the pace up to date until shut down.
    pub async fn attend(self: Arc<Self>, shutdown: CancellationToken) {
        let list = async {
            let mut changes = self.store.watch(RealmId::DIRECTORY);
            let mut failed = String::new();
            loop {
                changes.mark_unchanged();
                let this = self.clone();
                let made = tokio::task::spawn_blocking(move || {
                    ListRecord::now(
                        &this.salt,
                        &this.directory,
                        &this.mailstore,
                        &this.delivery,
                        (this.options.senders.as_ref(), this.options.submissions),
                    )
                    .map(|list| this.signer.sign(&list))
                });
                match made
                    .await
                    .map_err(|error| error.to_string())
                    .and_then(|made| made.map_err(|error| error.to_string()))
                {
                    Ok(signed) => {
                        failed.clear();
                        self.list.send_if_modified(|list| {
                            let is_new = list.as_ref().is_none_or(|list| list.signed.record != signed.record);
                            if is_new {
                                *list = Some(Arc::new(Published::new(signed)));
                            }
                            is_new
                        });
                    }
                    Err(error) if error != failed => {
                        tracing::error!(error, "could not make the list of recipients for relays");
                        failed = error;
                    }
                    Err(_) => {}
                }
                tokio::time::sleep(LIST_AFTER).await;
                let _ = tokio::time::timeout(LIST_EVERY, changes.changed()).await;
            }
        };
        let pace = async {
            let mut pace = Pace::new(self.options.streams, self.options.per_second);
            let mut every = tokio::time::interval(PACE_EVERY);
            loop {
                every.tick().await;
                let closed = !(self.gate)() || !self.store.has_room() || self.store.stopped().is_some();
                let seen = std::mem::take(&mut *self.seen.lock());
                pace.adjust(Seen { closed, ..seen });
                let grant = pace.grant(self.giving(), closed);
                self.grant.send_if_modified(|now| std::mem::replace(now, grant) != grant);
                self.measure();
            }
        };
        tokio::select! {
            () = list => {}
            () = pace => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// How many relays have something to give.
    fn giving(&self) -> u32 {
        let live = self.live.lock();
        let gives = |live: &&Live| live.connected > 0 && live.state.as_ref().is_some_and(|state| state.waiting > 0);
        u32::try_from(live.values().filter(gives).count()).unwrap_or(u32::MAX)
    }

    fn measure(&self) {
        for relay in self.relays() {
            let name = relay.name.clone();
            metrics::gauge!("holdfast_relay_connected", "relay" => name.clone())
                .set(f64::from(u8::from(relay.connected)));
            let Some(backlog) = relay.backlog else { continue };
            metrics::gauge!("holdfast_relay_waiting", "relay" => name.clone()).set(backlog.waiting as f64);
            metrics::gauge!("holdfast_relay_left_seconds", "relay" => name)
                .set(backlog.left.unwrap_or_default().as_secs_f64());
        }
    }
}
