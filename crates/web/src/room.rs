//! Per-account limits on expensive operations, so that one account can't use up the service's capacity.

use std::collections::HashMap;
use std::sync::Arc;

use directory::AccountId;
use parking_lot::Mutex;

/// How many of an operation each account may run at once. Cheap to clone.
#[derive(Clone)]
pub struct Shares {
    most: u32,
    taken: Arc<Mutex<HashMap<AccountId, u32>>>,
}

/// One running operation of an account. Dropping it frees the place.
pub struct Share {
    shares: Shares,
    account: AccountId,
}

impl Shares {
    /// At most `most` at once for each account.
    pub fn new(most: u32) -> Self {
        Self { most, taken: Arc::default() }
    }

    /// A place for `account`; `None` if it has reached its limit.
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
    fn an_account_at_its_limit_leaves_others_theirs() {
        let shares = Shares::new(2);
        let first = shares.take(AccountId(1));
        let second = shares.take(AccountId(1));
        assert!(first.is_some() && second.is_some());
        assert!(shares.take(AccountId(1)).is_none());
        assert!(shares.take(AccountId(2)).is_some());
        drop(first);
        assert!(shares.take(AccountId(1)).is_some());
        drop(second);
        assert!(shares.taken.lock().is_empty(), "accounts without operations have no entry");
    }
}
