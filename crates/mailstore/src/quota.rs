//! How much of its space an account uses.

use std::sync::Arc;

use store::RealmId;

use crate::mailbox::state_of;
use crate::{MailStore, Result};

/// Tells how many bytes an account may use; `None` for as many as it wants. Called within commits.
pub type QuotaLimit = Arc<dyn Fn(RealmId) -> Option<u64> + Send + Sync>;

/// Use of space. A message counts once, however many copies there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Bytes of all messages.
    pub used_bytes: u64,
    /// How many messages there are, copies not counted.
    pub messages: u64,
    /// How many bytes they may be.
    pub limit_bytes: Option<u64>,
}

impl MailStore {
    /// How much space the account uses and may use.
    pub fn quota(&self, account: RealmId) -> Result<Quota> {
        let state = state_of(&self.store().snapshot(), account)?;
        Ok(Quota { used_bytes: state.used_bytes, messages: state.emails, limit_bytes: self.quota_limit(account) })
    }

    pub(crate) fn quota_limit(&self, account: RealmId) -> Option<u64> {
        self.inner.quota_limit.as_ref().and_then(|limit| limit(account))
    }
}
