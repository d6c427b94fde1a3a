//! Putting realms together: with proof where there is one, then whatever is left.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::Path,
    sync::Arc,
};

use super::{
    SalvagedRealm,
    layers::{Layers, Rest},
    look::{Held, Salvage, Source},
    only_reads::OnlyReads,
    report::span,
    scratch::Work,
    writes::{Writes, copy_realm, raw_write},
};
use crate::{
    BodyId, Commit, RealmId, RealmSeq, Result, Seq, StoreError, StoreOptions,
    body::{PACK_MAGIC, Place, next_frame, pack_numbers, pack_path, place_key},
    checkpoint::{self, Part},
    disk::{Disk as _, File},
    index::{Batch, FjallIndex, RealmState, apply_part, meta},
    log,
    restore::clear_realm,
    verify::digest_of,
};

impl Salvage<'_> {
    /// Gives every realm the newest state that adds up.
    pub(super) fn put_bases(&mut self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<()> {
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
    pub(super) fn follow_log(&mut self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<()> {
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
                    Err(StoreError::Damaged(what)) => at.broken = Some(what.to_string()),
                    Err(error) => return Err(error),
                }
            }
            Ok(())
        })
    }

    /// Reports which realms are complete, and which commits are missing everywhere.
    pub(super) fn judge(&mut self) -> Result<()> {
        let view = self.index.view();
        for (realm, at) in &mut self.realms {
            let seq = meta::realm_state(&*view, *realm)?.seq;
            if at.broken.is_none() && seq < at.named {
                at.broken = Some(format!("its changes end at {seq}, and it had {}", at.named));
            }
            // An index that can't say which change its records are of may have later ones than anything else.
            if at.broken.is_none() && at.held.iter().any(|held| held.state.seq.0 == u64::MAX) {
                at.broken = Some("the index does not tell which change its records belong to".to_owned());
            }
            let mut salvaged = SalvagedRealm { seq, problems: Vec::new() };
            if at.broken.is_none()
                && let Some((from, to)) = self.gaps.iter().find(|(_, to)| *to > at.proven)
            {
                let from = (*from).max(Seq(at.proven.0 + 1));
                salvaged.problems.push(format!(
                    "complete up to commit {}; unknown whether {}, which can't be read, changed it",
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
    pub(super) fn take_what_is_left(
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
        let layers = Layers { side: FjallIndex::open(&dir, options)?, old };
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
            let mut problems = vec![format!("can't be verified ({why}); the readable part was used")];
            problems.append(&mut rest.problems);
            let state = RealmState { seq: rest.seq, digest: digest_of(&*index.view(), realm)? };
            index.apply(vec![meta::set_realm_state(realm, state)])?;
            self.report.realms.insert(realm, SalvagedRealm { seq: rest.seq, problems });
        }
        Ok(())
    }

    /// Finds every whole body.
    pub(super) fn scan_packs(
        &mut self,
        progress: &mut dyn FnMut(&str, u64, u64),
    ) -> Result<HashMap<u32, Arc<dyn File>>> {
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
                    self.report
                        .damage
                        .push(format!("{name}: {} bytes at byte {from} are not a complete body", to - from));
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
