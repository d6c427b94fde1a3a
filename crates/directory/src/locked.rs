//! The keys in use, and what the service can't do while one is missing.

use std::sync::Arc;

use crate::{Directory, Result, secrets::Keys};

/// What is not possible because secrets can't be opened. Everything else goes on: mail is received and filed, passwords, app
/// passwords, sessions and recovery codes are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Locked;

impl Directory {
    /// Takes other keys into use.
    ///
    /// # Errors
    /// Those of the store.
    pub fn set_keys(&self, keys: Arc<Keys>) -> Result<()> {
        self.inner.secrets.set(keys, &self.store().snapshot())
    }

    /// The keys in use.
    pub fn keys(&self) -> Arc<Keys> {
        self.inner.secrets.keys()
    }

    /// [`Locked`] while something is sealed under a key that is not at hand.
    pub fn locked(&self) -> Option<Locked> {
        self.inner.secrets.is_locked().then_some(Locked)
    }

    /// Whether SCRAM logins can be checked; if not, doors offer other mechanisms only. It is the same for all logins, so that
    /// nothing is learnt of who has an account.
    pub fn offers_scram(&self) -> bool {
        self.locked().is_none()
    }
}
