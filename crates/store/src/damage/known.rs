//! The known damage of an open store.

use crate::{BodyId, Damage, MAX_NAMED_BODIES, Order, Read as _, RealmId, Result, Store, record::reference_key};

impl Store {
    /// The known damage, no matter who found it: until it is repaired or no longer needed, also across restarts.
    pub fn damage(&self) -> Damage {
        let (body_count, bodies) = self.inner.packs.broken.first(MAX_NAMED_BODIES);
        Damage { realms: self.quarantined(), bodies, body_count, files: self.inner.findings.list() }
    }

    /// The realms that refer to a body now.
    ///
    /// # Errors
    /// Those of the index.
    pub fn referrers(&self, id: &BodyId) -> Result<Vec<RealmId>> {
        let snapshot = self.snapshot();
        let mut found = Vec::new();
        for realm in snapshot.realms()? {
            if let Some(row) = snapshot.prefix(realm, &reference_key(id, &[]), Order::Ascending)?.next() {
                row?;
                found.push(realm);
            }
        }
        Ok(found)
    }
}
