//! The missing parts of a store that serves while it is being restored.
//!
//! Missing data is never treated as empty: reading or writing such a realm fails with [`StoreError::NotRestored`], and
//! registers a request that the restore handles first.

use std::{
    collections::{BTreeMap, HashSet},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc::SyncSender,
    },
};

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use crate::{
    BodyId, RealmId, Result, StoreError,
    index::{IndexView, meta},
};

/// A request.
pub enum Wish {
    /// A realm.
    Realm(RealmId),
    /// A body; told when it is here, or why it can't be.
    Body(BodyId, SyncSender<Result<()>>),
}

/// The data not restored yet, in memory; the index has it too.
#[derive(Default)]
pub(crate) struct Partial {
    pub on: AtomicBool,
    pub state: Mutex<State>,
    pub changed: Notify,
}

#[derive(Default)]
pub(crate) struct State {
    /// Realms that can't be used yet, and the reason if they can't be restored.
    pub absent: BTreeMap<RealmId, Option<String>>,
    pub asked: HashSet<RealmId>,
    pub wishes: Option<mpsc::UnboundedSender<Wish>>,
}

impl Partial {
    pub(crate) fn load(view: &dyn IndexView, on: bool) -> Result<Self> {
        let absent = meta::absent(view)?.into_iter().map(|(realm, _)| (realm, None)).collect();
        let state = Mutex::new(State { absent, ..State::default() });
        Ok(Self { on: AtomicBool::new(on), state, changed: Notify::new() })
    }

    pub(crate) fn is_on(&self) -> bool {
        self.on.load(Ordering::Acquire)
    }

    /// # Errors
    /// [`StoreError::NotRestored`] when a view does not have the realm yet; it is wished for then.
    pub(crate) fn check(&self, view: &dyn IndexView, realm: RealmId) -> Result<()> {
        if self.is_on() && meta::is_absent(view, realm)? { Err(self.wish(realm)) } else { Ok(()) }
    }

    /// Asks for a realm; gives what to say meanwhile.
    pub(crate) fn wish(&self, realm: RealmId) -> StoreError {
        let mut state = self.state.lock();
        if let Some(Some(why)) = state.absent.get(&realm) {
            let what = format!("{realm} could not be restored: {why}");
            return StoreError::NotRestored { what, realm: Some(realm) };
        }
        if state.asked.insert(realm)
            && let Some(wishes) = &state.wishes
        {
            let _ = wishes.send(Wish::Realm(realm));
        }
        StoreError::NotRestored { what: format!("{realm} is still being restored"), realm: Some(realm) }
    }

    pub(crate) fn is_absent(&self, realm: RealmId) -> bool {
        self.state.lock().absent.contains_key(&realm)
    }
}
