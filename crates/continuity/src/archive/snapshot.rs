//! Snapshots: all realms at one commit. Writers are never stopped: the store gives a consistent view. A realm that has
//! not changed since the previous snapshot costs nothing: its chunks and packs are reused.

mod building;
mod gather;
mod scan;

use std::{collections::HashMap, time::Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, future::BoxFuture};
use prost::Message as _;
use store::{BodyId, Cause, Digest, RealmId, Seq, Store, StoreError};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    ArchiveError, Event, Result, Say, blocking,
    bodies::{BodyShipper, Packs},
    catalog::{Catalog, Newest},
    codec::{Identities, Recipients},
    format::{self, Chunk, Manifest, Needed, RealmPart, SnapshotName},
    line::Line,
    ship,
    target::Target,
    verify::{self, Scope},
};
use gather::{Gathered, Gathering};
use scan::{Step, scan_realm};

/// Chunks that are stored at once.
const UPLOADS: usize = 4;
/// Bodies that commits shipped in smaller packs are gathered into larger ones.
const LEAST_PACK_BYTES: u64 = 4 << 20;

/// Takes snapshots into one target.
pub struct Snapshotter {
    /// Of what.
    pub store: Store,
    /// Whereto.
    pub target: Target,
    /// Who can read them.
    pub recipients: Recipients,
    /// With these a snapshot is read back and decrypted, else its stored bytes are.
    pub identities: Option<Identities>,
    /// Which history.
    pub line: Line,
}

/// A snapshot that was taken.
#[derive(Debug, Clone)]
pub struct Taken {
    /// Its name.
    pub name: SnapshotName,
    /// Realms in it.
    pub realms: usize,
    /// Of those, realms that had not changed.
    pub unchanged: usize,
    /// Records in it.
    pub records: u64,
    /// Bodies that its records refer to.
    pub bodies: u64,
    /// Bytes that had to be stored for it.
    pub new_bytes: u64,
    /// The verification's report.
    pub checked: verify::Report,
    /// Problems that did not prevent the snapshot: realms taken from the log instead, missing bodies.
    pub warnings: Vec<String>,
}

/// The same after the chunk was stored.
enum Stored {
    Chunk(Needed, bool),
    Body(BodyId),
    End(RealmId, u64, Result<u64, StoreError>, Digest),
}

impl Snapshotter {
    /// Takes a snapshot of the current state, verifies it and marks it good.
    ///
    /// # Errors
    /// [`ArchiveError::Damaged`] if the verification fails: the snapshot exists but is not marked.
    /// [`ArchiveError::Store`] when a realm is damaged and no earlier snapshot has it.
    pub fn take<'a>(&'a self, say: Say<'a>, stop: &'a CancellationToken) -> BoxFuture<'a, Result<Taken>> {
        Box::pin(async move {
            let outcome = self.take_inner(say, stop).await;
            let target = self.target.name().to_owned();
            if let Err(error) = &outcome {
                tracing::error!(target, %error, "snapshot");
                metrics::counter!("holdfast_archive_snapshot_failures_total", "target" => target).increment(1);
            }
            outcome
        })
    }

    async fn take_inner(&self, say: Say<'_>, stop: &CancellationToken) -> Result<Taken> {
        let begun = Instant::now();
        let clock = self.store.clock();
        ship::prepare(&self.target, &self.line, clock.now_ms()).await?;
        let catalog = Catalog::read(&self.target).await?;
        let newest = catalog.newest_of(&self.target, &self.line.record).await?;
        let previous = newest.as_ref().map(|newest| &newest.manifest);
        let chunks = self.chunks_there(newest.as_ref()).await?;
        let packs = Packs::list(&self.target, newest.as_ref()).await?;
        let bodies =
            BodyShipper::new(self.store.clone(), self.target.clone(), self.recipients.clone(), packs, LEAST_PACK_BYTES);

        let view = self.store.snapshot();
        let manifest = self.begin(&view).await?;
        let (seq, made_ms) = (Seq(manifest.seq), manifest.made_ms);
        let mut gathering = Gathering::new(manifest, bodies, previous);
        let realms = view.realms()?;
        let total = realms.len();
        let changed = gathering.reuse_unchanged(&view, realms, &chunks)?;
        let unchanged = total - changed.len();
        self.read_realms(view, changed, &chunks, &mut gathering, (say, stop)).await?;
        if gathering.realms() < total {
            return Err(ArchiveError::Stopped);
        }
        let Gathered { manifest, warnings, mut new_bytes } = gathering.finish(&self.target).await?;

        let bytes = manifest.to_stored(|bytes| self.line.sign(bytes))?;
        new_bytes += bytes.len() as u64;
        let name = SnapshotName { line: manifest.line.clone(), seq, made_ms, hash: format::hash(&bytes) };
        self.target.create(&name.manifest(), bytes).await?;
        let scope = Scope::Since(previous);
        let checked = verify::snapshot(&self.target, &manifest, self.identities.as_ref(), scope, say).await?;
        if let Some(first) = checked.damage.first() {
            return Err(ArchiveError::damaged(Cause::Checksum, name.manifest(), format!("reading it back: {first}")));
        }
        verify::mark_good(&self.target, &name, &checked, clock.now_ms()).await?;
        let target = self.target.name().to_owned();
        metrics::gauge!("holdfast_archive_last_good_seconds", "target" => target.clone()).set(made_ms as f64 / 1000.0);
        metrics::histogram!("holdfast_archive_snapshot_seconds", "target" => target.clone())
            .record(begun.elapsed().as_secs_f64());
        tracing::info!(target, %seq, realms = total, new_bytes, "snapshot");
        Ok(Taken {
            name,
            realms: total,
            unchanged,
            records: manifest.realms.iter().map(|part| part.records).sum(),
            bodies: manifest.bodies,
            new_bytes,
            checked,
            warnings,
        })
    }

    /// The chunks that are stored and may be relied on, by their names' ids.
    async fn chunks_there(&self, newest: Option<&Newest>) -> Result<HashMap<String, Needed>> {
        let mut chunks = HashMap::new();
        for object in self.target.list("chunks").await? {
            if let Some(id) = format::chunk_id(&object.name)
                && newest.is_none_or(|newest| newest.keeps(&object))
            {
                chunks.insert(id.to_owned(), Needed { name: object.name.clone(), bytes: object.bytes });
            }
        }
        Ok(chunks)
    }

    /// The manifest of a view, without its realms.
    async fn begin(&self, view: &store::Snapshot) -> Result<Manifest> {
        let (seq, chain, epoch) = (view.seq()?, view.chain()?, view.epoch()?);
        let made_ms = self.store.clock().now_ms();
        let store = self.store.clone();
        let time_ms = blocking(move || store.log_point(seq)).await.ok().and_then(|(_, time_ms)| time_ms);
        Ok(Manifest {
            line: self.line.name().to_owned(),
            seq: seq.0,
            chain: chain.to_vec(),
            epoch,
            time_ms: time_ms.unwrap_or(made_ms),
            made_ms,
            line_record: serde_json::to_vec_pretty(&self.line.record).expect("it is plain data"),
            ..Manifest::default()
        })
    }

    /// Reads the realms of a view, and stores what is not there yet.
    async fn read_realms(
        &self,
        view: store::Snapshot,
        realms: Vec<RealmId>,
        chunks: &HashMap<String, Needed>,
        gathering: &mut Gathering<'_>,
        (say, stop): (Say<'_>, &CancellationToken),
    ) -> Result<()> {
        let total = (gathering.realms() + realms.len()) as u64;
        let (steps, received) = mpsc::channel(4);
        let stopped = stop.clone();
        let scan = tokio::task::spawn_blocking(move || {
            for realm in realms {
                if stopped.is_cancelled() || scan_realm(&view, realm, &steps).is_err() {
                    return;
                }
            }
        });
        let stored = futures_util::stream::unfold(received, |mut received| async move {
            received.recv().await.map(|step| (step, received))
        })
        .map(|step| async move {
            match step {
                Step::Chunk(chunk) => self.store_chunk(chunk, chunks).await,
                Step::Body(id) => Ok(Stored::Body(id)),
                Step::End(realm, seq, outcome, digest) => Ok(Stored::End(realm, seq, outcome, digest)),
            }
        })
        .buffered(UPLOADS);
        let mut stored = std::pin::pin!(stored);
        while let Some(step) = stored.next().await {
            match step? {
                Stored::Chunk(needed, is_new) => gathering.chunk(needed, is_new),
                Stored::Body(id) => gathering.body(id).await?,
                Stored::End(realm, realm_seq, outcome, digest) => {
                    gathering.end(realm, realm_seq, outcome, digest)?;
                    say(Event::Progress { what: "realms", done: gathering.realms() as u64, total });
                }
            }
        }
        scan.await.map_err(|_| ArchiveError::Stopped)
    }

    async fn store_chunk(&self, chunk: Chunk, known: &HashMap<String, Needed>) -> Result<Stored> {
        let plain = chunk.encode_to_vec();
        let id = self.line.chunk_id(&plain);
        if let Some(needed) = known.get(&id) {
            return Ok(Stored::Chunk(needed.clone(), false));
        }
        let recipients = self.recipients.clone();
        let sealed = Bytes::from(blocking(move || recipients.seal(&plain)).await?);
        let name = format::chunk_name(&id, &sealed);
        let needed = Needed { name, bytes: sealed.len() as u64 };
        self.target.create(&needed.name, sealed).await?;
        Ok(Stored::Chunk(needed, true))
    }
}

/// A realm's part in a manifest.
pub(super) fn part_of(manifest: &Manifest, realm: RealmId) -> Option<&RealmPart> {
    manifest.realms.iter().find(|part| part.realm == realm.raw())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{building::Building, *};
    use crate::archive::{
        codec::new_identity,
        restore::{At, Wish, restore},
        ship::Shipper,
        target::TargetOptions,
    };

    async fn write(store: &Store, account: u32, key: &str) {
        let (realm, key) = (RealmId::account(account), key.as_bytes().to_vec());
        let body = store.put_body(&key).unwrap();
        store
            .transact(move |tx| {
                tx.ref_body(realm, &body.id(), b"");
                tx.put(realm, key, b"value".to_vec());
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_realm_that_could_not_be_read_that_night_is_the_earlier_one_and_the_log() {
        let dir = tempfile::tempdir().unwrap();
        let (text, recipient) = new_identity();
        std::fs::write(dir.path().join("identity"), text).unwrap();
        let identities = Identities::read(&dir.path().join("identity")).unwrap();
        let url = format!("file://{}/target", dir.path().display());
        let target = Target::open(&TargetOptions { url, ..TargetOptions::default() }).unwrap();
        let store = Store::open(&dir.path().join("primary"), store::StoreOptions::default()).unwrap();
        let snapshotter = Snapshotter {
            line: Line::of(&store, &target).await.unwrap(),
            store: store.clone(),
            target: target.clone(),
            recipients: Recipients::parse(&[recipient]).unwrap(),
            identities: Some(identities.clone()),
        };
        let ship = async || {
            let line = snapshotter.line.clone();
            let every = Duration::from_millis(1);
            Shipper::new(store.clone(), target.clone(), snapshotter.recipients.clone(), line, every)
                .catch_up()
                .await
                .unwrap();
        };
        for account in [1, 2] {
            write(&store, account, "before").await;
        }
        ship().await;
        let first = snapshotter.take(&|_| {}, &CancellationToken::new()).await.unwrap();
        for account in [1, 2, 1] {
            write(&store, account, &format!("after {account} {}", store.seq())).await;
        }
        ship().await;
        let second = snapshotter.take(&|_| {}, &CancellationToken::new()).await.unwrap();
        write(&store, 2, "last").await;
        ship().await;

        // The second snapshot as it is when account 1 could not be read: its part is the first one's.
        let catalog = Catalog::read(&target).await.unwrap();
        let earlier = catalog.manifest(&target, &first.name).await.unwrap();
        let whole = catalog.manifest(&target, &second.name).await.unwrap();
        let realms = whole.realms.clone();
        let head = Manifest { realms: Vec::new(), objects: Vec::new(), bodies: 0, ..whole.clone() };
        let mut building = Building { manifest: head, places: HashMap::new() };
        for part in &realms {
            let realm = RealmId::from_raw(part.realm);
            if realm == RealmId::account(1) {
                building.reuse(&earlier, part_of(&earlier, realm).unwrap(), first.name.seq.0);
            } else {
                building.reuse(&whole, part, part.at);
            }
        }
        let bytes = building.manifest.to_stored(|bytes| snapshotter.line.sign(bytes)).unwrap();
        let name = SnapshotName { made_ms: second.name.made_ms + 1, hash: format::hash(&bytes), ..second.name.clone() };
        target.create(&name.manifest(), bytes).await.unwrap();
        let scope = Scope::All;
        let checked = verify::snapshot(&target, &building.manifest, Some(&identities), scope, &|_| {}).await.unwrap();
        assert!(checked.damage.is_empty(), "{:?}", checked.damage);
        verify::mark_good(&target, &name, &checked, name.made_ms).await.unwrap();
        for object in [second.name.manifest(), second.name.good()] {
            target.delete(&object).await.unwrap();
        }

        let wish = Wish {
            target,
            identities,
            dir: dir.path().join("second"),
            options: store::StoreOptions::default(),
            at: At::Last,
            line: None,
            without_damaged: false,
            signed_by: Vec::new(),
        };
        let restored = restore(&wish, &|_| {}).await.unwrap();
        assert_eq!((restored.store.seq(), restored.bodies), (store.seq(), 5));
        let (theirs, ours) = (restored.store.snapshot(), store.snapshot());
        for realm in store.realms() {
            assert_eq!(theirs.digest(realm).unwrap(), ours.digest(realm).unwrap(), "{realm}");
        }
    }

    #[test]
    fn a_manifest_that_is_signed_by_another_key_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let line = |name: &str| Line::open(&dir.path().join(name), 1).unwrap();
        let (mine, other) = (line("mine"), line("other"));
        let manifest = Manifest { line: mine.name().to_owned(), seq: 1, ..Manifest::default() };
        let stored = manifest.to_stored(|bytes| other.sign(bytes)).unwrap();
        let name =
            SnapshotName { line: mine.name().to_owned(), seq: store::Seq(1), made_ms: 1, hash: format::hash(&stored) };
        let refused = Manifest::from_stored(&name, &stored, &mine.record.key().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("signed"), "{refused}");
        assert!(Manifest::from_stored(&name, &stored, &other.record.key().unwrap()).is_ok());
    }
}
