//! Salvage: everything that can still be read of a damaged store, and the names of what can't.
//!
//! The folder is only read: not a byte of it changes, and nothing in it is opened for writing. What was found is put
//! together in a scratch folder, realm by realm:
//!
//! 1. The newest state of the realm that adds up to its digest (the index's, or a checkpoint's) and the log behind it,
//!    each commit leading to the digest that it states. When that reaches the last commit of the realm that anything
//!    names, the realm is *whole*.
//! 2. Else whatever can be read, in the order in which it was written: checkpoints, the log, records of the index whose
//!    seals match. What is doubtful stays: a message that was deleted or moved by a commit that is lost comes back.
//!
//! Bodies stay where they are: every pack is scanned, each body in it compared with its name, what is damaged passed
//! over.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    fs, io,
    ops::Bound,
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    BodyId, BodyReader, Commit, Digest, Order, Read, RealmCommit, RealmId, RealmSeq, Result, Rows, Seq, StoreError,
    StoreOptions,
    body::{PACK_MAGIC, Place, next_frame, pack_numbers, pack_path, place_key},
    body_of_key,
    checkpoint::{self, Part},
    digest::Seal,
    disk::{Disk, File},
    index::{Batch, FjallIndex, IndexEngine, IndexView, Space},
    lock::Lock,
    log,
    read::{end_of_prefix, full_key, full_range, is_empty_range, unseal},
    restore::clear_realm,
    store::{RealmState, apply_part, meta, sealed},
    tx::BODY_REFERENCE,
    verify::digest_of,
    witness,
};

/// The folder in the scratch space that is worked in.
const WORK: &str = "holdfast-salvage";
/// Bytes written to the index together.
const BATCH_BYTES: usize = 4 << 20;
/// Bytes of a file that is read where the system can't read it: it fails by blocks of this size.
const SECTOR_BYTES: usize = 4096;

/// What could be read of one realm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvagedRealm {
    /// The last commit of the realm that is in it.
    pub seq: RealmSeq,
    /// What can't be read, in words; nothing when every commit of the realm that anything names is in it.
    pub problems: Vec<String>,
}

/// What could be read, and what not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Commits of the log that could be read.
    pub commits: u64,
    /// The last commit of the store that anything holds.
    pub last: Seq,
    /// Bodies found whole.
    pub bodies: u64,
    /// What is damaged in the folder, in words. The data may be whole all the same: most of it is there twice.
    pub damage: Vec<String>,
    /// Commits that nothing holds, although they are named somewhere: what they wrote is known only as far as another
    /// part of the store has it.
    pub lost: Vec<String>,
    /// The realms.
    pub realms: BTreeMap<RealmId, SalvagedRealm>,
}

impl SalvageReport {
    /// Whether every realm is what it was, as far as records go; bodies are another matter.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.realms.values().all(|realm| realm.problems.is_empty())
    }
}

/// What was salvaged. Reads as a snapshot does; goes away, with its scratch folder, when it is dropped.
pub struct Salvaged {
    view: Box<dyn IndexView>,
    _index: Arc<dyn IndexEngine>,
    packs: HashMap<u32, Arc<dyn File>>,
    /// Bodies that are files of their own.
    files: HashMap<BodyId, PathBuf>,
    report: SalvageReport,
    _from: Option<Lock>,
    _work: Work,
}

impl Salvaged {
    /// Reads what can be read of the store in `from`, which must be closed. `scratch` needs room for twice its index, not
    /// for its bodies. `progress` is called with what is being read, units done and units in all. Blocks for as long as
    /// reading everything takes.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has the store open, or works in the scratch folder;
    /// [`StoreError::NewerFormat`]; [`StoreError::Damaged`] when there is nothing of a store in `from`, or the scratch
    /// folder is within it. What is damaged in the store is no error: it is in the report.
    pub fn open(
        from: &Path,
        scratch: &Path,
        options: &StoreOptions,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Self> {
        let parts = ["log", "index", "checkpoints", "packs"];
        if !parts.iter().any(|part| from.join(part).is_dir()) {
            return Err(StoreError::damaged(format!(
                "{} holds no store: neither log, index, checkpoints nor packs",
                from.display()
            )));
        }
        check_format(from)?;
        let lock = Lock::take_unchanged(from)?;
        let work = Work::begin(scratch, from)?;
        let mut salvage = Salvage::begin(from, &work, options)?;
        salvage.copy_index(&work, options, progress);
        salvage.look_at_checkpoints(progress)?;
        salvage.look_at_log(progress)?;
        salvage.put_bases(progress)?;
        salvage.follow_log(progress)?;
        salvage.judge()?;
        salvage.take_what_is_left(&work, options, progress)?;
        let packs = salvage.scan_packs(progress)?;
        salvage.index.persist()?;
        let Salvage { index, report, .. } = salvage;
        Ok(Self { view: index.view(), _index: index, packs, files: HashMap::new(), report, _from: lock, _work: work })
    }

    /// Reads what commits that were kept in files say (runs `commits-A-B`, as [`crate::log::RunWriter`] makes them), in
    /// the realms that are wanted. With `keep_deleted` what they take away stays. `bodies` are files, each with the body
    /// that it should be.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when there are no such files; those of reading. What can't be read is in the report.
    pub fn open_runs(
        from: &Path,
        scratch: &Path,
        options: &StoreOptions,
        keep_deleted: bool,
        wanted: &dyn Fn(RealmId) -> bool,
        bodies: HashMap<BodyId, PathBuf>,
    ) -> Result<Self> {
        let work = Work::begin(scratch, from)?;
        let mut salvage = Salvage::begin(from, &work, options)?;
        let mut batch = Batch::new();
        let index = salvage.index.clone();
        let mut realms: BTreeMap<RealmId, SalvagedRealm> = BTreeMap::new();
        let mut report = SalvageReport { bodies: bodies.len() as u64, ..SalvageReport::default() };
        each_run(from, &mut report, &mut |commit| {
            for part in commit.realms.iter().filter(|part| wanted(part.realm())) {
                realms.entry(part.realm()).or_default().seq = part.realm_seq();
                for op in part.ops.iter().filter(|op| op.value.is_some() || !keep_deleted) {
                    batch.push(raw_write(part.realm(), &op.key, op.value.as_deref()));
                }
                let state = RealmState { seq: part.realm_seq(), digest: Digest::default() };
                batch.push(meta::set_realm_state(part.realm(), state));
            }
            index.apply(std::mem::take(&mut batch))
        })?;
        report.realms = realms;
        salvage.report = report;
        let Salvage { index, report, .. } = salvage;
        let packs = HashMap::new();
        Ok(Self { view: index.view(), _index: index, packs, files: bodies, report, _from: None, _work: work })
    }

    /// What could be read and what not.
    pub const fn report(&self) -> &SalvageReport {
        &self.report
    }

    /// The bytes of a body, compared with its name; `None` when it is not there, or damaged.
    ///
    /// # Errors
    /// Those of the scratch folder.
    pub fn body(&self, id: &BodyId) -> Result<Option<Bytes>> {
        if let Some(path) = self.files.get(id) {
            let bytes = fs::read(path).ok().filter(|bytes| BodyId::of(bytes) == *id);
            return Ok(bytes.map(Bytes::from));
        }
        let place = meta::read(&*self.view, &place_key(id))?.and_then(|value| Place::from_bytes(&value));
        let Some(place) = place else { return Ok(None) };
        let Some(file) = self.packs.get(&place.pack) else { return Ok(None) };
        Ok(BodyReader::open(*id, file.clone(), place).and_then(|mut body| body.read_all()).ok())
    }

    /// Whether a body is there. Quick.
    ///
    /// # Errors
    /// Those of the scratch folder.
    pub fn has_body(&self, id: &BodyId) -> Result<bool> {
        Ok(self.files.contains_key(id) || meta::read(&*self.view, &place_key(id))?.is_some())
    }

    /// The bodies that no record refers to: of messages whose records are lost, or that were deleted and not yet
    /// cleared away. Memory grows with the number of bodies.
    ///
    /// # Errors
    /// Those of the scratch folder.
    pub fn orphans(&self) -> Result<Vec<BodyId>> {
        let mut referred = HashSet::new();
        for realm in self.report.realms.keys() {
            let range = full_range(*realm, (Bound::Included(vec![BODY_REFERENCE]), Bound::Unbounded));
            for row in self.view.range(Space::Records, range, Order::Ascending) {
                referred.extend(body_of_key(&row?.0[8..]));
            }
        }
        let mut orphans: Vec<BodyId> = self.files.keys().copied().collect();
        let all = (Bound::Included(vec![meta::BODY]), end_of_prefix(&[meta::BODY]));
        for row in self.view.range(Space::Meta, all, Order::Ascending) {
            if let Ok(id) = row?.0[1..].try_into() {
                orphans.push(BodyId::from_bytes(id));
            }
        }
        orphans.retain(|id| !referred.contains(id));
        orphans.sort_unstable();
        Ok(orphans)
    }
}

impl Read for Salvaged {
    fn get(&self, realm: RealmId, key: &[u8]) -> Result<Option<Bytes>> {
        let stored = self.view.get(Space::Records, &full_key(realm, key))?;
        stored.map(|stored| Ok(unseal(realm, key, &stored)?.1)).transpose()
    }

    fn range(&self, realm: RealmId, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Result<Rows<'_>> {
        if is_empty_range(&range) {
            return Ok(Rows::new(std::iter::empty()));
        }
        let rows = self.view.range(Space::Records, full_range(realm, range), order);
        Ok(Rows::new(rows.map(move |row| {
            let (key, stored) = row?;
            let key = key.slice(8..);
            let value = unseal(realm, &key, &stored)?.1;
            Ok((key, value))
        })))
    }

    fn realm_seq(&self, realm: RealmId) -> RealmSeq {
        meta::realm_state(&*self.view, realm).map_or(RealmSeq(0), |state| state.seq)
    }
}

/// A folder of the scratch space, for as long as it is worked in.
struct Work {
    dir: PathBuf,
    /// What was made above it.
    made: Option<PathBuf>,
    _lock: Lock,
}

impl Work {
    fn begin(scratch: &Path, from: &Path) -> Result<Self> {
        let io = || StoreError::io(scratch.display().to_string());
        let made = (!scratch.exists()).then(|| scratch.to_owned());
        let dir = scratch.join(WORK);
        fs::create_dir_all(&dir).map_err(io())?;
        let inside = dir.canonicalize().map_err(io())?.starts_with(from.canonicalize().map_err(io())?);
        if inside {
            let _ = fs::remove_dir(&dir);
            let _ = made.map(fs::remove_dir);
            return Err(StoreError::damaged(format!(
                "{} is within {}: name a scratch folder elsewhere",
                scratch.display(),
                from.display()
            )));
        }
        let lock = Lock::take(&dir)?;
        for part in ["index", "copy", "layers"] {
            match fs::remove_dir_all(dir.join(part)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io()(error)),
                _ => {}
            }
        }
        Ok(Self { dir, made, _lock: lock })
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.dir) {
            tracing::warn!(dir = %self.dir.display(), %error, "the scratch folder stays");
        }
        if let Some(made) = &self.made {
            let _ = fs::remove_dir(made);
        }
    }
}

/// # Errors
/// [`StoreError::NewerFormat`]. A format that is missing or can't be read is damage like any other.
fn check_format(from: &Path) -> Result<()> {
    let found = fs::read_to_string(from.join("format")).ok().and_then(|text| text.trim().parse::<u32>().ok());
    match found {
        Some(found) if found > crate::FORMAT => {
            Err(StoreError::NewerFormat { dir: from.to_owned(), found, known: crate::FORMAT })
        }
        _ => Ok(()),
    }
}

/// Files that are only read; what the system can't read of them is zero.
struct OnlyReads;

struct ReadFile(fs::File);

fn refused<T>() -> io::Result<T> {
    Err(io::ErrorKind::ReadOnlyFilesystem.into())
}

impl Disk for OnlyReads {
    fn create(&self, _: &Path) -> io::Result<Arc<dyn File>> {
        refused()
    }
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(ReadFile(fs::File::open(path)?)))
    }
    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        crate::disk::RealDisk.list(dir)
    }
    fn create_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn remove(&self, _: &Path) -> io::Result<()> {
        refused()
    }
    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        refused()
    }
    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        refused()
    }
}

impl File for ReadFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let is_unreadable = |error: &io::Error| error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
        match FileExt::read_at(&self.0, buffer, offset) {
            Err(error) if is_unreadable(&error) => {}
            other => return other,
        }
        let to_next = SECTOR_BYTES - (offset % SECTOR_BYTES as u64) as usize;
        let len = buffer.len().min(to_next).min(File::len(self)?.saturating_sub(offset) as usize);
        match FileExt::read_at(&self.0, &mut buffer[..len], offset) {
            Err(error) if is_unreadable(&error) => {
                buffer[..len].fill(0);
                Ok(len)
            }
            other => other,
        }
    }
    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        refused()
    }
    fn sync(&self) -> io::Result<()> {
        refused()
    }
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        refused()
    }
}

fn raw_write(realm: RealmId, key: &[u8], value: Option<&[u8]>) -> (Space, Vec<u8>, Option<Vec<u8>>) {
    let value = value.map(|value| sealed(Seal::of(realm, key, value), value));
    (Space::Records, full_key(realm, key), value)
}

/// "commit 7" or "commits 7 to 9".
fn span(what: &str, from: u64, to: u64) -> String {
    if from == to { format!("{what} {from}") } else { format!("{what}s {from} to {to}") }
}

/// Where a state of a realm is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Index,
    Checkpoint(Seq),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index => f.write_str("the index"),
            Self::Checkpoint(seq) => write!(f, "checkpoint {seq}"),
        }
    }
}

/// A state of a realm that something holds.
#[derive(Debug, Clone, Copy)]
struct Held {
    source: Source,
    state: RealmState,
    /// The store's commit that it is of.
    at: Seq,
    is_whole: bool,
}

/// How far a realm is.
#[derive(Debug, Default)]
struct Progress {
    held: Vec<Held>,
    /// The last commit of the realm that anything names.
    named: RealmSeq,
    base: Option<Held>,
    /// Up to which commit of the store it is known to be whole.
    proven: Seq,
    /// Why the log could not be followed.
    broken: Option<String>,
}

/// A salvage under way.
struct Salvage<'a> {
    from: &'a Path,
    /// What is put together.
    index: Arc<dyn IndexEngine>,
    /// The index's copy, where it could be opened.
    old: Option<Box<dyn IndexView>>,
    copy: Option<FjallIndex>,
    /// The commit that it holds.
    applied: Seq,
    realms: BTreeMap<RealmId, Progress>,
    /// Commits of the store that the log should have and has not.
    gaps: Vec<(Seq, Seq)>,
    report: SalvageReport,
}

impl<'a> Salvage<'a> {
    fn begin(from: &'a Path, work: &Work, options: &StoreOptions) -> Result<Self> {
        let index = Arc::new(FjallIndex::open(&work.dir.join("index"), options.cache_bytes)?);
        Ok(Self {
            from,
            index,
            old: None,
            copy: None,
            applied: Seq(0),
            realms: BTreeMap::new(),
            gaps: Vec::new(),
            report: SalvageReport::default(),
        })
    }

    /// Copies the index, opens the copy, and adds up what is in it.
    fn copy_index(&mut self, work: &Work, options: &StoreOptions, progress: &mut dyn FnMut(&str, u64, u64)) {
        let from = self.from.join("index");
        if !from.is_dir() {
            self.report.damage.push("the index is missing".to_owned());
            return;
        }
        progress("index", 0, 1);
        let copy = work.dir.join("copy");
        let open = || -> Result<FjallIndex> {
            copy_folder(&from, &copy)?;
            // Whatever stands in damaged files must not end this.
            catch_unwind(AssertUnwindSafe(|| FjallIndex::open(&copy, options.cache_bytes)))
                .unwrap_or_else(|_| Err(StoreError::damaged("it is damaged")))
        };
        let index = match open() {
            Ok(index) => index,
            Err(error) => {
                self.report.damage.push(format!("the index can't be opened: {error}"));
                return;
            }
        };
        let view = index.view();
        self.copy = Some(index);
        match meta::applied(&*view) {
            Ok((seq, _)) => self.applied = seq,
            Err(error) => self.report.damage.push(error.to_string()),
        }
        for realm in realms_of(&*view) {
            let state = meta::realm_state(&*view, realm).ok();
            let found = catch_unwind(AssertUnwindSafe(|| digest_of(&*view, realm)))
                .unwrap_or_else(|_| Err(StoreError::damaged("a part of it can't be read")));
            let is_whole = matches!((&state, &found), (Some(state), Ok(found)) if state.digest == *found);
            if !is_whole {
                let why = found.err().map_or_else(|| "its records do not add up".to_owned(), |error| error.to_string());
                self.report.damage.push(format!("the index, {realm}: {why}"));
            }
            // Of which commit its records are is not known then: the latest, most likely.
            let state = state.unwrap_or(RealmState { seq: RealmSeq(u64::MAX), digest: Digest::default() });
            self.hold(realm, Held { source: Source::Index, state, at: self.applied, is_whole });
        }
        self.report.last = self.applied;
        self.old = Some(view);
    }

    fn hold(&mut self, realm: RealmId, held: Held) {
        let progress = self.realms.entry(realm).or_default();
        if held.state.seq.0 < u64::MAX {
            progress.named = progress.named.max(held.state.seq);
        }
        progress.held.push(held);
    }

    fn look_at_checkpoints(&mut self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<()> {
        let dir = self.from.join("checkpoints");
        let all = checkpoint::list(&OnlyReads, &dir)?;
        for (number, seq) in all.iter().enumerate() {
            progress("checkpoints", number as u64, all.len() as u64);
            let mut found: Vec<(RealmId, RealmState, Digest)> = Vec::new();
            let scavenged = checkpoint::scavenge(&OnlyReads, &dir, *seq, &mut |part| {
                match part {
                    Part::Realm(realm, state) => found.push((realm, state, Digest::default())),
                    Part::Record(realm, key, value) => {
                        if let Some((_, _, digest)) = found.last_mut() {
                            digest.add(Seal::of(realm, key, value));
                        }
                    }
                }
                Ok(())
            })?;
            self.report.damage.extend(scavenged.problems);
            let at = scavenged.seq.unwrap_or(*seq);
            for (realm, state, digest) in found {
                let is_whole = state.digest == digest && scavenged.seq.is_some();
                if is_whole {
                    self.report.last = self.report.last.max(at);
                }
                self.hold(realm, Held { source: Source::Checkpoint(*seq), state, at, is_whole });
            }
        }
        Ok(())
    }

    /// Reads the log once, for what it has and what it lacks.
    fn look_at_log(&mut self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<()> {
        let dir = self.from.join("log");
        let firsts = log::segments(&OnlyReads, &dir)?;
        if firsts.is_empty() {
            self.report.damage.push("the log is missing".to_owned());
        }
        let mut seen = witness::read(&OnlyReads, self.from).unwrap_or_else(|error| {
            self.report.damage.push(error.to_string());
            BTreeMap::default()
        });
        if let Some(old) = &self.old {
            seen.extend(meta::cursors(&**old).unwrap_or_default());
        }
        let mut durable = seen.values().copied().max().unwrap_or_default().max(self.applied);
        let mut next = firsts.first().copied();
        for (number, first) in firsts.iter().enumerate() {
            progress("log segments", number as u64, firsts.len() as u64);
            if let Some(expected) = next
                && expected < *first
            {
                self.gaps.push((expected, Seq(first.0 - 1)));
            }
            next = next.max(Some(*first));
            let path = log::segment_path(&dir, *first);
            let name = path.display().to_string();
            let file = OnlyReads.open(&path).map_err(StoreError::io(name.clone()))?;
            let holes = log::scavenge(&*file, &name, *first, &mut |commit| {
                if let Some(expected) = next
                    && expected < commit.seq()
                {
                    self.gaps.push((expected, Seq(commit.seq_raw - 1)));
                }
                next = next.max(Some(Seq(commit.seq_raw + 1)));
                durable = durable.max(Seq(commit.durable_raw));
                self.report.commits += 1;
                for part in &commit.realms {
                    let progress = self.realms.entry(part.realm()).or_default();
                    progress.named = progress.named.max(part.realm_seq());
                }
                Ok(())
            })?;
            let is_newest = number + 1 == firsts.len();
            for hole in holes {
                // Records at the very end that nobody was told of are torn by every crash.
                let is_torn = is_newest && !hole.is_inside && next.is_some_and(|next| durable < next);
                if !is_torn {
                    let (bytes, at) = (hole.bytes, hole.at);
                    self.report.damage.push(format!("{name}: {bytes} bytes at byte {at} are no records"));
                }
            }
        }
        let reached = Seq(next.map_or(0, |next| next.0.saturating_sub(1)));
        self.report.last = self.report.last.max(reached);
        if reached < durable {
            // Where the log is gone, what the index or a whole checkpoint holds counts.
            self.gaps.push((Seq(reached.0 + 1), durable));
        }
        for (from, to) in &self.gaps {
            self.report.damage.push(format!("the log lacks {}", span("commit", from.0, to.0)));
        }
        Ok(())
    }

    /// Gives every realm the newest state that adds up.
    fn put_bases(&mut self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<()> {
        let total = self.realms.len() as u64;
        let mut of_checkpoints: BTreeMap<Seq, BTreeSet<RealmId>> = BTreeMap::new();
        for (number, (realm, at)) in self.realms.iter_mut().enumerate() {
            progress("realms", number as u64, total);
            at.base = at.held.iter().filter(|held| held.is_whole).max_by_key(|held| (held.state.seq, held.at)).copied();
            let Some(base) = at.base else { continue };
            at.proven = base.at;
            match (base.source, &self.old) {
                (Source::Index, Some(old)) => {
                    copy_realm(&**old, &*self.index, *realm)?;
                    self.index.apply(vec![meta::set_realm_state(*realm, base.state)])?;
                }
                (Source::Index, None) => {}
                (Source::Checkpoint(seq), _) => _ = of_checkpoints.entry(seq).or_default().insert(*realm),
            }
        }
        for (seq, realms) in of_checkpoints {
            let mut batch = Writes::new(&*self.index);
            checkpoint::scavenge(&OnlyReads, &self.from.join("checkpoints"), seq, &mut |part| match part {
                Part::Realm(realm, state) if realms.contains(&realm) => batch.push(meta::set_realm_state(realm, state)),
                Part::Record(realm, key, value) if realms.contains(&realm) => {
                    batch.push(raw_write(realm, key, Some(value)))
                }
                _ => Ok(()),
            })?;
            batch.finish()?;
        }
        Ok(())
    }

    /// Applies what the log has behind each realm's base, as long as every commit leads to the digest that it states.
    fn follow_log(&mut self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<()> {
        let (from, index) = (self.from, self.index.clone());
        let realms = &mut self.realms;
        each_commit(from, progress, &mut |commit| {
            for part in &commit.realms {
                let realm = part.realm();
                let Some(at) = realms.get_mut(&realm) else { continue };
                if at.broken.is_some() {
                    continue;
                }
                let seq = meta::realm_state(&*index.view(), realm)?.seq;
                if part.realm_seq() <= seq {
                    at.proven = at.proven.max(commit.seq());
                    continue;
                }
                let mut batch = Batch::new();
                match apply_part(&*index.view(), commit.seq(), part, &mut batch) {
                    Ok(()) => {
                        index.apply(batch)?;
                        at.proven = at.proven.max(commit.seq());
                    }
                    Err(StoreError::Damaged { what }) => at.broken = Some(what),
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    /// Says which realms are whole, and which commits nothing holds.
    fn judge(&mut self) -> Result<()> {
        let view = self.index.view();
        for (realm, at) in &mut self.realms {
            let seq = meta::realm_state(&*view, *realm)?.seq;
            if at.broken.is_none() && seq < at.named {
                at.broken = Some(format!("its changes end at {seq}, and it had {}", at.named));
            }
            // An index that can't say which change its records are of may have later ones than anything else.
            if at.broken.is_none() && at.held.iter().any(|held| held.state.seq.0 == u64::MAX) {
                at.broken = Some("the index does not say of which change its records are".to_owned());
            }
            let mut salvaged = SalvagedRealm { seq, problems: Vec::new() };
            if at.broken.is_none()
                && let Some((from, to)) = self.gaps.iter().find(|(_, to)| *to > at.proven)
            {
                let from = (*from).max(Seq(at.proven.0 + 1));
                salvaged.problems.push(format!(
                    "it is whole up to commit {}; whether {}, which can't be read, changed it is not known",
                    at.proven,
                    span("commit", from.0, to.0)
                ));
            }
            self.report.realms.insert(*realm, salvaged);
        }
        let dir = self.from.join("checkpoints");
        let mut held = if self.old.is_some() { self.applied } else { Seq(0) };
        for seq in checkpoint::list(&OnlyReads, &dir)?.into_iter().filter(|seq| *seq > held).collect::<Vec<_>>() {
            if checkpoint::read(&OnlyReads, &dir, seq, &mut |_| Ok(())).is_ok() {
                held = seq;
            }
        }
        for (from, to) in self.gaps.iter().filter(|(_, to)| *to > held) {
            let from = (*from).max(Seq(held.0 + 1));
            self.report.lost.push(format!("nowhere in this folder: {}", span("commit", from.0, to.0)));
        }
        Ok(())
    }

    /// Puts together anew, without asking for proof, the realms that are not whole.
    fn take_what_is_left(
        &mut self,
        work: &Work,
        options: &StoreOptions,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<()> {
        let index = self.index.clone();
        let mut left: BTreeMap<RealmId, Rest> = BTreeMap::new();
        for (realm, at) in self.realms.iter().filter(|(_, at)| at.broken.is_some()) {
            let begin = at.base.map_or(RealmSeq(0), |base| base.state.seq);
            let mut layers: Vec<Held> =
                at.held.iter().filter(|held| held.state.seq > begin || held.is_whole).copied().collect();
            layers.retain(|held| held.state.seq > begin || at.base.is_some_and(|base| base.source == held.source));
            layers.sort_by_key(|held| (held.state.seq, held.at));
            clear_realm(&*index, *realm)?;
            left.insert(*realm, Rest { layers, put: 0, seq: begin, begin, problems: Vec::new() });
        }
        if left.is_empty() {
            return Ok(());
        }
        let old = self.old.as_deref();
        let dir = work.dir.join("layers");
        let layers = Layers { side: FjallIndex::open(&dir, options.cache_bytes)?, old };
        layers.read_checkpoints(self.from, &left)?;
        each_commit(self.from, progress, &mut |commit| {
            for part in &commit.realms {
                if let Some(rest) = left.get_mut(&part.realm()) {
                    rest.apply(&layers, &*index, part)?;
                }
            }
            Ok(())
        })?;
        for (realm, mut rest) in left {
            let at = &self.realms[&realm];
            rest.finish(&layers, &*index, realm, at.named)?;
            let why = at.broken.clone().unwrap_or_default();
            let mut problems =
                vec![format!("it can't be proved to be what it was ({why}); what can be read was taken")];
            problems.append(&mut rest.problems);
            let state = RealmState { seq: rest.seq, digest: digest_of(&*index.view(), realm)? };
            index.apply(vec![meta::set_realm_state(realm, state)])?;
            self.report.realms.insert(realm, SalvagedRealm { seq: rest.seq, problems });
        }
        Ok(())
    }

    /// Finds every whole body.
    fn scan_packs(&mut self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<HashMap<u32, Arc<dyn File>>> {
        let dir = self.from.join("packs");
        let numbers = pack_numbers(&OnlyReads, &dir)?;
        if numbers.is_empty() {
            self.report.damage.push("the packs are missing".to_owned());
        }
        let mut files = HashMap::new();
        for (done, number) in numbers.iter().enumerate() {
            progress("packs", done as u64, numbers.len() as u64);
            let path = pack_path(&dir, *number);
            let name = path.display().to_string();
            let file = OnlyReads.open(&path).map_err(StoreError::io(name.clone()))?;
            let len = file.len().map_err(StoreError::io(name.clone()))?;
            let mut batch = Writes::new(&*self.index);
            // Also what is left of a pack whose beginning is gone.
            let (mut at, mut hole_from) = (0, PACK_MAGIC.len() as u64);
            let mut hole = |from: u64, to: u64| {
                if from < to {
                    self.report.damage.push(format!("{name}: {} bytes at byte {from} are no whole body", to - from));
                }
            };
            while let Some((header, start, next)) = next_frame(&*file, at, len)? {
                hole(hole_from, start);
                if let Ok(id) = header.id.as_slice().try_into().map(BodyId::from_bytes) {
                    self.report.bodies += 1;
                    batch.push(meta::write(place_key(&id), Place { pack: *number, offset: start }.to_bytes()))?;
                }
                (at, hole_from) = (next, next);
            }
            hole(hole_from, len);
            batch.finish()?;
            files.insert(*number, file);
        }
        Ok(files)
    }
}

/// A realm that is put together without proof.
struct Rest {
    /// What is to be laid over each other, oldest first.
    layers: Vec<Held>,
    /// How many of them have been.
    put: usize,
    seq: RealmSeq,
    /// What is not newer than this is in the base.
    begin: RealmSeq,
    problems: Vec<String>,
}

impl Rest {
    fn apply(&mut self, layers: &Layers<'_>, index: &dyn IndexEngine, part: &RealmCommit) -> Result<()> {
        if part.realm_seq() <= self.begin || part.realm_seq() <= self.seq {
            return Ok(());
        }
        let realm = part.realm();
        self.put_until(layers, index, realm, part.realm_seq())?;
        self.miss(part.realm_seq());
        let write = |op: &crate::Op| raw_write(realm, &op.key, op.value.as_deref());
        index.apply(part.ops.iter().map(write).collect())?;
        self.seq = part.realm_seq();
        Ok(())
    }

    fn finish(&mut self, layers: &Layers<'_>, index: &dyn IndexEngine, realm: RealmId, named: RealmSeq) -> Result<()> {
        self.put_until(layers, index, realm, RealmSeq(u64::MAX))?;
        if self.layers.iter().any(|held| held.state.seq.0 == u64::MAX) {
            self.put_one(layers, index, realm, self.layers.len() - 1)?;
        }
        self.miss(RealmSeq(named.0.max(self.seq.0) + 1));
        self.seq = self.seq.max(named);
        Ok(())
    }

    /// Lays over what holds changes up to one before `seq`.
    fn put_until(&mut self, layers: &Layers<'_>, index: &dyn IndexEngine, realm: RealmId, seq: RealmSeq) -> Result<()> {
        while self.layers.get(self.put).is_some_and(|held| held.state.seq < seq) {
            self.put_one(layers, index, realm, self.put)?;
            self.put += 1;
        }
        Ok(())
    }

    fn put_one(&mut self, layers: &Layers<'_>, index: &dyn IndexEngine, realm: RealmId, number: usize) -> Result<()> {
        let held = self.layers[number];
        let found = layers.put(realm, &held, index)?;
        if found.unsealed > 0 {
            let what = format!("{} of its records in the index do not match their seals", found.unsealed);
            self.problems.push(what);
        }
        if found.is_interrupted {
            self.problems.push("a part of its records in the index can't be read".to_owned());
        }
        if held.is_whole {
            self.seq = self.seq.max(held.state.seq);
        }
        Ok(())
    }

    /// Says what is missing before a change.
    fn miss(&mut self, next: RealmSeq) {
        let (from, to) = (self.seq.0 + 1, next.0 - 1);
        if from > to {
            return;
        }
        let later = self.layers.iter().find(|held| !held.is_whole && held.state.seq.0 >= to);
        let taken = later.map_or_else(String::new, |held| {
            format!("; what {} has of them was taken as far as it can be read", held.source)
        });
        self.problems.push(format!("its {} can't be read in the log{taken}", span("change", from, to)));
    }
}

/// What could be taken of a layer.
#[derive(Default)]
struct Taken {
    unsealed: u64,
    is_interrupted: bool,
}

/// States of realms, whole or not.
struct Layers<'a> {
    /// What checkpoints hold: checkpoint, realm, key.
    side: FjallIndex,
    old: Option<&'a dyn IndexView>,
}

impl Layers<'_> {
    fn read_checkpoints(&self, from: &Path, left: &BTreeMap<RealmId, Rest>) -> Result<()> {
        let mut wanted: BTreeMap<Seq, BTreeSet<RealmId>> = BTreeMap::new();
        for (realm, rest) in left {
            for held in &rest.layers {
                if let Source::Checkpoint(seq) = held.source {
                    wanted.entry(seq).or_default().insert(*realm);
                }
            }
        }
        for (seq, realms) in wanted {
            let mut batch = Writes::new(&self.side);
            checkpoint::scavenge(&OnlyReads, &from.join("checkpoints"), seq, &mut |part| match part {
                Part::Record(realm, key, value) if realms.contains(&realm) => {
                    let key = [&seq.0.to_be_bytes()[..], &full_key(realm, key)].concat();
                    batch.push((Space::Records, key, Some(value.to_vec())))
                }
                _ => Ok(()),
            })?;
            batch.finish()?;
        }
        Ok(())
    }

    /// Writes what a layer has of a realm.
    fn put(&self, realm: RealmId, held: &Held, index: &dyn IndexEngine) -> Result<Taken> {
        let mut batch = Writes::new(index);
        let taken = match held.source {
            Source::Checkpoint(seq) => {
                let prefix = [seq.0.to_be_bytes(), realm.raw().to_be_bytes()].concat();
                let range = (Bound::Included(prefix.clone()), end_of_prefix(&prefix));
                for row in self.side.view().range(Space::Records, range, Order::Ascending) {
                    let (key, value) = row?;
                    batch.push(raw_write(realm, &key[16..], Some(&value)))?;
                }
                Taken::default()
            }
            Source::Index => match self.old {
                Some(old) => take_readable(old, realm, &mut batch)?,
                None => Taken::default(),
            },
        };
        batch.finish()?;
        Ok(taken)
    }
}

/// Takes the records of a realm whose seals match: from the front up to what can't be read, then from the end.
fn take_readable(old: &dyn IndexView, realm: RealmId, batch: &mut Writes<'_>) -> Result<Taken> {
    let mut taken = Taken::default();
    let mut last: Option<Bytes> = None;
    for order in [Order::Ascending, Order::Descending] {
        let range = match &last {
            // Behind what was read from the front.
            Some(last) => {
                let (_, end) = full_range(realm, (Bound::Unbounded, Bound::Unbounded));
                (Bound::Excluded(last.to_vec()), end)
            }
            None => full_range(realm, (Bound::Unbounded, Bound::Unbounded)),
        };
        let mut rows = old.range(Space::Records, range, order);
        let mut is_interrupted = false;
        loop {
            let row = catch_unwind(AssertUnwindSafe(|| rows.next()));
            let (full, stored) = match row {
                Ok(None) => break,
                Ok(Some(Ok(row))) => row,
                Ok(Some(Err(_))) | Err(_) => {
                    is_interrupted = true;
                    break;
                }
            };
            let key = full.slice(8..);
            match unseal(realm, &key, &stored) {
                Ok((seal, value)) => batch.push((Space::Records, full.to_vec(), Some(sealed(seal, &value))))?,
                Err(_) => taken.unsealed += 1,
            }
            if order == Order::Ascending {
                last = Some(full);
            }
        }
        if !is_interrupted && order == Order::Ascending {
            return Ok(taken);
        }
        taken.is_interrupted = true;
    }
    Ok(taken)
}

/// The realms that an index has anything of.
fn realms_of(view: &dyn IndexView) -> BTreeSet<RealmId> {
    let mut realms: BTreeSet<RealmId> = meta::realm_keys(view).into_iter().collect();
    let mut next = 0_u64;
    loop {
        let range = (Bound::Included(next.to_be_bytes().to_vec()), Bound::Unbounded);
        let row = catch_unwind(AssertUnwindSafe(|| view.range(Space::Records, range, Order::Ascending).next()));
        let Ok(Some(Ok((key, _)))) = row else { return realms };
        let Some(raw) = key.get(..8).and_then(|raw| raw.try_into().ok()).map(u64::from_be_bytes) else { return realms };
        realms.insert(RealmId::from_raw(raw));
        match raw.checked_add(1) {
            Some(after) => next = after,
            None => return realms,
        }
    }
}

fn copy_realm(from: &dyn IndexView, to: &dyn IndexEngine, realm: RealmId) -> Result<()> {
    let mut batch = Writes::new(to);
    for row in from.range(Space::Records, full_range(realm, (Bound::Unbounded, Bound::Unbounded)), Order::Ascending) {
        let (key, stored) = row?;
        batch.push((Space::Records, key.to_vec(), Some(stored.to_vec())))?;
    }
    batch.finish()
}

/// Writes that are gathered.
struct Writes<'a> {
    index: &'a dyn IndexEngine,
    batch: Batch,
    bytes: usize,
}

impl<'a> Writes<'a> {
    const fn new(index: &'a dyn IndexEngine) -> Self {
        Self { index, batch: Batch::new(), bytes: 0 }
    }

    fn push(&mut self, write: meta::Write) -> Result<()> {
        self.bytes += write.1.len() + write.2.as_ref().map_or(0, Vec::len);
        self.batch.push(write);
        if self.bytes > BATCH_BYTES {
            self.bytes = 0;
            self.index.apply(std::mem::take(&mut self.batch))?;
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        self.index.apply(self.batch)
    }
}

/// Gives every commit of a folder's log that can be read, in order.
fn each_commit(
    from: &Path,
    progress: &mut dyn FnMut(&str, u64, u64),
    each: &mut dyn FnMut(&Commit) -> Result<()>,
) -> Result<()> {
    let dir = from.join("log");
    let firsts = log::segments(&OnlyReads, &dir)?;
    for (number, first) in firsts.iter().enumerate() {
        progress("log segments", number as u64, firsts.len() as u64);
        let path = log::segment_path(&dir, *first);
        let name = path.display().to_string();
        let file = OnlyReads.open(&path).map_err(StoreError::io(name.clone()))?;
        log::scavenge(&*file, &name, *first, &mut |commit| each(&commit))?;
    }
    Ok(())
}

/// Gives every commit that can be read of those that were kept in files (see [`Salvaged::open_runs`]), in order.
///
/// # Errors
/// [`StoreError::Damaged`] when there are no such files; those of `each`.
pub fn salvaged_commits(from: &Path, each: &mut dyn FnMut(&Commit) -> Result<()>) -> Result<()> {
    each_run(from, &mut SalvageReport::default(), each)
}

/// Gives every commit of the runs in a folder that can be read, in order.
fn each_run(from: &Path, report: &mut SalvageReport, each: &mut dyn FnMut(&Commit) -> Result<()>) -> Result<()> {
    let names = OnlyReads.list(from).map_err(StoreError::io(from.display().to_string()))?;
    let bounds = |name: &str| -> Option<(u64, u64)> {
        let (first, last) = name.strip_prefix("commits-")?.split_once('-')?;
        Some((first.parse().ok()?, last.parse().ok()?))
    };
    let mut runs: Vec<((u64, u64), String)> =
        names.into_iter().filter_map(|name| Some((bounds(&name)?, name))).collect();
    runs.sort();
    let Some(((begin, _), _)) = runs.first() else {
        return Err(StoreError::damaged(format!("{} holds no commits: no file commits-A-B", from.display())));
    };
    let mut next = *begin;
    let miss = |report: &mut SalvageReport, from: u64, to: u64| {
        if from <= to {
            report.lost.push(format!("{} can't be read", span("commit", from, to)));
        }
    };
    for ((first, last), name) in runs {
        let path = from.join(&name);
        let file = OnlyReads.open(&path).map_err(StoreError::io(path.display().to_string()))?;
        let holes = log::scavenge(&*file, &name, Seq(first), &mut |commit| {
            miss(report, next, commit.seq_raw - 1);
            next = commit.seq_raw + 1;
            report.commits += 1;
            report.last = commit.seq();
            each(&commit)
        })?;
        for hole in holes {
            report.damage.push(format!("{name}: {} bytes at byte {} are no records", hole.bytes, hole.at));
        }
        miss(report, next, last);
        next = next.max(last + 1);
    }
    Ok(())
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    let io = |path: &Path| StoreError::io(path.display().to_string());
    fs::create_dir_all(to).map_err(io(to))?;
    for entry in fs::read_dir(from).map_err(io(from))? {
        let path = entry.map_err(io(from))?.path();
        let Some(name) = path.file_name() else { continue };
        let target = to.join(name);
        if path.is_dir() {
            copy_folder(&path, &target)?;
            continue;
        }
        let file = OnlyReads.open(&path).map_err(io(&path))?;
        let copy = fs::File::create(&target).map_err(io(&target))?;
        let (mut buffer, mut at) = (vec![0; 1 << 20], 0);
        loop {
            let read = file.read_full(&mut buffer, at).map_err(io(&path))?;
            if read == 0 {
                break;
            }
            copy.write_all_at(&buffer[..read], at).map_err(io(&target))?;
            at += read as u64;
        }
    }
    Ok(())
}
