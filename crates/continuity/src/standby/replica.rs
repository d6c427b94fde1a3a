//! The standby's side: copies everything once, then follows, applies, and can be made the primary.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store::{Commit, RealmId, Seq, Store, StoreError, StoreOptions};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
    sync::{Notify, mpsc, oneshot, watch},
};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use crate::durable;

use super::{
    apply::{Tripped, Tripwires, Watch},
    check::{Changed, Rules},
    intake::{Intake, Lacks, receive},
    keys::{Fingerprint, Keys, NotACode, PairingCode, Pin},
    promote::{self, HowToPromote, Promotion},
    rejoin::{Rejoined, rejoin},
    wire::{self, Ack, Hello, Kind},
};

/// How long a connection may take to be made, and an answer to come.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// A primary that says nothing for so long is gone: it says something every two seconds.
const SILENCE: Duration = Duration::from_secs(15);
/// Between two attempts to reach the primary.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Commits applied together.
const APPLY_AT_ONCE: usize = 500;

/// What can go wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The network, or a file.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// What was typed is no pairing code.
    #[error(transparent)]
    Code(#[from] NotACode),
    /// The primary says no.
    #[error("the primary refuses: {0}")]
    Refused(String),
    /// The primary's log and ours are two since some commit.
    #[error("the primary has another log: {0}")]
    Diverged(String),
    /// What we need of the primary's log is retained no more.
    #[error("the primary's log does not reach back far enough: {0}")]
    TooOld(String),
    /// It can't be done now.
    #[error("{0}")]
    NotNow(String),
}

/// How a standby follows.
#[derive(Debug, Clone)]
pub struct StandbyOptions {
    /// The data folder.
    pub dir: PathBuf,
    /// How the store is opened.
    pub store: StoreOptionsMaker,
    /// What this machine calls itself.
    pub name: String,
    /// How long after it was committed a commit is applied. It is received at once.
    pub apply_delay: Duration,
    /// What stops applying.
    pub tripwires: Tripwires,
    /// What must hold in a realm. One in which it does not is not applied any more.
    pub rules: Rules,
}

/// Makes store options, which can't be cloned into a debug line.
#[derive(Clone)]
pub struct StoreOptionsMaker(pub Arc<dyn Fn() -> StoreOptions + Send + Sync>);

impl std::fmt::Debug for StoreOptionsMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("store options")
    }
}

/// The primary, as the standby knows it.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Known {
    pub address: String,
    pub fingerprint: Fingerprint,
    /// It acknowledges nothing that we do not have.
    #[serde(default)]
    pub waits_for_us: bool,
}

/// How a standby is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// What it is doing, in words.
    pub doing: String,
    /// It follows the primary right now.
    pub connected: bool,
    /// The last commit that the primary spoke of.
    pub primary: Seq,
    /// Durable here.
    pub received: Seq,
    /// Applied here.
    pub applied: Seq,
    /// Applying waits for someone to look.
    pub tripped: Option<Tripped>,
    /// Realms that are not applied any more, and why.
    pub held: Vec<(RealmId, String)>,
}

/// How [`Standby::run`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was shut down.
    Stopped,
    /// It is the primary now: open the folder as one.
    Promoted(Promotion),
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Compared {
    /// Realms that are the same on both.
    pub equal: u64,
    /// What differs, by realm.
    pub different: Vec<(RealmId, String)>,
}

enum Request {
    Compare(oneshot::Sender<Result<Compared, Error>>),
    Resync(RealmId, oneshot::Sender<Result<(), Error>>),
}

/// A standby that follows.
pub struct Standby {
    pub(super) options: StandbyOptions,
    keys: Keys,
    pub(super) store: Mutex<Option<Store>>,
    status: watch::Sender<Status>,
    /// What a person has let through: commits up to this one trip no wire.
    released: Mutex<Seq>,
    pub(super) go_on: Notify,
    requests: mpsc::Sender<Request>,
    asked: tokio::sync::Mutex<mpsc::Receiver<Request>>,
    promotion: Mutex<Option<Promotion>>,
    promoted: CancellationToken,
    /// Following is over: what is received is all there will be.
    cut: CancellationToken,
    /// Held while something is received.
    receiving: Arc<Mutex<()>>,
    pub(super) changed: Changed,
}

pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Error> {
    Ok(tokio::task::spawn_blocking(work).await.map_err(io::Error::other)??)
}

pub(super) fn state_dir(dir: &Path) -> PathBuf {
    dir.join("standby")
}

pub(super) fn known_file(dir: &Path) -> PathBuf {
    state_dir(dir).join("primary.json")
}

pub(super) fn known(dir: &Path) -> io::Result<Option<Known>> {
    read_json(&known_file(dir))
}

pub(super) fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    match std::fs::read_to_string(file) {
        Ok(text) => serde_json::from_str(&text)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn write_json(file: &Path, value: &impl Serialize) -> io::Result<()> {
    durable::replace(file, &serde_json::to_vec_pretty(value)?)
}

pub(super) type Connection = tokio_rustls::client::TlsStream<TcpStream>;

pub(super) async fn connect(keys: &Keys, address: &str, pin: Pin) -> Result<Connection, Error> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, format!("{address} does not answer"));
    let config = keys.client(pin)?;
    let reach = async {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))?;
        stream.set_nodelay(true)?;
        // Machines are known by their keys, not by names.
        let name = rustls_pki_types::ServerName::try_from("holdfast-standby").expect("it is a name");
        TlsConnector::from(config).connect(name, stream).await
    };
    Ok(tokio::time::timeout(ANSWER_TIMEOUT, reach).await.map_err(late)??)
}

pub(super) async fn say(stream: &mut (impl AsyncWrite + Unpin), kind: Kind) -> io::Result<()> {
    wire::write(stream, kind).await?;
    stream.flush().await
}

pub(super) async fn hear(stream: &mut (impl AsyncRead + Unpin)) -> Result<Kind, Error> {
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "the primary has gone silent");
    match tokio::time::timeout(SILENCE, wire::read(stream)).await.map_err(late)?? {
        Kind::Refused(no) if no.diverged => Err(Error::Diverged(no.why)),
        Kind::Refused(no) if no.retained_from > 0 => Err(Error::TooOld(no.why)),
        Kind::Refused(no) => Err(Error::Refused(no.why)),
        other => Ok(other),
    }
}

/// Makes primary and standby know each other by a code.
async fn pair(keys: &Keys, address: &str, code: &PairingCode, name: &str) -> Result<Known, Error> {
    let mut stream = connect(keys, address, Pin::Code(code.clone())).await?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(<[_]>::first).map(Fingerprint::of);
    let fingerprint = certificate.ok_or_else(|| Error::NotNow("the primary has no certificate".to_owned()))?;
    say(&mut stream, Kind::Pair(wire::Pair { secret: code.secret().to_vec(), name: name.to_owned() })).await?;
    match hear(&mut stream).await? {
        Kind::Paired(_) => Ok(Known { address: address.to_owned(), fingerprint, waits_for_us: false }),
        other => Err(Error::NotNow(format!("the primary answers {other:?}"))),
    }
}

impl Standby {
    /// Makes a standby of the folder: pairs with the primary at `address` if there is a code, else it must be paired
    /// already. Opens the store if there is one. With `rejoins` a folder that was a primary's is emptied first; what only
    /// it has is kept in files.
    ///
    /// # Errors
    /// The folder holds a store that follows nobody; the code is wrong; the primary is not reached for pairing.
    pub async fn open(
        options: StandbyOptions,
        address: Option<&str>,
        code: Option<&str>,
        rejoins: bool,
    ) -> Result<(Arc<Self>, Option<Rejoined>), Error> {
        let dir = options.dir.clone();
        std::fs::create_dir_all(state_dir(&dir))?;
        let keys = Keys::open(&state_dir(&dir))?;
        let mut has_store = dir.join("format").exists() && !dir.join("restoring").exists();
        let was_primary = has_store && !Store::is_replica_at(&dir);
        if was_primary && !rejoins {
            return Err(Error::NotNow(format!(
                "{} holds a store that follows nobody: choose an empty folder, or add --rejoin to make this machine a \\
                 standby; what only it has is kept in files then",
                dir.display()
            )));
        }
        let before = known(&dir)?;
        let known = match (address, code, before) {
            (Some(address), Some(code), _) => pair(&keys, address, &code.parse()?, &options.name).await?,
            (None, Some(_), _) => return Err(Error::NotNow("a code needs --primary HOST:PORT beside it".to_owned())),
            (Some(address), None, Some(known)) => Known { address: address.to_owned(), ..known },
            (None, None, Some(known)) => known,
            (_, None, None) => {
                return Err(Error::NotNow(
                    "this machine knows no primary yet: type `holdfast standby code` there, and here \\
                     `holdfast standby --primary HOST:PORT --code CODE`"
                        .to_owned(),
                ));
            }
        };
        write_json(&known_file(&dir), &known)?;
        let mut rejoined = None;
        if was_primary {
            rejoined = Some(rejoin(&dir, (options.store.0)(), &known, &keys).await?);
            has_store = false;
        }
        let store = if has_store {
            let (dir, options) = (dir.clone(), (options.store.0)());
            Some(blocking(move || Store::open_replica(&dir, options)).await?)
        } else {
            None
        };
        let (requests, asked) = mpsc::channel(4);
        let standby = Self {
            options,
            keys,
            store: Mutex::new(store),
            status: watch::channel(Status::default()).0,
            released: Mutex::new(Seq(0)),
            go_on: Notify::new(),
            requests,
            asked: tokio::sync::Mutex::new(asked),
            promotion: Mutex::new(None),
            promoted: CancellationToken::new(),
            cut: CancellationToken::new(),
            receiving: Arc::default(),
            changed: Changed::default(),
        };
        standby.refresh();
        Ok((Arc::new(standby), rejoined))
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.refresh();
        self.status.borrow().clone()
    }

    /// The store, once there is one.
    pub fn store(&self) -> Option<Store> {
        self.store.lock().clone()
    }

    pub(super) fn refresh(&self) {
        let Some(store) = self.store() else { return };
        let (received, applied) = (store.seq(), store.applied().unwrap_or_default());
        let held = store.quarantined();
        self.status.send_if_modified(|status| {
            let changed = (status.received, status.applied) != (received, applied) || status.held != held;
            (status.received, status.applied) = (received, applied);
            status.held = held;
            changed
        });
        let primary = self.status.borrow().primary.0.max(received.0);
        metrics::gauge!("holdfast_standby_received_seq").set(received.0 as f64);
        metrics::gauge!("holdfast_standby_applied_seq").set(applied.0 as f64);
        metrics::gauge!("holdfast_standby_behind_commits").set((primary - received.0) as f64);
    }

    pub(super) fn doing(&self, what: impl Into<String>) {
        let what = what.into();
        tracing::info!("{what}");
        self.status.send_modify(|status| status.doing = what);
    }

    /// Follows until it is shut down or promoted. A break is waited out; a primary whose log is another one is not.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::TooOld`], and those of this machine's disk.
    pub async fn run(self: &Arc<Self>, shutdown: &CancellationToken) -> Result<Ended, Error> {
        let applier = {
            let (standby, shutdown) = (self.clone(), shutdown.clone());
            tokio::spawn(async move { standby.apply(&shutdown).await })
        };
        let stop_checking = shutdown.child_token();
        tokio::spawn(self.clone().check(stop_checking.clone()));
        let _stop_checking = stop_checking.drop_guard();
        let ended = self.follow_on(shutdown).await;
        if let Err(error) = ended {
            applier.abort();
            return Err(error);
        }
        // Promoting goes on after following was cut.
        tokio::select! {
            () = self.promoted.cancelled() => {}
            () = shutdown.cancelled() => {}
        }
        applier.abort();
        let _ = applier.await;
        let store = self.store.lock().take();
        if let Some(store) = store {
            tokio::task::spawn_blocking(move || store.close()).await.map_err(io::Error::other)?;
        }
        Ok(self.promotion.lock().map_or(Ended::Stopped, Ended::Promoted))
    }

    async fn follow_on(self: &Arc<Self>, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut pause = RETRY.0;
        loop {
            let ended = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.cut.cancelled() => return Ok(()),
                ended = self.follow(&mut pause) => ended,
            };
            self.status.send_modify(|status| status.connected = false);
            match ended {
                Ok(()) => pause = RETRY.0,
                Err(
                    error @ (Error::Diverged(_)
                    | Error::TooOld(_)
                    | Error::Store(StoreError::Stopped { .. } | StoreError::Full)),
                ) => {
                    self.doing(format!("stopped: {error}"));
                    return Err(error);
                }
                Err(error) => {
                    self.doing(format!("waiting for the primary: {error}"));
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = shutdown.cancelled() => return Ok(()),
                        () = self.cut.cancelled() => return Ok(()),
                    }
                    pause = (pause * 2).min(RETRY.1);
                }
            }
        }
    }

    async fn follow(self: &Arc<Self>, pause: &mut Duration) -> Result<(), Error> {
        let known =
            known(&self.options.dir)?.ok_or_else(|| Error::NotNow("the primary's address is gone".to_owned()))?;
        let mut stream = connect(&self.keys, &known.address, Pin::Whole(known.fingerprint)).await?;
        let Some(store) = self.store() else {
            return self.copy(&mut stream).await;
        };
        let next = Seq(store.seq().0 + 1);
        let at = store.clone();
        let (chain, epoch) = blocking(move || Ok((at.log_point(Seq(next.0 - 1))?.0, at.snapshot().epoch()?))).await?;
        let hello = Hello { version: wire::VERSION, next: next.0, chain: chain.to_vec(), epoch, copy: false };
        say(&mut stream, Kind::Hello(hello)).await?;
        let Kind::Welcome(welcome) = hear(&mut stream).await? else {
            return Err(Error::NotNow("the primary does not welcome us".to_owned()));
        };
        *pause = RETRY.0;
        if welcome.waits_for_you != known.waits_for_us {
            let now = Known { waits_for_us: welcome.waits_for_you, ..known.clone() };
            write_json(&known_file(&self.options.dir), &now)?;
        }
        self.status.send_modify(|status| {
            status.connected = true;
            status.primary = Seq(welcome.seq);
        });
        self.doing(format!("following {} from commit {next}", known.address));
        self.stream(store, stream).await
    }

    /// Takes in what is new, until the connection ends.
    async fn stream(self: &Arc<Self>, store: Store, stream: Connection) -> Result<(), Error> {
        let (mut read, mut write) = tokio::io::split(stream);
        let (said, mut heard) = mpsc::channel(8);
        let reader = tokio::spawn(async move {
            loop {
                let message = hear(&mut read).await;
                let ended = message.is_err();
                if said.send(message).await.is_err() || ended {
                    return;
                }
            }
        });
        let _ends = AbortOnDrop(reader);
        let mut asked = self.asked.lock().await;
        let mut intake = Intake::new(&store);
        let mut told = Ack::default();
        let mut applied = self.status.subscribe();
        loop {
            tokio::select! {
                message = heard.recv() => match message {
                    None => return Ok(()),
                    Some(message) => match message? {
                        Kind::BodyPiece(piece) => intake.body(piece).await?,
                        Kind::Run(run) => intake.waiting.push_back(run.bytes),
                        Kind::Beat(beat) => {
                            self.status.send_modify(|status| status.primary = Seq(beat.seq));
                            say(&mut write, Kind::Ack(self.ack(&store))).await?;
                        }
                        _ => {}
                    }
                },
                Some(request) = asked.recv() => match request {
                    Request::Compare(answer) => {
                        let compared = self.compare_over(&store, &mut heard, &mut write, &mut intake).await;
                        let _ = answer.send(compared);
                    }
                    Request::Resync(realm, answer) => {
                        let done = self.resync_over(&store, realm, &mut heard, &mut write, &mut intake).await;
                        let _ = answer.send(done);
                    }
                },
                changed = applied.changed() => { let _ = changed; }
            }
            self.take_in(&mut intake, &mut write).await?;
            let now = self.ack(&store);
            if now != told {
                say(&mut write, Kind::Ack(now.clone())).await?;
                told = now;
            }
        }
    }

    /// Makes what came durable, as far as its bodies are here.
    pub(super) async fn take_in(
        &self,
        intake: &mut Intake<'_>,
        write: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), Error> {
        while intake.missing == 0
            && let Some(bytes) = intake.waiting.pop_front()
        {
            let (store, asked) = (intake.store.clone(), intake.asked);
            let (receiving, cut) = (self.receiving.clone(), self.cut.clone());
            let take_in = move || {
                let _receiving = receiving.lock();
                if cut.is_cancelled() {
                    return Err(StoreError::Stopped { reason: "this machine is being promoted".to_owned() });
                }
                receive(&store, bytes, asked)
            };
            match blocking(take_in).await? {
                None => {
                    intake.asked = false;
                    intake.staged.clear();
                    self.refresh();
                }
                Some(Lacks { bytes, missing }) => {
                    intake.asked = true;
                    intake.missing = missing.len();
                    intake.waiting.push_front(bytes);
                    let ids = missing.iter().map(|id| id.as_bytes().to_vec()).collect();
                    say(write, Kind::WantBodies(wire::WantBodies { ids })).await?;
                }
            }
        }
        Ok(())
    }

    pub(super) fn ack(&self, store: &Store) -> Ack {
        let status = self.status.borrow();
        Ack {
            received: store.seq().0,
            applied: store.applied().unwrap_or_default().0,
            held: store
                .quarantined()
                .into_iter()
                .map(|(realm, reason)| wire::HeldRealm { realm: realm.raw(), reason })
                .collect(),
            wire: status
                .tripped
                .as_ref()
                .map(|tripped| format!("commit {}: {}", tripped.seq, tripped.why))
                .unwrap_or_default(),
        }
    }

    /// Applies what is due, commit by commit.
    async fn apply(self: Arc<Self>, shutdown: &CancellationToken) -> Result<(), Error> {
        let store = loop {
            let made = self.go_on.notified();
            if let Some(store) = self.store() {
                break store;
            }
            tokio::select! {
                () = made => {}
                () = tokio::time::sleep(Duration::from_millis(200)) => {}
                () = shutdown.cancelled() => return Ok(()),
            }
        };
        let mut follower = store.follow(Seq(store.applied()?.0 + 1))?;
        let mut watch = Watch::default();
        loop {
            let mut commits = vec![follower.next().await?];
            while commits.len() < APPLY_AT_ONCE
                && let Some(next) = futures_util::FutureExt::now_or_never(follower.next())
            {
                commits.push(next?);
            }
            let mut due = Vec::new();
            for commit in commits {
                let wait = self.wait_for(&commit);
                if !wait.is_zero() || self.trips(&commit, &mut watch) {
                    // What is before it is applied first.
                    self.apply_now(&store, std::mem::take(&mut due)).await?;
                    self.hold(&commit, &mut watch).await;
                }
                due.push(commit);
            }
            self.apply_now(&store, due).await?;
        }
    }

    /// How long a commit has to wait for its time.
    fn wait_for(&self, commit: &Commit) -> Duration {
        if self.cut.is_cancelled() {
            return Duration::ZERO;
        }
        let age_ms = jiff::Timestamp::now().as_millisecond().saturating_sub(commit.time_ms);
        self.options.apply_delay.saturating_sub(Duration::from_millis(age_ms.max(0).unsigned_abs()))
    }

    fn trips(&self, commit: &Commit, watch: &mut Watch) -> bool {
        let tripped = watch.look(commit, &self.options.tripwires).filter(|tripped| tripped.seq > *self.released.lock());
        if let Some(tripped) = &tripped {
            tracing::error!(commit = %tripped.seq, why = tripped.why, "a tripwire: nothing is applied until someone looks");
            metrics::gauge!("holdfast_standby_tripped").set(1.0);
            self.status.send_modify(|status| status.tripped = Some(tripped.clone()));
        }
        tripped.is_some()
    }

    /// Waits until a commit is due, and until the wire that it tripped is released.
    async fn hold(&self, commit: &Commit, watch: &mut Watch) {
        let mut was_held = false;
        loop {
            let changed = self.go_on.notified();
            let wait = self.wait_for(commit);
            let held = self.status.borrow().tripped.is_some();
            was_held |= held;
            if wait.is_zero() && !held {
                if self.trips_late(commit, watch) {
                    continue;
                }
                if was_held {
                    watch.forget();
                }
                return;
            }
            tokio::select! {
                () = changed => {}
                () = self.cut.cancelled(), if !wait.is_zero() => {}
                () = tokio::time::sleep(wait.max(Duration::from_millis(50))) => {}
            }
        }
    }

    /// A commit that had to wait for its time is looked at when that has come.
    fn trips_late(&self, commit: &Commit, watch: &mut Watch) -> bool {
        commit.seq() > *self.released.lock() && self.options.apply_delay > Duration::ZERO && self.trips(commit, watch)
    }

    async fn apply_now(self: &Arc<Self>, store: &Store, commits: Vec<Arc<Commit>>) -> Result<(), Error> {
        if commits.is_empty() {
            return Ok(());
        }
        let (store, standby) = (store.clone(), self.clone());
        blocking(move || {
            for commit in &commits {
                for (realm, why) in store.apply_received(commit)? {
                    tracing::error!(%realm, why, "this realm is not applied any more; the others go on");
                }
                for part in &commit.realms {
                    standby.changed.note(part.realm(), commit.seq());
                }
            }
            Ok(())
        })
        .await?;
        self.refresh();
        Ok(())
    }

    /// Lets what a tripwire holds be applied.
    ///
    /// # Errors
    /// [`Error::NotNow`] when none holds anything.
    pub fn release(&self) -> Result<Tripped, Error> {
        let nothing = || Error::NotNow("no tripwire holds anything".to_owned());
        let tripped = self.status.borrow().tripped.clone().ok_or_else(nothing)?;
        // Everything that was received when someone looked.
        *self.released.lock() = self.store().map_or(tripped.seq, |store| store.seq());
        self.status.send_modify(|status| status.tripped = None);
        metrics::gauge!("holdfast_standby_tripped").set(0.0);
        self.go_on.notify_waiters();
        Ok(tripped)
    }

    /// Makes this machine the primary: follows no more, applies what was received, and writes from then on in the next
    /// epoch. [`Standby::run`] ends with it; what is left to do is done by [`super::finish_promotion`], before anything is
    /// served.
    ///
    /// # Errors
    /// [`Error::NotNow`] while a tripwire holds, unless what it holds is to be discarded.
    pub async fn promote(&self, how: HowToPromote) -> Result<Promotion, Error> {
        let store = self.store().ok_or_else(|| Error::NotNow("the first copy is not finished".to_owned()))?;
        let tripped = self.status.borrow().tripped.clone();
        if let Some(tripped) = &tripped
            && !how.discard
        {
            return Err(Error::NotNow(format!(
                "a tripwire holds commit {} and what follows it ({}): add --discard to leave out what the accounts \
                 concerned have lost since, or apply it with `holdfast standby release` and promote then",
                tripped.seq, tripped.why
            )));
        }
        self.cut.cancel();
        let receiving = self.receiving.clone();
        blocking(move || {
            // From here on nothing is received any more.
            drop(receiving.lock());
            Ok(())
        })
        .await?;
        if let Some(tripped) = tripped {
            let (at, dir) = (store.clone(), self.options.dir.clone());
            blocking(move || promote::keep_for_undoing(&at, &dir, tripped.seq)).await?;
            self.release()?;
        }
        self.go_on.notify_waiters();
        while store.applied()? < store.seq() {
            // What came between the command and the cut may trip another one.
            if self.status.borrow().tripped.is_some() {
                if !how.discard {
                    return Err(Error::NotNow("a tripwire holds what came last: `holdfast standby status`".to_owned()));
                }
                self.release()?;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let dir = self.options.dir.clone();
        let promotion = blocking(move || promote::promote_store(&store, &dir, how)).await?;
        *self.promotion.lock() = Some(promotion);
        self.promoted.cancel();
        Ok(promotion)
    }

    /// Compares every realm with the primary's, read again from end to end on both, while both go on.
    ///
    /// # Errors
    /// [`Error::NotNow`] when the primary is not connected.
    pub async fn compare(&self) -> Result<Compared, Error> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Compare(answer)).await?;
        answered.await.map_err(|_| gone())?
    }

    /// Copies a realm anew from the primary, and applies it again from there on.
    ///
    /// # Errors
    /// [`Error::NotNow`] when the primary is not connected, or has it damaged itself.
    pub async fn resync(&self, realm: RealmId) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        self.ask(Request::Resync(realm, answer)).await?;
        answered.await.map_err(|_| gone())?
    }

    async fn ask(&self, request: Request) -> Result<(), Error> {
        if !self.status.borrow().connected {
            return Err(Error::NotNow("the primary is not connected".to_owned()));
        }
        self.requests.send(request).await.map_err(|_| gone())
    }

    /// The next message that is not part of the stream; what is, is taken in.
    pub(super) async fn answer_to(
        &self,
        heard: &mut mpsc::Receiver<Result<Kind, Error>>,
        write: &mut (impl AsyncWrite + Unpin),
        intake: &mut Intake<'_>,
    ) -> Result<Kind, Error> {
        loop {
            match heard.recv().await.ok_or_else(gone)?? {
                Kind::BodyPiece(piece) => intake.body(piece).await?,
                Kind::Run(run) => intake.waiting.push_back(run.bytes),
                Kind::Beat(_) => {}
                other => return Ok(other),
            }
            self.take_in(intake, write).await?;
            say(write, Kind::Ack(self.ack(intake.store))).await?;
        }
    }
}

pub(super) fn gone() -> Error {
    Error::NotNow("the connection to the primary has ended; try again".to_owned())
}

struct AbortOnDrop(tokio::task::JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
