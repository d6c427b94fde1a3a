//! A relay: opened, paired, and connected to its primary again and again.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use continuity::link::{self as wired, Fingerprint, Keys, PairingCode, Pin, REACH_TIMEOUT};
use parking_lot::Mutex;
use prost::Message as _;
use rand::RngExt as _;
use serde::{Deserialize, Serialize};
use store::Store;
use tokio_util::sync::CancellationToken;

use crate::{
    Backlog, Error, ForeignOptions, KEEP_GIVEN, KEEP_REFUSED, RelayStatus, foreign,
    keeper::{Core, Keeper},
    link::Link,
    list::Recipients,
    session, spool,
    wire::{self, Kind, SignedList},
};

/// The first wait before the primary is tried again, and the longest.
const WAIT: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(5)];
/// Between two looks at what can be forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// Messages that are forgotten in one commit.
const FORGOTTEN_AT_ONCE: usize = 1_000;
/// Between two times that a confirmation of the list is stored.
const CONFIRM_EVERY_MS: i64 = 60_000;

/// The file that names a primary of another make.
pub const SMTP_PRIMARY: &str = "smtp-primary";

/// How a relay is opened.
#[derive(Debug, Clone)]
pub struct RelayOptions {
    /// Where its keys, the list and the primary's address are: in its data folder.
    pub dir: PathBuf,
    /// What it calls itself.
    pub name: String,
    /// People may sign in while the primary is away, if the primary lets them.
    pub submissions: bool,
}

/// The primary, as the relay knows it.
#[derive(Clone, Serialize, Deserialize)]
pub struct Known {
    /// HOST:PORT.
    pub address: String,
    fingerprint: Fingerprint,
    /// The key that signs lists, in hex.
    key: String,
}

impl Known {
    fn key(&self) -> Vec<u8> {
        hex::decode(&self.key).unwrap_or_default()
    }
}

/// A primary of ours, with which this relay was paired.
pub struct Paired {
    keys: Keys,
    known: Known,
}

impl Paired {
    /// How the primary is reached.
    pub(crate) async fn connect(&self) -> Result<wired::Connection, Error> {
        Ok(wired::connect(&self.keys, &self.known.address, Pin::Whole(self.known.fingerprint), REACH_TIMEOUT).await?)
    }
}

enum Primary {
    Paired(Paired),
    Foreign(Arc<ForeignOptions>),
}

/// A relay.
pub struct Relay {
    pub(crate) core: Arc<Core>,
    primary: Primary,
    pub(crate) options: RelayOptions,
    pub(crate) link: Link,
    stored_ms: Mutex<i64>,
}

impl Relay {
    /// Opens a relay on its own store; pairs it first where a code is given. With `primary` alone the known primary is
    /// reached there from now on.
    ///
    /// # Errors
    /// It can't be paired, or something of it can't be read.
    pub async fn open(
        store: Store,
        options: RelayOptions,
        primary: Option<&str>,
        code: Option<&str>,
    ) -> Result<Arc<Self>, Error> {
        std::fs::create_dir_all(&options.dir)?;
        let keys = Keys::open(&options.dir)?;
        let file = options.dir.join("primary.json");
        let known: Option<Known> = read_json(&file)?;
        let known = match (primary, code, known) {
            (Some(primary), Some(code), _) => {
                let known = pair(&keys, primary, &code.parse()?, &options.name).await?;
                continuity::replace_file(&file, &to_json(&known)?)?;
                known
            }
            (Some(primary), None, Some(known)) => {
                let known = Known { address: primary.to_owned(), ..known };
                continuity::replace_file(&file, &to_json(&known)?)?;
                known
            }
            (None, None, Some(known)) => known,
            (None, Some(_), _) => return Err(Error::NotNow("a code needs --primary HOST:PORT".to_owned())),
            (_, None, None) => {
                let how =
                    "this relay is not paired: run `holdfast relay pair` on the primary, and then here what it prints";
                return Err(Error::NotNow(how.to_owned()));
            }
        };
        let paired = Paired { keys, known };
        let relay = Self::on(store, options, Vec::new(), Primary::Paired(paired)).await?;
        relay.read_list()?;
        Ok(Arc::new(relay))
    }

    /// Opens a relay of a primary of another make on its own store.
    ///
    /// # Errors
    /// The file of recipients can't be used, or something of the relay can't be read.
    pub async fn open_foreign(
        store: Store,
        options: RelayOptions,
        foreign: ForeignOptions,
    ) -> Result<Arc<Self>, Error> {
        std::fs::create_dir_all(&options.dir)?;
        // That this folder is a relay's is seen by it.
        continuity::replace_file(&options.dir.join(SMTP_PRIMARY), foreign.address.as_bytes())?;
        let list = foreign.list()?;
        let domains = foreign.ask_domains.clone();
        let relay = Self::on(store, options, domains, Primary::Foreign(Arc::new(foreign))).await?;
        relay.core.use_own_list(list);
        Ok(Arc::new(relay))
    }

    async fn on(
        store: Store,
        options: RelayOptions,
        ask_domains: Vec<String>,
        primary: Primary,
    ) -> Result<Self, Error> {
        let submissions = options.submissions;
        let opening = tokio::task::spawn_blocking(move || Core::open(store, ask_domains, submissions));
        let core = Arc::new(opening.await.map_err(io::Error::other)??);
        let link = Link::new(match &primary {
            Primary::Paired(paired) => paired.known.address.clone(),
            Primary::Foreign(foreign) => foreign.address.clone(),
        });
        Ok(Self { core, primary, options, link, stored_ms: Mutex::default() })
    }

    /// The accepting side.
    pub fn elsewhere(&self) -> Arc<dyn delivery::Elsewhere> {
        Arc::new(Keeper(Arc::clone(&self.core)))
    }

    /// The list of recipients, where it has come.
    pub fn recipients(&self) -> Option<Arc<Recipients>> {
        self.core.list.read().clone()
    }

    /// Gives mail to the primary until stopped.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let forgetting = async {
            let mut every = tokio::time::interval(FORGET_EVERY);
            loop {
                every.tick().await;
                self.forget().await;
            }
        };
        let giving = async {
            match &self.primary {
                Primary::Paired(paired) => self.connect_again_and_again(paired, &shutdown).await,
                Primary::Foreign(options) => foreign::run(&self.core, &self.link, options, &shutdown).await,
            }
        };
        tokio::select! {
            () = giving => {}
            () = forgetting => {}
        }
    }

    async fn connect_again_and_again(&self, paired: &Paired, shutdown: &CancellationToken) {
        let mut wait = WAIT[0];
        while !shutdown.is_cancelled() {
            let (begun, heard) = (Instant::now(), self.core.heard.load(Ordering::Relaxed));
            let ended = tokio::select! {
                ended = session::run(self, paired, shutdown) => ended,
                () = shutdown.cancelled() => Ok(()),
            };
            self.core.runs.store(false, Ordering::Relaxed);
            self.core.agenda.lock().take_back();
            self.core.look_at_backlog();
            // A connection that breaks soon and again is worth as much as one that lasts, where mail goes over it.
            let was_useful = begun.elapsed() > WAIT[0] || self.core.heard.load(Ordering::Relaxed) != heard;
            if self.link.ends(ended.err()) && was_useful {
                wait = WAIT[0];
            }
            let jitter = rand::rng().random_range(0.5..1.5);
            tokio::select! {
                () = tokio::time::sleep(wait.mul_f64(jitter)) => {}
                () = shutdown.cancelled() => {}
            }
            wait = (wait * 2).min(WAIT[1]);
        }
    }

    /// Forgets what was given long enough ago.
    async fn forget(&self) {
        let before = |kept: Duration| {
            self.core.store.clock().now_ms().saturating_sub(i64::try_from(kept.as_millis()).unwrap_or(i64::MAX))
        };
        // A primary of another make can't say what it lacks.
        let keep = if matches!(self.primary, Primary::Paired(_)) { KEEP_GIVEN } else { Duration::ZERO };
        let (given_before_ms, refused_before_ms) = (before(keep), before(KEEP_REFUSED));
        loop {
            let old: Vec<u64> = {
                let given = self.core.given.lock();
                let is_old = given
                    .iter()
                    .filter(|(_, given)| given.at_ms < if given.refused { refused_before_ms } else { given_before_ms });
                is_old.map(|(id, _)| id).take(FORGOTTEN_AT_ONCE).collect()
            };
            if old.is_empty() {
                return;
            }
            let ids = old.clone();
            if let Err(error) = self.core.store.transact(move |tx| spool::forget_in(tx, &ids)).await {
                tracing::warn!(%error, "could not forget messages that the primary has");
                return;
            }
            let mut given = self.core.given.lock();
            for id in old {
                given.remove(id);
            }
        }
    }

    /// How it is.
    pub fn status(&self) -> RelayStatus {
        let core = &self.core;
        let connected = self.link.now();
        let list = core.list.read().clone();
        let age_ms = core.store.clock().now_ms().saturating_sub(core.confirmed_ms.load(Ordering::Relaxed));
        RelayStatus {
            primary: self.link.address.clone(),
            connected: connected.connected,
            why: connected.why,
            streams: connected.streams,
            backlog: self.backlog(),
            app_passwords: list.as_ref().map_or(0, |list| list.verifiers()),
            addresses: list.as_ref().map(|list| list.len()),
            list_age: list.map(|_| Duration::from_millis(u64::try_from(age_ms).unwrap_or(0))),
            full: !core.store.has_room(),
            revoked: core.revoked.load(Ordering::Relaxed),
        }
    }

    /// What waits.
    pub(crate) fn backlog(&self) -> Backlog {
        let (waiting, bytes, oldest, behind) = {
            let agenda = self.core.agenda.lock();
            (agenda.count(), agenda.bytes(), agenda.oldest(), agenda.behind())
        };
        let (left, given) = {
            let shrinking = self.core.shrinking.lock();
            (shrinking.left(Instant::now(), behind), shrinking.given())
        };
        let (refused, kept) = {
            let given = self.core.given.lock();
            (given.refused(), given.kept())
        };
        let oldest_ms = oldest.map(|id| i64::try_from(delivery::QueueId(id).time_ms()).unwrap_or_default());
        Backlog { waiting, bytes, oldest_ms, left, given, refused, kept }
    }

    /// Takes a list over, once it is verified and stored.
    pub(crate) fn take_list(&self, paired: &Paired, signed: &SignedList) -> io::Result<()> {
        let list = Recipients::read(signed, &paired.known.key()).map_err(io::Error::other)?;
        continuity::replace_file(&self.options.dir.join("list"), &signed.encode_to_vec())?;
        tracing::info!(addresses = list.len(), "the list of recipients has come");
        *self.core.list.write() = Some(Arc::new(list));
        *self.stored_ms.lock() = 0;
        self.confirm_list()
    }

    /// The primary says that the list is right.
    pub(crate) fn confirm_list(&self) -> io::Result<()> {
        let now_ms = self.core.store.clock().now_ms();
        self.core.confirmed_ms.store(now_ms, Ordering::Relaxed);
        let mut stored_ms = self.stored_ms.lock();
        if now_ms.saturating_sub(*stored_ms) >= CONFIRM_EVERY_MS {
            continuity::replace_file(&self.options.dir.join("list-confirmed"), now_ms.to_string().as_bytes())?;
            *stored_ms = now_ms;
        }
        Ok(())
    }

    /// The list that was stored.
    fn read_list(&self) -> io::Result<()> {
        let Primary::Paired(paired) = &self.primary else { return Ok(()) };
        let dir = &self.options.dir;
        let Some(bytes) = read(&dir.join("list"))? else { return Ok(()) };
        let list = SignedList::decode(bytes.as_slice())
            .map_err(|error| error.to_string())
            .and_then(|signed| Recipients::read(&signed, &paired.known.key()));
        match list {
            Ok(list) => *self.core.list.write() = Some(Arc::new(list)),
            // A new pairing: the new primary sends its own.
            Err(error) => tracing::warn!(error, "the stored list of recipients is not used"),
        }
        let confirmed = read(&dir.join("list-confirmed"))?.and_then(|text| String::from_utf8(text).ok());
        let confirmed_ms = confirmed.and_then(|text| text.trim().parse().ok()).unwrap_or_default();
        self.core.confirmed_ms.store(confirmed_ms, Ordering::Relaxed);
        Ok(())
    }
}

fn read(file: &Path) -> io::Result<Option<Vec<u8>>> {
    match std::fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", file.display()))),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(file: &Path) -> io::Result<Option<T>> {
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", file.display()));
    read(file)?.map(|bytes| serde_json::from_slice(&bytes).map_err(wrong)).transpose()
}

fn to_json(value: &impl Serialize) -> io::Result<Vec<u8>> {
    Ok(serde_json::to_vec_pretty(value)?)
}

/// Makes primary and relay know each other by a code.
async fn pair(keys: &Keys, address: &str, code: &PairingCode, name: &str) -> Result<Known, Error> {
    let mut stream = wired::connect(keys, address, Pin::Code(code.clone()), REACH_TIMEOUT).await?;
    let fingerprint = wired::peer_of(&stream)?;
    let ask = wire::Pair { secret: code.secret().to_vec(), name: name.to_owned() };
    wire::say(&mut stream, Kind::Pair(ask)).await?;
    match wire::read(&mut stream, wire::MAX_TOLD_BYTES).await? {
        Kind::Paired(paired) => Ok(Known { address: address.to_owned(), fingerprint, key: hex::encode(paired.key) }),
        Kind::Refused(no) => Err(Error::Refused(wired::name_of(&no.why))),
        other => Err(wire::unexpected(&other).into()),
    }
}
