//! Inventory of a damaged folder: index, checkpoints, log, and how far each realm reaches in them.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    path::Path,
    sync::Arc,
};

use super::{
    SalvageReport,
    only_reads::OnlyReads,
    report::span,
    scratch::{Work, copy_folder},
};
use crate::{
    Digest, Order, RealmId, RealmSeq, Result, Seq, StoreError, StoreOptions,
    checkpoint::{self, Part},
    digest::Seal,
    disk::Disk as _,
    index::{FjallIndex, IndexEngine, IndexView, RealmState, Space, meta},
    log,
    verify::digest_of,
    witness,
};

/// The source of a state of a realm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    Index,
    Checkpoint(Seq),
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Index => f.write_str("the index"),
            Self::Checkpoint(seq) => write!(f, "checkpoint {seq}"),
        }
    }
}

/// A state of a realm that something holds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) source: Source,
    pub(super) state: RealmState,
    /// The store's commit that it is of.
    pub(super) at: Seq,
    pub(super) is_whole: bool,
}

/// How far a realm is.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) held: Vec<Held>,
    /// The last commit of the realm that anything names.
    pub(super) named: RealmSeq,
    pub(super) base: Option<Held>,
    /// Up to which commit of the store it is known to be whole.
    pub(super) proven: Seq,
    /// Why the log could not be followed.
    pub(super) broken: Option<String>,
}

/// A salvage under way.
pub(super) struct Salvage<'a> {
    pub(super) from: &'a Path,
    /// What is put together.
    pub(super) index: Arc<dyn IndexEngine>,
    /// The index's copy, where it could be opened.
    pub(super) old: Option<Box<dyn IndexView>>,
    pub(super) copy: Option<FjallIndex>,
    /// The commit that it holds.
    pub(super) applied: Seq,
    pub(super) realms: BTreeMap<RealmId, Progress>,
    /// Commits of the store that the log should have and has not.
    pub(super) gaps: Vec<(Seq, Seq)>,
    pub(super) report: SalvageReport,
}

impl<'a> Salvage<'a> {
    pub(super) fn begin(from: &'a Path, work: &Work, options: &StoreOptions) -> Result<Self> {
        let index = Arc::new(FjallIndex::open(&work.dir.join("index"), options)?);
        Ok(Self {
            from,
            index,
            old: None,
            copy: None,
            applied: Seq(0),
            realms: BTreeMap::new(),
            gaps: Vec::new(),
            report: SalvageReport::default(),
        })
    }

    /// Copies the index, opens the copy, and adds up what is in it.
    pub(super) fn copy_index(&mut self, work: &Work, options: &StoreOptions, progress: &mut dyn FnMut(&str, u64, u64)) {
        let from = self.from.join("index");
        if !from.is_dir() {
            self.report.damage.push("the index is missing".to_owned());
            return;
        }
        progress("index", 0, 1);
        let copy = work.dir.join("copy");
        let open = || -> Result<FjallIndex> {
            copy_folder(&from, &copy)?;
            FjallIndex::open(&copy, options)
        };
        let index = match open() {
            Ok(index) => index,
            Err(error) => {
                self.report.damage.push(format!("the index can't be opened: {error}"));
                return;
            }
        };
        let view = index.view();
        self.copy = Some(index);
        match meta::applied(&*view) {
            Ok((seq, _)) => self.applied = seq,
            Err(error) => self.report.damage.push(error.to_string()),
        }
        for realm in realms_of(&*view) {
            let state = meta::realm_state(&*view, realm).ok();
            let found = digest_of(&*view, realm);
            let is_whole = matches!((&state, &found), (Some(state), Ok(found)) if state.digest == *found);
            if !is_whole {
                let why = found
                    .err()
                    .map_or_else(|| "its records do not match its digest".to_owned(), |error| error.to_string());
                self.report.damage.push(format!("the index, {realm}: {why}"));
            }
            // Of which commit its records are is not known then: the latest, most likely.
            let state = state.unwrap_or(RealmState { seq: RealmSeq(u64::MAX), digest: Digest::default() });
            self.hold(realm, Held { source: Source::Index, state, at: self.applied, is_whole });
        }
        self.report.last = self.applied;
        self.old = Some(view);
    }

    fn hold(&mut self, realm: RealmId, held: Held) {
        let progress = self.realms.entry(realm).or_default();
        if held.state.seq.0 < u64::MAX {
            progress.named = progress.named.max(held.state.seq);
        }
        progress.held.push(held);
    }

    pub(super) fn look_at_checkpoints(&mut self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<()> {
        let dir = self.from.join("checkpoints");
        let all = checkpoint::list(&OnlyReads, &dir)?;
        for (number, seq) in all.iter().enumerate() {
            progress("checkpoints", number as u64, all.len() as u64);
            let mut found: Vec<(RealmId, RealmState, Digest)> = Vec::new();
            let scavenged = checkpoint::scavenge(&OnlyReads, &dir, *seq, &mut |part| {
                match part {
                    Part::Realm(realm, state) => found.push((realm, state, Digest::default())),
                    Part::Record(realm, key, value) => {
                        if let Some((_, _, digest)) = found.last_mut() {
                            digest.add(Seal::of(realm, key, value));
                        }
                    }
                }
                Ok(())
            })?;
            self.report.damage.extend(scavenged.problems);
            let at = scavenged.seq.unwrap_or(*seq);
            for (realm, state, digest) in found {
                let is_whole = state.digest == digest && scavenged.seq.is_some();
                if is_whole {
                    self.report.last = self.report.last.max(at);
                }
                self.hold(realm, Held { source: Source::Checkpoint(*seq), state, at, is_whole });
            }
        }
        Ok(())
    }

    /// Reads the log once, for what it has and what it lacks.
    pub(super) fn look_at_log(&mut self, progress: &mut dyn FnMut(&str, u64, u64)) -> Result<()> {
        let dir = self.from.join("log");
        let firsts = log::segments(&OnlyReads, &dir)?;
        if firsts.is_empty() {
            self.report.damage.push("the log is missing".to_owned());
        }
        let mut seen = witness::read(&OnlyReads, self.from).unwrap_or_else(|error| {
            self.report.damage.push(error.to_string());
            BTreeMap::default()
        });
        if let Some(old) = &self.old {
            seen.extend(meta::cursors(&**old).unwrap_or_default());
        }
        let mut durable = seen.values().copied().max().unwrap_or_default().max(self.applied);
        let mut next = firsts.first().copied();
        for (number, first) in firsts.iter().enumerate() {
            progress("log segments", number as u64, firsts.len() as u64);
            if let Some(expected) = next
                && expected < *first
            {
                self.gaps.push((expected, Seq(first.0 - 1)));
            }
            next = next.max(Some(*first));
            let path = log::segment_path(&dir, *first);
            let name = path.display().to_string();
            let file = OnlyReads.open(&path).map_err(StoreError::io(name.clone()))?;
            let holes = log::scavenge(&*file, &name, *first, &mut |commit| {
                if let Some(expected) = next
                    && expected < commit.seq()
                {
                    self.gaps.push((expected, Seq(commit.seq_raw - 1)));
                }
                next = next.max(Some(Seq(commit.seq_raw + 1)));
                durable = durable.max(Seq(commit.durable_raw));
                self.report.commits += 1;
                for part in &commit.realms {
                    let progress = self.realms.entry(part.realm()).or_default();
                    progress.named = progress.named.max(part.realm_seq());
                }
                Ok(())
            })?;
            let is_newest = number + 1 == firsts.len();
            for hole in holes {
                // Records at the very end that nobody was told of are torn by every crash.
                let is_torn = is_newest && !hole.is_inside && next.is_some_and(|next| durable < next);
                if !is_torn {
                    let (bytes, at) = (hole.bytes, hole.at);
                    self.report.damage.push(format!("{name}: {bytes} bytes at byte {at} are not records"));
                }
            }
        }
        let reached = Seq(next.map_or(0, |next| next.0.saturating_sub(1)));
        self.report.last = self.report.last.max(reached);
        if reached < durable {
            // Where the log is gone, what the index or a whole checkpoint holds counts.
            self.gaps.push((Seq(reached.0 + 1), durable));
        }
        for (from, to) in &self.gaps {
            self.report.damage.push(format!("the log lacks {}", span("commit", from.0, to.0)));
        }
        Ok(())
    }
}

/// The realms that an index has anything of.
fn realms_of(view: &dyn IndexView) -> BTreeSet<RealmId> {
    let mut realms: BTreeSet<RealmId> = meta::realm_keys(view).into_iter().collect();
    let mut next = 0_u64;
    loop {
        let range = (Bound::Included(next.to_be_bytes().to_vec()), Bound::Unbounded);
        let Some(Ok((key, _))) = view.range(Space::Records, range, Order::Ascending).next() else { return realms };
        let Some(raw) = key.get(..8).and_then(|raw| raw.try_into().ok()).map(u64::from_be_bytes) else { return realms };
        realms.insert(RealmId::from_raw(raw));
        match raw.checked_add(1) {
            Some(after) => next = after,
            None => return realms,
        }
    }
}
