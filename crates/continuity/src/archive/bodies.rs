//! Packs bodies for an archive: bodies are collected into packs, each body sealed separately.
//!
//! The pack of each body is noted next to the local index; a note is valid only while the archive still has that pack.
//! Losing the notes only costs space in the archive.

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use store::{BodyId, Cause, Snapshot, Store, StoreError};

use super::{
    ArchiveError, Result, blocking,
    catalog::Newest,
    codec::Recipients,
    format::{self, PackIndex, PackedBody},
    target::{Object, Target},
};

/// A pack is closed when it is larger.
const PACK_BYTES: usize = 16 << 20;

/// The packs that an archive has with their indexes, and their sizes.
#[derive(Debug, Clone, Default)]
pub(super) struct Packs(HashMap<String, u64>);

impl Packs {
    /// Asks the archive. Beside the packs that are newer than the newest good snapshot only those count that it needs:
    /// [`super::prune`] never takes these away while they may be relied on.
    pub(super) async fn list(target: &Target, newest: Option<&Newest>) -> Result<Self> {
        Ok(Self::among(&target.list("bodies").await?, newest))
    }

    /// The same, of objects that were listed.
    pub(super) fn among(objects: &[Object], newest: Option<&Newest>) -> Self {
        let whole = || objects.iter().filter(|object| object.bytes > 0);
        let indexed: HashSet<&str> = whole().filter_map(|object| format::pack_of_index(&object.name)).collect();
        let packs = whole().filter_map(|object| {
            let pack = object.name.strip_prefix("bodies/")?.strip_suffix(".pack")?;
            let counts = indexed.contains(pack) && newest.is_none_or(|newest| newest.keeps(object));
            counts.then(|| (pack.to_owned(), object.bytes))
        });
        Self(packs.collect())
    }

    pub(super) fn add(&mut self, more: Self) {
        self.0.extend(more.0);
    }

    /// Whether a pack exists as noted.
    pub(super) fn has(&self, noted: &NotedPack) -> bool {
        self.bytes(&noted.pack).is_some_and(|bytes| noted.bytes.is_none_or(|stored| stored == bytes))
    }

    pub(super) fn bytes(&self, pack: &str) -> Option<u64> {
        self.0.get(pack).copied()
    }
}

/// The result of shipping one body.
pub(super) enum Shipped {
    /// It is in this pack.
    In(String),
    /// It is in the pack that is being filled.
    Pending,
    /// The store does not have it, or not whole.
    Missing,
}

/// Fills packs.
pub(super) struct BodyShipper {
    store: Store,
    target: Target,
    recipients: Recipients,
    pub(super) packs: Packs,
    /// Bodies in smaller packs are shipped again.
    least_pack_bytes: u64,
    pack: Vec<u8>,
    index: PackIndex,
    pending: HashSet<BodyId>,
    /// Bodies and bytes shipped, for statistics.
    pub(super) shipped: (u64, u64),
}

/// What is noted here of the pack that a body lies in: `HASH BYTES`, or `HASH` alone where the size is not known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NotedPack {
    pub(super) pack: String,
    pub(super) bytes: Option<u64>,
}

/// What is noted of the pack that a body lies in, whether or not it is still there.
pub(super) fn noted_pack(snapshot: &Snapshot, target: &Target, id: &BodyId) -> Result<Option<NotedPack>> {
    let note = snapshot.note_of(&space(target), id.as_bytes())?;
    let Some(text) = note.and_then(|note| String::from_utf8(note.to_vec()).ok()) else { return Ok(None) };
    let (pack, bytes) = text.split_once(' ').map_or((text.as_str(), None), |(pack, bytes)| (pack, bytes.parse().ok()));
    Ok(Some(NotedPack { pack: pack.to_owned(), bytes }))
}

fn space(target: &Target) -> String {
    format!("archive/{}", target.name())
}

impl BodyShipper {
    pub(super) fn new(store: Store, target: Target, recipients: Recipients, packs: Packs, least: u64) -> Self {
        Self {
            store,
            target,
            recipients,
            packs,
            least_pack_bytes: least,
            pack: Vec::new(),
            index: PackIndex::default(),
            pending: HashSet::new(),
            shipped: (0, 0),
        }
    }

    /// The pack that a body is in, as far as is known here, unless that is too small.
    pub(super) fn pack_of(&self, id: &BodyId) -> Result<Option<String>> {
        let pack = self.any_pack_of(id)?;
        Ok(pack.filter(|pack| self.packs.bytes(pack).is_some_and(|bytes| bytes >= self.least_pack_bytes)))
    }

    /// The same, however small the pack is. A pack that has another size than when it was stored is not that pack.
    pub(super) fn any_pack_of(&self, id: &BodyId) -> Result<Option<String>> {
        let Some(noted) = noted_pack(&self.store.snapshot(), &self.target, id)? else { return Ok(None) };
        Ok(self.packs.has(&noted).then_some(noted.pack))
    }

    /// Sees to it that a body is in the archive once [`BodyShipper::flush`] has returned.
    pub(super) async fn ensure(&mut self, id: BodyId) -> Result<Shipped> {
        if self.pending.contains(&id) {
            return Ok(Shipped::Pending);
        }
        if let Some(pack) = self.pack_of(&id)? {
            return Ok(Shipped::In(pack));
        }
        let (store, recipients) = (self.store.clone(), self.recipients.clone());
        let sealed = blocking(move || -> Result<_> {
            let bytes = match store.body(&id).and_then(|mut body| body.read_all()) {
                Err(error @ (StoreError::BodyMissing { .. } | StoreError::BodyDamaged { .. })) => {
                    tracing::error!(%error, "can't ship a body to the archive");
                    return Ok(None);
                }
                other => other?,
            };
            Ok(Some((recipients.seal(&bytes)?, bytes.len() as u64)))
        });
        let Some((sealed, plain)) = sealed.await? else { return Ok(Shipped::Missing) };
        self.index.bodies.push(PackedBody {
            id: id.as_bytes().to_vec(),
            offset: self.pack.len() as u64,
            stored: sealed.len() as u64,
            plain,
        });
        self.pack.extend_from_slice(&sealed);
        self.pending.insert(id);
        if self.pack.len() > PACK_BYTES {
            self.flush().await?;
        }
        Ok(Shipped::Pending)
    }

    /// Stores the pack that is being filled, if there is anything in it. After an error it can be tried again: nothing
    /// is lost, and nothing is stored twice under one name.
    pub(super) async fn flush(&mut self) -> Result<()> {
        if self.index.bodies.is_empty() {
            return Ok(());
        }
        let bytes = bytes::Bytes::from(std::mem::take(&mut self.pack));
        let stored = self.store_pack(&bytes).await;
        match stored {
            Ok(pack) => {
                self.shipped.0 += self.index.bodies.len() as u64;
                self.shipped.1 += bytes.len() as u64;
                let ids = std::mem::take(&mut self.index).bodies.into_iter().map(|body| body.id);
                let note = format!("{pack} {}", bytes.len());
                let notes: Vec<_> = ids.map(|id| (id, Some(note.clone().into_bytes()))).collect();
                self.store.set_notes(&space(&self.target), notes)?;
                self.packs.0.insert(pack, bytes.len() as u64);
                self.pending.clear();
                Ok(())
            }
            Err(error) => {
                self.pack = bytes.to_vec();
                Err(error)
            }
        }
    }

    async fn store_pack(&self, bytes: &bytes::Bytes) -> Result<String> {
        let pack = format::hash(bytes);
        let (recipients, plain) = (self.recipients.clone(), self.index.encode_to_vec());
        let index = bytes::Bytes::from(blocking(move || recipients.seal(&plain)).await?);
        self.target.create(&format::pack_name(&pack), bytes.clone()).await?;
        // Last: a pack counts once its index is there.
        self.target.create(&format::index_name(&pack, &index), index).await?;
        Ok(pack)
    }
}

/// Notes the packs of restored bodies, so that they are not shipped again.
pub(super) fn note_packs(store: &Store, target: &Target, packs: &[(BodyId, String)]) -> Result<()> {
    let note = |(id, pack): &(BodyId, String)| (id.as_bytes().to_vec(), Some(pack.clone().into_bytes()));
    for some in packs.chunks(10_000) {
        store.set_notes(&space(target), some.iter().map(note))?;
    }
    Ok(())
}

/// Reads a pack's index.
pub(super) fn read_index(object: &str, plain: &[u8]) -> Result<PackIndex> {
    PackIndex::decode(plain).map_err(|error| ArchiveError::damaged(Cause::Decoding, object, error))
}
