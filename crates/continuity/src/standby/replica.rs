//! The standby's side: copies everything once, then follows, applies, and can be promoted.
//!
//! Its operations are in sibling modules: [`super::copy`] makes the first copy, [`super::follow`] receives new commits,
//! [`super::apply`] applies them when they are due, [`super::check`] checks consistency rules, [`super::compare`]
//! compares with the primary, [`super::promote`] promotes.

use std::{
    io,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use store::{RealmId, Seq, Store, StoreError, StoreOptions};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::link::Keys;

use super::{
    arrivals::Arrivals,
    brake::Brake,
    connect::{known, known_file, pair, state_dir, write_json},
    error::{Error, blocking},
    promote::Promotion,
    rejoin::{Rejoined, is_being_emptied, rejoin},
    rules::{Changed, Rules},
    tripwire::{Tripped, Tripwires, WireState},
};

/// How long running operations may keep a closed store in use.
const CLOSE_PATIENCE: Duration = Duration::from_secs(60);
/// Between two attempts to reach the primary.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));

/// How a standby follows.
#[derive(Debug, Clone)]
pub struct StandbyOptions {
    /// The data folder.
    pub dir: PathBuf,
    /// How the store is opened.
    pub store: StoreOptionsMaker,
    /// This machine's name.
    pub name: String,
    /// How long after it was committed a commit is applied. It is received at once.
    pub apply_delay: Duration,
    /// The tripwires.
    pub tripwires: Tripwires,
    /// The consistency rules of realms. Changes to an inconsistent realm are no longer applied.
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

/// How a standby is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// The current activity as text.
    pub doing: String,
    /// It follows the primary right now.
    pub connected: bool,
    /// The last commit that the primary spoke of.
    pub primary: Seq,
    /// Durable here.
    pub received: Seq,
    /// Applied here.
    pub applied: Seq,
    /// Everything that the primary had at this moment of this machine's clock is durable here, in milliseconds since 1970;
    /// not known before the primary was heard once.
    pub complete_ms: Option<i64>,
    /// By how much the primary's clock is ahead of this machine's, in milliseconds.
    pub primary_ahead_ms: i64,
    /// Applying waits for someone to look.
    pub tripped: Option<Tripped>,
    /// The last contact with the primary, by this machine's clock, in milliseconds since 1970.
    pub heard_ms: Option<i64>,
    /// This machine's disk is full: nothing is received until disk space is free.
    pub full: bool,
    /// Why nothing can be applied, while it is tried again.
    pub apply_fails: Option<String>,
    /// Realms with changes that can't be applied, and why.
    pub held: Vec<(RealmId, String)>,
    /// Damaged or missing bodies here that are not repaired yet.
    pub damaged: u64,
    /// The problem of the first of them; empty if there is none.
    pub first_damaged: String,
    /// Bodies repaired here since the process started.
    pub mended: u64,
}

impl Status {
    /// Commits that the primary has, as far as it was heard of, and this machine has not.
    pub const fn behind(&self) -> u64 {
        self.primary.0.saturating_sub(self.received.0)
    }
}

/// How [`Standby::run`] ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// It was shut down.
    Stopped,
    /// It is the primary now: open the folder as one.
    Promoted(Promotion),
}

/// A standby that follows.
pub struct Standby {
    pub(super) options: StandbyOptions,
    pub(super) keys: Keys,
    pub(super) store: Mutex<Option<Store>>,
    pub(super) status: watch::Sender<Status>,
    /// The changes that a tripwire holds back, and the released ones, stored in a file.
    pub(super) wire: Mutex<WireState>,
    pub(super) go_on: Notify,
    pub(super) promotion: Mutex<Option<Promotion>>,
    pub(super) promoted: CancellationToken,
    /// Following has ended: nothing more will be received.
    pub(super) cut: CancellationToken,
    /// Held while something is received.
    pub(super) receiving: Arc<Mutex<()>>,
    pub(super) arrivals: Mutex<Arrivals>,
    pub(super) changed: Changed,
    /// Stops applying at a commit for a reader.
    pub(super) brake: Brake,
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
        let was_primary = is_being_emptied(&dir) || (has_store && !Store::is_replica_at(&dir));
        if was_primary && !rejoins {
            return Err(Error::NotNow(format!(
                "{} contains the store of a primary: choose an empty folder, or add --rejoin to make this machine a \
                 standby; data that only it has is then saved to files",
                dir.display()
            )));
        }
        let before = known(&dir)?;
        let known = match (address, code, before.clone()) {
            (Some(address), Some(code), _) => pair(&keys, address, &code.parse()?, &options.name).await?,
            (None, Some(_), _) => return Err(Error::NotNow("--code also requires --primary HOST:PORT".to_owned())),
            (Some(address), None, Some(known)) => super::connect::Known { address: address.to_owned(), ..known },
            (None, None, Some(known)) => known,
            (_, None, None) => {
                return Err(Error::NotNow(
                    "this machine has no primary yet: run `holdfast standby code` on the primary, and here \
                     `holdfast standby --primary HOST:PORT --code CODE`"
                        .to_owned(),
                ));
            }
        };
        // A standby whose disk is full starts all the same.
        if before.as_ref() != Some(&known) {
            write_json(&known_file(&dir), &known)?;
        }
        let mut rejoined = None;
        if was_primary {
            rejoined = rejoin(&dir, (options.store.0)(), &known, &keys).await?;
            has_store = false;
        }
        let store = if has_store {
            let (dir, options) = (dir.clone(), (options.store.0)());
            Some(blocking(move || Store::open_replica(&dir, options)).await?)
        } else {
            None
        };
        let wire = if store.is_some() { WireState::read(&dir)? } else { WireState::default() };
        if let Some(tripped) = &wire.tripped {
            tracing::error!(commit = %tripped.seq, why = tripped.why, "a tripwire holds back changes: nothing is applied until an administrator decides");
        }
        let status = Status { tripped: wire.tripped.clone(), ..Status::default() };
        let standby = Self {
            options,
            keys,
            store: Mutex::new(store),
            status: watch::channel(status).0,
            wire: Mutex::new(wire),
            go_on: Notify::new(),
            promotion: Mutex::new(None),
            promoted: CancellationToken::new(),
            cut: CancellationToken::new(),
            receiving: Arc::default(),
            arrivals: Mutex::default(),
            changed: Changed::default(),
            brake: Brake::default(),
        };
        standby.refresh();
        Ok((Arc::new(standby), rejoined))
    }

    /// How it is.
    pub fn status(&self) -> Status {
        self.refresh();
        self.status.borrow().clone()
    }

    /// Resolves when following is over: other users of the store must let go of it then.
    pub async fn following_is_over(&self) {
        self.cut.cancelled().await;
    }

    /// The store, once there is one.
    pub fn store(&self) -> Option<Store> {
        self.store.lock().clone()
    }

    pub(super) fn refresh(&self) {
        let Some(store) = self.store() else { return };
        let (received, applied) = (store.seq(), store.applied().unwrap_or_default());
        let held: Vec<(RealmId, String)> =
            store.quarantined().into_iter().map(|(realm, why)| (realm, why.to_string())).collect();
        let (damaged, first_damaged) = store.damaged_bodies_in_short();
        let damaged = damaged as u64;
        self.status.send_if_modified(|status| {
            let changed = (status.received, status.applied) != (received, applied)
                || status.held != held
                || status.damaged != damaged;
            (status.received, status.applied) = (received, applied);
            status.held = held;
            status.damaged = damaged;
            status.first_damaged = first_damaged.unwrap_or_default();
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

    /// Stops receiving until disk space is free.
    pub(super) fn disk_is_full(&self) {
        let is_new = self.status.send_if_modified(|status| !std::mem::replace(&mut status.full, true));
        if is_new {
            tracing::error!("the disk is full: can't receive changes until disk space is free");
        }
        self.status.send_modify(|status| status.doing = "the disk is full: waiting for free disk space".to_owned());
    }

    /// Follows until it is shut down or promoted. A break is waited out; a primary whose log is another one is not.
    ///
    /// # Errors
    /// [`Error::Diverged`], [`Error::TooOld`], and those of this machine's disk.
    pub async fn run(self: &Arc<Self>, shutdown: &CancellationToken) -> Result<Ended, Error> {
        let applier = {
            let (standby, shutdown) = (self.clone(), shutdown.clone());
            tokio::spawn(async move { standby.keep_applying(&shutdown).await })
        };
        let stop_checking = shutdown.child_token();
        tokio::spawn(self.clone().check(stop_checking.clone()));
        tokio::spawn(self.clone().mend(stop_checking.clone()));
        tokio::spawn(self.clone().lend(stop_checking.clone()));
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
            let closed = tokio::task::spawn_blocking(move || {
                store.close();
                // What is under way on other threads (a look at a realm, a comparison) still has it open, and whoever serves
                // next could not open it.
                let patience = Instant::now() + CLOSE_PATIENCE;
                while store.handles() > 1 && Instant::now() < patience {
                    std::thread::sleep(Duration::from_millis(2));
                }
            });
            closed.await.map_err(io::Error::other)?;
        }
        Ok(self.promotion.lock().map_or(Ended::Stopped, Ended::Promoted))
    }

    async fn follow_on(self: &Arc<Self>, shutdown: &CancellationToken) -> Result<(), Error> {
        let mut pause = RETRY.0;
        loop {
            let ended = tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = self.cut.cancelled() => return Ok(()),
                ended = self.follow(|| pause = RETRY.0) => ended,
            };
            self.status.send_modify(|status| status.connected = false);
            match ended {
                Ok(()) => pause = RETRY.0,
                Err(error @ (Error::Diverged(_) | Error::TooOld { .. } | Error::Store(StoreError::Stopped { .. }))) => {
                    self.status.send_modify(|status| status.doing = format!("stopped: {error}"));
                    tracing::error!("stopped: {error}");
                    return Err(error);
                }
                Err(Error::Store(StoreError::Full)) => {
                    // In the first copy: nothing can be told to the primary yet.
                    self.disk_is_full();
                    tokio::select! {
                        () = tokio::time::sleep(RETRY.1) => {}
                        () = shutdown.cancelled() => return Ok(()),
                        () = self.cut.cancelled() => return Ok(()),
                    }
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
}

pub(super) fn gone() -> Error {
    Error::NotNow("lost the connection to the primary; try again".to_owned())
}
