//! Saved searches and recent ones.

use prost::Message as _;
use store::{Order, Read, RealmId, Store, StoreError, Tx};

use crate::schema::{RECENT, REMOVED, RecentRecord, RemovedRecord, SAVED, SavedRecord, saved_key};

/// Most saved searches of one account.
pub const MAX_SAVED: usize = 100;
/// Longest name, in characters.
pub const MAX_NAME_CHARS: usize = 100;
/// Longest query, in characters.
pub const MAX_QUERY_CHARS: usize = 400;
/// How many of the searches made last are kept.
pub const MAX_RECENT: usize = 10;

/// Why searches could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum SavedError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is none of that id.
    #[error("there is no such saved search")]
    NoSuchSearch,
    /// The name is empty or too long.
    #[error("a name has 1 to {MAX_NAME_CHARS} characters, in one line")]
    BadName,
    /// The query is empty or too long.
    #[error("a search has 1 to {MAX_QUERY_CHARS} characters, in one line")]
    BadQuery,
    /// Too many.
    #[error("an account can have {MAX_SAVED} saved searches")]
    TooMany,
}

/// Result of this module.
pub type Result<T, E = SavedError> = std::result::Result<T, E>;

/// A saved search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// Which. Ids are given in the order of time and never twice.
    pub id: u64,
    /// What its owner calls it.
    pub name: String,
    /// As typed.
    pub query: String,
}

/// The saved search that was removed last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What it was called.
    pub name: String,
    /// It was brought back.
    pub undone: bool,
}

/// The searches of accounts. Cheap to clone.
#[derive(Clone)]
pub struct SavedSearches {
    store: Store,
}

/// What can't be read is reported by the part's check; here it is as if it were not there.
fn load<R: Read + ?Sized, M: prost::Message + Default>(
    read: &R,
    account: RealmId,
    key: &[u8],
) -> Result<M, StoreError> {
    Ok(read.get(account, key)?.and_then(|value| M::decode(value).ok()).unwrap_or_default())
}

fn all<R: Read + ?Sized>(read: &R, account: RealmId) -> Result<Vec<(u64, SavedRecord)>, StoreError> {
    let mut out = Vec::new();
    for row in read.prefix(account, &[SAVED], Order::Ascending)? {
        let (key, value) = row?;
        if let (Ok(id), Ok(record)) = (<[u8; 8]>::try_from(&key[1..]), SavedRecord::decode(value)) {
            out.push((u64::from_be_bytes(id), record));
        }
    }
    out.sort_by_key(|(id, record)| (record.position, *id));
    Ok(out)
}

/// A text in one line, of at most so many characters; `None` if it is none.
fn line(text: &str, most: usize) -> Option<String> {
    let text = text.trim();
    let right = !text.is_empty() && text.chars().count() <= most && !text.chars().any(char::is_control);
    right.then(|| text.to_owned())
}

impl SavedSearches {
    /// In that store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// The saved searches, in their order.
    ///
    /// # Errors
    /// Those of reading.
    pub fn list(&self, account: RealmId) -> Result<Vec<Saved>> {
        let saved = all(&self.store.snapshot(), account)?.into_iter();
        Ok(saved.map(|(id, record)| Saved { id, name: record.name, query: record.query }).collect())
    }

    /// Keeps a search behind the others. One with the same name and query is there already: that one is meant.
    ///
    /// # Errors
    /// The name or query can't be used; there are too many.
    pub async fn save(&self, account: RealmId, name: &str, query: &str) -> Result<u64> {
        let name = line(name, MAX_NAME_CHARS).ok_or(SavedError::BadName)?;
        let query = line(query, MAX_QUERY_CHARS).ok_or(SavedError::BadQuery)?;
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let saved = all(tx, account)?;
                if let Some((id, _)) = saved.iter().find(|(_, it)| it.name == name && it.query == query) {
                    return Ok(*id);
                }
                if saved.len() >= MAX_SAVED {
                    return Err(SavedError::TooMany);
                }
                let removed: RemovedRecord = load(tx, account, &[REMOVED])?;
                let last = saved.iter().map(|(id, _)| *id).max().unwrap_or(0).max(removed.id);
                let id = u64::try_from(tx.now_ms()).unwrap_or(0).max(last + 1);
                let position = saved.last().map_or(0, |(_, last)| last.position + 1);
                tx.put(account, saved_key(id), SavedRecord { name, query, position }.encode_to_vec());
                Ok(id)
            })
            .await
    }

    /// Gives a saved search another name and query.
    ///
    /// # Errors
    /// There is none of that id; the name or query can't be used.
    pub async fn change(&self, account: RealmId, id: u64, name: &str, query: &str) -> Result<()> {
        let name = line(name, MAX_NAME_CHARS).ok_or(SavedError::BadName)?;
        let query = line(query, MAX_QUERY_CHARS).ok_or(SavedError::BadQuery)?;
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let found = all(tx, account)?.into_iter().find(|(at, _)| *at == id);
                let (_, record) = found.ok_or(SavedError::NoSuchSearch)?;
                tx.put(account, saved_key(id), SavedRecord { name, query, ..record }.encode_to_vec());
                Ok(())
            })
            .await
    }

    /// Moves a saved search one place.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn shift(&self, account: RealmId, id: u64, up: bool) -> Result<()> {
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let mut saved = all(tx, account)?;
                let Some(at) = saved.iter().position(|(other, _)| *other == id) else { return Ok(()) };
                let to = if up { at.checked_sub(1) } else { Some(at + 1).filter(|to| *to < saved.len()) };
                let Some(to) = to else { return Ok(()) };
                saved.swap(at, to);
                for (position, (id, record)) in saved.into_iter().enumerate() {
                    let position = position as i64;
                    if record.position != position {
                        tx.put(account, saved_key(id), SavedRecord { position, ..record }.encode_to_vec());
                    }
                }
                Ok(())
            })
            .await
    }

    /// Removes a saved search. [`Self::bring_back`] undoes it until another one is removed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn remove(&self, account: RealmId, id: u64) -> Result<()> {
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let Some((_, search)) = all(tx, account)?.into_iter().find(|(at, _)| *at == id) else { return Ok(()) };
                let record = RemovedRecord { id, search: Some(search), undone: false };
                tx.put(account, vec![REMOVED], record.encode_to_vec());
                tx.delete(account, saved_key(id));
                Ok(())
            })
            .await
    }

    /// What was removed last, if it has that id.
    ///
    /// # Errors
    /// Those of reading.
    pub fn removed(&self, account: RealmId, id: u64) -> Result<Option<Removed>> {
        let record: RemovedRecord = load(&self.store.snapshot(), account, &[REMOVED])?;
        let search = record.search.filter(|_| record.id == id);
        Ok(search.map(|search| Removed { name: search.name, undone: record.undone }))
    }

    /// Brings back what was removed last, if it has that id. Whether it is there.
    ///
    /// # Errors
    /// There are too many by now.
    pub async fn bring_back(&self, account: RealmId, id: u64) -> Result<bool> {
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let record: RemovedRecord = load(tx, account, &[REMOVED])?;
                let Some(search) = record.search.clone().filter(|_| record.id == id) else { return Ok(false) };
                if !record.undone {
                    if all(tx, account)?.len() >= MAX_SAVED {
                        return Err(SavedError::TooMany);
                    }
                    tx.put(account, saved_key(id), search.encode_to_vec());
                    tx.put(account, vec![REMOVED], RemovedRecord { undone: true, ..record }.encode_to_vec());
                }
                Ok(true)
            })
            .await
    }

    /// The searches made last, the last one first.
    ///
    /// # Errors
    /// Those of reading.
    pub fn recent(&self, account: RealmId) -> Result<Vec<String>> {
        Ok(load::<_, RecentRecord>(&self.store.snapshot(), account, &[RECENT])?.queries)
    }

    /// Notes that a search was made. What is no search is passed over.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn note(&self, account: RealmId, query: &str) -> Result<()> {
        let Some(query) = line(query, MAX_QUERY_CHARS) else { return Ok(()) };
        if self.recent(account)?.first() == Some(&query) {
            return Ok(());
        }
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                let mut recent: RecentRecord = load(tx, account, &[RECENT])?;
                recent.queries.retain(|other| *other != query);
                recent.queries.insert(0, query);
                recent.queries.truncate(MAX_RECENT);
                tx.put(account, vec![RECENT], recent.encode_to_vec());
                Ok(())
            })
            .await
    }

    /// Forgets the searches made last.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn forget_recent(&self, account: RealmId) -> Result<()> {
        self.store
            .transact(move |tx: &mut Tx<'_>| {
                tx.delete(account, vec![RECENT]);
                Ok::<_, SavedError>(())
            })
            .await
    }
}
