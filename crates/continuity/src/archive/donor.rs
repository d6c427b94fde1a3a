//! An archive as a donor of damaged bodies; of the log in [`log`].

pub mod log;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use futures_util::future::BoxFuture;
use store::{BodyId, Store};

use super::{
    ArchiveError, Result, blocking,
    bodies::{noted_pack, read_index},
    codec::{Identities, MAX_BODY_BYTES},
    format::{self, PackedBody},
    target::{Target, fetch},
};
use crate::mending::{Bodies, Donor, log::History};

/// Gives bodies from an archive that this machine can read.
pub struct ArchiveDonor {
    store: Store,
    target: Target,
    identities: Identities,
    searches: bool,
}

impl ArchiveDonor {
    /// Of `store`, which ships to `target`.
    pub fn new(store: Store, target: Target, identities: Identities) -> Self {
        Self { store, target, identities, searches: false }
    }

    /// The same, looking through the whole archive for bodies of which this machine does not know in which pack they lie:
    /// it forgets that when its index is rebuilt.
    #[must_use]
    pub fn searching(self) -> Self {
        Self { searches: true, ..self }
    }

    /// The bodies by the pack that each was shipped in, as far as is known here.
    fn packs(&self, ids: &[BodyId]) -> Result<BTreeMap<String, Vec<BodyId>>> {
        let snapshot = self.store.snapshot();
        let mut packs: BTreeMap<String, Vec<BodyId>> = BTreeMap::new();
        for id in ids {
            if let Some(noted) = noted_pack(&snapshot, &self.target, id)? {
                packs.entry(noted.pack).or_default().push(*id);
            }
        }
        Ok(packs)
    }

    async fn give(&self, ids: &[BodyId]) -> Result<Bodies> {
        let packs = self.packs(ids)?;
        let mut given = Vec::new();
        if packs.is_empty() && !self.searches {
            return Ok(given);
        }
        let mut indexes: HashMap<String, Vec<String>> = HashMap::new();
        for object in self.target.list("bodies").await? {
            if let Some(pack) = format::pack_of_index(&object.name) {
                indexes.entry(pack.to_owned()).or_default().push(object.name.clone());
            }
        }
        for (pack, ids) in packs {
            for index in indexes.remove(&pack).unwrap_or_default() {
                self.take_from(&pack, &index, &ids, &mut given).await;
            }
        }
        if self.searches {
            let mut missing: Vec<BodyId> = ids.to_vec();
            for (pack, names) in indexes {
                let came: HashSet<BodyId> = given.iter().map(|(id, _)| *id).collect();
                missing.retain(|id| !came.contains(id));
                if missing.is_empty() {
                    break;
                }
                for index in names {
                    self.take_from(&pack, &index, &missing, &mut given).await;
                }
            }
        }
        Ok(given)
    }

    async fn take_from(&self, pack: &str, index: &str, ids: &[BodyId], given: &mut Bodies) {
        match self.read_in(pack, index, ids).await {
            // What its index misstates, or is damaged there, may be right in another pack.
            Ok(bodies) => given.extend(bodies.into_iter().filter(|(id, bytes)| BodyId::of(bytes) == *id)),
            // Another index, or another donor, may do.
            Err(error) => tracing::warn!(pack, %error, "what is damaged here is not read from it"),
        }
    }

    async fn read_in(&self, pack: &str, index: &str, ids: &[BodyId]) -> Result<Bodies> {
        let sealed = fetch(&self.target, index).await?;
        let (identities, name) = (self.identities.clone(), index.to_owned());
        let listed =
            blocking(move || read_index(&name, &identities.open(&name, &sealed, format::MAX_INDEX_BYTES)?)).await?;
        let object = format::pack_name(pack);
        let mut given = Vec::new();
        for id in ids {
            let Some((start, end)) = listed.bodies.iter().find_map(|body| of(body, id)) else { continue };
            let stored = self.target.get_range(&object, start..end).await?;
            let (identities, object, id) = (self.identities.clone(), object.clone(), *id);
            let plain = blocking(move || identities.open(&object, &stored, MAX_BODY_BYTES)).await?;
            given.push((id, plain));
        }
        Ok(given)
    }
}

/// A body's location, if the pack has it.
fn of(body: &PackedBody, id: &BodyId) -> Option<(u64, u64)> {
    (body.id == id.as_bytes()).then(|| Some((body.offset, body.end()?))).flatten()
}

impl Donor for ArchiveDonor {
    fn name(&self) -> String {
        format!("the archive {}", self.target.name())
    }

    fn bodies<'a>(&'a self, ids: &'a [BodyId]) -> BoxFuture<'a, std::result::Result<Bodies, String>> {
        Box::pin(async move { self.give(ids).await.map_err(|error: ArchiveError| error.to_string()) })
    }

    fn histories(&self) -> BoxFuture<'_, std::result::Result<Vec<Arc<dyn History>>, String>> {
        Box::pin(log::histories(self.store.dir(), &self.target, &self.identities))
    }
}
