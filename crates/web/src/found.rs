//! What searches found a moment ago.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use directory::AccountId;
use mailstore::SearchHit;
use parking_lot::Mutex;

/// How long what a search found serves for paging through it.
pub(crate) const KEEP: Duration = Duration::from_secs(60);
/// Searches that are kept, one an account.
pub(crate) const MAX_KEPT: usize = 500;

/// What was found lately, so that opening one result does not search again.
#[derive(Default)]
pub struct Found {
    pub kept: Mutex<HashMap<AccountId, Kept>>,
}

/// What was typed, when, and what it found.
pub(crate) type Kept = (String, Instant, Vec<SearchHit>);

impl Found {
    pub(crate) fn get(&self, account: AccountId, typed: &str) -> Option<Vec<SearchHit>> {
        let found = self.kept.lock();
        let (query, at, hits) = found.get(&account)?;
        (query == typed && at.elapsed() < KEEP).then(|| hits.clone())
    }

    pub(crate) fn put(&self, account: AccountId, typed: &str, hits: &[SearchHit]) {
        let mut found = self.kept.lock();
        if found.len() >= MAX_KEPT {
            found.retain(|_, (_, at, _)| at.elapsed() < KEEP);
        }
        if found.len() < MAX_KEPT {
            found.insert(account, (typed.to_owned(), Instant::now(), hits.to_vec()));
        }
    }
}
