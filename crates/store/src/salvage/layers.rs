//! Realms that are put together without proof: what holds anything of them, laid over each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    path::Path,
};

use bytes::Bytes;

use super::{
    look::{Held, Source},
    only_reads::OnlyReads,
    report::span,
    writes::{Writes, raw_write},
};
use crate::{
    Order, RealmCommit, RealmId, RealmSeq, Result, Seq,
    checkpoint::{self, Part},
    index::{FjallIndex, IndexEngine, IndexView, Space, full_key, full_range, sealed, unseal},
    read::end_of_prefix,
};

/// A realm that is put together without proof.
pub(super) struct Rest {
    /// What is to be laid over each other, oldest first.
    pub(super) layers: Vec<Held>,
    /// How many of them have been.
    pub(super) put: usize,
    pub(super) seq: RealmSeq,
    /// What is not newer than this is in the base.
    pub(super) begin: RealmSeq,
    pub(super) problems: Vec<String>,
}

impl Rest {
    pub(super) fn apply(&mut self, layers: &Layers<'_>, index: &dyn IndexEngine, part: &RealmCommit) -> Result<()> {
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

    pub(super) fn finish(
        &mut self,
        layers: &Layers<'_>,
        index: &dyn IndexEngine,
        realm: RealmId,
        named: RealmSeq,
    ) -> Result<()> {
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
            self.problems.push("some of its records in the index can't be read".to_owned());
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
        let taken =
            later.map_or_else(String::new, |held| format!("; the readable part of {} was used instead", held.source));
        self.problems.push(format!("its {} can't be read in the log{taken}", span("change", from, to)));
    }
}

/// The usable part of a layer.
#[derive(Default)]
struct Taken {
    unsealed: u64,
    is_interrupted: bool,
}

/// States of realms, whole or not.
pub(super) struct Layers<'a> {
    /// What checkpoints hold: checkpoint, realm, key.
    pub(super) side: FjallIndex,
    pub(super) old: Option<&'a dyn IndexView>,
}

impl Layers<'_> {
    pub(super) fn read_checkpoints(&self, from: &Path, left: &BTreeMap<RealmId, Rest>) -> Result<()> {
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
            let (full, stored) = match rows.next() {
                None => break,
                Some(Ok(row)) => row,
                Some(Err(_)) => {
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
