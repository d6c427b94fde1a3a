//! The reports that came about hosted domains.

use std::sync::Arc;

use prost::Message as _;
use store::{Cause, Damaged, Invariants, Order, Part, Read as _, RealmId, Snapshot, Store, StoreError, Tx, Violation};

use crate::dmarc::{DmarcReport, Row};
use crate::observed::Observed;
use crate::schema::{self, DMARC, KEPT, KeptRecord, MARK, NAME_BYTES, OVER, OverRecord, ROW, RowRecord, TLS};
use crate::tls::{PolicyResult, TlsReport};
use crate::{Report, Reporter};

/// For how many days after they came reports are kept.
pub const KEPT_DAYS: u32 = 92;
/// Most reports of one reporter about one domain in a day; all that are not verified count as one reporter. The oldest go.
pub const MAX_OF_REPORTER: usize = 48;
/// Most reports about one domain in a day. Those that are not verified go first, then the oldest.
pub const MAX_A_DAY: usize = 500;
/// Rows that are kept of a report, those with the most messages; of the others the messages are counted.
const MAX_KEPT_ROWS: usize = 250;
/// Results of each kind that are kept of a row.
const MAX_KEPT_RESULTS: usize = 4;
/// Failures that are kept of a TLS policy.
const MAX_KEPT_FAILURES: usize = 100;
/// Policies that are kept of a TLS report about one domain.
const MAX_KEPT_POLICIES: usize = 20;
/// Records that one commit deletes.
const TOGETHER: usize = 500;
const DAY_SECONDS: i64 = 86_400;

/// Why reports could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum ReportsError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of a report that was to be filed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filed {
    /// It was filed.
    New,
    /// It is there already.
    Duplicate,
}

/// A report as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Whose mail it came in.
    pub reporter: Reporter,
    /// What the reporter calls itself.
    pub organisation: String,
    /// What the reporter calls the report.
    pub id: String,
    /// The time that it is about, in seconds since 1970.
    pub begin: i64,
    /// Its end.
    pub end: i64,
    /// When it came.
    pub received_ms: i64,
    /// What it says.
    pub says: Says,
}

/// What a kept report says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Says {
    /// Of mail in the domain's name.
    Dmarc {
        /// The messages.
        rows: Vec<Row>,
        /// Messages of rows that are not kept.
        unread: u64,
        /// `p=` as it was found.
        policy: String,
    },
    /// Of connections to the domain's servers.
    Tls(Vec<PolicyResult>),
}

/// A report about one domain, ready to be written.
#[derive(Clone, Debug)]
pub struct Filing {
    domain: String,
    reporter: String,
    name: [u8; NAME_BYTES],
    record: KeptRecord,
}

/// The reports of all domains. Cheap to clone.
#[derive(Clone)]
pub struct Reports {
    pub(crate) store: Store,
    pub(crate) observed: Arc<Observed>,
}

/// The day of a time, counted from 1970 (UTC).
pub fn day_of(ms: i64) -> u32 {
    u32::try_from(ms.div_euclid(DAY_SECONDS * 1_000)).unwrap_or(0)
}

impl Filing {
    /// A report that came at `now_ms` about `hosted`, a domain here. `None` if it says nothing about that domain.
    pub fn of(report: &Report, hosted: &str, reporter: &Reporter, now_ms: i64) -> Option<Self> {
        let mut record = match report {
            Report::Dmarc(report) => dmarc_record(report),
            Report::Tls(report) => tls_record(report, hosted)?,
        };
        let range = match report {
            Report::Dmarc(report) => report.range,
            Report::Tls(report) => report.range,
        };
        let yesterday = i64::from(day_of(now_ms)) * DAY_SECONDS - DAY_SECONDS;
        (record.begin, record.end) = range.unwrap_or((yesterday, yesterday + DAY_SECONDS - 1));
        // What one reporter calls one report names it; where it has no name, all of it does.
        let unnamed = if record.id.is_empty() { record.encode_to_vec() } else { Vec::new() };
        let whole = [
            &[u8::try_from(record.kind).unwrap_or_default()],
            reporter.domain().as_bytes(),
            &[0],
            record.organisation.as_bytes(),
            &[0],
            record.id.as_bytes(),
            &[0],
            &record.begin.to_be_bytes(),
            &unnamed,
        ];
        let name = schema::name(&whole.concat());
        record.received_ms = now_ms;
        Some(Self { domain: hosted.to_owned(), reporter: reporter.domain().to_owned(), name, record })
    }

    /// Files it, once however often it comes.
    ///
    /// # Errors
    /// Those of reading; nothing was written then.
    pub fn write_in(&self, tx: &mut Tx<'_>) -> Result<Filed, StoreError> {
        let mark = schema::mark_key(&self.domain, &self.name);
        if tx.get(RealmId::REPORTS, &mark)?.is_some() {
            return Ok(Filed::Duplicate);
        }
        let day = day_of(self.record.received_ms);
        let mut there: Vec<(bool, i64, Vec<u8>)> = Vec::new();
        for row in tx.prefix(RealmId::REPORTS, &schema::day_prefix(&self.domain, day), Order::Ascending)? {
            let (key, value) = row?;
            let received_ms = KeptRecord::decode(value).map_or(0, |record| record.received_ms);
            let is_verified = schema::kept_key_parts(&key).is_some_and(|(_, _, reporter, _)| !reporter.is_empty());
            there.push((is_verified, received_ms, key.to_vec()));
        }
        // Those that are not verified first, then the oldest.
        there.sort();
        let is_of = |key: &[u8]| schema::kept_key_parts(key).is_some_and(|(_, _, of, _)| of == self.reporter);
        let own = there.iter().filter(|(_, _, key)| is_of(key)).count();
        let goes = if own >= MAX_OF_REPORTER {
            there.iter().find(|(_, _, key)| is_of(key))
        } else if there.len() >= MAX_A_DAY {
            there.first()
        } else {
            None
        };
        if let Some((_, _, key)) = goes {
            remove(tx, key.clone());
        }
        tx.put(RealmId::REPORTS, mark, day.to_be_bytes().to_vec());
        let key = schema::kept_key(&self.domain, day, &self.reporter, &self.name);
        tx.put(RealmId::REPORTS, key, self.record.encode_to_vec());
        Ok(Filed::New)
    }
}

/// Deletes a report and its mark.
fn remove(tx: &mut Tx<'_>, key: Vec<u8>) {
    if let Some((domain, _, _, name)) = schema::kept_key_parts(&key) {
        let mark = schema::mark_key(domain, name);
        tx.delete(RealmId::REPORTS, mark);
    }
    tx.delete(RealmId::REPORTS, key);
}

fn dmarc_record(report: &DmarcReport) -> KeptRecord {
    let mut rows: Vec<&Row> = report.rows.iter().collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.count));
    let rest = rows.split_off(rows.len().min(MAX_KEPT_ROWS));
    let row = |row: &&Row| {
        let mut record = RowRecord::from(*row);
        record.dkim_results.truncate(MAX_KEPT_RESULTS);
        record.spf_results.truncate(MAX_KEPT_RESULTS);
        record.reasons.truncate(MAX_KEPT_RESULTS);
        record
    };
    KeptRecord {
        kind: DMARC,
        organisation: report.organisation.clone(),
        contact: report.email.clone(),
        id: report.id.clone(),
        published: Some((&report.published).into()),
        rows: rows.iter().map(row).collect(),
        unread: report.unread + rest.iter().map(|row| row.count).sum::<u64>(),
        ..KeptRecord::default()
    }
}

/// What a TLS report says of a domain.
fn tls_record(report: &TlsReport, hosted: &str) -> Option<KeptRecord> {
    let is_of = |policy: &&PolicyResult| {
        policy.domain == hosted || policy.domain.strip_suffix(hosted).is_some_and(|rest| rest.ends_with('.'))
    };
    let policies: Vec<_> = report.policies.iter().filter(is_of).take(MAX_KEPT_POLICIES).collect();
    let kept = policies.iter().map(|policy| {
        let mut record = schema::PolicyRecord::from(*policy);
        record.details.truncate(MAX_KEPT_FAILURES);
        record
    });
    (!policies.is_empty()).then(|| KeptRecord {
        kind: TLS,
        organisation: report.organisation.clone(),
        contact: report.contact.clone(),
        id: report.id.clone(),
        policies: kept.collect(),
        ..KeptRecord::default()
    })
}

impl Reports {
    /// In that store.
    pub fn new(store: Store) -> Self {
        Self { observed: Arc::new(Observed::new(store.clone())), store }
    }

    /// The time by the store's clock, in milliseconds since 1970.
    pub fn now_ms(&self) -> i64 {
        self.store.clock().now_ms()
    }

    /// What is counted to be reported to others.
    pub fn observed(&self) -> &Arc<Observed> {
        &self.observed
    }

    /// The reports about a hosted domain that came in the last `days` days, in the order in which they came by day. Blocks.
    ///
    /// # Errors
    /// Those of reading; of a store that is being restored.
    pub fn of_domain(&self, domain: &str, days: u32) -> Result<Vec<Kept>, ReportsError> {
        let today = day_of(self.store.clock().now_ms());
        let from = schema::day_prefix(domain, today.saturating_sub(days));
        let to = schema::day_prefix(domain, u32::MAX);
        let range = (std::ops::Bound::Included(from), std::ops::Bound::Excluded(to));
        let mut found = Vec::new();
        for row in self.store.snapshot().range(RealmId::REPORTS, range, Order::Ascending)? {
            let (key, value) = row?;
            found.push(read(&key, value)?);
        }
        Ok(found)
    }

    /// Files a report on its own.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn file(&self, filing: Filing) -> Result<Filed, ReportsError> {
        Ok(self.store.transact(move |tx: &mut Tx<'_>| filing.write_in(tx)).await?)
    }

    /// Forgets reports that are old enough, and what could not be reported to others in time.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn maintain(&self) -> Result<usize, ReportsError> {
        let today = day_of(self.store.clock().now_ms());
        let old = self.old(today)?;
        for some in old.chunks(TOGETHER) {
            let some = some.to_vec();
            let written = self.store.transact(move |tx: &mut Tx<'_>| {
                tx.keeps_books();
                for key in some {
                    remove(tx, key);
                }
                Ok::<_, StoreError>(())
            });
            written.await?;
        }
        Ok(old.len())
    }

    fn old(&self, today: u32) -> Result<Vec<Vec<u8>>, StoreError> {
        let first = today.saturating_sub(KEPT_DAYS);
        let mut old = Vec::new();
        for row in self.store.snapshot().prefix(RealmId::REPORTS, &[KEPT], Order::Ascending)? {
            let (key, _) = row?;
            if schema::kept_key_parts(&key).is_some_and(|(_, day, ..)| day < first) {
                old.push(key.to_vec());
            }
        }
        Ok(old)
    }
}

fn read(key: &[u8], value: impl prost::bytes::Buf) -> Result<Kept, StoreError> {
    let damaged = || StoreError::from(Damaged::new(Part::Record, Cause::Decoding).realm(RealmId::REPORTS).key(key));
    let (_, _, reporter, _) = schema::kept_key_parts(key).ok_or_else(damaged)?;
    let record = KeptRecord::decode(value).map_err(|_| damaged())?;
    let says = if record.kind == TLS {
        Says::Tls(record.policies.into_iter().map(PolicyResult::from).collect())
    } else {
        Says::Dmarc {
            rows: record.rows.into_iter().map(Row::from).collect(),
            unread: record.unread,
            policy: record.published.unwrap_or_default().p,
        }
    };
    Ok(Kept {
        reporter: if reporter.is_empty() { Reporter::Unverified } else { Reporter::Verified(reporter.to_owned()) },
        organisation: record.organisation,
        id: record.id,
        begin: record.begin,
        end: record.end,
        received_ms: record.received_ms,
        says,
    })
}

/// The rules of the reports realm: every record can be read, every report has its mark.
pub struct ReportInvariants;

impl Invariants for ReportInvariants {
    fn check(&self, realm: RealmId, snapshot: &Snapshot) -> Result<Vec<Violation>, StoreError> {
        if realm != RealmId::REPORTS {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for row in snapshot.prefix(realm, b"", Order::Ascending)? {
            let (key, value) = row?;
            let is_right = match key.first() {
                Some(&KEPT) => match schema::kept_key_parts(&key) {
                    Some((domain, _, _, name)) => {
                        KeptRecord::decode(value).is_ok()
                            && snapshot.get(realm, &schema::mark_key(domain, name))?.is_some()
                    }
                    None => false,
                },
                Some(&MARK) => value.len() == 4,
                Some(&ROW) => key.len() > 5 + NAME_BYTES && RowRecord::decode(value).is_ok(),
                Some(&OVER) => schema::over_key_parts(&key).is_some() && OverRecord::decode(value).is_ok(),
                _ => false,
            };
            if !is_right {
                found.push(Violation {
                    realm,
                    what: format!("the reports have {key:02x?}, which is no record of them"),
                });
            }
        }
        Ok(found)
    }
}
