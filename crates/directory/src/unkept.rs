//! Sessions that started while nothing could be written: they are kept in memory until disk space is free. They end
//! with the process.

use std::collections::HashMap;

use parking_lot::Mutex;

use crate::{AccountId, SessionId, schema::SessionRecord};

/// The most sessions in memory, of all accounts.
const MAX_UNKEPT: usize = 10_000;
/// And of one account.
const MAX_EACH: usize = 100;

/// See the module.
#[derive(Default)]
pub(crate) struct Unkept(Mutex<HashMap<AccountId, HashMap<SessionId, SessionRecord>>>);

impl Unkept {
    /// Whether there was place for one more.
    pub(crate) fn add(&self, account: AccountId, id: SessionId, record: SessionRecord) -> bool {
        let mut all = self.0.lock();
        let is_full = all.values().map(HashMap::len).sum::<usize>() >= MAX_UNKEPT;
        let own = all.entry(account).or_default();
        if is_full || own.len() >= MAX_EACH {
            return false;
        }
        own.insert(id, record);
        true
    }

    pub(crate) fn of(&self, account: AccountId, id: SessionId) -> Option<SessionRecord> {
        self.0.lock().get(&account)?.get(&id).cloned()
    }

    pub(crate) fn take(&self, account: AccountId, id: SessionId) -> Option<SessionRecord> {
        let mut all = self.0.lock();
        let own = all.get_mut(&account)?;
        let taken = own.remove(&id);
        if own.is_empty() {
            all.remove(&account);
        }
        taken
    }

    pub(crate) fn all_of(&self, account: AccountId) -> Vec<(SessionId, SessionRecord)> {
        let all = self.0.lock();
        all.get(&account).into_iter().flatten().map(|(id, record)| (*id, record.clone())).collect()
    }

    /// Ends those of an account that began with a passkey.
    pub(crate) fn forget_of_passkey(&self, account: AccountId, passkey: &[u8]) {
        if let Some(own) = self.0.lock().get_mut(&account) {
            own.retain(|_, record| record.passkey != passkey);
        }
    }

    /// Ends all of an account but one.
    pub(crate) fn forget(&self, account: AccountId, keep: Option<SessionId>) {
        if let Some(own) = self.0.lock().get_mut(&account) {
            own.retain(|id, _| Some(*id) == keep);
        }
    }
}
