//! The store as a whole: opening, catching up, handing out.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    BodyId, BodyReader, BodyWriter, Clock, Commit, Digest, Follower, RealmCommit, RealmId, RealmSeq, Result, Seq,
    Snapshot, StagedBody, StoreError, SystemClock, Ticket, Tx,
    body::Packs,
    checkpoint,
    digest::{SEAL_BYTES, Seal},
    disk::{Disk, RealDisk},
    follow::Tail,
    index::{Batch, FjallIndex, IndexEngine, IndexView, Space},
    lock::Lock,
    log::{self, Chain, Log, SegmentReader},
    partial::Partial,
    read::full_key,
    replica, restore,
    witness::Witness,
    writer::Writer,
};

/// The version of what is on disk.
pub const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "format";

/// How a store is opened.
#[derive(Clone)]
pub struct StoreOptions {
    /// How long commits and unreferenced bodies are kept. Default 30 days.
    pub retention: Duration,
    /// Memory for cached index blocks, in bytes. Default 64 MiB.
    pub cache_bytes: u64,
    /// A log segment is closed when it is larger. Default 64 MiB.
    pub segment_bytes: u64,
    /// A body pack is closed when it is larger. Default 256 MiB.
    pub pack_bytes: u64,
    /// Where log and packs lie.
    pub disk: Arc<dyn Disk>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            retention: Duration::from_secs(30 * 86_400),
            cache_bytes: 64 << 20,
            segment_bytes: log::SEGMENT_BYTES,
            pack_bytes: 256 << 20,
            disk: Arc::new(RealDisk),
            clock: Arc::new(SystemClock),
        }
    }
}

/// A realm's last commit and the digest it states.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RealmState {
    pub seq: RealmSeq,
    pub digest: Digest,
}

/// Realms that take no writes until they have been repaired, and why. Kept in the index, so that a restart does not
/// forget them.
pub(crate) struct Quarantine {
    index: Arc<dyn IndexEngine>,
    realms: Mutex<BTreeMap<RealmId, String>>,
}

impl Quarantine {
    fn load(index: Arc<dyn IndexEngine>) -> Result<Self> {
        let realms: BTreeMap<_, _> = meta::quarantined(&*index.view())?.into_iter().collect();
        for (realm, reason) in &realms {
            tracing::error!(%realm, reason, "still quarantined");
        }
        metrics::gauge!("holdfast_store_quarantined_realms").set(realms.len() as f64);
        Ok(Self { index, realms: Mutex::new(realms) })
    }

    pub(crate) fn put(&self, realm: RealmId, reason: &str) {
        let mut realms = self.realms.lock();
        if realms.contains_key(&realm) {
            return;
        }
        tracing::error!(%realm, reason, "quarantined");
        realms.insert(realm, reason.to_owned());
        metrics::gauge!("holdfast_store_quarantined_realms").set(realms.len() as f64);
        drop(realms);
        if let Err(error) = self.index.apply(vec![meta::set_quarantined(realm, reason)]) {
            tracing::warn!(%realm, %error, "the quarantine will be forgotten at the next start");
        }
    }

    pub(crate) fn release(&self, realm: RealmId) -> Result<()> {
        let mut realms = self.realms.lock();
        self.index.apply(vec![meta::release(realm)])?;
        realms.remove(&realm);
        metrics::gauge!("holdfast_store_quarantined_realms").set(realms.len() as f64);
        Ok(())
    }

    pub(crate) fn check(&self, realm: RealmId) -> Result<()> {
        match self.realms.lock().get(&realm) {
            Some(reason) => Err(StoreError::Quarantined { realm, reason: reason.clone() }),
            None => Ok(()),
        }
    }

    pub(crate) fn list(&self) -> Vec<(RealmId, String)> {
        self.realms.lock().iter().map(|(realm, reason)| (*realm, reason.clone())).collect()
    }
}

/// Watchers of realms. An entry goes when its last receiver has.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<HashMap<RealmId, watch::Sender<RealmSeq>>>);

impl Watchers {
    fn subscribe(&self, realm: RealmId, now: RealmSeq) -> watch::Receiver<RealmSeq> {
        self.0.lock().entry(realm).or_insert_with(|| watch::channel(now).0).subscribe()
    }

    pub(crate) fn publish(&self, realms: impl Iterator<Item = (RealmId, RealmSeq)>) {
        let mut watchers = self.0.lock();
        for (realm, seq) in realms {
            if let Some(sender) = watchers.get(&realm) {
                if sender.receiver_count() == 0 {
                    watchers.remove(&realm);
                } else {
                    sender.send_replace(seq);
                }
            }
        }
    }
}

/// A store, open. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Store {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub dir: PathBuf,
    pub options: StoreOptions,
    pub index: Arc<dyn IndexEngine>,
    pub packs: Arc<Packs>,
    pub quarantine: Arc<Quarantine>,
    pub partial: Arc<Partial>,
    pub watchers: Arc<Watchers>,
    pub tail: Arc<Tail>,
    pub writer: Writer,
    pub witness: Witness,
    is_new: bool,
    /// Held by what keeps the store small: one at a time.
    pub maintenance: Mutex<()>,
    /// Held by what applies received commits: one at a time.
    pub applier: Mutex<()>,
    lock: Mutex<Option<Lock>>,
    closed: AtomicBool,
}

impl Store {
    /// Opens the store in `dir`, making it first when there is none. Takes the folder's lock, catches the index up
    /// from the log, cuts off a torn tail that was never acknowledged.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::NewerFormat`], [`StoreError::Damaged`] when the log ends before a witness
    /// says it may or does not follow from itself: nothing is changed then.
    pub fn open(dir: &Path, options: StoreOptions) -> Result<Self> {
        let disk = options.disk.clone();
        disk.create_dir(dir).map_err(StoreError::io(dir.display().to_string()))?;
        let lock = Lock::take(dir)?;
        restore::check_finished(dir)?;
        replica::check(dir)?;
        check_format(dir)?;
        let index: Arc<dyn IndexEngine> = Arc::new(FjallIndex::open(&dir.join("index"), options.cache_bytes)?);
        Self::open_on(dir, options, index, Some(lock), false, false)
    }

    pub(crate) fn open_on(
        dir: &Path,
        options: StoreOptions,
        index: Arc<dyn IndexEngine>,
        lock: Option<Lock>,
        is_replica: bool,
        is_partial: bool,
    ) -> Result<Self> {
        let view = index.view();
        let (applied, chain) = meta::applied(&*view)?;
        let cursors = meta::cursors(&*view)?;
        drop(view);
        let checkpoints = checkpoint::list(&*options.disk, &dir.join("checkpoints"))?;
        let witness_file = Witness::open(options.disk.clone(), dir)?;
        let seen = cursors.iter().map(|(_, seq)| *seq).chain(checkpoints).chain(witness_file.seen());
        let witness = seen.max().unwrap_or_default().max(applied);
        let log = Log::open(options.disk.clone(), &dir.join("log"), witness, options.segment_bytes)?;
        let log_is_empty = log.next() == Seq(1);
        catch_up(&options, dir, &*index, applied, chain, !is_replica)?;
        let packs = Arc::new(Packs::open(options.disk.clone(), &dir.join("packs"), index.clone(), options.pack_bytes)?);
        let quarantine = Arc::new(Quarantine::load(index.clone())?);
        let partial = Arc::new(Partial::load(&*index.view(), is_partial)?);
        let watchers = Arc::new(Watchers::default());
        let tail = Arc::new(Tail::new(Seq(log.next().0 - 1)));
        let writer = Writer::start(
            log,
            index.clone(),
            packs.clone(),
            quarantine.clone(),
            partial.clone(),
            watchers.clone(),
            tail.clone(),
            options.clock.clone(),
            meta::epoch(&*index.view())?,
            is_replica.then(|| dir.to_owned()),
        )?;
        witness_file.begin()?;
        let inner = Inner {
            dir: dir.to_owned(),
            witness: witness_file,
            is_new: witness == Seq(0) && log_is_empty,
            options,
            index,
            packs,
            quarantine,
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
        self.inner.writer.stop();
        let mut lock = self.inner.lock.lock();
        if self.inner.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        if let Err(error) = self.inner.index.persist() {
            tracing::warn!(%error, "the index was not written out; it will be caught up from the log");
        }
        if self.stopped().is_none()
            && let Err(error) = self.inner.witness.close(self.seq())
        {
            tracing::warn!(%error, "the next start will not know that this one ended in order");
        }
        lock.take();
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
        self.inner.writer.submit(work)
    }

    /// Keeps a body's bytes, for commits to refer to.
    pub fn put_body(&self, bytes: &[u8]) -> Result<StagedBody> {
        let mut writer = self.body_writer()?;
        std::io::Write::write_all(&mut writer, bytes).map_err(StoreError::io("body"))?;
        writer.finish()
    }

    /// Keeps a body's bytes as they come, in constant memory.
    pub fn body_writer(&self) -> Result<BodyWriter> {
        Ok(BodyWriter::new(self.inner.packs.clone()))
    }

    /// A body, to be read in whole or in part.
    ///
    /// # Errors
    /// [`StoreError::BodyMissing`], [`StoreError::BodyDamaged`]; [`StoreError::NotRestored`] after a minute.
    pub fn body(&self, id: &BodyId) -> Result<BodyReader> {
        match self.inner.packs.open_body(id) {
            Err(StoreError::BodyMissing { .. }) if self.is_partial() => self.awaited_body(id),
            other => other,
        }
    }

    /// The commits from `from` on: those in the log first, then each as it becomes durable.
    ///
    /// # Errors
    /// [`StoreError::NotRetained`].
    pub fn follow(&self, from: Seq) -> Result<Follower> {
        Follower::open(self.inner.options.disk.clone(), &self.inner.dir.join("log"), from, self.inner.tail.clone())
    }

    /// Told of each commit of the realm after it is durable and readable.
    pub fn watch(&self, realm: RealmId) -> watch::Receiver<RealmSeq> {
        let now = self.snapshot().realm_state(realm).map_or(RealmSeq(0), |state| state.seq);
        self.inner.watchers.subscribe(realm, now)
    }

    /// The realms that have commits.
    pub fn realms(&self) -> Vec<RealmId> {
        self.snapshot().realms().unwrap_or_default()
    }

    /// The realms that take no writes because they are damaged, and why.
    pub fn quarantined(&self) -> Vec<(RealmId, String)> {
        self.inner.quarantine.list()
    }

    /// Why nothing is acknowledged any more, if so.
    pub fn stopped(&self) -> Option<String> {
        self.inner.writer.stopped()
    }

    /// Where the time comes from.
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
    /// [`StoreError::Damaged`] when this log does not reach `seq`: who says so has followed another one.
    pub fn set_cursor(&self, name: &str, seq: Seq) -> Result<()> {
        if seq > self.seq() {
            return Err(StoreError::damaged(format!(
                "{name} has seen commit {seq}, and the log ends at commit {}",
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
        log::point(&*self.inner.options.disk, &self.inner.dir.join("log"), seq)
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

/// Checks that this version can read what is in the folder; a new one is marked with [`FORMAT`].
pub(crate) fn check_format(dir: &Path) -> Result<()> {
    let path = dir.join(FORMAT_FILE);
    let name = path.display().to_string();
    match std::fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse::<u32>() {
            Ok(found) if found <= FORMAT => Ok(()),
            Ok(found) => Err(StoreError::NewerFormat { dir: dir.to_owned(), found, known: FORMAT }),
            Err(_) => Err(StoreError::damaged(format!("{name}: not a number"))),
        },
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // A folder with a log but no format is damaged, not new.
            if dir.join("log").exists() {
                return Err(StoreError::damaged(format!("{name} is missing beside a log")));
            }
            let write = || -> std::io::Result<()> {
                std::fs::write(&path, format!("{FORMAT}\n"))?;
                std::fs::File::open(&path)?.sync_all()?;
                std::fs::File::open(dir)?.sync_all()
            };
            write().map_err(StoreError::io(name))
        }
        Err(error) => Err(StoreError::io(name)(error)),
    }
}

/// Applies to the index what the log has and it has not; a replica only checks that they fit together.
fn catch_up(
    options: &StoreOptions,
    dir: &Path,
    index: &dyn IndexEngine,
    applied: Seq,
    chain: Chain,
    applies: bool,
) -> Result<()> {
    let dir = dir.join("log");
    let first_needed = Seq(applied.0 + 1);
    let firsts = log::segments(&*options.disk, &dir)?;
    let Some(start) = firsts.iter().rposition(|first| *first <= first_needed) else {
        let first = firsts.first().copied().unwrap_or_default();
        return Err(StoreError::damaged(format!(
            "the index ends at commit {applied} and the log begins at {first}: run `holdfast rebuild-index`"
        )));
    };
    let mut count = 0_u64;
    let replayed = log::replay(&*options.disk, &dir, &firsts[start..], |_, commit, after| {
        if commit.seq() >= first_needed {
            if applies {
                apply(index, commit, after)?;
                count += 1;
            }
        } else if commit.seq() == applied && *after != chain {
            return Err(StoreError::damaged(format!(
                "the log at commit {applied} is not the one that the index was made from"
            )));
        }
        Ok(())
    })?;
    if let Some(what) = replayed.problem {
        return Err(StoreError::damaged(what));
    }
    if firsts[start] == first_needed && *SegmentReader::open(&*options.disk, &dir, first_needed)?.chain() != chain {
        return Err(StoreError::damaged(format!(
            "the log's segment {first_needed} does not follow from the commits that the index holds"
        )));
    }
    if count > 0 {
        tracing::info!(count, "commits applied to the index from the log");
    }
    Ok(())
}

/// Applies one commit of the log, checking that it leads to the digest it states. `chain` is the log's after it.
pub(crate) fn apply(index: &dyn IndexEngine, commit: &Commit, chain: &Chain) -> Result<()> {
    let view = index.view();
    let mut batch = Batch::new();
    for part in &commit.realms {
        apply_part(&*view, commit.seq(), part, &mut batch)?;
    }
    if commit.epoch > meta::epoch(&*view)? {
        batch.push(meta::set_epoch(commit.epoch));
    }
    batch.push(meta::set_applied(commit.seq(), chain));
    index.apply(batch)
}

/// What a commit's part in one realm writes, checked to lead to the digest that it states.
pub(crate) fn apply_part(view: &dyn IndexView, seq: Seq, part: &RealmCommit, batch: &mut Batch) -> Result<()> {
    let realm = part.realm();
    let mut state = meta::realm_state(view, realm)?;
    for op in &part.ops {
        let full = full_key(realm, &op.key);
        if let Some(old) = view.get(Space::Records, &full)? {
            state.digest.subtract(crate::read::unseal(realm, &op.key, &old)?.0);
        }
        match &op.value {
            Some(value) => {
                let seal = Seal::of(realm, &op.key, value);
                state.digest.add(seal);
                batch.push((Space::Records, full, Some(sealed(seal, value))));
            }
            None => batch.push((Space::Records, full, None)),
        }
    }
    if Some(state.digest) != part.digest() || part.realm_seq().0 != state.seq.0 + 1 {
        return Err(StoreError::damaged(format!(
            "{realm}: applying commit {seq} does not lead to the digest that it states"
        )));
    }
    state.seq = part.realm_seq();
    batch.push(meta::set_realm_state(realm, state));
    Ok(())
}

/// A value with its seal in front.
pub(crate) fn sealed(seal: Seal, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(SEAL_BYTES + value.len());
    stored.extend_from_slice(&seal.to_bytes());
    stored.extend_from_slice(value);
    stored
}

/// What the index knows about itself: records of the `Meta` space, each followed by its checksum.
pub(crate) mod meta {
    use std::ops::Bound;

    use super::{Bytes, Digest, RealmId, RealmSeq, RealmState, Result, Seq, Space, StoreError};
    use crate::{
        Order,
        index::IndexView,
        log::Chain,
        read::{end_of_prefix, hex},
    };

    const APPLIED: &[u8] = b"applied";
    const FIRST: &[u8] = b"first";
    const ABSENT: u8 = b'w';
    const QUARANTINE: u8 = b'q';
    const REALM: u8 = b'r';
    const CURSOR: &[u8] = b"cursor/";
    const NOTE: u8 = b'n';
    const EPOCH: &[u8] = b"epoch";
    pub(crate) const BODY: u8 = b'b';
    pub(crate) const PACKED: &[u8] = b"packed";

    pub(crate) type Write = (Space, Vec<u8>, Option<Vec<u8>>);

    /// A write of a meta record.
    pub(crate) fn write(key: Vec<u8>, mut value: Vec<u8>) -> Write {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&key), &value);
        value.extend_from_slice(&crc.to_le_bytes());
        (Space::Meta, key, Some(value))
    }

    /// A meta record's value, checked.
    pub(crate) fn checked(key: &[u8], stored: &Bytes) -> Result<Bytes> {
        let Some(end) = stored.len().checked_sub(4) else {
            return Err(StoreError::damaged(format!("index: meta record {}", hex(key))));
        };
        let crc = crc32c::crc32c_append(crc32c::crc32c(key), &stored[..end]);
        if stored[end..] != crc.to_le_bytes() {
            return Err(StoreError::damaged(format!("index: meta record {} does not match its checksum", hex(key))));
        }
        Ok(stored.slice(..end))
    }

    pub(crate) fn read(view: &dyn IndexView, key: &[u8]) -> Result<Option<Bytes>> {
        view.get(Space::Meta, key)?.map(|stored| checked(key, &stored)).transpose()
    }

    fn number(key: &[u8], value: &[u8]) -> Result<u64> {
        let bytes = value.try_into().map_err(|_| StoreError::damaged(format!("index: meta record {}", hex(key))))?;
        Ok(u64::from_le_bytes(bytes))
    }

    /// The last commit that the index holds, and the log's chain there.
    pub(crate) fn applied(view: &dyn IndexView) -> Result<(Seq, Chain)> {
        let Some(value) = read(view, APPLIED)? else { return Ok((Seq(0), Chain::default())) };
        let parts = value.split_at_checked(8).and_then(|(seq, chain)| Some((seq, Chain::try_from(chain).ok()?)));
        let (seq, chain) = parts.ok_or_else(|| StoreError::damaged(format!("index: meta record {}", hex(APPLIED))))?;
        Ok((Seq(number(APPLIED, seq)?), chain))
    }

    pub(crate) fn set_applied(seq: Seq, chain: &Chain) -> Write {
        write(APPLIED.to_vec(), [&seq.0.to_le_bytes()[..], chain].concat())
    }

    /// The commit with which the log should begin, at the latest: those before it were dropped on purpose.
    pub(crate) fn first(view: &dyn IndexView) -> Result<Seq> {
        read(view, FIRST)?.map_or(Ok(Seq(1)), |value| number(FIRST, &value).map(Seq))
    }

    pub(crate) fn set_first(seq: Seq) -> Write {
        write(FIRST.to_vec(), seq.0.to_le_bytes().to_vec())
    }

    /// The epoch of the last commit; 1 before there is any.
    pub(crate) fn epoch(view: &dyn IndexView) -> Result<u64> {
        read(view, EPOCH)?.map_or(Ok(1), |value| number(EPOCH, &value))
    }

    pub(crate) fn set_epoch(epoch: u64) -> Write {
        write(EPOCH.to_vec(), epoch.to_le_bytes().to_vec())
    }

    pub(crate) fn note_key(space: &str, key: &[u8]) -> Vec<u8> {
        [&[NOTE], space.as_bytes(), &[0], key].concat()
    }

    /// The notes of a space whose keys begin with `prefix`.
    pub(crate) fn notes<T>(
        view: &dyn IndexView,
        space: &str,
        prefix: &[u8],
        parse: impl Fn(&[u8], &[u8]) -> Result<T>,
    ) -> Result<Vec<T>> {
        prefixed(view, &note_key(space, prefix), parse)
    }

    fn absent_key(realm: RealmId) -> Vec<u8> {
        [&[ABSENT][..], &realm.raw().to_be_bytes()].concat()
    }

    /// Whether the realm's records are still to come.
    pub(crate) fn is_absent(view: &dyn IndexView, realm: RealmId) -> Result<bool> {
        Ok(read(view, &absent_key(realm))?.is_some_and(|value| value.is_empty()))
    }

    /// The realms that not everyone may use yet, and whether their records are there.
    pub(crate) fn absent(view: &dyn IndexView) -> Result<Vec<(RealmId, bool)>> {
        prefixed(view, &[ABSENT], |key, value| Ok((realm_of(key)?, !value.is_empty())))
    }

    pub(crate) fn set_absent(realm: RealmId, has_records: bool) -> Write {
        write(absent_key(realm), if has_records { vec![1] } else { Vec::new() })
    }

    pub(crate) fn set_present(realm: RealmId) -> Write {
        (Space::Meta, absent_key(realm), None)
    }

    fn quarantine_key(realm: RealmId) -> Vec<u8> {
        let mut key = vec![QUARANTINE];
        key.extend_from_slice(&realm.raw().to_be_bytes());
        key
    }

    pub(crate) fn quarantined(view: &dyn IndexView) -> Result<Vec<(RealmId, String)>> {
        prefixed(view, &[QUARANTINE], |key, value| Ok((realm_of(key)?, String::from_utf8_lossy(value).into_owned())))
    }

    pub(crate) fn set_quarantined(realm: RealmId, reason: &str) -> Write {
        write(quarantine_key(realm), reason.as_bytes().to_vec())
    }

    pub(crate) fn release(realm: RealmId) -> Write {
        (Space::Meta, quarantine_key(realm), None)
    }

    fn realm_key(realm: RealmId) -> Vec<u8> {
        let mut key = vec![REALM];
        key.extend_from_slice(&realm.raw().to_be_bytes());
        key
    }

    fn state(key: &[u8], value: &[u8]) -> Result<RealmState> {
        let parts = value.split_at_checked(8).and_then(|(seq, digest)| Some((seq, Digest::from_bytes(digest)?)));
        let Some((seq, digest)) = parts else {
            return Err(StoreError::damaged(format!("index: meta record {}", hex(key))));
        };
        Ok(RealmState { seq: RealmSeq(number(key, seq)?), digest })
    }

    pub(crate) fn realm_state(view: &dyn IndexView, realm: RealmId) -> Result<RealmState> {
        let key = realm_key(realm);
        read(view, &key)?.map_or(Ok(RealmState::default()), |value| state(&key, &value))
    }

    pub(crate) fn set_realm_state(realm: RealmId, state: RealmState) -> Write {
        let mut value = state.seq.0.to_le_bytes().to_vec();
        value.extend_from_slice(&state.digest.to_bytes());
        write(realm_key(realm), value)
    }

    fn prefixed<T>(view: &dyn IndexView, prefix: &[u8], parse: impl Fn(&[u8], &[u8]) -> Result<T>) -> Result<Vec<T>> {
        view.range(Space::Meta, (Bound::Included(prefix.to_vec()), end_of_prefix(prefix)), Order::Ascending)
            .map(|row| {
                let (key, stored) = row?;
                parse(&key, &checked(&key, &stored)?)
            })
            .collect()
    }

    pub(crate) fn realm_states(view: &dyn IndexView) -> Result<Vec<(RealmId, RealmState)>> {
        prefixed(view, &[REALM], |key, value| Ok((realm_of(key)?, state(key, value)?)))
    }

    /// The realm that a key's bytes after the first name.
    fn realm_of(key: &[u8]) -> Result<RealmId> {
        let raw = key[1..].try_into().map_err(|_| StoreError::damaged("index: a realm's key"))?;
        Ok(RealmId::from_raw(u64::from_be_bytes(raw)))
    }

    /// The realms that there is a state of, whether or not it can be read.
    pub(crate) fn realm_keys(view: &dyn IndexView) -> Vec<RealmId> {
        let range = (Bound::Included(vec![REALM]), end_of_prefix(&[REALM]));
        let rows = view.range(Space::Meta, range, Order::Ascending);
        rows.map_while(Result::ok).filter_map(|(key, _)| realm_of(&key).ok()).collect()
    }

    pub(crate) fn cursors(view: &dyn IndexView) -> Result<Vec<(String, Seq)>> {
        prefixed(view, CURSOR, |key, value| {
            Ok((String::from_utf8_lossy(&key[CURSOR.len()..]).into_owned(), Seq(number(key, value)?)))
        })
    }

    pub(crate) fn cursor(name: &str, seq: Seq) -> Write {
        write([CURSOR, name.as_bytes()].concat(), seq.0.to_le_bytes().to_vec())
    }
}
