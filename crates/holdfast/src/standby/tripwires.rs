//! The tripwires of a standby, by the configuration.

use continuity::standby::{Deletes, Gone, Tripwires};
use directory::{AccountId, Directory};
use store::{RealmId, Store};

use crate::config::Config;

/// The tripwires.
pub fn tripwires(config: &Config) -> Tripwires {
    let settings = &config.standby;
    Tripwires {
        window: settings.tripwire_window.0,
        account_messages: settings.tripwire_account_messages,
        all_messages: settings.tripwire_messages,
        contacts: settings.tripwire_contacts,
        accounts: settings.tripwire_accounts,
        gone: Gone(was_deleted_before),
        parts: crate::parts::parts(),
        deletes: Deletes(|op| Directory::deleted_by(&op.key, op.value.as_deref()).map(AccountId::realm)),
    }
}

fn was_deleted_before(store: &Store, realm: RealmId, before_ms: i64) -> bool {
    let account = realm.account_number().map(AccountId);
    account.is_some_and(|account| Directory::was_deleted_before(&store.snapshot(), account, before_ms))
}
