//! The index is built, and follows the accounts.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mailstore::{EMAIL, EmailId};
use parking_lot::Mutex;
use prost::Message as _;
use realm::feed::{self, Change, Since};
use store::{AsideBatch, Order, RealmId, Snapshot, Store};
use tokio::sync::Notify;

use super::gather::Gathered;
use super::state::{Segment, State, VERSION};
use super::{Index, keys, merge, read_state, unseen_id};
use crate::Result;

/// Messages that are taken in together.
const TOGETHER: usize = 512;
/// Memory that their terms may take, about.
const GATHERED_BYTES: usize = 32 << 20;
/// An account with so many new messages is due,
const DUE: u32 = 16;
/// and one with a new message after so long.
const DUE_AFTER: Duration = Duration::from_secs(20);
/// Between two looks at who is due.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// Changes of flags and the like after which the place is written down, where there is nothing new.
const WRITE_DOWN_AFTER: usize = 200;
/// How long nothing is written after the disk was found full, or something else went wrong.
const AFTER_TROUBLE: Duration = Duration::from_secs(60);
/// Longest pause between two batches.
const MAX_PAUSE: Duration = Duration::from_millis(250);
/// An index is written again when so many of its messages are gone, and a quarter of all.
const MANY_GONE: u64 = 1_000;
/// First byte of the keys of messages.
const EMAIL_KEY: u8 = 0x21;

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Followed {
    /// There is more to do.
    More,
    /// Nothing is left, or too little to be worth it.
    Enough,
}

/// Accounts with messages that the index has not seen.
#[derive(Default)]
pub struct Waiting {
    accounts: Mutex<BTreeMap<RealmId, (u32, Option<Instant>)>>,
    wake: Notify,
}

impl Waiting {
    /// Told of all commits to a store.
    pub fn of(store: &Store) -> Arc<Self> {
        let waiting = Arc::new(Self::default());
        let told = Arc::clone(&waiting);
        store.on_commit(Arc::new(move |commit| {
            for part in &commit.realms {
                let new = part.ops.iter().filter(|op| op.key.first() == Some(&EMAIL_KEY)).count();
                if new > 0 && part.realm().account_number().is_some() {
                    told.add(part.realm(), u32::try_from(new).unwrap_or(u32::MAX));
                }
            }
        }));
        waiting
    }

    fn add(&self, account: RealmId, new: u32) {
        let mut accounts = self.accounts.lock();
        let is_first = accounts.is_empty();
        let entry = accounts.entry(account).or_insert_with(|| (0, Some(Instant::now())));
        entry.0 = entry.0.saturating_add(new);
        if is_first {
            self.wake.notify_one();
        }
    }

    /// Has an account looked at next.
    pub fn at_once(&self, account: RealmId) {
        self.accounts.lock().insert(account, (DUE, None));
        self.wake.notify_one();
    }

    fn next_due(&self) -> Option<RealmId> {
        let mut accounts = self.accounts.lock();
        let is_due = |(new, since): &(u32, Option<Instant>)| {
            *new >= DUE || since.is_none_or(|since| since.elapsed() >= DUE_AFTER)
        };
        let due = accounts.iter().find(|(_, waits)| is_due(waits)).map(|(account, _)| *account)?;
        accounts.remove(&due);
        Some(due)
    }

    fn is_empty(&self) -> bool {
        self.accounts.lock().is_empty()
    }
}

impl Index {
    /// Follows all accounts until it is dropped. At most half of one processor's time is used.
    pub async fn run(self: Arc<Self>) {
        for realm in self.store.realms().into_iter().filter(|realm| realm.account_number().is_some()) {
            self.waiting.at_once(realm);
        }
        loop {
            let Some(account) = self.waiting.next_due() else {
                if self.waiting.is_empty() {
                    self.waiting.wake.notified().await;
                }
                tokio::time::sleep(LOOK_AGAIN).await;
                continue;
            };
            self.follow_one(account).await;
        }
    }

    async fn follow_one(self: &Arc<Self>, account: RealmId) {
        loop {
            let (this, began) = (Arc::clone(self), Instant::now());
            let step = tokio::task::spawn_blocking(move || this.step(account, 1)).await;
            match step {
                Ok(Ok(Followed::Enough)) => return,
                Ok(Ok(Followed::More)) => tokio::time::sleep(began.elapsed().min(MAX_PAUSE)).await,
                Ok(Err(error)) => {
                    metrics::counter!("holdfast_search_failures_total").increment(1);
                    if error.is_full() {
                        tracing::warn!(%account, "no room for the search index: searches read the messages instead");
                    } else {
                        tracing::warn!(%account, %error, "the search index was not brought up to date");
                    }
                    if error.is_loss() {
                        self.broken.lock().insert(account);
                    }
                    self.waiting.add(account, 1);
                    tokio::time::sleep(AFTER_TROUBLE).await;
                    return;
                }
                Err(panic) => {
                    tracing::error!(%account, %panic, "the search index was not brought up to date");
                    tokio::time::sleep(AFTER_TROUBLE).await;
                    return;
                }
            }
        }
    }

    /// Has the index of an account see all that is there now. Blocks for as long as it takes.
    ///
    /// # Errors
    /// Those of reading and writing; it is as far as it came then.
    pub fn catch_up(&self, account: RealmId) -> Result<()> {
        while self.step(account, 1)? == Followed::More {}
        Ok(())
    }

    /// Takes in the next messages of an account, if there are at least `least`. What is written is written as a whole.
    /// Blocks.
    ///
    /// # Errors
    /// Those of reading and writing: nothing is lost then, and it may be tried again.
    pub fn step(&self, account: RealmId, least: usize) -> Result<Followed> {
        let _alone = self.writing.lock();
        let snapshot = self.store.snapshot();
        let is_broken = self.broken.lock().contains(&account);
        let state = if is_broken { None } else { read_state(&snapshot, account)? };
        let Some(state) = state else { return self.begin(&snapshot, account) };
        if !self.cleared.lock().contains(&account) {
            self.clear(&snapshot, account, &state)?;
        }
        if self.merge(&snapshot, account, &state)? {
            return Ok(Followed::More);
        }
        match state.missing_from {
            Some(from) => self.build(&snapshot, account, state, from),
            None => self.follow(&snapshot, account, state, least),
        }
    }

    /// Begins an index of an account from nothing. What there was of one is cleared away by the next step.
    fn begin(&self, snapshot: &Snapshot, account: RealmId) -> Result<Followed> {
        let old = snapshot.aside(keys::SPACE, &keys::state(account));
        let has_none = matches!(old, Ok(None));
        if has_none && self.mail.emails_from(snapshot, account, EmailId(0), 1)?.is_empty() {
            return Ok(Followed::Enough);
        }
        self.cleared.lock().remove(&account);
        // Numbers of segments are not used twice, so that nothing old is taken for something new.
        let segments = snapshot.aside_rows(
            keys::SPACE,
            &keys::segments(account),
            &keys::segment(account, u32::MAX),
            Order::Descending,
        );
        let last = segments.into_iter().find_map(|row| row.ok().and_then(|(key, _)| keys::segment_of(&key)));
        let state = State::new(feed::position(snapshot, account)?, last.map_or(0, |last| last.wrapping_add(1)));
        self.write(account, &state, AsideBatch::new())?;
        self.broken.lock().remove(&account);
        Ok(Followed::More)
    }

    fn write(&self, account: RealmId, state: &State, mut batch: AsideBatch) -> Result<()> {
        debug_assert_eq!(state.version, VERSION, "what is written is of this version");
        batch.push((keys::state(account), Some(state.encode_to_vec())));
        Ok(self.store.set_aside(keys::SPACE, batch)?)
    }

    /// Clears away segments that nobody refers to.
    fn clear(&self, snapshot: &Snapshot, account: RealmId, state: &State) -> Result<()> {
        let mut from = keys::segments(account);
        loop {
            let row = snapshot.aside_rows(keys::SPACE, &keys::segments(account), &from, Order::Ascending).next();
            let Some(row) = row else { break };
            let Some(number) = keys::segment_of(&row?.0) else { break };
            if !state.segments.iter().any(|segment| segment.number == number) {
                self.store.set_aside(keys::SPACE, removal(snapshot, account, number)?)?;
            }
            let Some(next) = number.checked_add(1) else { break };
            from = keys::segment(account, next);
        }
        self.cleared.lock().insert(account);
        Ok(())
    }

    /// Takes in messages that were there at the beginning.
    fn build(&self, snapshot: &Snapshot, account: RealmId, mut state: State, from: u64) -> Result<Followed> {
        let ids = self.mail.emails_from(snapshot, account, EmailId(from), TOGETHER)?;
        let mut gathered = Gathered::default();
        state.missing_from = None;
        for id in &ids {
            if gathered.bytes > GATHERED_BYTES {
                state.missing_from = Some(id.0);
                break;
            }
            self.take_in(snapshot, account, *id, &mut gathered, &mut state)?;
        }
        if state.missing_from.is_none() && ids.len() == TOGETHER {
            state.missing_from = ids.last().map(|last| last.0 + 1);
        }
        self.add(account, state, gathered)?;
        Ok(Followed::More)
    }

    /// Takes in what has changed.
    fn follow(&self, snapshot: &Snapshot, account: RealmId, state: State, least: usize) -> Result<Followed> {
        let Some(place) = state.position() else { return self.begin(snapshot, account) };
        let mut most = TOGETHER;
        loop {
            let since = feed::changes_since(snapshot, account, place, &[EMAIL], most)?;
            let Since::Changes(found) = since else { return self.begin(snapshot, account) };
            let mut ids: Vec<u64> =
                found.changes.iter().filter_map(|(_, id, change)| unseen_id(&state, id, *change)).collect();
            ids.sort_unstable();
            let gone = found.changes.iter().filter(|(_, _, change)| *change == Change::Destroyed).count();
            // Nothing is kept of an account whose mail is all gone.
            let is_empty = gone > 0 && state.gone + gone as u64 >= state.messages();
            let is_little = ids.len() < least && found.changes.len() < WRITE_DOWN_AFTER && !found.has_more && !is_empty;
            if is_little || found.until == place {
                return Ok(Followed::Enough);
            }
            let mut next = State { position: found.until.to_string(), ..state.clone() };
            next.gone += gone as u64;
            let mut gathered = Gathered::default();
            for id in &ids {
                self.take_in(snapshot, account, EmailId(*id), &mut gathered, &mut next)?;
                if gathered.bytes > GATHERED_BYTES {
                    break;
                }
            }
            if gathered.bytes > GATHERED_BYTES && most > 1 {
                most = most.div_ceil(8);
                continue;
            }
            self.add(account, next, gathered)?;
            return Ok(Followed::More);
        }
    }

    /// Takes in a message. One that can't be read, whatever the reason, is left to each search.
    fn take_in(
        &self,
        snapshot: &Snapshot,
        account: RealmId,
        id: EmailId,
        gathered: &mut Gathered,
        state: &mut State,
    ) -> Result<()> {
        let texts = catch_unwind(AssertUnwindSafe(|| self.mail.texts(snapshot, account, id)));
        let is_in = match texts {
            Ok(Ok(Some(texts))) => gathered.add(id, &texts),
            Ok(Ok(None)) => true,
            Ok(Err(error)) if error.is_damage() => false,
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => {
                tracing::error!(%account, email = %id, "the words of a message can't be read");
                false
            }
        };
        state.high = state.high.max(id.0);
        if !is_in && !state.unread.contains(&id.0) {
            state.unread.push(id.0);
        }
        Ok(())
    }

    /// Writes a segment of what was gathered, and the state with it.
    fn add(&self, account: RealmId, mut state: State, gathered: Gathered) -> Result<()> {
        let mut batch = AsideBatch::new();
        if gathered.messages() > 0 {
            metrics::counter!("holdfast_search_indexed_total").increment(gathered.messages());
            state.languages |= gathered.languages;
            state.unread_documents += gathered.unread_documents;
            let number = state.next_segment;
            state.next_segment = number.wrapping_add(1);
            state.segments.push(gathered.write(account, number, &mut batch));
        }
        self.write(account, &state, batch)
    }

    /// Merges segments, if that is due; tells whether it was.
    fn merge(&self, snapshot: &Snapshot, account: RealmId, state: &State) -> Result<bool> {
        let merged = due(state);
        let Some(place) = state.position() else { return Ok(false) };
        if merged.is_empty() {
            return Ok(false);
        }
        // What went after that place may come back, and would not be taken for new.
        let Since::Changes(later) = feed::changes_since(snapshot, account, place, &[EMAIL], super::feed_page())? else {
            return Ok(false);
        };
        let later: Option<_> =
            (!later.has_more).then(|| later.changes.iter().filter_map(|(_, id, _)| super::number(id)).collect());
        let is_whole = merged.len() == state.segments.len();
        if later.is_none() && is_whole {
            // Nothing could be left out, and the merge would be due again. Following goes on first.
            return Ok(false);
        }
        let number = state.next_segment;
        let of = merge::Merged { store: &self.store, mail: &self.mail, snapshot, account, segments: &merged, later };
        let segment = of.write(number)?;
        let mut next = State { next_segment: number.wrapping_add(1), ..state.clone() };
        let before: u64 = merged.iter().map(|segment| segment.messages).sum();
        // Messages that went before they were taken in are counted as gone, and are in no segment: after a merge of all
        // segments none is left, or the same merge would be due again, without end. What went later is still to be counted.
        next.gone = if is_whole { 0 } else { next.gone.saturating_sub(before - segment.messages.min(before)) };
        next.segments.retain(|segment| !merged.contains(segment));
        if segment.messages > 0 {
            next.segments.push(segment);
        }
        let mut batch = AsideBatch::new();
        for one in &merged {
            batch.extend(removal(snapshot, account, one.number)?);
        }
        self.write(account, &next, batch)?;
        Ok(true)
    }
}

/// The segments to be merged: the smallest ones of a level that has enough, or all, where many messages are gone, or all.
fn due(state: &State) -> Vec<Segment> {
    let all = state.messages();
    if state.gone > MANY_GONE && state.gone * 4 > all || all > 0 && state.gone >= all {
        return state.segments.clone();
    }
    let mut levels: BTreeMap<u32, Vec<Segment>> = BTreeMap::new();
    for segment in &state.segments {
        levels.entry(segment.level()).or_default().push(*segment);
    }
    levels.into_values().find(|segments| segments.len() >= merge::MERGED).unwrap_or_default()
}

/// Takes a segment away.
fn removal(snapshot: &Snapshot, account: RealmId, number: u32) -> Result<AsideBatch> {
    let prefix = keys::segment(account, number);
    let mut batch = AsideBatch::new();
    for row in snapshot.aside_rows(keys::SPACE, &prefix, &prefix, Order::Ascending) {
        batch.push((row?.0.to_vec(), None));
    }
    Ok(batch)
}
