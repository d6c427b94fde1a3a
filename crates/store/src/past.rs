//! A realm's state at an earlier time that the log still covers.
//!
//! The index has the current state, and the log has the changes since then. So the past is the present, overlaid with
//! the keys that later commits touched, each with its earlier value: from the commits up to that time, or from a
//! checkpoint before them. Memory grows with the number of changes, not with the realm.

mod elsewhere;

use std::{collections::BTreeMap, ops::Bound};

use bytes::Bytes;

use crate::{
    Cause, Commit, Damaged, Order, Part as DamagedPart, Read, RealmId, RealmSeq, Result, Rows, Seq, Snapshot, Store,
    StoreError,
    checkpoint::{self, Part},
    digest::Seal,
    index::{RealmState, full_key, full_range, is_empty_range},
    log::{self, Met, SegmentReader},
    read::end_of_prefix,
    tx::{Merged, Writes},
};

/// Most bytes of keys and values that changed in a realm since a moment, for it to be read as it was then; each key
/// counts 128 bytes more.
pub const MAX_PAST_BYTES: usize = 1 << 30;
/// What keeping a key takes, besides itself and its value.
const KEY_BYTES: usize = 128;

/// A point in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moment {
    /// The last commit that states no later time.
    Stated,
    /// The last commit that was made then or before.
    Made,
    /// So many commits before one of a realm's that states that time.
    Around(RealmSeq, u64),
}

/// Where the past is read.
enum Then {
    /// In the present, with what was different laid over it, by full key.
    Changed(Writes),
    /// In another store.
    Elsewhere(Box<dyn Read + Send + Sync>),
}

/// The past state of a realm. Holds a snapshot of the current state: don't keep it long.
pub struct Past {
    realm: RealmId,
    now: Snapshot,
    then: Then,
    state: RealmState,
    seq: Seq,
    mistimed: Option<(Seq, Seq)>,
}

impl Past {
    /// The last commit of the store that counts.
    pub const fn seq(&self) -> Seq {
        self.seq
    }

    /// Commits that count although they state later times: they carry later times than they had, as this machine's clock was
    /// ahead. The first and the last of them.
    pub const fn mistimed(&self) -> Option<(Seq, Seq)> {
        self.mistimed
    }

    /// The present that it is compared with.
    pub const fn now(&self) -> &Snapshot {
        &self.now
    }

    /// The keys that begin with `prefix` and held something else, with what they held; nothing if they were not there.
    pub fn changed(&self, prefix: &[u8]) -> Box<dyn Iterator<Item = Result<(Bytes, Option<Bytes>)>> + '_> {
        let changed = match &self.then {
            Then::Changed(changed) => changed,
            Then::Elsewhere(then) => return self.differing(&**then, prefix),
        };
        let range = full_range(self.realm, (Bound::Included(prefix.to_vec()), end_of_prefix(prefix)));
        let changed = changed.range(range);
        Box::new(changed.map(|(full, value)| Ok((Bytes::copy_from_slice(&full[8..]), value.clone()))))
    }

    fn of(&self, realm: RealmId) -> Result<()> {
        if realm == self.realm {
            return Ok(());
        }
        Err(StoreError::refused(format!("{realm}: wrong realm, this is the history of {}", self.realm)))
    }
}

impl Read for Past {
    fn get(&self, realm: RealmId, key: &[u8]) -> Result<Option<Bytes>> {
        self.of(realm)?;
        match &self.then {
            Then::Changed(changed) => match changed.get(&full_key(realm, key)) {
                Some(value) => Ok(value.clone()),
                None => self.now.get(realm, key),
            },
            Then::Elsewhere(then) => then.get(realm, key),
        }
    }

    fn range(&self, realm: RealmId, range: (Bound<Vec<u8>>, Bound<Vec<u8>>), order: Order) -> Result<Rows<'_>> {
        self.of(realm)?;
        if is_empty_range(&range) {
            return Ok(Rows::new(std::iter::empty()));
        }
        let changed = match &self.then {
            Then::Changed(changed) => changed.range(full_range(realm, range.clone())),
            Then::Elsewhere(then) => return then.range(realm, range, order),
        };
        let changed = changed.map(|(key, value)| (key.clone(), value.clone())).collect();
        Ok(Rows::new(Merged::new(self.now.range(realm, range, order)?, changed, order)))
    }

    fn realm_seq(&self, realm: RealmId) -> RealmSeq {
        if realm == self.realm { self.state.seq } else { RealmSeq(0) }
    }

    fn prefix(&self, realm: RealmId, prefix: &[u8], order: Order) -> Result<Rows<'_>> {
        self.of(realm)?;
        match &self.then {
            Then::Changed(_) => self.range(realm, (Bound::Included(prefix.to_vec()), end_of_prefix(prefix)), order),
            Then::Elsewhere(then) => then.prefix(realm, prefix, order),
        }
    }
}

impl Store {
    /// A realm's state at a time (milliseconds since 1970): after the last commit made by then. Verified by the digest that
    /// the realm's last commit up to then states. Blocks while it reads the log since then, and the log up to then from the
    /// checkpoint before it; writers and readers continue.
    ///
    /// # Errors
    /// [`StoreError::BeforeWindow`]; [`StoreError::TooLarge`] beyond [`MAX_PAST_BYTES`]; [`StoreError::Damaged`] when
    /// log, checkpoint and index do not add up.
    pub fn realm_at(&self, realm: RealmId, moment_ms: i64) -> Result<Past> {
        self.realm_until(realm, moment_ms, Moment::Stated)
    }

    /// The same, by when commits were made: also where a clock that was ahead had them state a later time (see
    /// [`Past::mistimed`]).
    ///
    /// # Errors
    /// As [`Store::realm_at`].
    pub fn realm_made_at(&self, realm: RealmId, moment_ms: i64) -> Result<Past> {
        self.realm_until(realm, moment_ms, Moment::Made)
    }

    /// A realm as it was right before its commit `commit`, which was made at `at_ms` (milliseconds since 1970), and as it
    /// was right after it.
    ///
    /// # Errors
    /// As [`Store::realm_at`].
    pub fn realm_around(&self, realm: RealmId, commit: RealmSeq, at_ms: i64) -> Result<(Past, Past)> {
        let before = self.realm_until(realm, at_ms, Moment::Around(commit, 1))?;
        Ok((before, self.realm_until(realm, at_ms, Moment::Around(commit, 0))?))
    }

    fn realm_until(&self, realm: RealmId, moment_ms: i64, until: Moment) -> Result<Past> {
        /// Old log goes while it is read, and the next try begins where it begins then.
        const TRIES: usize = 3;
        let mut tries = 0;
        loop {
            tries += 1;
            match self.try_realm_at(realm, moment_ms, until) {
                Err(StoreError::Io { error, .. }) if error.kind() == std::io::ErrorKind::NotFound && tries < TRIES => {}
                other => return other,
            }
        }
    }

    /// The earliest time at which a realm can be read, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when log or checkpoint can't be read.
    pub fn window_start_ms(&self) -> Result<i64> {
        let (disk, logs) = (&*self.inner.options.disk, self.inner.dir.join("log"));
        let first = log::segments(disk, &logs)?.first().copied().unwrap_or(Seq(1));
        if first == Seq(1) {
            return match SegmentReader::open(disk, &logs, first)?.read()? {
                Met::Record(commit) => Ok(commit.time_ms),
                _ => Ok(self.clock().now_ms()),
            };
        }
        let dir = self.inner.dir.join("checkpoints");
        match checkpoint::list(disk, &dir)?.into_iter().find(|seq| seq.0 + 1 >= first.0) {
            Some(seq) => checkpoint::made_ms(disk, &dir, seq),
            None => Ok(self.clock().now_ms()),
        }
    }

    fn try_realm_at(&self, realm: RealmId, moment_ms: i64, until: Moment) -> Result<Past> {
        let (disk, logs) = (&*self.inner.options.disk, self.inner.dir.join("log"));
        let now = self.snapshot();
        let last = now.seq()?;
        let first = log::segments(disk, &logs)?.first().copied().unwrap_or(Seq(1));
        let stated = log::seq_stated_at(disk, &logs, moment_ms, last)?;
        let mut seq = if until == Moment::Made { log::seq_made_at(disk, &logs, moment_ms, last)? } else { stated };
        let mistimed = (seq > stated).then_some((Seq(stated.0 + 1), seq));
        let first_ms = self.window_start_ms()?;
        if first > Seq(1) && seq < first && moment_ms < first_ms {
            return Err(StoreError::BeforeWindow { asked_ms: moment_ms, first_ms });
        }
        if let Moment::Around(until, less) = until {
            // Others of the same millisecond may follow it.
            let mut found = None;
            let from = log::seq_stated_at(disk, &logs, moment_ms.saturating_sub(1), last)?;
            each_commit(disk, &logs, Seq(from.0 + 1), seq, |commit| {
                let is_it = |part: &crate::RealmCommit| part.realm() == realm && part.realm_seq() == until;
                if commit.realms.iter().any(is_it) {
                    found = Some(Seq(commit.seq().0 - less));
                }
                Ok(())
            })?;
            seq = found.ok_or_else(|| {
                let what = Damaged::new(DamagedPart::Log, Cause::Missing).realm(realm);
                what.because(format_args!("the realm's commit {until}"))
            })?;
        }
        let state = now.realm_state(realm)?;
        let mut changed = Writes::new();
        let mut bytes = 0;
        each_commit(disk, &logs, Seq(seq.0 + 1), last, |commit| {
            for op in commit.realms.iter().filter(|part| part.realm() == realm).flat_map(|part| &part.ops) {
                if changed.insert(full_key(realm, &op.key), None).is_none() {
                    bytes = within_limit(bytes + op.key.len() + KEY_BYTES)?;
                }
            }
            Ok(())
        })?;
        let mut past = Laid { realm, now, changed, state, seq };
        if past.changed.is_empty() {
            return Ok(past.past(mistimed));
        }
        let dir = self.inner.dir.join("checkpoints");
        let mut bases: Vec<Option<Seq>> = checkpoint::list(disk, &dir)?
            .into_iter()
            .filter(|at| at.0 + 1 >= first.0 && *at <= seq)
            .map(Some)
            .collect();
        if first == Seq(1) {
            bases.insert(0, None);
        }
        let mut problem = StoreError::BeforeWindow { asked_ms: moment_ms, first_ms };
        while let Some(base) = bases.pop() {
            match self.fill(&mut past, base, bytes) {
                Ok(()) => return Ok(past.past(mistimed)),
                // An older base may be whole.
                Err(error @ StoreError::Damaged { .. }) if !bases.is_empty() => {
                    tracing::warn!(%realm, %error, "reading the history from an older checkpoint");
                    problem = error;
                }
                Err(error) => return Err(error),
            }
        }
        Err(problem)
    }

    /// Gives the changed keys the values that they had, from a checkpoint (or nothing, before the first commit) and the
    /// commits behind it, and compares the whole with the digest that was stated.
    fn fill(&self, past: &mut Laid, base: Option<Seq>, mut bytes: usize) -> Result<()> {
        let (disk, logs) = (&*self.inner.options.disk, self.inner.dir.join("log"));
        let realm = past.realm;
        let mut stated = RealmState::default();
        past.changed.values_mut().for_each(|value| *value = None);
        if let Some(base) = base {
            checkpoint::read(disk, &self.inner.dir.join("checkpoints"), base, &mut |part| {
                match part {
                    Part::Realm(of, state) if of == realm => stated = state,
                    Part::Record(of, key, value) if of == realm => {
                        if let Some(at) = past.changed.get_mut(&full_key(realm, key)) {
                            bytes = within_limit(bytes + value.len())?;
                            *at = Some(Bytes::copy_from_slice(value));
                        }
                    }
                    _ => {}
                }
                Ok(())
            })?;
        }
        let from = Seq(base.unwrap_or_default().0 + 1);
        each_commit(disk, &logs, from, past.seq, |commit| {
            for part in commit.realms.iter().filter(|part| part.realm() == realm) {
                if part.realm_seq().0 != stated.seq.0 + 1 {
                    // It came later than the checkpoint, from a restore, with no commits of its own before.
                    let (asked_ms, first_ms) = (commit.time_ms, self.clock().now_ms());
                    return Err(StoreError::BeforeWindow { asked_ms, first_ms });
                }
                let digest = part.digest().ok_or_else(|| {
                    Damaged::new(DamagedPart::Commit, Cause::Decoding).commit(commit.seq()).because("a digest")
                })?;
                stated = RealmState { seq: part.realm_seq(), digest };
                for op in &part.ops {
                    if let Some(at) = past.changed.get_mut(&full_key(realm, &op.key)) {
                        let before = at.as_ref().map_or(0, Bytes::len);
                        bytes = within_limit(bytes + op.value.as_ref().map_or(0, Vec::len))?.saturating_sub(before);
                        *at = op.value.clone().map(Bytes::from);
                    }
                }
            }
            Ok(())
        })?;
        let mut digest = past.now.realm_state(realm)?.digest;
        let mut same = Vec::new();
        for (full, then) in &past.changed {
            let key = &full[8..];
            let now = past.now.get(realm, key)?;
            if let Some(now) = &now {
                digest.subtract(Seal::of(realm, key, now));
            }
            if let Some(then) = then {
                digest.add(Seal::of(realm, key, then));
            }
            if now == *then {
                same.push(full.clone());
            }
        }
        if digest != stated.digest {
            return Err(Damaged::wrong_digest(realm, digest, stated.digest).commit(past.seq).into());
        }
        for full in same {
            past.changed.remove(&full);
        }
        past.state = stated;
        Ok(())
    }
}

/// A past while it is found.
struct Laid {
    realm: RealmId,
    now: Snapshot,
    changed: Writes,
    state: RealmState,
    seq: Seq,
}

impl Laid {
    fn past(self, mistimed: Option<(Seq, Seq)>) -> Past {
        let Self { realm, now, changed, state, seq } = self;
        Past { realm, now, then: Then::Changed(changed), state, seq, mistimed }
    }
}

fn within_limit(bytes: usize) -> Result<usize> {
    if bytes > MAX_PAST_BYTES {
        let what = "what changed in the account since that time";
        return Err(StoreError::TooLarge { what, found: bytes, limit: MAX_PAST_BYTES });
    }
    Ok(bytes)
}

/// Gives the commits `from..=to` of the log, having checked that each segment follows from the one before it.
fn each_commit(
    disk: &dyn crate::disk::Disk,
    logs: &std::path::Path,
    from: Seq,
    to: Seq,
    mut each: impl FnMut(&Commit) -> Result<()>,
) -> Result<()> {
    if from > to {
        return Ok(());
    }
    let firsts = log::segments(disk, logs)?;
    let begin = firsts.partition_point(|first| *first <= from).saturating_sub(1);
    let mut before: Option<(log::Chain, Seq)> = None;
    for first in &firsts[begin..] {
        if *first > to {
            break;
        }
        let mut reader = SegmentReader::open(disk, logs, *first)?;
        if before.is_some_and(|(chain, next)| chain != *reader.chain() || next != *first) {
            return Err(log::not_following(*first).into());
        }
        if before.is_none() && *first > from {
            return Err(StoreError::NotRetained { asked: from, first: *first });
        }
        while reader.next_seq() <= to {
            match reader.read()? {
                Met::Record(commit) if commit.seq() >= from => each(&commit)?,
                Met::Record(_) => {}
                Met::Sealed => break,
                Met::End => return Err(log::cut_off(*first, reader.next_seq()).into()),
                Met::Invalid(what) => return Err(StoreError::Damaged(what)),
            }
        }
        before = Some((*reader.chain(), reader.next_seq()));
    }
    match before {
        Some((_, next)) if next > to => Ok(()),
        _ => Err(log::ends_before(to)),
    }
}

/// Which of the checkpoints, oldest first with the time that each was made, are kept: the newest two; the newest one
/// that holds nothing later than the window's start (`base`), so that every moment of the window can be read; and of
/// those between them enough that the window's start never waits long for the next one.
pub(crate) fn kept(all: &[(Seq, i64)], base: Option<Seq>, spacing_ms: i64) -> Vec<Seq> {
    let newest = all.len().saturating_sub(checkpoint::KEPT);
    let mut kept: BTreeMap<Seq, i64> = all[newest..].iter().copied().collect();
    let mut last_ms: Option<i64> = None;
    for (seq, made_ms) in &all[..newest] {
        let wanted = match base {
            Some(base) if *seq < base => false,
            Some(base) if *seq == base => true,
            _ => last_ms.is_none_or(|last| made_ms.saturating_sub(last) >= spacing_ms),
        };
        if wanted {
            kept.insert(*seq, *made_ms);
            last_ms = Some(*made_ms);
        }
    }
    kept.into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checkpoints_are_kept_so_that_the_window_begins_with_one() {
        let all: Vec<(Seq, i64)> = (0..20).map(|day| (Seq(day as u64 * 10), day)).collect();
        let kept = kept(&all, Some(Seq(80)), 3);
        assert_eq!(kept, [80, 110, 140, 170, 180, 190].map(Seq));
    }
}
