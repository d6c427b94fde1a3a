//! Online scrub: re-reads records and bodies and verifies them while the service is running; stores repaired bodies
//! again.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    BODY_REFERENCE, BodyId, Damaged, Invariants, Order, Part, PeerFault, Read as _, RealmId, Report, Result, Store,
    StoreError, Violation,
    body::short,
    body_of_key,
    verify::{KEPT_FOR_REWINDS, check_body, given_up, scan_realm},
};

impl Store {
    /// Reads and verifies a realm's records, and its bodies if requested, while the store is in use. Damage is in the
    /// report, and the realm is quarantined if its records are damaged. `go_on` is called now and then.
    ///
    /// # Errors
    /// Those that prevent the check from continuing.
    pub fn scrub_realm(
        &self,
        realm: RealmId,
        invariants: &[&dyn Invariants],
        bodies: bool,
        go_on: &dyn Fn() -> bool,
    ) -> Result<Report> {
        let snapshot = self.snapshot();
        let mut report = Report::default();
        let found = scan_realm(&snapshot, realm, &mut report, go_on)?;
        for check in invariants {
            match check.check(realm, &snapshot) {
                Ok(violations) => report.damage.extend(violations.iter().map(Violation::damage)),
                Err(error @ StoreError::NotRestored { .. }) => return Err(error),
                Err(error) => report.damage.push(error.into_damage(Part::Realm)?.realm(realm)),
            }
        }
        if let Some(first) = report.damage.first() {
            self.inner.quarantine.put(realm, first);
        }
        // The bodies that a commit has let go of since the snapshot stay for the retention time.
        drop(snapshot);
        if bodies {
            for id in found {
                if !go_on() {
                    return Err(given_up());
                }
                check_body(self, realm, &id, &mut report)?;
            }
        }
        metrics::counter!("holdfast_store_scrubbed_records_total").increment(report.records);
        metrics::counter!("holdfast_store_scrubbed_bodies_total").increment(report.bodies);
        metrics::counter!("holdfast_store_scrub_damage_total").increment(report.damage.len() as u64);
        Ok(report)
    }

    /// Releases a quarantined realm, after a scrub verified its records.
    ///
    /// # Errors
    /// [`StoreError::Quarantined`] when they are not.
    pub fn release_realm(&self, realm: RealmId, invariants: &[&dyn Invariants]) -> Result<()> {
        let snapshot = self.snapshot();
        let mut report = Report::default();
        scan_realm(&snapshot, realm, &mut report, &|| true)?;
        for check in invariants {
            report.damage.extend(check.check(realm, &snapshot)?.iter().map(Violation::damage));
        }
        match report.damage.into_iter().next() {
            Some(damage) => Err(StoreError::Quarantined { realm, damage: Box::new(damage) }),
            None => self.inner.quarantine.release(realm),
        }
    }

    /// Reads one of `parts` parts of all bodies that are referred to now, or were by a commit that the log still has (so
    /// that they can be brought back), and compares each with its name: in the order in which they lie, while everybody
    /// works on. Those that were found to be damaged before are looked at each time. `go_on` is asked between bodies.
    /// Blocks for long: not for async threads.
    ///
    /// # Errors
    /// Those that prevent the check from continuing; damage is in the report.
    pub fn scrub_bodies(&self, part: u64, parts: u64, go_on: &dyn Fn() -> bool) -> Result<Report> {
        self.scrub_bodies_told(part, parts, &|_, _| go_on())
    }

    /// The same, where who is asked is told how many bodies of how many were read.
    pub(crate) fn scrub_bodies_told(&self, part: u64, parts: u64, told: &dyn Fn(u64, u64) -> bool) -> Result<Report> {
        let go_on = &|| told(0, 0);
        let packs = &self.inner.packs;
        // Where the log can't say what was in use, all bodies count.
        let keep = match self.bodies_to_keep(go_on) {
            Err(StoreError::Damaged { .. }) => None,
            other => Some(other?),
        };
        let keeps = |id: &BodyId| keep.as_ref().is_none_or(|keep| keep.contains(id));
        let is_due = |id: &BodyId| short(id) % parts.max(1) == part;
        let (mut report, mut places, mut damaged) = (Report::default(), Vec::new(), BTreeMap::new());
        for (id, _) in packs.broken.list() {
            if !keeps(&id) {
                packs.broken.forget(&id);
            } else if !is_due(&id) {
                places.push((0, 0, id));
            }
        }
        for row in packs.indexed_places() {
            match row {
                Ok((id, place)) if is_due(&id) && keeps(&id) => places.push((place.pack, place.offset, id)),
                Ok(_) => {}
                Err(error) => report.damage.push(error.into_damage(Part::Index)?),
            }
        }
        drop(keep);
        places.sort_unstable();
        let total = places.len() as u64;
        for (number, (.., id)) in (0_u64..).zip(places) {
            if !told(number, total) {
                return Err(given_up());
            }
            report.bodies += 1;
            match self.is_well(&id) {
                Ok(()) => packs.broken.forget(&id),
                // Its time was over meanwhile; whether somebody refers to it is looked at below.
                Err(StoreError::BodyMissing { .. }) => {}
                Err(error) => drop(damaged.insert(id, error.into_damage(Part::Body)?.body(id))),
            }
        }
        self.find_missing(is_due, damaged, &mut report, go_on)?;
        metrics::counter!("holdfast_store_scrubbed_bodies_total").increment(report.bodies);
        metrics::counter!("holdfast_store_scrub_damage_total").increment(report.damage.len() as u64);
        Ok(report)
    }

    /// Adds to the report what is damaged, with the realms that refer to it, and what realms refer to and is not there.
    fn find_missing(
        &self,
        is_due: impl Fn(&BodyId) -> bool,
        damaged: BTreeMap<BodyId, Damaged>,
        report: &mut Report,
        go_on: &dyn Fn() -> bool,
    ) -> Result<()> {
        let (snapshot, packs) = (self.snapshot(), &self.inner.packs);
        let mut named = BTreeSet::new();
        for realm in snapshot.realms()? {
            if !go_on() {
                return Err(given_up());
            }
            let mut last = None;
            for row in snapshot.prefix(realm, &[BODY_REFERENCE], Order::Ascending)? {
                // A realm's damaged records are for `scrub_realm` to tell.
                let Ok((key, _)) = row else { break };
                let Some(id) = body_of_key(&key).filter(|id| last != Some(*id)) else { continue };
                last = Some(id);
                if let Some(what) = damaged.get(&id) {
                    report.damage.push(what.clone().realm(realm));
                    named.insert(id);
                } else if is_due(&id)
                    && let Err(error) = packs.check_known(&id)
                {
                    packs.broken.note(&id, &error);
                    report.damage.push(error.into_damage(Part::Body)?.body(id).realm(realm));
                }
            }
        }
        for (_, what) in damaged.into_iter().filter(|(id, _)| !named.contains(id)) {
            report.damage.push(what.because(KEPT_FOR_REWINDS));
        }
        Ok(())
    }

    /// Whether a body can be read and is what its name says.
    ///
    /// # Errors
    /// [`StoreError::BodyMissing`], [`StoreError::BodyDamaged`], [`StoreError::Io`].
    pub fn is_well(&self, id: &BodyId) -> Result<()> {
        self.body_as_it_is(id)?.verify()
    }

    /// The bodies found damaged by a scrub or a reader, and the problem of each: until they are repaired or no longer
    /// needed. They are remembered across restarts.
    pub fn damaged_bodies(&self) -> Vec<(BodyId, Damaged)> {
        self.inner.packs.broken.list()
    }

    /// The number of [`Store::damaged_bodies`] and the problem of the first: for frequent calls.
    pub fn damaged_bodies_in_short(&self) -> (usize, Option<String>) {
        self.inner.packs.broken.in_short()
    }

    /// Stores a damaged body again: `bytes` must match its id. Durable and verified when this returns. Blocks: not for
    /// async threads.
    ///
    /// # Errors
    /// [`StoreError::Peer`] if the bytes don't match: then nothing is stored. Those of the disk.
    pub fn mend_body(&self, id: &BodyId, bytes: &[u8]) -> Result<()> {
        if BodyId::of(bytes) != *id {
            return Err(StoreError::Peer(PeerFault::OtherBody { id: *id }));
        }
        let mut writer = self.body_writer()?;
        std::io::Write::write_all(&mut writer, bytes).map_err(StoreError::io("body"))?;
        let staged = writer.finish_anew()?;
        self.sync_bodies()?;
        self.is_well(id)?;
        self.inner.packs.broken.forget(id);
        drop(staged);
        Ok(())
    }

    /// A damaged body is no longer needed.
    pub fn forget_damaged_body(&self, id: &BodyId) {
        self.inner.packs.broken.forget(id);
    }
}
