//! The parts of accounts' realms: the one list that verify, upkeep, purge, rewind, salvage and tripwires go through.

use std::sync::LazyLock;

use delivery::{ForwardingPart, QueueInvariants, ReceiptsPart, SendingPart};
use directory::{DirectoryInvariants, DirectoryPart, DisplayPart};
use fetching::FetchingPart;
use filter::spam::SpamPart;
use mailstore::{MailPart, SnoozePart};
use people::PeoplePart;
use realm::{Parts, feed::FeedPart};
use reports::ReportInvariants;
use rules::RulesPart;
use saved::SavedPart;
use store::{Damaged, Invariants, RealmId, Snapshot, Store, StoreError, Violation};

/// All parts, in the order in which duties are done. A new part is one more line.
static PARTS: LazyLock<Parts> = LazyLock::new(|| {
    Parts::new(&[
        &MailPart,
        &PeoplePart,
        &ReceiptsPart,
        &SendingPart,
        &DirectoryPart,
        &DisplayPart,
        &FeedPart,
        &SpamPart,
        &ForwardingPart,
        &RulesPart,
        &SavedPart,
        &SnoozePart,
        &FetchingPart,
    ])
});

/// All parts.
pub fn parts() -> Parts {
    PARTS.clone()
}

/// The consistency rules of all realms: of accounts by their parts, and of the realms of the system.
pub fn invariants() -> [&'static dyn Invariants; 4] {
    [&DirectoryInvariants, &QueueInvariants, &ReportInvariants, &*PARTS]
}

/// The same, and that accounts have no keys that nobody knows: for a check that closes no account that it finds them in.
pub fn invariants_and_keys() -> [&'static dyn Invariants; 5] {
    let [directory, queue, reports, accounts] = invariants();
    [directory, queue, reports, accounts, &KnownKeys]
}

/// Every key of an account is that of a part.
struct KnownKeys;

impl Invariants for KnownKeys {
    fn check(&self, realm: RealmId, snapshot: &Snapshot) -> Result<Vec<Violation>, StoreError> {
        if realm.account_number().is_none() {
            return Ok(Vec::new());
        }
        let found = PARTS.unknown_keys(realm, snapshot)?;
        Ok(found.into_iter().map(|what| Violation { realm, what }).collect())
    }
}

/// Keys in accounts' realms that no part of this version knows.
///
/// # Errors
/// Those of reading.
pub fn unknown_keys(store: &Store) -> Result<Vec<Damaged>, StoreError> {
    let snapshot = store.snapshot();
    let mut found = Vec::new();
    for realm in store.realms() {
        found.extend(KnownKeys.check(realm, &snapshot)?.iter().map(Violation::damage));
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_has_keys_of_its_own_and_one_leads_a_rewind() {
        assert_eq!(parts().iter().count(), 13);
    }
}
