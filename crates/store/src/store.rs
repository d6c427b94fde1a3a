//! The store as a whole: opening, catching up, handing out.

mod catch_up;
mod format;

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    BodyId, BodyReader, BodyWriter, Clock, Damaged, Follower, RealmId, RealmSeq, Result, Seq, Snapshot, StagedBody,
    StoreError, StoreOptions, Ticket, Tx,
    body::Packs,
    checkpoint,
    damage::{Findings, Tally},
    follow::Tail,
    hooks::{Closed, Hooks, OnCommit},
    index::{FjallIndex, IndexEngine, IndexView, Quarantine, Space, meta},
    lock::Lock,
    log::{Around, Chain, CommitLog as _, Commits, InSegments, Log},
    marks,
    options::Role,
    partial::Partial,
    rebuild,
    room::Room,
    watchers::Watchers,
    witness::Witness,
    writer::{Parts, Writer},
};

use catch_up::{Opening, catch_up};
pub use format::FORMAT;
pub(crate) use format::{check_format, found_format, write_format};

/// A store, open. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub dir: PathBuf,
    pub options: StoreOptions,
    /// The log, for who reads it.
    pub commits: Arc<dyn Commits>,
    pub index: Arc<dyn IndexEngine>,
    pub packs: Arc<Packs>,
    pub room: Arc<Room>,
    pub quarantine: Arc<Quarantine>,
    pub findings: Arc<Findings>,
    /// The segment of the log in which something damaged was gone around when it was opened.
    pub opened_around: Option<String>,
    pub partial: Arc<Partial>,
    pub watchers: Arc<Watchers>,
    pub tail: Arc<Tail>,
    pub writer: Writer,
    pub witness: Witness,
    is_new: bool,
    /// Held by maintenance tasks: one at a time.
    pub maintenance: Mutex<()>,
    /// Held by what applies received commits: one at a time.
    pub applier: Mutex<()>,
    lock: Mutex<Option<Arc<Lock>>>,
    closed: AtomicBool,
}

impl Store {
    /// Opens the store in `dir`, making it first when there is none. Takes the folder's lock, catches the index up
    /// from the log, cuts off a torn tail that was never acknowledged. An index that can't be used (power that goes may
    /// leave one) is built anew from checkpoint and log, as by [`crate::rebuild_index`].
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NewerFormat`], [`StoreError::Damaged`] when the log ends before a witness
    /// says it may or does not follow from itself: nothing is changed then.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self> {
        let lock = Self::claim(dir, &options)?;
        let why = match Self::open_index(dir, options.clone(), lock.clone()) {
            Ok(store) => return Ok(store),
            Err(Opening::Index(why)) => why,
            Err(Opening::Other(error)) => return Err(error),
        };
        tracing::error!(%why, "the index can't be used: rebuilding it from checkpoint and log");
        let said = |what: &str, done: u64, all: u64| tracing::info!("rebuilding the index: {what} {done} of {all}");
        let rebuilt = rebuild::rebuild(dir, &options, &mut { said }).map_err(|second| not_rebuilt(&why, second))?;
        metrics::counter!("holdfast_store_index_rebuilt_total").increment(1);
        tracing::warn!(commits = rebuilt.commits, seq = %rebuilt.seq, "rebuilt the index");
        Self::open_index(dir, options, lock).map_err(Opening::into_error)
    }

    /// As [`Store::open`], but an unusable index is an error: for commands that report damage.
    pub(crate) fn open_as_it_is(dir: &Path, options: StoreOptions) -> Result<Self> {
        let lock = Self::claim(dir, &options)?;
        Self::open_index(dir, options, lock).map_err(Opening::into_error)
    }

    /// The current owner of a data folder as text; none if there is none. Changes nothing.
    pub fn owner_at(dir: &Path) -> Option<String> {
        match Lock::take_unchanged(dir) {
            Err(StoreError::Locked { pid: Some(pid), .. }) => Some(format!("process {pid}")),
            Err(StoreError::Locked { pid: None, .. }) => Some("another process".to_owned()),
            _ => None,
        }
    }

    /// Makes the folder this process's, and sees that it may be.
    fn claim(dir: &Path, options: &StoreOptions) -> Result<Arc<Lock>> {
        options.disk.create_dir(dir).map_err(StoreError::io(dir.display().to_string()))?;
        let lock = Lock::take(dir)?;
        marks::check_finished(dir)?;
        marks::check_may_write(dir)?;
        check_format(dir)?;
        Ok(Arc::new(lock))
    }

    fn open_index(dir: &Path, options: StoreOptions, lock: Arc<Lock>) -> Result<Self, Opening> {
        let index = FjallIndex::open(&dir.join("index"), &options).map_err(Opening::of_index)?;
        Self::try_open_on(dir, options, Arc::new(index), Some(lock), Role::Whole)
    }

    /// Opens a store whose index is open. Without a lock nothing keeps others out of the folder: for simulated disks.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub(crate) fn open_on(
        dir: &Path,
        options: StoreOptions,
        index: Arc<dyn IndexEngine>,
        lock: Option<Arc<Lock>>,
        role: Role,
    ) -> Result<Self> {
        Self::try_open_on(dir, options, index, lock, role).map_err(Opening::into_error)
    }

    fn try_open_on(
        dir: &Path,
        options: StoreOptions,
        index: Arc<dyn IndexEngine>,
        lock: Option<Arc<Lock>>,
        role: Role,
    ) -> Result<Self, Opening> {
        let is_replica = role == Role::Replica;
        let (applied, chain, cursors) = index_head(&*index.view()).map_err(Opening::of_index)?;
        let partial = Arc::new(Partial::load(&*index.view(), role == Role::Partial).map_err(Opening::of_index)?);
        let checkpoints = checkpoint::open(&*options.disk, &dir.join("checkpoints"))?;
        let witness_file = Witness::open(options.disk.clone(), dir)?;
        let seen = cursors.iter().map(|(_, seq)| *seq).chain(checkpoints).chain(witness_file.seen());
        let witness = seen.max().unwrap_or_default().max(applied);
        let anchor = (applied, chain);
        let (log, around) = Log::open(options.disk.clone(), &dir.join("log"), witness, anchor, options.segment_bytes)?;
        let log_is_empty = log.next() == Seq(1);
        catch_up(&options, dir, &*index, applied, chain, !is_replica)?;
        if around.is_some() {
            // What the log has lost is held by the index alone.
            index.persist()?;
        }
        let room = options.room(dir);
        let tally = Arc::new(Tally::default());
        let findings = find_damage(&index, around.as_ref(), &tally).map_err(Opening::of_index)?;
        let packs = Packs::open(room.clone(), &dir.join("packs"), index.clone(), options.pack_bytes, tally.clone())?;
        let packs = Arc::new(packs);
        let quarantine = Arc::new(Quarantine::load(index.clone(), tally).map_err(Opening::of_index)?);
        let watchers = Arc::new(Watchers::new(Hooks::new(options.derive.clone())));
        let tail = Arc::new(Tail::new(Seq(log.next().0 - 1)));
        let commits = Arc::new(InSegments { disk: options.disk.clone(), dir: dir.join("log") });
        let parts = Parts {
            log: Box::new(log),
            index: index.clone(),
            bodies: packs.clone(),
            quarantine: quarantine.clone(),
            findings: findings.clone(),
            partial: partial.clone(),
            watchers: watchers.clone(),
            tail: tail.clone(),
            clock: options.clock.clone(),
            lock: lock.clone(),
            room: room.clone(),
        };
        let writer = Writer::start(parts, meta::epoch(&*index.view())?, is_replica.then(|| dir.to_owned()))?;
        witness_file.begin()?;
        let inner = Inner {
            dir: dir.to_owned(),
            witness: witness_file,
            is_new: witness == Seq(0) && log_is_empty,
            options,
            commits,
            index,
            packs,
            room,
            quarantine,
            findings,
            opened_around: around.map(|around| format!("log/{}", around.name)),
            partial,
            watchers,
            tail,
            writer,
            maintenance: Mutex::new(()),
            applier: Mutex::new(()),
            lock: Mutex::new(lock),
            closed: AtomicBool::new(false),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Finishes what was submitted, writes the index out and gives the folder back. Later transactions fail with
    /// [`StoreError::Stopped`]; reads still work. Does nothing the second time.
    pub fn close(&self) {
        self.give_back(true);
    }

    /// The same, but a folder whose last stop was not in order still says so: for a caller that has not checked it.
    pub fn leave(&self) {
        self.give_back(self.was_closed_in_order());
    }

    fn give_back(&self, in_order: bool) {
        self.inner.writer.stop();
        let mut lock = self.inner.lock.lock();
        if self.inner.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.inner.index.persist() {
            tracing::warn!(%error, "could not flush the index; the next start replays the log");
        }
        if in_order
            && self.stopped().is_none()
            && let Err(error) = self.inner.witness.close(self.seq())
        {
            tracing::warn!(%error, "could not record the clean shutdown; the next start runs checks first");
        }
        lock.take();
    }

    /// How many there are of this handle and its clones: the folder can be opened again once the last one is gone.
    pub fn handles(&self) -> usize {
        Arc::strong_count(&self.inner)
    }

    /// All realms as they are now.
    pub fn snapshot(&self) -> Snapshot {
        // Asked first: what has come since is in the view.
        let partial = self.is_partial().then(|| self.inner.partial.clone());
        Snapshot::new(self.inner.index.view(), self.inner.quarantine.clone(), partial)
    }

    /// Runs a closure on the writer thread and commits what it wrote, atomically over all realms it wrote to. Closures
    /// run one after another, each sees all before it; many share one sync. They must be quick and must not wait. An
    /// error from the closure writes nothing.
    ///
    /// Blocks the caller while more than [`crate::writer::MAX_WAITING`] transactions wait.
    pub fn transact<T, E, F>(&self, work: F) -> Ticket<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.inner.writer.submit(false, work)
    }

    /// The same, acknowledged once it is durable on this machine, also where acknowledgements wait for another one
    /// ([`Store::hold_acknowledgements`]): for what may be lost with this machine, and must not keep people from reading.
    pub fn transact_here<T, E, F>(&self, work: F) -> Ticket<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
    {
        self.inner.writer.submit(true, work)
    }

    /// Keeps a body's bytes, for commits to refer to.
    pub fn put_body(&self, bytes: &[u8]) -> Result<StagedBody> {
        let mut writer = self.body_writer()?;
        std::io::Write::write_all(&mut writer, bytes).map_err(StoreError::io("body"))?;
        writer.finish()
    }

    /// Stores a body from a stream, in constant memory.
    pub fn body_writer(&self) -> Result<BodyWriter> {
        Ok(BodyWriter::new(self.inner.packs.clone()))
    }

    /// A body, to be read in whole or in part. One that is damaged here is asked for elsewhere, when there is someone to
    /// ask, and waited for up to [`crate::RESCUE_WAIT`].
    ///
    /// # Errors
    /// [`StoreError::BodyMissing`], [`StoreError::BodyDamaged`]; [`StoreError::NotRestored`] after a minute.
    pub fn body(&self, id: &BodyId) -> Result<BodyReader> {
        match self.body_or_rescued(id) {
            Err(StoreError::BodyMissing { .. }) if self.is_partial() => self.awaited_body(id),
            other => other,
        }
    }

    /// The commits from `from` on: those in the log first, then each as it becomes durable.
    ///
    /// # Errors
    /// [`StoreError::NotRetained`].
    pub fn follow(&self, from: Seq) -> Result<Follower> {
        Follower::open(self.inner.commits.clone(), from, self.inner.tail.clone())
    }

    /// Told of each commit of the realm after it is durable and readable.
    pub fn watch(&self, realm: RealmId) -> watch::Receiver<RealmSeq> {
        let now = self.snapshot().realm_state(realm).map_or(RealmSeq(0), |state| state.seq);
        self.inner.watchers.subscribe(realm, now)
    }

    /// Has each commit that adds to a realm ask whether the realm is closed: it is refused with
    /// [`StoreError::RealmClosed`] then, from every caller. Takes the place of what was set before.
    pub fn close_realms(&self, closed: Closed) {
        self.inner.watchers.hooks.close_realms(closed);
    }

    /// Calls `told` with each commit from now on. See [`OnCommit`].
    pub fn on_commit(&self, told: OnCommit) {
        self.inner.watchers.hooks.tell(told);
    }

    /// The realms that have commits, also those of which the index can't say how far they are: they are damaged, not gone.
    pub fn realms(&self) -> Vec<RealmId> {
        meta::realm_keys(&*self.inner.index.view())
    }

    /// The realms that take no writes because they are damaged, and why.
    pub fn quarantined(&self) -> Vec<(RealmId, Damaged)> {
        self.inner.quarantine.list()
    }

    /// Whether there is disk space for commits: they are refused while less than [`StoreOptions::reserve_bytes`] are free.
    pub fn has_room(&self) -> bool {
        self.inner.room.is_there()
    }

    /// Why the store has stopped acknowledging, if it has.
    pub fn stopped(&self) -> Option<String> {
        self.inner.writer.stopped()
    }

    /// The source of the time.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.inner.options.clock.clone()
    }

    /// The last durable commit.
    pub fn seq(&self) -> Seq {
        self.inner.tail.durable()
    }

    /// Notes how far someone outside has followed the log: from then on a log that does not reach `seq` is damaged.
    /// Durable when this returns: some milliseconds, so call it now and then rather than at each commit.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when this log does not reach `seq`: who says so has followed another one.
    pub fn set_cursor(&self, name: &str, seq: Seq) -> Result<()> {
        if seq > self.seq() {
            return Err(StoreError::refused(format!(
                "{name} has seen commit {seq}, but the log ends at commit {}",
                self.seq()
            )));
        }
        self.inner.index.apply(vec![meta::cursor(name, seq)])?;
        self.inner.index.persist()?;
        self.inner.witness.note(name, seq)
    }

    /// What the log's commits up to `seq` amount to, and when that one was made where the log still has it. Reads up to
    /// one log segment: not for async threads.
    ///
    /// # Errors
    /// [`StoreError::NotRetained`], [`StoreError::Damaged`].
    pub fn log_point(&self, seq: Seq) -> Result<(Chain, Option<i64>)> {
        self.inner.commits.point(seq)
    }

    /// How far this machine's clock is behind the time that the last commit states; none when it is not, or by no more than
    /// [`crate::CLOCK_SLACK_MS`]. Commits state that time until the clock has reached it.
    pub fn clock_behind(&self) -> Option<Duration> {
        let behind = self.inner.writer.last_ms().saturating_sub(self.clock().now_ms());
        (behind > crate::CLOCK_SLACK_MS).then(|| Duration::from_millis(behind.unsigned_abs()))
    }

    /// Keeps small facts for a follower, in a space of its own, beside the index: `None` takes one away. They are lost
    /// when the index is built anew or the power fails right now, so they may only be what can be found out again.
    pub fn set_notes(&self, space: &str, notes: impl IntoIterator<Item = (Vec<u8>, Option<Vec<u8>>)>) -> Result<()> {
        let write = |(key, value): (Vec<u8>, Option<Vec<u8>>)| {
            let key = meta::note_key(space, &key);
            match value {
                Some(value) => meta::write(key, value),
                None => (Space::Meta, key, None),
            }
        };
        self.inner.index.apply(notes.into_iter().map(write).collect())
    }

    /// The data folder.
    pub fn dir(&self) -> &Path {
        &self.inner.dir
    }

    /// Whether the store was closed in order when it was last open, or is new. After a crash it is not: nothing is lost
    /// then, but what was in flight may or may not be there.
    pub fn was_closed_in_order(&self) -> bool {
        self.inner.witness.closed_in_order() || self.inner.is_new
    }
}

/// How far others have followed, by name.
type Cursors = Vec<(String, Seq)>;

/// The damaged files that are known, and what opening the log went around.
fn find_damage(index: &Arc<dyn IndexEngine>, around: Option<&Around>, tally: &Arc<Tally>) -> Result<Arc<Findings>> {
    let findings = Findings::load(index.clone(), tally.clone())?;
    if let Some(around) = around {
        findings.note(&format!("log/{}", around.name), &around.what.as_ref().clone().because("the index has them"));
    }
    Ok(Arc::new(findings))
}

/// The index can't be used, and could not be built again.
pub(crate) fn not_rebuilt(why: &StoreError, second: StoreError) -> StoreError {
    match second {
        // What the log lacks is what must be mended; the index alone would be no loss.
        StoreError::Damaged(what) => what.because(format_args!("needed because the index can't be used: {why}")).into(),
        other => other,
    }
}

/// What the index says of itself, all of which must be readable: its last commit, the log's chain there, and how far others
/// have followed.
fn index_head(view: &dyn IndexView) -> Result<(Seq, Chain, Cursors)> {
    let (applied, chain) = meta::applied(view)?;
    let cursors = meta::cursors(view)?;
    meta::epoch(view)?;
    meta::realm_states(view)?;
    Ok((applied, chain, cursors))
}
