//! Who is woken when what opens an account changes.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use store::{Commit, RealmId};
use tokio::sync::watch;

use crate::{AccountId, Directory, schema};

/// Watchers of accounts' access records. An entry is removed with its last receiver.
#[derive(Default)]
pub(crate) struct Watched(Mutex<HashMap<AccountId, watch::Sender<()>>>);

impl Watched {
    pub(crate) fn subscribe(&self, account: AccountId) -> watch::Receiver<()> {
        self.0.lock().entry(account).or_insert_with(|| watch::channel(()).0).subscribe()
    }

    pub(crate) fn wake(&self, account: AccountId) {
        let mut watched = self.0.lock();
        if let Some(sender) = watched.get(&account) {
            if sender.receiver_count() == 0 {
                watched.remove(&account);
            } else {
                sender.send_replace(());
            }
        }
    }

    /// Wakes those whom a commit may concern.
    pub(crate) fn committed(&self, commit: &Commit) {
        for part in &commit.realms {
            if let Some(number) = part.realm().account_number() {
                let first = |key: &[u8]| key.first().copied();
                let is_access = |key: &[u8]| {
                    key == schema::CREDENTIALS || matches!(first(key), Some(schema::APP_PASSWORD | schema::SESSION))
                };
                if part.ops.iter().any(|op| is_access(&op.key)) {
                    self.wake(AccountId(number));
                }
            } else if part.realm() == RealmId::DIRECTORY {
                for op in &part.ops {
                    if let Some(id) = schema::account_of_key(&op.key) {
                        self.wake(id);
                    }
                }
            }
        }
    }
}

/// Has the store refuse what would be added to a deleted account, and tell of what access depends on.
pub(crate) fn install(store: &store::Store, watched: &Arc<Watched>) {
    store.close_realms(Arc::new(|reader, realm| {
        let id = AccountId(realm.account_number()?);
        Directory::is_deleted_in(reader, id).then(|| "the account was deleted".to_owned())
    }));
    let watched = watched.clone();
    store.on_commit(Arc::new(move |commit| watched.committed(commit)));
}
