//! A manifest as it is put together.

use std::collections::HashMap;

use store::Cause;

use crate::archive::{
    ArchiveError, Result,
    bodies::Packs,
    format::{self, Manifest, Needed, RealmPart},
};

/// A manifest, and where in it the objects stand that it needs.
pub(super) struct Building {
    pub(super) manifest: Manifest,
    pub(super) places: HashMap<String, u32>,
}

impl Building {
    pub(super) fn place(&mut self, needed: Needed) -> u32 {
        let next = self.manifest.objects.len() as u32;
        let objects = &mut self.manifest.objects;
        *self.places.entry(needed.name.clone()).or_insert_with(|| {
            objects.push(needed);
            next
        })
    }

    pub(super) fn place_pack(&mut self, pack: &str, packs: &Packs) -> Result<u32> {
        let name = format::pack_name(pack);
        let bytes =
            packs.bytes(pack).ok_or_else(|| ArchiveError::damaged(Cause::Missing, name.clone(), "it is missing"))?;
        Ok(self.place(Needed { name, bytes }))
    }

    pub(super) fn reuse(&mut self, from: &Manifest, part: &RealmPart, at: u64) {
        let mut reused = part.clone();
        reused.at = at;
        reused.chunks = from.at(&part.chunks).map(|needed| self.place(needed.clone())).collect();
        reused.packs = from.at(&part.packs).map(|needed| self.place(needed.clone())).collect();
        self.manifest.bodies += part.bodies;
        self.manifest.realms.push(reused);
    }
}
