//! Changed messages are got ready before the commit that files them.

use std::collections::BTreeMap;

use directory::AccountId;

use crate::changed::Changed;
use crate::filing::LocalCopy;
use crate::schema::VerdictRecord;
use crate::{Delivery, Result};

/// The changed messages of accounts, in the order of their verdicts.
pub type Versions = BTreeMap<AccountId, Vec<LocalCopy>>;

impl Delivery {
    /// Gets the changed messages of one verdict ready. `came` are the bytes that came. Blocking.
    pub(crate) fn change(
        &self,
        (account, verdict): (AccountId, &VerdictRecord),
        copy: &LocalCopy,
        came: &[u8],
        versions: &mut Versions,
    ) -> Result<()> {
        if verdict.versions.is_empty() || versions.contains_key(&account) {
            return Ok(());
        }
        let mut made = Vec::with_capacity(verdict.versions.len());
        for version in &verdict.versions {
            let Changed { above, below } = version.made(verdict.headers.as_bytes(), came);
            let body = below.as_ref().map(|bytes| self.inner.store.put_body(bytes)).transpose()?;
            let below = below.as_deref().unwrap_or(came);
            made.push(copy.changed(above, body, below, version.added_bytes));
        }
        versions.insert(account, made);
        Ok(())
    }
}
