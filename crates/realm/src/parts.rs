//! The list of parts.

use std::sync::Arc;

use store::{
    BODY_REFERENCE, Derive, Invariants, Op, Order, Read as _, RealmId, Snapshot, Store, StoreError, Violation,
};

use crate::{
    Loss, RealmPart, Result, Rewindable,
    feed::{self, Touched, Write},
};

/// Unknown keys of an account that are reported one by one.
const MAX_UNKNOWN: usize = 20;

/// All parts of a program, built once. Cheap to clone.
#[derive(Clone)]
pub struct Parts(Arc<[&'static dyn RealmPart]>);

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|part| part.name())).finish()
    }
}

impl Parts {
    /// A list. Duties are done in its order.
    ///
    /// # Panics
    /// Where two parts have the same name or a key in common, one has a key of the store's or uses one that it does not
    /// have, or two lead a rewind.
    pub fn new(parts: &[&'static dyn RealmPart]) -> Self {
        for (at, part) in parts.iter().enumerate() {
            let (name, keys) = (part.name(), part.keys());
            assert!(!keys.range.is_empty(), "{name} has no keys");
            assert!(!keys.range.contains(&BODY_REFERENCE), "{name} has keys that are the store's own");
            for kind in keys.kinds {
                assert!(keys.range.contains(kind), "{name} uses the key {kind:02X}, which is not in its range");
            }
            for other in &parts[..at] {
                assert_ne!(name, other.name(), "two parts have the same name");
                let theirs = other.keys().range;
                let apart = keys.range.end() < theirs.start() || theirs.end() < keys.range.start();
                assert!(apart, "{name} and {} have keys in common", other.name());
                let things = part.things().iter().find(|kind| other.things().iter().any(|k| k.number == kind.number));
                assert!(things.is_none(), "{name} and {} have {things:?} in common", other.name());
            }
        }
        let leading = parts.iter().filter(|part| matches!(part.rewindable(), Rewindable::Leads)).count();
        assert!(leading <= 1, "{leading} parts lead a rewind");
        Self(parts.into())
    }

    /// The parts.
    pub fn iter(&self) -> impl Iterator<Item = &'static dyn RealmPart> {
        self.0.iter().copied()
    }

    /// Clears away everything of an account that is gone for good.
    ///
    /// # Errors
    /// Of the first part that fails; to be called again.
    pub async fn purge(&self, store: &Store, account: RealmId) -> Result<()> {
        for part in self.iter() {
            part.purge(store, account).await?;
        }
        Ok(())
    }

    /// The daily upkeep of all accounts. What fails is logged and done the next time; everything else is done.
    pub async fn maintain(&self, store: &Store) {
        for account in store.realms().into_iter().filter(|realm| realm.account_number().is_some()) {
            for part in self.iter() {
                if let Err(error) = part.maintain(store, account).await {
                    tracing::warn!(%account, part = part.name(), %error, "could not clear away what is no longer needed");
                }
            }
        }
    }

    /// What a write to an account's realm takes away that a person would miss.
    pub fn loss(&self, op: &Op) -> Option<Loss> {
        self.iter().find_map(|part| part.loss(op))
    }

    /// Has each commit note in the change feeds of accounts what it does to them: for [`store::StoreOptions::derive`].
    pub fn derive(&self) -> Derive {
        let owners: [Option<&'static dyn RealmPart>; 256] = std::array::from_fn(|first| {
            self.iter().find(|part| part.keys().kinds.iter().any(|k| usize::from(*k) == first))
        });
        Arc::new(move |tx| {
            let mut accounts: Vec<(RealmId, Touched)> = Vec::new();
            for (account, key, value) in tx.writes() {
                let owner = key.first().and_then(|first| owners[usize::from(*first)]);
                let Some(owner) = owner.filter(|_| account.account_number().is_some()) else { continue };
                if accounts.last().is_none_or(|(last, _)| *last != account) {
                    accounts.push((account, Touched::default()));
                }
                if let Some((_, touched)) = accounts.last_mut() {
                    owner.touches(&Write { account, key, value, tx }, touched)?;
                }
            }
            for (account, touched) in accounts.into_iter().filter(|(_, touched)| !touched.is_empty()) {
                feed::note_in(tx, account, touched)?;
            }
            Ok(())
        })
    }

    /// Whether a key of an account is that of a part that is never rewound.
    pub fn is_never_rewound(&self, key: &[u8]) -> bool {
        let owner = self.iter().find(|part| key.first().is_some_and(|first| part.keys().range.contains(first)));
        owner.is_some_and(|part| matches!(part.rewindable(), Rewindable::Never))
    }

    /// Keys of an account that no part knows: each a sentence. They are reported by verify, and not by [`Invariants`],
    /// which would have the account closed for writing: an older version finds such keys of a newer one.
    ///
    /// # Errors
    /// Those of reading.
    pub fn unknown_keys(&self, account: RealmId, snapshot: &Snapshot) -> Result<Vec<String>, StoreError> {
        let known: Vec<u8> = self.iter().flat_map(|part| part.keys().kinds).copied().collect();
        let mut found = Vec::new();
        for first in (0..=u8::MAX).filter(|first| *first != BODY_REFERENCE && !known.contains(first)) {
            for row in snapshot.prefix(account, &[first], Order::Ascending)? {
                if found.len() == MAX_UNKNOWN {
                    found.push("there are more keys that no part of this version knows".to_owned());
                    return Ok(found);
                }
                let key = row?.0;
                found.push(format!("no part of this version knows the key {:02x?}", &key[..key.len().min(32)]));
            }
        }
        Ok(found)
    }
}

impl Invariants for Parts {
    fn check(&self, realm: RealmId, snapshot: &Snapshot) -> Result<Vec<Violation>, StoreError> {
        let mut violations = Vec::new();
        if realm.account_number().is_some() {
            for part in self.iter() {
                let found = part.check(realm, snapshot)?;
                violations.extend(found.into_iter().map(|what| Violation { realm, what }));
            }
        }
        Ok(violations)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Found, Keys, SalvageFrom, Work};

    /// A part that has these keys.
    struct Part(&'static str, std::ops::RangeInclusive<u8>, &'static [u8], bool);

    impl RealmPart for Part {
        fn name(&self) -> &'static str {
            self.0
        }
        fn title(&self) -> &'static str {
            self.0
        }
        fn keys(&self) -> Keys {
            Keys { range: self.1.clone(), kinds: self.2 }
        }
        fn check(&self, _: RealmId, _: &Snapshot) -> Result<Vec<String>, StoreError> {
            Ok(Vec::new())
        }
        fn rewindable(&self) -> Rewindable<'_> {
            if self.3 { Rewindable::Leads } else { Rewindable::Never }
        }
        fn salvage(&self, _: &SalvageFrom<'_>) -> Result<Option<Box<dyn Found>>> {
            Ok(None)
        }
        fn purge<'a>(&'a self, _: &'a Store, _: RealmId) -> Work<'a> {
            Box::pin(std::future::ready(Ok(())))
        }
        fn maintain<'a>(&'a self, _: &'a Store, _: RealmId) -> Work<'a> {
            Box::pin(std::future::ready(Ok(())))
        }
        fn loss(&self, _: &Op) -> Option<Loss> {
            None
        }
        fn things(&self) -> &'static [feed::Kind] {
            &[]
        }
        fn touches(&self, _: &Write<'_>, _: &mut Touched) -> Result<(), StoreError> {
            Ok(())
        }
    }

    const FIRST: Part = Part("first", 0x10..=0x1F, &[0x10, 0x1F], true);

    /// What building a list of `first` and another part says.
    fn built(other: &'static Part) -> Result<Parts, String> {
        let build = std::panic::catch_unwind(|| Parts::new(&[&FIRST, other]));
        build.map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_default())
    }

    #[test]
    fn parts_that_are_in_each_others_way_are_no_list() {
        static GOOD: [Part; 3] = [
            Part("other", 0x0F..=0x0F, &[0x0F], false),
            Part("other", 0x20..=0x2F, &[], false),
            Part("other", 0xFE..=0xFE, &[0xFE], false),
        ];
        for part in &GOOD {
            assert_eq!(built(part).unwrap().iter().count(), 2);
        }
        static BAD: [(Part, &str); 10] = [
            (Part("other", 0x10..=0x10, &[], false), "keys in common"),
            (Part("other", 0x1F..=0x1F, &[], false), "keys in common"),
            (Part("other", 0x00..=0x10, &[], false), "keys in common"),
            (Part("other", 0x1F..=0x2F, &[], false), "keys in common"),
            (Part("other", 0x00..=0xFE, &[], false), "keys in common"),
            (Part("other", 0x15..=0x16, &[], false), "keys in common"),
            (Part("first", 0x20..=0x2F, &[], false), "same name"),
            (Part("other", 0x20..=0x2F, &[0x30], false), "not in its range"),
            (Part("other", 0x20..=0xFF, &[], false), "the store's own"),
            (Part("other", 0x20..=0x2F, &[], true), "lead a rewind"),
        ];
        for (part, why) in &BAD {
            let said = built(part).unwrap_err();
            assert!(said.contains(why), "{why}: {said}");
        }
    }

    #[test]
    fn what_is_never_rewound_is_known_by_its_key() {
        let parts = Parts::new(&[&FIRST, &Part("other", 0x20..=0x2F, &[0x20], false)]);
        assert!(parts.is_never_rewound(&[0x20, 1]) && parts.is_never_rewound(&[0x2F]));
        assert!(!parts.is_never_rewound(&[0x10]) && !parts.is_never_rewound(&[0x30]) && !parts.is_never_rewound(&[]));
    }
}
