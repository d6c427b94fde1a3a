//! Makes a store from external data: the records at one commit, the commits after it, the bodies.
//!
//! During the restore the folder has a file `restoring`, and no store opens there. An unfinished restore starts over,
//! except for bodies, which are most of the data and verify themselves by their hashes.

mod serving;

use std::{
    collections::HashMap,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    BODY_REFERENCE, BodyId, Damaged, Digest, Order, RealmCommit, RealmId, RealmSeq, Result, Seq, Snapshot, Store,
    StoreError, StoreOptions,
    body::Packs,
    checkpoint,
    digest::Seal,
    index::{Batch, FjallIndex, IndexEngine, RealmState, Space, apply_part, full_key, full_range, meta, sealed},
    lock::Lock,
    log::{Chain, Log},
    marks::{self, RESTORING},
    options::Role,
    staging::BodyWriter,
    store,
    verify::digest_of,
};

/// Records written to the index together.
const BATCH_BYTES: usize = 4 << 20;
/// Bodies made durable together.
const SYNC_EVERY_BYTES: u64 = 64 << 20;

/// A store in the making.
pub struct Restore {
    pub(crate) dir: PathBuf,
    pub(crate) mark: String,
    options: StoreOptions,
    lock: Lock,
    pub(crate) index: Arc<dyn IndexEngine>,
    packs: Arc<Packs>,
    unsynced: u64,
}

impl Restore {
    /// Starts in an empty folder, or in one with an unfinished restore with the same `mark`, a line that identifies it.
    ///
    /// # Errors
    /// [`StoreError::Refused`] if the folder has anything else; it is not changed. [`StoreError::Locked`].
    pub fn begin(dir: &Path, options: StoreOptions, mark: &str) -> Result<Self> {
        let io = || StoreError::io(dir.display().to_string());
        options.disk.create_dir(dir).map_err(io())?;
        let lock = Lock::take(dir)?;
        match marks::restoring(dir)? {
            Some(found) if found == mark => {
                tracing::info!("resuming an unfinished restore");
            }
            Some(found) => {
                return Err(StoreError::refused(format!(
                    "an unfinished restore of `{}` is in {}, but this restore is of `{mark}`: empty the folder first",
                    found.lines().next().unwrap_or_default(),
                    dir.display()
                )));
            }
            None => {
                for part in ["format", "log", "index", "packs", "checkpoints", "witness"] {
                    if dir.join(part).exists() {
                        return Err(StoreError::refused(format!(
                            "{} already contains a store: restore into an empty folder",
                            dir.display()
                        )));
                    }
                }
                marks::write_mark(dir.join(RESTORING), mark)?;
            }
        }
        for part in ["index", "log", "checkpoints"] {
            match std::fs::remove_dir_all(dir.join(part)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io()(error)),
                _ => {}
            }
        }
        store::check_format(dir)?;
        let index: Arc<dyn IndexEngine> = Arc::new(FjallIndex::open(&dir.join("index"), &options)?);
        let (room, tally) = (options.room(dir), Arc::default());
        let packs = Arc::new(Packs::open(room, &dir.join("packs"), index.clone(), options.pack_bytes, tally)?);
        Ok(Self { dir: dir.to_owned(), mark: mark.to_owned(), options, lock, index, packs, unsynced: 0 })
    }

    /// A handle that fills realms from another thread.
    pub fn filler(&self) -> Filler {
        Filler { index: self.index.clone() }
    }

    /// As [`Filler::realm`].
    pub fn realm<E: From<StoreError>>(
        &self,
        realm: RealmId,
        seq: RealmSeq,
        digest: Digest,
        records: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), E>>,
    ) -> Result<(), E> {
        self.filler().realm(realm, seq, digest, records)
    }

    /// Applies the writes of a commit in one realm.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if it does not produce the digest that it states; then nothing is written.
    pub fn apply(&self, seq: Seq, part: &RealmCommit) -> Result<()> {
        let mut batch = Batch::new();
        apply_part(&*self.index.view(), seq, part, &mut batch)?;
        self.index.apply(batch)
    }

    /// What the realms hold that are there so far. The restore lives as long as a reader holds it.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::of_index(self.index.view())
    }

    /// What says [`StoreError::Full`] when less than the reserve is left on the disk.
    pub fn room(&self) -> impl Fn() -> Result<()> + Clone + Send + Sync + use<> {
        let room = self.options.room(&self.dir);
        move || room.check()
    }

    /// The last commit of a realm and the digest it states, as far as restored.
    pub fn realm_state(&self, realm: RealmId) -> Result<(RealmSeq, Digest)> {
        let state = meta::realm_state(&*self.index.view(), realm)?;
        Ok((state.seq, state.digest))
    }

    /// The bodies that the records refer to, each with the first realm that does.
    pub fn bodies(&self) -> Result<HashMap<BodyId, RealmId>> {
        let view = self.index.view();
        let mut found = HashMap::new();
        for (realm, _) in meta::realm_states(&*view)? {
            let range = (Bound::Included(vec![BODY_REFERENCE]), Bound::Unbounded);
            for row in view.range(Space::Records, full_range(realm, range), Order::Ascending) {
                if let Some(id) = crate::body_of_key(&row?.0[8..]) {
                    found.entry(id).or_insert(realm);
                }
            }
        }
        Ok(found)
    }

    /// Whether a body is there already.
    pub fn has_body(&self, id: &BodyId) -> Result<bool> {
        match self.packs.check_known(id) {
            Ok(()) => Ok(true),
            Err(StoreError::BodyMissing { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Keeps a body.
    pub fn put_body(&mut self, bytes: &[u8]) -> Result<BodyId> {
        let mut writer = BodyWriter::new(self.packs.clone());
        std::io::Write::write_all(&mut writer, bytes).map_err(StoreError::io("body"))?;
        let id = writer.finish()?.id();
        self.unsynced += bytes.len() as u64;
        if self.unsynced > SYNC_EVERY_BYTES {
            self.unsynced = 0;
            self.packs.sync()?;
        }
        Ok(id)
    }

    /// Opens what was made as a store whose last commit is `seq`, with `chain` after it; its next commits are of
    /// `epoch`. Every realm is added up once more. The folder stays marked: call [`Restore::done`] when the store may be
    /// opened by others, after whatever must be changed in it first.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when a realm does not add up.
    pub fn finish(self, seq: Seq, chain: Chain, epoch: u64) -> Result<Store> {
        self.begin_log(seq, chain, epoch, true)?.open(Role::Whole, || Ok(()))
    }

    /// Adds up every realm that is there, and begins the log.
    pub(crate) fn begin_log(self, seq: Seq, chain: Chain, epoch: u64, is_whole: bool) -> Result<Begun> {
        let Self { dir, options, lock, index, packs, .. } = self;
        packs.sync()?;
        drop(packs);
        index.apply(vec![meta::set_applied(seq, &chain), meta::set_epoch(epoch), meta::set_first(Seq(seq.0 + 1))])?;
        let view = index.view();
        for (realm, state) in meta::realm_states(&*view)? {
            let digest = digest_of(&*view, realm)?;
            if digest != state.digest {
                return Err(Damaged::wrong_digest(realm, digest, state.digest).into());
            }
        }
        index.persist()?;
        if is_whole {
            checkpoint::write(&*options.disk, &dir.join("checkpoints"), &*view, None, options.clock.now_ms(), &|| {
                true
            })?;
        }
        drop(view);
        let log_dir = dir.join("log");
        options.disk.create_dir(&log_dir).map_err(StoreError::io(log_dir.display().to_string()))?;
        drop(Log::begin(options.disk.clone(), &log_dir, Seq(seq.0 + 1), chain, options.segment_bytes)?);
        Ok(Begun { dir, options, lock, index })
    }

    /// Removes the mark durably: from now on this is a normal store.
    pub fn done(store: &Store) -> Result<()> {
        let dir = store.dir();
        std::fs::remove_file(dir.join(RESTORING))
            .and_then(|()| std::fs::File::open(dir)?.sync_all())
            .map_err(StoreError::io(dir.display().to_string()))
    }
}

/// A restored folder, about to be opened as a store.
pub(crate) struct Begun {
    dir: PathBuf,
    options: StoreOptions,
    lock: Lock,
    index: Arc<dyn IndexEngine>,
}

impl Begun {
    pub(crate) fn open(self, role: Role, mark: impl FnOnce() -> Result<()>) -> Result<Store> {
        mark()?;
        Store::open_on(&self.dir, self.options, self.index, Some(Arc::new(self.lock)), role)
    }
}

/// Replaces a realm's records. See [`Restore::realm`].
pub(crate) fn fill_realm<E: From<StoreError>>(
    index: &dyn IndexEngine,
    realm: RealmId,
    state: RealmState,
    records: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), E>>,
) -> Result<(), E> {
    clear_realm(index, realm)?;
    let (mut batch, mut bytes, mut found) = (Batch::new(), 0, Digest::default());
    for record in records {
        let (key, value) = match record {
            Ok(record) => record,
            Err(error) => {
                clear_realm(index, realm)?;
                return Err(error);
            }
        };
        let seal = Seal::of(realm, &key, &value);
        found.add(seal);
        bytes += key.len() + value.len();
        batch.push((Space::Records, full_key(realm, &key), Some(sealed(seal, &value))));
        if bytes > BATCH_BYTES {
            bytes = 0;
            index.apply(std::mem::take(&mut batch))?;
        }
    }
    if found != state.digest {
        index.apply(batch)?;
        clear_realm(index, realm)?;
        return Err(StoreError::from(Damaged::wrong_digest(realm, found, state.digest)).into());
    }
    batch.push(meta::set_realm_state(realm, state));
    Ok(index.apply(batch)?)
}

pub(crate) fn clear_realm(index: &dyn IndexEngine, realm: RealmId) -> Result<()> {
    let view = index.view();
    let mut batch = Batch::new();
    for row in view.range(Space::Records, full_range(realm, (Bound::Unbounded, Bound::Unbounded)), Order::Ascending) {
        batch.push((Space::Records, row?.0.to_vec(), None));
        if batch.len() >= 10_000 {
            index.apply(std::mem::take(&mut batch))?;
        }
    }
    batch.push(meta::set_realm_state(realm, RealmState::default()));
    index.apply(batch)
}

/// Fills the realms of a store in the making.
#[derive(Clone)]
pub struct Filler {
    index: Arc<dyn IndexEngine>,
}

impl Filler {
    /// Replaces a realm's records.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the records do not match `digest`: then the realm is empty. Those of `records`.
    pub fn realm<E: From<StoreError>>(
        &self,
        realm: RealmId,
        seq: RealmSeq,
        digest: Digest,
        records: impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), E>>,
    ) -> Result<(), E> {
        fill_realm(&*self.index, realm, RealmState { seq, digest }, records)
    }
}
