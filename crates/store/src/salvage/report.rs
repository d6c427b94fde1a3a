//! What a salvage could and could not read.

use std::collections::BTreeMap;

use crate::{RealmId, RealmSeq, Seq};

/// The readable data of one realm.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvagedRealm {
    /// The last commit of the realm that is in it.
    pub seq: RealmSeq,
    /// What can't be read, in words; nothing when every commit of the realm that anything names is in it.
    pub problems: Vec<String>,
}

/// The report of a salvage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SalvageReport {
    /// Commits of the log that could be read.
    pub commits: u64,
    /// The last commit of the store that anything holds.
    pub last: Seq,
    /// Bodies found whole.
    pub bodies: u64,
    /// What is damaged in the folder, in words. The data may be whole all the same: most of it is there twice.
    pub damage: Vec<String>,
    /// Commits that nothing holds, although they are named somewhere: what they wrote is known only as far as another
    /// part of the store has it.
    pub lost: Vec<String>,
    /// The realms.
    pub realms: BTreeMap<RealmId, SalvagedRealm>,
}

impl SalvageReport {
    /// Whether every realm is what it was, as far as records go; bodies are another matter.
    pub fn is_whole(&self) -> bool {
        self.lost.is_empty() && self.realms.values().all(|realm| realm.problems.is_empty())
    }
}

/// "commit 7" or "commits 7 to 9".
pub(super) fn span(what: &str, from: u64, to: u64) -> String {
    if from == to { format!("{what} {from}") } else { format!("{what}s {from} to {to}") }
}
