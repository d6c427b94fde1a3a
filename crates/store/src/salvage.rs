//! Salvage: recovers everything readable from a damaged store, and lists what is unreadable.
//!
//! The folder is only read: no file in it is changed or opened for writing. The result is assembled in a scratch folder,
//! realm by realm:
//!
//! 1. The newest state of the realm with the right digest (from the index or a checkpoint) and the log after it, each
//!    commit producing the digest that it states. If that reaches the last known commit of the realm, the realm is
//!    *complete*.
//! 2. Otherwise everything readable, in the order in which it was written: checkpoints, the log, records of the index
//!    with matching seals. In doubt, data is kept: a message that a lost commit deleted or moved is there again.
//!
//! Bodies stay in their packs: every pack is scanned, each body compared with its hash, damaged ones are skipped.

mod assemble;
mod layers;
mod look;
mod only_reads;
mod report;
mod runs;
mod scratch;
mod writes;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    ops::Bound,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;

use crate::{
    BODY_REFERENCE, BodyId, BodyReader, Digest, Order, Read, RealmId, RealmSeq, Result, Rows, StoreError, StoreOptions,
    body::{Place, place_key},
    body_of_key,
    disk::File,
    index::{Batch, IndexEngine, IndexView, RealmState, Space, full_key, full_range, is_empty_range, meta, unseal},
    lock::Lock,
    read::end_of_prefix,
    store::found_format,
};

use look::Salvage;
pub use report::{SalvageReport, SalvagedRealm};
use runs::each_run;
pub use runs::salvaged_commits;
use scratch::Work;
use writes::raw_write;

/// The salvaged data. Can be read like a snapshot; its scratch folder is removed when it is dropped.
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
    /// Reads everything readable of the store in `from`, which must be closed. `scratch` needs disk space of twice its index,
    /// not for its bodies. `progress` is called with the current part, units done and units in total. Blocks while
    /// everything is read.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has the store open, or works in the scratch folder;
    /// [`StoreError::NewerFormat`]; [`StoreError::Refused`] when there is nothing of a store in `from`, or the scratch
    /// folder is within it. What is damaged in the store is no error: it is in the report.
    pub fn open(
        from: &Path,
        scratch: &Path,
        options: &StoreOptions,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<Self> {
        let parts = ["log", "index", "checkpoints", "packs"];
        if !parts.iter().any(|part| from.join(part).is_dir()) {
            return Err(StoreError::refused(format!(
                "{} contains no store: no log, index, checkpoints or packs",
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
    /// [`StoreError::Refused`] when there are no such files; those of reading. What can't be read is in the report.
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

    /// The report.
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
        Ok(BodyReader::open(*id, file.clone(), place, std::sync::Weak::new()).and_then(|mut body| body.read_all()).ok())
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

/// # Errors
/// [`StoreError::NewerFormat`]. A format that is missing or can't be read is damage like any other.
fn check_format(from: &Path) -> Result<()> {
    match found_format(from) {
        Err(error @ StoreError::NewerFormat { .. }) => Err(error),
        _ => Ok(()),
    }
}
