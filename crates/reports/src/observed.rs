//! What was found out here about mail in the name of others' domains, counted until it is reported to them.
//!
//! Counts are gathered in memory and written down by [`Observed::write`], many in one commit: those since the last time are
//! lost in a crash. Rows and domains are bounded in memory and in the store; what is above the bounds is not reported.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use prost::Message as _;
use store::{Order, Read as _, RealmId, Store, StoreError, Tx};

use crate::dmarc::{Published, Row};
use crate::kept::{Reports, ReportsError, day_of};
use crate::schema::{self, OverRecord, RowRecord};

/// Most different rows in memory.
pub const MAX_OBSERVED_ROWS: usize = 20_000;
/// Most different rows of one domain's day in the store.
const MAX_ROWS_A_DAY: u32 = 5_000;
/// Days that are kept until they can be reported.
pub const DAYS_KEPT: u32 = 3;
/// Rows that one commit writes.
const TOGETHER: usize = 1_000;
/// Most URIs of a record that are kept, and their length.
const MAX_URIS: usize = 10;
const MAX_URI_BYTES: usize = 500;

/// One message that DMARC was asked about.
#[derive(Clone, Debug)]
pub struct Observation {
    /// The policy that was found.
    pub published: Published,
    /// Where its owner wants reports.
    pub rua: Vec<String>,
    /// The message. Its count is not looked at.
    pub row: Row,
}

/// A domain's day that may be reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Over {
    /// The day, counted from 1970 (UTC).
    pub day: u32,
    /// The policy that was found last.
    pub published: Published,
    /// Where its owner wants reports.
    pub rua: Vec<String>,
    /// What was found.
    pub rows: Vec<Row>,
    /// From when on it was not reported yet, in seconds since 1970.
    pub since: i64,
}

type Key = (u32, String);

#[derive(Default)]
struct Domain {
    published: Published,
    rua: Vec<String>,
    rows: HashMap<[u8; schema::NAME_BYTES], Row>,
}

#[derive(Default)]
struct Waiting {
    domains: HashMap<Key, Domain>,
    rows: usize,
}

/// The counts.
pub struct Observed {
    store: Store,
    waiting: Mutex<Waiting>,
}

impl Observed {
    pub(crate) fn new(store: Store) -> Self {
        Self { store, waiting: Mutex::default() }
    }

    /// Counts a message. What nobody wants to know is not counted.
    pub fn count(&self, observation: Observation) {
        let Observation { published, rua, mut row } = observation;
        if rua.is_empty() || published.domain.is_empty() {
            return;
        }
        row.count = 1;
        let day = day_of(self.store.clock().now_ms());
        let is_counted = self.waiting.lock().add((day, published.domain.clone()), published, rua, row);
        let result = if is_counted { "counted" } else { "dropped" };
        metrics::counter!("holdfast_dmarc_observed_total", "result" => result).increment(1);
    }

    /// Writes down what was counted since the last time. What can't be written is kept for the next time.
    pub async fn write(&self) {
        if self.store.is_partial() {
            return;
        }
        let taken = std::mem::take(&mut *self.waiting.lock());
        let mut all: Vec<(Key, Domain)> = taken.domains.into_iter().collect();
        while !all.is_empty() {
            let (mut rows, mut some) = (0, Vec::new());
            while let Some((_, domain)) = all.last()
                && (some.is_empty() || rows + domain.rows.len() <= TOGETHER)
            {
                rows += domain.rows.len();
                some.extend(all.pop());
            }
            let some = Arc::new(some);
            let writing = Arc::clone(&some);
            let written = self.store.transact(move |tx: &mut Tx<'_>| {
                tx.keeps_books();
                for (key, domain) in &*writing {
                    add_in(tx, key, domain)?;
                }
                Ok::<_, StoreError>(())
            });
            if let Err(error) = written.await {
                tracing::warn!(%error, "could not write down DMARC results");
                let mut waiting = self.waiting.lock();
                for (key, domain) in all.iter().chain(some.iter()) {
                    for row in domain.rows.values() {
                        waiting.add(key.clone(), domain.published.clone(), domain.rua.clone(), row.clone());
                    }
                }
                return;
            }
        }
    }
}

impl Waiting {
    fn add(&mut self, key: Key, published: Published, rua: Vec<String>, row: Row) -> bool {
        let name = schema::row_name(&row);
        let is_known = self.domains.get(&key).is_some_and(|domain| domain.rows.contains_key(&name));
        if !is_known && self.rows >= MAX_OBSERVED_ROWS {
            return false;
        }
        let domain = self.domains.entry(key).or_default();
        domain.published = published;
        domain.rua = rua;
        match domain.rows.entry(name) {
            std::collections::hash_map::Entry::Occupied(mut known) => known.get_mut().count += row.count,
            std::collections::hash_map::Entry::Vacant(free) => {
                free.insert(row);
                self.rows += 1;
            }
        }
        true
    }
}

fn add_in(tx: &mut Tx<'_>, (day, name): &Key, domain: &Domain) -> Result<(), StoreError> {
    let key = schema::over_key(*day, name);
    let mut over = match tx.get(RealmId::REPORTS, &key)? {
        Some(value) => OverRecord::decode(value).unwrap_or_default(),
        None => OverRecord::default(),
    };
    over.published = Some((&domain.published).into());
    over.rua = domain.rua.iter().filter(|uri| uri.len() <= MAX_URI_BYTES).take(MAX_URIS).cloned().collect();
    for (row_name, row) in &domain.rows {
        let key = schema::row_key(*day, name, row_name);
        let mut record = RowRecord::from(row);
        match tx.get(RealmId::REPORTS, &key)? {
            Some(value) => record.count += RowRecord::decode(value).map_or(0, |known| known.count),
            None if over.rows >= MAX_ROWS_A_DAY => continue,
            None => over.rows += 1,
        }
        tx.put(RealmId::REPORTS, key, record.encode_to_vec());
    }
    tx.put(RealmId::REPORTS, key, over.encode_to_vec());
    Ok(())
}

impl Reports {
    /// Domains' days up to `last`, at most `most` of them, the oldest first. Blocks.
    ///
    /// # Errors
    /// Those of reading.
    pub fn over(&self, last: u32, most: usize) -> Result<Vec<Over>, ReportsError> {
        let snapshot = self.store.snapshot();
        let mut found = Vec::new();
        for row in snapshot.prefix(RealmId::REPORTS, &[schema::OVER], Order::Ascending)? {
            let (key, value) = row?;
            let (Some((day, domain)), Ok(over)) = (schema::over_key_parts(&key), OverRecord::decode(value)) else {
                continue;
            };
            if day > last || found.len() >= most {
                break;
            }
            let mut rows = Vec::new();
            for row in snapshot.prefix(RealmId::REPORTS, &schema::rows_prefix(day, domain), Order::Ascending)? {
                if let Ok(record) = RowRecord::decode(row?.1) {
                    rows.push(record.into());
                }
            }
            let mut published: Published = over.published.unwrap_or_default().into();
            domain.clone_into(&mut published.domain);
            let since = over.since.max(i64::from(day) * 86_400);
            found.push(Over { day, published, rua: over.rua, rows, since });
        }
        Ok(found)
    }
}

impl Over {
    /// Forgets what was reported, in the commit that reports it. Of a day that isn't over, what came since is left.
    ///
    /// # Errors
    /// Those of reading; nothing was written then.
    pub fn remove_in(&self, tx: &mut Tx<'_>, until: i64) -> Result<(), StoreError> {
        let domain = &self.published.domain;
        let key = schema::over_key(self.day, domain);
        let over = tx.get(RealmId::REPORTS, &key)?.and_then(|value| OverRecord::decode(value).ok());
        let mut over = over.unwrap_or_default();
        for row in &self.rows {
            let key = schema::row_key(self.day, domain, &schema::row_name(row));
            let Some(value) = tx.get(RealmId::REPORTS, &key)? else { continue };
            let mut record = RowRecord::decode(value).unwrap_or_default();
            if record.count > row.count {
                record.count -= row.count;
                tx.put(RealmId::REPORTS, key, record.encode_to_vec());
            } else {
                over.rows = over.rows.saturating_sub(1);
                tx.delete(RealmId::REPORTS, key);
            }
        }
        if day_of(tx.now_ms()) > self.day && over.rows == 0 {
            tx.delete(RealmId::REPORTS, key);
        } else {
            over.since = until + 1;
            tx.put(RealmId::REPORTS, key, over.encode_to_vec());
        }
        Ok(())
    }
}
