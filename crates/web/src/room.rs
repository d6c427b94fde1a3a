//! Fair shares of what is dear: each account may have so much of it at once, so that one can not take all.

use std::collections::HashMap;
use std::sync::Arc;

use directory::AccountId;
use parking_lot::Mutex;

/// Room for each account. Cheap to clone.
#[derive(Clone)]
pub struct Shares {
    most: u32,
    taken: Arc<Mutex<HashMap<AccountId, u32>>>,
}

/// A part of an account's room. Dropping it gives it back.
pub struct Share {
    shares: Shares,
    account: AccountId,
}

impl Shares {
    /// Room for `most` at once, for each account.
    pub fn new(most: u32) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A share for `account`; `None` if it has taken all of its room.
    pub fn take(&self, account: AccountId) -> Option<Share> {
        let mut taken = self.taken.lock();
        let n = taken.entry(account).or_default();
        if *n >= self.most {
            return None;
        }
        *n += 1;
        Some(Share { shares: self.clone(), account })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.shares.taken.lock();
        if let Some(n) = taken.get_mut(&self.account) {
            *n -= 1;
            if *n == 0 {
                taken.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_all_of_their_room_leaves_that_of_others() {
        let shares = Shares::new(2);
        let first = shares.take(AccountId(1));
        let second = shares.take(AccountId(1));
        assert!(first.is_some() && second.is_some());
        assert!(shares.take(AccountId(1)).is_none());
        assert!(shares.take(AccountId(2)).is_some());
        drop(first);
        assert!(shares.take(AccountId(1)).is_some());
        drop(second);
        assert!(shares.taken.lock().is_empty(), "nothing is kept of those who have nothing");
    }
}
