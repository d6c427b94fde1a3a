//! The people of the newest mail of accounts that are writing, at hand: typing a name asks for them at each key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use directory::AccountId;
use mailstore::Acquaintance;
use parking_lot::Mutex;

/// For how long they serve, even if more mail has come.
const KEEP: Duration = Duration::from_secs(30);
/// Accounts whose people are kept at hand.
const MAX_KEPT: usize = 100;

/// See the module.
#[derive(Default)]
pub struct Known {
    kept: Mutex<HashMap<AccountId, Kept>>,
}

struct Kept {
    seq: u64,
    at: Instant,
    people: Arc<[Acquaintance]>,
}

impl Known {
    /// What is kept for an account, if it is of that state of its realm or young enough.
    pub fn get(&self, account: AccountId, seq: u64) -> Option<Arc<[Acquaintance]>> {
        let kept = self.kept.lock();
        let kept = kept.get(&account)?;
        (kept.seq == seq || kept.at.elapsed() < KEEP).then(|| kept.people.clone())
    }

    /// Keep what was looked up; the account that was looked up longest ago makes room.
    pub fn put(&self, account: AccountId, seq: u64, people: Arc<[Acquaintance]>) {
        let mut kept = self.kept.lock();
        if kept.len() >= MAX_KEPT && !kept.contains_key(&account) {
            let oldest = kept.iter().min_by_key(|(_, kept)| kept.at).map(|(account, _)| *account);
            oldest.and_then(|oldest| kept.remove(&oldest));
        }
        kept.insert(account, Kept { seq, at: Instant::now(), people });
    }
}
