//! Restoring behind open doors: the system's own realms first, and then the store serves. An account comes when someone
//! asks for it, else the most recently used first; a message's body when it is read; all the rest streams behind.
//!
//! What is asked for does not wait for what is only its turn. A stop at any moment costs nothing that has come: the same
//! restore goes on with it, and whatever was written since the doors opened is in the store's own log like any commit.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    path::{Path, PathBuf},
    pin::pin,
    sync::{Arc, mpsc::SyncSender},
    time::Duration,
};

use futures_util::{
    StreamExt as _,
    future::{BoxFuture, LocalBoxFuture},
    stream::{self, FuturesUnordered},
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use store::{BodyId, RealmCommit, RealmId, Restore, Seq, Store, StoreError, Wish as Wanted};
use tokio::sync::{Notify, oneshot, watch};
use tokio_util::sync::CancellationToken;

use super::{Point, READS, Source, Wish, bodies::Places, bodies::read_range, is_damage, taken_from};
use crate::archive::{
    ArchiveError, Event, Result, blocking,
    bodies::note_packs,
    format::{self, Manifest, RealmPart, SnapshotName},
    line::{Line, Parent, write_whole},
    snapshot::part_of,
};

/// Accounts that are brought at once when nobody asks.
const IN_TURN: usize = 2;
/// Accounts that are brought at once when people ask.
const ASKED_FOR: usize = 16;
/// After the archive could not be reached; doubled up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a body that is waited for is tried.
const BODY_TRIES: u32 = 5;
/// Bodies made durable together.
const SYNC_EVERY_BYTES: u64 = 64 << 20;

/// Where long work's [`Event`]s go, kept by a thread.
pub type Says = Arc<dyn Fn(Event) + Send + Sync>;
/// What a realm needs before people may use it; an error means that it can't be used.
pub type Prepare = Arc<dyn Fn(RealmId) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// How far it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Accounts that are there.
    pub accounts: u64,
    /// Accounts in all.
    pub accounts_total: u64,
    /// Message bodies that are there. Counted once all accounts are there; before that, those that were asked for.
    pub bodies: u64,
    /// Message bodies in all: about, before all accounts are there.
    pub bodies_total: u64,
    /// Bytes fetched from the archive by this process.
    pub fetched: u64,
    /// Why it does not go on at the moment.
    pub trouble: Option<String>,
    /// What can't be restored.
    pub lost: Vec<String>,
    /// Everything has come.
    pub done: bool,
    /// There is nothing left to do, whether or not everything has come.
    pub ended: bool,
}

/// What is written in the folder when its store may serve, so that the same restore goes on.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Plan {
    line: String,
    at_ms: Option<i64>,
    /// The snapshot's manifest; none when all comes from the log.
    base: Option<String>,
    seq: u64,
    chain: String,
    parent: Parent,
    time_ms: Option<i64>,
}

impl Plan {
    fn path(dir: &Path) -> PathBuf {
        dir.join("restore.json")
    }

    fn read(dir: &Path) -> Result<Option<Self>> {
        let path = Self::path(dir);
        match std::fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text)
                .map(Some)
                .map_err(|error| ArchiveError::damaged(path.display().to_string(), error)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ArchiveError::io(path.display())(error)),
        }
    }

    fn write(&self, dir: &Path) -> Result<()> {
        write_whole(&Self::path(dir), &serde_json::to_vec_pretty(self).expect("it is plain data"))
    }

    fn remove(dir: &Path) {
        if let Err(error) = std::fs::remove_file(Self::path(dir)) {
            tracing::warn!(%error, "restore.json is of no use any more and is still there");
        }
    }
}

/// A store that can serve, and where it stands.
pub struct Opened {
    /// The store. See [`Store::is_partial`].
    pub store: Store,
    /// The line that it goes on from.
    pub parent: Parent,
    /// The last commit's time, in milliseconds since 1970, where known.
    pub time_ms: Option<i64>,
    /// Whether it had served before it was stopped.
    pub resumed: bool,
    /// What has to be said: realms taken from elsewhere, commits that may be missing.
    pub notes: Vec<String>,
    /// Bytes fetched so far.
    pub fetched: u64,
}

struct Start {
    prepare: Prepare,
    stop: CancellationToken,
}

/// A restore that goes on behind.
pub struct Serving {
    /// How far it is.
    pub progress: watch::Receiver<Progress>,
    start: Option<oneshot::Sender<Start>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Serving {
    /// Brings what is missing, from now on until all has come or `stop`.
    pub fn start(&mut self, prepare: Prepare, stop: CancellationToken) {
        if let Some(start) = self.start.take() {
            let _ = start.send(Start { prepare, stop });
        }
    }

    /// Waits for the end of it. Blocks.
    pub fn join(&mut self) {
        self.start.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the restore has failed inside");
        }
    }
}

/// Restores as far as that the store can serve.
///
/// # Errors
/// As [`super::restore`].
pub async fn begin(wish: Wish, says: Says) -> Result<(Opened, Serving)> {
    let (opened, open) = oneshot::channel();
    let (start, started) = oneshot::channel();
    let (progress, watching) = watch::channel(Progress::default());
    // A thread of its own: those who wait for a body must not keep it from coming.
    let thread = std::thread::Builder::new()
        .name("restore".to_owned())
        .spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(work(wish, says, opened, started, progress)),
                Err(error) => drop(opened.send(Err(ArchiveError::io("the restore's thread")(error)))),
            }
        })
        .map_err(ArchiveError::io("the restore's thread"))?;
    let opened = match open.await {
        Ok(opened) => opened?,
        Err(_) => return Err(ArchiveError::Stopped),
    };
    Ok((opened, Serving { progress: watching, start: Some(start), thread: Some(thread) }))
}

async fn work(
    wish: Wish,
    says: Says,
    opened: oneshot::Sender<Result<Opened>>,
    started: oneshot::Receiver<Start>,
    progress: watch::Sender<Progress>,
) {
    let first = match Box::pin(first_part(wish, &*says)).await {
        Ok(first) => first,
        Err(error) => return drop(opened.send(Err(error))),
    };
    let First { source, manifest, store, plan, recent, resumed, notes } = first;
    let said = Opened {
        store: store.clone(),
        parent: plan.parent.clone(),
        time_ms: plan.time_ms,
        resumed,
        notes,
        fetched: source.fetched(),
    };
    if opened.send(Ok(said)).is_err() {
        return;
    }
    let Ok(Start { prepare, stop }) = started.await else { return };
    let behind =
        Behind { source, manifest, store, plan, prepare, progress, places: Mutex::default(), changed: Notify::new() };
    behind.run(recent.into_iter(), stop).await;
}

struct First<'a> {
    source: Source<'a>,
    manifest: Option<Manifest>,
    store: Store,
    plan: Plan,
    /// Accounts with commits after the snapshot, the last written first: logins are noted too.
    recent: Vec<RealmId>,
    resumed: bool,
    notes: Vec<String>,
}

async fn first_part(mut wish: Wish, say: crate::archive::Say<'_>) -> Result<First<'_>> {
    let plan = Plan::read(&wish.dir)?;
    if let Some(plan) = &plan {
        if plan.at_ms != wish.at_ms || wish.line.as_ref().is_some_and(|line| *line != plan.line) {
            return Err(ArchiveError::Setting(format!(
                "{} is being restored from line {} and another moment: give the same --line and --at, or empty the \
                 folder",
                wish.dir.display(),
                plan.line
            )));
        }
        // What this store has shipped since is a line too.
        wish.line = Some(plan.line.clone());
    }
    let mut source = Source::open(wish, say).await?;
    if let Some(plan) = plan {
        let (dir, options, mark) = (source.wish.dir.clone(), source.wish.options.clone(), source.mark());
        if let Some(store) = blocking(move || Store::open_partial(&dir, options, &mark)).await? {
            source.begin_with(plan.base.as_deref())?;
            let (_, manifest) = source.base().await?;
            let manifest = manifest.map(|(_, manifest)| manifest);
            return Ok(First { source, manifest, store, plan, recent: Vec::new(), resumed: true, notes: Vec::new() });
        }
    }
    let (dir, options, mark) = (source.wish.dir.clone(), source.wish.options.clone(), source.mark());
    let restore = blocking(move || Restore::begin(&dir, options, &mark)).await?;
    let (base, found) = source.base().await?;
    let (mut from, mut lost, mut notes) = (HashMap::<RealmId, Seq>::new(), Vec::new(), Vec::new());
    let mut absent: HashSet<RealmId> = HashSet::new();
    for part in found.iter().flat_map(|(_, manifest)| &manifest.realms) {
        let realm = RealmId::from_raw(part.realm);
        if realm.account_number().is_some() {
            absent.insert(realm);
            from.insert(realm, Seq(part.at));
            continue;
        }
        let filler = restore.filler();
        let fill = move |realm| {
            let filler = filler.clone();
            move |seq, digest, records| filler.realm(realm, seq, digest, records)
        };
        match source.realm_from_anywhere(realm, &fill).await {
            Ok((at, said)) => {
                from.insert(realm, at);
                notes.extend(said);
            }
            Err(error) if is_damage(&error) => {
                lost.push(format!("{realm}: {error}, and no older snapshot has it"));
                from.insert(realm, Seq(u64::MAX));
            }
            Err(error) => return Err(error),
        }
    }
    let start = from.values().copied().filter(|at| *at < Seq(u64::MAX)).min().unwrap_or(base.seq).min(base.seq);
    let mut recent: Vec<RealmId> = Vec::new();
    let log = source
        .scan_log(start, base, None, &mut |commit| {
            for part in &commit.realms {
                let realm = part.realm();
                if commit.seq() <= from.get(&realm).copied().unwrap_or(base.seq) {
                    continue;
                }
                if realm.account_number().is_some() {
                    absent.insert(realm);
                    recent.push(realm);
                    restore.keep_for_later(commit.seq(), part)?;
                    continue;
                }
                match restore.apply(commit.seq(), part) {
                    Ok(()) => {}
                    Err(StoreError::Damaged { what }) => {
                        lost.push(what);
                        from.insert(realm, Seq(u64::MAX));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            Ok(())
        })
        .await?;
    if log.next <= base.seq {
        lost.push(format!("the log from commit {start} to {} is not whole", base.seq));
    }
    if source.wish.at_ms.is_none() {
        lost.extend(log.missing.clone());
    }
    notes.extend(log.uncertain.clone());
    let point = log.last.map_or(base, |last| Point { epoch: base.epoch.max(last.epoch), ..last });
    if point.seq == Seq(0) {
        return Err(source.nothing_then());
    }
    if !lost.is_empty() && !source.wish.without_damaged {
        return Err(source.damaged_in_all(&lost));
    }
    notes.extend(lost);
    let parent = source.parent(point);
    let plan = Plan {
        line: source.line.clone(),
        at_ms: source.wish.at_ms,
        base: found.as_ref().map(|(name, _)| name.manifest()),
        seq: point.seq.0,
        chain: hex::encode(point.chain),
        parent: parent.clone(),
        time_ms: point.time_ms,
    };
    let (dir, now_ms, noted) = (source.wish.dir.clone(), source.wish.options.clock.now_ms(), plan.clone());
    let store = blocking(move || -> Result<Store> {
        Line::begin(&dir, now_ms, parent)?;
        noted.write(&dir)?;
        let absent: Vec<RealmId> = absent.into_iter().collect();
        Ok(restore.serve(point.seq, point.chain, point.epoch + 1, &absent)?)
    })
    .await?;
    recent.reverse();
    let manifest = found.map(|(_, manifest)| manifest);
    Ok(First { source, manifest, store, plan, recent, resumed: false, notes })
}

impl Source<'_> {
    /// Looks only at a snapshot that was chosen before, and at older ones.
    fn begin_with(&mut self, base: Option<&str>) -> Result<()> {
        let manifests = self.manifests.get_mut();
        let Some(base) = base else {
            manifests.older.clear();
            return Ok(());
        };
        let name: SnapshotName =
            base.parse().map_err(|()| ArchiveError::damaged("restore.json", format!("the snapshot {base}")))?;
        let Some(at) = manifests.older.iter().position(|listed| listed.name == name) else {
            return Err(ArchiveError::Nothing(format!(
                "{}: the snapshot {base}, from which this restore began, is gone: empty the folder and begin anew",
                self.wish.target.name()
            )));
        };
        manifests.older.drain(..at);
        Ok(())
    }

    /// A realm from the newest snapshot that has it whole. Gives where the log after it begins, and what to say if it
    /// was not the newest.
    async fn realm_from_anywhere<F, G>(&self, realm: RealmId, fill: &F) -> Result<(Seq, Option<String>)>
    where
        F: Fn(RealmId) -> G + Sync,
        G: FnOnce(store::RealmSeq, store::Digest, super::Records) -> Result<()> + Send + 'static,
    {
        let mut number = 0;
        let mut first: Option<ArchiveError> = None;
        while let Some((at, manifest)) = self.elsewhere(realm, &mut number).await? {
            let part: Option<&RealmPart> = manifest.as_ref().and_then(|manifest| part_of(manifest, realm));
            if let (Some(manifest), Some(part)) = (&manifest, part)
                && let Err(error) = self.realm(manifest, part, fill(realm)).await
            {
                if !is_damage(&error) {
                    return Err(error);
                }
                self.line_out(format!("{realm}: {error}"));
                first.get_or_insert(error);
                continue;
            }
            let said = first.map(|error| format!("{realm}: taken from {} ({error})", taken_from(at)));
            if let Some(said) = &said {
                self.line_out(said);
            }
            return Ok((at, said));
        }
        Err(first.unwrap_or_else(|| ArchiveError::damaged(realm.to_string(), "no snapshot has it")))
    }
}

/// What comes behind.
struct Behind<'a> {
    source: Source<'a>,
    manifest: Option<Manifest>,
    store: Store,
    plan: Plan,
    prepare: Prepare,
    progress: watch::Sender<Progress>,
    places: Mutex<Places>,
    /// More of the places is known.
    changed: Notify,
}

impl Behind<'_> {
    async fn run(&self, order: impl Iterator<Item = RealmId>, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => {}
            () = self.bring_all(order) => {}
        }
        self.tell(|progress| progress.ended = true);
    }

    fn tell(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|progress| {
            progress.fetched = self.source.fetched();
            change(progress);
        });
    }

    async fn bring_all(&self, order: impl Iterator<Item = RealmId>) {
        let mut wishes = self.store.wishes();
        let absent: Vec<RealmId> = match self.store.absent() {
            Ok(absent) => absent.into_iter().map(|(realm, _)| realm).collect(),
            Err(error) => return self.tell(|progress| progress.trouble = Some(error.to_string())),
        };
        let mut left: HashSet<RealmId> = absent.iter().copied().collect();
        let mut seen = HashSet::new();
        let mut todo: VecDeque<RealmId> =
            order.chain(absent.iter().copied()).filter(|realm| left.contains(realm) && seen.insert(*realm)).collect();
        let accounts = self.store.realms().into_iter().filter(|realm| realm.account_number().is_some());
        let there = accounts.filter(|realm| !left.contains(realm)).count() as u64;
        self.tell(|progress| {
            progress.accounts = there;
            progress.accounts_total = there + left.len() as u64;
            progress.bodies_total = self.manifest.as_ref().map_or(0, |manifest| manifest.bodies);
        });
        let mut realms: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut bodies: FuturesUnordered<LocalBoxFuture<'_, ()>> = FuturesUnordered::new();
        let mut places = pin!(self.all_places());
        let mut places_read = false;
        let mut rest = pin!(self.rest());
        loop {
            while realms.len() < IN_TURN
                && let Some(realm) = todo.pop_front()
            {
                if left.remove(&realm) {
                    realms.push(Box::pin(self.realm(realm)));
                }
            }
            let all_there = realms.is_empty() && todo.is_empty();
            tokio::select! {
                biased;
                wish = wishes.recv() => match wish {
                    Some(Wanted::Realm(realm)) if realms.len() < ASKED_FOR => {
                        if left.remove(&realm) {
                            realms.push(Box::pin(self.realm(realm)));
                        }
                    }
                    Some(Wanted::Realm(realm)) => todo.push_front(realm),
                    Some(Wanted::Body(id, told)) => bodies.push(Box::pin(self.body(id, told))),
                    None => return,
                },
                Some(()) = bodies.next(), if !bodies.is_empty() => {}
                Some(()) = realms.next(), if !realms.is_empty() => {}
                () = &mut places, if !places_read => places_read = true,
                () = &mut rest, if all_there => return,
            }
        }
    }

    /// Tries until the archive answers.
    async fn insist<T>(&self, what: &str, work: impl AsyncFn() -> Result<T>) -> Result<T> {
        let mut pause = FIRST_PAUSE;
        loop {
            match work().await {
                Err(error @ ArchiveError::Target { .. }) if !is_damage(&error) => {
                    tracing::warn!(%error, what, "the restore will try it again");
                    self.tell(|progress| progress.trouble = Some(error.to_string()));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                other => {
                    self.progress.send_if_modified(|progress| progress.trouble.take().is_some());
                    return other;
                }
            }
        }
    }

    async fn all_places(&self) {
        let read = self
            .insist("reading where the messages lie", async || {
                *self.places.lock() = Places::default();
                self.source.read_places(&self.places, &self.changed).await
            })
            .await;
        if let Err(error) = read {
            self.lost(format!("where the messages lie: {error}"));
            self.places.lock().complete = true;
            self.changed.notify_waiters();
        }
    }

    fn lost(&self, what: String) {
        self.source.line_out(format!("LOST: {what}"));
        tracing::error!(what, "can't be restored");
        self.tell(|progress| progress.lost.push(what));
    }

    /// Brings an account, and lets people use it.
    async fn realm(&self, realm: RealmId) {
        let outcome = self.insist("an account", async || self.try_realm(realm).await).await;
        match outcome {
            Ok(()) => {
                self.tell(|progress| progress.accounts += 1);
                let now = self.progress.borrow().clone();
                let (done, total) = (now.accounts, now.accounts_total);
                (self.source.say)(Event::Progress { what: "accounts", done, total });
            }
            Err(error) => {
                let why = error.to_string();
                self.lost(format!("{realm}: {why}"));
                if self.source.wish.without_damaged {
                    let store = self.store.clone();
                    if let Err(error) = blocking(move || store.leave_out_realm(realm, &why)).await {
                        tracing::error!(%realm, %error, "it can't be left out");
                    }
                } else {
                    self.store.give_up_realm(realm, &why);
                }
            }
        }
    }

    async fn try_realm(&self, realm: RealmId) -> Result<()> {
        if !self.store.absent()?.contains(&(realm, true)) {
            self.bring(realm).await?;
        }
        (self.prepare)(realm).await.map_err(|error| ArchiveError::damaged(realm.to_string(), error))?;
        let store = self.store.clone();
        blocking(move || store.admit_realm(realm)).await?;
        Ok(())
    }

    /// An account's records, from wherever they are whole.
    async fn bring(&self, realm: RealmId) -> Result<()> {
        let newest = self.manifest.as_ref().and_then(|manifest| Some((manifest, part_of(manifest, realm)?)));
        let error = match newest {
            Some((manifest, part)) => {
                let store = self.store.clone();
                let fill = move |seq, digest, records| store.bring_realm(realm, (seq, digest), records, None);
                match self.source.realm(manifest, part, fill).await {
                    Err(error) if is_damage(&error) => error,
                    other => return other,
                }
            }
            None => {
                // Made after the snapshot: all of it is in the log.
                let store = self.store.clone();
                let nothing = std::iter::empty::<Result<(Vec<u8>, Vec<u8>)>>();
                return blocking(move || store.bring_realm(realm, Default::default(), nothing, None)).await;
            }
        };
        self.source.line_out(format!("{realm}: {error}"));
        let mut number = 1;
        while let Some((at, older)) = self.source.elsewhere(realm, &mut number).await? {
            let after = self.commits_of(realm, at).await?;
            let store = self.store.clone();
            let outcome = match older.as_ref().and_then(|older| Some((older, part_of(older, realm)?))) {
                Some((older, part)) => {
                    let fill =
                        move |seq, digest, records| store.bring_realm(realm, (seq, digest), records, Some(after));
                    self.source.realm(older, part, fill).await
                }
                None => {
                    let nothing = std::iter::empty::<Result<(Vec<u8>, Vec<u8>)>>();
                    blocking(move || store.bring_realm(realm, Default::default(), nothing, Some(after))).await
                }
            };
            match outcome {
                Ok(()) => {
                    self.source.line_out(format!("{realm}: taken from {} ({error})", taken_from(at)));
                    return Ok(());
                }
                Err(error) if is_damage(&error) => self.source.line_out(format!("{realm}: {error}")),
                Err(error) => return Err(error),
            }
        }
        Err(error)
    }

    /// What commits after `at` wrote in a realm, up to where this store began.
    async fn commits_of(&self, realm: RealmId, at: Seq) -> Result<Vec<(Seq, RealmCommit)>> {
        let base = self.manifest.as_ref().map_or(Point::default(), |manifest| Point {
            seq: Seq(manifest.seq),
            chain: manifest.chain().unwrap_or_default(),
            ..Point::default()
        });
        let mut found = Vec::new();
        let end = Seq(self.plan.seq);
        let log = self
            .source
            .scan_log(at, base, Some(end), &mut |commit| {
                found.extend(
                    commit.realms.iter().filter(|part| part.realm() == realm).map(|part| (commit.seq(), part.clone())),
                );
                Ok(())
            })
            .await?;
        if log.next <= end {
            return Err(ArchiveError::damaged(realm.to_string(), format!("its log after commit {at} is not whole")));
        }
        Ok(found)
    }

    /// Brings a body that someone waits for.
    async fn body(&self, id: BodyId, told: SyncSender<store::Result<()>>) {
        let mut tries = 0;
        let outcome = loop {
            tries += 1;
            match self.try_body(id).await {
                Err(error) if tries < BODY_TRIES => {
                    tracing::warn!(%error, "a message that someone reads");
                    tokio::time::sleep(FIRST_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(%id, %error, "a message that someone reads can't be fetched");
                    break Err(StoreError::BodyMissing { id });
                }
                Ok(()) => {
                    self.tell(|progress| progress.bodies += 1);
                    break Ok(());
                }
            }
        };
        // Whoever waited may have gone.
        let _ = told.send(outcome);
    }

    async fn try_body(&self, id: BodyId) -> Result<()> {
        let (pack, body) = loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            {
                let places = self.places.lock();
                if let Some(found) = places.of(&id) {
                    break found;
                }
                if places.complete {
                    return Err(ArchiveError::damaged(id.to_string(), "no pack has it"));
                }
            }
            changed.await;
        };
        let wanted = Mutex::new(HashSet::from([id]));
        let (pack, mut read) = read_range(&self.source, &pack, vec![body], &wanted).await?;
        let (_, bytes) = read.pop().ok_or_else(|| ArchiveError::damaged(id.to_string(), "it is not there"))?;
        let (store, target, bytes) = (self.store.clone(), self.source.wish.target.clone(), bytes?);
        blocking(move || {
            store.put_body(&bytes)?;
            note_packs(&store, &target, &[(id, format::hash_of_pack(&pack).to_owned())])
        })
        .await
    }

    /// Brings all bodies that are missing, and says that the store is whole.
    async fn rest(&self) {
        let outcome = self.insist("the messages", async || self.try_rest().await).await;
        match outcome {
            Ok(missing) => {
                for what in missing {
                    self.lost(what);
                }
            }
            Err(error) => return self.tell(|progress| progress.trouble = Some(error.to_string())),
        }
        if !self.progress.borrow().lost.is_empty() && !self.source.wish.without_damaged {
            return;
        }
        let store = self.store.clone();
        let completed = blocking(move || {
            store.complete()?;
            Plan::remove(store.dir());
            Ok::<_, StoreError>(())
        })
        .await;
        match completed {
            Ok(()) => self.tell(|progress| progress.done = true),
            Err(error) => {
                tracing::error!(%error, "all is restored, and the folder could not be made an ordinary one");
                self.tell(|progress| progress.trouble = Some(error.to_string()));
            }
        }
    }

    /// Gives the bodies that are nowhere, by realm and name.
    async fn try_rest(&self) -> Result<Vec<String>> {
        loop {
            let changed = self.changed.notified();
            if self.places.lock().complete {
                break;
            }
            changed.await;
        }
        let store = self.store.clone();
        let (needed, total) = blocking(move || -> Result<_> {
            let (mut needed, mut total) = (HashMap::new(), 0_u64);
            for realm in store.realms() {
                for id in store.bodies_of(realm)? {
                    total += 1;
                    if !store.has_body(&id)? {
                        needed.entry(id).or_insert(realm);
                    }
                }
            }
            Ok((needed, total))
        })
        .await?;
        let ids: HashSet<BodyId> = needed.keys().copied().collect();
        let (ranges, nowhere) = self.places.lock().ranges(&ids);
        self.tell(|progress| (progress.bodies, progress.bodies_total) = (total - ids.len() as u64, total));
        let wanted = Mutex::new(ids);
        let mut problems: HashMap<BodyId, String> =
            nowhere.into_iter().map(|id| (id, "no pack has it".to_owned())).collect();
        let mut packs = Vec::new();
        let mut unsynced = 0;
        let mut reads = pin!(
            stream::iter(ranges)
                .map(|(pack, bodies)| {
                    let wanted = &wanted;
                    async move { read_range(&self.source, &pack, bodies, wanted).await }
                })
                .buffer_unordered(READS)
        );
        while let Some(read) = reads.next().await {
            let (pack, read) = read?;
            let store = self.store.clone();
            let (kept, failed) = blocking(move || -> Result<_> {
                let (mut kept, mut failed) = (Vec::new(), Vec::new());
                for (id, outcome) in read {
                    match outcome {
                        // It may have been read, or written anew, meanwhile.
                        Ok(bytes) => {
                            if !store.has_body(&id)? {
                                store.put_body(&bytes)?;
                            }
                            kept.push((id, bytes.len() as u64));
                        }
                        Err(error) => failed.push((id, error.to_string())),
                    }
                }
                Ok((kept, failed))
            })
            .await?;
            problems.extend(failed);
            let mut count = 0;
            for (id, bytes) in kept {
                count += u64::from(wanted.lock().remove(&id));
                unsynced += bytes;
                packs.push((id, format::hash_of_pack(&pack).to_owned()));
            }
            if unsynced > SYNC_EVERY_BYTES {
                unsynced = 0;
                self.keep(std::mem::take(&mut packs)).await?;
            }
            self.tell(|progress| progress.bodies += count);
            let now = self.progress.borrow().clone();
            (self.source.say)(Event::Progress { what: "messages", done: now.bodies, total: now.bodies_total });
        }
        self.keep(packs).await?;
        let wanted = wanted.lock();
        let why = |id: &BodyId| problems.get(id).map_or("no pack has it", String::as_str);
        Ok(wanted.iter().map(|id| format!("{}: body {id}: {}", needed[id], why(id))).collect())
    }

    async fn keep(&self, packs: Vec<(BodyId, String)>) -> Result<()> {
        let (store, target) = (self.store.clone(), self.source.wish.target.clone());
        blocking(move || {
            store.sync_bodies()?;
            note_packs(&store, &target, &packs)
        })
        .await
    }
}
