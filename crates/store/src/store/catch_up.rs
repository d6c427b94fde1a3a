//! Applying the log's commits to the index.

use std::path::Path;

use crate::{
    Cause, Damaged, Part, Result, Seq, StoreError, StoreOptions,
    index::{IndexEngine, apply},
    log::{self, Chain, SegmentReader},
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
        let what = Damaged::new(Part::Index, Cause::CutOff).commit(applied).because(format_args!(
            "it ends at commit {applied}, but the log starts at {first}: run `holdfast rebuild-index`"
        ));
        return Err(Opening::Index(what.into()));
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
            let what = Damaged::new(Part::Log, Cause::Chain).commit(applied).because("it does not match the index");
            return Err(Opening::Other(what.into()));
        }
        Ok(())
    })?;
    if let Some(what) = replayed.problem {
        return Err(StoreError::Damaged(what).into());
    }
    // One whose header is damaged was found to follow by its records.
    let header = SegmentReader::open(&*options.disk, &dir, firsts[start]);
    if firsts[start] == first_needed && header.is_ok_and(|reader| *reader.chain() != chain) {
        let what = log::not_following(first_needed).because("the commits in the index come before it");
        return Err(StoreError::from(what).into());
    }
    if count > 0 {
        tracing::info!(count, "applied commits from the log to the index");
    }
    Ok(())
}
