//! The index of all accounts.

mod block;
mod follow;
mod gather;
mod grams;
mod keys;
mod lookup;
mod merge;
mod need;
mod postings;
mod state;
mod varint;
mod write;

use std::collections::{BTreeSet, HashSet};

use mailstore::{EMAIL, EmailId, Folding, MailStore, Narrowing, SearchQuery};
use parking_lot::Mutex;
use prost::Message as _;
use realm::feed::{self, Change, Id, Since};
use store::{RealmId, Snapshot, Store};

use crate::Result;
use crate::error::lost;
pub use follow::Followed;
use follow::Waiting;
use lookup::Lookup;
use need::Need;
use state::{State, VERSION};

/// Messages that an index may not have seen, for it to be asked: with more it is no help yet.
const MAX_UNSEEN: usize = 200_000;
/// Answers of the change feed that one search reads.
const MAX_PAGES: usize = 8;

/// An index of the words in the mail of each account. See the crate's head.
pub struct Index {
    store: Store,
    mail: MailStore,
    waiting: std::sync::Arc<Waiting>,
    /// Accounts whose index was found damaged.
    broken: Mutex<BTreeSet<RealmId>>,
    /// Accounts in which nothing is left of segments that nobody refers to.
    cleared: Mutex<HashSet<RealmId>>,
    /// Held by who writes.
    writing: Mutex<()>,
}

/// How large the index of an account is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measure {
    /// Messages in it.
    pub messages: u64,
    /// Bytes of its blocks.
    pub bytes: u64,
    /// Parts that a search looks through.
    pub segments: usize,
    /// Attached documents that could not be read, or not to their end: searches don't find what they say.
    pub unread_documents: u64,
}

impl Index {
    /// Of the mail in a store. It is told of all commits from now on.
    pub fn new(store: Store) -> std::sync::Arc<Self> {
        // Of its own: the one that asks the index holds the index.
        let mail = MailStore::new(store.clone());
        let waiting = Waiting::of(&store);
        let (broken, cleared, writing) = Default::default();
        std::sync::Arc::new(Self { store, mail, waiting, broken, cleared, writing })
    }

    /// How large the index of an account is; `None` if it has none, or one of another version.
    ///
    /// # Errors
    /// Those of reading.
    pub fn measure(&self, account: RealmId) -> Result<Option<Measure>> {
        let state = read_state(&self.store.snapshot(), account)?;
        Ok(state.map(|state| Measure {
            messages: state.messages(),
            bytes: state.segments.iter().map(|segment| segment.bytes).sum(),
            segments: state.segments.len(),
            unread_documents: state.unread_documents,
        }))
    }

    fn try_candidates(
        &self,
        snapshot: &Snapshot,
        account: RealmId,
        (query, folding): (&SearchQuery, Folding),
    ) -> Result<Option<Vec<EmailId>>> {
        let Some(need) = Need::of(query, folding) else { return Ok(None) };
        let Some(state) = read_state(snapshot, account)? else { return Ok(None) };
        let Some(unseen) = self.unseen(snapshot, account, &state)? else { return Ok(None) };
        let lookup = Lookup { snapshot, account, state: &state };
        let Some(mut ids) = need.messages(&lookup)? else { return Ok(None) };
        ids.extend(unseen);
        ids.sort_unstable();
        ids.dedup();
        Ok(Some(ids.into_iter().map(EmailId).collect()))
    }

    /// The messages that the index can say nothing of; `None` if that can't be told, or they are too many.
    fn unseen(&self, snapshot: &Snapshot, account: RealmId, state: &State) -> Result<Option<Vec<u64>>> {
        let Some(mut position) = state.position() else { return Ok(None) };
        let mut unseen = state.unread.clone();
        if let Some(from) = state.missing_from {
            let ids = self.mail.emails_from(snapshot, account, EmailId(from), MAX_UNSEEN)?;
            unseen.extend(ids.iter().map(|id| id.0));
        }
        for _ in 0..MAX_PAGES {
            let since = feed::changes_since(snapshot, account, position, &[EMAIL], feed_page())?;
            let Since::Changes(found) = since else { return Ok(None) };
            unseen.extend(found.changes.iter().filter_map(|(_, id, change)| unseen_id(state, id, *change)));
            position = found.until;
            if unseen.len() >= MAX_UNSEEN {
                return Ok(None);
            }
            if !found.has_more {
                return Ok(Some(unseen));
            }
        }
        Ok(None)
    }
}

const fn feed_page() -> usize {
    10_000
}

/// The number of a message.
const fn number(id: &Id) -> Option<u64> {
    match id {
        Id::Number(number) => Some(*number),
        Id::Name(_) => None,
    }
}

/// The number of a message that a change says the index has not seen.
fn unseen_id(state: &State, id: &Id, change: Change) -> Option<u64> {
    let id = number(id)?;
    let is_new = match change {
        Change::Created => true,
        // What a message says never changes. One that was taken away and is there again is still in the index.
        Change::Updated => id > state.high,
        Change::Destroyed => false,
    };
    is_new.then_some(id)
}

fn read_state(snapshot: &Snapshot, account: RealmId) -> Result<Option<State>> {
    let Some(value) = snapshot.aside(keys::SPACE, &keys::state(account))? else { return Ok(None) };
    let state = State::decode(value).map_err(|_| lost("the state"))?;
    Ok((state.version == VERSION).then_some(state))
}

impl Narrowing for Index {
    fn candidates(
        &self,
        snapshot: &Snapshot,
        account: RealmId,
        query: &SearchQuery,
        folding: Folding,
    ) -> Option<Vec<EmailId>> {
        let began = std::time::Instant::now();
        match self.try_candidates(snapshot, account, (query, folding)) {
            Ok(candidates) => {
                if candidates.is_some() {
                    metrics::histogram!("holdfast_search_lookup_seconds").record(began.elapsed().as_secs_f64());
                }
                candidates
            }
            Err(error) => {
                tracing::warn!(%error, %account, "searching without the index");
                if error.is_loss() {
                    self.broken.lock().insert(account);
                    self.waiting.at_once(account);
                }
                None
            }
        }
    }
}
