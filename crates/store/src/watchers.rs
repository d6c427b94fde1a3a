//! Subscribers that are notified of each commit.

use std::collections::HashMap;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{RealmId, RealmSeq, hooks::Hooks};

/// Watchers of realms. An entry goes when its last receiver has.
#[derive(Default)]
pub(crate) struct Watchers {
    realms: Mutex<HashMap<RealmId, watch::Sender<RealmSeq>>>,
    pub hooks: Hooks,
}

impl Watchers {
    pub(crate) fn new(hooks: Hooks) -> Self {
        Self { hooks, ..Self::default() }
    }

    pub(crate) fn subscribe(&self, realm: RealmId, now: RealmSeq) -> watch::Receiver<RealmSeq> {
        self.realms.lock().entry(realm).or_insert_with(|| watch::channel(now).0).subscribe()
    }

    pub(crate) fn publish(&self, realms: impl Iterator<Item = (RealmId, RealmSeq)>) {
        let mut watchers = self.realms.lock();
        for (realm, seq) in realms {
            if let Some(sender) = watchers.get(&realm) {
                if sender.receiver_count() == 0 {
                    watchers.remove(&realm);
                } else {
                    sender.send_replace(seq);
                }
            }
        }
    }
}
