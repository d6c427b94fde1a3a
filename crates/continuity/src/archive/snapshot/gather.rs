//! What a snapshot is put together from: realm by realm, in the order in which the store was read.

use std::collections::{BTreeSet, HashMap};

use store::{BodyId, Cause, Digest, Read as _, RealmId, Seq, Snapshot, StoreError};

use super::{building::Building, part_of};
use crate::archive::{
    ArchiveError, Result,
    bodies::{BodyShipper, Packs, Shipped},
    format::{self, Manifest, Needed, RealmPart},
    target::Target,
};

/// A snapshot as far as it has come.
pub(super) struct Gathering<'a> {
    building: Building,
    bodies: BodyShipper,
    /// The snapshot before it.
    previous: Option<&'a Manifest>,
    seq: Seq,
    /// The realm that is being read.
    part: RealmPart,
    packs_of: BTreeSet<String>,
    /// Bodies whose pack is not stored yet, and the places of their realms in the manifest.
    unresolved: Vec<(usize, BodyId)>,
    warnings: Vec<String>,
    new_bytes: u64,
}

/// A snapshot all of whose objects are stored but itself.
pub(super) struct Gathered {
    pub(super) manifest: Manifest,
    pub(super) warnings: Vec<String>,
    pub(super) new_bytes: u64,
}

impl<'a> Gathering<'a> {
    pub(super) fn new(manifest: Manifest, bodies: BodyShipper, previous: Option<&'a Manifest>) -> Self {
        Self {
            seq: Seq(manifest.seq),
            building: Building { manifest, places: HashMap::new() },
            bodies,
            previous,
            part: RealmPart::default(),
            packs_of: BTreeSet::new(),
            unresolved: Vec::new(),
            warnings: Vec::new(),
            new_bytes: 0,
        }
    }

    /// Takes over the realms that have not changed since the previous snapshot, and whose objects are still there; gives
    /// the others.
    pub(super) fn reuse_unchanged(
        &mut self,
        view: &Snapshot,
        realms: Vec<RealmId>,
        chunks: &HashMap<String, Needed>,
    ) -> Result<Vec<RealmId>> {
        let mut changed = Vec::new();
        for realm in realms {
            let (realm_seq, digest) = (view.realm_seq(realm), view.digest(realm)?);
            let present = |needed: &Needed| match format::chunk_id(&needed.name) {
                Some(id) => chunks.get(id).is_some_and(|there| there == needed),
                None => needed
                    .name
                    .strip_prefix("bodies/")
                    .and_then(|name| name.strip_suffix(".pack"))
                    .is_some_and(|pack| self.bodies.packs.bytes(pack) == Some(needed.bytes)),
            };
            if let Some((manifest, part)) = self.before(realm)
                && part.realm_seq == realm_seq.0
                && part.digest == digest.to_bytes()
                && manifest.at(&part.chunks).chain(manifest.at(&part.packs)).all(present)
            {
                self.building.reuse(manifest, part, self.seq.0);
            } else {
                changed.push(realm);
            }
        }
        Ok(changed)
    }

    /// A realm in the previous snapshot.
    fn before(&self, realm: RealmId) -> Option<(&'a Manifest, &'a RealmPart)> {
        self.previous.and_then(|manifest| Some((manifest, part_of(manifest, realm)?)))
    }

    /// How many realms are in it.
    pub(super) const fn realms(&self) -> usize {
        self.building.manifest.realms.len()
    }

    pub(super) fn chunk(&mut self, needed: Needed, is_new: bool) {
        self.new_bytes += if is_new { needed.bytes } else { 0 };
        let place = self.building.place(needed);
        self.part.chunks.push(place);
    }

    pub(super) async fn body(&mut self, id: BodyId) -> Result<()> {
        self.part.bodies += 1;
        match self.bodies.ensure(id).await? {
            Shipped::In(pack) => drop(self.packs_of.insert(pack)),
            Shipped::Pending => self.unresolved.push((self.realms(), id)),
            Shipped::Missing => self.warnings.push(format!("body {id} is neither here nor in the archive")),
        }
        Ok(())
    }

    /// A realm has ended: with so many records, or with what is wrong with it.
    pub(super) fn end(
        &mut self,
        realm: RealmId,
        realm_seq: u64,
        outcome: Result<u64, StoreError>,
        digest: Digest,
    ) -> Result<()> {
        let mut ended = std::mem::take(&mut self.part);
        let packs = std::mem::take(&mut self.packs_of);
        match outcome {
            Ok(records) => {
                ended.realm = realm.raw();
                ended.realm_seq = realm_seq;
                ended.digest = digest.to_bytes().to_vec();
                ended.at = self.seq.0;
                ended.records = records;
                let place = |pack: String| self.building.place_pack(&pack, &self.bodies.packs);
                ended.packs = packs.into_iter().map(place).collect::<Result<_>>()?;
                self.building.manifest.bodies += ended.bodies;
                self.building.manifest.realms.push(ended);
            }
            Err(error) => {
                // It can't be read here, but is whole in an earlier snapshot plus the log after it.
                let place = self.realms();
                self.unresolved.retain(|(realm, _)| *realm != place);
                let Some((manifest, earlier)) = self.before(realm) else { return Err(error.into()) };
                self.warnings.push(format!("{error}: using the snapshot of commit {}", earlier.at));
                self.building.reuse(manifest, earlier, earlier.at);
            }
        }
        Ok(())
    }

    /// Stores the last bodies, and says of each in which pack it is.
    pub(super) async fn finish(mut self, target: &Target) -> Result<Gathered> {
        self.bodies.flush().await?;
        let mut listed_again = false;
        for (realm, id) in std::mem::take(&mut self.unresolved) {
            let mut pack = self.bodies.any_pack_of(&id)?;
            if pack.is_none() && !listed_again {
                // Shipping stored the same body in a pack of its own in the meantime, and noted that one.
                self.bodies.packs.add(Packs::list(target, None).await?);
                listed_again = true;
                pack = self.bodies.any_pack_of(&id)?;
            }
            let pack = pack.ok_or_else(|| {
                let what = "it was shipped and can't be found: something deletes objects from this archive while they \
                            are stored; the next snapshot, in 15 minutes or with `holdfast archive snapshot`, stores it \
                            again";
                ArchiveError::damaged(Cause::Missing, id.to_string(), what)
            })?;
            let place = self.building.place_pack(&pack, &self.bodies.packs)?;
            let packs = &mut self.building.manifest.realms[realm].packs;
            if !packs.contains(&place) {
                packs.push(place);
            }
        }
        let new_bytes = self.new_bytes + self.bodies.shipped.1;
        Ok(Gathered { manifest: self.building.manifest, warnings: self.warnings, new_bytes })
    }
}
