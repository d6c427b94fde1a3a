//! When most was deleted, and whose it was.

use std::collections::{BTreeMap, BTreeSet};

use store::{Commit, Op, RealmId, Seq};

use super::{choose::Reader, source::is_damage};
use crate::archive::{
    Result, blocking,
    catalog::Catalog,
    codec::Identities,
    format::LineRecord,
    snapshot::part_of,
    target::{Target, fetch},
    verify::open_chunk,
};

/// What is deleted of one account within this time is told together.
const TOGETHER_MS: i64 = 60_000;

/// Bodies that an account deleted within a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// When the first of them went, in milliseconds since 1970.
    pub at_ms: i64,
    /// The commit in which it went.
    pub first: Seq,
    /// Whose.
    pub realm: RealmId,
    /// How many.
    pub count: u64,
}

/// What the accounts of a line have let go of.
#[derive(Debug, Default)]
pub struct Moments {
    /// Each minute's together.
    pub deletions: Vec<Deletion>,
    /// What was written of some records of the directory's, by key, after which commit: what a snapshot had, and what
    /// commits changed.
    records: BTreeMap<Vec<u8>, BTreeMap<Seq, Option<Vec<u8>>>>,
}

impl Moments {
    /// What a record of the directory's was right before a commit; the next one that is known where nothing earlier is.
    pub fn record_before(&self, key: &[u8], seq: Seq) -> Option<&[u8]> {
        let known = self.records.get(key)?;
        let before = known.range(..seq).next_back().and_then(|(_, value)| value.as_deref());
        before.or_else(|| known.range(seq..).find_map(|(_, value)| value.as_deref()))
    }

    fn note(&mut self, seq: Seq, key: &[u8], value: Option<&[u8]>) {
        self.records.entry(key.to_vec()).or_default().insert(seq, value.map(<[u8]>::to_vec));
    }
}

/// References to messages that the accounts of a line have taken away since a moment, with what the directory knew of
/// them: `wanted` says which of its records by their keys.
///
/// # Errors
/// Those of the target.
pub async fn moments(
    target: &Target,
    catalog: &Catalog,
    identities: &Identities,
    line: &LineRecord,
    since_ms: i64,
    wanted: &(dyn Fn(&[u8]) -> bool + Send + Sync),
) -> Result<Moments> {
    let reader = Reader { target, catalog, identities };
    let mut found = Moments::default();
    let mut open: BTreeMap<u64, Deletion> = BTreeMap::new();
    let mut oldest = None;
    for run in reader.own_runs(line).into_iter().rev() {
        let commits = reader.commits(line, run).await?;
        for commit in commits.iter().rev().filter(|commit| commit.true_ms() >= since_ms) {
            oldest = Some(commit.seq());
            directory_in(commit, wanted, &mut found);
            deletions_in(commit, &mut open, &mut found.deletions);
        }
        if commits.first().is_some_and(|first| first.true_ms() < since_ms) {
            break;
        }
    }
    found.deletions.extend(open.into_values());
    if let Some(oldest) = oldest.filter(|_| !found.deletions.is_empty()) {
        from_snapshot(&reader, line, oldest, wanted, &mut found).await?;
    }
    Ok(found)
}

fn deletions_in(commit: &Commit, open: &mut BTreeMap<u64, Deletion>, all: &mut Vec<Deletion>) {
    for part in commit.realms.iter().filter(|part| part.realm().account_number().is_some()) {
        let bodies = |gone: bool| {
            let of = move |op: &Op| store::body_of_key(&op.key).filter(|_| op.value.is_none() == gone);
            part.ops.iter().filter_map(of).collect::<BTreeSet<_>>()
        };
        // What was only moved is there again.
        let count = bodies(true).difference(&bodies(false)).count() as u64;
        if count == 0 {
            continue;
        }
        let (at_ms, first, realm) = (commit.true_ms(), commit.seq(), part.realm());
        match open.get_mut(&part.realm_raw) {
            Some(known) if known.at_ms - at_ms < TOGETHER_MS => {
                (known.at_ms, known.first, known.count) = (at_ms, first, known.count + count);
            }
            _ => all.extend(open.insert(part.realm_raw, Deletion { at_ms, first, realm, count })),
        }
    }
}

fn directory_in(commit: &Commit, wanted: &(dyn Fn(&[u8]) -> bool + Send + Sync), found: &mut Moments) {
    let parts = commit.realms.iter().filter(|part| part.realm() == RealmId::DIRECTORY);
    for op in parts.flat_map(|part| &part.ops).filter(|op| wanted(&op.key)) {
        found.note(commit.seq(), &op.key, op.value.as_deref());
    }
}

/// The directory as the newest readable snapshot from before `oldest` has it, else as the oldest one after it has.
async fn from_snapshot(
    reader: &Reader<'_>,
    line: &LineRecord,
    oldest: Seq,
    wanted: &(dyn Fn(&[u8]) -> bool + Send + Sync),
    found: &mut Moments,
) -> Result<()> {
    let good = reader.catalog.good_of(line)?;
    let (before, after): (Vec<_>, Vec<_>) = good.into_iter().partition(|listed| listed.name.seq < oldest);
    for listed in before.into_iter().rev().chain(after) {
        let records = async {
            let manifest = reader.catalog.manifest(reader.target, &listed.name).await?;
            let mut records = Vec::new();
            let Some(part) = part_of(&manifest, RealmId::DIRECTORY) else { return Ok(records) };
            let names: Vec<String> = manifest.at(&part.chunks).map(|needed| needed.name.clone()).collect();
            for name in names {
                let (bytes, identities) = (fetch(reader.target, &name).await?, reader.identities.clone());
                let chunk = blocking(move || open_chunk(&identities, &name, RealmId::DIRECTORY, &bytes)).await?;
                records.extend(chunk.records.into_iter().filter(|record| wanted(&record.key)));
            }
            Ok(records)
        };
        match records.await {
            Ok(records) => {
                for record in records {
                    found.note(listed.name.seq, &record.key, Some(&record.value));
                }
                return Ok(());
            }
            Err(error) if is_damage(&error) => tracing::warn!(%error, "looking for names"),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
