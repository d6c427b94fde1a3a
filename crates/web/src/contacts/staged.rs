//! Files that were uploaded for a preview of their import, until the import is confirmed.
//!
//! They are kept in memory: after a restart the page asks for the file again.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use directory::AccountId;
use parking_lot::Mutex;

/// For how long a file waits.
const KEEP: Duration = Duration::from_secs(30 * 60);
/// Bytes of all files that wait, of all accounts; the oldest makes room.
const MAX_BYTES: usize = 96 << 20;

/// See the module. Of each account one file waits: the last one.
#[derive(Default)]
pub struct Staged {
    kept: Mutex<HashMap<AccountId, Kept>>,
}

struct Kept {
    key: String,
    name: String,
    at: Instant,
    content: Arc<Vec<u8>>,
}

impl Staged {
    /// Keep a file under a key.
    pub fn put(&self, account: AccountId, key: String, name: String, content: Arc<Vec<u8>>) {
        let mut kept = self.kept.lock();
        kept.remove(&account);
        kept.retain(|_, file| file.at.elapsed() < KEEP);
        while kept.values().map(|file| file.content.len()).sum::<usize>() + content.len() > MAX_BYTES {
            let Some(oldest) = kept.iter().min_by_key(|(_, file)| file.at).map(|(account, _)| *account) else { break };
            kept.remove(&oldest);
        }
        kept.insert(account, Kept { key, name, at: Instant::now(), content });
    }

    /// The file under that key, and its name.
    pub fn get(&self, account: AccountId, key: &str) -> Option<(String, Arc<Vec<u8>>)> {
        let kept = self.kept.lock();
        let file = kept.get(&account).filter(|file| file.key == key && file.at.elapsed() < KEEP)?;
        Some((file.name.clone(), file.content.clone()))
    }

    /// The file is imported.
    pub fn forget(&self, account: AccountId) {
        self.kept.lock().remove(&account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_file_of_each_account_waits_under_its_key_and_all_are_bounded() {
        let staged = Staged::default();
        let put = |account, key: &str, size| {
            staged.put(AccountId(account), key.to_owned(), "n".to_owned(), Arc::new(vec![0; size]));
        };
        put(1, "a", 10);
        assert!(staged.get(AccountId(1), "a").is_some() && staged.get(AccountId(1), "b").is_none());
        assert!(staged.get(AccountId(2), "a").is_none(), "another's file is another's");
        put(1, "b", 10);
        assert!(staged.get(AccountId(1), "a").is_none() && staged.get(AccountId(1), "b").is_some());
        put(2, "c", MAX_BYTES - 5);
        assert!(staged.get(AccountId(1), "b").is_none(), "the oldest makes room");
        staged.forget(AccountId(2));
        assert!(staged.get(AccountId(2), "c").is_none());
    }
}
