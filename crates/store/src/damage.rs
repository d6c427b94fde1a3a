//! The known damage of stored data, until it is repaired or no longer needed.
//!
//! There is one source: pages, status lines, alarms and metrics all use [`Store::damage`]. Findings are stored next to
//! the index, so that a restart does not forget them, no matter who found them: readers, the scrub, `verify`, or the
//! opening of the store.

mod known;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;

use crate::{
    BodyId, Damaged, RealmId, Result,
    index::{IndexEngine, Space, meta},
};

/// The file next to the index with the findings.
pub(crate) const NOTES: &str = "damage";
/// Damaged messages that [`Damage::bodies`] names; more are counted.
pub const MAX_NAMED_BODIES: usize = 20;
/// Damaged files that are remembered; a disk that lost more of them is found out again once these are mended.
const MAX_FILES: usize = 10_000;

/// The known damage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// Realms that take no writes, and why.
    pub realms: Vec<(RealmId, Damaged)>,
    /// The first [`MAX_NAMED_BODIES`] bodies that can't be read, or are not what their names say, and what is wrong.
    pub bodies: Vec<(BodyId, Damaged)>,
    /// How many such bodies there are.
    pub body_count: usize,
    /// Files of the log, packs or checkpoints that are not what was written, by name below the data folder, and what is
    /// wrong with each.
    pub files: Vec<(String, Damaged)>,
}

impl Damage {
    /// How many things are damaged: realms, bodies and files.
    pub const fn count(&self) -> usize {
        self.realms.len() + self.body_count + self.files.len()
    }

    /// Whether nothing is known to be damaged.
    pub const fn is_none(&self) -> bool {
        self.count() == 0
    }

    /// One line for each thing that is named.
    pub fn lines(&self) -> Vec<String> {
        let realms = self.realms.iter().map(|(realm, why)| format!("{realm} is quarantined: {why}"));
        let files = self.files.iter().map(|(name, what)| format!("{name}: {what}"));
        let bodies = self.bodies.iter().map(|(_, what)| what.to_string());
        let mut lines: Vec<String> = realms.chain(files).chain(bodies).collect();
        let more = self.body_count.saturating_sub(self.bodies.len());
        if more > 0 {
            lines.push(format!("and {more} more messages"));
        }
        lines
    }
}

impl std::fmt::Display for Damage {
    /// In one line: how much of each kind.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let count = |count: usize, one: &str, many: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            some => Some(format!("{some} {many}")),
        };
        let kinds = [
            count(self.realms.len(), "realm is quarantined", "realms are quarantined"),
            count(self.body_count, "message is damaged", "messages are damaged"),
            count(self.files.len(), "file is damaged", "files are damaged"),
        ];
        let kinds: Vec<String> = kinds.into_iter().flatten().collect();
        f.write_str(if kinds.is_empty() { "no known damage" } else { "" })?;
        f.write_str(&kinds.join(", "))
    }
}

/// How much is damaged, for the measurement: the sum of what each list has.
#[derive(Default)]
pub(crate) struct Tally([AtomicUsize; 3]);

/// The lists that are counted.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Realms,
    Bodies,
    Files,
}

impl Tally {
    pub(crate) fn set(&self, kind: Kind, count: usize) {
        self.0[kind as usize].store(count, Ordering::SeqCst);
        let all: usize = self.0.iter().map(|count| count.load(Ordering::SeqCst)).sum();
        metrics::gauge!("holdfast_store_damage").set(all as f64);
    }
}

/// Damaged files.
pub(crate) struct Findings {
    index: Arc<dyn IndexEngine>,
    tally: Arc<Tally>,
    known: Mutex<BTreeMap<String, Damaged>>,
}

impl Findings {
    pub(crate) fn load(index: Arc<dyn IndexEngine>, tally: Arc<Tally>) -> Result<Self> {
        let start = meta::note_key(NOTES, &[]).len();
        let parse = |key: &[u8], what: &[u8]| {
            let name = String::from_utf8_lossy(key.get(start..).unwrap_or_default()).into_owned();
            Ok((name, Damaged::from_note(what)))
        };
        let known: BTreeMap<_, _> = meta::notes(&*index.view(), NOTES, &[], parse)?.into_iter().collect();
        for (name, what) in &known {
            tracing::error!(name, part = what.part.code(), cause = what.cause.code(), %what, "still damaged");
        }
        tally.set(Kind::Files, known.len());
        Ok(Self { index, tally, known: Mutex::new(known) })
    }

    /// Records a damaged file.
    pub(crate) fn note(&self, name: &str, what: &Damaged) {
        let mut known = self.known.lock();
        if known.get(name).is_some_and(|known| known == what) || known.len() >= MAX_FILES {
            return;
        }
        tracing::error!(name, part = what.part.code(), cause = what.cause.code(), %what, "damaged");
        known.insert(name.to_owned(), what.clone());
        self.tally.set(Kind::Files, known.len());
        drop(known);
        let note = meta::write(meta::note_key(NOTES, name.as_bytes()), what.to_note());
        if let Err(error) = self.index.apply(vec![note]) {
            tracing::warn!(name, %error, "could not record the damage: the next start will not know about it");
        }
    }

    /// Clears a file that is repaired or no longer needed.
    pub(crate) fn forget(&self, name: &str) {
        let mut known = self.known.lock();
        if known.remove(name).is_none() {
            return;
        }
        self.tally.set(Kind::Files, known.len());
        drop(known);
        tracing::info!(name, "no longer damaged");
        if let Err(error) = self.index.apply(vec![(Space::Meta, meta::note_key(NOTES, name.as_bytes()), None)]) {
            tracing::warn!(name, %error, "could not record a repair: the next start will report it as damaged");
        }
    }

    /// All that is wrong among the files that `is_due` says were looked at.
    pub(crate) fn replace(&self, is_due: impl Fn(&str) -> bool, found: &BTreeMap<String, Damaged>) {
        let gone: Vec<String> =
            self.known.lock().keys().filter(|name| is_due(name) && !found.contains_key(*name)).cloned().collect();
        for name in gone {
            self.forget(&name);
        }
        for (name, what) in found {
            self.note(name, what);
        }
    }

    pub(crate) fn list(&self) -> Vec<(String, Damaged)> {
        self.known.lock().iter().map(|(name, what)| (name.clone(), what.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cause, Part};

    #[test]
    fn damage_is_said_in_one_line_and_counted_once() {
        assert_eq!(Damage::default().to_string(), "no known damage");
        let bodies = vec![(BodyId::of(b"a"), Damaged::new(Part::Body, Cause::Checksum).body(BodyId::of(b"a")))];
        let damage = Damage {
            realms: vec![(RealmId::DIRECTORY, Damaged::new(Part::Realm, Cause::Digest).realm(RealmId::DIRECTORY))],
            bodies,
            body_count: 30,
            files: vec![("log/1.log".to_owned(), Damaged::new(Part::Segment, Cause::Checksum).file("log/1.log"))],
        };
        assert_eq!(damage.count(), 32);
        assert_eq!(damage.to_string(), "1 realm is quarantined, 30 messages are damaged, 1 file is damaged");
        assert_eq!(damage.lines().len(), 4);
    }
}
