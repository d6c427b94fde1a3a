//! Applying the log's commits to the index.

use std::path::Path;

use super::{StoreOptions, meta};
use crate::{
    Commit, RealmCommit, Result, Seq, StoreError,
    digest::{SEAL_BYTES, Seal},
    index::{Batch, IndexEngine, IndexView, Space},
    log::{self, Chain, SegmentReader},
    read::full_key,
};

/// Why a store could not be opened.
pub(crate) enum Opening {
    /// For its index alone, which can be built anew.
    Index(StoreError),
    Other(StoreError),
}

impl From<StoreError> for Opening {
    fn from(error: StoreError) -> Self {
        Self::Other(error)
    }
}

impl Opening {
    /// Of an error that was met in the index.
    pub(super) fn of_index(error: StoreError) -> Self {
        if matches!(error, StoreError::Damaged { .. }) { Self::Index(error) } else { Self::Other(error) }
    }

    pub(super) fn into_error(self) -> StoreError {
        match self {
            Self::Index(error) | Self::Other(error) => error,
        }
    }
}

/// Applies to the index what the log has and it has not; a replica only checks that they fit together.
pub(super) fn catch_up(
    options: &StoreOptions,
    dir: &Path,
    index: &dyn IndexEngine,
    applied: Seq,
    chain: Chain,
    applies: bool,
) -> Result<(), Opening> {
    let dir = dir.join("log");
    let first_needed = Seq(applied.0 + 1);
    let firsts = log::segments(&*options.disk, &dir)?;
    let Some(start) = firsts.iter().rposition(|first| *first <= first_needed) else {
        let first = firsts.first().copied().unwrap_or_default();
        return Err(Opening::Index(StoreError::damaged(format!(
            "the index ends at commit {applied} and the log begins at {first}: run `holdfast rebuild-index`"
        ))));
    };
    let mut count = 0_u64;
    let needs = log::Needs { from: first_needed, anchor: Some((applied, chain)) };
    let replayed = log::replay::<Opening>(&*options.disk, &dir, &firsts[start..], needs, |_, commit, after| {
        if commit.seq() >= first_needed {
            if applies {
                apply(index, commit, after).map_err(Opening::of_index)?;
                count += 1;
            }
        } else if commit.seq() == applied && *after != chain {
            let what = format!("the log at commit {applied} is not the one that the index was made from");
            return Err(Opening::Other(StoreError::damaged(what)));
        }
        Ok(())
    })?;
    if let Some(what) = replayed.problem {
        return Err(StoreError::damaged(what).into());
    }
    // One whose header is damaged was found to follow by its records.
    let header = SegmentReader::open(&*options.disk, &dir, firsts[start]);
    if firsts[start] == first_needed && header.is_ok_and(|reader| *reader.chain() != chain) {
        let what = format!("the log's segment {first_needed} does not follow from the commits that the index holds");
        return Err(StoreError::damaged(what).into());
    }
    if count > 0 {
        tracing::info!(count, "commits applied to the index from the log");
    }
    Ok(())
}

/// Applies one commit of the log, checking that it leads to the digest it states. `chain` is the log's after it.
pub(crate) fn apply(index: &dyn IndexEngine, commit: &Commit, chain: &Chain) -> Result<()> {
    let view = index.view();
    let mut batch = Batch::new();
    for part in &commit.realms {
        apply_part(&*view, commit.seq(), part, &mut batch)?;
    }
    if commit.epoch > meta::epoch(&*view)? {
        batch.push(meta::set_epoch(commit.epoch));
    }
    batch.push(meta::set_applied(commit.seq(), chain));
    index.apply(batch)
}

/// What a commit's part in one realm writes, checked to lead to the digest that it states.
pub(crate) fn apply_part(view: &dyn IndexView, seq: Seq, part: &RealmCommit, batch: &mut Batch) -> Result<()> {
    let realm = part.realm();
    let mut state = meta::realm_state(view, realm)?;
    for op in &part.ops {
        let full = full_key(realm, &op.key);
        if let Some(old) = view.get(Space::Records, &full)? {
            state.digest.subtract(crate::read::unseal(realm, &op.key, &old)?.0);
        }
        match &op.value {
            Some(value) => {
                let seal = Seal::of(realm, &op.key, value);
                state.digest.add(seal);
                batch.push((Space::Records, full, Some(sealed(seal, value))));
            }
            None => batch.push((Space::Records, full, None)),
        }
    }
    if Some(state.digest) != part.digest() || part.realm_seq().0 != state.seq.0 + 1 {
        return Err(StoreError::damaged(format!(
            "{realm}: applying commit {seq} does not lead to the digest that it states"
        )));
    }
    state.seq = part.realm_seq();
    batch.push(meta::set_realm_state(realm, state));
    Ok(())
}

/// A value with its seal in front.
pub(crate) fn sealed(seal: Seal, value: &[u8]) -> Vec<u8> {
    let mut stored = Vec::with_capacity(SEAL_BYTES + value.len());
    stored.extend_from_slice(&seal.to_bytes());
    stored.extend_from_slice(value);
    stored
}
